//! Tokio's `JoinSet`.

use std::future::{Future, poll_fn};
use std::ops::Range;
use std::sync::{Arc, Mutex};

use tokio::task::JoinSet;

use super::{Cancels, Collects, Contestant, Nest, Nests, Reaps};
use crate::children::Valued;
use crate::runtimes::OnTokio;

pub struct Set(JoinSet<()>);

impl Contestant<OnTokio> for Set {
    fn open(_: &OnTokio) -> Self {
        Self(JoinSet::new())
    }

    fn launch<F>(&mut self, child: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.0.spawn(child);
    }

    async fn join(mut self) {
        while let Some(ended) = self.0.join_next().await {
            ended.expect("neither aborted nor panicked");
        }
    }

    async fn one<F>(&mut self, child: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.launch(child);
        self.reap().await;
    }
}

impl Reaps<OnTokio> for Set {
    async fn reap(&mut self) {
        self.0.join_next().await.expect("one is left").expect("neither aborted nor panicked");
    }
}

impl Cancels<OnTokio> for Set {
    async fn cancel(mut self) {
        self.0.shutdown().await;
    }
}

impl Collects<OnTokio> for Set {
    async fn sum(_: OnTokio, values: Range<u64>) -> u64 {
        let mut set: JoinSet<u64> = values.map(Valued::new).collect();
        let mut sum = 0;
        while let Some(value) = set.join_next().await {
            sum += value.expect("neither aborted nor panicked");
        }
        sum
    }
}

/// A set behind a mutex, so that children can spawn into it.
pub struct SharedSet(Arc<Mutex<JoinSet<()>>>);

impl Nests<OnTokio> for SharedSet {
    type Nest = SetNest;

    fn open(_: &OnTokio) -> Self {
        Self(Arc::default())
    }

    fn nest(&self) -> SetNest {
        SetNest(self.0.clone())
    }

    async fn join(self, _: usize) {
        // The lock is released between polls. A child that still spawns has not been reaped, so the set is empty only
        // when all children have ended.
        while let Some(ended) = poll_fn(|cx| self.0.lock().unwrap().poll_join_next(cx)).await {
            ended.expect("neither aborted nor panicked");
        }
    }
}

#[derive(Clone)]
pub struct SetNest(Arc<Mutex<JoinSet<()>>>);

impl Nest for SetNest {
    fn launch<F>(&self, child: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.0.lock().unwrap().spawn(child);
    }
}
