//! The runtime's own handles in a list, awaited in the order in which they were made.

use std::collections::VecDeque;
use std::future::Future;
use std::ops::Range;

use super::{Cancels, Collects, Contestant, Reaps};
use crate::children::{PendingTold, Valued};
use crate::gate::DROPPED;
use crate::runtimes::Runtime;

pub struct Handles<R: Runtime> {
    runtime: R,
    // Not a `Vec`, so that W3 can take handles from the front. It grows in the same way.
    handles: VecDeque<R::Handle<()>>,
}

impl<R: Runtime> Contestant<R> for Handles<R> {
    fn open(runtime: &R) -> Self {
        Self { runtime: runtime.clone(), handles: VecDeque::new() }
    }

    fn launch<F>(&mut self, child: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.handles.push_back(self.runtime.spawn(child));
    }

    // A `Task` that is dropped reports nothing more, and tasks that do report are cancelled one by one.
    fn launch_pending(&mut self) {
        self.launch(PendingTold::new());
    }

    async fn join(self) {
        for handle in self.handles {
            handle.await;
        }
    }

    fn one<F>(&mut self, child: F) -> impl Future<Output = ()> + Send
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.runtime.spawn(child)
    }
}

impl<R: Runtime> Reaps<R> for Handles<R> {
    async fn reap(&mut self) {
        self.handles.pop_front().expect("one is left").await;
    }
}

impl<R: Runtime> Cancels<R> for Handles<R> {
    async fn cancel(self) {
        let children = self.handles.len();
        self.handles.into_iter().for_each(R::cancel);
        DROPPED.wait_for(children).await;
    }
}

impl<R: Runtime> Collects<R> for Handles<R> {
    async fn sum(runtime: R, values: Range<u64>) -> u64 {
        let handles: Vec<_> = values.map(|value| runtime.spawn(Valued::new(value))).collect();
        let mut sum = 0;
        for handle in handles {
            sum += handle.await;
        }
        sum
    }
}
