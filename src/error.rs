//! What can be reported: by a group, by a handle, by a refused spawn.

use std::any::Any;
use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::panic::Location;
use std::sync::{Mutex, PoisonError};

/// What went wrong in a group, after all of it has ended.
///
/// Either something failed, and then there is a [primary](Self::primary) failure and perhaps some
/// [suppressed](Self::suppressed) ones, all in order of occurrence. Or nothing failed, but the group was cut short;
/// then [`reason`](Self::reason) says why.
///
/// At most 16 failures are kept besides the primary one; [`not_kept`](Self::not_kept) counts the rest, and a
/// failure hook sees each. A panic is not in here: it is resumed in whoever joins the group.
///
/// It is an [`Error`] without a source whenever `E` can be displayed, so `?` turns it into a boxed one. The crate
/// itself never calls a trait of `E`.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "smol")] {
/// # use taskgroup::{scope, Smol};
/// # smol::block_on(async {
/// let result = scope(Smol, |group| async move {
///     group.spawn(async { Err::<(), _>("disk full") });
///     std::future::pending::<Result<(), _>>().await
/// });
/// let error = result.await.unwrap_err();
/// assert_eq!(error.primary(), Some(&"disk full"));
/// assert_eq!(error.into_primary().ok(), Some("disk full"));
/// # });
/// # }
/// ```
pub struct GroupError<E>(Box<Report<E>>);

pub(crate) struct Report<E> {
    pub(crate) failures: Vec<(Origin, Failure<E>)>,
    pub(crate) not_kept: usize,
    pub(crate) reason: Option<CancelReason>,
}

impl<E> GroupError<E> {
    pub(crate) fn new(report: Report<E>) -> Self {
        Self(Box::new(report))
    }

    /// The first failure's error, if it is one of this group's own.
    pub fn primary(&self) -> Option<&E> {
        match self.0.failures.first() {
            Some((_, Failure::Own(error))) => Some(error),
            _ => None,
        }
    }

    /// Takes the first failure's error out.
    ///
    /// # Errors
    ///
    /// Gives itself back if the group was only cut short, or the first failure came from a group inside.
    pub fn into_primary(mut self) -> Result<E, Self> {
        if self.primary().is_none() {
            return Err(self);
        }
        match self.0.failures.swap_remove(0).1 {
            Failure::Own(error) => Ok(error),
            _ => unreachable!("looked at above"),
        }
    }

    /// Which member the first failure happened in.
    pub fn origin(&self) -> Option<&Origin> {
        self.0.failures.first().map(|(origin, _)| origin)
    }

    /// The failures kept, the primary one first, each with the member it happened in.
    pub fn failures(&self) -> impl ExactSizeIterator<Item = (&Origin, &Failure<E>)> {
        self.0.failures.iter().map(|(origin, failure)| (origin, failure))
    }

    /// The same by value.
    pub fn into_failures(self) -> impl ExactSizeIterator<Item = (Origin, Failure<E>)> {
        self.0.failures.into_iter()
    }

    /// The failures after the primary one.
    pub fn suppressed(&self) -> impl ExactSizeIterator<Item = &Failure<E>> {
        self.0.failures.iter().skip(1).map(|(_, failure)| failure)
    }

    /// How many failures there were beyond those kept.
    pub fn not_kept(&self) -> usize {
        self.0.not_kept
    }

    /// Why the group was cancelled, if it was. The first reason counts.
    pub fn reason(&self) -> Option<&CancelReason> {
        self.0.reason.as_ref()
    }

    /// Whether nothing failed: the group was only cut short, as [`reason`](Self::reason) says.
    pub fn is_cancelled(&self) -> bool {
        self.0.failures.is_empty()
    }

    /// Whether nothing failed, but a runtime dropped a child unasked, as it does when it shuts down.
    pub fn is_lost(&self) -> bool {
        self.is_cancelled() && matches!(self.0.reason, Some(CancelReason::Lost))
    }
}

impl<E: fmt::Debug> fmt::Debug for GroupError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupError")
            .field("failures", &self.0.failures)
            .field("not_kept", &self.0.not_kept)
            .field("reason", &self.0.reason)
            .finish()
    }
}

impl<E: fmt::Display> fmt::Display for GroupError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.failures.first(), &self.0.reason) {
            (Some((origin, failure)), _) => write!(f, "{origin} failed: {failure}")?,
            (None, Some(reason)) => write!(f, "the group was cut short: {reason}")?,
            (None, None) => f.write_str("the group was cut short")?,
        }
        match self.0.failures.len().saturating_sub(1) + self.0.not_kept {
            0 => Ok(()),
            more => write!(f, " (and {more} more)"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> Error for GroupError<E> {}

/// One failure of a member of a group.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "smol")] {
/// # use taskgroup::{Failure, Smol, TaskGroup};
/// # smol::block_on(async {
/// let group = TaskGroup::builder::<&str>(Smol).collect().open();
/// group.launch(async { Err::<(), _>("disk full") });
/// let error = group.join().await.unwrap_err();
/// for (origin, failure) in error.failures() {
///     assert!(matches!(failure, Failure::Own("disk full")));
///     println!("{origin} failed: {failure}");
/// }
/// # });
/// # }
/// ```
#[non_exhaustive]
pub enum Failure<E> {
    /// A child or the body returned this error.
    Own(E),
    /// A child, the body, a destructor or a hook panicked with this payload.
    ///
    /// Only a failure hook gets to see it: the panic is resumed in whoever joins the group.
    Panic(Payload),
    /// A group inside was given up, or its host was, before anybody could look at this error.
    Foreign {
        /// Where it happened: the member of the inner group first, then whoever opened that group, and so on.
        path: Vec<Origin>,
        /// The error, in a box because a group inside may have errors of another type.
        error: Payload,
    },
}

impl<E: fmt::Debug> fmt::Debug for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Own(error) => f.debug_tuple("Own").field(error).finish(),
            Failure::Panic(payload) => f.debug_tuple("Panic").field(payload).finish(),
            Failure::Foreign { path, error } => {
                f.debug_struct("Foreign").field("path", path).field("error", error).finish()
            }
        }
    }
}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Own(error) => error.fmt(f),
            Failure::Panic(payload) => match payload.message() {
                Some(message) => write!(f, "panicked: {message}"),
                None => f.write_str("panicked"),
            },
            Failure::Foreign { path, .. } => {
                f.write_str("an error nobody was left to look at")?;
                path.first().map_or(Ok(()), |origin| write!(f, " in {origin}"))
            }
        }
    }
}

/// A value of a type that the group does not know: what a panic carries, or an error of a group inside.
///
/// It can be shared between threads whatever it is, so that the errors it is part of can.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "smol")] {
/// # use taskgroup::{Failure, Smol, TaskGroup};
/// # smol::block_on(async {
/// let group = TaskGroup::builder::<&str>(Smol)
///     .on_failure(|failure| {
///         if let Failure::Panic(payload) = failure {
///             assert_eq!(payload.message().as_deref(), Some("out of cheese"));
///         }
///     })
///     .open();
/// group.launch(async { panic!("out of cheese") });
/// # use futures_lite::FutureExt;
/// # assert!(std::panic::AssertUnwindSafe(group.join()).catch_unwind().await.is_err());
/// # });
/// # }
/// ```
pub struct Payload(Mutex<Box<dyn Any + Send>>);

impl Payload {
    pub(crate) fn new(value: Box<dyn Any + Send>) -> Self {
        Self(Mutex::new(value))
    }

    /// Takes the value out, as `std::panic::resume_unwind` wants it.
    pub fn into_inner(self) -> Box<dyn Any + Send> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the value out as a `T`.
    ///
    /// # Errors
    ///
    /// Gives itself back if the value is no `T`.
    pub fn downcast<T: 'static>(self) -> Result<T, Self> {
        self.into_inner().downcast().map(|value| *value).map_err(Self::new)
    }

    /// Calls `f` with the value, if it is a `T`.
    pub fn inspect<T: 'static, R>(&self, f: impl FnOnce(&T) -> R) -> Option<R> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).downcast_ref().map(f)
    }

    /// The text of a panic that was raised with one.
    pub fn message(&self) -> Option<String> {
        self.inspect(|text: &&'static str| text.to_string()).or_else(|| self.inspect(String::clone))
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Payload").finish_non_exhaustive()
    }
}

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
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CancelReason {
    /// This child returned an error.
    Failed(Origin),
    /// The body returned an error.
    BodyFailed,
    /// This member panicked, or its destructor did.
    Panicked(Origin),
    /// The member that opened the group was cancelled, or ended before the group did.
    Parent,
    /// Somebody cancelled it, perhaps with a message.
    Explicit(Cow<'static, str>),
    /// The scope's future, or the group's owner, was dropped before it had joined.
    ScopeDropped,
    /// The runtime dropped a child of its own accord.
    Lost,
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CancelReason::Failed(origin) => write!(f, "{origin} failed"),
            CancelReason::BodyFailed => f.write_str("the body failed"),
            CancelReason::Panicked(origin) => write!(f, "{origin} panicked"),
            CancelReason::Parent => f.write_str("the member that opened the group was cancelled or ended"),
            CancelReason::Explicit(message) if message.is_empty() => f.write_str("cancelled"),
            CancelReason::Explicit(message) => write!(f, "cancelled: {message}"),
            CancelReason::ScopeDropped => f.write_str("dropped before it was joined"),
            CancelReason::Lost => f.write_str("the runtime dropped a child"),
        }
    }
}

/// Which member of which group something happened in.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "smol")] {
/// # use taskgroup::{Smol, TaskGroup};
/// # smol::block_on(async {
/// let group = TaskGroup::fallible::<&str>(Smol);
/// group.launch(async { Err::<(), _>("disk full") });
/// let error = group.join().await.unwrap_err();
/// let origin = error.origin().unwrap();
/// assert_eq!(origin.child(), Some(1));
/// println!("spawned at {}", origin.location());
/// # });
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    group: &'static Location<'static>,
    child: Option<(u64, &'static Location<'static>)>,
}

impl Origin {
    pub(crate) fn new(
        group: &'static Location<'static>,
        child: Option<(u64, &'static Location<'static>)>,
    ) -> Self {
        Self { group, child }
    }

    /// Whether it is the body of a scope, not a child.
    pub fn is_body(&self) -> bool {
        self.child.is_none()
    }

    /// The child's number within its group, counted from 1 in the order of spawning.
    pub fn child(&self) -> Option<u64> {
        self.child.map(|(id, _)| id)
    }

    /// Where the child was spawned, or where the scope of the body was opened.
    pub fn location(&self) -> &'static Location<'static> {
        self.child.map_or(self.group, |(_, location)| location)
    }

    /// Where the group was opened.
    pub fn group_location(&self) -> &'static Location<'static> {
        self.group
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.child {
            Some((id, location)) => write!(f, "child {id}, spawned at {location},"),
            None => write!(f, "the body of the scope at {}", self.group),
        }
    }
}

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
#[derive(Clone, Debug)]
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
    /// Whether the child returned an error. The error went to the group.
    pub fn is_failed(&self) -> bool {
        self.why == Why::Failed
    }

    /// Whether the child was cancelled, or never accepted by its closed or cancelled group.
    pub fn is_cancelled(&self) -> bool {
        self.why == Why::Cancelled
    }

    /// Whether the child panicked. The panic went to the group.
    pub fn is_panicked(&self) -> bool {
        self.why == Why::Panicked
    }

    /// Whether the runtime dropped the child of its own accord, as it does when it shuts down.
    pub fn is_lost(&self) -> bool {
        self.why == Why::Lost
    }

    /// The child this is about; `None` if it was refused.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Some(origin) => write!(f, "{origin} ")?,
            None => f.write_str("the child ")?,
        }
        f.write_str(match self.why {
            Why::Failed => "failed",
            Why::Cancelled => "was cancelled",
            Why::Panicked => "panicked",
            Why::Lost => "was dropped by its runtime",
        })
    }
}

impl Error for JoinError {}

/// A future that a closed or cancelled group did not take. It was not polled.
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
    pub(crate) cancelled: bool,
}

impl<F> SpawnError<F> {
    /// Whether the group was cancelled, or is on its way out after a failure.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled
    }

    /// Whether the group was closed, or has ended.
    pub fn is_closed(&self) -> bool {
        !self.cancelled
    }

    /// Gives the future back.
    pub fn into_future(self) -> F {
        self.future
    }
}

impl<F> fmt::Debug for SpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpawnError").field("cancelled", &self.cancelled).finish_non_exhaustive()
    }
}

impl<F> fmt::Display for SpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.cancelled { "the group is cancelled" } else { "the group is closed" })
    }
}

impl<F> Error for SpawnError<F> {}
