//! Results in the order of spawning.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::ops::Deref;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_core::stream::FusedStream;

use crate::error::JoinError;
use crate::group::results::{Finished, Results};
use crate::unwind::{catch, drop_each, drop_quietly};

impl<S, T, E> Results<S, T, E> {
    /// Returns the same results in the order of spawning.
    pub fn in_order(self) -> InOrder<S, T, E> {
        let turn = self.taken.first_left(0);
        InOrder { results: self, early: BTreeMap::new(), turn }
    }

    /// Waits for all children spawned so far, and returns their values in the order of spawning.
    ///
    /// Children that failed, panicked or were cancelled have no value; failures go to the group. In a child of a group with a
    /// limit, see [above](Self).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{Smol, TaskGroup};
    /// # smol::block_on(async {
    /// let group = TaskGroup::builder::<&str>(Smol).collect().open();
    /// let results = group.results();
    /// results.spawn(async { Ok(1) });
    /// results.spawn(async { Err("odd") });
    /// results.spawn(async { Ok(3) });
    /// assert_eq!(results.values().await, [1, 3]);
    /// assert_eq!(group.join().await.unwrap_err().primary(), Some(&"odd"));
    /// # });
    /// # }
    /// ```
    #[doc(alias = "join_all")]
    pub async fn values(self) -> Vec<T> {
        // There they are dropped one by one, if this future is dropped.
        let mut kept = self.in_order();
        while kept.results.outstanding() > 0 {
            let Some((number, finished)) = std::future::poll_fn(|cx| kept.results.poll_finished(cx)).await
            else {
                break;
            };
            kept.early.insert(number, finished);
        }
        let early = std::mem::take(&mut kept.early).into_values();
        // It may be the last to hold a spawner, whose destructor is the user's. If that panicked later, the values would be leaked.
        match catch(|| drop(kept)) {
            Ok(()) => early.filter_map(Result::ok).collect(),
            Err(payload) => {
                early.for_each(drop_quietly);
                resume_unwind(payload)
            }
        }
    }
}

/// [`Results`] in the order in which their children were spawned.
///
/// It is made by [`Results::in_order`], and spawns in the same way. Results of later children wait here for those of earlier
/// ones. Their number is only bounded by how many children are spawned ahead.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "smol")] {
/// # use taskgroup::{Smol, TaskGroup};
/// # smol::block_on(async {
/// let group = TaskGroup::new(Smol);
/// let mut results = group.results().in_order();
/// for number in 0..3 {
///     results.spawn(async move { Ok(number) });
/// }
/// for number in 0..3 {
///     assert_eq!(results.next().await.unwrap().unwrap(), number);
/// }
/// group.join().await.unwrap();
/// # });
/// # }
/// ```
#[must_use = "results that nobody takes are kept until this is dropped"]
pub struct InOrder<S, T, E = Infallible> {
    results: Results<S, T, E>,
    /// Results that came before those of children spawned earlier.
    early: BTreeMap<u64, Finished<T>>,
    /// Whose turn it is.
    turn: u64,
}

impl<S, T, E> InOrder<S, T, E> {
    /// Waits for the result of the child that was spawned first among those that are left. `None` when no more can come.
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<T, JoinError>> {
        std::future::poll_fn(|cx| self.poll_turn(cx)).await
    }

    /// Waits like [`next`](Self::next). `None` when nothing is [outstanding](Self::outstanding), also in an open group.
    ///
    /// Dropping the future loses nothing.
    pub async fn join_next(&mut self) -> Option<Result<T, JoinError>> {
        if self.outstanding() == 0 { None } else { self.next().await }
    }

    /// Takes the result of the child that was spawned first among those that are left. `None` if that child still lives, or nothing
    /// is [outstanding](Self::outstanding).
    pub fn try_join_next(&mut self) -> Option<Result<T, JoinError>> {
        loop {
            if let Some(result) = self.take_turn() {
                return Some(result);
            }
            let (number, finished) = self.results.pop()?;
            self.early.insert(number, finished);
        }
    }

    /// Returns how many results are still to be taken. See [`Results::outstanding`].
    pub fn outstanding(&self) -> usize {
        self.results.outstanding() + self.early.len()
    }

    fn take_turn(&mut self) -> Option<Result<T, JoinError>> {
        let finished = self.early.remove(&self.turn)?;
        // Some may have been taken before they were put in order.
        self.turn = self.results.taken.first_left(self.turn + 1);
        Some(self.results.result(finished))
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, JoinError>>> {
        loop {
            if let Some(result) = self.take_turn() {
                return Poll::Ready(Some(result));
            }
            match std::task::ready!(self.results.poll_finished(cx)) {
                Some((number, finished)) => self.early.insert(number, finished),
                None => return Poll::Ready(None),
            };
        }
    }
}

impl<S, T, E> Deref for InOrder<S, T, E> {
    type Target = Results<S, T, E>;

    fn deref(&self) -> &Results<S, T, E> {
        &self.results
    }
}

impl<S, T, E> Unpin for InOrder<S, T, E> {}

impl<S, T, E> Stream for InOrder<S, T, E> {
    type Item = Result<T, JoinError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_turn(cx)
    }
}

impl<S, T, E> FusedStream for InOrder<S, T, E> {
    /// Whether the group takes no more children, and all results were taken.
    fn is_terminated(&self) -> bool {
        self.results.is_terminated() && self.early.is_empty()
    }
}

impl<S, T, E> Drop for InOrder<S, T, E> {
    fn drop(&mut self) {
        drop_each(std::mem::take(&mut self.early).into_values());
    }
}

impl<S, T, E> fmt::Debug for InOrder<S, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InOrder")
            .field("results", &self.results)
            .field("turn", &self.turn)
            .finish_non_exhaustive()
    }
}
