//! The results of many children of one type, as they come or in the order of spawning.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use futures_core::stream::FusedStream;

use crate::child::Deliver;
use crate::error::{JoinError, Origin, Why};
use crate::group::Group;
use crate::handle::{CancelHandle, Spawned};
use crate::output::ChildOutput;
use crate::output::sealed::Sorted;
use crate::spawner::Spawner;
use crate::state::limit::Place;
use crate::state::signal::Waiter;
use crate::sync::lock::Lock;
use crate::sync::spare::shrink;
use crate::sync::{AtomicU64, Ordering};
use crate::unwind::{drop_quietly, drop_refused, drop_unread, resume, wake};

mod added;
mod in_order;

use self::added::Added;
pub use self::in_order::InOrder;

/// The results of children in the order of completion: a [`Stream`] of `Result<T, JoinError>`.
///
/// It is made by [`Group::results`]. Children that are spawned through it are children of the group like all others. A child with
/// a name, or one that blocks, is spawned as usual, and its handle is [added](Self::add). The results are kept here until they
/// are taken. Dropping it drops the results that were not taken, and cancels no child: later results are dropped where their
/// child ends.
///
/// The stream ends when no result is outstanding and the group takes no more children. Until then it *waits*, even if nothing is
/// outstanding, so that a loop that spawns in one branch of a `select!` does not spin.
///
/// A child of the group that waits here keeps its place under a [limit](crate::group::Builder::limit). If all children that have
/// places wait here for children that have none, the group hangs. Take the results in the body or outside of the group, or await
/// handles, which lends the place.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "smol")] {
/// # use taskgroup::{scope, GroupError, Smol};
/// # smol::block_on(async {
/// let sum = scope(Smol, |group| async move {
///     let mut results = group.results();
///     for number in ["1", "2", "3"] {
///         results.spawn(async move { number.parse::<u32>() });
///     }
///     let mut sum = 0;
///     group.close();
///     while let Some(number) = results.next().await {
///         sum += number.unwrap();
///     }
///     Ok(sum)
/// });
/// assert_eq!(sum.await?, 6);
/// # Ok::<(), GroupError<std::num::ParseIntError>>(()) }).unwrap();
/// # }
/// ```
#[must_use = "results that nobody takes are kept until this is dropped"]
pub struct Results<S, T, E = Infallible> {
    group: Group<S, E>,
    queue: Arc<Queue<T>>,
    /// How many children were spawned or added. Nobody takes a result meanwhile: that needs a mutable reference.
    spawned: AtomicU64,
    waiter: Waiter,
    taken: Taken,
}

type Queue<T> = Lock<Inner<T>>;

struct Inner<T> {
    finished: VecDeque<(u64, Finished<T>)>,
    waker: Option<Waker>,
    /// Handles that were added, whose children have not ended.
    added: BTreeMap<u64, Arc<Added<T>>>,
    /// Results are not taken any more.
    gone: bool,
}

impl<T> Inner<T> {
    fn pop(&mut self) -> Option<(u64, Finished<T>)> {
        let first = self.finished.pop_front();
        shrink(&mut self.finished);
        first
    }
}

/// Which results were taken.
#[derive(Default)]
struct Taken {
    /// How many, as they came or in order.
    count: u64,
    /// As they came: all before this one.
    before: u64,
    /// And these, as ranges from a number to before another one. There is at most one gap for each result that is left.
    beyond: BTreeMap<u64, u64>,
}

impl Taken {
    fn note(&mut self, number: u64) {
        let end = self.beyond.remove(&(number + 1)).unwrap_or(number + 1);
        if number == self.before {
            self.before = end;
            return;
        }
        match self.beyond.range_mut(..number).next_back() {
            Some((_, before)) if *before == number => *before = end,
            _ => drop(self.beyond.insert(number, end)),
        }
    }

    /// Returns the first result from this one on that is left.
    fn first_left(&self, number: u64) -> u64 {
        let number = number.max(self.before);
        self.beyond.range(..=number).next_back().map_or(number, |(_, end)| number.max(*end))
    }
}

type Finished<T> = Result<T, Box<Missing>>;

/// Why there is no value, and of which child.
struct Missing {
    why: Why,
    child: Source,
}

/// The child that a result belongs to.
enum Source {
    /// It was spawned here, and has no name.
    Here { id: u64, location: &'static Location<'static> },
    /// Its handle was added. Known if the child was not refused.
    Added(Option<Origin>),
}

impl<S, E> Group<S, E> {
    /// Returns a place for the results of many children, which are taken as they come or in the order of spawning.
    pub fn results<T>(&self) -> Results<S, T, E> {
        let inner = Inner { finished: VecDeque::new(), waker: None, added: BTreeMap::new(), gone: false };
        Results {
            group: self.clone(),
            queue: Arc::new(Lock::new(inner)),
            spawned: AtomicU64::new(0),
            waiter: Waiter::default(),
            taken: Taken::default(),
        }
    }
}

impl<S, T: Send + 'static, E: Send + 'static> Results<S, T, E> {
    /// Starts a child whose result comes here, and returns a handle that can cancel it.
    ///
    /// If the group is closed or cancelled, the future is dropped unpolled, and there is no result.
    ///
    /// # Panics
    ///
    /// Panics if the spawner does. The child that the spawner has not taken is lost then, which cancels the group.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> CancelHandle
    where
        S: Spawner,
        F: Future + Send + 'static,
        F::Output: ChildOutput<E, Value = T>,
    {
        let location = Location::caller();
        let taken_in = self.group.child().take_in(Place::Queue, future, |ticket| ToResults {
            queue: self.queue.clone(),
            number: self.expect_one(),
            id: ticket.id(),
            location,
            error: PhantomData::<fn(E)>,
        });
        match taken_in {
            Ok(ticket) => {
                CancelHandle::new(self.group.state().clone(), ticket, Spawned { location, name: None })
            }
            Err(refused) => {
                drop_refused(refused);
                CancelHandle::refused()
            }
        }
    }
}

impl<S, T, E> Results<S, T, E> {
    /// Waits for the next result, whichever child it is of. `None` when no more can come.
    ///
    /// More can come as long as the group takes children. **So in an open group this waits for ever when nothing is outstanding.**
    /// [Close](Group::close) the group first, or use [`join_next`](Self::join_next), which does not wait then.
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{Smol, TaskGroup};
    /// # smol::block_on(async {
    /// let group = TaskGroup::new(Smol);
    /// let mut results = group.results();
    /// for number in 0..3 {
    ///     results.spawn(async move { Ok(number) });
    /// }
    /// group.close();
    /// let mut sum = 0;
    /// while let Some(result) = results.next().await {
    ///     sum += result?;
    /// }
    /// assert_eq!(sum, 3);
    /// group.join().await.unwrap();
    /// # Ok::<(), taskgroup::JoinError>(()) }).unwrap();
    /// # }
    /// ```
    pub async fn next(&mut self) -> Option<Result<T, JoinError>> {
        std::future::poll_fn(|cx| self.poll_result(cx)).await
    }

    /// Waits for the next result, whichever child it is of. `None` when nothing is [outstanding](Self::outstanding).
    ///
    /// The group may stay open, so this is for one batch after another, as with Tokio's `JoinSet`.
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Examples
    ///
    /// Two batches in one open group:
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{Smol, TaskGroup};
    /// # smol::block_on(async {
    /// let group = TaskGroup::new(Smol);
    /// let mut results = group.results();
    /// let mut sum = 0;
    /// for batch in [10, 20] {
    ///     for number in 0..3 {
    ///         results.spawn(async move { Ok(batch + number) });
    ///     }
    ///     while let Some(result) = results.join_next().await {
    ///         sum += result?;
    ///     }
    /// }
    /// assert_eq!(sum, 96);
    /// group.join().await.unwrap();
    /// # Ok::<(), taskgroup::JoinError>(()) }).unwrap();
    /// # }
    /// ```
    pub async fn join_next(&mut self) -> Option<Result<T, JoinError>> {
        if self.outstanding() == 0 { None } else { self.next().await }
    }

    /// Takes a result that is there, whichever child it is of. `None` if all outstanding children still live, or none is
    /// [outstanding](Self::outstanding).
    pub fn try_join_next(&mut self) -> Option<Result<T, JoinError>> {
        let next = self.pop()?;
        Some(self.take(next))
    }

    /// Returns how many results are still to be taken, of children that live and of those that have ended.
    pub fn outstanding(&self) -> usize {
        (self.spawned.load(Ordering::Relaxed) - self.taken.count) as usize
    }

    /// Returns the number of a result that is outstanding from now on.
    fn expect_one(&self) -> u64 {
        self.spawned.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes a result out of the queue, if there is one.
    fn pop(&mut self) -> Option<(u64, Finished<T>)> {
        let next = self.queue.lock().pop();
        self.taken.count += u64::from(next.is_some());
        next
    }

    fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<Option<(u64, Finished<T>)>> {
        if let Some(next) = self.pop() {
            return Poll::Ready(Some(next));
        }
        // Before looking again, so that this task is woken if the group is closed from now on.
        self.waiter.listen(self.group.state().signal(), cx);
        let mut waker = Some(cx.waker().clone());
        let mut inner = self.queue.lock();
        let next = inner.pop();
        let stale = if next.is_none() { std::mem::replace(&mut inner.waker, waker.take()) } else { None };
        drop(inner);
        drop_quietly(waker);
        drop_quietly(stale);
        self.taken.count += u64::from(next.is_some());
        match next {
            Some(next) => Poll::Ready(Some(next)),
            None if self.outstanding() == 0 && self.group.is_closed() => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn poll_result(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, JoinError>>> {
        self.poll_finished(cx).map(|next| next.map(|next| self.take(next)))
    }

    fn take(&mut self, (number, finished): (u64, Finished<T>)) -> Result<T, JoinError> {
        self.taken.note(number);
        self.result(finished)
    }

    fn result(&self, finished: Finished<T>) -> Result<T, JoinError> {
        finished.map_err(|missing| {
            let origin = match missing.child {
                Source::Here { id, location } => Some(self.group.state().origin_of_child(id, location, None)),
                Source::Added(origin) => origin,
            };
            JoinError { why: missing.why, origin }
        })
    }
}

impl<S, T, E> Unpin for Results<S, T, E> {}

impl<S, T, E> Stream for Results<S, T, E> {
    type Item = Result<T, JoinError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_result(cx)
    }
}

impl<S, T, E> FusedStream for Results<S, T, E> {
    /// Whether the group takes no more children, and all results were taken.
    fn is_terminated(&self) -> bool {
        self.group.is_closed() && self.outstanding() == 0
    }
}

impl<S, T, E> Drop for Results<S, T, E> {
    fn drop(&mut self) {
        let mut inner = self.queue.lock();
        inner.gone = true;
        let (added, finished) = (std::mem::take(&mut inner.added), std::mem::take(&mut inner.finished));
        let waker = inner.waker.take();
        drop(inner);
        drop_quietly(waker);
        let mut panic = None;
        added.into_values().for_each(|added| drop_unread(added.give_up(), &mut panic));
        finished.into_iter().for_each(|finished| drop_unread(finished, &mut panic));
        resume(panic);
    }
}

impl<S, T, E> fmt::Debug for Results<S, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Results").field("group", &self.group).finish_non_exhaustive()
    }
}

/// The result goes to a [`Results`].
struct ToResults<T, E> {
    queue: Arc<Queue<T>>,
    number: u64,
    id: u64,
    location: &'static Location<'static>,
    error: PhantomData<fn(E)>,
}

impl<O: ChildOutput<E>, E: Send + 'static> Deliver<O> for ToResults<O::Value, E> {
    type Value = O::Value;
    type Error = E;
    /// The result, if nobody takes it any more.
    type Rest = Option<Finished<O::Value>>;

    fn sort(&self, output: O) -> Sorted<O::Value, E> {
        output.sort()
    }

    fn deliver(&mut self, result: Result<O::Value, Why>) -> Self::Rest {
        let child = Source::Here { id: self.id, location: self.location };
        leave(&self.queue, self.number, result.map_err(|why| Box::new(Missing { why, child })))
    }
}

/// Leaves a result, or returns it if nobody takes it any more.
fn leave<T>(queue: &Queue<T>, number: u64, finished: Finished<T>) -> Option<Finished<T>> {
    let mut inner = queue.lock();
    let rest = if inner.gone {
        Some(finished)
    } else {
        inner.finished.push_back((number, finished));
        None
    };
    let waker = inner.waker.take();
    drop(inner);
    waker.into_iter().for_each(wake);
    rest
}
