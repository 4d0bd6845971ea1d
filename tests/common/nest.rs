//! Groups inside groups.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use smol::Executor;
use taskgroup::TaskGroup;

type Ex = Arc<Executor<'static>>;

/// Opens a group in the child of a group in the child of a group, and so on. `innermost` starts what is in the last group.
pub(crate) fn nest(
    executor: Ex,
    depth: usize,
    innermost: fn(&TaskGroup<Ex>),
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        let group = TaskGroup::new(executor.clone());
        match depth {
            0 => innermost(&group),
            _ => group.launch(nest(executor, depth - 1, innermost)),
        }
        drop(group.join().await);
    })
}
