//! Tokio.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::panic::resume_unwind;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::adopt::unless;
use crate::{Adopt, Spawner, Task, adopt};

/// Finds the Tokio runtime to run children on.
///
/// The spawner itself is [`tokio::runtime::Handle`], from wherever you have it. This is for those who do not.
///
/// # Examples
///
/// ```
/// use taskgroup::{TaskGroup, Tokio};
///
/// let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// runtime.block_on(async {
///     let group = TaskGroup::new(Tokio::current()?);
///     group.launch(async {});
///     group.join().await?;
///     Ok::<(), Box<dyn std::error::Error>>(())
/// })?;
///
/// assert!(Tokio::current().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Tokio(());

impl Tokio {
    /// The handle of the runtime in whose context this is called.
    ///
    /// # Errors
    ///
    /// [`NoRuntime`] outside of any Tokio runtime.
    pub fn current() -> Result<Handle, NoRuntime> {
        Handle::try_current().map_err(|_| NoRuntime(()))
    }
}

/// There is no Tokio runtime here: [`Tokio::current`] was called outside of one.
#[derive(Clone, Debug)]
pub struct NoRuntime(());

impl fmt::Display for NoRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not in the context of a Tokio runtime")
    }
}

impl Error for NoRuntime {}

/// Children are tasks of Tokio's: ids, task-locals, the coop budget, timers and sockets work in them.
///
/// A runtime that has shut down refuses them, and one that shuts down drops them: they are lost.
impl Spawner for Handle {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        adopt(AbortOnDrop(Handle::spawn(self, future)))
    }
}

/// A task of Tokio's that already runs.
impl<T: Send + 'static> Adopt for JoinHandle<T> {
    type Output = T;

    fn run(
        self,
        cancelled: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = Option<T>> + Send + 'static {
        let mut task = AbortOnDrop(self);
        async move {
            let result = match unless(&mut task.0, cancelled).await {
                Some(result) => result,
                None => {
                    task.0.abort();
                    (&mut task.0).await
                }
            };
            result.map_err(|error| error.try_into_panic().map_or((), |payload| resume_unwind(payload))).ok()
        }
    }
}

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
