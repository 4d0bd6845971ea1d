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

use std::future::Future;
use std::marker::PhantomData;
use std::panic::{Location, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use pin_project_lite::pin_project;

use crate::child::{Child, Discard};
use crate::error::Name;
use crate::keeping::{Keeping, Mapped};
use crate::output::ChildOutput;
use crate::shield::Held;
use crate::spawner::SpawnBlocking;
use crate::spawner::adopt::{Adopt, Adopted, MemberCancelled};
use crate::state::State;
use crate::state::limit::Place;
use crate::state::member::{Kind, Member, Work};
use crate::sync::lock::Lock;
use crate::unwind::{GivesWay, Payload, catch};

/// Returns the future of a child that does `work` on a thread of this spawner.
///
/// The work begins when the future is first polled. So it does not begin in a child that is queued, or cancelled before.
pub(crate) fn on_thread<S, W, O, E>(
    spawner: &S,
    work: W,
    host: Host,
    cancel: MemberCancelled,
) -> impl Future<Output = Adopted<O>> + Send + 'static + use<S, W, O, E>
where
    S: SpawnBlocking,
    W: FnOnce() -> O + Send + 'static,
    O: ChildOutput<E> + Send + 'static,
    E: Send + 'static,
{
    let claim = Claim(Arc::new(Lock::new(Shared { stage: Stage::Waiting(Box::new(work)), is_child: false })));
    let leave = GivesWay::new(Leave { claim: claim.clone(), host, orphan: orphan::<O, E> });
    let of_thread = claim.clone();
    let begin = move || {
        let work = of_thread.begin()?;
        // Caught, as the runtime may be gone before it has told the child of the panic.
        Some(Done { result: Some(Box::new(catch(work))), claim: of_thread })
    };
    // The work's task is never asked to end: that would wait for what the runtime has queued, and for a free thread.
    let run = spawner.spawn_blocking(begin).run(std::future::pending());
    let waits = Waits { claim, cancel, run };
    let output = Mapped::new(waits, |done: Option<Option<Option<Done<W, O>>>>| {
        Adopted(done.flatten().flatten().map(Done::take))
    });
    Keeping::new(output, leave.into_inner())
}

type Outcome<O> = Box<Result<O, Payload>>;

/// Returns what the work has returned, or resumes its panic.
fn output_of<O>(outcome: Result<O, Payload>) -> O {
    outcome.unwrap_or_else(|payload| resume_unwind(payload))
}

enum Stage<W, O> {
    /// The work is in a box, because what a runtime has queued keeps a claim until a thread comes to it.
    Waiting(Box<W>),
    Running,
    Finished(Outcome<O>),
    Orphaned(Orphan<O>),
    Over,
}

struct Shared<W, O> {
    stage: Stage<W, O>,
    /// The child was polled, so it is one: its group has not refused it.
    is_child: bool,
}

struct Claim<W, O>(Arc<Lock<Shared<W, O>>>);

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
        let stage = &mut self.0.lock().stage;
        match stage {
            Stage::Waiting(_) => match std::mem::replace(stage, next) {
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

pin_project! {
    /// The child: it waits for the work, unless it is cancelled before the work begins; then it never begins.
    ///
    /// Work that has begun is waited for, and what it returns counts: some runtimes would throw that away if they were asked
    /// to end it.
    struct Waits<W, O, R> {
        claim: Claim<W, O>,
        cancel: MemberCancelled,
        #[pin]
        run: R,
    }
}

impl<W, O, R: Future> Future for Waits<W, O, R> {
    type Output = Option<R::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // First: an adapter may begin the work, and panic or give up, in one poll.
        this.claim.0.lock().is_child = true;
        if let Poll::Ready(output) = this.run.poll(cx) {
            return Poll::Ready(Some(output));
        }
        ready!(Pin::new(this.cancel).poll(cx));
        match this.claim.withdraw() {
            Some(work) => {
                drop(work);
                Poll::Ready(None)
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
        self.claim.0.lock().stage = Stage::Over;
        output_of(*self.result.take().expect("taken once"))
    }
}

impl<W, O> Drop for Done<W, O> {
    fn drop(&mut self) {
        let Some(result) = self.result.take() else { return };
        let mut shared = self.claim.0.lock();
        match std::mem::replace(&mut shared.stage, Stage::Over) {
            Stage::Orphaned(orphan) => {
                drop(shared);
                orphan(result);
            }
            // The child is being dropped, and has let go of the runtime's handle.
            _ => shared.stage = Stage::Finished(result),
        }
    }
}

/// Part of the child, and dropped when the rest of it is.
struct Leave<W, O> {
    claim: Claim<W, O>,
    host: Host,
    orphan: fn(&Host) -> Orphan<O>,
}

/// What a clean-up needs to know of the child that leaves it behind.
pub(crate) struct Host {
    pub(crate) group: Arc<State>,
    pub(crate) location: &'static Location<'static>,
    pub(crate) name: Option<Name>,
    /// Background children stay for its clean-ups.
    pub(crate) is_served: bool,
}

impl<W, O> Drop for Leave<W, O> {
    fn drop(&mut self) {
        drop(self.claim.withdraw());
        let shared = self.claim.0.lock();
        // A spawner may have begun work whose child was refused. Nobody waits for that.
        let leaves = shared.is_child && !matches!(shared.stage, Stage::Over);
        drop(shared);
        if !leaves {
            return;
        }
        // Without the lock, as this takes that of the group.
        let orphan = (self.orphan)(&self.host);
        let mut shared = self.claim.0.lock();
        match std::mem::replace(&mut shared.stage, Stage::Over) {
            Stage::Finished(result) => {
                drop(shared);
                orphan(result);
            }
            _ => shared.stage = Stage::Orphaned(orphan),
        }
    }
}

/// Ends the clean-up that a child leaves behind, with the result of its work.
type Orphan<O> = Box<dyn FnOnce(Outcome<O>) + Send>;

/// Enters the clean-up. The child is still counted, so the group has not ended.
fn orphan<O, E>(Host { group, location, name, is_served }: &Host) -> Orphan<O>
where
    O: ChildOutput<E> + Send + 'static,
    E: Send + 'static,
{
    let mut member = Member::new(Kind::Cleanup, Work::Blocking).shielded();
    if let Some(name) = name {
        member = member.named(name.clone());
    }
    let ticket = group.enter(location, member, Place::Queue).expect("a clean-up is always taken");
    let mut table = group.lock();
    if *is_served {
        table.serve(ticket.key());
    }
    table.member(ticket.key(), |cleanup, _| cleanup.begin());
    drop(table);
    let (group, held) = (group.clone(), Held::child(group.clone(), ticket));
    Box::new(move |outcome| {
        let future = async move {
            let _held = held;
            output_of(*outcome)
        };
        let child = pin!(Child::new(&group, ticket, future, Discard(PhantomData::<fn(E)>)));
        let _ended = child.poll(&mut Context::from_waker(Waker::noop()));
    })
}
