//! Handles whose results are taken with those of others.

use std::sync::Arc;
use std::task::{Poll, Wake, Waker};

use futures_core::FusedFuture;

use crate::error::Why;
use crate::group::results::{Missing, Queue, Results, Source, leave};
use crate::handle::JoinHandle;
use crate::sync::lock::Lock;

/// A handle that was added. It is the waker that the handle wakes when the result is there.
pub(super) struct Added<T> {
    /// `None` once the result is there, or nobody takes it.
    handle: Lock<Option<JoinHandle<T>>>,
    queue: Arc<Queue<T>>,
    number: u64,
}

impl<S, T: Send + 'static, E> Results<S, T, E> {
    /// Adds the result of a child that was spawned elsewhere: with a name, on a thread where it may block, or in another group.
    ///
    /// From then on it is like the results of children that were spawned here. Its place in the order is that of this call. A
    /// child that adds its own handle and waits for it waits for ever. Results that had ended go on with it. The handle of a child
    /// that was refused gives an error, where one that is refused here gives no result.
    ///
    /// # Panics
    ///
    /// Panics if the handle has already given its result.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{Smol, TaskGroup};
    /// # smol::block_on(async {
    /// let group = TaskGroup::new(Smol);
    /// let results = group.results();
    /// results.add(group.child().name("answer").spawn(async { Ok(42) }));
    /// results.add(group.spawn_blocking(|| Ok(7)));
    /// assert_eq!(results.values().await, [42, 7]);
    /// group.join().await.unwrap();
    /// # });
    /// # }
    /// ```
    #[track_caller]
    pub fn add(&self, handle: JoinHandle<T>) {
        let packet = handle.packet().clone();
        assert!(!handle.is_terminated(), "a `JoinHandle` was added to results after it had given its result");
        let number = self.expect_one();
        let added = Arc::new(Added { handle: Lock::new(Some(handle)), queue: self.queue.clone(), number });
        self.queue.lock().added.insert(number, added.clone());
        if let Poll::Ready(result) = packet.poll(&Waker::from(added.clone())) {
            let _none = added.leave(result);
        }
    }
}

impl<T> Added<T> {
    /// Nobody takes the result. The handle may have it already.
    pub(super) fn give_up(&self) -> Option<JoinHandle<T>> {
        self.handle.lock().take()
    }

    /// Leaves the result, or returns it if nobody takes it any more.
    fn leave(&self, result: Result<T, Why>) -> Option<Result<T, Why>> {
        // If nobody takes results any more, nor is there a handle.
        let Some(handle) = self.handle.lock().take() else { return Some(result) };
        let itself = self.queue.lock().added.remove(&self.number);
        drop(itself);
        let finished = result
            .map_err(|why| Box::new(Missing { why, child: Source::Added(handle.cancel_handle().origin()) }));
        leave(&self.queue, self.number, finished).map(|rest| rest.map_err(|missing| missing.why))
    }
}

impl<T: Send + 'static> Wake for Added<T> {
    fn wake(self: Arc<Self>) {
        let packet = self.handle.lock().as_ref().map(|handle| handle.packet().clone());
        let Some(packet) = packet else { return };
        if let Some(rest) = packet.take_result().and_then(|result| self.leave(result)) {
            // Whoever holds the packet last drops it: the child as a part of itself, or the owner of the results.
            packet.resolve(rest);
        }
    }
}
