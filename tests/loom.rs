//! Models of the state under every interleaving: `RUSTFLAGS="--cfg taskgroup_loom" cargo test --release
//! --no-default-features --features pool,borrowing --lib --test loom`.
//!
//! The crate itself runs here, on loom's locks, atomics and thread-locals, with a loom thread for each child. "Red if"
//! names a change to the crate with which the model fails.
//!
//! With `-- --nocapture --test-threads=1` each model prints how many interleavings it went through, and with how many
//! preemptions: from fifteen to a quarter of a million, a million in all (at 3a85c0c). These are all the interleavings in
//! which at most so many threads are stopped where they need not be.
#![cfg(taskgroup_loom)]

#[path = "loom/bounded.rs"]
mod bounded;
#[path = "loom/crowd.rs"]
mod crowd;
#[path = "loom/groups.rs"]
mod groups;
#[path = "loom/handles.rs"]
mod handles;
#[path = "loom/limit.rs"]
mod limit;
#[cfg(feature = "pool")]
#[path = "loom/pool.rs"]
mod pool;
#[path = "loom/waits.rs"]
mod waits;

use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use async_task::Runnable;
use loom::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use loom::sync::{Condvar, Mutex};
use loom::thread;
use taskgroup::{Spawner, Task, TaskGroup, shield};

use self::bounded::bounded;

/// A loom thread for each child, which runs the child whenever it is scheduled.
#[derive(Clone)]
struct Threads;

impl Spawner for Threads {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let queue = Arc::new(Queue::default());
        let sender = Sender(queue.clone());
        let (runnable, task) = async_task::spawn(future, move |runnable| sender.0.put(Some(runnable)));
        runnable.schedule();
        thread::spawn(move || {
            while let Some(runnable) = queue.take() {
                runnable.run();
            }
        });
        task
    }
}

#[derive(Default)]
struct Queue {
    items: Mutex<Vec<Option<Runnable>>>,
    filled: Condvar,
}

impl Queue {
    fn put(&self, item: Option<Runnable>) {
        self.items.lock().unwrap().push(item);
        self.filled.notify_one();
    }

    /// Returns the next runnable, or `None` when the task is gone.
    fn take(&self) -> Option<Runnable> {
        let mut items = self.items.lock().unwrap();
        loop {
            match items.pop() {
                Some(item) => return item,
                None => items = self.filled.wait(items).unwrap(),
            }
        }
    }
}

/// The task's own end of the queue. Its destructor reports that the task is gone.
struct Sender(Arc<Queue>);

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.put(None);
    }
}

/// Wakes a thread that waits in [`block_on`]. Its `Arc` is std's, because it is cloned under a lock that loom does not see.
#[derive(Default)]
struct Parker {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        *self.woken.lock().unwrap() = true;
        self.changed.notify_one();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let parker = Arc::new(Parker::default());
    let waker = Waker::from(parker.clone());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        let mut woken = parker.woken.lock().unwrap();
        while !std::mem::take(&mut *woken) {
            woken = parker.changed.wait(woken).unwrap();
        }
    }
}

fn model(f: impl Fn() + Send + Sync + 'static) {
    bounded(5, f);
}

/// Counts itself off when it is dropped. It uses an atomic of loom's, because loom puts only what it sees in every order.
struct Capture(Arc<AtomicUsize>);

impl Capture {
    fn new(alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, SeqCst);
        Self(alive.clone())
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// Ready at once, with its value. It keeps its capture until it is destroyed.
struct Keeps<T>(Option<T>, #[expect(dead_code, reason = "kept for its destructor")] Capture);

impl<T> Keeps<T> {
    fn new(value: T, alive: &Arc<AtomicUsize>) -> Self {
        Self(Some(value), Capture::new(alive))
    }
}

impl<T: Unpin> Future for Keeps<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        Poll::Ready(self.0.take().expect("it is polled once"))
    }
}

/// Pending once, and wakes its own task.
struct Yield(bool);

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Red if a child leaves the count before its future is destroyed.
#[test]
fn join_ends_after_the_last_child_and_its_captures() {
    model(|| {
        let alive = Arc::new(AtomicUsize::new(0));
        let group = TaskGroup::new(Threads);
        group.launch(Keeps::new((), &alive));
        block_on(group.join()).unwrap();
        assert_eq!(alive.load(SeqCst), 0);
    });
}

/// Red if `State::entry` checks whether the group is open before it has the lock.
#[test]
fn nothing_starts_after_join_has_returned() {
    model(|| {
        let alive = Arc::new(AtomicUsize::new(0));
        let group = TaskGroup::new(Threads);
        let (outside, capture) = (group.group(), Capture::new(&alive));
        let other = thread::spawn(move || outside.try_spawn(async move { drop(capture) }).is_ok());
        block_on(group.join()).unwrap();
        // If the child was taken, the join waited for it. If not, its future was given back and dropped.
        let taken_before_the_end = alive.load(SeqCst) == 0;
        let taken = other.join().unwrap();
        assert!(!taken || taken_before_the_end);
        assert_eq!(alive.load(SeqCst), 0);
    });
}

/// Red if the `Task` of a child that is already cancelled is stored.
#[test]
fn a_cancel_reaches_or_refuses_every_child() {
    model(|| {
        let alive = Arc::new(AtomicUsize::new(0));
        let group = TaskGroup::new(Threads);
        let (outside, capture) = (group.group(), Capture::new(&alive));
        let other = thread::spawn(move || {
            outside.launch(async move {
                let _capture = capture;
                pending::<()>().await
            });
        });
        group.cancel();
        other.join().unwrap();
        block_on(group.join()).unwrap();
        assert_eq!(alive.load(SeqCst), 0);
    });
}

/// Red if the result is delivered before the future is destroyed.
#[test]
fn a_cancel_of_one_child_ends_it_whenever_it_comes() {
    model(|| {
        let alive = Arc::new(AtomicUsize::new(0));
        let group = TaskGroup::new(Threads);
        let capture = Capture::new(&alive);
        let handle = group.spawn(async move {
            let _capture = capture;
            Yield(false).await;
        });
        let canceller = handle.cancel_handle();
        let other = thread::spawn(move || canceller.cancel());
        let result = block_on(handle);
        assert!(result.is_ok() || result.unwrap_err().is_cancelled());
        assert_eq!(alive.load(SeqCst), 0, "a ready handle means that the captures are gone");
        other.join().unwrap();
        block_on(group.join()).unwrap();
    });
}

/// Red if a child is not cut after the poll in which its shield ended.
#[test]
fn a_shielded_section_is_completed_and_its_child_then_ends() {
    model(|| {
        let done = Arc::new(AtomicUsize::new(0));
        let group = TaskGroup::new(Threads);
        let (begun, completed) = (done.clone(), done.clone());
        group.launch(async move {
            shield(async move {
                begun.fetch_add(1, SeqCst);
                Yield(false).await;
                completed.fetch_add(1, SeqCst);
            })
            .await;
            pending::<()>().await
        });
        group.cancel();
        block_on(group.join()).unwrap();
        assert_ne!(done.load(SeqCst), 1, "begun, so completed; or never begun");
    });
}

/// Red if a cancel that comes while the waker of a shielded poll is being kept does not call it.
#[test]
fn a_cancel_wakes_what_is_under_a_shield() {
    model(|| {
        let group = TaskGroup::new(Threads);
        let own = group.group();
        let cancelled = move || if own.is_cancelled() { Poll::Ready(()) } else { Poll::Pending };
        group.launch(shield(poll_fn(move |_| cancelled())));
        group.cancel();
        block_on(group.join()).unwrap();
    });
}

/// Red if a child that has returned leaves the count while a group inside it lives.
#[test]
fn a_group_opened_in_a_child_is_waited_for_when_its_owner_goes() {
    model(|| {
        let alive = Arc::new(AtomicUsize::new(0));
        let outer = TaskGroup::new(Threads);
        let capture = Capture::new(&alive);
        outer.launch(async move {
            let inner = TaskGroup::new(Threads);
            inner.launch(async move {
                let _capture = capture;
                pending::<()>().await
            });
            // The child ends here, and its group with it.
        });
        block_on(outer.join()).unwrap();
        assert_eq!(alive.load(SeqCst), 0);
    });
}

/// Red if a child that is cut does not wait for the groups inside it.
#[test]
fn a_child_that_is_cut_is_dropped_after_the_groups_in_it() {
    struct Last(Arc<AtomicUsize>);

    impl Drop for Last {
        fn drop(&mut self) {
            assert_eq!(self.0.load(SeqCst), 0, "dropped before what is in it");
        }
    }

    model(|| {
        let alive = Arc::new(AtomicUsize::new(0));
        let outer = TaskGroup::new(Threads);
        let (capture, last) = (Capture::new(&alive), Last(alive.clone()));
        outer.launch(async move {
            let inner = TaskGroup::new(Threads);
            inner.launch(async move {
                let _capture = capture;
                pending::<()>().await
            });
            let _last = last;
            pending::<()>().await
        });
        outer.cancel();
        block_on(outer.join()).unwrap();
        assert_eq!(alive.load(SeqCst), 0);
    });
}

/// Red if `State::open` does not check again for a cancel once the group is linked.
#[test]
fn a_cancel_from_outside_meets_a_group_that_is_being_opened() {
    model(|| {
        let alive = Arc::new(AtomicUsize::new(0));
        let outer = TaskGroup::new(Threads);
        let capture = Capture::new(&alive);
        outer.launch(async move {
            let inner = TaskGroup::new(Threads);
            let _capture = capture;
            let _ = inner.join().await;
            pending::<()>().await
        });
        outer.cancel();
        block_on(outer.join()).unwrap();
        assert_eq!(alive.load(SeqCst), 0);
    });
}
