//! A group whose children may borrow, because they stay in the task that awaits it.
//!
//! The future of [`borrowing`] owns the executor on which the children run, and polls it. So the children are polled only
//! while the future is awaited, and they are gone when it has been dropped. If it is leaked, nobody polls them any more, and
//! what they borrow from is never dropped either. That makes borrowing sound here. It would not be sound if a runtime owned
//! the children.
//!
//! For its opener such a group is *owned*: a cut member is dropped without waiting for the group, because dropping the
//! member is what ends the group. For the same reason a scope whose body owns a group counts it only when the body is
//! gone: until then it may be that the body is dropped only because the scope is over. For what is around that scope, the
//! scope is owned as well then (see [`State::settle`](crate::state::State::settle)).
//!
//! So all children must be gone when the future is gone, even a child that another thread is waking at that moment. A
//! `LocalExecutor` that is dropped does not wait for such a child. The child would stay in a queue that nobody looks at any
//! more, with everything it captured, and its group would count it for ever. Therefore [`Executor`] empties the queue when
//! it is dropped.

use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use async_executor::LocalExecutor;
use async_task::Task;
use pin_project_lite::pin_project;
use slab::Slab;

use crate::child::{Child, Deliver, Discard, ToHandle};
use crate::error::GroupError;
use crate::group::Group;
use crate::group::child_builder::hand_over;
use crate::handle::{JoinHandle, Packet};
use crate::output::ChildOutput;
use crate::scope::scope;
use crate::state::ticket::Ticket;
use crate::sync::lock::pause;
use crate::unwind::drop_refused;

/// Opens a group whose children may borrow from the caller.
///
/// The children run in turn, in the task that awaits this future, and need not be `Send`. Nor is this future, so a child that is
/// spawned onto a runtime cannot await it. So this is for concurrency without parallelism, such as many requests on one
/// connection. Otherwise it is a fail-fast [`scope()`], with the same promises.
///
/// `body` gets a [`Borrowing`], which spawns the children. There are no settings. To set a deadline, call
/// `group.group().on(Smol).set_deadline(…)`.
///
/// # Cancellation
///
/// Dropping the future drops the body and all children at once. If another thread is just waking one of them, the drop waits
/// for that moment. If the group was opened in a member of another group, and that member is cancelled, the member is dropped
/// and the children with it. If a child is under a [shield](crate::shield()), the member goes on until the shield has ended. So
/// keep polling the future, or drop it: a member that keeps it unpolled is not dropped by a cancel. Groups that the children have
/// opened on a runtime are cancelled. Every group around counts them,
/// but they may end a little later.
///
/// If the future is leaked after it was polled, for example by [`std::mem::forget`], body and children are never polled or
/// dropped. A group around it counts them for ever, and can never be joined: no cancel reaches them.
///
/// # Panics
///
/// As for a [`scope()`].
///
/// # Errors
///
/// As for a [`scope()`].
///
/// # Examples
///
/// ```
/// use taskgroup::{GroupError, borrowing};
///
/// # futures_lite::future::block_on(async {
/// let words = ["one", "two", "three"].map(String::from);
/// let total = borrowing(async |group| {
///     let lengths = words.each_ref().map(|word| group.spawn(async move { Ok(word.len()) }));
///     let mut total = 0;
///     for length in lengths {
///         total += length.value().await;
///     }
///     Ok(total)
/// })
/// .await?;
/// assert_eq!(total, 11);
/// assert_eq!(words[0], "one");
/// # Ok::<(), GroupError<std::io::Error>>(()) }).unwrap();
/// ```
///
/// If nothing can fail, the compiler cannot infer the error type (E0283). Then name the argument's type:
///
/// ```
/// use taskgroup::{borrowing, group::Borrowing};
///
/// # futures_lite::future::block_on(async {
/// let words = ["one", "two"].map(String::from);
/// let total = borrowing(async |group: Borrowing<'_, '_>| {
///     let first = group.spawn(async { Ok(words[0].len()) });
///     let second = group.spawn(async { Ok(words[1].len()) });
///     Ok(first.value().await + second.value().await)
/// })
/// .await?;
/// assert_eq!(total, 6);
/// # Ok::<(), taskgroup::error::Cut>(()) }).unwrap();
/// ```
///
/// What the body itself owns does not outlive the group:
///
/// ```compile_fail,E0373
/// # futures_lite::future::block_on(async {
/// taskgroup::borrowing::<std::io::Error, _, _>(async |group| {
///     let word = String::from("one");
///     group.spawn(async { Ok(word.len()) }); // error: may outlive borrowed value `word`
///     Ok(())
/// })
/// .await
/// # }).unwrap();
/// ```
#[track_caller]
pub fn borrowing<'env, E, T, B>(body: B) -> impl Future<Output = Result<T, GroupError<E>>>
where
    B: AsyncFnOnce(Borrowing<'_, 'env, E>) -> Result<T, E>,
    E: Send + 'static,
{
    let location = Location::caller();
    async move {
        let executor = Executor::new();
        let body = async |group| body(Borrowing { executor: &executor, group }).await;
        let mut scope = scope((), body);
        let config = scope.config();
        config.owned = true;
        config.location = location;
        // The executor holds it more than once, and so does every future around this one.
        executor.tasks.run(Box::pin(scope)).await
    }
}

/// Spawns the children of a [`borrowing`] group.
///
/// Only the body has it: children cannot spawn siblings, because what they borrow outlives the executor.
///
/// If no child can fail, the body takes a `Borrowing<'_, '_>`.
pub struct Borrowing<'a, 'env, E = Infallible> {
    executor: &'a Executor<'env>,
    group: Group<(), E>,
}

impl<'env, E: Send + 'static> Borrowing<'_, 'env, E> {
    /// Starts a child that may borrow, and returns a handle for its value. See [`Group::spawn`].
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<<F::Output as ChildOutput<E>>::Value>
    where
        F: Future + 'env,
        F::Output: ChildOutput<E>,
        <F::Output as ChildOutput<E>>::Value: 'env,
    {
        let builder = self.group.child();
        let Ok(ticket) = builder.enter_alone() else { return JoinHandle::refused(future) };
        let packet = Packet::new();
        self.start(ticket, future, ToHandle::new(packet.clone()));
        builder.handle(packet, ticket, Location::caller())
    }

    /// Starts a child that may borrow, without a handle. See [`Group::launch`].
    #[track_caller]
    pub fn launch<F>(&self, future: F)
    where
        F: Future + 'env,
        F::Output: ChildOutput<E>,
    {
        match self.group.child().enter_alone() {
            Ok(ticket) => self.start(ticket, future, Discard(PhantomData::<fn(E)>)),
            Err(_) => drop_refused(future),
        }
    }

    fn start<F, D>(&self, ticket: Ticket, future: F, deliver: D)
    where
        F: Future + 'env,
        D: Deliver<F::Output> + 'env,
    {
        let state = self.group.state();
        hand_over(state, ticket, || self.executor.spawn(Child::new(state, ticket, future, deliver)));
    }

    /// Returns the group: to cancel it, to look at it, or to spawn `'static` children on a runtime with [`on`](Group::on).
    pub fn group(&self) -> &Group<(), E> {
        &self.group
    }
}

impl<E> fmt::Debug for Borrowing<'_, '_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Borrowing").field(&self.group).finish()
    }
}

/// Runs children in the task that polls it, and drops all of them when it is dropped.
struct Executor<'env> {
    tasks: LocalExecutor<'env>,
    residents: Rc<Residents>,
}

/// The wakers of the children that wait. `None` when the children are to go.
type Residents = RefCell<Option<Slab<Waker>>>;

impl<'env> Executor<'env> {
    fn new() -> Self {
        Self { tasks: LocalExecutor::new(), residents: Rc::new(RefCell::new(Some(Slab::new()))) }
    }

    fn spawn<F: Future<Output = ()> + 'env>(&self, future: F) -> Task<()> {
        let residents = self.residents.clone();
        self.tasks.spawn(Resident { future, residents, key: None })
    }
}

impl Drop for Executor<'_> {
    fn drop(&mut self) {
        let residents = self.residents.take();
        residents.into_iter().flatten().for_each(|(_, waker)| waker.wake());
        // All are in the queue now, or another thread is about to put them there. Parking until then could consume the wake-up
        // that the task that awaits the group has parked for.
        let mut turn = 0;
        while !self.tasks.is_empty() {
            if !self.tasks.try_tick() {
                pause(&mut turn);
            }
        }
    }
}

pin_project! {
    /// A child on its executor.
    struct Resident<F> {
        #[pin]
        future: F,
        residents: Rc<Residents>,
        key: Option<usize>,
    }

    impl<F> PinnedDrop for Resident<F> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let (Some(key), Some(residents)) = (*this.key, &mut *this.residents.borrow_mut()) {
                residents.remove(key);
            }
        }
    }
}

impl<F: Future<Output = ()>> Future for Resident<F> {
    type Output = ();

    /// Ends if the children are to go, and is then dropped by its task.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.residents.borrow().is_none() {
            return Poll::Ready(());
        }
        let polled = this.future.poll(cx);
        if polled.is_pending() && this.key.is_none() {
            let waker = cx.waker().clone();
            *this.key = this.residents.borrow_mut().as_mut().map(|residents| residents.insert(waker));
        }
        polled
    }
}
