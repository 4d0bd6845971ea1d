//! What a group does not take.

use std::error::Error;
use std::fmt;

/// Why a group takes no child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Closed,
    Cancelled,
    /// As many children run as its limit allows.
    Full,
}

/// A future that a closed, cancelled or full group did not take. It was not polled.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "smol")] {
/// # use taskgroup::{Smol, TaskGroup};
/// # smol::block_on(async {
/// let group = TaskGroup::new(Smol);
/// group.cancel();
/// let refused = group.try_spawn(async { Ok(7) }).unwrap_err();
/// assert!(refused.is_cancelled());
/// assert_eq!(refused.into_future().await.unwrap(), 7);
/// # });
/// # }
/// ```
pub struct SpawnError<F> {
    pub(crate) future: F,
    pub(crate) refusal: Refusal,
}

impl<F> SpawnError<F> {
    /// Returns whether the group was cancelled, or is on its way out after a failure. Once it has ended, it is closed instead.
    pub fn is_cancelled(&self) -> bool {
        self.refusal == Refusal::Cancelled
    }

    /// Returns whether the group was closed, or has ended.
    pub fn is_closed(&self) -> bool {
        self.refusal == Refusal::Closed
    }

    /// Returns whether every place under the group's [limit](crate::group::Builder::limit) was taken, or kept for somebody who has
    /// waited to spawn.
    pub fn is_full(&self) -> bool {
        self.refusal == Refusal::Full
    }

    /// Gives the future back.
    pub fn into_future(self) -> F {
        self.future
    }
}

impl<F> fmt::Debug for SpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpawnError").field("refusal", &self.refusal).finish_non_exhaustive()
    }
}

impl<F> fmt::Display for SpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.refusal {
            Refusal::Closed => "the group is closed",
            Refusal::Cancelled => "the group is cancelled",
            Refusal::Full => "the group is full",
        })
    }
}

impl<F> Error for SpawnError<F> {}

/// Why [`Group::start`](crate::Group::start) has nothing to give.
///
/// In every case the child's future is gone. Its clean-ups and the groups opened in it may still be ending.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "smol")] {
/// # use taskgroup::{Smol, TaskGroup, error::StartError};
/// # smol::block_on(async {
/// let group = TaskGroup::fallible::<&str>(Smol);
/// # type Ready = taskgroup::group::Ready<u16>;
/// async fn serve(_ready: Ready) -> Result<(), &'static str> {
///     Err("address in use")
/// }
/// let started = group.start(serve).await;
/// assert!(matches!(started, Err(StartError::Failed("address in use"))));
/// group.join().await.unwrap(); // the group does not mind
/// # });
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartError<E> {
    /// The child failed before it was ready. The error is only here; the group has not failed.
    Failed(E),
    /// The child ended, or dropped its `Ready`, without having been ready.
    NeverReady,
    /// The child was cancelled before it was ready, along with its group, or it panicked, or its runtime went away: the group
    /// knows.
    Cancelled,
    /// The child was refused: the group is closed or cancelled.
    Rejected,
}

impl<E: fmt::Display> fmt::Display for StartError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Failed(error) => write!(f, "failed before it was ready: {error:#}"),
            StartError::NeverReady => f.write_str("ended without having been ready"),
            StartError::Cancelled => f.write_str("cancelled before it was ready"),
            StartError::Rejected => f.write_str("the group takes no more children"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> Error for StartError<E> {}
