//! What the children did, counted without a shared write.
//!
//! Each thread adds to a line of its own. So the check costs a contestant a nanosecond, and not the contended counter
//! that only the floor is meant to pay for. Code that has waited for the children sees all of it, *if* what it waited
//! with synchronises with their ends, which is half of what is being checked.

use std::cell::Cell;
use std::ops::Sub;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Futures that ran to their end.
    pub ran: usize,
    /// Futures that are destroyed.
    pub dropped: usize,
}

impl Tally {
    pub fn now() -> Self {
        LINES.lock().unwrap().iter().fold(Self::default(), |sum, line| Self {
            ran: sum.ran + line.ran.load(Relaxed),
            dropped: sum.dropped + line.dropped.load(Relaxed),
        })
    }
}

impl Sub for Tally {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self { ran: self.ran - before.ran, dropped: self.dropped - before.dropped }
    }
}

/// The share of one thread: two lines of 64 bytes, because they are fetched in pairs.
#[derive(Default)]
#[repr(align(128))]
struct Line {
    ran: AtomicUsize,
    dropped: AtomicUsize,
}

static LINES: Mutex<Vec<&'static Line>> = Mutex::new(Vec::new());

thread_local! {
    static MINE: Cell<Option<&'static Line>> = const { Cell::new(None) };
}

#[inline]
fn mine() -> &'static Line {
    MINE.get().unwrap_or_else(begin)
}

#[cold]
fn begin() -> &'static Line {
    let line: &'static Line = Box::leak(Box::default());
    LINES.lock().unwrap().push(line);
    MINE.set(Some(line));
    line
}

/// Only its own thread writes to a line, so no count is lost.
fn add_one(counter: &AtomicUsize) {
    counter.store(counter.load(Relaxed) + 1, Relaxed);
}

/// Records that a future has run to its end. It cannot do so twice: no `async` block and no child here survives that.
pub fn ran() {
    add_one(&mine().ran);
}

/// Part of every child's future. Its destructor records that the future is destroyed.
pub struct Alive(());

impl Alive {
    pub fn new() -> Self {
        Self(())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        add_one(&mine().dropped);
    }
}
