//! Clean-ups: asynchronous work that a member registers, and that runs when the member is gone.
//!
//! A *clean-up* is a child under a shield from the start. It waits until the member that registered it is gone. The clean-up
//! registered last begins first. When a clean-up has ended, in any way, the one registered before it begins. A clean-up is
//! taken in even if the group is cancelled: the member that registers it lives, so the group has not ended.

use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use crate::child::Discard;
use crate::child::context;
use crate::error::{Name, Why};
use crate::group::Group;
use crate::handle::Packet;
use crate::outcome::Raw;
use crate::output::ChildOutput;
use crate::output::sealed::Sorted;
use crate::shield::Held;
use crate::spawner::Spawner;
use crate::spawner::timer::poll_sleep;
use crate::state::State;
use crate::state::elsewhere::Elsewhere;
use crate::state::limit::Place;
use crate::state::member::{BODY, Key, Kind, Member};
use crate::state::ticket::Ticket;
use crate::unwind::{catch, drop_quietly};

impl<S, E: Send + 'static> Group<S, E> {
    /// Registers an asynchronous clean-up, which runs when the current member has ended.
    ///
    /// A destructor cannot wait. A clean-up is for an end that has to be awaited: to say goodbye on a connection, or to remove
    /// a file. The current member is the child or body of this group in which `defer` is called. However the member ends, its
    /// future is destroyed first. Then its clean-ups run, the one registered last first. The group ends after them.
    /// [`cleanup_timeout`](crate::group::Builder::cleanup_timeout) limits how long each may take.
    ///
    /// A failure of a clean-up, by error or panic, is a failure of the group, as that of a child is. It comes after the failures
    /// that happened before it. In a [`race`](crate::race()) that a racer has won, an error does not change the result.
    ///
    /// **Exception:** if the body of a scope is cancelled, its clean-ups begin as soon as the body may be dropped: when it is
    /// under no shield, and the groups opened in it have ended. The body may then still run up to its next await, and its
    /// future may be destroyed after the clean-ups.
    ///
    /// # Cancellation
    ///
    /// A cancel of the group does not drop a clean-up. Under a shield, a clean-up can be registered even after the cancel. If
    /// the runtime goes away, clean-ups that have not ended are dropped.
    ///
    /// # Panics
    ///
    /// * Panics outside the group, because there is no member after which the clean-up could run.
    /// * Panics if the spawner does. The clean-up is lost then, which cancels the group.
    /// * Panics if the group has 134,217,727 background children, clean-ups and groups opened in its body.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use futures_lite::future::yield_now;
    /// # use taskgroup::{Smol, TaskGroup};
    /// # smol::block_on(async {
    /// let (send, log) = async_channel::unbounded();
    /// let group = TaskGroup::new(Smol);
    /// let (member, goodbye) = (group.group(), send.clone());
    /// let child = group.spawn(async move {
    ///     member.defer(async move {
    ///         yield_now().await;
    ///         goodbye.send("goodbye").await.unwrap();
    ///     });
    ///     send.send("hello").await.unwrap();
    ///     std::future::pending::<()>().await
    /// });
    /// assert_eq!(log.recv().await.unwrap(), "hello");
    /// child.cancel();
    /// group.join().await.unwrap();
    /// assert_eq!(log.recv().await.unwrap(), "goodbye");
    /// # });
    /// # }
    /// ```
    #[track_caller]
    pub fn defer<F>(&self, cleanup: F)
    where
        S: Spawner,
        F: Future + Send + 'static,
        F::Output: ChildOutput<E>,
    {
        let Some(host) = context::place_in(self.state()) else {
            drop_quietly(cleanup);
            panic!("a clean-up was registered outside of the group: it has no member to run after")
        };
        let (ticket, turn) = self.state().enter_cleanup(host, self.elsewhere());
        let cleanup = self.state().clone().clean_up(ticket, turn, cleanup);
        let child = async move {
            match cleanup.await.map(ChildOutput::sort) {
                Some(Sorted::Failed(error)) => Err(error),
                _ => Ok(()),
            }
        };
        self.hand_over(ticket.into(), child, Discard(PhantomData::<fn(E)>));
    }
}

impl State {
    /// Enters a clean-up for a member of this group.
    #[track_caller]
    fn enter_cleanup(
        self: &Arc<Self>,
        (key, id): (Key, Option<u64>),
        elsewhere: Option<&Arc<Elsewhere>>,
    ) -> (Ticket, Turn) {
        let mut member = Member::of_kind(Kind::Cleanup).shielded().at(elsewhere);
        // Whose clean-up it is has to be seen in reports.
        if let Some(name) = self.name_of(key, id) {
            member = member.named(name);
        }
        let ticket = self
            .enter(Location::caller(), member, Place::Queue)
            .expect("a group with a living member has not ended");
        // In all other cases the host is the child that is being polled or destroyed, and that child is still in its group.
        if key == BODY || id.is_some() {
            self.relink();
        }
        let mine = Packet::new();
        let before = self.register_cleanup(ticket, (key, id), mine.clone());
        (ticket, Turn { mine, before })
    }

    fn name_of(&self, key: Key, id: Option<u64>) -> Option<Name> {
        let mut table = self.lock();
        let is_there = table.is_of(key, id);
        table.member(key, |host, _| host.name().cloned()).flatten().filter(|_| is_there)
    }

    fn register_cleanup(
        &self,
        ticket: Ticket,
        (key, id): (Key, Option<u64>),
        begin: Arc<Packet<()>>,
    ) -> Option<Arc<Packet<()>>> {
        let mut table = self.lock();
        let host = if table.is_of(key, id) {
            table.member(key, |host, _| (host.register_cleanup(&begin), host.is_served()))
        } else {
            None
        };
        let (registered, is_served) = host.unwrap_or((None, true));
        if is_served {
            table.serve(ticket.key());
        }
        if registered.is_some() && key != BODY {
            self.flags.entangle(&mut table.locked);
        }
        drop(table);
        if registered.is_none() {
            begin.resolve(Ok(()));
        }
        registered.flatten()
    }

    /// Runs a clean-up in its turn, for as long as the group allows.
    pub(crate) async fn clean_up<F: Future>(
        self: Arc<Self>,
        ticket: Ticket,
        turn: Turn,
        cleanup: F,
    ) -> Option<F::Output> {
        let _held = Held::child(self.clone(), ticket);
        turn.begins().await;
        self.lock().member(ticket.key(), |member, _| member.begin());
        // This panics if there is no such clock. The panic is recorded, and the clean-up runs all the same.
        let mut sleep = catch(|| self.config.cleanup_sleep()).unwrap_or_else(|payload| {
            self.record(ticket.key(), Raw::Panic(payload));
            None
        });
        let mut cleanup = pin!(Some(cleanup));
        let ended = std::future::poll_fn(|cx| {
            let cleanup = cleanup.as_mut().as_pin_mut().expect("it is there until it has ended");
            match catch(|| cleanup.poll(cx)) {
                Ok(Poll::Ready(output)) => return Poll::Ready(Ok(output)),
                Ok(Poll::Pending) => {}
                Err(payload) => return Poll::Ready(Err(Raw::Panic(payload))),
            }
            match sleep.as_mut().map(|sleep| poll_sleep(sleep, cx)) {
                Some(Poll::Ready(Ok(()))) => Poll::Ready(Err(Raw::CleanupTimeout)),
                _ => Poll::Pending,
            }
        })
        .await;
        let output = ended.map_err(|failure| self.record(ticket.key(), failure)).ok();
        // A panic of its destructor is recorded as well.
        if let Err(payload) = catch(|| cleanup.set(None)) {
            self.record(ticket.key(), Raw::Panic(payload));
        }
        output
    }
}

/// The place of one clean-up in the order of its member's clean-ups.
pub(crate) struct Turn {
    mine: Arc<Packet<()>>,
    /// The clean-up that begins next, which was registered before this one.
    before: Option<Arc<Packet<()>>>,
}

impl Turn {
    async fn begins(&self) {
        let _: Result<(), Why> = std::future::poll_fn(|cx| self.mine.poll(cx.waker())).await;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            before.resolve(Ok(()));
        }
    }
}
