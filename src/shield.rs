//! A section that a cancel has to wait for.

use std::fmt;
use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};

use pin_project_lite::pin_project;

use crate::context::{self, Withheld};
use crate::effects::Effects;
use crate::member::Key;
use crate::state::State;
use crate::ticket::Ticket;
use crate::unwind::{catch, drop_quietly};

/// Runs a future to its end, even if the child or body that awaits it is cancelled meanwhile.
///
/// The cancel is put off, not undone: the child goes on up to and including the poll in which its last shield ends,
/// and is dropped at the await it then reaches.
///
/// ```text
/// shield(commit()).await     cancelled in here: commit() runs to its end
/// log("done")                runs, as it comes before the next await
/// shield(flush()).await      runs to its end: no await without a shield came in between
/// next().await               dropped here
/// ```
///
/// A group opened inside the shield is not reached by a cancel from outside; its own `cancel` works as ever. What
/// was spawned into a group from inside a shield is not protected by it.
///
/// # Cancellation
///
/// It shields from *groups*: from a cancel of the member's own group, and of every group around it. Code that drops
/// the future itself, as `select!` does, still drops what is inside. Where no shield holds and the member is cancelled
/// in its own poll, a shield that follows stays pending, and its future is dropped unpolled with the member.
///
/// A runtime that goes away asks no shield: it drops what is inside, and a group that was cancelled before does not tell.
///
/// **A loop that awaits nothing but shields is never cut**, as each begins in the poll in which the one before it
/// ends. Give it an await without a shield, if only a `yield_now()`, or have it look at
/// [`is_cancelled`](crate::Group::is_cancelled).
///
/// It holds the member that polls it first, and those around that in the same task: moved elsewhere, it goes on
/// holding them. Outside of every group it only runs the future. If it is leaked, its member cannot be cut any more, and the group
/// waits until that ends by itself.
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

pin_project! {
    /// The future of [`shield`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct Shield<F> {
        // Before the hold, so that what is shielded is destroyed under its shield.
        #[pin]
        future: Option<F>,
        hold: Hold,
    }
}

enum Hold {
    Unpolled,
    /// There is no group to shield from, or the future has ended.
    Free,
    Held(#[expect(dead_code, reason = "held for its destructor")] Held),
    /// The member was cut before.
    Refused(Withheld),
}

impl Hold {
    fn begin(withheld: Withheld) -> Self {
        let task = context::task();
        if task.is_empty() {
            return Hold::Free;
        }
        context::set_shielded();
        // From the task inwards: once the task cannot be cut, a refusal further in leaves nothing half held.
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

/// A shield that has begun and not ended: the members it holds, which are all that the task was polling.
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
            // In a poll of the member itself the cut waits for the end of the poll: another shield may follow.
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
            // It may have moved to a member that is not cut.
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

impl<F> fmt::Debug for Shield<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = matches!(self.hold, Hold::Held(_));
        f.debug_struct("Shield").field("held", &held).finish_non_exhaustive()
    }
}
