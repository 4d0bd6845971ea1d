//! Futures around a future: one that keeps a value, one that maps the output, one that begins later, and one whose
//! destructor does not panic.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::unwind::{catch, drop_quietly, drop_unread, raise};

pin_project! {
    /// A future that keeps something exactly until it is destroyed, polled or not.
    ///
    /// Both are dropped by it, and the first panic of that goes on, also while the thread unwinds: a child catches it.
    pub(crate) struct Keeping<F, K> {
        #[pin]
        future: Option<F>,
        kept: Option<K>,
    }

    impl<F, K> PinnedDrop for Keeping<F, K> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let mut panic = catch(|| this.future.set(None)).err();
            drop_unread(this.kept.take(), &mut panic);
            raise(panic);
        }
    }
}

impl<F, K> Keeping<F, K> {
    pub(crate) fn new(future: F, kept: K) -> Self {
        Self { future: Some(future), kept: Some(kept) }
    }
}

impl<F: Future, K> Future for Keeping<F, K> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.as_pin_mut().expect("it is there until it is dropped").poll(cx)
    }
}

pin_project! {
    /// A future whose output is made into another one.
    ///
    /// The inner future stays until this one is destroyed. In an `async` block it would be dropped at the end of the
    /// block, or while a panic of its own unwinds. A destructor that panics would lose the output in the first case,
    /// and abort the process in the second.
    pub(crate) struct Mapped<F, G> {
        #[pin]
        future: F,
        map: Option<G>,
    }
}

impl<F, G> Mapped<F, G> {
    pub(crate) fn new(future: F, map: G) -> Self {
        Self { future, map: Some(map) }
    }
}

impl<F: Future, G: FnOnce(F::Output) -> O, O> Future for Mapped<F, G> {
    type Output = O;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<O> {
        let this = self.project();
        let output = std::task::ready!(this.future.poll(cx));
        Poll::Ready(this.map.take().expect("a future is not polled after it has ended")(output))
    }
}

pin_project! {
    /// A future that is made when this one is first polled.
    ///
    /// The inner future stays in place, as in [`Mapped`].
    pub(crate) struct Begun<F, R> {
        begin: Option<F>,
        #[pin]
        future: Option<R>,
    }
}

impl<F: FnOnce() -> R, R> Begun<F, R> {
    pub(crate) fn new(begin: F) -> Self {
        Self { begin: Some(begin), future: None }
    }
}

impl<F: FnOnce() -> R, R: Future> Future for Begun<F, R> {
    type Output = R::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<R::Output> {
        let mut this = self.project();
        if let Some(begin) = this.begin.take() {
            this.future.set(Some(begin()));
        }
        this.future.as_pin_mut().expect("it has begun").poll(cx)
    }
}

pin_project! {
    /// A future whose destructor may panic, for an owner that must not panic when it drops it.
    pub(crate) struct Brittle<F> {
        #[pin]
        future: Option<F>,
    }

    impl<F> PinnedDrop for Brittle<F> {
        fn drop(this: Pin<&mut Self>) {
            drop_quietly(catch(|| this.project().future.set(None)));
        }
    }
}

impl<F> Brittle<F> {
    pub(crate) fn new(future: F) -> Self {
        Self { future: Some(future) }
    }
}

impl<F: Future> Future for Brittle<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.as_pin_mut().expect("it is there until it is dropped").poll(cx)
    }
}
