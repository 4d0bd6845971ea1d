//! Catching panics, and dropping values that may panic.

use std::any::Any;
use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::Waker;

/// What a panic carries.
pub(crate) type Payload = Box<dyn Any + Send>;

/// Runs `f`. Whoever calls this destroys, or hands on as broken, what `f` may have left half-done.
pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Payload> {
    catch_unwind(AssertUnwindSafe(f))
}

/// Wakes, whatever becomes of that: a waker that panics must not keep others from being woken, nor a child from ending.
pub(crate) fn wake(waker: Waker) {
    if let Err(payload) = catch(|| waker.wake()) {
        drop_quietly(payload);
    }
}

/// Drops what nobody will see, and keeps the first panic of that: two at once would abort.
pub(crate) fn drop_unread<T>(value: T, panic: &mut Option<Payload>) {
    if let Err(payload) = catch(|| drop(value)) {
        match panic {
            None => *panic = Some(payload),
            Some(_) => drop_quietly(payload),
        }
    }
}

/// Goes on with a panic that was kept, unless another one is under way.
pub(crate) fn resume(panic: Option<Payload>) {
    match panic {
        Some(payload) if !std::thread::panicking() => resume_unwind(payload),
        payload => drop_quietly(payload),
    }
}

/// Drops values one by one, and goes on with the first panic of that when all are gone, unless another one is under way.
pub(crate) fn drop_each<T>(values: impl IntoIterator<Item = T>) {
    let mut panic = None;
    values.into_iter().for_each(|value| drop_unread(value, &mut panic));
    resume(panic);
}

/// Drops a value of which nobody needs to know whether its destructor panics; std's hook has told of it.
pub(crate) fn drop_quietly<T>(value: T) {
    let payload = catch(|| drop(value)).err();
    if let Err(payload) = catch(|| drop(payload)) {
        // A payload whose destructor panics with another such payload could go on for ever.
        std::mem::forget(payload);
    }
}

/// A value whose destructor may panic, where whoever lets go of it has its own to see to.
pub(crate) type Quiet<T> = Contained<T, true>;

/// A value whose destructor may panic, and gives way to a panic under way: two at once would abort.
pub(crate) type GivesWay<T> = Contained<T, false>;

/// A value whose destructor panics for nobody, ever or while the thread unwinds.
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

impl<T, const EVER: bool> Drop for Contained<T, EVER> {
    fn drop(&mut self) {
        if EVER || std::thread::panicking() {
            drop_quietly(self.0.take());
        }
    }
}

/// Of a key in a map, which is looked up as what it is.
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
