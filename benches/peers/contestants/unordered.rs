//! `FuturesUnordered` of the runtime's own handles.

use std::future::Future;
use std::ops::Range;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::{Cancels, Collects, Contestant, Reaps};
use crate::children::{PendingTold, Valued};
use crate::gate::DROPPED;
use crate::runtimes::Runtime;

pub struct Unordered<R: Runtime> {
    runtime: R,
    handles: FuturesUnordered<R::Handle<()>>,
}

impl<R: Runtime> Contestant<R> for Unordered<R> {
    fn open(runtime: &R) -> Self {
        Self { runtime: runtime.clone(), handles: FuturesUnordered::new() }
    }

    fn launch<F>(&mut self, child: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.handles.push(self.runtime.spawn(child));
    }

    fn launch_pending(&mut self) {
        self.launch(PendingTold::new());
    }

    async fn join(mut self) {
        while self.handles.next().await.is_some() {}
    }

    async fn one<F>(&mut self, child: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.launch(child);
        self.reap().await;
    }
}

impl<R: Runtime> Reaps<R> for Unordered<R> {
    async fn reap(&mut self) {
        self.handles.next().await.expect("one is left");
    }
}

impl<R: Runtime> Cancels<R> for Unordered<R> {
    async fn cancel(self) {
        let children = self.handles.len();
        self.handles.into_iter().for_each(R::cancel);
        DROPPED.wait_for(children).await;
    }
}

impl<R: Runtime> Collects<R> for Unordered<R> {
    async fn sum(runtime: R, values: Range<u64>) -> u64 {
        let mut handles: FuturesUnordered<_> =
            values.map(|value| runtime.spawn(Valued::new(value))).collect();
        let mut sum = 0;
        while let Some(value) = handles.next().await {
            sum += value;
        }
        sum
    }
}
