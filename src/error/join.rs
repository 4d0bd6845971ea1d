//! Why a handle has no value.

use std::error::Error;
use std::fmt;

use crate::error::Origin;

/// Why a [`JoinHandle`](crate::JoinHandle) has no value.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "smol")] {
/// # use taskgroup::{Smol, TaskGroup};
/// # smol::block_on(async {
/// let group = TaskGroup::fallible::<&str>(Smol);
/// let error = group.spawn(async { Err::<(), _>("disk full") }).await.unwrap_err();
/// assert!(error.is_failed()); // which error, says the group:
/// assert_eq!(group.join().await.unwrap_err().into_primary().ok(), Some("disk full"));
/// # });
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinError {
    pub(crate) why: Why,
    pub(crate) origin: Option<Origin>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Failed,
    Cancelled,
    Panicked,
    Lost,
}

impl JoinError {
    /// Returns whether the child returned an error. The error went to the group.
    pub fn is_failed(&self) -> bool {
        self.why == Why::Failed
    }

    /// Returns whether the child was cancelled, or refused by a closed or cancelled group.
    pub fn is_cancelled(&self) -> bool {
        self.why == Why::Cancelled
    }

    /// Returns whether the child panicked. The panic went to the group.
    pub fn is_panicked(&self) -> bool {
        self.why == Why::Panicked
    }

    /// Returns whether the runtime dropped the child by itself, as it does when it shuts down.
    pub fn is_lost(&self) -> bool {
        self.why == Why::Lost
    }

    /// Returns the child that this is about; `None` if it was refused.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(origin) = &self.origin else {
            return f.write_str("the child was not taken in: its group is closed or cancelled");
        };
        let why = match self.why {
            Why::Failed => "failed",
            Why::Cancelled => "was cancelled",
            Why::Panicked => "panicked",
            Why::Lost => "was dropped by its runtime",
        };
        write!(f, "{} {why}", origin.subject())
    }
}

impl Error for JoinError {}
