//! The methods of `Group` that start children.

use std::future::Future;
use std::panic::resume_unwind;

use crate::child::{Child, Deliver};
use crate::error::SpawnError;
use crate::group::Group;
use crate::group::child_builder::{ChildBuilder, Value, hand_over};
use crate::handle::JoinHandle;
use crate::output::ChildOutput;
use crate::spawner::adopt::Adopt;
use crate::spawner::on_pool::Inside;
use crate::spawner::{LocalSpawner, SpawnBlocking, Spawner};
use crate::state::entry::Entered;
use crate::unwind::catch;

impl<S, E> Group<S, E> {
    /// Configures a child before it starts: its name, or that it runs in the background.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{Smol, TaskGroup};
    /// # smol::block_on(async {
    /// let group = TaskGroup::new(Smol);
    /// let handle = group.child().name("reader").spawn(async { Ok(7) });
    /// assert_eq!(handle.name(), Some("reader"));
    /// # });
    /// # }
    /// ```
    pub fn child(&self) -> ChildBuilder<'_, S, E> {
        ChildBuilder::new(self)
    }
}

impl<S, E: Send + 'static> Group<S, E> {
    /// Starts a child, and returns a handle for its value.
    ///
    /// The child returns `Result<T, E>`, `()` or `!`: see [`ChildOutput`]. Dropping the handle neither cancels nor detaches
    /// the child.
    ///
    /// If the group is closed or cancelled, the future is dropped unpolled, and the handle reports that the child was
    /// cancelled. [`try_spawn`](Self::try_spawn) returns the future instead. If the group is full under its
    /// [limit](crate::group::Builder::limit), the child is queued.
    ///
    /// # Cancellation
    ///
    /// See [`cancel`](Self::cancel) and [`JoinHandle::cancel`].
    ///
    /// # Panics
    ///
    /// Panics if the spawner does. The child that the spawner has not taken is lost then, which cancels the group.
    ///
    /// A panic of the child is not raised here. Unless the group's policy says otherwise, it cancels the group, and it is
    /// resumed when the group is joined.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{scope, Smol};
    /// # smol::block_on(async {
    /// let sum = scope(Smol, |group| async move {
    ///     let two = group.spawn(async { "2".parse::<i32>() });
    ///     let three = group.spawn(async { "3".parse::<i32>() });
    ///     Ok(two.value().await + three.value().await)
    /// });
    /// assert_eq!(sum.await.unwrap(), 5);
    /// # });
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<Value<F::Output, E>>
    where
        S: Spawner,
        F: Future + Send + 'static,
        F::Output: ChildOutput<E>,
        Value<F::Output, E>: Send + 'static,
    {
        self.child().spawn(future)
    }

    /// Starts a child, or returns its future if the group takes no child.
    ///
    /// Otherwise it is [`spawn`](Self::spawn), but a child is never queued.
    ///
    /// # Panics
    ///
    /// Panics if the spawner does. The child that the spawner has not taken is lost then, which cancels the group.
    ///
    /// # Errors
    ///
    /// [`SpawnError`] with the unpolled future, if the group is closed, cancelled, or full under its
    /// [limit](crate::group::Builder::limit).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{Smol, TaskGroup};
    /// let group = TaskGroup::new(Smol);
    /// group.close();
    /// let refused = group.try_spawn(async {}).unwrap_err();
    /// assert!(refused.is_closed());
    /// smol::block_on(refused.into_future());
    /// # }
    /// ```
    #[track_caller]
    pub fn try_spawn<F>(&self, future: F) -> Result<JoinHandle<Value<F::Output, E>>, SpawnError<F>>
    where
        S: Spawner,
        F: Future + Send + 'static,
        F::Output: ChildOutput<E>,
        Value<F::Output, E>: Send + 'static,
    {
        self.child().try_spawn(future)
    }

    /// Starts a child without a handle; its value is dropped.
    ///
    /// Without a handle there is no allocation besides the runtime's own, except a small one on Tokio and async-std.
    ///
    /// Otherwise it is [`spawn`](Self::spawn): an error or a panic goes to the group, and a closed or cancelled group drops the
    /// future unpolled. If the group was cancelled by a deadline or by the member that opened it,
    /// [`join`](crate::TaskGroup::join) reports that. So a loop outside of the group that launches, such as one that accepts
    /// connections, goes on for nothing after the failure of a child: it has to look at [`is_closed`](Self::is_closed), or to
    /// use [`try_spawn`](Self::try_spawn). Or let it be a child itself.
    ///
    /// # Panics
    ///
    /// Panics if the spawner does. The child that the spawner has not taken is lost then, which cancels the group.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{Smol, TaskGroup};
    /// # smol::block_on(async {
    /// let group = TaskGroup::new(Smol);
    /// group.launch(async { println!("nobody asks") });
    /// group.join().await.unwrap();
    /// # });
    /// # }
    /// ```
    #[track_caller]
    pub fn launch<F>(&self, future: F)
    where
        S: Spawner,
        F: Future + Send + 'static,
        F::Output: ChildOutput<E>,
    {
        self.child().launch(future);
    }

    /// Waits for a place under the [limit](crate::group::Builder::limit), and starts a child in it.
    ///
    /// This gives back-pressure to the code that produces work. Places are given in the order in which they were asked for. A
    /// child keeps its place until its future is destroyed and every group opened in it has ended. Without a limit this is
    /// [`spawn`](Self::spawn).
    ///
    /// Use it in the body, or outside the group. **A child of the same group keeps its own place while it waits here.** If all
    /// children that have places wait here, the group hangs. In a child use [`spawn`](Self::spawn), which queues the new child
    /// and does not wait.
    ///
    /// As with the permit of a fair semaphore, **this future can get a place while it is not polled**, for instance in a
    /// `select!` that holds it by reference. The children behind it then wait until it is polled or dropped.
    ///
    /// # Cancellation
    ///
    /// Dropping the future before it is ready drops the child's future unpolled, and gives back the place if it had one. If
    /// the group is closed or cancelled meanwhile, the future returns a handle that reports the child as cancelled.
    ///
    /// # Panics
    ///
    /// The future panics if the spawner does, when it starts the child. The child that the spawner has not taken is lost then,
    /// which cancels the group.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use std::num::NonZero;
    /// # use taskgroup::{Smol, TaskGroup};
    /// # smol::block_on(async {
    /// let group = TaskGroup::builder::<()>(Smol).limit(NonZero::new(2).unwrap()).open();
    /// for page in 0..10 {
    ///     group.spawn_when_free(async move { println!("page {page}") }).await;
    /// }
    /// group.join().await.unwrap();
    /// # });
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn_when_free<F>(
        &self,
        future: F,
    ) -> impl Future<Output = JoinHandle<Value<F::Output, E>>> + Send + use<S, E, F>
    where
        S: Spawner,
        F: Future + Send + 'static,
        F::Output: ChildOutput<E>,
        Value<F::Output, E>: Send + 'static,
    {
        self.child().spawn_when_free(future)
    }

    /// Runs `work` on a thread where it may block, as a child of the group.
    ///
    /// It is for code that computes for long, or that waits without `await`: on the runtime's own threads it would delay all
    /// other tasks. `work` returns what a child returns, and its error or panic goes to the group.
    ///
    /// # Cancellation
    ///
    /// **A cancel cannot interrupt work that has begun**, because nothing in Rust can. The group waits until the work returns,
    /// for ever if it never does, and what it returns counts. Work that has not begun is dropped together with the child, which
    /// does not wait for a thread.
    ///
    /// Long work should look at [`is_cancelled`](Self::is_cancelled) or [`is_stopping`](Self::is_stopping) of a clone of the
    /// group from time to time. A cancel of the child alone is not seen there: give the work a flag of its own. If it stops early,
    /// it should return `Ok` with what it has so far, and not an error: an `Err` is a failure of the group, whereas an explicit
    /// cancel is not an error.
    ///
    /// Work that takes from a channel should stop when the group is cancelled, as in the second example, and not only when the
    /// senders are gone: the body of a scope may be [frozen](crate#groups-inside-groups) with its sender until the work has
    /// returned.
    ///
    /// **The work itself is no member**, as it does not run in a poll: nothing in it belongs to the group. A group that it opens
    /// is independent of all others, so the work has to join that group before it returns. A [`shield`](crate::shield()) in it
    /// has no effect, [`defer`](Self::defer) panics, and waiting for its own group hangs.
    ///
    /// If the runtime goes away, the child is lost, but the group waits for work that has begun all the same. The handle does not
    /// get its value; an error or panic of it goes to the group. From then on the work is a member of its own, and counted like a
    /// clean-up: not among the [children](Self::len), under a limit, or in the report of a shutdown.
    ///
    /// # Panics
    ///
    /// Panics if the spawner does. A child that the spawner has not taken is lost then, which cancels the group. A panic of
    /// `work` is a panic of the child: see [`spawn`](Self::spawn).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{Smol, TaskGroup};
    /// # smol::block_on(async {
    /// let group = TaskGroup::fallible::<std::io::Error>(Smol);
    /// let size = group.spawn_blocking(|| Ok(std::fs::metadata("Cargo.toml")?.len()));
    /// assert!(size.await.unwrap() > 0);
    /// group.join().await.unwrap();
    /// # });
    /// # }
    /// ```
    ///
    /// Work that takes from a channel, and stops when the group is asked to stop or cancelled, whoever has a sender:
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{Smol, TaskGroup};
    /// # smol::block_on(async {
    /// let group = TaskGroup::new(Smol);
    /// let (sender, jobs) = async_channel::unbounded();
    /// let member = group.group();
    /// let sum = group.spawn_blocking(move || {
    ///     let mut sum = 0;
    ///     while let Some(Ok(job)) = smol::block_on(member.until_stopping(jobs.recv())) {
    ///         sum += job;
    ///     }
    ///     Ok(sum)
    /// });
    /// sender.send(7).await.unwrap();
    /// # while !sender.is_empty() { smol::future::yield_now().await }
    /// group.stop();
    /// assert_eq!(sum.await.unwrap(), 7);
    /// group.join().await.unwrap();
    /// # });
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn_blocking<W, O>(&self, work: W) -> JoinHandle<Value<O, E>>
    where
        S: Spawner + SpawnBlocking,
        W: FnOnce() -> O + Send + 'static,
        O: ChildOutput<E> + Send + 'static,
        Value<O, E>: Send + 'static,
    {
        self.child().spawn_blocking(work)
    }

    /// Makes a child of a task that already runs, on any runtime.
    ///
    /// It returns a handle for the task's value. The task's output is that of a child (see [`ChildOutput`]), or is
    /// [made](crate::runtime::Adopt::map_output) to be. The group treats the task as a child like any other:
    ///
    /// * The group waits for the task, and its error or panic goes to the group.
    /// * If the task ends without an output, because other code aborted it or its runtime went away, the child is lost.
    /// * If the group is closed or cancelled, the task is only asked to end. The handle reports at once that the child was
    ///   cancelled, and nobody waits for the task.
    /// * It needs no place under a [limit](crate::group::Builder::limit). Nor does it lend one: if it awaits the handle of a
    ///   child that is queued, that child does not get a place earlier.
    ///
    /// Groups and shields that the task opens while it runs are not linked to this group. If the runtime of the *group* goes
    /// away, the child that waits for the task is lost, and the task is only asked to end.
    ///
    /// # Cancellation
    ///
    /// Cancelling the child asks for the task to be aborted. The group *counts the child until the task has ended*. If a task of
    /// async-std for blocking work is aborted, it ends before the work does, because the work runs in another task. Use
    /// [`spawn_blocking`](Self::spawn_blocking), which waits for the work.
    ///
    /// # Panics
    ///
    /// Panics if the spawner does, which runs the child that waits for the task. That child is lost then, which cancels the
    /// group, and the task is only asked to end.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{Smol, TaskGroup};
    /// # smol::block_on(async {
    /// let running = smol::spawn(async { "42".parse::<u8>() });
    /// let group = TaskGroup::fallible(Smol);
    /// let handle = group.adopt(running);
    /// group.join().await?;
    /// assert_eq!(handle.await?, 42);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// # }
    /// ```
    #[track_caller]
    pub fn adopt<A>(&self, task: A) -> JoinHandle<Value<A::Output, E>>
    where
        S: Spawner,
        A: Adopt,
        A::Output: ChildOutput<E>,
        Value<A::Output, E>: Send + 'static,
    {
        self.child().adopt(task)
    }

    /// Hands a child that was entered to its runtime.
    #[inline]
    pub(crate) fn hand_over<F, D>(&self, child: Entered, future: F, deliver: D)
    where
        S: Spawner,
        F: Future + Send + 'static,
        D: Deliver<F::Output> + Send + 'static,
    {
        let (Entered { ticket, counted }, spawner) = (child, self.spawner());
        // Made where it is handed over: moving a value right after its parts were written takes as long as a locked instruction.
        let child = || Child::new(self.state(), ticket, future, deliver);
        if !self.is_registered() {
            if let Err(payload) = catch(|| self.register_first()) {
                // Dropping the child takes it out of the count.
                drop(child());
                resume_unwind(payload);
            }
        }
        let Some(counted) = counted else {
            return hand_over(self.state(), ticket, || spawner.spawn(child()));
        };
        let (runnable, task) = spawner.make_task(child(), counted);
        self.state().store(ticket, task);
        spawner.start_task(runnable, Inside(()));
    }
}

impl<S, E: Send + 'static> Group<S, E> {
    /// Starts a child that stays on this thread, and returns a handle for its value.
    ///
    /// Neither the child nor its value needs to be `Send`. Otherwise it is [`spawn`](Self::spawn). The child can be cancelled
    /// from any thread: that marks it, and its future is dropped on its own thread.
    ///
    /// If the spawner of a group is only local, an `Rc<LocalExecutor>`, an `Rc<LocalSet>` or an `rc::Weak` of one, the group has
    /// these methods to start children: this one, [`launch_local`](Self::launch_local), and the same two after
    /// [`child`](Self::child). It does not have:
    ///
    /// * `spawn_blocking`, `adopt`, `start`, `defer`, and children in `results` or `keyed`, which need children that are
    ///   `Send`. [`on`](Self::on) gives a handle with another spawner, which has them.
    /// * A deadline of a `TaskGroup`, which is kept by such a child. A [`scope`](crate::scope()) keeps its deadline itself, so
    ///   `timeout` of a scope works on an `Rc<LocalSet>`.
    ///
    /// # Panics
    ///
    /// Panics if the spawner does. The child that the spawner has not taken is lost then, which cancels the group.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use std::rc::Rc;
    /// # use taskgroup::TaskGroup;
    /// let executor = Rc::new(smol::LocalExecutor::new());
    /// smol::block_on(executor.run(async {
    ///     let group = TaskGroup::new(executor.clone());
    ///     let shared = Rc::new(7);
    ///     let child = group.spawn_local(async move { Ok(shared) });
    ///     assert_eq!(*child.await.unwrap(), 7);
    ///     group.join().await.unwrap();
    /// }));
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn_local<F>(&self, future: F) -> JoinHandle<Value<F::Output, E>>
    where
        S: LocalSpawner,
        F: Future + 'static,
        F::Output: ChildOutput<E>,
        Value<F::Output, E>: 'static,
    {
        self.child().spawn_local(future)
    }

    /// Starts a child that stays on this thread, without a handle.
    ///
    /// See [`launch`](Self::launch) and [`spawn_local`](Self::spawn_local).
    #[track_caller]
    pub fn launch_local<F>(&self, future: F)
    where
        S: LocalSpawner,
        F: Future + 'static,
        F::Output: ChildOutput<E>,
    {
        self.child().launch_local(future);
    }
}
