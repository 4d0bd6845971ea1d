//! Failures, clean-ups, background children, and groups that nobody joins.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use loom::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use loom::thread;
use taskgroup::group::Borrowing;
use taskgroup::{Failure, Group, TaskGroup, borrowing, scope};

use super::{Capture, Threads, Yield, block_on, bounded, model};

/// Background children live as long as an ordinary child does, even one that comes while the group is being joined.
///
/// Red if `State::end_background` checks the count only before it has the lock.
#[test]
fn a_child_comes_while_the_background_is_being_ended() {
    bounded(3, || {
        let alive = Arc::new(AtomicUsize::new(0));
        let group = TaskGroup::new(Threads);
        let background = Capture::new(&alive);
        group.child().background().launch(async move {
            let _background = background;
            pending::<()>().await
        });
        let (outside, seen) = (group.group(), alive.clone());
        let other = thread::spawn(move || {
            outside.launch(async move {
                assert_eq!(seen.load(SeqCst), 1, "it runs without those in the background")
            });
        });
        block_on(group.join()).unwrap();
        assert_eq!(alive.load(SeqCst), 0);
        other.join().unwrap();
    });
}

/// One that comes alone wakes nobody, and does not end by itself.
///
/// Red if `State::wind_up` ends the background before it looks.
#[test]
fn one_for_the_background_comes_while_a_group_is_joined() {
    bounded(3, || {
        let alive = Arc::new(AtomicUsize::new(0));
        let group = TaskGroup::new(Threads);
        let (outside, background) = (group.group(), Capture::new(&alive));
        group.launch(async {});
        let other = thread::spawn(move || {
            outside.child().background().launch(async move {
                let _background = background;
                pending::<()>().await
            });
        });
        block_on(group.join()).unwrap();
        other.join().unwrap();
        assert_eq!(alive.load(SeqCst), 0);
    });
}

/// A child inside cuts its host, and leaves while the host checks whether any child is left.
///
/// Red if `State::conclude` checks the count a second time where it did not check for the cut the first time.
#[test]
fn a_host_is_cut_while_the_last_child_inside_leaves() {
    bounded(2, || {
        let goes_on = Arc::new(AtomicUsize::new(0));
        let outer = TaskGroup::new(Threads);
        let (cancel, host) = (outer.group(), goes_on.clone());
        outer.launch(async move {
            let inner = TaskGroup::new(Threads);
            inner.launch(async move { cancel.cancel() });
            drop(inner.join().await);
            host.store(1, SeqCst);
        });
        drop(block_on(outer.join()));
        assert_eq!(goes_on.load(SeqCst), 0);
    });
}

/// Nothing is left in a group when its body is cut, so the group is over while that body is in its last poll.
///
/// Red if `State::enter_cleanup` does not link the group again, or does so before it has entered the clean-up.
#[test]
fn a_body_registers_a_clean_up_while_its_host_is_cut() {
    bounded(2, || {
        let alive = Arc::new(AtomicUsize::new(0));
        let outer = TaskGroup::new(Threads);
        let capture = Capture::new(&alive);
        outer.launch(async move {
            let body = scope(Threads, |group: Group<_>| async move {
                group.defer(async move { drop(capture) });
                pending::<Result<(), Infallible>>().await
            });
            drop(body.await);
        });
        outer.cancel();
        block_on(outer.join()).unwrap();
        assert_eq!(alive.load(SeqCst), 0);
    });
}

/// What the cut body owns may end while the link of its scope is being loosened. Then nobody else settles that scope.
///
/// Red if `State::settle` does not look again after it has put the loosened link back.
#[test]
fn what_a_cut_body_owns_ends_while_its_scope_is_settled() {
    bounded(2, || {
        let alive = Arc::new(AtomicUsize::new(0));
        let capture = Capture::new(&alive);
        let body = scope(Threads, |outer: Group<_>| async move {
            let other = thread::spawn(move || outer.cancel());
            let inner = scope(Threads, |_: Group<_>| async move {
                let owned = borrowing(async move |group: Borrowing<'_, '_>| {
                    group.group().on(Threads).launch(async move {
                        let _capture = capture;
                        pending::<()>().await
                    });
                    pending::<Result<(), Infallible>>().await
                });
                drop(owned.await);
                Ok(())
            });
            drop(inner.await);
            other.join().unwrap();
            Ok(())
        });
        assert!(block_on(body).is_err());
        assert_eq!(alive.load(SeqCst), 0);
    });
}

/// A failure that was returned counts, whenever the cancel comes.
///
/// Red if `Child::end_with` records the failure only while the group is not cancelled.
#[test]
fn a_failure_meets_a_cancel() {
    model(|| {
        let failed = Arc::new(AtomicUsize::new(0));
        let group = TaskGroup::fallible::<u8>(Threads);
        let fails = failed.clone();
        group.launch(async move {
            fails.store(1, SeqCst);
            Err::<(), _>(7)
        });
        group.cancel();
        let joined = block_on(group.join());
        assert_eq!(joined.is_err(), failed.load(SeqCst) == 1);
        joined.err().into_iter().for_each(|error| assert_eq!(error.primary(), Some(&7)));
    });
}

/// The failure that cancels the group is the primary one, and no other failure is lost.
///
/// Red if `State::record_into` takes the number in one step and cancels in another.
#[test]
fn two_children_fail_at_once() {
    bounded(2, || {
        let failed = Arc::new(AtomicUsize::new(0));
        let group = TaskGroup::fallible::<u8>(Threads);
        for number in 1..=2 {
            let fails = failed.clone();
            group.child().name(number.to_string()).launch(async move {
                fails.fetch_add(1, SeqCst);
                Err::<(), _>(number)
            });
        }
        let error = block_on(group.join()).unwrap_err();
        assert_eq!(error.failures().len(), failed.load(SeqCst));
        let primary = error.primary().unwrap().to_string();
        let reason = error.reason().unwrap().to_string();
        assert!(reason.contains(&primary), "{reason}, and {primary} is primary");
    });
}

/// Failures that nobody reads are handed outwards before the group around may end.
///
/// Red if `State::settle` cuts the link before it hands the failures outwards.
#[test]
fn an_abandoned_group_fails_while_the_one_around_it_is_joined() {
    bounded(3, || {
        let failed = Arc::new(AtomicUsize::new(0));
        let outer = TaskGroup::fallible::<u8>(Threads);
        let fails = failed.clone();
        outer.launch(async move {
            let inner = TaskGroup::fallible::<u8>(Threads);
            inner.launch(async move {
                fails.store(1, SeqCst);
                Err::<(), _>(7)
            });
            Ok(())
        });
        let joined = block_on(outer.join());
        assert_eq!(joined.is_err(), failed.load(SeqCst) == 1, "{joined:?}");
        let foreign = |error: taskgroup::GroupError<u8>| {
            error.failures().all(|(_, failure)| matches!(failure, Failure::Foreign { .. }))
        };
        assert!(joined.err().is_none_or(foreign));
    });
}

/// A scope that was carried away from its host is destroyed on another thread, and a destructor in it panics. The group
/// around that is cancelled for it also reports it.
///
/// Red if `hand_outwards` does not hold that group open while it records the failure.
#[test]
fn a_body_that_was_carried_away_panics_while_the_group_around_is_joined() {
    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            resume_unwind(Box::new("of a destructor"));
        }
    }

    bounded(3, || {
        let outer = TaskGroup::new(Threads);
        let outside = outer.group();
        outer.launch(async {
            let bomb = Bomb;
            let mut carried = Box::pin(scope(Threads, |_: Group<Threads, Infallible>| async move {
                let _bomb = bomb;
                pending::<Result<(), Infallible>>().await
            }));
            let _ = carried.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            thread::spawn(move || drop(carried));
        });
        let panicked = catch_unwind(AssertUnwindSafe(|| block_on(outer.join()))).is_err();
        assert_eq!(panicked, outside.is_cancelled());
    });
}

/// A join is dropped while the last child ends.
///
/// Red if `State::tell` does not settle a group that is cancelled.
#[test]
fn a_join_is_dropped_while_the_last_child_ends() {
    bounded(3, || {
        let alive = Arc::new(AtomicUsize::new(0));
        let outer = TaskGroup::new(Threads);
        let capture = Capture::new(&alive);
        outer.launch(async move {
            let inner = TaskGroup::new(Threads);
            inner.launch(async move { drop(capture) });
            let mut join = pin!(inner.join());
            let _ = join.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        });
        block_on(outer.join()).unwrap();
        assert_eq!(alive.load(SeqCst), 0);
    });
}

/// A body that waits is cut by a child that fails, and is gone when the scope ends.
///
/// Red if `Scope::poll` registers its waker only after it has polled the body.
#[test]
fn a_child_fails_while_the_body_waits() {
    model(|| {
        let alive = Arc::new(AtomicUsize::new(0));
        let body = alive.clone();
        let scoped = scope(Threads, move |group: Group<Threads, u8>| async move {
            let _capture = Capture::new(&body);
            group.launch(async { Err::<(), _>(7) });
            pending::<Result<(), u8>>().await
        });
        assert_eq!(block_on(scoped).unwrap_err().primary(), Some(&7));
        assert_eq!(alive.load(SeqCst), 0);
    });
}

/// A clean-up that was registered runs, however its child ends: after the child is destroyed, and before the group ends.
///
/// Red if `Member::end` does not let the clean-ups begin.
#[test]
fn a_cancel_meets_a_child_that_registers_a_clean_up() {
    bounded(3, || {
        let (alive, registered, ran) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let group = TaskGroup::builder::<Infallible>(Threads).open();
        let (member, capture) = (group.group(), Capture::new(&alive));
        let (comes, runs, host) = (registered.clone(), ran.clone(), alive.clone());
        group.launch(async move {
            let _capture = capture;
            member.defer(async move {
                assert_eq!(host.load(SeqCst), 0, "its child is not destroyed");
                runs.store(1, SeqCst);
            });
            comes.store(1, SeqCst);
            Yield(false).await;
        });
        group.cancel();
        block_on(group.join()).unwrap();
        assert_eq!(alive.load(SeqCst), 0);
        assert_eq!(ran.load(SeqCst), registered.load(SeqCst));
    });
}
