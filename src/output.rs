//! The types that a child can return.

use std::convert::Infallible;

/// What a child of a group can return: `Result<T, E>`, `()` or `!`.
///
/// `E` is the error type of the group. `Err(E)` is a failure of the child, and goes to the group. `Ok(T)` and `()` are the
/// child's value, which goes to its handle. A child that returns `()` or `!` cannot fail. To hand an error to the handle and
/// not to the group, return it as a value: `Ok(Err(e))`.
///
/// This trait is sealed.
///
/// An endless loop in an `async` block cannot use `?`, because the block returns `!` (E0277). Make it an `async fn` that returns
/// `Result<(), E>`.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "smol")] {
/// # use taskgroup::{scope, GroupError, Smol};
/// # smol::block_on(async {
/// let seen = scope(Smol, |group| async move {
///     group.spawn(async {});                                        // cannot fail
///     let number = group.spawn(async { "17".parse::<u8>() });       // may fail
///     Ok(number.value().await)
/// });
/// assert_eq!(seen.await?, 17);
/// # Ok::<(), GroupError<std::num::ParseIntError>>(()) }).unwrap();
/// # }
/// ```
///
/// The compiler refuses a value that is not a `Result`:
///
/// ```compile_fail,E0277
/// # use taskgroup::{Smol, TaskGroup};
/// let group = TaskGroup::new(Smol);
/// group.spawn(async { 7 }); // error: a child of this group cannot return `{integer}`
/// ```
///
/// It also refuses an error in a group that has no errors:
///
/// ```compile_fail,E0277
/// # use taskgroup::{Smol, TaskGroup};
/// let group = TaskGroup::new(Smol); // not `TaskGroup::fallible`
/// group.spawn(async { "17".parse::<u8>() }); // error: … cannot return `Result<u8, ParseIntError>`
/// ```
#[diagnostic::on_unimplemented(
    message = "a child of this group cannot return `{Self}`",
    label = "returns `{Self}`",
    note = "a child returns `()`, `!`, or `Result<T, {E}>`, where `{E}` is the error of the group: wrap a plain value in `Ok`",
    note = "`Infallible` is the error of a group from `TaskGroup::new`: open it with `TaskGroup::fallible::<MyError>` for children that fail"
)]
pub trait ChildOutput<E>: sealed::Sealed {
    /// The value that the child's [`JoinHandle`](crate::JoinHandle) gives.
    type Value;

    #[doc(hidden)]
    fn sort(self) -> sealed::Sorted<Self::Value, E>;
}

#[allow(unreachable_pub, reason = "public to the compiler, out of reach for users")]
pub(crate) mod sealed {
    pub trait Sealed {}

    /// A child's output, sorted into value and error.
    #[derive(Debug)]
    pub enum Sorted<T, E> {
        Value(T),
        Failed(E),
        /// An adopted task was aborted, or went away with its runtime, and left no output.
        Nothing,
    }

    /// Names `!`, the return type of a function that does not return. It cannot be written on stable.
    pub trait Returns {
        type Output;
    }

    impl<T> Returns for fn() -> T {
        type Output = T;
    }
}

use sealed::{Sealed, Sorted};

type Never = <fn() -> ! as sealed::Returns>::Output;

impl<T, E> Sealed for Result<T, E> {}
impl<T, E> ChildOutput<E> for Result<T, E> {
    type Value = T;

    fn sort(self) -> Sorted<T, E> {
        match self {
            Ok(value) => Sorted::Value(value),
            Err(error) => Sorted::Failed(error),
        }
    }
}

impl Sealed for () {}
impl<E> ChildOutput<E> for () {
    type Value = ();

    fn sort(self) -> Sorted<(), E> {
        Sorted::Value(())
    }
}

impl Sealed for Never {}
impl<E> ChildOutput<E> for Never {
    type Value = Infallible;

    fn sort(self) -> Sorted<Infallible, E> {
        self
    }
}
