//! Catching panics, and dropping values that may panic.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
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

/// Drops a value of which nobody needs to know whether its destructor panics; std's hook has told of it.
pub(crate) fn drop_quietly<T>(value: T) {
    let payload = catch(|| drop(value)).err();
    if let Err(payload) = catch(|| drop(payload)) {
        // A payload whose destructor panics with another such payload could go on for ever.
        std::mem::forget(payload);
    }
}
