//! One shared counter that one task waits for: this is all that the floor keeps count with.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, ready};

use futures_util::task::AtomicWaker;
use pin_project_lite::pin_project;

/// Children that were counted when they ended: the floor's, and those of contestants that do not notice ends in W3.
pub static ENDED: Gate = Gate::new();
/// Pending children that were polled.
pub static STARTED: Gate = Gate::new();
/// Futures that were destroyed, where the handles do not report it.
pub static DROPPED: Gate = Gate::new();

/// These are statics: a reference in each child would add eight bytes to it, and an `Arc` two more locked operations.
#[repr(align(128))]
pub struct Gate {
    passed: AtomicUsize,
    wake_at: AtomicUsize,
    waker: AtomicWaker,
}

impl Gate {
    const fn new() -> Self {
        Self { passed: AtomicUsize::new(0), wake_at: AtomicUsize::new(0), waker: AtomicWaker::new() }
    }

    /// Begins again at zero. No child may be on its way here any more.
    pub fn reset(&self) {
        self.wake_at.store(0, SeqCst);
        self.passed.store(0, SeqCst);
    }

    /// Counts one more, and wakes the task that waits for this number.
    pub fn pass(&self) {
        let passed = self.passed.fetch_add(1, SeqCst) + 1;
        // Sequentially consistent with `wait_for`, which stores the mark and then looks at the count: one of the two
        // sees the other.
        if passed == self.wake_at.load(SeqCst) {
            self.waker.wake();
        }
    }

    /// Waits until `count` have passed.
    pub fn wait_for(&'static self, count: usize) -> impl Future<Output = ()> + Send {
        poll_fn(move |cx| {
            if self.passed.load(SeqCst) >= count {
                return Poll::Ready(());
            }
            self.waker.register(cx.waker());
            self.wake_at.store(count, SeqCst);
            if self.passed.load(SeqCst) >= count { Poll::Ready(()) } else { Poll::Pending }
        })
    }
}

pin_project! {
    /// A child that passes [`ENDED`] when its future is destroyed.
    pub struct Counted<F> {
        #[pin]
        child: Option<F>,
    }
}

impl<F> Counted<F> {
    pub fn new(child: F) -> Self {
        Self { child: Some(child) }
    }
}

impl<F: Future<Output = ()>> Future for Counted<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut child = self.project().child;
        ready!(child.as_mut().as_pin_mut().expect("not polled again after it has ended").poll(cx));
        child.set(None);
        ENDED.pass();
        Poll::Ready(())
    }
}

/// Passes [`DROPPED`] when it is dropped.
pub struct OnDrop;

impl Drop for OnDrop {
    fn drop(&mut self) {
        DROPPED.pass();
    }
}
