//! The children of the workloads, the same for every contestant.

use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use crate::gate::{OnDrop, STARTED};
use crate::tally::{self, Alive};

/// Does nothing, and has no size.
pub struct Idle {
    _alive: Alive,
}

impl Idle {
    pub fn new() -> Self {
        Self { _alive: Alive::new() }
    }
}

impl Future for Idle {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        tally::ran();
        Poll::Ready(())
    }
}

/// Yields some times.
pub struct Yielding {
    left: u32,
    _alive: Alive,
}

impl Yielding {
    pub fn new(times: u32) -> Self {
        Self { left: times, _alive: Alive::new() }
    }
}

impl Future for Yielding {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.left == 0 {
            tally::ran();
            return Poll::Ready(());
        }
        self.left -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Never ends, and has no size. It passes [`STARTED`] when it is polled.
pub struct Pending {
    _alive: Alive,
}

impl Pending {
    pub fn new() -> Self {
        Self { _alive: Alive::new() }
    }
}

impl Future for Pending {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        STARTED.pass();
        Poll::Pending
    }
}

/// A [`Pending`] child that also passes [`DROPPED`](crate::gate::DROPPED), after it is destroyed.
pub struct PendingTold {
    pending: Pending,
    _told: OnDrop,
}

impl PendingTold {
    pub fn new() -> Self {
        Self { pending: Pending::new(), _told: OnDrop }
    }
}

impl Future for PendingTold {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.pending).poll(cx)
    }
}

/// A [`Pending`] child whose waker is kept for ever, as something that it waits for would keep it.
pub struct PendingHeld(Pending);

static WAKERS: Mutex<Vec<Waker>> = Mutex::new(Vec::new());

impl PendingHeld {
    pub fn new() -> Self {
        Self(Pending::new())
    }

    /// Makes room for this many wakers, so that the memory is not counted among what the children take.
    pub fn reserve(children: usize) {
        WAKERS.lock().unwrap().reserve(children);
    }
}

impl Future for PendingHeld {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        WAKERS.lock().unwrap().push(cx.waker().clone());
        Pin::new(&mut self.0).poll(cx)
    }
}

/// Returns a value.
pub struct Valued {
    value: u64,
    _alive: Alive,
}

impl Valued {
    pub fn new(value: u64) -> Self {
        Self { value, _alive: Alive::new() }
    }
}

impl Future for Valued {
    type Output = u64;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<u64> {
        tally::ran();
        Poll::Ready(self.value)
    }
}
