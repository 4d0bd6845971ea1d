//! Starting children: the ways there are, with what may be said of a child beforehand.

use std::future::Future;
use std::panic::resume_unwind;

use crate::adopt::Adopt;
use crate::backend::handing_over;
use crate::child::{Child, Deliver};
use crate::child_builder::{ChildBuilder, Value, hand_over};
use crate::entry::Entered;
use crate::error::SpawnError;
use crate::group::Group;
use crate::handle::JoinHandle;
use crate::output::ChildOutput;
use crate::spawner::{Inside, LocalSpawner, SpawnBlocking, Spawner};
use crate::unwind::catch;

impl<S, E> Group<S, E> {
    /// A child that something is to be said of before it starts: a name, or that it is a background child.
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
    /// Starts a child, and gives a handle for its value.
    ///
    /// The child returns `Result<T, E>`, `()` or `!`, see [`ChildOutput`]. Dropping the handle neither cancels nor
    /// detaches it. If the group is closed or cancelled, the future is dropped unpolled and the handle says that it
    /// was cancelled; [`try_spawn`](Self::try_spawn) gives it back instead. If the group has a
    /// [limit](crate::group::Builder::limit) and is full, the child is queued.
    ///
    /// # Cancellation
    ///
    /// See [`cancel`](Self::cancel) and [`JoinHandle::cancel`].
    ///
    /// # Panics
    ///
    /// Panics if the spawner does: a child that it has not taken is lost then, which cancels the group. A panic of the child cancels the
    /// group and is resumed in whoever joins it.
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

    /// Starts a child, or gives its future back if the group takes none.
    ///
    /// # Errors
    ///
    /// [`SpawnError`] if the group is closed or cancelled, or full under its limit. The future was not polled.
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

    /// Starts a child whose value nobody wants.
    ///
    /// There is no handle, and no allocation besides the runtime's own, but for a small one on Tokio and async-std. Otherwise it is
    /// [`spawn`](Self::spawn): an error and a panic are the group's, and a closed or cancelled group drops the future unpolled.
    /// Where that is because of a deadline or of the member that opened the group, [`join`](crate::TaskGroup::join) says so.
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

    /// Waits until fewer children run than the [limit](crate::group::Builder::limit) allows, and starts one more.
    ///
    /// This is back-pressure for whoever makes work. Places are given in the order in which they are asked for. A child
    /// keeps its place for as long as [`len`](Self::len) counts it: until its future is destroyed and every group opened in it
    /// has ended. Without a limit it is [`spawn`](Self::spawn).
    ///
    /// It is for the body, and for code outside of the group. **A child of the same group keeps its own place while it waits
    /// here**: if all who have places do, nobody goes on. There, use [`spawn`](Self::spawn), which queues the new child and does not
    /// wait. And as with a permit of any fair semaphore, **a place may be given to this future while nobody polls it**, in a `select!`
    /// that holds it by reference for instance: those behind it wait until it is polled or dropped.
    ///
    /// # Cancellation
    ///
    /// Dropping the future before it is ready drops the child's future unpolled, and gives a place back that it had. If the
    /// group is closed or cancelled meanwhile, it is ready with a handle that says so.
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
    /// It is for code that computes for long or waits without `await`; on the runtime's own threads that would hold up
    /// everybody else. `work` returns what a child returns, and its error or panic is the group's.
    ///
    /// # Cancellation
    ///
    /// **A cancel cannot cut work that has begun**, as nothing in Rust could: the group waits until it returns, for ever if
    /// it never does, and what it returns counts. Work that has not begun never will: it is dropped with the child, which waits for no
    /// thread. Long work should look at [`is_cancelled`](Self::is_cancelled) or [`is_stopping`](Self::is_stopping) of a clone now and
    /// then.
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

    /// Takes in a task that already runs, on whatever runtime, and gives a handle for its value.
    ///
    /// Its output is what a child's is, see [`ChildOutput`], and it becomes a child like any other: the group waits for
    /// it, its error and its panic are the group's. If it ends without an output, because somebody else aborted it or its
    /// runtime went away, the child is lost. If the group is closed or cancelled, the task is aborted and the handle says
    /// that it was cancelled. It needs no place under a [limit](crate::group::Builder::limit).
    ///
    /// What the task opens or shields while it runs is not linked to the group, which learns of it only here. If the
    /// runtime of the *group* goes away, the child that waits is lost, and the task is only asked to end.
    ///
    /// # Cancellation
    ///
    /// Cancelling asks for the abort, and the group *goes on counting the child until the task has ended*. The task that async-std
    /// gives for work that blocks has ended before that work, which is another one's:
    /// [`spawn_blocking`](Self::spawn_blocking) waits for it.
    ///
    /// # Panics
    ///
    /// Panics if the spawner does, which runs the child that waits for the task.
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

    /// Hands a child that was entered to the runtime.
    #[inline]
    pub(crate) fn hand_over<F, D>(&self, child: Entered, future: F, deliver: D)
    where
        S: Spawner,
        F: Future + Send + 'static,
        D: Deliver<F::Output> + Send + 'static,
    {
        let (Entered { ticket, counted }, spawner) = (child, self.spawner());
        // Made where it is handed over: to move what was just written part by part takes as long as a locked instruction.
        let child = || Child::new(self.state(), ticket, future, deliver);
        if !self.is_registered() {
            if let Err(payload) = catch(|| self.register_first()) {
                // So it is counted off.
                drop(child());
                resume_unwind(payload);
            }
        }
        let Some(counted) = counted else {
            return hand_over(self.state(), ticket, || spawner.spawn(child()));
        };
        let (runnable, task) = spawner.make_task(child(), counted);
        self.state().store(ticket, task);
        handing_over(self.state(), ticket, || spawner.start_task(runnable, Inside(())));
    }
}

impl<S, E: Send + 'static> Group<S, E> {
    /// Starts a child that stays on this thread, and gives a handle for its value. Neither need be `Send`.
    ///
    /// Otherwise it is [`spawn`](Self::spawn). It may be cancelled from any thread: that marks it, and its future is
    /// dropped on its own.
    ///
    /// A group whose spawner is local alone, an `Rc<LocalExecutor>` or an `Rc<LocalSet>`, has only this,
    /// [`launch_local`](Self::launch_local), and the same after [`child`](Self::child). What runs children that are `Send` it has
    /// not: `spawn_blocking`, `adopt`, `start`, `defer`, children in `results` or `keyed`, and a deadline of a `TaskGroup`, which is
    /// kept by a child. [`on`](Self::on) another spawner it has all of these but the last. A [`scope`](crate::scope()) keeps its
    /// deadline itself, so there `timeout` works on an `Rc<LocalSet>`.
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

    /// Starts a child that stays on this thread and whose value nobody wants. See [`launch`](Self::launch).
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
