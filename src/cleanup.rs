//! Clean-ups: asynchronous work that is registered by a member, for when it is gone.
//!
//! A *clean-up* is a child under a shield from the start, which waits until the member that registered it is gone. The
//! one that was registered last begins first, and each begins the one before it when it has ended, in whatever way.
//! It is taken in even if the group is cancelled: the member that registers it lives, so the group has not ended.

use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use crate::child::Discard;
use crate::context;
use crate::elsewhere::Elsewhere;
use crate::error::Why;
use crate::group::Group;
use crate::handle::Packet;
use crate::limit::Place;
use crate::member::{BODY, Key, Kind, Member};
use crate::outcome::Raw;
use crate::output::ChildOutput;
use crate::output::sealed::Sorted;
use crate::shield::Held;
use crate::spawner::Spawner;
use crate::state::State;
use crate::ticket::Ticket;
use crate::timer::poll_sleep;
use crate::unwind::{catch, drop_quietly};

impl<S: Spawner, E: Send + 'static> Group<S, E> {
    /// Registers an asynchronous clean-up, to run when the current member of the group has ended.
    ///
    /// A destructor cannot wait. This is for an end that has to be awaited: to say goodbye on a connection, or to remove a
    /// file. The member is the child, or the body, inside of which this is called. However it ends, its future is
    /// destroyed first, then its clean-ups run, the one that was registered last first. The group ends after them, and
    /// [`cleanup_timeout`](crate::group::Builder::cleanup_timeout) bounds how long each may take.
    ///
    /// A clean-up is not cut by a cancel of the group, and may be registered under a shield even if that came before. Its
    /// error or panic is a failure of the group: kept as suppressed behind what went before it. If the runtime goes away,
    /// what has not run is dropped.
    ///
    /// In the body of a scope that is cut, clean-ups begin with the cut: its future may go on to its next await, and be destroyed
    /// after them.
    ///
    /// # Panics
    ///
    /// Panics outside of the group: there is no member that it could run after. Panics if the spawner does. Panics where the group has
    /// 134,217,727 background children, clean-ups and groups opened in its body.
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
        let member = Member::of_kind(Kind::Cleanup).shielded().at(elsewhere);
        let ticket = self
            .enter(Location::caller(), member, Place::Exempt)
            .expect("a group with a living member has not ended");
        // In all other cases it is the child that is polled, or destroyed, which is in its group.
        if key == BODY || id.is_some() {
            self.relink();
        }
        let mine = Packet::new();
        let before = self.register_cleanup(key, id, mine.clone());
        (ticket, Turn { mine, before })
    }

    fn register_cleanup(&self, key: Key, id: Option<u64>, begin: Arc<Packet<()>>) -> Option<Arc<Packet<()>>> {
        let mut table = self.lock();
        let registered = if table.is_of(key, id) {
            table.member(key, |member, _| member.register_cleanup(&begin)).flatten()
        } else {
            None
        };
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
        // Without such a clock that panics. It is told of, and the clean-up is done all the same.
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
        // What its destructor panics with is told of besides.
        if let Err(payload) = catch(|| cleanup.set(None)) {
            self.record(ticket.key(), Raw::Panic(payload));
        }
        output
    }
}

/// The place of one clean-up in the order of those of its member.
pub(crate) struct Turn {
    mine: Arc<Packet<()>>,
    /// Who comes next.
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
