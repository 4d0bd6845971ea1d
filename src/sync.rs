//! Atomics, locks and thread-locals: those of std or, in `tests/loom.rs`, those of the model checker.

pub(crate) mod kept;
pub(crate) mod lock;
pub(crate) mod spare;

use std::sync::PoisonError;

#[cfg(not(taskgroup_loom))]
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

#[cfg(taskgroup_loom)]
pub(crate) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

/// Locks a mutex whose value is whole even if code panicked under the lock.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Declares a thread-local with a constant initial value.
macro_rules! local {
    ($(#[$meta:meta])* static $name:ident: $type:ty = $init:expr) => {
        #[cfg(not(taskgroup_loom))]
        std::thread_local! {
            $(#[$meta])*
            static $name: $type = const { $init };
        }
        #[cfg(taskgroup_loom)]
        loom::thread_local! {
            $(#[$meta])*
            static $name: $type = $init;
        }
    };
}

pub(crate) use local;
