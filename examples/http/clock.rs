//! Lets hyper use the clock of a group's runtime.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use taskgroup::runtime::Timer;

pub struct Clock<T>(pub T);

struct Asleep<F>(Pin<Box<F>>);

impl<T: Timer<Sleep: Sync>> hyper::rt::Timer for Clock<T> {
    fn sleep(&self, time: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Asleep(Box::pin(self.0.sleep_until(self.0.now() + time))))
    }

    fn sleep_until(&self, at: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep(at.saturating_duration_since(Instant::now()))
    }
}

impl<F: Future<Output = ()> + Send + Sync> hyper::rt::Sleep for Asleep<F> {}

impl<F: Future<Output = ()>> Future for Asleep<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl<T> fmt::Debug for Clock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").finish_non_exhaustive()
    }
}
