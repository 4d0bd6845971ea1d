//! The wrapper around each child's future, the same on every runtime.
//!
//! Whatever becomes of a child, its wrapper goes through these steps once and in this order:
//!
//! 1. record the failure or the panic, which cancels the siblings;
//! 2. destroy the user's future with all it captured, and contain a panic of its destructor;
//! 3. deliver the result to the handle, or destroy it if the handle is gone;
//! 4. leave the table, then the count ([`State::end`]).
//!
//! It comes to that when the future returns, when it panics, and when the wrapper is dropped: by the runtime at the
//! group's request (cancelled) or of its own accord (lost). Beside the future the wrapper is 16 bytes, and eight
//! more if there is a handle.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};

use pin_project_lite::pin_project;

use crate::context::Context;
use crate::error::Why;
use crate::handle::Packet;
use crate::member::Key;
use crate::outcome::Raw;
use crate::output::ChildOutput;
use crate::output::sealed::Sorted;
use crate::state::{End, State, Ticket};
use crate::unwind::catch;

pin_project! {
    /// A child as the runtime sees it. Its output is `()`: results travel past the runtime.
    pub(crate) struct Child<F, D>
    where
        F: Future,
        D: Deliver<F::Output>,
    {
        // `None` while a poll has it in the ambient context, and when the child has ended.
        group: Option<Arc<State>>,
        key: Key,
        shielded: bool,
        // Whether it may have to wait for a place under the limit.
        queued: bool,
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
            this.end(None);
        }
    }
}

impl<F, D> Child<F, D>
where
    F: Future,
    D: Deliver<F::Output>,
{
    pub(crate) fn new(group: Arc<State>, ticket: Ticket, shielded: bool, future: F, deliver: D) -> Self {
        let Ticket { key, queued, .. } = ticket;
        Self { group: Some(group), key, shielded, queued, deliver, future: Some(future) }
    }

    /// Runs `f` on the future as the ambient member.
    fn as_member<R>(self: Pin<&mut Self>, f: impl FnOnce(Pin<&mut Option<F>>) -> R) -> R {
        let this = self.project();
        let group = this.group.take().expect("the group is there between polls until the child ends");
        let context = Context { group, key: *this.key, shielded: *this.shielded };
        let (context, result) = context.run(|| f(this.future));
        *this.shielded = context.shielded;
        *this.group = Some(context.group);
        result
    }

    /// Ends the child with what it returned, or without, if it was dropped or panicked.
    fn end(self: Pin<&mut Self>, returned: Option<Returned<D::Value>>) {
        let mut this = self.project();
        let Some(group) = this.group.take() else { return };
        let key = *this.key;
        let (result, end) = match returned {
            Some(Returned::Value(value)) => (Ok(value), End::Returned),
            Some(Returned::Failed) => (Err(Why::Failed), End::Returned),
            Some(Returned::Panicked) => (Err(Why::Panicked), End::Returned),
            _ if group.is_child_cancelled(key) => (Err(Why::Cancelled), End::Cut),
            _ => (Err(Why::Lost), End::Lost),
        };
        let mut context = Context { group, key, shielded: *this.shielded };
        let mut result = Some(result);
        // A second time only where a destructor panicked: its panic is recorded before anybody is told of the end.
        while result.is_some() {
            let (left, panicked) = context.run(|| {
                catch(|| this.future.set(None))?;
                let rest = this.deliver.deliver(result.take().expect("looked at above"));
                catch(|| drop(rest))
            });
            context = left;
            if let Err(payload) = panicked {
                context.group.record(key, Raw::Panic(payload));
            }
        }
        context.group.end(key, end);
    }
}

impl<F, D> Future for Child<F, D>
where
    F: Future,
    D: Deliver<F::Output>,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        match &self.group {
            None => return Poll::Ready(()),
            // Cancelled: whoever cancelled it drops the `Task`, or the last hold does.
            Some(group) if !group.may_poll(self.key) => return Poll::Pending,
            Some(group) if self.queued && group.is_queued(self.key, cx.waker()) => return Poll::Pending,
            Some(_) => {}
        }
        *self.as_mut().project().queued = false;
        let polled = self.as_mut().as_member(|future| {
            let future = future.as_pin_mut().expect("the future is there until the child ends");
            catch(|| future.poll(cx))
        });
        let group = self.group.as_ref().expect("put back after the poll");
        let returned = match polled {
            Ok(Poll::Pending) => {
                if self.shielded {
                    group.after_shielded_poll(self.key, cx.waker().clone());
                }
                return Poll::Pending;
            }
            Ok(Poll::Ready(output)) => self.deliver.sort(output).unwrap_or_else(|failure| {
                group.record(self.key, failure);
                Returned::Failed
            }),
            Err(payload) => {
                group.record(self.key, Raw::Panic(payload));
                Returned::Panicked
            }
        };
        self.end(Some(returned));
        Poll::Ready(())
    }
}

/// How a child came to its end by itself.
pub(crate) enum Returned<T> {
    Value(T),
    Failed,
    Panicked,
    /// An adopted task that did not say what became of it.
    Nothing,
}

/// Where a child's result goes.
pub(crate) trait Deliver<Output> {
    type Value;
    /// What is left over when the result is delivered, for the child to drop.
    type Rest;

    /// Tells a value from a failure.
    fn sort(&self, output: Output) -> Result<Returned<Self::Value>, Raw>;

    /// Gives the result away.
    fn deliver(&mut self, result: Result<Self::Value, Why>) -> Self::Rest;
}

pub(crate) fn sort<O: ChildOutput<E>, E: Send + 'static>(output: O) -> Result<Returned<O::Value>, Raw> {
    match output.sort() {
        Sorted::Value(value) => Ok(Returned::Value(value)),
        Sorted::Nothing => Ok(Returned::Nothing),
        Sorted::Failed(error) => Err(Raw::Error(Box::new(error))),
    }
}

/// Nobody wants the value: the child drops it.
pub(crate) struct Discard<E>(pub(crate) PhantomData<fn(E)>);

impl<O: ChildOutput<E>, E: Send + 'static> Deliver<O> for Discard<E> {
    type Value = O::Value;
    type Rest = Result<O::Value, Why>;

    fn sort(&self, output: O) -> Result<Returned<O::Value>, Raw> {
        sort(output)
    }

    fn deliver(&mut self, result: Result<O::Value, Why>) -> Self::Rest {
        result
    }
}

/// The value goes to a handle. If that is gone, the child's reference is the last one.
pub(crate) struct ToHandle<T, E>(Option<Arc<Packet<T>>>, PhantomData<fn(E)>);

impl<T, E> ToHandle<T, E> {
    pub(crate) fn new(packet: Arc<Packet<T>>) -> Self {
        Self(Some(packet), PhantomData)
    }
}

impl<O: ChildOutput<E>, E: Send + 'static> Deliver<O> for ToHandle<O::Value, E> {
    type Value = O::Value;
    type Rest = Option<Arc<Packet<O::Value>>>;

    fn sort(&self, output: O) -> Result<Returned<O::Value>, Raw> {
        sort(output)
    }

    fn deliver(&mut self, result: Result<O::Value, Why>) -> Self::Rest {
        let packet = self.0.take();
        if let Some(packet) = &packet {
            packet.resolve(result);
        }
        packet
    }
}
