//! Groups in which one child runs at a time.

use std::future::{Future, pending, poll_fn};
use std::num::NonZeroUsize;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use loom::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use loom::thread;
use taskgroup::TaskGroup;

use super::{Capture, Threads, Yield, block_on, bounded};

fn one_at_a_time() -> TaskGroup<Threads> {
    TaskGroup::builder(Threads).limit(NonZeroUsize::MIN).open()
}

/// A child that must be alone.
async fn alone(running: Arc<AtomicUsize>) {
    let _running = Capture::new(&running);
    assert_eq!(running.load(SeqCst), 1, "two run at once");
    Yield(false).await;
}

/// Red if a child that leaves does not pass its place on, or if a queued child keeps its waker and does not look again.
#[test]
fn children_take_turns() {
    bounded(2, || {
        let (group, running) = (one_at_a_time(), Arc::default());
        for _ in 0..2 {
            group.launch(alone(Arc::clone(&running)));
        }
        block_on(group.join()).unwrap();
        assert_eq!(running.load(SeqCst), 0);
    });
}

/// Red if the turn of a child that no longer waits does not go to another child.
#[test]
fn a_queued_child_is_cancelled_while_its_turn_comes() {
    bounded(1, || {
        let (group, running, alive) = (one_at_a_time(), Arc::default(), Arc::default());
        group.launch(alone(Arc::clone(&running)));
        let (capture, waits) = (Capture::new(&alive), running.clone());
        let queued = group.spawn(async move {
            let _capture = capture;
            alone(waits).await;
            pending::<()>().await
        });
        group.launch(alone(running));
        queued.cancel();
        block_on(group.join()).unwrap();
        assert_eq!(alive.load(SeqCst), 0);
    });
}

/// Red if a place is lost because it was given to a waiter that is gone.
#[test]
fn somebody_who_waits_to_spawn_gives_up_while_its_turn_comes() {
    bounded(2, || {
        let (group, running) = (one_at_a_time(), Arc::default());
        group.launch(alone(Arc::clone(&running)));
        let (waits, turn) = (group.group(), running.clone());
        let other = thread::spawn(move || {
            let mut spawning = pin!(waits.spawn_when_free(alone(turn)));
            let _ = spawning.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        });
        group.launch(alone(running));
        other.join().unwrap();
        block_on(group.join()).unwrap();
    });
}

/// Red if a waiter that a close turns away gives back a place that it never had, or if one that had its turn does not give
/// it back.
#[test]
fn somebody_who_waits_to_spawn_gives_up_while_the_group_is_closed() {
    bounded(2, || {
        let (group, running) = (one_at_a_time(), Arc::default());
        group.launch(alone(Arc::clone(&running)));
        let (waits, closes) = (group.group(), group.group());
        let other = thread::spawn(move || {
            let mut spawning = pin!(waits.spawn_when_free(alone(running)));
            let _ = spawning.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        });
        closes.close();
        other.join().unwrap();
        block_on(group.join()).unwrap();
        assert_eq!(closes.snapshot().group().places_taken(), Some(0));
    });
}

/// Red if a child is not woken when it is lent a place while it looks for one.
#[test]
fn a_place_is_lent_to_a_child_that_looks_for_one() {
    bounded(2, || {
        let (group, alive) = (one_at_a_time(), Arc::default());
        let (own, capture) = (group.group(), Capture::new(&alive));
        group.launch(async move { own.spawn(async move { drop(capture) }).await.unwrap() });
        block_on(group.join()).unwrap();
        assert_eq!(alive.load(SeqCst), 0);
    });
}

/// Red if a place that a child was lent, or would be lent next, is not available to others when that child is cancelled.
#[test]
fn a_child_is_cancelled_while_it_is_lent_a_place() {
    bounded(2, || {
        let (group, running) = (one_at_a_time(), Arc::<AtomicUsize>::default());
        let (own, turn) = (group.group(), running.clone());
        group.launch(async move {
            let (first, then) = (own.spawn(alone(turn.clone())), own.spawn(alone(turn)));
            let cancel = first.cancel_handle();
            let other = thread::spawn(move || cancel.cancel());
            let _maybe_cancelled = first.await;
            then.await.unwrap();
            other.join().unwrap();
        });
        block_on(group.join()).unwrap();
        assert_eq!(running.load(SeqCst), 0);
    });
}

/// Red if a child lends its place again while another child runs in it, to which the first borrower has lent the place.
#[test]
fn a_borrower_that_has_lent_the_place_on_ends() {
    bounded(2, || {
        let (group, running) = (one_at_a_time(), Arc::<AtomicUsize>::default());
        let (own, last, next) = (group.group(), alone(running.clone()), alone(running));
        group.launch(async move {
            let around = own.clone();
            let between = own.spawn(async move {
                let mut last = around.spawn(last);
                poll_fn(|cx| Poll::Ready(Pin::new(&mut last).poll(cx).is_ready())).await;
            });
            between.await.unwrap();
            own.spawn(next).await.unwrap();
        });
        block_on(group.join()).unwrap();
    });
}
