//! The errors of groups, of handles and of refused children.

use std::convert::Infallible;
use std::error::Error;
use std::panic::Location;
use std::{fmt, io, vec};

mod failure;
mod join;
mod origin;
mod reason;
mod spawn;

#[cfg(feature = "tokio")]
pub use crate::backend::NoRuntime;

pub use self::failure::{Failure, Payload};
pub use self::join::JoinError;
pub(crate) use self::join::Why;
pub use self::origin::Origin;
pub(crate) use self::origin::{Name, sane, shorten, step};
pub use self::reason::CancelReason;
pub(crate) use self::spawn::Refusal;
pub use self::spawn::{SpawnError, StartError};
use crate::unwind::{drop_each, drop_quietly};

/// What went wrong in a group, reported after all of it has ended.
///
/// There are two cases:
///
/// * Something failed. Then there is a [primary](Self::primary) failure, and perhaps [suppressed](Self::suppressed) ones, in the
///   order in which they happened.
/// * Nothing failed, but the group was cancelled before it was done. Then [`reason`](Self::reason) says why.
///
/// Besides the primary failure, at most 16 are kept, or as many as [`keep`](crate::group::Builder::keep) says.
/// [`not_kept`](Self::not_kept) counts the rest, and a failure hook sees each. A
/// panic is not in here: it is resumed in the task that joins the group.
///
/// The primary failure is the first in time, which need not be the cause of the others. A child that fails drops what it held
/// before its error is recorded. A sibling that fails because of that, for example at a closed channel, may be recorded first. So
/// do not treat a closed channel as an error in the sibling, or look at all [`failures`](Self::failures).
///
/// It is an [`Error`] if `E` can be displayed, so `?` turns it into a boxed error. It has no source. Its text contains the first
/// error in the alternate form (`{:#}`), which includes the causes with `anyhow` and `eyre`. The crate itself never calls a
/// trait of `E`.
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
///
/// If the error type is [`io::Error`], `?` returns the first error itself. For an error type of your own, write the conversion:
///
/// ```
/// # #[cfg(feature = "smol")] {
/// use taskgroup::{GroupError, Smol, scope};
///
/// #[derive(Debug)]
/// enum MyError {
///     Offline,
///     Group(GroupError<MyError>),
/// }
///
/// impl From<GroupError<MyError>> for MyError {
///     fn from(error: GroupError<MyError>) -> Self {
///         error.into_primary().unwrap_or_else(MyError::Group)
///     }
/// }
///
/// async fn sync() -> Result<(), MyError> {
///     scope(Smol, |group| async move {
///         group.launch(async { Err::<(), _>(MyError::Offline) });
///         Ok(())
///     })
///     .await?;
///     Ok(())
/// }
///
/// assert!(matches!(smol::block_on(sync()), Err(MyError::Offline)));
/// # }
/// ```
///
/// With a boxed error, or the error of `anyhow`, `?` wraps the `GroupError`. To return the first error itself, with its type and
/// its causes, convert it. The `GroupError` remains only if there is no such error:
///
/// ```
/// # #[cfg(feature = "smol")] {
/// # use taskgroup::{Group, Smol, scope};
/// type Any = Box<dyn std::error::Error + Send + Sync>;
///
/// async fn count() -> Result<u8, Any> {
///     scope(Smol, |group: Group<Smol, Any>| async move {
///         let number = group.spawn(async { Ok("many".parse::<u8>()?) });
///         Ok(number.value().await)
///     })
///     .await
///     .map_err(|error| error.into_primary().unwrap_or_else(Into::into))
/// }
///
/// let error = smol::block_on(count()).unwrap_err();
/// assert!(error.is::<std::num::ParseIntError>());
/// # }
/// ```
pub struct GroupError<E>(Box<Report<E>>);

/// The error of a group whose children cannot fail: it was cancelled before it was done.
///
/// [`reason`](GroupError::reason) says why. `TaskGroup::new(…).join()` returns this error, and so does a scope whose error type
/// is [`Infallible`]. There is no [`Failure::Own`] to handle, because its value cannot be made.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "smol")] {
/// # use taskgroup::{Smol, TaskGroup, error::Cut};
/// # smol::block_on(async {
/// let group = TaskGroup::new(Smol);
/// group.launch(async {});
/// let joined: Result<(), Cut> = group.join().await;
/// assert!(joined.is_ok());
/// # });
/// # }
/// ```
pub type Cut = GroupError<Infallible>;

pub(crate) struct Report<E> {
    pub(crate) failures: Vec<(Origin, Failure<E>)>,
    pub(crate) not_kept: usize,
    pub(crate) reason: Option<CancelReason>,
    /// The group, as its body.
    pub(crate) group: Origin,
}

impl<E> Drop for Report<E> {
    fn drop(&mut self) {
        // Two panics out of one `Vec` would abort.
        drop_each(self.failures.drain(..));
    }
}

impl<E> GroupError<E> {
    pub(crate) fn new(report: Report<E>) -> Self {
        Self(Box::new(report))
    }

    /// Returns the first failure's error, if it is an error of this group's own type.
    pub fn primary(&self) -> Option<&E> {
        match self.0.failures.first() {
            Some((_, Failure::Own(error))) => Some(error),
            _ => None,
        }
    }

    /// Returns the first failure's error by value.
    ///
    /// # Errors
    ///
    /// Returns itself if nothing failed, or if the first failure is no error of this group's own: it came from an inner group, or is
    /// a clean-up that took too long.
    pub fn into_primary(self) -> Result<E, Self> {
        if self.primary().is_none() { Err(self) } else { self.into_own() }
    }

    /// Returns the first error of the group's own.
    fn into_own(mut self) -> Result<E, Self> {
        let is_own = |(_, failure): &(Origin, Failure<E>)| matches!(failure, Failure::Own(_));
        let Some(at) = self.0.failures.iter().position(is_own) else { return Err(self) };
        let (_, Failure::Own(error)) = self.0.failures.remove(at) else { unreachable!("looked at above") };
        // A panic of their destructors must not take the error away.
        self.0.failures.drain(..).for_each(drop_quietly);
        Ok(error)
    }

    /// Returns the member in which the first failure happened.
    pub fn origin(&self) -> Option<&Origin> {
        self.0.failures.first().map(|(origin, _)| origin)
    }

    /// Returns the failures that were kept, the primary one first, each with the member in which it happened.
    pub fn failures(&self) -> impl ExactSizeIterator<Item = (&Origin, &Failure<E>)> {
        self.0.failures.iter().map(|(origin, failure)| (origin, failure))
    }

    /// Returns the same failures by value.
    pub fn into_failures(mut self) -> impl ExactSizeIterator<Item = (Origin, Failure<E>)> {
        Each(std::mem::take(&mut self.0.failures).into_iter())
    }

    /// Returns the failures after the primary one.
    pub fn suppressed(&self) -> impl ExactSizeIterator<Item = &Failure<E>> {
        self.0.failures.iter().skip(1).map(|(_, failure)| failure)
    }

    /// Returns how many failures were not kept.
    pub fn not_kept(&self) -> usize {
        self.0.not_kept
    }

    /// Returns why the group was cancelled, if it was.
    pub fn reason(&self) -> Option<&CancelReason> {
        self.0.reason.as_ref()
    }

    /// Returns the names of the groups and children around the group, and the group's own, as [`Origin::path`] does.
    pub fn group_path(&self) -> Option<&str> {
        self.0.group.path()
    }

    /// Returns where the group was opened.
    pub fn group_location(&self) -> &'static Location<'static> {
        self.0.group.group_location()
    }

    /// Returns whether nothing failed: the group was only cancelled, for the [`reason`](Self::reason) given.
    pub fn is_cancelled(&self) -> bool {
        self.0.failures.is_empty()
    }

    /// Returns whether nothing failed, but a runtime dropped a child by itself, as it does when it shuts down.
    pub fn is_lost(&self) -> bool {
        self.is_cancelled() && matches!(self.0.reason, Some(CancelReason::Lost))
    }
}

/// Failures by value, of which several may be left.
struct Each<E>(vec::IntoIter<(Origin, Failure<E>)>);

impl<E> Iterator for Each<E> {
    type Item = (Origin, Failure<E>);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<E> ExactSizeIterator for Each<E> {}

impl<E> Drop for Each<E> {
    fn drop(&mut self) {
        drop_each(self.0.by_ref());
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

impl<E: fmt::Display + 'static> fmt::Display for GroupError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.failures.first(), &self.0.reason) {
            (Some((origin, failure)), _) => write!(f, "{} failed: {failure:#}", origin.subject())?,
            (None, reason) => {
                let at = self.group_location();
                match self.group_path() {
                    Some(path) => write!(f, "{path}, opened at {at}, was cut short")?,
                    None => write!(f, "the group opened at {at} was cut short")?,
                }
                reason.iter().try_for_each(|reason| write!(f, ": {reason}"))?;
            }
        }
        match self.0.failures.len().saturating_sub(1) + self.0.not_kept {
            0 => Ok(()),
            more => write!(f, " (and {more} more)"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display + 'static> Error for GroupError<E> {}

/// Returns the first error of the group's own. If there is none, it returns an error that contains the `GroupError`. Its kind is
/// [`TimedOut`](io::ErrorKind::TimedOut) if only a deadline cut the group short, and otherwise [`Other`](io::ErrorKind::Other).
///
/// So `?` works on a group in a function or child that returns [`io::Result`].
impl From<GroupError<io::Error>> for io::Error {
    fn from(error: GroupError<io::Error>) -> Self {
        error.into_own().unwrap_or_else(|error| {
            let late = error.is_cancelled() && error.reason() == Some(&CancelReason::Deadline);
            io::Error::new(if late { io::ErrorKind::TimedOut } else { io::ErrorKind::Other }, error)
        })
    }
}
