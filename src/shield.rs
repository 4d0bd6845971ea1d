//! Sections of code that a cancel has to wait for.

use std::fmt;
use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};

use futures_core::FusedFuture;
use pin_project_lite::pin_project;

use crate::child::context::{self, Withheld};
use crate::state::State;
use crate::state::effects::Effects;
use crate::state::member::Key;
use crate::state::ticket::Ticket;
use crate::unwind::{catch, drop_quietly};

/// Runs a future to its end, even if its member is cancelled meanwhile.
///
/// The member is the child or body that awaits the shield. The cancel is delayed, not undone: the member goes on up to and
/// including the poll in which its last shield ends, and is dropped at the await that it then reaches.
///
/// ```text
/// shield(commit()).await     cancelled in here: commit() runs to its end
/// log("done")                runs, as it comes before the next await
/// shield(flush()).await      runs to its end: no await without a shield came in between
/// next().await               dropped here
/// ```
///
/// A cancel from outside does not drop members of a group that is opened inside the shield: it only asks them to end, see
/// [`Group::is_stopping`](crate::Group::is_stopping). That group's own `cancel` works as usual. The shield does not protect
/// children that are spawned from inside it into a group outside.
///
/// # Cancellation
///
/// A shield protects from *groups*: from a cancel of the member's own group, of every group around it, and of the member
/// alone. It does not protect from these:
///
/// * Code that drops the future itself, as `select!` does, drops the shielded future as well.
/// * If the member is cancelled in its own poll while no shield holds, a shield that it awaits afterwards stays pending. The
///   shielded future is dropped unpolled with the member.
/// * A runtime that goes away drops the shielded future. If the group was cancelled before, it does not report that.
///
/// **A loop that awaits only shields may never be dropped**, because each shield begins in the poll in which the previous one
/// ends. Add an await without a shield to the loop, for instance `yield_now()`, or check [`is_cancelled`] in it.
///
/// A shield holds the member that polls it first, and the members around that one in the same task. It goes on holding them
/// if it is moved elsewhere, or is kept and not polled any more. Outside of every group it only runs the future. If a shield is
/// leaked, its member is not dropped by a cancel any more, and the group waits until the member ends by itself.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "smol")] {
/// # use taskgroup::{scope, shield, Smol, GroupError};
/// # use futures_lite::future::yield_now;
/// # use std::convert::Infallible;
/// # smol::block_on(async {
/// let (sent, seen) = async_channel::bounded(1);
/// scope(Smol, |group| async move {
///     let (begun, begins) = async_channel::bounded(1);
///     group.launch(shield(async move {
///         begun.send(()).await.unwrap();
///         yield_now().await;
///         sent.send("written").await.unwrap();
///     }));
///     begins.recv().await.unwrap();
///     group.cancel();
///     Ok(())
/// })
/// .await?;
/// assert_eq!(seen.recv().await.unwrap(), "written");
/// # Ok::<(), GroupError<Infallible>>(()) }).unwrap();
/// # }
/// ```
pub fn shield<F: Future>(future: F) -> Shield<F> {
    Shield { future: Some(future), hold: Hold::Unpolled }
}

/// Returns whether the member that runs this code was cancelled, and is dropped as soon as no shield holds it.
///
/// It does not matter how: with its group, [alone](crate::JoinHandle::cancel), by its [key](crate::group::Keyed::replace), or,
/// in the [background](crate::group::ChildBuilder::background), because the others have ended.
/// [`Group::is_cancelled`](crate::Group::is_cancelled) does not know of the last three. So this is what a loop of
/// [shields](shield()) should look at, and a child that is [shielded](crate::group::ChildBuilder::shielded) from the start.
/// Such a member is woken once when it is cancelled.
///
/// It is true for the member whose task this is, and for the bodies of scopes and the children of
/// [`borrowing`](crate::borrowing()) groups in that task. In any other child of a group that was opened under the shield it is
/// false, because that child is only asked to end: see [`Group::is_stopping`](crate::Group::is_stopping). It is false in a
/// [clean-up](crate::Group::defer), as no cancel shortens that, outside of every group, and in
/// [blocking work](crate::Group::spawn_blocking), which is no member.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "smol")] {
/// # use taskgroup::{Smol, TaskGroup, is_cancelled, shield};
/// # use futures_lite::future::yield_now;
/// # smol::block_on(async {
/// # let (begun, begins) = async_channel::unbounded();
/// let group = TaskGroup::new(Smol);
/// let pump = group.spawn(shield(async move {
///     let mut rounds = 0;
///     while !is_cancelled() {
/// #       begun.try_send(()).unwrap();
///         yield_now().await; // a round that must be completed
///         rounds += 1;
///     }
///     Ok(rounds)
/// }));
/// # begins.recv().await.unwrap();
/// pump.cancel();
/// assert!(pump.await.unwrap() > 0);
/// group.join().await.unwrap();
/// # });
/// # }
/// ```
pub fn is_cancelled() -> bool {
    context::task().into_iter().any(|(group, key)| group.is_asked_to_end(key))
}

pin_project! {
    /// The future of [`shield`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct Shield<F> {
        // Before the hold, so that the shielded future is destroyed under its shield.
        #[pin]
        future: Option<F>,
        hold: Hold,
    }
}

enum Hold {
    Unpolled,
    /// There is no group to shield from, or the shielded future has ended.
    Free,
    Held(#[expect(dead_code, reason = "held for its destructor")] Held),
    /// The member was cut (it is not polled again) before the shield began.
    Refused(Withheld),
}

impl Hold {
    fn begin(withheld: Withheld) -> Self {
        let task = context::task();
        if task.is_empty() {
            return Hold::Free;
        }
        context::set_shielded();
        // From the outermost member of the task inwards: once that one cannot be cut, a refusal further in leaves nothing
        // half held.
        let mut held = Held(Vec::with_capacity(task.len()));
        for (group, key) in task.into_iter().rev() {
            match group.begin_shield(key) {
                Some(id) => held.0.push((group, key, id)),
                None => return Hold::Refused(withheld),
            }
        }
        Hold::Held(held)
    }
}

/// A shield that has begun and not ended. It lists the members it holds, which are all that the task was polling.
pub(crate) struct Held(Vec<(Arc<State>, Key, u64)>);

impl Held {
    /// The shield that a child was entered with.
    pub(crate) fn child(group: Arc<State>, ticket: Ticket) -> Self {
        Self(vec![(group, ticket.key(), ticket.id())])
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let task = context::task();
        let mut effects = Effects::default();
        for (group, key, id) in self.0.drain(..).rev() {
            // If the member itself is being polled, the cut waits for the end of the poll: another shield may follow.
            let polled = task.iter().any(|(other, at)| *at == key && Arc::ptr_eq(other, &group));
            group.end_shield(key, id, !polled, &mut effects);
        }
        effects.run();
    }
}

impl<F: Future> Future for Shield<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        match std::mem::replace(this.hold, Hold::Free) {
            Hold::Unpolled => *this.hold = Hold::begin(Withheld::default()),
            // The shield may have been moved to a member that is not cut.
            Hold::Refused(withheld) => *this.hold = Hold::begin(withheld),
            held => *this.hold = held,
        }
        if let Hold::Refused(withheld) = this.hold {
            if withheld.again(cx) {
                return Poll::Pending;
            }
            *this.hold = Hold::Free;
        }
        let future = this.future.as_mut().as_pin_mut().expect("a `Shield` is not polled after it has ended");
        let output = std::task::ready!(future.poll(cx));
        let gone = catch(|| this.future.set(None));
        *this.hold = Hold::Free;
        if let Err(payload) = gone {
            drop_quietly(output);
            resume_unwind(payload);
        }
        Poll::Ready(output)
    }
}

impl<F: Future> FusedFuture for Shield<F> {
    /// Returns whether the section has ended, and this must not be awaited again.
    fn is_terminated(&self) -> bool {
        self.future.is_none()
    }
}

impl<F> fmt::Debug for Shield<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = matches!(self.hold, Hold::Held(_));
        f.debug_struct("Shield").field("held", &held).finish_non_exhaustive()
    }
}
