//! A future with something beside it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

pin_project! {
    /// A future that keeps something until it is destroyed, polled or not, and no longer.
    pub(crate) struct Keeping<F, K> {
        // Fields are dropped in this order.
        #[pin]
        future: F,
        _kept: K,
    }
}

impl<F, K> Keeping<F, K> {
    pub(crate) fn new(future: F, kept: K) -> Self {
        Self { future, _kept: kept }
    }
}

impl<F: Future, K> Future for Keeping<F, K> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(cx)
    }
}
