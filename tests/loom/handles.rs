//! What children leave for the code that waits for them.

use std::convert::Infallible;
use std::panic::{catch_unwind, resume_unwind};
use std::sync::Arc;

use loom::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use loom::thread;
use taskgroup::error::Origin;
use taskgroup::{Failure, TaskGroup};

use super::{Capture, Keeps, Threads, Yield, block_on, bounded, model};

/// Red if `Packet::poll` keeps the waker and does not look again.
#[test]
fn a_child_ends_while_somebody_comes_to_wait_for_it() {
    model(|| {
        let group = TaskGroup::new(Threads);
        let handle = group.spawn(async { Ok(7) });
        let other = thread::spawn(move || block_on(handle).unwrap());
        block_on(group.join()).unwrap();
        assert_eq!(other.join().unwrap(), 7);
    });
}

/// Red if the result is delivered before the future is destroyed.
#[test]
fn what_a_child_captured_is_gone_when_its_handle_is_ready() {
    model(|| {
        let group = TaskGroup::new(Threads);
        let alive = Arc::new(AtomicUsize::new(0));
        let handle = group.spawn(Keeps::new(Ok(7), &alive));
        assert_eq!(block_on(handle).unwrap(), 7);
        assert_eq!(alive.load(SeqCst), 0);
        block_on(group.join()).unwrap();
    });
}

/// A value that nobody takes does not outlive the group.
///
/// Red if a child keeps the place where it left its result until its task is destroyed.
#[test]
fn a_handle_is_dropped_while_its_child_ends() {
    model(|| {
        let group = TaskGroup::new(Threads);
        let alive = Arc::new(AtomicUsize::new(0));
        let value = Capture::new(&alive);
        let handle = group.spawn(async move { Ok(value) });
        let other = thread::spawn(move || drop(handle));
        block_on(group.join()).unwrap();
        other.join().unwrap();
        assert_eq!(alive.load(SeqCst), 0);
    });
}

/// Red if `Results::poll_finished` checks whether the group is closed before it listens.
#[test]
fn a_group_is_closed_while_somebody_waits_for_results() {
    bounded(3, || {
        let group = TaskGroup::new(Threads);
        let mut results = group.results();
        results.spawn(async { Ok(7) });
        let closing = group.group();
        let other = thread::spawn(move || closing.close());
        assert_eq!(block_on(results.next()).unwrap().unwrap(), 7);
        assert!(block_on(results.next()).is_none());
        other.join().unwrap();
        block_on(group.join()).unwrap();
    });
}

/// A value that panics when it is dropped.
struct Brittle;

impl Drop for Brittle {
    fn drop(&mut self) {
        resume_unwind(Box::new("dropped"));
    }
}

/// A value that nobody takes panics in the child or where the results are dropped, and is never lost.
///
/// Red if `Added::leave` drops what nobody takes quietly.
#[test]
fn results_are_dropped_while_a_child_whose_handle_was_added_ends() {
    bounded(2, || {
        let told = Arc::new(AtomicUsize::new(0));
        let tell = told.clone();
        let hook = move |_: &Origin, _: &Failure<Infallible>| {
            tell.fetch_add(1, SeqCst);
        };
        let group = TaskGroup::builder(Threads).supervise(hook).open();
        let results = group.results();
        results.add(group.spawn(async { Ok(Brittle) }));
        let raised = catch_unwind(|| drop(results)).is_err();
        block_on(group.join()).unwrap();
        assert_eq!(told.load(SeqCst) + usize::from(raised), 1);
    });
}

/// Red if `Results::poll_finished` keeps its waker and does not look again.
#[test]
fn two_results_come_at_once() {
    bounded(2, || {
        let group = TaskGroup::new(Threads);
        let mut results = group.results();
        results.spawn(async { Ok(1) });
        results.spawn(async { Ok(2) });
        let sum = (0..2).map(|_| block_on(results.next()).unwrap().unwrap()).sum::<i32>();
        assert_eq!(sum, 3);
        block_on(group.join()).unwrap();
    });
}

/// Red if a result is kept although its reader is gone.
#[test]
fn results_are_dropped_while_one_comes() {
    model(|| {
        let group = TaskGroup::new(Threads);
        let alive = Arc::new(AtomicUsize::new(0));
        let results = group.results();
        let value = Capture::new(&alive);
        results.spawn(async move {
            Yield(false).await;
            Ok(value)
        });
        let closing = thread::spawn(move || drop(results));
        block_on(group.join()).unwrap();
        closing.join().unwrap();
        assert_eq!(alive.load(SeqCst), 0);
    });
}
