//! Catches panics, and drops values whose destructors may panic. Two panics at once on a thread would abort.
//!
//! | | such a panic |
//! |---|---|
//! | [`drop_quietly`], [`wake`], [`Quiet`] | is contained |
//! | [`drop_each`], [`drop_refused`], [`resume`], [`GivesWay`] | goes on, unless another one is under way |
//! | [`drop_before`], [`raise`] | goes on; the caller is called inside of [`catch`], or while nothing else unwinds |
//! | [`drop_unread`] | is kept by the caller, who resumes the first one in the end |

use std::any::Any;
use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::Waker;

/// The payload of a panic.
pub(crate) type Payload = Box<dyn Any + Send>;

/// Runs `f` and catches its panic.
///
/// `f` may leave values half-done. The caller destroys them, or hands them on as broken.
pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Payload> {
    catch_unwind(AssertUnwindSafe(f))
}

/// Returns the message of a panic, if the payload is one.
pub(crate) fn message(payload: &(dyn Any + Send)) -> Option<&str> {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

/// Wakes, and contains a panic of the waker.
///
/// A waker that panics must not keep others from being woken, nor a child from ending.
pub(crate) fn wake(waker: Waker) {
    if let Err(payload) = catch(|| waker.wake()) {
        drop_quietly(payload);
    }
}

/// Drops `value`, and then returns `result`. If the destructor panics, `result` would be leaked by the function that
/// returns it: it is dropped first.
pub(crate) fn drop_before<T, R>(value: T, result: R) -> R {
    match catch(|| drop(value)) {
        Ok(()) => result,
        Err(payload) => {
            drop_quietly(result);
            resume_unwind(payload)
        }
    }
}

/// Drops what nobody will see, and keeps the first panic: two at once would abort.
pub(crate) fn drop_unread<T>(value: T, panic: &mut Option<Payload>) {
    if let Err(payload) = catch(|| drop(value)) {
        match panic {
            None => *panic = Some(payload),
            Some(_) => drop_quietly(payload),
        }
    }
}

/// Resumes a panic that was kept, unless another one is under way.
pub(crate) fn resume(panic: Option<Payload>) {
    match panic {
        Some(payload) if !std::thread::panicking() => resume_unwind(payload),
        payload => drop_quietly(payload),
    }
}

/// Resumes a panic that was kept, also while another one is under way: it must be caught before it meets that one.
pub(crate) fn raise(panic: Option<Payload>) {
    if let Some(payload) = panic {
        resume_unwind(payload);
    }
}

/// Drops values one by one.
///
/// When all are gone, it resumes the first panic of their destructors, unless another one is under way.
pub(crate) fn drop_each<T>(values: impl IntoIterator<Item = T>) {
    let mut panic = None;
    values.into_iter().for_each(|value| drop_unread(value, &mut panic));
    resume(panic);
}

/// Drops a child that its group has not taken. A panic of its destructor gives way to one under way.
#[cold]
#[inline(never)]
pub(crate) fn drop_refused<T>(child: T) {
    drop_each([child]);
}

/// Drops a value and contains a panic of its destructor.
///
/// Nobody needs to know of that panic: std's hook has reported it.
pub(crate) fn drop_quietly<T>(value: T) {
    let payload = catch(|| drop(value)).err();
    if let Err(payload) = catch(|| drop(payload)) {
        // The destructor of a payload may panic with another such payload, and so on for ever.
        std::mem::forget(payload);
    }
}

/// A value whose destructor may panic, for an owner that must not panic when it lets go of the value.
pub(crate) type Quiet<T> = Contained<T, true>;

/// A value whose destructor may panic, except during another panic: two at once would abort.
pub(crate) type GivesWay<T> = Contained<T, false>;

/// A value whose panicking destructor is contained: always if `EVER`, else only while the thread unwinds.
pub(crate) struct Contained<T, const EVER: bool>(Option<T>);

impl<T, const EVER: bool> Contained<T, EVER> {
    pub(crate) fn new(value: T) -> Self {
        Self(Some(value))
    }

    pub(crate) fn into_inner(mut self) -> T {
        self.0.take().expect("it is there until it is dropped")
    }
}

impl<T, const EVER: bool> Deref for Contained<T, EVER> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl<T, const EVER: bool> DerefMut for Contained<T, EVER> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("it is there until it is dropped")
    }
}

impl<T: Clone, const EVER: bool> Clone for Contained<T, EVER> {
    fn clone(&self) -> Self {
        Self::new(T::clone(self))
    }
}

impl<T: fmt::Debug, const EVER: bool> fmt::Debug for Contained<T, EVER> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}

impl<T, const EVER: bool> Drop for Contained<T, EVER> {
    fn drop(&mut self) {
        if EVER || std::thread::panicking() {
            drop_quietly(self.0.take());
        }
    }
}

/// For keys of a map, which are looked up by the value inside.
impl<T> Borrow<T> for Quiet<T> {
    fn borrow(&self) -> &T {
        self
    }
}

impl<T: Hash> Hash for Quiet<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl<T: PartialEq> PartialEq for Quiet<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for Quiet<T> {}
