//! async_nursery.

use std::future::Future;
use std::ops::Range;

use async_executors::{JoinHandle, SpawnHandle};
use async_nursery::{NurseExt, Nursery, NurseryStream};
use futures_util::StreamExt;
use futures_util::task::{FutureObj, SpawnError};

use super::{Cancels, Collects, Contestant, Nest, Nests, Reaps};
use crate::children::{PendingTold, Valued};
use crate::gate::DROPPED;
use crate::runtimes::Runtime;

/// The runtime in the form that async_nursery needs.
#[derive(Clone)]
pub struct Nursing<R>(R);

impl<R: Runtime, T: Send + 'static> SpawnHandle<T> for Nursing<R> {
    fn spawn_handle_obj(&self, child: FutureObj<'static, T>) -> Result<JoinHandle<T>, SpawnError> {
        Ok(self.0.nurse(child))
    }
}

pub struct InNursery<R> {
    nursery: Nursery<Nursing<R>, ()>,
    ended: NurseryStream<()>,
    launched: usize,
}

impl<R: Runtime> Contestant<R> for InNursery<R> {
    fn open(runtime: &R) -> Self {
        let (nursery, ended) = Nursery::new(Nursing(runtime.clone()));
        Self { nursery, ended, launched: 0 }
    }

    fn launch<F>(&mut self, child: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.launched += 1;
        self.nursery.nurse(child).expect("it is open");
    }

    fn launch_pending(&mut self) {
        self.launch(PendingTold::new());
    }

    async fn join(self) {
        drop(self.nursery);
        self.ended.await;
    }

    async fn one<F>(&mut self, child: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.launch(child);
        self.reap().await;
    }
}

impl<R: Runtime> Reaps<R> for InNursery<R> {
    async fn reap(&mut self) {
        self.ended.next().await.expect("one is left");
    }
}

impl<R: Runtime> Cancels<R> for InNursery<R> {
    async fn cancel(self) {
        drop(self.nursery);
        drop(self.ended);
        DROPPED.wait_for(self.launched).await;
    }
}

impl<R: Runtime> Nests<R> for InNursery<R> {
    type Nest = Nursery<Nursing<R>, ()>;

    fn open(runtime: &R) -> Self {
        Contestant::open(runtime)
    }

    fn nest(&self) -> Self::Nest {
        self.nursery.clone()
    }

    async fn join(self, _: usize) {
        Contestant::join(self).await;
    }
}

impl<R: Runtime> Nest for Nursery<Nursing<R>, ()> {
    fn launch<F>(&self, child: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.nurse(child).expect("it is open");
    }
}

impl<R: Runtime> Collects<R> for InNursery<R> {
    async fn sum(runtime: R, values: Range<u64>) -> u64 {
        let (nursery, mut ended) = Nursery::new(Nursing(runtime));
        for value in values {
            nursery.nurse(Valued::new(value)).expect("it is open");
        }
        drop(nursery);
        let mut sum = 0;
        while let Some(value) = ended.next().await {
            sum += value;
        }
        sum
    }
}
