//! Groups that end with a value as soon as a member has one.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::FusedFuture;
use pin_project_lite::pin_project;

use crate::error::{CancelReason, GroupError, Report};
use crate::group::Group;
use crate::group::config::{Config, settings};
use crate::handle::JoinHandle;
use crate::keeping::Mapped;
use crate::observe::patience::Patience;
use crate::observe::snapshot::Snapshot;
use crate::outcome::policy::Policy;
use crate::scope::{Scope, scope};
use crate::spawner::Spawner;
use crate::spawner::timer::{AnyTimer, Timed};
use crate::state::State;
use crate::state::deadline::time_settings;
use crate::state::member::BODY;
use crate::sync::{Mutex, lock};
use crate::unwind::{drop_each, drop_quietly, drop_unread};

/// Opens a group that ends with the value of the first child that succeeds.
///
/// All other children are then cancelled, *and gone*, before this returns.
///
/// `body` enters the racers and returns. A racer that fails leaves the race to the others. A panic or a failure of the body
/// ends the race.
///
/// Once a racer has won, errors do not change the result: neither those of other racers and their clean-ups, nor one of the
/// body. Only a [failure hook](Finishing::on_failure) sees them. A panic is resumed all the same.
///
/// Those are the rules of a race. [`collect`](Finishing::collect) and [`supervise`](Finishing::supervise) replace them by their
/// own. Under `collect` a failure of the body leaves the race to the racers. Under `supervise` it ends the race, and only the hook
/// sees what racers fail and panic with.
///
/// If nothing can fail, the compiler cannot infer the error type (E0283): write `|racers: Racers<_, _>|`.
///
/// # Cancellation
///
/// As for a [`scope()`].
///
/// # Panics
///
/// As for a [`scope()`].
///
/// # Errors
///
/// [`GroupError`] if no racer won. If racers failed, it has their errors, the first one as the primary one. If nothing
/// failed and the group was not cancelled, for instance because there was no racer, its reason is
/// [`CancelReason::NoWinner`].
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "smol")] {
/// # use taskgroup::{race, Smol};
/// # smol::block_on(async {
/// let first = race(Smol, |racers| async move {
///     racers.enter(async { Err("no route") });
///     racers.enter(async { Ok("connected") });
///     racers.enter(std::future::pending());
///     Ok(())
/// });
/// assert_eq!(first.await.unwrap(), "connected");
/// # });
/// # }
/// ```
#[track_caller]
pub fn race<S, E, T, B, F>(spawner: S, body: B) -> Finishing<S, E, T, impl FnOnce(Group<S, E>) -> F, F>
where
    B: FnOnce(Racers<S, T, E>) -> F,
    F: Future<Output = Result<(), E>>,
    T: Send + 'static,
    E: Send + 'static,
{
    let slot = Slot::default();
    let inside = slot.clone();
    let body = move |group: Group<S, E>| {
        let finish = finish(&group, &inside);
        body(Racers { group, finish })
    };
    let mut race = Finishing { scope: scope(spawner, body), slot, race: true };
    race.config().policy = Policy::Race;
    race
}

/// Opens a [`scope()`] that any of its members can end with a value.
///
/// The body and every child may call [`Finish::finish_with`]. That cancels all other members, and the scope returns the
/// value when they are gone. If no member calls it, the scope ends with the value of the body, as usual.
///
/// # Errors
///
/// As for a [`scope()`]: a failure outranks the value.
///
/// # Cancellation, panics
///
/// As for a [`scope()`], too.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "smol")] {
/// # use std::convert::Infallible;
/// # use taskgroup::{scope_with, Smol};
/// # smol::block_on(async {
/// let found = scope_with(Smol, |group, finish| async move {
///     for number in 1_u32..100 {
///         let finish = finish.clone();
///         group.launch(async move {
///             if number * number == 1849 {
///                 finish.finish_with(Some(number));
///             }
///         });
///     }
///     group.idle().await;
///     Ok::<_, Infallible>(None)
/// });
/// assert_eq!(found.await.unwrap(), Some(43));
/// # });
/// # }
/// ```
#[track_caller]
#[expect(clippy::type_complexity, reason = "it is what the settings of a scope are set on")]
pub fn scope_with<S, E, T, B, F>(
    spawner: S,
    body: B,
) -> Finishing<S, E, T, impl FnOnce(Group<S, E>) -> Finally<F, T>, Finally<F, T>>
where
    B: FnOnce(Group<S, E>, Finish<T>) -> F,
    F: Future<Output = Result<T, E>>,
    T: Send + 'static,
    E: Send + 'static,
{
    let slot = Slot::default();
    let inside = slot.clone();
    let body = move |group: Group<S, E>| {
        let finish = finish(&group, &inside);
        Finally { body: body(group, finish), slot: inside }
    };
    Finishing { scope: scope(spawner, body), slot, race: false }
}

type Slot<T> = Arc<Mutex<Values<T>>>;

/// The values that the group may end with.
struct Values<T> {
    /// Knows the reason of a cancel. `None` before the body begins.
    group: Option<Arc<State>>,
    /// The first value given to `finish_with`.
    finish: Option<T>,
    /// What the body returned.
    own: Option<T>,
    /// No value is taken any more: the group has ended, or nobody waits for its end.
    over: bool,
}

impl<T> Default for Values<T> {
    fn default() -> Self {
        Self { group: None, finish: None, own: None, over: false }
    }
}

impl<T> Values<T> {
    /// Keeps the first value, and returns a value that comes too late.
    fn finish(&mut self, value: T) -> Option<T> {
        if self.over || self.finish.is_some() {
            return Some(value);
        }
        self.finish = Some(value);
        None
    }

    /// Takes the values that are there. From now on none is accepted.
    fn close(&mut self) -> Self {
        std::mem::replace(self, Self { over: true, ..Self::default() })
    }
}

/// Makes the `Finish` that is passed to the body of the group.
fn finish<S, E, T>(group: &Group<S, E>, slot: &Slot<T>) -> Finish<T> {
    lock(slot).group = Some(group.state().clone());
    Finish { state: group.state().clone(), slot: slot.clone() }
}

/// Ends a [`scope_with`] or a [`race`] with a value.
///
/// All clones end the same group.
pub struct Finish<T> {
    state: Arc<State>,
    slot: Slot<T>,
}

impl<T> Finish<T> {
    /// Ends the group with this value, and cancels all members.
    ///
    /// The group returns the value when they are gone. The caller itself runs up to its next await.
    ///
    /// Only the first value counts. A value that comes after the group was cancelled for another reason does not count.
    pub fn finish_with(&self, value: T) {
        // Before the cancel, so that a group that was cancelled for this reason always has a value.
        let late = lock(&self.slot).finish(value);
        self.state.cancel(CancelReason::Finished);
        drop(late);
    }
}

impl<T> Clone for Finish<T> {
    fn clone(&self) -> Self {
        Self { state: self.state.clone(), slot: self.slot.clone() }
    }
}

impl<T> fmt::Debug for Finish<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finish").field("cancelled", &self.state.is_cancelled()).finish_non_exhaustive()
    }
}

/// The group of a [`race`]: a [`Group`] whose children can be racers.
///
/// All clones stand for the same group.
pub struct Racers<S, T, E = Infallible> {
    group: Group<S, E>,
    finish: Finish<T>,
}

impl<S, T: Send + 'static, E: Send + 'static> Racers<S, T, E> {
    /// Starts a child that wins the race if it is the first to succeed.
    ///
    /// If the race is over or closed, the racer is dropped unpolled, and its handle has no [id](JoinHandle::id), as from
    /// [`Group::spawn`].
    ///
    /// # Panics
    ///
    /// Panics if the spawner does. The child that the spawner has not taken is lost then, which cancels the group.
    #[track_caller]
    pub fn enter<F>(&self, racer: F) -> JoinHandle<()>
    where
        S: Spawner,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let finish = self.finish.clone();
        self.group.spawn(Mapped::new(racer, move |result: Result<T, E>| {
            result.map(|value| finish.finish_with(value))
        }))
    }
}

impl<S, T, E> Racers<S, T, E> {
    /// Ends the race with this value. See [`Finish::finish_with`].
    pub fn finish_with(&self, value: T) {
        self.finish.finish_with(value);
    }
}

impl<S, T, E> Clone for Racers<S, T, E> {
    fn clone(&self) -> Self {
        Self { group: self.group.clone(), finish: self.finish.clone() }
    }
}

impl<S, T, E> Deref for Racers<S, T, E> {
    type Target = Group<S, E>;

    fn deref(&self) -> &Group<S, E> {
        &self.group
    }
}

impl<S, T, E> fmt::Debug for Racers<S, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Racers").field(&self.group).finish()
    }
}

pin_project! {
    /// The future of [`race`] and of [`scope_with`].
    ///
    /// Before it is first polled, it can be configured like a [`Scope`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct Finishing<S, E, T, B, F>
    where
        F: Future,
    {
        #[pin]
        scope: Scope<S, E, (), B, F>,
        slot: Slot<T>,
        // Whether failures of those who lost do not count.
        race: bool,
    }

    impl<S, E, T, B, F> PinnedDrop for Finishing<S, E, T, B, F>
    where
        F: Future,
    {
        fn drop(this: Pin<&mut Self>) {
            let Values { finish, own, .. } = lock(&this.slot).close();
            // The first panic is raised, unless this runs while a panic of the group unwinds.
            drop_each([finish, own]);
        }
    }
}

impl<S, E, T, B, F> Finishing<S, E, T, B, F>
where
    F: Future,
{
    settings!(|this| this.config());

    #[track_caller]
    fn config(&mut self) -> &mut Config {
        self.scope.config()
    }
}

impl<S, E, T, B, F> Finishing<S, E, T, B, F>
where
    F: Future,
{
    time_settings!(S: Timed; |this| this.config(), AnyTimer::of(this.scope.spawner()));

    /// Calls `warn` with a snapshot of the group if its end takes long. See [`Scope::warn_after`].
    ///
    /// # Panics
    ///
    /// As for a [`Scope`](Scope::warn_after).
    #[track_caller]
    pub fn warn_after(mut self, patience: Duration, warn: impl FnMut(&Snapshot) + Send + 'static) -> Self
    where
        S: Timed,
    {
        self.scope.patience = Some(Patience::new(self.scope.spawner(), patience, warn));
        self
    }
}

impl<S, E, T, B, F> Future for Finishing<S, E, T, B, F>
where
    B: FnOnce(Group<S, E>) -> F,
    F: Future<Output = Result<(), E>>,
    E: Send + 'static,
{
    type Output = Result<T, GroupError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let ended = std::task::ready!(this.scope.poll(cx));
        let Values { group, finish, own, .. } = lock(this.slot).close();
        let reason = group.as_ref().and_then(|group| group.reason());
        let finished = reason == Some(CancelReason::Finished);
        let (value, late) = if finished { (finish, own) } else { (own, finish) };
        let mut panic = None;
        drop_unread(late, &mut panic);
        let result = match (ended, value) {
            (Ok(()), Some(value)) => Ok(value),
            (Ok(()), None) => {
                let reason = reason.or(Some(CancelReason::NoWinner));
                let group = group.expect("the body has returned").origin(BODY);
                Err(GroupError::new(Report { failures: Vec::new(), not_kept: 0, reason, group }))
            }
            // Racers that failed before the winner won have lost the race; their errors do not count.
            (Err(error), Some(value)) if finished && (*this.race || error.is_cancelled()) => {
                drop_unread(error, &mut panic);
                Ok(value)
            }
            (Err(error), value) => {
                drop_unread(value, &mut panic);
                Err(error)
            }
        };
        if let Some(payload) = panic {
            drop_quietly(result);
            resume_unwind(payload);
        }
        Poll::Ready(result)
    }
}

impl<S, E, T, B, F> FusedFuture for Finishing<S, E, T, B, F>
where
    B: FnOnce(Group<S, E>) -> F,
    F: Future<Output = Result<(), E>>,
    E: Send + 'static,
{
    /// Returns whether the group has ended, and this must not be awaited again.
    fn is_terminated(&self) -> bool {
        self.scope.is_terminated()
    }
}

impl<S, E, T, B, F> fmt::Debug for Finishing<S, E, T, B, F>
where
    F: Future,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Finishing").field(&self.scope).finish()
    }
}

pin_project! {
    /// The body of a [`scope_with`].
    ///
    /// Its own value counts only if no member ended the group.
    #[must_use = "futures do nothing unless awaited"]
    pub struct Finally<F, T> {
        #[pin]
        body: F,
        slot: Slot<T>,
    }
}

impl<F, T, E> Future for Finally<F, T>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<(), E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let value = std::task::ready!(this.body.poll(cx))?;
        lock(this.slot).own = Some(value);
        Poll::Ready(Ok(()))
    }
}

impl<F, T> fmt::Debug for Finally<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finally").finish_non_exhaustive()
    }
}
