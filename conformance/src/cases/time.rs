//! I. Time: the numbered scenarios.
//!
//! The other cases are in `time/deadlines.rs`, `time/moved.rs`, `time/gone.rs`, `time/brittle.rs` and `time/warned.rs`.

use std::convert::Infallible;
use std::future::pending;
use std::io;

use futures_lite::future::{poll_once, yield_now, zip};
use taskgroup::future::Join;
use taskgroup::{CancelReason, Group, GroupError, TaskGroup, scope, shield};

use crate::cases::crank::{Crank, Cranked, at, cranked};
use crate::cases::slow::Slow;
use crate::ledger::{Gate, Tally};
use crate::test::{Test, errors};

mod brittle;
mod deadlines;
mod gone;
mod moved;
mod warned;

pub use brittle::*;
pub use deadlines::*;
pub use gone::*;
pub use moved::*;
pub use warned::*;

/// Opens a group with a child that fails when the gate opens.
///
/// Returns the gate and the join of the group, which logs "warned" when it has taken a second.
async fn joined_with_a_warning(t: &Test, spawner: Cranked) -> (Gate, Join<Cranked, &'static str>) {
    let (begun, gate) = (Tally::new(), Gate::new());
    let group = TaskGroup::builder::<&str>(spawner).open();
    let (begin, wait, log) = (begun.clone(), gate.clone(), t.log.clone());
    group.launch(t.child(async move {
        begin.add();
        wait.wait().await;
        Err::<(), _>("an error")
    }));
    begun.take(1).await;
    (gate, group.join().warn_after(at(1), move |_| log.write("warned")))
}

/// Checks that the deadline cut the group short, and that nothing failed.
#[track_caller]
pub fn timed_out<T, E>(result: Result<T, GroupError<E>>) {
    let error = result.err().expect("it was cut short");
    assert!(error.is_cancelled(), "nothing failed");
    assert_eq!(error.reason(), Some(&CancelReason::Deadline));
}

/// A deadline passes around a group that was cancelled before and takes longer to end.
pub async fn o_41_a_deadline_is_not_swallowed_by_a_cancel_inside(t: &Test) {
    let (crank, spawner) = cranked(t);
    let (slow, opened) = (Slow::new(t), async_channel::bounded(1));
    let outer = scope(spawner, |group| {
        let (slow, give) = (slow.clone(), opened.0);
        async move {
            give.try_send(group.clone()).unwrap();
            let inner = scope(group.spawner().clone(), |inner| async move {
                inner.launch(slow.child("child"));
                slow.begun.take(1).await;
                slow.log.write("cancelled");
                inner.cancel();
                Ok::<_, Infallible>(())
            });
            inner.await.unwrap();
            t.log.write("the host goes on");
            Ok::<_, Infallible>(())
        }
    });
    let driver = async {
        let group = opened.1.recv().await.unwrap();
        slow.seen("cancelled", 1).await;
        crank.to(5);
        group.cancelled().await;
        crank.to(10);
        slow.gate.open();
    };
    timed_out(zip(outer.deadline(at(5)), driver).await.0);
    assert_eq!((t.log.lines(), crank.sleeps()), (vec![], 0));
}

/// Lets the deadline pass, which the explicit cancel before it must not hide, and then lets the group end.
async fn overtake<E>(group: &Group<Cranked, E>, crank: &Crank, slow: &Slow) {
    assert_eq!(group.reason(), Some(CancelReason::Explicit("".into())));
    crank.to(5);
    while group.reason() != Some(CancelReason::Deadline) {
        yield_now().await;
    }
    slow.gate.open();
}

pub async fn o_41_nor_by_a_cancel_of_its_own_group(t: &Test) {
    let (crank, spawner) = cranked(t);
    let (slow, opened) = (Slow::new(t), async_channel::bounded(1));
    let result = scope(spawner, async |group: Group<_, Infallible>| {
        opened.0.try_send(group.clone()).unwrap();
        group.launch(slow.child("child"));
        slow.begun.take(1).await;
        group.cancel();
        Ok(())
    });
    let driver = async {
        let group = opened.1.recv().await.unwrap();
        group.cancelled().await;
        overtake(&group, &crank, &slow).await;
    };
    timed_out(zip(result.deadline(at(5)), driver).await.0);
}

pub async fn o_41_nor_while_the_body_waits_for_a_group(t: &Test) {
    let (crank, spawner) = cranked(t);
    let (slow, opened) = (Slow::new(t), async_channel::bounded(1));
    let result = scope(spawner, async |group: Group<_, Infallible>| {
        opened.0.try_send(group.clone()).unwrap();
        let inner = TaskGroup::new(group.spawner().clone());
        inner.launch(slow.child("child"));
        slow.begun.take(1).await;
        group.cancel();
        pending::<Result<(), _>>().await
    });
    let driver = async {
        let group = opened.1.recv().await.unwrap();
        group.cancelled().await;
        overtake(&group, &crank, &slow).await;
    };
    timed_out(zip(result.deadline(at(5)), driver).await.0);
}

pub async fn o_41_nor_in_a_free_standing_group(t: &Test) {
    let (crank, spawner) = cranked(t);
    let slow = Slow::new(t);
    let group = TaskGroup::builder::<Infallible>(spawner).deadline(at(5)).open();
    group.launch(slow.child("child"));
    slow.begun.take(1).await;
    group.cancel();
    overtake(&group, &crank, &slow).await;
    timed_out(group.join().await);
    assert_eq!(crank.sleeps(), 0);
}

pub async fn o_41_nor_while_only_a_clean_up_is_left(t: &Test) {
    let (crank, spawner) = cranked(t);
    let (slow, registered) = (Slow::new(t), Gate::new());
    let group = TaskGroup::builder::<Infallible>(spawner).deadline(at(5)).open();
    let (own, open, cleanup) = (group.group(), registered.clone(), slow.clone());
    group.launch(t.child(async move {
        own.defer(async move {
            cleanup.begun.add();
            cleanup.gate.wait().await;
        });
        open.open();
        pending::<()>().await
    }));
    registered.wait().await;
    group.cancel();
    slow.begun.take(1).await;
    overtake(&group, &crank, &slow).await;
    timed_out(group.join().await);
    assert_eq!(crank.sleeps(), 0);
}

/// Whose end is no reason for an error, but the reason can be read.
pub async fn o_41_nor_while_only_a_background_child_is_left(t: &Test) {
    let (crank, spawner) = cranked(t);
    let slow = Slow::new(t);
    let group = TaskGroup::builder::<Infallible>(spawner).deadline(at(5)).open();
    group.child().background().launch(slow.child("service"));
    slow.begun.take(1).await;
    group.cancel();
    overtake(&group, &crank, &slow).await;
    group.join().await.unwrap();
    assert_eq!(crank.sleeps(), 0);
}

/// The body of a scope is cut, but its host drops it only when the scope is over: nothing may wait for the body then.
pub async fn whoever_keeps_a_deadline_does_not_hold_a_host_that_is_cut(t: &Test) {
    let (crank, spawner) = cranked(t);
    for carried in [false, true] {
        let outer = TaskGroup::new(spawner.clone());
        let ((give, groups), (away, kept)) = (async_channel::bounded(1), async_channel::bounded(1));
        let spawner = spawner.clone();
        let host = outer.spawn(t.child(async move {
            let (keep, own) = async_channel::bounded(1);
            let mut opened = Box::pin(scope(spawner, move |group: Group<_, Infallible>| {
                group.set_deadline(Some(at(5)));
                keep.try_send(group).unwrap();
                pending::<Result<(), _>>()
            }));
            assert!(poll_once(&mut opened).await.is_none());
            give.try_send(own.try_recv().unwrap()).unwrap();
            if carried {
                away.try_send(opened).map_err(drop).unwrap();
                return pending().await;
            }
            opened.await.map_err(drop).unwrap_err();
            Ok(())
        }));
        let group = groups.recv().await.unwrap();
        group.cancel();
        host.cancel();
        outer.join().await.unwrap();
        drop(kept);
    }
    assert_eq!(crank.sleeps(), 0);
}

pub async fn a_deadline_that_is_set_after_an_explicit_cancel_counts(t: &Test) {
    let (crank, spawner) = cranked(t);
    let slow = Slow::new(t);
    let group = TaskGroup::new(spawner);
    group.launch(slow.child("child"));
    slow.begun.take(1).await;
    group.cancel();
    group.set_deadline(Some(at(5)));
    crank.to(5);
    while group.reason() != Some(CancelReason::Deadline) {
        yield_now().await;
    }
    slow.gate.open();
    timed_out(group.join().await);
    assert_eq!(crank.sleeps(), 0);
}

pub async fn whoever_keeps_a_deadline_does_not_close_the_group_to_a_clean_up(t: &Test) {
    let (crank, spawner) = cranked(t);
    let group = TaskGroup::builder::<Infallible>(spawner).deadline(at(5)).open();
    let (gate, member, ledger) = (Gate::new(), group.group(), t.ledger.clone());
    let (wait, outside) = (gate.clone(), group.group());
    group.launch(t.child(async move {
        let late = member.clone();
        member.defer(async move {
            wait.wait().await;
            late.launch(ledger.track(async {}));
        });
    }));
    let joined = async { group.join().await };
    let driver = async {
        // Only the clean-up is left, and the child that keeps the deadline.
        while !outside.is_empty() {
            yield_now().await;
        }
        t.step().await;
        gate.open();
    };
    let (joined, ()) = zip(joined, driver).await;
    joined.unwrap();
    assert_eq!(t.ledger.read().completed, 2, "what the clean-up starts is taken");
    assert_eq!(crank.sleeps(), 0);
}

pub async fn o_80_deadline_not_reached(t: &Test) {
    let (crank, spawner) = cranked(t);
    let at_once = scope(spawner.clone(), async |_| Ok::<_, Infallible>(1));
    assert_eq!(at_once.timeout(at(5)).await.unwrap(), 1);
    assert_eq!(crank.sleeps(), 0);
    let yields = scope(spawner, async |_| {
        yield_now().await;
        assert_eq!(crank.sleeps(), 1);
        Ok::<_, Infallible>(2)
    });
    assert_eq!(yields.timeout(at(5)).await.unwrap(), 2);
    assert_eq!(crank.sleeps(), 0);
}

pub async fn o_81_deadline_waits_for_children_too(t: &Test) {
    let (crank, spawner) = cranked(t);
    let (gate, begun) = (Gate::new(), Gate::new());
    let result = scope(spawner, async |group| {
        let (wait, open) = (gate.clone(), begun.clone());
        group.launch(t.child(async move {
            open.open();
            wait.wait().await;
        }));
        Ok::<_, Infallible>(5)
    });
    let driver = async {
        begun.wait().await;
        crank.to(9);
        gate.open();
    };
    assert_eq!(zip(result.timeout(at(10)), driver).await.0.unwrap(), 5);
    assert_eq!((t.ledger.read().completed, t.ledger.read().alive()), (1, 0));
}

pub async fn o_82_already_expired(t: &Test) {
    let (crank, spawner) = cranked(t);
    crank.to(3);
    for way in 0..3 {
        let result = scope(spawner.clone(), |group| {
            t.log.write("the body is made");
            group.launch(t.stuck());
            t.child(async { Ok::<_, Infallible>(()) })
        });
        timed_out(match way {
            0 => result.deadline(at(2)).await,
            1 => result.deadline(at(3)).await,
            _ => result.timeout(at(0)).await,
        });
    }
    assert_eq!((t.log.lines(), t.ledger.read().made, crank.sleeps()), (vec![], 0, 0));
}

pub async fn o_83_busy_body(t: &Test) {
    let (crank, spawner) = cranked(t);
    let begun = Gate::new();
    let result = scope(spawner, |_| {
        t.child(async {
            begun.open();
            loop {
                yield_now().await;
            }
            #[allow(unreachable_code, reason = "it has a type")]
            Ok::<(), Infallible>(())
        })
    });
    let driver = async {
        begun.wait().await;
        crank.to(1);
    };
    timed_out(zip(result.timeout(at(1)), driver).await.0);
    assert_eq!(t.ledger.read().completed, 0);
}

/// Runs a body that waits under a shield until its deadline has passed, and then ends as `last` does.
async fn past_the_deadline<T>(
    t: &Test,
    last: impl AsyncFnOnce() -> Result<T, &'static str>,
) -> Result<T, GroupError<&'static str>> {
    let (crank, spawner) = cranked(t);
    let begun = Gate::new();
    let result = scope(spawner, async |group| {
        shield(async {
            let group = group;
            begun.open();
            group.cancelled().await;
        })
        .await;
        last().await
    });
    let driver = async {
        begun.wait().await;
        crank.to(1);
    };
    zip(result.timeout(at(1)), driver).await.0
}

pub async fn o_84_error_while_timing_out(t: &Test) {
    let error = past_the_deadline(t, async || Err::<(), _>("late")).await.unwrap_err();
    assert_eq!(errors(&error), ["late"]);
    assert_eq!(error.reason(), Some(&CancelReason::Deadline));
}

pub async fn o_85_result_in_the_poll_that_ends_the_shield(t: &Test) {
    assert_eq!(past_the_deadline(t, async || Ok(5)).await.unwrap(), 5);
}

pub async fn o_85_result_past_one_more_await(t: &Test) {
    let result = past_the_deadline(t, async || {
        yield_now().await;
        t.log.write("not past an await");
        Ok(5)
    });
    timed_out(result.await);
    assert_eq!(t.log.lines(), [""; 0]);
}

pub async fn o_86_inner_deadline_is_seen_by_its_host(t: &Test) {
    let (crank, spawner) = cranked(t);
    let begun = Gate::new();
    let outer = scope(spawner, async |group| {
        let inner = scope(group.spawner().clone(), async |_| {
            begun.open();
            pending::<Result<(), Infallible>>().await
        });
        timed_out(inner.timeout(at(10)).await);
        yield_now().await;
        Ok::<_, Infallible>("goes on")
    });
    let driver = async {
        begun.wait().await;
        crank.to(10);
    };
    assert_eq!(zip(outer.timeout(at(1000)), driver).await.0.unwrap(), "goes on");
    assert_eq!(crank.sleeps(), 0);
}

pub async fn o_86_nested_deadlines_are_told_apart(t: &Test) {
    let (crank, spawner) = cranked(t);
    let slow = Slow::new(t);
    let outer = scope(spawner, async |group| {
        loop {
            let inner = scope(group.spawner().clone(), async |_| {
                slow.begun.add();
                pending::<Result<(), Infallible>>().await
            });
            timed_out(inner.timeout(at(150)).await);
            t.log.write("inner");
        }
        #[allow(unreachable_code, reason = "it has a type")]
        Ok::<(), Infallible>(())
    });
    let driver = async {
        for time in [150, 300, 320] {
            slow.begun.take(1).await;
            crank.to(time);
        }
    };
    timed_out(zip(outer.timeout(at(320)), driver).await.0);
    assert_eq!((t.log.lines(), crank.sleeps()), (vec!["inner".into(), "inner".into()], 0));
}

pub async fn o_106_the_soft_signal_and_an_error_for_it(t: &Test) {
    let group = TaskGroup::fallible(t.spawner());
    let soft = group.stopping();
    group.launch(t.child(async move {
        soft.await;
        Err::<(), _>("stopped")
    }));
    group.stop();
    let error = group.join().await.unwrap_err();
    assert_eq!(errors(&error), ["stopped"]);
    assert!(matches!(error.reason(), Some(CancelReason::Failed(_))), "the signal itself cancels nothing");
}

pub async fn o_106_the_same_under_a_deadline(t: &Test) {
    let (crank, spawner) = cranked(t);
    let begun = Gate::new();
    let group = TaskGroup::builder(spawner).timeout(at(1)).open();
    let (soft, open) = (group.stopping(), begun.clone());
    group.launch(t.child(shield(async move {
        open.open();
        soft.await;
        Err::<(), _>("stopped")
    })));
    begun.wait().await;
    crank.to(1);
    let error = group.join().await.unwrap_err();
    assert_eq!(errors(&error), ["stopped"]);
    assert_eq!(error.reason(), Some(&CancelReason::Deadline));
}

pub async fn o_106_done_before(t: &Test) {
    let (crank, spawner) = cranked(t);
    let result = scope(spawner, |group| async move {
        group.spawn(t.child(async { Ok(3) })).await.unwrap();
        group.stop();
        Ok::<_, Infallible>(3)
    });
    assert_eq!(result.timeout(at(1)).await.unwrap(), 3);
    assert_eq!(crank.sleeps(), 0);
}

pub async fn to_an_io_error_a_deadline_is_a_timeout(t: &Test) {
    let (_, spawner) = cranked(t);
    let late = scope(spawner, |_| pending::<io::Result<()>>()).timeout(at(0)).await.unwrap_err();
    let error = io::Error::from(late);
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(error.get_ref().unwrap().is::<GroupError<io::Error>>());
}
