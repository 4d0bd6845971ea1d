//! tokio-util's `TaskTracker`, which cannot cancel, and the same with a `CancellationToken`, which can.

use std::future::Future;
use std::ops::Range;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Cancels, Collects, Contestant, Nest, Nests};
use crate::children::Valued;
use crate::runtimes::OnTokio;

pub struct Tracker(TaskTracker);

impl Contestant<OnTokio> for Tracker {
    fn open(_: &OnTokio) -> Self {
        Self(TaskTracker::new())
    }

    fn launch<F>(&mut self, child: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.0.spawn(child);
    }

    async fn join(self) {
        self.0.close();
        self.0.wait().await;
    }

    async fn one<F>(&mut self, child: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.0.spawn(child).await.expect("neither aborted nor panicked");
    }
}

impl Nests<OnTokio> for Tracker {
    type Nest = TaskTracker;

    fn open(runtime: &OnTokio) -> Self {
        Contestant::open(runtime)
    }

    fn nest(&self) -> TaskTracker {
        self.0.clone()
    }

    async fn join(self, _: usize) {
        Contestant::join(self).await;
    }
}

impl Nest for TaskTracker {
    fn launch<F>(&self, child: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.spawn(child);
    }
}

impl Collects<OnTokio> for Tracker {
    async fn sum(_: OnTokio, values: Range<u64>) -> u64 {
        let tracker = TaskTracker::new();
        let handles: Vec<_> = values.map(|value| tracker.spawn(Valued::new(value))).collect();
        let mut sum = 0;
        for handle in handles {
            sum += handle.await.expect("neither aborted nor panicked");
        }
        tracker.close();
        tracker.wait().await;
        sum
    }
}

#[derive(Clone)]
pub struct TrackerAndToken {
    tracker: TaskTracker,
    token: CancellationToken,
}

impl Contestant<OnTokio> for TrackerAndToken {
    fn open(_: &OnTokio) -> Self {
        Self { tracker: TaskTracker::new(), token: CancellationToken::new() }
    }

    fn launch<F>(&mut self, child: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Nest::launch(self, child);
    }

    async fn join(self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    async fn one<F>(&mut self, child: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let child = self.token.clone().run_until_cancelled_owned(child);
        self.tracker.spawn(child).await.expect("neither aborted nor panicked").expect("not cancelled");
    }
}

impl Cancels<OnTokio> for TrackerAndToken {
    async fn cancel(self) {
        self.token.cancel();
        Contestant::join(self).await;
    }
}

impl Nests<OnTokio> for TrackerAndToken {
    type Nest = Self;

    fn open(runtime: &OnTokio) -> Self {
        Contestant::open(runtime)
    }

    fn nest(&self) -> Self {
        self.clone()
    }

    async fn join(self, _: usize) {
        Contestant::join(self).await;
    }
}

impl Nest for TrackerAndToken {
    fn launch<F>(&self, child: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tracker.spawn(self.token.clone().run_until_cancelled_owned(child));
    }
}

impl Collects<OnTokio> for TrackerAndToken {
    async fn sum(runtime: OnTokio, values: Range<u64>) -> u64 {
        let all: Self = Contestant::open(&runtime);
        let handles: Vec<_> = values
            .map(|value| all.tracker.spawn(all.token.clone().run_until_cancelled_owned(Valued::new(value))))
            .collect();
        let mut sum = 0;
        for handle in handles {
            sum += handle.await.expect("neither aborted nor panicked").expect("not cancelled");
        }
        Contestant::join(all).await;
        sum
    }
}
