//! The floor: detached tasks, and one counter that all of them share.

use std::future::Future;

use super::{Contestant, Nest, Nests, Reaps};
use crate::children::PendingHeld;
use crate::gate::{Counted, ENDED};
use crate::runtimes::Runtime;

pub struct Raw<R> {
    runtime: R,
    launched: usize,
    reaped: usize,
}

impl<R: Runtime> Contestant<R> for Raw<R> {
    fn open(runtime: &R) -> Self {
        ENDED.reset();
        Self { runtime: runtime.clone(), launched: 0, reaped: 0 }
    }

    fn launch<F>(&mut self, child: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.launched += 1;
        self.runtime.detach(Counted::new(child));
    }

    // Some executors destroy a detached task that nothing could ever wake.
    fn launch_pending(&mut self) {
        self.launch(PendingHeld::new());
    }

    async fn join(self) {
        ENDED.wait_for(self.launched).await;
    }

    fn one<F>(&mut self, child: F) -> impl Future<Output = ()> + Send
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.launch(child);
        ENDED.wait_for(self.launched)
    }
}

impl<R: Runtime> Reaps<R> for Raw<R> {
    fn reap(&mut self) -> impl Future<Output = ()> + Send {
        self.reaped += 1;
        ENDED.wait_for(self.reaped)
    }
}

impl<R: Runtime> Nests<R> for Raw<R> {
    type Nest = RawNest<R>;

    fn open(runtime: &R) -> Self {
        Contestant::open(runtime)
    }

    fn nest(&self) -> RawNest<R> {
        RawNest(self.runtime.clone())
    }

    async fn join(self, children: usize) {
        ENDED.wait_for(children).await;
    }
}

#[derive(Clone)]
pub struct RawNest<R>(R);

impl<R: Runtime> Nest for RawNest<R> {
    fn launch<F>(&self, child: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.0.detach(Counted::new(child));
    }
}
