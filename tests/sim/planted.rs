//! Faults as they occur in programs. Each is found, and nothing is found when the fault is mended.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use async_channel::{Receiver, Sender, bounded};
use futures_lite::future::yield_now;
use taskgroup::sim::{CheckError, Checker, Sim};
use taskgroup::{TaskGroup, shield};

/// Checks that the fault is found, and that the token at the end of the message shows it again.
#[track_caller]
fn found(checker: Checker, scenario: impl AsyncFn(Sim)) -> CheckError {
    let error = checker.try_check(&scenario).expect_err("a fault was planted");
    println!("{error}");
    let token = error.token().unwrap();
    assert!(error.to_string().ends_with(&format!("to run it again: TASKGROUP_SIM={token}")));
    let again = Checker::new().replay(token).try_check(&scenario).expect_err("the fault is still there");
    assert_eq!(again.token(), Some(token));
    error
}

fn everywhere() -> Checker {
    Checker::new().cancel_everywhere()
}

/// A lock for async code: its key is in a channel.
#[derive(Clone)]
struct Lock(Sender<()>, Receiver<()>);

/// Gives the key back when it is dropped.
struct Guard(Sender<()>);

impl Lock {
    fn new() -> Self {
        let (give, take) = bounded(1);
        give.try_send(()).unwrap();
        Self(give, take)
    }

    async fn lock(&self) -> Guard {
        self.1.recv().await.unwrap();
        Guard(self.0.clone())
    }

    /// Takes the key, without a guard.
    async fn acquire(&self) {
        std::mem::forget(self.lock().await);
    }

    fn release(&self) {
        drop(Guard(self.0.clone()));
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.try_send(()).unwrap();
    }
}

mod a_guard_that_is_lost_across_an_await {
    use super::*;

    /// Runs two children that need the same lock for a while.
    async fn take_turns(sim: Sim, work: impl AsyncFn(Lock) + Copy + 'static) {
        let lock = Lock::new();
        let group = TaskGroup::new(sim);
        for name in ["first", "second"] {
            let lock = lock.clone();
            group.child().name(name).launch_local(async move { work(lock).await });
        }
        group.join().await.unwrap();
    }

    async fn by_hand(lock: Lock) {
        lock.acquire().await;
        yield_now().await; // if the child is cut here, nobody releases the lock
        lock.release();
    }

    async fn guarded(lock: Lock) {
        let _guard = lock.lock().await;
        yield_now().await;
    }

    #[test]
    fn is_not_seen_without_a_cancel() {
        Checker::new().check(async |sim| take_turns(sim, by_hand).await);
    }

    #[test]
    fn is_found() {
        let error = found(everywhere(), async |sim| take_turns(sim, by_hand).await);
        assert!(error.is_deadlock());
        let text = error.to_string();
        assert!(text.contains("with a cancel of ") && text.contains("instead of its poll 2"), "{text}");
    }

    #[test]
    fn is_mended() {
        everywhere().check(async |sim| take_turns(sim, guarded).await);
    }
}

mod a_guard_that_is_dropped_before_an_await {
    use super::*;

    /// Runs two children that add one each.
    async fn count(sim: Sim, add: impl AsyncFn(Lock, Rc<Cell<u32>>) + Copy + 'static) {
        let (lock, count) = (Lock::new(), Rc::new(Cell::new(0)));
        let group = TaskGroup::new(sim);
        for _ in 0..2 {
            let (lock, count) = (lock.clone(), count.clone());
            group.launch_local(async move { add(lock, count).await });
        }
        group.join().await.unwrap();
        assert_eq!(count.get(), 2);
    }

    #[allow(clippy::let_underscore_future, clippy::let_underscore_lock, reason = "it is the fault")]
    async fn unguarded(lock: Lock, count: Rc<Cell<u32>>) {
        let _ = lock.lock().await; // dropped in this very line
        let before = count.get();
        yield_now().await;
        count.set(before + 1);
    }

    async fn guarded(lock: Lock, count: Rc<Cell<u32>>) {
        let _guard = lock.lock().await;
        let before = count.get();
        yield_now().await;
        count.set(before + 1);
    }

    #[test]
    fn is_found() {
        let error = found(Checker::new(), async |sim| count(sim, unguarded).await);
        assert!(error.is_panic());
    }

    #[test]
    fn is_mended() {
        Checker::new().check(async |sim| count(sim, guarded).await);
    }
}

mod a_record_that_is_half_written_on_cancel {
    use super::*;

    /// A record of two parts that belong together.
    #[derive(Default)]
    struct Record {
        body: RefCell<Vec<u8>>,
        length: Cell<usize>,
    }

    async fn write(record: &Record, bytes: &[u8]) {
        for byte in bytes {
            record.body.borrow_mut().push(*byte);
            yield_now().await; // if the child is cut here, the length is not that of the body
        }
        record.length.set(bytes.len());
    }

    async fn keep_records(sim: Sim, write: impl AsyncFn(&Record) + Copy + 'static) {
        let record = Rc::new(Record::default());
        let group = TaskGroup::builder::<()>(sim).name("journal").open();
        let written = record.clone();
        group.child().name("writer").launch_local(async move { write(&written).await });
        group.join().await.unwrap();
        assert_eq!(record.body.borrow().len(), record.length.get(), "the record is not whole");
    }

    #[test]
    fn is_not_seen_without_a_cancel() {
        Checker::new().check(async |sim| keep_records(sim, async |record| write(record, b"abc").await).await);
    }

    #[test]
    fn is_found() {
        let error = found(everywhere(), async |sim| {
            keep_records(sim, async |record| write(record, b"abc").await).await
        });
        assert!(error.is_panic());
        let text = error.to_string();
        assert!(text.contains("the record is not whole"), "{text}");
        assert!(text.contains("with a cancel of journal/writer (tests"), "{text}");
        assert!(text.contains("instead of its poll 2"), "{text}");
    }

    #[test]
    fn is_mended() {
        everywhere().check(async |sim| {
            keep_records(sim, async |record| shield(write(record, b"abc")).await).await;
        });
    }
}

mod a_deadlock_between_two_children {
    use super::*;

    /// Makes a transfer in each direction. With `sorted`, both take the locks in the same order.
    async fn transfer(sim: Sim, sorted: bool) {
        let accounts = [Lock::new(), Lock::new()];
        let group = TaskGroup::builder::<()>(sim).name("bank").open();
        for (name, from, to) in [("there", 0, 1), ("back", 1, 0)] {
            let accounts = accounts.clone();
            group.child().name(name).launch(async move {
                let (first, second) = if sorted { (from.min(to), from.max(to)) } else { (from, to) };
                let _from = accounts[first].lock().await;
                yield_now().await;
                let _to = accounts[second].lock().await;
            });
        }
        group.join().await.unwrap();
    }

    #[test]
    fn is_found() {
        for checker in [Checker::new(), Checker::new().exhaustive()] {
            let error = found(checker, async |sim| transfer(sim, false).await);
            assert!(error.is_deadlock());
            let text = error.to_string();
            assert!(text.contains("the group bank opened at tests"), "{text}");
            assert!(text.contains("bank/there (tests") && text.contains("bank/back (tests"), "{text}");
        }
    }

    #[test]
    fn is_mended() {
        let report = Checker::new().exhaustive().check(async |sim| transfer(sim, true).await);
        assert!(report.is_complete());
    }
}
