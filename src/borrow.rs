//! A group whose children may borrow, as they stay in the task that awaits it.
//!
//! The future of [`borrowing`] owns the executor on which the children run, and is what polls it. So they are polled only
//! while it is awaited, and are gone with it when it is dropped; if it is leaked, so is what they borrow from, and nobody
//! polls them any more. That is what makes borrowing sound here, and nowhere where a runtime has the children.
//!
//! To its opener such a group is *owned*: a member that is cut does not wait for it before it is dropped, because dropping
//! it is what ends the group.
//!
//! So when the future is gone all children have to be, also one that is being woken by another thread at that moment. A
//! `LocalExecutor` that is dropped does not wait for such a one: it comes into a queue that nobody looks into any more, and
//! lies there for ever, with all that it has captured and counted by its group. Therefore an [`Executor`] that is dropped empties
//! it first.

use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use async_executor::LocalExecutor;
use async_task::Task;
use pin_project_lite::pin_project;
use slab::Slab;

use crate::child::{Child, ToHandle};
use crate::child_builder::hand_over;
use crate::error::GroupError;
use crate::group::Group;
use crate::handle::{JoinHandle, Packet};
use crate::lock::pause;
use crate::output::ChildOutput;
use crate::scope::scope;

/// Opens a group whose children may borrow what outlives the group: the locals of whoever awaits it.
///
/// They run in turn, in the task that awaits this, and need not be `Send`. It is for concurrency without parallelism: many
/// requests on one connection, say. In all else it is a [`scope()`], fail-fast, with the promise that goes with it.
///
/// `body` is given a [`Borrowing`] to spawn with. There are no settings; a deadline is set by
/// `group.group().on(Smol).set_deadline(…)`.
///
/// # Cancellation
///
/// Dropping the future drops the body and all children there and then; if another thread is in the middle of waking one of
/// them, it is awaited for that moment. If the group was opened in a member of another one that is cut, that member is
/// dropped, and the children with it; groups that the children have opened on a runtime are cancelled, and counted by every
/// group around, but may end a little later.
///
/// If the future is leaked once it has been polled, as by [`std::mem::forget`], nobody polls or drops body and children any more. A
/// group around it counts them for ever, and is never joined: no cancel reaches them.
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

/// Where children of a [`borrowing`] group are spawned into. If none of them can fail, the body takes a `Borrowing<'_, '_>`.
pub struct Borrowing<'a, 'env, E = Infallible> {
    executor: &'a Executor<'env>,
    group: Group<(), E>,
}

impl<'env, E: Send + 'static> Borrowing<'_, 'env, E> {
    /// Starts a child that may borrow, and gives a handle for its value. See [`Group::spawn`].
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
        let state = self.group.state();
        let deliver = ToHandle::new(packet.clone());
        hand_over(state, ticket, || self.executor.spawn(Child::new(state, ticket, future, deliver)));
        builder.handle(packet, ticket, Location::caller())
    }

    /// The group, to cancel it, to look at it, or to spawn `'static` children on a runtime: [`on`](Group::on).
    pub fn group(&self) -> &Group<(), E> {
        &self.group
    }
}

impl<E> fmt::Debug for Borrowing<'_, '_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Borrowing").field(&self.group).finish()
    }
}

/// Runs children in the task that polls it, and lets go of them all when it is dropped.
struct Executor<'env> {
    tasks: LocalExecutor<'env>,
    residents: Rc<Residents>,
}

/// How those are woken that wait. Not there when they are to go.
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
        // All are in the queue now, or another thread is about to put them there. To park until then could take away the wake that
        // whoever awaits the group has parked for.
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

    /// Ends, and so is dropped by its task, if it is to go.
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
