//! Counters, logs and gates that the cases use.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake};

/// Counts what happens to each tracked future and each capture.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    made: AtomicUsize,
    polls: AtomicUsize,
    started: AtomicUsize,
    completed: AtomicUsize,
    dropped: AtomicUsize,
}

/// The counts of a ledger at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Futures and captures that were made.
    pub made: usize,
    /// Polls of all futures together.
    pub polls: usize,
    /// Futures that were polled at least once.
    pub started: usize,
    /// Futures that returned `Ready`.
    pub completed: usize,
    /// Futures and captures that were destroyed.
    pub dropped: usize,
}

impl Entry {
    /// Returns how many futures and captures are alive.
    pub fn alive(&self) -> usize {
        self.made - self.dropped
    }
}

impl Ledger {
    /// Returns the current counts.
    pub fn read(&self) -> Entry {
        let Counters { made, polls, started, completed, dropped } = &*self.0;
        // Read `dropped` first. Otherwise a capture that is made and dropped between the two loads could make `dropped`
        // larger than `made`.
        let dropped = dropped.load(SeqCst);
        Entry {
            made: made.load(SeqCst),
            polls: polls.load(SeqCst),
            started: started.load(SeqCst),
            completed: completed.load(SeqCst),
            dropped,
        }
    }

    /// Returns a value that counts as alive until it is dropped.
    pub fn capture(&self) -> Capture {
        self.0.made.fetch_add(1, SeqCst);
        Capture(self.0.clone())
    }

    /// Wraps `future` so that this ledger counts it.
    pub fn track<F: Future>(&self, future: F) -> Tracked<F> {
        Tracked { future: Box::pin(future), polled: false, capture: self.capture() }
    }
}

/// A value that counts as alive until it is dropped. See [`Ledger::capture`].
#[derive(Debug)]
pub struct Capture(Arc<Counters>);

impl Drop for Capture {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, SeqCst);
    }
}

/// A future that a ledger counts. See [`Ledger::track`].
///
/// It counts as dropped after the future and its captures have been dropped.
pub struct Tracked<F> {
    future: Pin<Box<F>>,
    polled: bool,
    capture: Capture,
}

impl<F> fmt::Debug for Tracked<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracked").field("polled", &self.polled).finish_non_exhaustive()
    }
}

impl<F: Future> Future for Tracked<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        this.capture.0.polls.fetch_add(1, SeqCst);
        if !std::mem::replace(&mut this.polled, true) {
            this.capture.0.started.fetch_add(1, SeqCst);
        }
        let output = std::task::ready!(this.future.as_mut().poll(cx));
        this.capture.0.completed.fetch_add(1, SeqCst);
        Poll::Ready(output)
    }
}

/// A list of lines that say what happened, in order.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Adds a line.
    pub fn write(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    /// Returns a value that writes the line when it is dropped.
    pub fn on_drop(&self, line: impl Into<String>) -> OnDrop {
        OnDrop(self.clone(), line.into())
    }

    /// Returns all lines in the order in which they were written.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// Returns the lines in alphabetical order, for cases in which the order of writing is not defined.
    pub fn sorted(&self) -> Vec<String> {
        let mut lines = self.lines();
        lines.sort();
        lines
    }

    /// Returns how often the line was written.
    pub fn count(&self, line: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|written| *written == line).count()
    }
}

/// A value that writes a line when it is dropped. See [`Log::on_drop`].
#[derive(Debug)]
pub struct OnDrop(Log, String);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.write(std::mem::take(&mut self.1));
    }
}

/// A gate that is opened once, for all that wait.
#[derive(Clone, Debug)]
pub struct Gate(async_channel::Sender<()>, async_channel::Receiver<()>);

impl Gate {
    /// Creates a closed gate.
    pub fn new() -> Self {
        let (sender, receiver) = async_channel::bounded(1);
        Self(sender, receiver)
    }

    /// Opens the gate and wakes all that wait.
    pub fn open(&self) {
        self.0.close();
    }

    /// Tells whether the gate has been opened.
    pub fn is_open(&self) -> bool {
        self.0.is_closed()
    }

    /// Waits until the gate is open.
    pub async fn wait(&self) {
        let _ = self.1.recv().await;
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

/// A counter that lets a task wait until something has happened `n` times.
#[derive(Clone, Debug)]
pub struct Tally(async_channel::Sender<()>, async_channel::Receiver<()>);

impl Tally {
    /// Creates a tally of zero.
    pub fn new() -> Self {
        let (sender, receiver) = async_channel::unbounded();
        Self(sender, receiver)
    }

    /// Adds one.
    pub fn add(&self) {
        self.0.try_send(()).unwrap();
    }

    /// Adds one after each poll of `future`, when the effects of that poll are done.
    pub async fn polls_of<F: Future>(self, future: F) -> F::Output {
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|cx| {
            let poll = future.as_mut().poll(cx);
            self.add();
            poll
        })
        .await
    }

    /// Tells whether there is nothing to take.
    pub fn is_empty(&self) -> bool {
        self.1.is_empty()
    }

    /// Waits until the tally is at least `n`, and subtracts `n`.
    pub async fn take(&self, n: usize) {
        for _ in 0..n {
            self.1.recv().await.unwrap();
        }
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

/// A waker that counts how often it is woken.
#[derive(Debug, Default)]
pub struct Wakes(AtomicUsize);

impl Wakes {
    /// Returns how often it was woken.
    pub fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}
