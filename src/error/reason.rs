//! Why a group was cancelled.

use std::borrow::Cow;
use std::fmt;

use crate::error::Origin;

/// Why a group was cancelled.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "smol")] {
/// # use taskgroup::{CancelReason, Smol, TaskGroup};
/// # smol::block_on(async {
/// let group = TaskGroup::new(Smol);
/// assert_eq!(group.reason(), None);
/// group.cancel_with("shutting down");
/// assert_eq!(group.reason(), Some(CancelReason::Explicit("shutting down".into())));
/// # });
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CancelReason {
    /// This child returned an error, or a group that was opened in it left one that nobody read.
    Failed(Origin),
    /// The body returned an error, or a group that was opened in it left one that nobody read.
    BodyFailed,
    /// This member panicked, or its destructor did.
    Panicked(Origin),
    /// The member that opened the group was cancelled, or ended before the group did.
    Parent,
    /// Somebody cancelled it, perhaps with a message.
    Explicit(Cow<'static, str>),
    /// The scope's future, or the group's owner, was dropped before it had joined.
    ScopeDropped,
    /// The runtime dropped a child of its own accord, or a task that was [adopted](crate::Group::adopt) ended without an output.
    Lost,
    /// The group's deadline has passed.
    Deadline,
    /// The group has its value: a racer won, or somebody called `finish_with`.
    Finished,
    /// Not cancelled at all: it was a race, and nobody was in it who won.
    NoWinner,
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CancelReason::Failed(origin) => write!(f, "{} failed", origin.subject()),
            CancelReason::BodyFailed => f.write_str("the body failed"),
            CancelReason::Panicked(origin) => write!(f, "{} panicked", origin.subject()),
            CancelReason::Parent => f.write_str("the member that opened the group was cancelled or ended"),
            CancelReason::Explicit(message) if message.is_empty() => f.write_str("cancelled"),
            CancelReason::Explicit(message) => write!(f, "cancelled: {message}"),
            CancelReason::ScopeDropped => f.write_str("dropped before it was joined"),
            CancelReason::Lost => f.write_str("the runtime dropped a child"),
            CancelReason::Deadline => f.write_str("the deadline has passed"),
            CancelReason::NoWinner => f.write_str("nobody won"),
            CancelReason::Finished => f.write_str("it has its value"),
        }
    }
}
