//! A group bound to a body.

#[cfg(feature = "borrowing")]
pub(crate) mod borrow;
pub(crate) mod race;

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use futures_core::FusedFuture;
use pin_project_lite::pin_project;

use crate::child::context::{Withheld, run_as};
use crate::error::GroupError;
use crate::group::Group;
use crate::group::config::{Config, settings};
use crate::group::waiting::refuse_own_child;
use crate::observe::patience::Patience;
use crate::observe::snapshot::Snapshot;
use crate::outcome::Raw;
use crate::outcome::ending::Conclusion;
use crate::spawner::timer::{AnyTimer, Timed};
use crate::state::deadline::{Watch, time_settings};
use crate::state::member::BODY;
use crate::state::ticket::Standing;
use crate::state::{BodyFate, State};
use crate::unwind::{GivesWay, Payload, catch, drop_each, drop_quietly};

/// Opens a group, runs `body` in it, and waits until both have ended.
///
/// ```text
/// scope ─┬─ body ───────────────────────┐
///        ├─ child ────────┐             │
///        │   └─ child of a group in it ─┤      the scope ends here, with the body's value
///        └─ child ──────────────────────┴──────►
///
/// scope ─┬─ body ─────────┐ dropped     │
///        ├─ child ────✗   │             │      a child failed: all others are dropped,
///        └─ child ────────┴ dropped ────┴──────► then the scope ends with its error
/// ```
///
/// This is the usual way to open a group. When the scope ends, no child is left. The body is a member of the group like
/// the children: if a child fails, the body is dropped at its next await, and if the body fails, the children are dropped
/// at theirs. Clones of the [`Group`] do not keep the scope open; only living members do.
///
/// If the compiler cannot infer the error type from the body, for instance because the body uses `?`, write
/// `|group: Group<_, MyError>|`. If nothing can fail, the compiler cannot infer the error type either (E0283): write
/// `|group: Group<_>|`, which makes it [`Infallible`](std::convert::Infallible).
///
/// Nothing happens before the first poll. At the first poll the group is linked to the child or body around it, if there
/// is one. Set the policy and hooks on the returned [`Scope`] before awaiting it.
///
/// # Cancellation
///
/// If the scope is dropped before it has ended, by `select!`, a timeout or a `?` around it, its body is dropped and its
/// children are cancelled. *Every group around it still waits for the children.* Outside of every group, nothing waits for
/// them.
///
/// If the member that awaits the scope is cancelled, the body is not polled any more, but dropped only when the children have
/// ended, together with that member. So a shielded or blocking child must not wait for what the body holds: see
/// [groups inside groups](crate#groups-inside-groups).
///
/// A scope can be moved out of the member in which it was first polled. It is then cancelled when that member ends. Its
/// children are gone at that time. Its body is not polled again, and is dropped together with the scope. If the body awaits a
/// [`borrowing`](crate::borrowing()) group, that ends only then, and every group around waits for it.
///
/// # Panics
///
/// If the body, a child or a destructor panics, the scope resumes the first panic after all members have ended, unless the
/// panic is a child's and the group [supervises](Scope::supervise). Polling the scope after it has ended panics.
///
/// # Errors
///
/// [`GroupError`] with the first failure as the primary one. If nothing failed and the group was cut short, it has the
/// reason. An explicit cancel is an error only if the body was dropped.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "smol")] {
/// # use taskgroup::{scope, Smol};
/// # async fn fetch(what: &'static str) -> Result<usize, std::io::Error> { Ok(what.len()) }
/// # smol::block_on(async {
/// let total = scope(Smol, |group| async move {
///     let a = group.spawn(fetch("a"));
///     let b = group.spawn(fetch("bc"));
///     Ok(a.value().await + b.value().await)
/// })
/// .await?;
/// assert_eq!(total, 3);
/// # Ok::<(), taskgroup::GroupError<std::io::Error>>(()) }).unwrap();
/// # }
/// ```
///
/// Children that cannot fail:
///
/// ```
/// # #[cfg(feature = "smol")] {
/// # use taskgroup::{Group, Smol, scope};
/// # smol::block_on(async {
/// let sum = scope(Smol, |group: Group<_>| async move {
///     let two = group.spawn(async { Ok(2) });
///     Ok(two.value().await + 3)
/// });
/// assert_eq!(sum.await.unwrap(), 5);
/// # });
/// # }
/// ```
#[track_caller]
pub fn scope<S, E, T, B, F>(spawner: S, body: B) -> Scope<S, E, T, B, F>
where
    B: FnOnce(Group<S, E>) -> F,
    F: Future<Output = Result<T, E>>,
{
    let start = Start {
        body: GivesWay::new(body),
        spawner: GivesWay::new(spawner),
        config: Config::new(Location::caller()),
        error: std::marker::PhantomData,
    };
    Scope {
        start: Some(start),
        body: None,
        state: None,
        watch: None,
        patience: None,
        value: None,
        shielded: false,
        withheld: Withheld::default(),
    }
}

pin_project! {
    /// The future of [`scope`].
    ///
    /// Its methods configure the group, and are called before it is first polled:
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{Group, Smol, scope};
    /// # smol::block_on(async {
    /// let mut lengths = Vec::new();
    /// let result = scope(Smol, async |group: Group<Smol, &str>| {
    ///     let children = ["a", "", "ccc"].map(|text| {
    ///         group.spawn(async move { if text.is_empty() { Err("empty") } else { Ok(text.len()) } })
    ///     });
    ///     for child in children {
    ///         lengths.extend(child.await);
    ///     }
    ///     Ok(())
    /// });
    /// assert_eq!(result.collect().await.unwrap_err().into_primary().unwrap(), "empty");
    /// assert_eq!(lengths, [1, 3]);
    /// # });
    /// # }
    /// ```
    ///
    /// Under [`collect`](Self::collect) the scope still fails in the end if a child failed, and the body's value is dropped.
    /// To keep a result, store it outside the scope, as `lengths` here. A child that wants to report an error and go on
    /// launches the error: `group.launch(std::future::ready(Err::<(), _>(error)))`.
    ///
    /// A scope can be awaited only once:
    ///
    /// ```compile_fail,E0382
    /// # use taskgroup::{Smol, scope};
    /// # smol::block_on(async {
    /// let opened = scope(Smol, |_| async { Ok::<_, std::io::Error>(()) });
    /// opened.await?;
    /// opened.await?; // error: use of moved value
    /// # Ok::<(), taskgroup::GroupError<std::io::Error>>(()) });
    /// ```
    ///
    /// Its policy cannot change once it may have been polled:
    ///
    /// ```compile_fail,E0507
    /// # use taskgroup::{Smol, scope};
    /// # smol::block_on(async {
    /// let mut opened = std::pin::pin!(scope(Smol, |_| async { Ok::<_, std::io::Error>(()) }));
    /// opened.as_mut().await?;
    /// opened.collect(); // error: cannot move out of a pinned value
    /// # Ok::<(), taskgroup::GroupError<std::io::Error>>(()) });
    /// ```
    ///
    /// # Panics
    ///
    /// Setting the policy after a poll panics. This compiles only if the body is `Unpin`.
    #[must_use = "futures do nothing unless awaited"]
    pub struct Scope<S, E, T, B, F>
    where
        F: Future,
    {
        start: Option<Start<S, E, B>>,
        #[pin]
        body: Option<F>,
        state: Option<Arc<State>>,
        watch: Option<Watch>,
        patience: Option<Box<Patience>>,
        value: Option<T>,
        shielded: bool,
        withheld: Withheld,
    }

    impl<S, E, T, B, F> PinnedDrop for Scope<S, E, T, B, F>
    where
        F: Future,
    {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let Some(state) = this.state.take() else { return };
            // First, while the group has its span.
            let polling = this.body.is_some().then(|| state.begin_poll(BODY));
            let live = state.forsake();
            if let Some(polling) = polling {
                let dropped = as_body_unmarked(&state, this.shielded, || this.body.set(None));
                state.end_poll(BODY, polling);
                end_body(&state, true, dropped);
            }
            state.abandon(live);
            drop_each(this.value.take());
        }
    }
}

/// What the scope holds until its first poll.
struct Start<S, E, B> {
    body: GivesWay<B>,
    spawner: GivesWay<S>,
    config: Config,
    error: std::marker::PhantomData<fn(E) -> E>,
}

impl<S, E, T, B, F> Scope<S, E, T, B, F>
where
    F: Future,
{
    settings!(|scope| scope.config());

    #[track_caller]
    pub(crate) fn config(&mut self) -> &mut Config {
        &mut self.start().config
    }

    #[track_caller]
    pub(crate) fn spawner(&mut self) -> &S {
        &self.start().spawner
    }

    #[track_caller]
    fn start(&mut self) -> &mut Start<S, E, B> {
        self.start.as_mut().expect("a scope is told what to do before it is polled")
    }
}

impl<S, E, T, B, F> Scope<S, E, T, B, F>
where
    F: Future,
{
    time_settings!(S: Timed; |scope| scope.config(), AnyTimer::of(scope.spawner()));

    /// Calls `warn` with a snapshot of the group if its end takes long.
    ///
    /// The time counts from when the body has ended, or the group is asked to [stop](Group::stop) or cancelled, by the clock of
    /// the spawner. `warn` is called when that was `patience` ago and the scope has not ended, and again each time the wait has
    /// doubled. The scope keeps waiting. If the clock goes away with its runtime, there are no more warnings.
    ///
    /// A member that is cancelled is not polled any more, nor is the scope that it awaits. What is left then is reported by the
    /// scope, [join](crate::future::Join::warn_after) or [shutdown](crate::future::Shutdown::warn_after) around, with everything
    /// inside.
    ///
    /// If this is called again, the last `warn` counts. The task that polls the scope calls it, with no lock held. `warn` may
    /// look at the group, cancel it and spawn into it.
    ///
    /// # Panics
    ///
    /// A panic of `warn` is raised in the task that polls the scope. Where the runtime has no clock, as Tokio without
    /// `enable_time`, polling the scope panics when it begins to wait.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use std::time::Duration;
    /// # use taskgroup::{Group, Smol, scope};
    /// # smol::block_on(async {
    /// let (finish, finished) = async_channel::bounded::<()>(1);
    /// let result = scope(Smol, async |group: Group<Smol>| {
    ///     group.child().name("late").launch(async move { _ = finished.recv().await });
    ///     Ok(())
    /// });
    /// let result = result.warn_after(Duration::from_millis(1), move |left| {
    ///     let why = left.to_string();
    ///     assert!(why.lines().nth(1).unwrap().contains("late"), "{why}");
    ///     finish.try_send(()).unwrap();
    /// });
    /// result.await.unwrap();
    /// # });
    /// # }
    /// ```
    #[track_caller]
    pub fn warn_after(mut self, patience: Duration, warn: impl FnMut(&Snapshot) + Send + 'static) -> Self
    where
        S: Timed,
    {
        self.patience = Some(Patience::new(self.spawner(), patience, warn));
        self
    }
}

impl<S, E, T, B, F> Scope<S, E, T, B, F>
where
    B: FnOnce(Group<S, E>) -> F,
    F: Future<Output = Result<T, E>>,
    E: Send + 'static,
{
    /// Opens the group, and calls the closure that makes the body, unless the group is cancelled from the start.
    fn open(self: Pin<&mut Self>, start: Start<S, E, B>, cx: &mut task::Context<'_>) {
        let mut this = self.project();
        let Start { spawner, body, config, .. } = start;
        *this.watch = config.watch();
        let state = State::open(config, true);
        *this.state = Some(state.clone());
        if let Some(watch) = this.watch {
            watch.look(&state, cx);
        }
        let group = Group::new(spawner, state.clone());
        let body = body.into_inner();
        if state.is_cancelled() {
            let dropped = as_body_unmarked(&state, this.shielded, || drop(body));
            end_body(&state, true, dropped);
        } else {
            match as_body_unmarked(&state, this.shielded, || body(group)) {
                Ok(future) => this.body.set(Some(future)),
                Err(payload) => end_body(&state, false, Err(payload)),
            }
        }
    }

    /// Polls the body, which has not ended, and keeps what it returns.
    fn poll_body(self: Pin<&mut Self>, state: &Arc<State>, cx: &mut task::Context<'_>) -> Poll<()> {
        let this = self.project();
        let body = this.body.as_pin_mut().expect("the caller has looked at it");
        match as_body(state, this.shielded, || body.poll(cx)) {
            Ok(Poll::Pending) => {
                *this.shielded = *this.shielded && state.after_shielded_poll(BODY, cx.waker());
                return Poll::Pending;
            }
            Ok(Poll::Ready(Ok(value))) => *this.value = Some(value),
            Ok(Poll::Ready(Err(error))) => {
                state.record(BODY, Raw::Error(Box::new(error) as Box<dyn Any + Send>))
            }
            Err(payload) => state.record(BODY, Raw::Panic(payload)),
        }
        Poll::Ready(())
    }

    /// Polls the body until it is gone, and then waits for the others.
    fn poll_members(
        mut self: Pin<&mut Self>,
        state: &Arc<State>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Result<T, GroupError<E>>> {
        loop {
            state.signal().wake_owner(cx.waker());
            let this = self.as_mut().project();
            if let Some(watch) = this.watch {
                watch.look(state, cx);
            }
            if this.body.is_none() {
                state.watch();
                let Conclusion::Over(mut outcome, reason) = state.wind_up(this.withheld, cx) else {
                    return Poll::Pending;
                };
                *this.state = None;
                // A panic of these destructors must not lose the outcome.
                this.watch.take().into_iter().for_each(drop_quietly);
                drop_quietly(this.patience.take());
                let mut value = this.value.take();
                if !outcome.is_good(reason.as_ref()) {
                    state.drop_value(value.take(), &mut outcome);
                }
                return Poll::Ready(outcome.conclude(reason, || state.origin(BODY), value));
            }
            let cut = match state.body_fate() {
                BodyFate::Hold => return Poll::Pending,
                BodyFate::Drop => true,
                BodyFate::Poll if self.as_mut().poll_body(state, cx).is_ready() => false,
                // Perhaps it was cancelled during the poll.
                BodyFate::Poll if state.body_fate() == BodyFate::Drop => continue,
                BodyFate::Poll => return Poll::Pending,
            };
            let mut this = self.as_mut().project();
            let dropped = as_body(state, this.shielded, || this.body.set(None));
            end_body(state, cut, dropped);
        }
    }
}

impl<S, E, T, B, F> Future for Scope<S, E, T, B, F>
where
    B: FnOnce(Group<S, E>) -> F,
    F: Future<Output = Result<T, E>>,
    E: Send + 'static,
{
    type Output = Result<T, GroupError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        if let Some(start) = self.as_mut().project().start.take() {
            self.as_mut().open(start, cx);
        }
        let state = self.state.as_ref().expect("a `Scope` is not polled after it has ended").clone();
        refuse_own_child(&state, "awaits the scope that it is in");
        let polled = self.as_mut().poll_members(&state, cx);
        let this = self.project();
        if let (Poll::Pending, Some(patience)) = (&polled, this.patience) {
            if this.body.is_none() || state.is_stopping() {
                patience.look(&state, cx);
            }
        }
        polled
    }
}

impl<S, E, T, B, F> FusedFuture for Scope<S, E, T, B, F>
where
    B: FnOnce(Group<S, E>) -> F,
    F: Future<Output = Result<T, E>>,
    E: Send + 'static,
{
    /// Returns whether the scope has ended, and must not be awaited again.
    fn is_terminated(&self) -> bool {
        self.start.is_none() && self.state.is_none()
    }
}

/// Runs `f` as the body of the group, catches its panic, and notes whether the body is shielded afterwards.
fn as_body<R>(group: &Arc<State>, shielded: &mut bool, f: impl FnOnce() -> R) -> Result<R, Payload> {
    let polling = group.begin_poll(BODY);
    let result = as_body_unmarked(group, shielded, f);
    group.end_poll(BODY, polling);
    result
}

/// Does so without marking a poll.
fn as_body_unmarked<R>(group: &Arc<State>, shielded: &mut bool, f: impl FnOnce() -> R) -> Result<R, Payload> {
    let (standing, result) = run_as(group, Standing::of_body(*shielded), || catch(f));
    *shielded = standing.is_shielded();
    result
}

/// Records that the body is gone, and the panic of its destructor, if there was one.
fn end_body(state: &Arc<State>, cut: bool, dropped: Result<(), Payload>) {
    if let Err(payload) = dropped {
        state.record(BODY, Raw::Panic(payload));
    }
    state.end_body(cut);
}

impl<S, E, T, B, F> fmt::Debug for Scope<S, E, T, B, F>
where
    F: Future,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (&self.start, &self.state) {
            (Some(_), _) => "not polled",
            (None, Some(_)) => "open",
            (None, None) => "ended",
        };
        f.debug_struct("Scope").field("state", &state).finish_non_exhaustive()
    }
}
