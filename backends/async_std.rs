//! async-std.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use async_std::task::{self, JoinHandle};

use crate::{Spawner, Task, adopt};

/// async-std's global executor: children are started with `async_std::task::spawn`.
///
/// They are tasks of async-std's: `task::current()` and task-locals work in them. It is never shut down, so nothing
/// is ever lost on it.
///
/// # Examples
///
/// ```
/// use taskgroup::{AsyncStd, TaskGroup};
///
/// let group = TaskGroup::new(AsyncStd);
/// group.launch(async {});
/// async_std::task::block_on(group.join()).unwrap();
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AsyncStd;

impl Spawner for AsyncStd {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        adopt(CancelOnDrop(Some(task::spawn(future))))
    }
}

struct CancelOnDrop(Option<JoinHandle<()>>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        // The first poll asks for the cancel; whether it has come about is told by the child itself.
        if let Some(handle) = self.0.take() {
            let _ = pin!(handle.cancel()).poll(&mut Context::from_waker(Waker::noop()));
        }
    }
}
