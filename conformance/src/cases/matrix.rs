//! Policy × event × shield × group inside × limit × last word, compared with a model of the outcome.

use std::future::{Future, pending};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::FutureExt;
use taskgroup::{CancelReason, Failure, Group, GroupError, TaskGroup, scope, shield};

use crate::cases::crank::{Crank, Cranked, at, cranked};
use crate::ledger::{Gate, Ledger, Log, Tally, Tracked};
use crate::test::{Test, text};

mod case;
mod model;

use case::{Case, End, Event, Fate, Last, Nest, Outcome, Policy, Reason};

type Error = &'static str;

pub async fn every_combination_ends_as_the_model_says(t: &Test) {
    let mut combinations = 0;
    for case in Case::all() {
        // Printed before it is played: if a combination hangs, it is the last one printed.
        println!("{case:?}");
        assert_eq!(play(t, case).await, case.predict(), "not as the model says: {case:?}");
        combinations += 1;
    }
    println!("{combinations} combinations");
    assert!(combinations >= 2_000);
}

/// Plays a combination to its end, step by step.
async fn play(t: &Test, case: Case) -> Outcome {
    let (crank, spawner) = cranked(t);
    let stage = Stage::new(case);
    let outer = TaskGroup::fallible::<Error>(t.spawner());
    let ((opened, open), (ends, end)) = (async_channel::bounded(1), async_channel::bounded(1));
    outer.launch(stage.clone().host(spawner, opened, ends));
    let group = open.recv().await.unwrap();
    stage.has_begun().await;

    stage.happens(&group, &crank, || outer.cancel()).await;
    stage.go.open();
    stage.trigger.gone.wait().await;
    stage.queued.gone.wait().await;
    stage.late.open();
    if case.last == Last::Wait && !group.is_cancelled() {
        stage.past.wait().await;
        stage.end.open();
        stage.body.gone.wait().await;
        group.cancel();
    }
    stage.worker.gone.wait().await;
    if !group.is_cancelled() {
        stage.end.open();
    }

    let joined = AssertUnwindSafe(outer.join()).catch_unwind().await;
    let end = match end.try_recv() {
        Ok(end) => {
            assert!(matches!(joined, Ok(Ok(()))), "the host has seen it");
            end
        }
        Err(_) if matches!(joined, Ok(Ok(()))) => End::Cut,
        Err(_) => ended(joined),
    };
    assert_eq!(crank.sleeps(), 0, "{case:?}");
    stage.outcome(end, group.reason())
}

fn ended<T>(end: std::thread::Result<Result<T, GroupError<Error>>>) -> End {
    match end {
        Ok(Ok(_)) => End::Value,
        Ok(Err(error)) if error.is_cancelled() => End::Cut,
        Ok(Err(error)) => End::Failed(error.failures().map(|(_, failure)| described(failure)).collect()),
        Err(payload) => End::Panicked(text(&*payload)),
    }
}

fn described(failure: &Failure<Error>) -> String {
    match failure {
        Failure::Own(error) => error.to_string(),
        Failure::Panic(payload) => format!("panic: {}", payload.message().unwrap()),
        Failure::Foreign { error, .. } => {
            format!("foreign: {}", error.inspect(|error: &Error| *error).unwrap())
        }
        other => panic!("nobody makes {other}"),
    }
}

/// What the members of a combination share.
#[derive(Clone)]
struct Stage {
    case: Case,
    event: Gate,
    go: Gate,
    late: Gate,
    /// Opens when the worker has left its shield and waits once more.
    past: Gate,
    end: Gate,
    told: Log,
    body: Actor,
    trigger: Actor,
    worker: Actor,
    inside: Actor,
    queued: Actor,
}

impl Stage {
    fn new(case: Case) -> Self {
        let [event, go, late, past, end] = [(); 5].map(|()| Gate::new());
        let [body, trigger, worker, inside, queued] = [(); 5].map(|()| Actor::new());
        let told = Log::default();
        Self { case, event, go, late, past, end, told, body, trigger, worker, inside, queued }
    }

    /// Opens the group, and sends how it ended, unless the host itself is cut.
    async fn host(
        self,
        spawner: Cranked,
        opened: async_channel::Sender<Group<Cranked, Error>>,
        ends: async_channel::Sender<End>,
    ) {
        let Case { policy, event, limited, .. } = self.case;
        let told = self.told.clone();
        let tell = move |_: &_, failure: &Failure<Error>| told.write(described(failure));
        let body = self.body.clone();
        let group = scope(spawner, move |group: Group<_, _>| {
            opened.try_send(group.clone()).unwrap();
            body.plays(self.body(group))
        });
        let group = match policy {
            Policy::FailFast => group.on_failure(tell),
            Policy::Collect => group.collect().on_failure(tell),
            Policy::Supervise => group.supervise(tell),
        };
        let group = if limited { group.limit(NonZeroUsize::new(2).unwrap()) } else { group };
        let group = if event == Event::Deadline { group.deadline(at(1)) } else { group };
        ends.try_send(ended(AssertUnwindSafe(group).catch_unwind().await)).unwrap();
    }

    async fn body(self, group: Group<Cranked, Error>) -> Result<(), Error> {
        group.launch(self.trigger.plays(self.clone().trigger()));
        group.launch(self.worker.plays(self.clone().worker(group.spawner().clone())));
        group.launch(self.queued.plays(async {}));
        match self.case.event {
            _ if self.case.body_left => return Ok(()),
            Event::BodyFails | Event::BodyPanics => self.event.wait().await,
            _ => self.end.wait().await,
        }
        match self.case.event {
            Event::BodyFails => Err("body"),
            Event::BodyPanics => quietly("body"),
            _ => Ok(()),
        }
    }

    async fn trigger(self) -> Result<(), Error> {
        self.go.wait().await;
        match self.case.event {
            Event::TriggerFails => Err("trigger"),
            Event::TriggerPanics => quietly("trigger"),
            _ => Ok(()),
        }
    }

    async fn worker(self, spawner: Cranked) -> Result<(), Error> {
        let ended = match self.case.nest {
            Nest::Itself => return self.work().await,
            Nest::BodyInside => scope(spawner, |_| self.inside.plays(self.clone().work())).await,
            Nest::ChildInside => {
                let inside = |inner: Group<_, _>| async move {
                    inner.launch(self.inside.plays(self.clone().work()));
                    Ok(())
                };
                scope(spawner, inside).await
            }
        };
        match ended.map_err(GroupError::into_primary) {
            Ok(()) => Ok(()),
            Err(Ok(error)) => Err(error),
            // If the inner body has a shield, the shield ends in a poll of the worker. The worker is cut at its next await: this.
            Err(Err(_)) => pending().await,
        }
    }

    async fn work(self) -> Result<(), Error> {
        match self.case.shielded {
            true => shield(self.late.wait()).await,
            false => self.late.wait().await,
        }
        match self.case.last {
            Last::Return => Ok(()),
            Last::Fail => Err("late"),
            Last::Panic => quietly("late"),
            Last::Wait => {
                self.past.open();
                pending().await
            }
        }
    }

    /// Waits until all members are in the state in which the model begins.
    async fn has_begun(&self) {
        for actor in [&self.body, &self.trigger, &self.worker] {
            actor.polled.take(1).await;
        }
        if self.case.nest != Nest::Itself {
            self.inside.polled.take(1).await;
        }
        if !self.case.limited {
            self.queued.gone.wait().await;
        }
        if self.case.body_left {
            self.body.gone.wait().await;
        }
    }

    async fn happens<S>(&self, group: &Group<S, Error>, crank: &Crank, cancel_parent: impl FnOnce()) {
        match self.case.event {
            Event::Nothing | Event::TriggerFails | Event::TriggerPanics => {}
            Event::BodyFails | Event::BodyPanics => {
                self.event.open();
                self.body.gone.wait().await;
            }
            Event::Cancel => group.cancel(),
            Event::Parent => cancel_parent(),
            Event::Deadline => {
                crank.to(1);
                group.cancelled().await;
            }
        }
    }

    fn outcome(&self, end: End, reason: Option<CancelReason>) -> Outcome {
        Outcome {
            end,
            reason: reason.map(|reason| match reason {
                CancelReason::Failed(_) => Reason::Failed,
                CancelReason::BodyFailed => Reason::BodyFailed,
                CancelReason::Panicked(_) => Reason::Panicked,
                CancelReason::Explicit(_) => Reason::Explicit,
                CancelReason::Deadline => Reason::Deadline,
                CancelReason::Parent => Reason::Parent,
                other => panic!("nobody cancels like that: {other}"),
            }),
            told: self.told.lines(),
            body: self.body.fate(),
            trigger: self.trigger.fate(),
            worker: self.worker.fate(),
            inside: (self.case.nest != Nest::Itself).then(|| self.inside.fate()),
            queued: self.queued.fate(),
        }
    }
}

/// Panics without a message on standard error, because there are hundreds of panics.
fn quietly<T>(text: Error) -> T {
    resume_unwind(Box::new(text))
}

/// What is known about one member.
#[derive(Clone)]
struct Actor {
    ledger: Ledger,
    /// Counts the polls that have ended.
    polled: Tally,
    gone: Gate,
}

impl Actor {
    fn new() -> Self {
        Self { ledger: Ledger::default(), polled: Tally::new(), gone: Gate::new() }
    }

    fn plays<F: Future>(&self, part: F) -> Playing<F> {
        Playing {
            part: self.ledger.track(part),
            polled: self.polled.clone(),
            _gone: OpenOnDrop(self.gone.clone()),
        }
    }

    fn fate(&self) -> Fate {
        let seen = self.ledger.read();
        assert_eq!((seen.made, seen.dropped), (1, 1));
        match (seen.started, seen.completed) {
            (0, _) => Fate::NeverPolled,
            (_, 0) => Fate::Dropped,
            _ => Fate::Completed,
        }
    }
}

struct Playing<F> {
    part: Tracked<F>,
    polled: Tally,
    _gone: OpenOnDrop,
}

impl<F> Unpin for Playing<F> {}

struct OpenOnDrop(Gate);

impl Drop for OpenOnDrop {
    fn drop(&mut self) {
        self.0.open();
    }
}

impl<F: Future> Future for Playing<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let poll = Pin::new(&mut self.part).poll(cx);
        self.polled.add();
        poll
    }
}
