//! One failure, and what it carries.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use crate::error::Origin;
use crate::unwind::message;

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
///     println!("{origin}: {failure}");
/// }
/// # });
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure<E> {
    /// A child or the body returned this error.
    Own(E),
    /// A child, the body, a destructor or a hook panicked with this payload.
    ///
    /// Only a failure hook sees it: the panic is resumed in the task that joins the group.
    Panic(Payload),
    /// An inner group, or the member that opened it, was dropped before anybody could read this error.
    #[non_exhaustive]
    Foreign {
        /// Where it happened: the member of the inner group first, then the member that opened that group, and so on.
        path: Vec<Origin>,
        /// The error, in a box because an inner group may have errors of another type.
        error: Payload,
    },
    /// An asynchronous clean-up took longer than the group allows, and was dropped.
    CleanupTimeout,
}

impl<E: fmt::Display + 'static> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Own(error) => error.fmt(f),
            Failure::Panic(payload) => match payload.message() {
                Some(message) => write!(f, "panicked: {message}"),
                None => f.write_str("panicked"),
            },
            Failure::CleanupTimeout => f.write_str("the clean-up took too long"),
            Failure::Foreign { path, error } => {
                f.write_str("an error nobody was left to look at")?;
                path.first().map_or(Ok(()), |origin| write!(f, " in {origin}"))?;
                // An error of another type cannot be shown.
                match (error.inspect(|error: &E| format!("{error:#}")), error.message()) {
                    (Some(text), _) | (None, Some(text)) => write!(f, ": {text}"),
                    (None, None) => Ok(()),
                }
            }
        }
    }
}

impl<E: fmt::Debug + fmt::Display + 'static> Error for Failure<E> {}

/// A value whose type the group does not know: the payload of a panic, or an error of an inner group.
///
/// It is `Sync` whatever the value is, so that errors that contain it are `Sync`, too.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "smol")] {
/// # use taskgroup::{Failure, Smol, TaskGroup};
/// # smol::block_on(async {
/// let group = TaskGroup::builder::<&str>(Smol)
///     .on_failure(|_, failure| {
///         if let Failure::Panic(payload) = failure {
///             assert_eq!(payload.message().as_deref(), Some("out of cheese"));
///         }
///     })
///     .open();
/// group.launch(async { panic!("out of cheese") });
/// # use futures_lite::FutureExt;
/// # assert!(group.join().catch_unwind().await.is_err());
/// # });
/// # }
/// ```
pub struct Payload(Mutex<Box<dyn Any + Send>>);

impl Payload {
    pub(crate) fn new(value: Box<dyn Any + Send>) -> Self {
        Self(Mutex::new(value))
    }

    /// Returns the value, as `std::panic::resume_unwind` takes it.
    pub fn into_inner(self) -> Box<dyn Any + Send> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the value as a `T`.
    ///
    /// # Errors
    ///
    /// Returns itself if the value is not a `T`.
    pub fn downcast<T: 'static>(self) -> Result<T, Self> {
        self.into_inner().downcast().map(|value| *value).map_err(Self::new)
    }

    /// Calls `f` with the value, if it is a `T`.
    pub fn inspect<T: 'static, R>(&self, f: impl FnOnce(&T) -> R) -> Option<R> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).downcast_ref().map(f)
    }

    /// Returns the message of a panic, if the payload is one.
    pub fn message(&self) -> Option<String> {
        message(&**self.0.lock().unwrap_or_else(PoisonError::into_inner)).map(str::to_string)
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Payload").finish_non_exhaustive()
    }
}
