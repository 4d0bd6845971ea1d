//! The builder of a child, and how a child is handed to its runtime.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;

use async_task::Task;

use crate::backend::handing_over;
use crate::child::{Child, Deliver, Discard, ToHandle};
use crate::error::{Name, Refusal, SpawnError};
use crate::group::Group;
use crate::group::blocking::{self, Host};
use crate::handle::{JoinHandle, Packet, Spawned};
use crate::keeping::{Keeping, Mapped};
use crate::output::ChildOutput;
use crate::shield::{Held, shield};
use crate::spawner::adopt::{Adopt, Adopted, MemberCancelled};
use crate::spawner::on_pool::Inside;
use crate::spawner::{LocalSpawner, SpawnBlocking, Spawner};
use crate::state::State;
use crate::state::entry::Entered;
use crate::state::limit::Place;
use crate::state::member::{Kind, Member, Work};
use crate::state::ticket::Ticket;
use crate::unwind::{GivesWay, drop_before, drop_refused};

/// The largest size in bytes of a child that is made under the lock of its group.
const SMALL: usize = 1024;

/// The type of the value that a child with the output `O` gives its handle.
pub(crate) type Value<O, E> = <O as ChildOutput<E>>::Value;

/// Configures a child before it starts: its name, that it runs in the background, or that it is shielded.
///
/// It is made by [`Group::child`].
///
/// # Examples
///
/// A child that serves the others and is cancelled when they have ended:
///
/// ```
/// # #[cfg(feature = "smol")] {
/// # use taskgroup::{Smol, TaskGroup};
/// # smol::block_on(async {
/// let group = TaskGroup::new(Smol);
/// group.child().name("heartbeat").background().launch(std::future::pending::<()>());
/// group.launch(async {});
/// group.join().await.unwrap(); // does not wait for the heartbeat to end by itself
/// # });
/// # }
/// ```
#[must_use = "nothing is started before `spawn` or `launch`"]
pub struct ChildBuilder<'a, S, E> {
    group: &'a Group<S, E>,
    name: Option<Name>,
    kind: Kind,
    work: Work,
    shielded: bool,
}

impl<'a, S, E> ChildBuilder<'a, S, E> {
    #[inline]
    pub(crate) fn new(group: &'a Group<S, E>) -> Self {
        Self { group, name: None, kind: Kind::Ordinary, work: Work::Future, shielded: false }
    }

    /// Names the child; the name appears in its handle and in reports.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Cancels this child when all ordinary children have ended, with their clean-ups.
    ///
    /// It is for a service that the other children and their clean-ups use. When the group is being joined, and neither the
    /// body nor an ordinary child nor a [clean-up](Group::defer) of theirs is left, the group is closed, and its background
    /// children are cancelled and waited for. That is not a failure. A clean-up that waits for a background child to be
    /// cancelled, or for the group to be closed, waits for ever.
    ///
    /// If the group is cancelled, background children are cancelled with all others. A service that clean-ups need even then
    /// runs under a [shield](crate::shield) until nobody needs it any more, which the end of a channel can tell: see
    /// [the guide](crate::guide::cancellation#services-that-clean-ups-need).
    ///
    /// Until then a background child is like the others, except that:
    ///
    /// * [`len`](Group::len) does not count it, and [`idle`](Group::idle) does not wait for it;
    /// * it needs no place under a limit.
    ///
    /// # Panics
    ///
    /// Starting the child panics if the group has 134,217,727 background children, clean-ups and groups opened in its body.
    pub fn background(mut self) -> Self {
        self.kind = Kind::Background;
        self
    }

    /// Puts the whole child under a [shield](crate::shield): once it has been started, no cancel drops it, and it runs to its
    /// end.
    ///
    /// `launch(shield(future))` protects the future from its first poll on, so a child that is cancelled earlier is dropped
    /// unpolled. This protects it from the start. It is for what has to be done in any case, such as writing out what a buffer
    /// still holds.
    ///
    /// The child has to end by itself, and the group waits for it. It sees a cancel *of the group* with [`Group::is_stopping`]
    /// or [`Group::stopping`]. [`is_cancelled`](crate::is_cancelled()) also says whether it was cancelled alone and, if it is a
    /// background child, whether the others have ended. Or it ends when what it waits for is gone, for instance when a channel
    /// is closed.
    ///
    /// Under a [limit](crate::group::Builder::limit) it needs no place. Work that [blocks](Self::spawn_blocking) begins in any
    /// case, and a task that was [adopted](Self::adopt) is not asked to end. A runtime that goes away drops the child like all
    /// others; if the group was cancelled before, it does not report that.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{Smol, TaskGroup};
    /// # smol::block_on(async {
    /// let group = TaskGroup::new(Smol);
    /// let (lines, written) = async_channel::unbounded();
    /// group.child().shielded().launch(async move {
    ///     // The file is written until nobody has a sender any more.
    ///     while let Ok(line) = written.recv().await {
    ///         println!("{line}");
    ///     }
    /// });
    /// lines.send("bye").await.unwrap();
    /// drop(lines);
    /// group.cancel();
    /// group.join().await.unwrap();
    /// # });
    /// # }
    /// ```
    pub fn shielded(mut self) -> Self {
        self.shielded = true;
        self
    }

    #[inline]
    fn member(&self) -> Member {
        let mut member = Member::new(self.kind, self.work);
        if let Some(name) = &self.name {
            member = member.named(name.clone());
        }
        if self.shielded {
            member = member.shielded();
        }
        member.at(self.group.elsewhere())
    }

    /// Enters a child that is not handed to the group's spawner by `Group::hand_over`.
    #[track_caller]
    pub(crate) fn enter_alone(&self) -> Result<Ticket, Refusal> {
        self.group.state().enter(Location::caller(), self.member(), Place::Queue)
    }

    pub(crate) fn handle<T>(
        self,
        packet: Arc<Packet<T>>,
        ticket: Ticket,
        location: &'static Location<'static>,
    ) -> JoinHandle<T> {
        JoinHandle::new(packet, self.group.state().clone(), ticket, Spawned { location, name: self.name })
    }
}

impl<S, E: Send + 'static> ChildBuilder<'_, S, E> {
    /// Enters the child into the group; it is queued if the group is full.
    #[track_caller]
    #[inline]
    pub(crate) fn enter(&self) -> Result<Entered, Refusal>
    where
        S: Spawner,
    {
        let mut entry = self.group.state().entry(Location::caller(), self.member(), Place::Queue)?;
        let counted = entry.keep(self.group.spawner());
        Ok(Entered { ticket: entry.leave(), counted })
    }

    /// Starts the child, and returns a handle for its value. See [`Group::spawn`].
    ///
    /// # Panics
    ///
    /// Panics if the spawner does. The child that the spawner has not taken is lost then, which cancels the group.
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> JoinHandle<Value<F::Output, E>>
    where
        S: Spawner,
        F: Future + Send + 'static,
        F::Output: ChildOutput<E>,
        Value<F::Output, E>: Send + 'static,
    {
        self.spawn_at(Place::Queue, future).unwrap_or_else(JoinHandle::refused)
    }

    /// Starts the child, or returns its future. See [`Group::try_spawn`].
    ///
    /// # Panics
    ///
    /// Panics if the spawner does. The child that the spawner has not taken is lost then, which cancels the group.
    ///
    /// # Errors
    ///
    /// [`SpawnError`] with the unpolled future, if the group is closed, cancelled or full.
    #[track_caller]
    pub fn try_spawn<F>(self, future: F) -> Result<JoinHandle<Value<F::Output, E>>, SpawnError<F>>
    where
        S: Spawner,
        F: Future + Send + 'static,
        F::Output: ChildOutput<E>,
        Value<F::Output, E>: Send + 'static,
    {
        self.spawn_at(Place::Now, future)
    }

    /// Starts the child in this place, or returns its future.
    #[track_caller]
    #[inline]
    fn spawn_at<F>(self, place: Place, future: F) -> Result<JoinHandle<Value<F::Output, E>>, SpawnError<F>>
    where
        S: Spawner,
        F: Future + Send + 'static,
        F::Output: ChildOutput<E>,
        Value<F::Output, E>: Send + 'static,
    {
        let packet = Packet::new();
        let ticket = self.take_in(place, future, |_| ToHandle::new(packet.clone()))?;
        Ok(self.handle(packet, ticket, Location::caller()))
    }

    /// Starts the child without a handle. See [`Group::launch`].
    ///
    /// # Panics
    ///
    /// Panics if the spawner does. The child that the spawner has not taken is lost then, which cancels the group.
    #[track_caller]
    pub fn launch<F>(self, future: F)
    where
        S: Spawner,
        F: Future + Send + 'static,
        F::Output: ChildOutput<E>,
    {
        if let Err(refused) = self.take_in(Place::Queue, future, |_| Discard(PhantomData::<fn(E)>)) {
            drop_refused(refused);
        }
    }

    /// Enters a child and hands it to the runtime, or returns its future.
    ///
    /// `deliver` is called once the child is entered, perhaps under the lock.
    #[track_caller]
    #[inline]
    pub(crate) fn take_in<F, D>(
        &self,
        place: Place,
        future: F,
        deliver: impl FnOnce(Ticket) -> D,
    ) -> Result<Ticket, SpawnError<F>>
    where
        S: Spawner,
        F: Future + Send + 'static,
        D: Deliver<F::Output> + Send + 'static,
    {
        let (group, state) = (self.group, self.group.state());
        let mut entry = match state.entry(Location::caller(), self.member(), place) {
            Ok(entry) => entry,
            Err(refusal) => return Err(SpawnError { future, refusal }),
        };
        let counted = entry.keep(group.spawner());
        let ticket = entry.ticket();
        match counted {
            Some(counted) if size_of::<Child<F, D>>() <= SMALL => {
                let child = Child::new(state, ticket, future, deliver(ticket));
                let (runnable, task) = group.spawner().make_task(child, counted);
                entry.store(task).leave();
                group.register();
                group.spawner().start_task(runnable, Inside(()));
            }
            counted => {
                entry.leave();
                group.hand_over(Entered { ticket, counted }, future, deliver(ticket));
                if !group.spawner().makes_tasks(Inside(())) && !group.spawner().keeps_ended() {
                    state.relieve();
                }
            }
        }
        Ok(ticket)
    }

    /// Starts the child when it has a place. See [`Group::spawn_when_free`].
    ///
    /// A background child needs no place, and neither does a shielded one.
    ///
    /// # Panics
    ///
    /// The future panics if the spawner does, when it starts the child. The child that the spawner has not taken is lost then,
    /// which cancels the group.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use std::num::NonZero;
    /// # use taskgroup::{Smol, TaskGroup};
    /// # smol::block_on(async {
    /// let group = TaskGroup::builder::<()>(Smol).limit(NonZero::new(2).unwrap()).open();
    /// for page in 0..10 {
    ///     let child = group.child().name(format!("page {page}"));
    ///     child.spawn_when_free(async move { println!("page {page}") }).await;
    /// }
    /// group.join().await.unwrap();
    /// # });
    /// # }
    /// ```
    #[track_caller]
    #[allow(clippy::async_yields_async, reason = "what is waited for is that the child starts")]
    pub fn spawn_when_free<F>(
        self,
        future: F,
    ) -> impl Future<Output = JoinHandle<Value<F::Output, E>>> + Send + use<S, E, F>
    where
        S: Spawner,
        F: Future + Send + 'static,
        F::Output: ChildOutput<E>,
        Value<F::Output, E>: Send + 'static,
    {
        let needs_place = self.member().needs_place();
        let Self { name, kind, work, shielded, .. } = self;
        let (group, location) = (self.group.clone(), Location::caller());
        let future = GivesWay::new(future);
        async move {
            let mut room = needs_place.then(|| group.state().room()).flatten();
            if let Some(room) = &mut room {
                std::future::poll_fn(|cx| room.poll(cx)).await;
            }
            let child = ChildBuilder { group: &group, name, kind, work, shielded };
            let entered = match room {
                Some(room) => room.enter(location, child.member()),
                None => group.state().enter(location, child.member(), Place::Queue),
            };
            // The group may be the last to hold a spawner whose destructor panics.
            let Ok(ticket) = entered else { return drop_before(group, JoinHandle::refused(future)) };
            let packet = Packet::new();
            group.hand_over(ticket.into(), future.into_inner(), ToHandle::new(packet.clone()));
            let handle = child.handle(packet, ticket, location);
            drop_before(group, handle)
        }
    }

    /// Makes a child of a task that already runs. See [`Group::adopt`].
    ///
    /// # Panics
    ///
    /// Panics if the spawner does, which runs the child that waits for the task. That child is lost then, which cancels the
    /// group, and the task is only asked to end.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{Smol, TaskGroup};
    /// # smol::block_on(async {
    /// let group = TaskGroup::new(Smol);
    /// let handle = group.child().name("answer").adopt(smol::spawn(async { Ok(42) }));
    /// assert_eq!(handle.name(), Some("answer"));
    /// assert_eq!(handle.await.unwrap(), 42);
    /// # });
    /// # }
    /// ```
    #[track_caller]
    pub fn adopt<A>(mut self, task: A) -> JoinHandle<Value<A::Output, E>>
    where
        S: Spawner,
        A: Adopt,
        A::Output: ChildOutput<E>,
        Value<A::Output, E>: Send + 'static,
    {
        let run = task.run(MemberCancelled::unless(self.shielded));
        self.work = Work::Adopted;
        // Shielded before the first poll: otherwise a cancel that comes earlier would drop the child while the task still runs.
        let (state, location) = (self.group.state(), Location::caller());
        let Ok(ticket) = state.enter(location, self.member().shielded(), Place::Queue) else {
            return JoinHandle::refused(run);
        };
        let held = Held::child(state.clone(), ticket);
        let packet = Packet::new();
        let waiting = Keeping::new(Mapped::new(run, Adopted), held);
        self.group.hand_over(ticket.into(), waiting, ToHandle::new(packet.clone()));
        self.handle(packet, ticket, location)
    }

    /// Runs `work` on a thread where it may block. See [`Group::spawn_blocking`].
    ///
    /// # Panics
    ///
    /// Panics if the spawner does. A child that the spawner has not taken is lost then, which cancels the group.
    #[track_caller]
    pub fn spawn_blocking<W, O>(mut self, work: W) -> JoinHandle<Value<O, E>>
    where
        S: Spawner + SpawnBlocking,
        W: FnOnce() -> O + Send + 'static,
        O: ChildOutput<E> + Send + 'static,
        Value<O, E>: Send + 'static,
    {
        let cancelled = MemberCancelled::unless(self.shielded);
        let host = Host {
            group: self.group.state().clone(),
            location: Location::caller(),
            name: self.name.clone(),
            is_served: self.kind == Kind::Ordinary,
        };
        let output = blocking::on_thread::<_, _, _, E>(self.group.spawner(), work, host, cancelled);
        self.work = Work::Blocking;
        self.spawn(shield(output))
    }
}

impl<S, E: Send + 'static> ChildBuilder<'_, S, E> {
    /// Starts the child on this thread. See [`Group::spawn_local`].
    ///
    /// # Panics
    ///
    /// Panics if the spawner does. The child that the spawner has not taken is lost then, which cancels the group.
    #[track_caller]
    pub fn spawn_local<F>(self, future: F) -> JoinHandle<Value<F::Output, E>>
    where
        S: LocalSpawner,
        F: Future + 'static,
        F::Output: ChildOutput<E>,
        Value<F::Output, E>: 'static,
    {
        let Ok(ticket) = self.enter_alone() else { return JoinHandle::refused(future) };
        let packet = Packet::new();
        self.hand_over_local(ticket, future, ToHandle::new(packet.clone()));
        self.handle(packet, ticket, Location::caller())
    }

    /// Starts the child on this thread, without a handle. See [`Group::launch_local`].
    ///
    /// # Panics
    ///
    /// Panics if the spawner does. The child that the spawner has not taken is lost then, which cancels the group.
    #[track_caller]
    pub fn launch_local<F>(self, future: F)
    where
        S: LocalSpawner,
        F: Future + 'static,
        F::Output: ChildOutput<E>,
    {
        match self.enter_alone() {
            Ok(ticket) => self.hand_over_local(ticket, future, Discard(PhantomData::<fn(E)>)),
            Err(_) => drop_refused(future),
        }
    }

    fn hand_over_local<F, D>(&self, ticket: Ticket, future: F, deliver: D)
    where
        S: LocalSpawner,
        F: Future + 'static,
        D: Deliver<F::Output> + 'static,
    {
        let (state, spawner) = (self.group.state(), self.group.spawner());
        hand_over(state, ticket, || spawner.spawn_local(Child::new(state, ticket, future, deliver)));
    }
}

impl<S, E> fmt::Debug for ChildBuilder<'_, S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildBuilder")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("shielded", &self.shielded)
            .finish_non_exhaustive()
    }
}

/// Lets `spawn` start a child that was entered, and stores its `Task`.
#[inline]
pub(crate) fn hand_over(state: &Arc<State>, ticket: Ticket, spawn: impl FnOnce() -> Task<()>) {
    state.store(ticket, handing_over(Some((state, ticket)), spawn));
}
