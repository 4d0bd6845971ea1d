//! What can be awaited of a group.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use crate::child::context;
use crate::group::Group;
use crate::state::State;
use crate::state::member::{BODY, Key};
use crate::state::signal::Waiter;

impl<S, E> Group<S, E> {
    /// Waits until [`is_stopping`](Self::is_stopping) is true.
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + Sync + use<S, E> {
        wait(self.state().clone(), |state| state.is_stopping())
    }

    /// Awaits `future`, unless the members of the group are [asked to end](Self::is_stopping) first.
    ///
    /// Returns `None` in that case, and `future` is dropped. So `future` should be one that can be dropped at any await, such as
    /// to receive, to accept or to sleep. It is not polled any more once the members are asked to end: a loop around this ends,
    /// also if there is always something to receive.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{Smol, TaskGroup};
    /// # smol::block_on(async {
    /// let (send, jobs) = async_channel::unbounded();
    /// let group = TaskGroup::new(Smol);
    /// let member = group.group();
    /// let worker = group.spawn(async move {
    ///     let mut done = 0;
    ///     // Between two jobs, never in one.
    ///     while let Some(Ok(job)) = member.until_stopping(jobs.recv()).await {
    ///         done += job;
    ///     }
    ///     Ok(done)
    /// });
    /// # send.send(1).await.unwrap();
    /// # while !send.is_empty() { smol::future::yield_now().await }
    /// group.stop();
    /// assert_eq!(worker.await.unwrap(), 1);
    /// group.join().await.unwrap();
    /// # });
    /// # }
    /// ```
    #[doc(alias = "run_until_cancelled")]
    pub fn until_stopping<F: Future>(
        &self,
        future: F,
    ) -> impl Future<Output = Option<F::Output>> + use<S, E, F> {
        let stopping = self.stopping();
        async move {
            let (mut stopping, mut future) = (pin!(stopping), pin!(future));
            poll_fn(|cx| match stopping.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => future.as_mut().poll(cx).map(Some),
            })
            .await
        }
    }

    /// Waits until the group is cancelled or has ended.
    ///
    /// It is for code outside the group, and for code under a [`shield`](crate::shield()) that wants to finish early. Other
    /// members are dropped when the group is cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{Smol, TaskGroup};
    /// # smol::block_on(async {
    /// let group = TaskGroup::new(Smol);
    /// let soft = group.cancelled();
    /// # let (said, heard) = async_channel::bounded(1);
    /// group.child().shielded().launch(async move {
    ///     soft.await;
    ///     println!("saying goodbye");
    /// #   said.try_send(()).unwrap();
    /// });
    /// group.cancel();
    /// group.join().await.unwrap();
    /// # heard.try_recv().unwrap();
    /// # });
    /// # }
    /// ```
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + Sync + use<S, E> {
        wait(self.state().clone(), |state| state.is_cancelled() || state.is_finished())
    }

    /// Waits until no child lives, as [`len`](Self::len) counts them.
    ///
    /// The group stays open, so a child can be spawned in the next moment. Failures are not reported.
    ///
    /// # Panics
    ///
    /// The future panics in a child of the group, also in a background child, and in code that runs inside such a child: it would
    /// wait for itself.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{Smol, TaskGroup};
    /// # smol::block_on(async {
    /// let group = TaskGroup::new(Smol);
    /// (0..10).for_each(|_| group.launch(async {}));
    /// group.idle().await;
    /// group.launch(async {}); // still open
    /// # });
    /// # }
    /// ```
    pub fn idle(&self) -> impl Future<Output = ()> + Send + Sync + use<S, E> {
        self.state().watch();
        wait(self.state().clone(), |state| {
            refuse_own_child(state, "waits for its own group to be idle");
            state.len() == 0
        })
    }

    /// Waits until nothing is left of the group, and nothing can come.
    ///
    /// The group was then closed, cancelled or joined, its body has ended, and so have all children and clean-ups. Until then
    /// the owner may still be waiting for it, too: it is the owner who learns of failures, by joining.
    ///
    /// Background children are ended when nothing else is left, as they are when the owner joins the group.
    ///
    /// # Panics
    ///
    /// The future panics in the body and in children of the group, and in code that runs inside of them: they would wait for
    /// themselves.
    ///
    /// # Examples
    ///
    /// A method that closes from `&self`, which may be called more than once:
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{Group, Smol, TaskGroup};
    /// struct Downloads {
    ///     workers: Group<Smol>,
    /// }
    ///
    /// impl Downloads {
    ///     async fn close(&self) {
    ///         self.workers.stop();
    ///         self.workers.ended().await;
    ///     }
    /// }
    ///
    /// # smol::block_on(async {
    /// let group = TaskGroup::new(Smol);
    /// let downloads = Downloads { workers: group.group() };
    /// let soft = group.stopping();
    /// group.launch(async { soft.await });
    /// downloads.close().await;
    /// downloads.close().await;
    /// assert_eq!(group.len(), 0);
    /// group.join().await.unwrap();
    /// # });
    /// # }
    /// ```
    pub fn ended(&self) -> impl Future<Output = ()> + Send + Sync + use<S, E> {
        self.state().watch();
        wait(self.state().clone(), |state| {
            refuse(state, "waits for the end of its own group", |_| true);
            state.has_ended()
        })
    }
}

/// Waits for a condition of which the group signals that it may have come true.
async fn wait(state: Arc<State>, done: fn(&Arc<State>) -> bool) {
    let mut waiter = Waiter::default();
    poll_fn(|cx| {
        waiter.listen(state.signal(), cx);
        if done(&state) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await
}

/// Panics in a child of the group, and in code that runs inside such a child.
pub(crate) fn refuse_own_child(state: &Arc<State>, what: &str) {
    refuse(state, what, |key| key != BODY);
}

/// Panics in such members of the group, and in code that runs inside of them.
fn refuse(state: &Arc<State>, what: &str, members: fn(Key) -> bool) {
    if let Some(key) = context::member_of(state).filter(|key| members(*key)) {
        panic!("{} would wait for itself: it {what}", state.origin(key).subject());
    }
}
