//! Looks, a moment later and on a thread of its own, whether a pool has moved on.
//!
//! There are two things that could hold up a whole pool, and that none of its drivers can see:
//!
//! * A driver is on its way and does not come. Tokio leaves a task that is woken on a worker to that worker, and no other one
//!   can take it. If the worker is in a task outside of the pool that computes for long or blocks, the driver waits for that,
//!   and so does everybody who relies on the driver. Then another driver is woken from here, which is no worker.
//! * The code that empties a dead pool is in a destructor, which waits for something that is still queued. Then another thread
//!   goes on.
//!
//! To be wrong does no harm: a driver comes that finds nothing, or two threads drain.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use super::is_simulated;
use super::shared::{Shared, start_thread};

/// How long a pool may stand still.
const MOMENT: Duration = Duration::from_millis(10);

#[derive(Default)]
pub(super) struct Watch {
    /// There is a thread that looks, or is about to.
    there: AtomicBool,
}

impl Watch {
    /// Looks after the pool until nothing is left that could be held up.
    #[inline]
    pub(super) fn begin(&self, shared: &Arc<Shared>) {
        if !self.there.load(Ordering::SeqCst) {
            self.start(shared);
        }
    }

    #[cold]
    fn start(&self, shared: &Arc<Shared>) {
        if is_simulated() || self.there.swap(true, Ordering::SeqCst) {
            return;
        }
        let shared = Arc::downgrade(shared);
        if !start_thread("taskgroup-watch", move || watch(&shared)) {
            self.there.store(false, Ordering::SeqCst);
        }
    }

    /// Says whether the thread that looks may end.
    fn may_end(&self, shared: &Shared) -> bool {
        if shared.could_be_held_up() {
            return false;
        }
        self.there.store(false, Ordering::SeqCst);
        // Somebody may have relied on this thread a moment ago.
        !shared.could_be_held_up() || self.there.swap(true, Ordering::SeqCst)
    }
}

fn watch(shared: &Weak<Shared>) {
    let mut before = None;
    loop {
        thread::sleep(MOMENT);
        let Some(shared) = shared.upgrade() else { return };
        if shared.watch.may_end(&shared) {
            return;
        }
        let now = shared.word.steps();
        if before.replace(now) == Some(now) {
            shared.help();
        }
    }
}
