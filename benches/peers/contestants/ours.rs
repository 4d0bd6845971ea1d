//! Our groups, on any spawner.

use std::any::Any;
use std::future::Future;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::OnceLock;

use futures_util::FutureExt;
use taskgroup::{Group, Pool, Spawner, TaskGroup};

use super::{Cancels, Collects, Contestant, Nest, Nests};
use crate::children::Valued;
use crate::runtimes::Runtime;
use crate::workloads::Running;

/// Where our children run: one of the spawners that a runtime offers.
pub trait Place<R>: Send + 'static {
    type Spawner: Spawner;

    /// Returns the spawner for one more group. The place keeps what groups are to share.
    fn spawner(runtime: &R) -> Self::Spawner;
}

/// Children are tasks of the runtime.
pub struct Native;

impl<R: Runtime> Place<R> for Native {
    type Spawner = R::Spawner;

    fn spawner(runtime: &R) -> R::Spawner {
        runtime.spawner()
    }
}

/// Children are on a pool over the runtime, which is the same for all groups.
pub struct OnPool;

impl<R: Runtime> Place<R> for OnPool {
    type Spawner = Pool<R::Spawner>;

    fn spawner(runtime: &R) -> Pool<R::Spawner> {
        static POOL: OnceLock<Box<dyn Any + Send + Sync>> = OnceLock::new();
        let pool = POOL.get_or_init(|| Box::new(Pool::new(runtime.spawner())));
        pool.downcast_ref::<Pool<R::Spawner>>().expect("a process has one runtime").clone()
    }
}

/// Runs a parent in a child, so that the groups that it opens are inside of a group.
pub fn inside<R: Runtime, P: Place<R>>(runtime: R, parent: Running) -> Running {
    Box::pin(async move {
        let group = TaskGroup::new(P::spawner(&runtime));
        let round = group.spawn(parent.map(Ok)).await.expect("nothing fails");
        group.join().await.expect("nothing fails");
        round
    })
}

pub struct Ours<R: Runtime, P: Place<R>>(TaskGroup<P::Spawner>);

impl<R: Runtime, P: Place<R>> Contestant<R> for Ours<R, P> {
    fn open(runtime: &R) -> Self {
        Self(TaskGroup::new(P::spawner(runtime)))
    }

    fn launch<F>(&mut self, child: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.0.launch(child);
    }

    async fn join(self) {
        self.0.join().await.expect("nothing fails");
    }

    async fn one<F>(&mut self, child: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.0.spawn(child).await.expect("nothing fails");
    }
}

impl<R: Runtime, P: Place<R>> Cancels<R> for Ours<R, P> {
    async fn cancel(self) {
        self.0.cancel();
        self.0.join().await.expect("an explicit cancel is no error");
    }
}

impl<R: Runtime, P: Place<R>> Nests<R> for Ours<R, P> {
    type Nest = Group<P::Spawner>;

    fn open(runtime: &R) -> Self {
        Contestant::open(runtime)
    }

    fn nest(&self) -> Self::Nest {
        self.0.group()
    }

    async fn join(self, _: usize) {
        Contestant::join(self).await;
    }
}

impl<S: Spawner> Nest for Group<S> {
    fn launch<F>(&self, child: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Group::launch(self, child);
    }
}

impl<R: Runtime, P: Place<R>> Collects<R> for Ours<R, P> {
    async fn sum(runtime: R, values: Range<u64>) -> u64 {
        let group = TaskGroup::new(P::spawner(&runtime));
        let mut results = group.results();
        for value in values {
            results.spawn(Valued::new(value).map(Ok));
        }
        let mut sum = 0;
        while let Some(value) = results.join_next().await {
            sum += value.expect("nothing fails");
        }
        group.join().await.expect("nothing fails");
        sum
    }
}

/// Values are taken from handles, in the order of spawning.
pub struct InHandles<P>(PhantomData<P>);

impl<R: Runtime, P: Place<R>> Collects<R> for InHandles<P> {
    async fn sum(runtime: R, values: Range<u64>) -> u64 {
        let group = TaskGroup::new(P::spawner(&runtime));
        let handles: Vec<_> = values.map(|value| group.spawn(Valued::new(value).map(Ok))).collect();
        let mut sum = 0;
        for handle in handles {
            sum += handle.await.expect("nothing fails");
        }
        group.join().await.expect("nothing fails");
        sum
    }
}
