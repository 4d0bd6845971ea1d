//! Spans and events for `tracing`.
//!
//! A group that a subscriber listens to is *observed*, and takes the path that `observe` describes. All other groups do
//! nothing for tracing. Spans are in the table, with the members they belong to. A subscriber is foreign code: it is called
//! with no lock held, through the dispatcher that the span was made with, and its panics go no further.

use std::panic::Location;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use tracing::level_filters::LevelFilter;
use tracing::subscriber::NoSubscriber;
use tracing::{Dispatch, Level, dispatcher};

use crate::error::{CancelReason, Origin, Refusal, sane, shorten};
use crate::observe::snapshot::MemberKind;
use crate::outcome::Raw;
use crate::state::member::{BODY, Key};
use crate::state::nesting::Parent;
use crate::state::ticket::Ticket;
use crate::state::{End, State};
use crate::unwind::{catch, drop_quietly, message};

/// The span of a group or a child, if somebody listens.
#[derive(Clone, Default)]
pub(crate) struct Span(Option<Arc<Inner>>);

struct Inner {
    /// Taken by the destructor only.
    span: Option<tracing::Span>,
    began: Instant,
    outcome: OnceLock<&'static str>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let Some(span) = &self.span else { return };
        // A registry closes the spans around this one through the dispatcher of the thread.
        let dispatch = dispatch(span);
        let span = &mut self.span;
        // Inside a callback of the subscriber no dispatcher can be set. Then the span is still there afterwards.
        let closed = catch(|| match &dispatch {
            Some(dispatch) => dispatcher::with_default(dispatch, || drop(span.take())),
            None => drop(span.take()),
        });
        drop_quietly(closed);
        drop_quietly(self.span.take());
        // It may be the last one that holds the subscriber.
        drop_quietly(dispatch);
    }
}

/// What a cancel has to report, once no lock is held.
pub(crate) enum Cancelled {
    Group(Arc<State>),
    Alone(Span),
}

impl Cancelled {
    pub(crate) fn tell(self) {
        match self {
            Cancelled::Group(group) => {
                let (span, reason) = (group.span_of(BODY), group.reason());
                let Some(reason) = reason.as_ref().map(ToString::to_string) else { return };
                span.tell(|id| {
                    tracing::debug!(target: "taskgroup", parent: id, reason = shorten(&reason, 200), "cancelled");
                });
            }
            Cancelled::Alone(span) => {
                span.tell(
                    |id| tracing::debug!(target: "taskgroup", parent: id, reason = "alone", "cancelled"),
                );
            }
        }
    }
}

impl Span {
    /// Makes a span through the dispatcher of the span around it. If there is none, it uses the thread's dispatcher and
    /// current span.
    fn make(around: &Span, make: impl FnOnce(Option<tracing::Id>) -> tracing::Span) -> Self {
        if LevelFilter::current() < LevelFilter::DEBUG {
            return Self(None);
        }
        let around = around.0.as_ref().and_then(|inner| inner.span.as_ref());
        let made = catch(|| match around.and_then(|span| Some((span.id()?, dispatch(span)?))) {
            Some((id, dispatch)) => dispatcher::with_default(&dispatch, || make(Some(id))),
            None => make(dispatcher::get_default(|dispatch| dispatch.current_span().id().cloned())),
        });
        match made {
            Ok(span) if span.is_none() || span.is_disabled() || is_nobodys(&span) => {
                drop_quietly(span);
                Self(None)
            }
            Ok(span) => Self(Some(Arc::new(Inner {
                span: Some(span),
                began: Instant::now(),
                outcome: OnceLock::new(),
            }))),
            Err(payload) => {
                drop_quietly(payload);
                Self(None)
            }
        }
    }

    pub(crate) fn of_group(
        location: &'static Location<'static>,
        name: Option<&str>,
        path: Option<&str>,
        parent: Option<&Parent>,
    ) -> Self {
        let around = parent.filter(|parent| parent.group.is_observed());
        let around = around.map(|parent| parent.group.span_of(parent.key)).unwrap_or_default();
        Self::make(&around, |around| {
            let name = name.map(sane);
            tracing::span!(
                target: "taskgroup",
                parent: around,
                Level::DEBUG,
                "group",
                name = name.as_deref(),
                path,
                location = %location,
            )
        })
    }

    fn of_child(group: &Span, kind: MemberKind, id: u64, origin: &Origin) -> Self {
        Self::make(group, |around| {
            let name = origin.name().map(sane);
            tracing::span!(
                target: "taskgroup",
                parent: around,
                Level::DEBUG,
                "child",
                child = id,
                name = name.as_deref(),
                path = origin.path(),
                kind = kind.as_str(),
                location = %origin.location(),
            )
        })
    }

    pub(crate) fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// Calls `f` with the span's id, while its dispatcher is in place.
    fn tell(&self, f: impl FnOnce(Option<tracing::Id>)) {
        let Some(span) = self.0.as_ref().and_then(|inner| inner.span.as_ref()) else { return };
        let Some(dispatch) = dispatch(span) else { return };
        let told = catch(|| dispatcher::with_default(&dispatch, || f(span.id())));
        drop_quietly(told);
    }

    pub(crate) fn enter(&self) {
        self.turn(|dispatch, id| dispatch.enter(id));
    }

    pub(crate) fn exit(&self) {
        self.turn(|dispatch, id| dispatch.exit(id));
    }

    fn turn(&self, f: impl FnOnce(&Dispatch, &tracing::Id)) {
        let Some(span) = self.0.as_ref().and_then(|inner| inner.span.as_ref()) else { return };
        let turned = catch(|| span.with_subscriber(|(id, dispatch)| f(dispatch, id)));
        drop_quietly(turned);
    }

    fn fail(&self, failure: &Raw) {
        let outcome = match failure {
            Raw::Panic(_) => "panicked",
            Raw::CleanupTimeout => "took too long",
            Raw::Error(_) | Raw::Foreign { .. } => "failed",
        };
        let message = match failure {
            Raw::Panic(payload) => message(&**payload),
            _ => None,
        };
        if let Some(inner) = &self.0 {
            // The first one counts.
            let _ = inner.outcome.set(outcome);
        }
        self.tell(|id| match failure {
            Raw::Panic(_) => tracing::error!(target: "taskgroup", parent: id, message, "{outcome}"),
            _ => tracing::warn!(target: "taskgroup", parent: id, "{outcome}"),
        });
    }

    /// The last event of a span. `otherwise` is the outcome of a member that has not failed.
    fn end(self, otherwise: &str) {
        let Some(inner) = &self.0 else { return };
        let outcome = inner.outcome.get().copied().unwrap_or(otherwise);
        let seconds = inner.began.elapsed().as_secs_f64();
        self.tell(|id| tracing::debug!(target: "taskgroup", parent: id, outcome, seconds, "ended"));
    }
}

/// Whether the span was made with no subscriber, although there is one on another thread.
fn is_nobodys(span: &tracing::Span) -> bool {
    let is_nobodys = catch(|| span.with_subscriber(|(_, dispatch)| dispatch.is::<NoSubscriber>()));
    is_nobodys.map_err(drop_quietly).ok().flatten().unwrap_or(true)
}

fn dispatch(span: &tracing::Span) -> Option<Dispatch> {
    span.with_subscriber(|(_, dispatch)| dispatch.clone())
}

impl End {
    fn outcome(self) -> &'static str {
        match self {
            End::Returned => "returned",
            End::Cut => "cancelled",
            End::Lost => "lost",
        }
    }
}

impl State {
    /// The span of a member. The span of a body is that of its group, which is also there in a group without a body.
    pub(crate) fn span_of(&self, key: Key) -> Span {
        let mut table = self.lock();
        if key == BODY {
            return table.span.clone();
        }
        table.member(key, |member, _| member.span()).unwrap_or_default()
    }

    /// A child was entered, and has not been handed to its runtime yet.
    pub(crate) fn trace_child(&self, ticket: Ticket) {
        let around = self.span_of(BODY);
        if !around.is_some() {
            return;
        }
        let origin = self.origin(ticket.key());
        let kind = self.lock().member(ticket.key(), |member, _| MemberKind::of(member));
        let kind = kind.expect("it was just entered");
        let span = Span::of_child(&around, kind, ticket.id(), &origin);
        span.tell(
            |id| tracing::debug!(target: "taskgroup", parent: id, queued = ticket.is_queued(), "spawned"),
        );
        self.lock().member(ticket.key(), |member, _| member.trace(span));
    }

    /// A child is about to leave: code that joins the group finds the child's span closed.
    pub(crate) fn trace_child_end(&self, key: Key, end: End) {
        let span = self.lock().member(key, |member, _| member.take_span());
        span.unwrap_or_default().end(end.outcome());
    }

    /// A child was refused. A group that has ended has no span any more, and reports nothing.
    pub(crate) fn trace_refusal(&self, location: &'static Location<'static>, refusal: Refusal) {
        let reason = if refusal == Refusal::Cancelled { "cancelled" } else { "closed" };
        self.span_of(BODY).tell(
            |id| tracing::debug!(target: "taskgroup", parent: id, reason, location = %location, "refused"),
        );
    }

    pub(crate) fn trace_failure(&self, key: Key, failure: &Raw) {
        self.span_of(key).fail(failure);
    }

    /// The group has ended completely: reports the outcome, and lets go of the span.
    #[cold]
    pub(crate) fn trace_end(&self) {
        let mut table = self.lock();
        let span = std::mem::take(&mut table.span);
        let outcome = match table.reason.as_deref() {
            None => "returned",
            Some(CancelReason::Failed(_) | CancelReason::BodyFailed) => "failed",
            Some(CancelReason::Panicked(_)) => "panicked",
            Some(CancelReason::Finished) => "finished",
            Some(CancelReason::Lost) => "lost",
            Some(_) => "cancelled",
        };
        drop(table);
        span.end(outcome);
    }
}
