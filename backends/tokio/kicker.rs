//! Sees to it, a moment later and from outside the workers, that one of them comes by.
//!
//! While half of the workers are looking for work, a worker that has nothing to do goes to sleep without looking itself. It
//! is not told of what another worker leaves behind at that moment, because it is not asleep yet. Tokio counts on that other
//! worker to come back to it, but a child may block that worker. This has a thread of its own: a thread of Tokio's blocking
//! pool may be just what a worker waits for.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;

/// The thread that does so, for the worker that it belongs to.
struct Kicker {
    /// What the thread is at: [`RESTS`], [`COMES`] or [`GONE`].
    state: Arc<AtomicU8>,
    kicks: RefCell<Option<mpsc::Sender<Handle>>>,
}

/// The thread waits for a kick, or sees to one that it began with before.
const RESTS: u8 = 0;
/// There is a kick that the thread has not begun with.
const COMES: u8 = 1;
/// There is no thread.
const GONE: u8 = 2;

thread_local! {
    /// The kicker of this thread, which is mostly a worker.
    static KICKER: Kicker = Kicker { state: Arc::new(AtomicU8::new(GONE)), kicks: RefCell::new(None) };
}

/// Has a worker come by, unless this thread has asked for that a moment ago.
pub(super) fn kick(runtime: &Handle) {
    // On a thread that is going away, no child blocks.
    let _ = KICKER.try_with(|kicker| kicker.kick(runtime));
}

impl Kicker {
    /// How long after the first kick the thread acts.
    const MOMENT: Duration = Duration::from_millis(10);
    /// How long the thread waits for another kick before it ends.
    const PATIENCE: Duration = Duration::from_secs(1);
    /// How often the thread looks whether a worker has come by. The first time it waits for a millisecond, and later each
    /// time for twice as long.
    const LOOKS: u32 = 10;

    fn kick(&self, runtime: &Handle) {
        match self.state.swap(COMES, Ordering::AcqRel) {
            COMES => {}
            RESTS => {
                let kicks = self.kicks.borrow();
                let sent = kicks.as_ref().map(|kicks| kicks.send(runtime.clone()));
                debug_assert!(matches!(sent, Some(Ok(()))), "it does not end while there is a kick");
            }
            _ => self.start(runtime),
        }
    }

    fn start(&self, runtime: &Handle) {
        let (kicks, coming) = mpsc::channel();
        let state = self.state.clone();
        let thread = thread::Builder::new().name("taskgroup-kick".into());
        // Sent while the receiver is still here: once the thread has it, it could be gone.
        let _sent = kicks.send(runtime.clone());
        match thread.spawn(move || Self::run(&coming, &state)) {
            Ok(_) => drop(self.kicks.replace(Some(kicks))),
            // The next kick tries again.
            Err(_) => self.state.store(GONE, Ordering::Release),
        }
    }

    fn run(kicks: &mpsc::Receiver<Handle>, state: &AtomicU8) {
        loop {
            match kicks.recv_timeout(Self::PATIENCE) {
                Ok(runtime) => {
                    // There is no more than one kick in this time, because it wakes a worker that may have nothing to do.
                    thread::sleep(Self::MOMENT);
                    state.store(RESTS, Ordering::Release);
                    Self::see_to(&runtime);
                }
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    if state.compare_exchange(RESTS, GONE, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                        return;
                    }
                }
            }
        }
    }

    fn see_to(runtime: &Handle) {
        for look in 0..Self::LOOKS {
            let (comes, came) = mpsc::channel();
            drop(runtime.spawn(async move { comes.send(()) }));
            // A runtime that is gone drops the sender without a message.
            if came.recv_timeout(Duration::from_millis(1 << look)) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }
}
