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

use crate::child::{Deliver, Returned, sort};
use crate::error::{JoinError, Origin, Why};
use crate::group::Group;
use crate::handle::{CancelHandle, Spawned};
use crate::lock::Lock;
use crate::outcome::Raw;
use crate::output::ChildOutput;
use crate::signal::Waiter;
use crate::spare::shrink;
use crate::spawner::Spawner;
use crate::unwind::{drop_quietly, drop_refused, wake};

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
    waiter: Waiter,
    taken: Taken,
}

type Queue<T> = Lock<Inner<T>>;

struct Inner<T> {
    finished: VecDeque<(u64, Finished<T>)>,
    spawned: u64,
    outstanding: usize,
    waker: Option<Waker>,
    /// Handles that were added, whose children have not ended.
    added: BTreeMap<u64, Arc<Added<T>>>,
    /// Results are not taken any more.
    gone: bool,
}

impl<T> Inner<T> {
    /// Returns the number of a result that is outstanding from now on.
    fn expect_one(&mut self) -> u64 {
        self.outstanding += 1;
        self.spawned += 1;
        self.spawned - 1
    }

    fn pop(&mut self) -> Option<(u64, Finished<T>)> {
        let first = self.finished.pop_front();
        shrink(&mut self.finished);
        first
    }
}

/// The results that were taken as they came, as ranges from a number to before another one. There is at most one gap for each
/// result that is left.
#[derive(Default)]
struct Taken(BTreeMap<u64, u64>);

impl Taken {
    fn note(&mut self, number: u64) {
        let end = self.0.remove(&(number + 1)).unwrap_or(number + 1);
        match self.0.range_mut(..number).next_back() {
            Some((_, before)) if *before == number => *before = end,
            _ => drop(self.0.insert(number, end)),
        }
    }

    /// Returns the first result from this one on that is left.
    fn first_left(&self, number: u64) -> u64 {
        self.0.range(..=number).next_back().map_or(number, |(_, end)| number.max(*end))
    }
}

struct Finished<T> {
    result: Result<T, Why>,
    child: Source,
}

/// The child that a result belongs to.
enum Source {
    /// It was spawned here, and has no name.
    Here { id: u64, location: &'static Location<'static> },
    /// Its handle was added. Known if there is no value, and the child was not refused.
    Added(Option<Box<Origin>>),
}

impl<S, E> Group<S, E> {
    /// Returns a place for the results of many children, which are taken as they come or in the order of spawning.
    pub fn results<T>(&self) -> Results<S, T, E> {
        let inner = Inner {
            finished: VecDeque::new(),
            spawned: 0,
            outstanding: 0,
            waker: None,
            added: BTreeMap::new(),
            gone: false,
        };
        let queue = Arc::new(Lock::new(inner));
        Results { group: self.clone(), queue, waiter: Waiter::default(), taken: Taken::default() }
    }
}

impl<S, T: Send + 'static, E: Send + 'static> Results<S, T, E> {
    /// Starts a child whose result comes here, and returns a handle that can cancel it.
    ///
    /// If the group is closed or cancelled, the future is dropped unpolled, and there is no result.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> CancelHandle
    where
        S: Spawner,
        F: Future + Send + 'static,
        F::Output: ChildOutput<E, Value = T>,
    {
        let builder = self.group.child();
        let Ok(entered) = builder.enter() else {
            drop_refused(future);
            return CancelHandle::refused();
        };
        let (ticket, location) = (entered.ticket, Location::caller());
        let number = self.queue.lock().expect_one();
        let deliver = ToResults {
            queue: self.queue.clone(),
            number,
            id: ticket.id(),
            location,
            error: PhantomData::<fn(E)>,
        };
        self.group.hand_over(entered, future, deliver);
        CancelHandle::new(self.group.state().clone(), ticket, Spawned { location, name: None })
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

    /// Returns how many results are still to be taken, of children that live and of those that have ended.
    pub fn outstanding(&self) -> usize {
        let inner = self.queue.lock();
        inner.outstanding + inner.finished.len()
    }

    fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<Option<(u64, Finished<T>)>> {
        if let Some(next) = self.queue.lock().pop() {
            return Poll::Ready(Some(next));
        }
        // Before looking again, so that this task is woken if the group is closed from now on.
        self.waiter.listen(self.group.state().signal(), cx);
        let mut waker = Some(cx.waker().clone());
        let mut inner = self.queue.lock();
        let next = inner.pop();
        let none_left = next.is_none() && inner.outstanding == 0;
        let stale = if next.is_none() { std::mem::replace(&mut inner.waker, waker.take()) } else { None };
        drop(inner);
        drop_quietly(waker);
        drop_quietly(stale);
        match next {
            Some(next) => Poll::Ready(Some(next)),
            None if none_left && self.group.is_closed() => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn poll_result(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, JoinError>>> {
        self.poll_finished(cx).map(|next| {
            next.map(|(number, finished)| {
                self.taken.note(number);
                self.result(finished)
            })
        })
    }

    fn result(&self, finished: Finished<T>) -> Result<T, JoinError> {
        let Finished { result, child } = finished;
        result.map_err(|why| {
            let origin = match child {
                Source::Here { id, location } => Some(self.group.state().origin_of_child(id, location, None)),
                Source::Added(origin) => origin.map(|origin| *origin),
            };
            JoinError { why, origin }
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
        added.into_values().for_each(|added| added.give_up());
        // One by one: two panics out of one collection would abort.
        finished.into_iter().for_each(drop_quietly);
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
    /// The result, if nobody takes it any more.
    type Rest = Option<Result<O::Value, Why>>;

    fn sort(&self, output: O) -> Result<Returned<O::Value>, Raw> {
        sort(output)
    }

    fn deliver(&mut self, result: Result<O::Value, Why>) -> Self::Rest {
        let child = Source::Here { id: self.id, location: self.location };
        leave(&self.queue, self.number, Finished { result, child }).map(|finished| finished.result)
    }
}

/// Leaves a result that was outstanding, or returns it if nobody takes it any more.
fn leave<T>(queue: &Queue<T>, number: u64, finished: Finished<T>) -> Option<Finished<T>> {
    let mut inner = queue.lock();
    inner.outstanding -= 1;
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
