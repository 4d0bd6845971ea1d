//! The wrapper around each child's future, the same on every runtime.
//!
//! However a child ends, its wrapper takes these steps, once and in this order:
//!
//! 1. record the failure or the panic, which cancels the siblings;
//! 2. destroy the user's future with all it captured, and contain a panic of its destructor;
//! 3. deliver the result to the handle, or destroy it if the handle is gone;
//! 4. leave the table and the count ([`State::end`]).
//!
//! The steps run when the future returns, when it panics, and when the wrapper is dropped. The runtime drops the
//! wrapper either at the group's request (the child is cancelled) or by itself (the child is lost). Besides the future,
//! the wrapper takes 16 bytes, and eight more if there is a handle.

pub(crate) mod context;

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};

use pin_project_lite::pin_project;

use crate::child::context::run_as;
use crate::error::Why;
use crate::handle::Packet;
use crate::outcome::Raw;
use crate::output::ChildOutput;
use crate::output::sealed::Sorted;
use crate::state::facts::Fact;
use crate::state::ticket::{Standing, Ticket};
use crate::state::{End, State};
use crate::sync::kept::Kept;
use crate::unwind::catch;

pin_project! {
    /// A child as the runtime sees it; its output is `()`, because results travel past the runtime.
    pub(crate) struct Child<F, D>
    where
        F: Future,
        D: Deliver<F::Output>,
    {
        // `None` when the child has ended: it is not counted any more, and so nothing keeps the group for it.
        group: Option<Kept<State>>,
        standing: Standing,
        deliver: D,
        #[pin]
        future: Option<F>,
    }

    impl<F, D> PinnedDrop for Child<F, D>
    where
        F: Future,
        D: Deliver<F::Output>,
    {
        fn drop(this: Pin<&mut Self>) {
            this.end_unasked();
        }
    }
}

impl<F, D> Child<F, D>
where
    F: Future,
    D: Deliver<F::Output>,
{
    /// Wraps the future of a child that was entered.
    pub(crate) fn new(group: &Arc<State>, ticket: Ticket, future: F, deliver: D) -> Self {
        let standing = ticket.standing();
        #[expect(unsafe_code, reason = "to count it would cost each child two locked instructions")]
        // SAFETY: the child was entered, so `Table::keeper` is there until `State::end`. After that call this reference
        // is not used.
        let group = unsafe { Kept::new(group) };
        Self { group: Some(group), standing, deliver, future: Some(future) }
    }

    /// Ends a child that did not return: its wrapper was dropped, or an adopted task left nothing.
    fn end_unasked(self: Pin<&mut Self>) {
        let mut this = self.project();
        let Some(group) = this.group.take() else { return };
        let (why, end) = if group.is_child_cancelled(this.standing.key()) {
            (Why::Cancelled, End::Cut)
        } else {
            group.leave_queue(this.standing.key());
            (Why::Lost, End::Lost)
        };
        close(this.future.as_mut(), this.deliver, group, *this.standing, Some(Err(why)), end);
    }

    /// Ends a child that failed.
    #[cold]
    fn end_with(self: Pin<&mut Self>, failure: Raw, result: Option<Result<D::Value, Why>>) {
        let mut this = self.project();
        let group = this.group.take().expect("a child ends once");
        group.record(this.standing.key(), failure);
        close(this.future.as_mut(), this.deliver, group, *this.standing, result, End::Returned);
    }
}

/// How a child ended in a poll, if it did not just return a value.
enum Ended {
    Failed(Raw),
    /// An adopted task left nothing.
    WithNothing,
}

impl<F, D> Future for Child<F, D>
where
    F: Future,
    D: Deliver<F::Output>,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        let mut this = self.as_mut().project();
        let Some(group) = this.group.as_ref() else { return Poll::Ready(()) };
        let key = this.standing.key();
        let mut polling = None;
        if this.standing.is_queued() || !group.is_undisturbed() {
            // The child is cut. Its `Task` is dropped by the thread that cancelled it, or by the one that ends the last
            // hold.
            if group.member_is(key, Fact::CUT)
                || (this.standing.is_queued() && group.is_queued(key, cx.waker()))
            {
                return Poll::Pending;
            }
            *this.standing = this.standing.placed();
            polling = group.begin_poll(key);
        }
        // A value that was returned but is not delivered yet.
        let mut result = None;
        let mut ended = None;
        let (standing, polled) = run_as(group, *this.standing, || {
            catch(|| {
                let future =
                    this.future.as_mut().as_pin_mut().expect("the future is there until the child ends");
                let Poll::Ready(output) = future.poll(cx) else { return Poll::Pending };
                match this.deliver.sort(output) {
                    Sorted::Value(value) => {
                        result = Some(Ok(value));
                        let_go(this.future.as_mut(), this.deliver, &mut result);
                    }
                    Sorted::Nothing => ended = Some(Ended::WithNothing),
                    Sorted::Failed(error) => ended = Some(Ended::Failed(Raw::Error(Box::new(error)))),
                }
                Poll::Ready(())
            })
        });
        group.end_poll(key, polling);
        let payload = match polled {
            Ok(Poll::Pending) => {
                let shielded = standing.is_shielded() && group.after_shielded_poll(key, cx.waker());
                *this.standing = if shielded { standing } else { standing.unshielded() };
                return Poll::Pending;
            }
            Ok(Poll::Ready(())) => match ended {
                None => {
                    let group = this.group.take().expect("looked at above");
                    group.end(standing, End::Returned);
                    return Poll::Ready(());
                }
                Some(Ended::WithNothing) => {
                    self.end_unasked();
                    return Poll::Ready(());
                }
                Some(Ended::Failed(failure)) => {
                    self.end_with(failure, Some(Err(Why::Failed)));
                    return Poll::Ready(());
                }
            },
            Err(payload) => payload,
        };
        // There is no value. So either the future panicked; or the future was gone, everything was delivered, and what
        // was dropped then panicked.
        let result = result.or_else(|| this.future.is_some().then_some(Err(Why::Panicked)));
        self.end_with(Raw::Panic(payload), result);
        Poll::Ready(())
    }
}

/// Destroys the future, delivers the result and leaves the group.
fn close<F, D>(
    mut future: Pin<&mut Option<F>>,
    deliver: &mut D,
    group: Kept<State>,
    standing: Standing,
    mut result: Option<Result<D::Value, Why>>,
    end: End,
) where
    F: Future,
    D: Deliver<F::Output>,
{
    // The destructors run as part of the child, too.
    let key = standing.key();
    let polling = group.begin_poll(key);
    // Runs a second time only if a destructor panicked. That panic is recorded before anybody learns of the end.
    while result.is_some() {
        let (_, gone) = run_as(&group, standing, || catch(|| let_go(future.as_mut(), deliver, &mut result)));
        if let Err(payload) = gone {
            group.record(key, Raw::Panic(payload));
        }
    }
    group.end_poll(key, polling);
    group.end(standing, end);
}

/// Destroys the future and then delivers the result, which stays in place if the destructor panics.
fn let_go<F, D>(mut future: Pin<&mut Option<F>>, deliver: &mut D, result: &mut Option<Result<D::Value, Why>>)
where
    F: Future,
    D: Deliver<F::Output>,
{
    future.set(None);
    // Two arms, so that a value is moved with its own size, not with that of the whole `Result`.
    match result.take() {
        Some(Ok(value)) => drop(deliver.deliver(Ok(value))),
        Some(Err(why)) => drop(deliver.deliver(Err(why))),
        None => {}
    }
}

/// Where a child's result goes.
pub(crate) trait Deliver<Output> {
    type Value;
    type Error: Send + 'static;
    /// What is left over after the result is delivered; the child drops it.
    type Rest;

    /// Sorts an output into a value or a failure.
    fn sort(&self, output: Output) -> Sorted<Self::Value, Self::Error>;

    /// Hands the result over.
    fn deliver(&mut self, result: Result<Self::Value, Why>) -> Self::Rest;
}

/// Nobody wants the value: the child drops it.
pub(crate) struct Discard<E>(pub(crate) PhantomData<fn(E)>);

impl<O: ChildOutput<E>, E: Send + 'static> Deliver<O> for Discard<E> {
    type Value = O::Value;
    type Error = E;
    type Rest = Result<O::Value, Why>;

    fn sort(&self, output: O) -> Sorted<O::Value, E> {
        output.sort()
    }

    fn deliver(&mut self, result: Result<O::Value, Why>) -> Self::Rest {
        result
    }
}

/// Sends the value to a handle; if the handle is gone, the value comes back.
pub(crate) struct ToHandle<T, E>(Option<Arc<Packet<T>>>, PhantomData<fn(E)>);

impl<T, E> ToHandle<T, E> {
    pub(crate) fn new(packet: Arc<Packet<T>>) -> Self {
        Self(Some(packet), PhantomData)
    }
}

impl<O: ChildOutput<E>, E: Send + 'static> Deliver<O> for ToHandle<O::Value, E> {
    type Value = O::Value;
    type Error = E;
    type Rest = Option<Result<O::Value, Why>>;

    fn sort(&self, output: O) -> Sorted<O::Value, E> {
        output.sort()
    }

    fn deliver(&mut self, result: Result<O::Value, Why>) -> Self::Rest {
        let packet = self.0.take()?;
        packet.resolve(result);
        // Taken out of the packet, so that its destructor may panic as usual. A packet would swallow that panic if an
        // unrelated panic is under way on this thread.
        Arc::into_inner(packet)?.take_result()
    }
}
