//! What several tests have in common.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Runs `f` on a thread made by `thread`, and fails if it takes longer than `patience`.
pub(crate) fn watched<T: Send + 'static>(
    thread: thread::Builder,
    patience: Duration,
    f: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (done, result) = mpsc::channel();
    thread.spawn(move || drop(done.send(catch_unwind(AssertUnwindSafe(f))))).unwrap();
    match result.recv_timeout(patience) {
        Ok(Ok(value)) => value,
        Ok(Err(payload)) => resume_unwind(payload),
        Err(_) => panic!("the watch-dog bit"),
    }
}
