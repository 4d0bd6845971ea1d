//! An executor that is driven by threads.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use async_executor::Executor;
use futures_lite::future::block_on;
use taskgroup_conformance::Host;

/// Threads that drive an executor until this is dropped.
pub(crate) struct Threads {
    stop: async_channel::Sender<()>,
    threads: Vec<JoinHandle<()>>,
}

impl Threads {
    pub(crate) fn that_drive(n: usize, executor: &Arc<Executor<'static>>) -> Self {
        let (stop, stopped) = async_channel::bounded::<()>(1);
        let threads = (0..n)
            .map(|_| {
                let (executor, stopped) = (executor.clone(), stopped.clone());
                thread::spawn(move || {
                    let _closed = block_on(executor.run(stopped.recv()));
                })
            })
            .collect();
        Self { stop, threads }
    }

    /// Runs a host while the threads drive the executor.
    #[allow(dead_code, reason = "not every test binary has a host beside them")]
    pub(crate) fn block_on(&self, host: Host<'_>) {
        block_on(host);
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop.close();
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}
