//! Work that blocks: who begins it, who gets its result, and who waits for it.
//!
//! A child waits for a runtime's thread, which does the work. The two share a [`Claim`], which is in one of these stages:
//!
//! ```text
//! Waiting ──► Running ──► Over: the child has the result
//!    │           ├──────► Finished ──► Over: the child is about to go, and leaves the result to its group
//!    │           └──────► Orphaned ──► Over: the child is gone, and the thread gives the result to the group
//!    └─────────────────────────────────► Over: the child was cancelled before, or is gone; the work never begins
//! ```
//!
//! A child is not cut while the work runs. But a runtime that goes away drops the child, while the thread works on. Then
//! the child leaves a clean-up behind in its group, which has no task: the thread itself ends it, with the result, when the
//! work has returned. So the group waits for the work, and does not lose its error or panic.

use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::panic::resume_unwind;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::adopt::{Adopt, Adopted, MemberCancelled, unless};
use crate::child::{Child, Discard};
use crate::context;
use crate::keeping::{Keeping, Mapped};
use crate::limit::Place;
use crate::lock::Lock;
use crate::member::{Kind, Member, Work};
use crate::output::ChildOutput;
use crate::shield::Held;
use crate::spawner::SpawnBlocking;
use crate::unwind::{GivesWay, Payload, catch};

/// Returns the future of a child that does `work` on a thread of this spawner.
///
/// The work begins when the future is first polled. So it does not begin in a child that is queued, or cancelled before.
pub(crate) fn on_thread<S, W, O, E>(
    spawner: &S,
    work: W,
    cancel: MemberCancelled,
) -> impl Future<Output = Adopted<O>> + Send + 'static + use<S, W, O, E>
where
    S: SpawnBlocking,
    W: FnOnce() -> O + Send + 'static,
    O: ChildOutput<E> + Send + 'static,
    E: Send + 'static,
{
    let claim = Claim(Arc::new(Lock::new(Stage::Waiting(Box::new(work)))));
    let cancelled = CancelledBefore(claim.clone(), cancel);
    let leave = GivesWay::new(Leave { claim: claim.clone(), orphan: orphan::<O, E> });
    let begin = move || {
        let work = claim.begin()?;
        // Caught, as the runtime may be gone before it has told the child of the panic.
        Some(Done { result: Some(Box::new(catch(work))), claim })
    };
    // The work's task is never asked to end: that would wait for what the runtime has queued, and for a free thread.
    let run = spawner.spawn_blocking(begin).run(std::future::pending());
    let output = Mapped::new(unless(run, cancelled), |done: Option<Option<Option<Done<W, O>>>>| {
        Adopted(done.flatten().flatten().map(Done::take))
    });
    Keeping::new(output, leave.into_inner())
}

type Outcome<O> = Box<Result<O, Payload>>;

enum Stage<W, O> {
    /// The work is in a box, because what a runtime has queued keeps a claim until a thread comes to it.
    Waiting(Box<W>),
    Running,
    Finished(Outcome<O>),
    Orphaned(Orphan<O>),
    Over,
}

struct Claim<W, O>(Arc<Lock<Stage<W, O>>>);

impl<W, O> Claim<W, O> {
    /// Takes the work for the thread that does it.
    fn begin(&self) -> Option<Box<W>> {
        self.take(Stage::Running)
    }

    /// Takes the work so that it never begins.
    fn withdraw(&self) -> Option<Box<W>> {
        self.take(Stage::Over)
    }

    fn take(&self, next: Stage<W, O>) -> Option<Box<W>> {
        let mut stage = self.0.lock();
        match &*stage {
            Stage::Waiting(_) => match std::mem::replace(&mut *stage, next) {
                Stage::Waiting(work) => Some(work),
                _ => unreachable!("looked at above"),
            },
            _ => None,
        }
    }
}

impl<W, O> Clone for Claim<W, O> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Ready when the child that polls it is cancelled and the work has not begun; then it never begins. Work that has begun is
/// waited for, and what it returns counts: some runtimes would throw that away if they were asked to end it.
struct CancelledBefore<W, O>(Claim<W, O>, MemberCancelled);

impl<W, O> Future for CancelledBefore<W, O> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        std::task::ready!(pin!(self.1).poll(cx));
        match self.0.withdraw() {
            Some(work) => {
                drop(work);
                Poll::Ready(())
            }
            None => Poll::Pending,
        }
    }
}

/// What the work has returned, or its panic, on the way to the child.
struct Done<W, O> {
    /// `None` once the child has it.
    result: Option<Outcome<O>>,
    claim: Claim<W, O>,
}

impl<W, O> Done<W, O> {
    fn take(mut self) -> O {
        *self.claim.0.lock() = Stage::Over;
        match *self.result.take().expect("taken once") {
            Ok(output) => output,
            Err(payload) => resume_unwind(payload),
        }
    }
}

impl<W, O> Drop for Done<W, O> {
    fn drop(&mut self) {
        let Some(result) = self.result.take() else { return };
        let mut stage = self.claim.0.lock();
        match std::mem::replace(&mut *stage, Stage::Over) {
            Stage::Orphaned(orphan) => {
                drop(stage);
                orphan.end(result);
            }
            // The child is being dropped, and has let go of the runtime's handle.
            _ => *stage = Stage::Finished(result),
        }
    }
}

/// Part of the child, and dropped when the rest of it is.
struct Leave<W, O> {
    claim: Claim<W, O>,
    orphan: fn() -> Option<Orphan<O>>,
}

impl<W, O> Drop for Leave<W, O> {
    fn drop(&mut self) {
        drop(self.claim.withdraw());
        if matches!(*self.claim.0.lock(), Stage::Over) {
            return;
        }
        // Without the lock, as this takes that of the group. If this is no child any more, nobody is there who could wait.
        let Some(orphan) = (self.orphan)() else { return };
        let mut stage = self.claim.0.lock();
        match std::mem::replace(&mut *stage, Stage::Over) {
            Stage::Finished(result) => {
                drop(stage);
                orphan.end(result);
            }
            _ => *stage = Stage::Orphaned(orphan),
        }
    }
}

/// The clean-up that a child leaves behind while its work runs.
struct Orphan<O> {
    result: Arc<Lock<Option<Outcome<O>>>>,
    child: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Enters the clean-up, in the group of the child that is being dropped on this thread.
fn orphan<O, E>() -> Option<Orphan<O>>
where
    O: ChildOutput<E> + Send + 'static,
    E: Send + 'static,
{
    let (group, key) = context::innermost()?;
    let origin = group.origin(key);
    let (_, location) = origin.child?;
    let mut member = Member::new(Kind::Cleanup, Work::Blocking).shielded();
    if let Some(name) = origin.name {
        member = member.named(name);
    }
    let ticket = group.enter(location, member, Place::Exempt).ok()?;
    group.lock().member(ticket.key(), |member, _| member.begin());
    let (result, held) = (Arc::new(Lock::new(None)), Held::child(group.clone(), ticket));
    let given = result.clone();
    let future = async move {
        let _held = held;
        let taken = || -> Option<Outcome<O>> { given.lock().take() };
        match poll_fn(|_| taken().map_or(Poll::Pending, Poll::Ready)).await.map_err(resume_unwind) {
            Ok(output) => output,
            Err(never) => match never {},
        }
    };
    let child = Child::new(&group, ticket, future, Discard(PhantomData::<fn(E)>));
    Some(Orphan { result, child: Box::pin(child) })
}

impl<O> Orphan<O> {
    /// Ends the clean-up with the result of the work.
    fn end(mut self, result: Outcome<O>) {
        *self.result.lock() = Some(result);
        let _ended = self.child.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
}
