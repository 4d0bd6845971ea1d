//! smol, and the executors it is made of.

use std::future::Future;
use std::sync::{Arc, Weak};

use async_executor::{Executor, StaticExecutor};

use crate::{Spawner, Task};

/// smol's global executor: children are started with `smol::spawn`.
///
/// It is never shut down, so nothing is ever lost on it. By default it has one thread; the environment variable
/// `SMOL_THREADS` sets another number.
///
/// # Examples
///
/// ```
/// use taskgroup::{Smol, TaskGroup};
///
/// let group = TaskGroup::new(Smol);
/// group.launch(async {});
/// smol::block_on(group.join()).unwrap();
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Smol;

impl Spawner for Smol {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        smol::spawn(future)
    }
}

/// An executor of one's own. It is driven from outside of every group whose children run on it: a member that is cut
/// drives nothing any more. Children do not keep it alive: when its last owner drops it, they are lost.
impl Spawner for Arc<Executor<'static>> {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Executor::spawn(self, future)
    }
}

/// An executor of one's own that groups do not keep alive. When it is gone, new children are lost at once.
impl Spawner for Weak<Executor<'static>> {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        match self.upgrade() {
            Some(executor) => Executor::spawn(&executor, future),
            None => {
                drop(future);
                crate::adopt(())
            }
        }
    }
}

/// An executor that lives as long as the program.
impl Spawner for &'static Executor<'static> {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Executor::spawn(self, future)
    }
}

/// The fastest of smol's executors.
impl Spawner for &'static StaticExecutor {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        StaticExecutor::spawn(self, future)
    }
}
