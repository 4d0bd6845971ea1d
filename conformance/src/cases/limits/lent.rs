//! A child that awaits a queued sibling lends it its place.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use futures_lite::future::{FutureExt, poll_once, yield_now, zip};
use taskgroup::{TaskGroup, scope};

use super::{held, limited, link, most, pause, said, says};
use crate::ledger::{Gate, Tally};
use crate::test::Test;

pub async fn a_queued_child_is_lent_the_place_of_whoever_awaits_it(t: &Test) {
    let group = limited(t.spawner(), 1);
    let (own, next) = (group.group(), says(t, "next"));
    let holder = group.spawn(t.child(async move {
        own.spawn(next).await.unwrap();
        Ok("holder")
    }));
    assert_eq!(holder.await.unwrap(), "holder");
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["next"]);
}

pub async fn a_chain_of_children_is_lent_one_place(t: &Test) {
    let (group, long) = (limited(t.spawner(), 1), t.pick(50, 20));
    let first = group.spawn(t.child(link(group.group(), long, async {}.boxed())));
    assert_eq!(first.await.unwrap(), long);
    group.join().await.unwrap();
}

/// The child in between ends or is cancelled while the child at the end of the chain runs.
pub async fn a_place_that_was_lent_on_stays_lent_when_the_one_between_leaves(t: &Test) {
    for is_cancelled in [false, true] {
        let (group, gate, both) = (limited(t.spawner(), 1), Gate::new(), Tally::new());
        let (own, long, ready) = (group.group(), held(t, &both, &gate), both.clone());
        let between = t.child(async move {
            let mut long = own.spawn(long);
            assert!(poll_once(&mut long).await.is_none());
            ready.add();
            if is_cancelled {
                std::future::pending::<()>().await;
            }
        });
        let (own, log, next) = (group.group(), t.log.clone(), says(t, "next"));
        let first = group.spawn(t.child(async move {
            let between = own.spawn(between);
            let cancel = between.cancel_handle();
            let cancels = async {
                both.take(2).await;
                if is_cancelled {
                    cancel.cancel();
                }
            };
            assert_eq!(zip(between, cancels).await.0.is_ok(), !is_cancelled);
            let mut next = own.spawn(next);
            assert!(poll_once(&mut next).await.is_none());
            pause().await;
            log.write("opened");
            gate.open();
            next.await.map_err(|_| "cut")
        }));
        first.await.unwrap();
        group.join().await.unwrap();
    }
    assert_eq!(t.log.lines(), ["opened", "next", "opened", "next"]);
}

/// The borrower that still runs now has the place to itself. When it ends, the place is free for others.
pub async fn a_lender_that_leaves_takes_no_place_from_whoever_runs_in_it(t: &Test) {
    let (group, begun, gate) = (limited(t.spawner(), 1), Tally::new(), Gate::new());
    let (own, long) = (group.group(), held(t, &begun, &gate));
    let lender = group.spawn(t.child(async move {
        let mut long = own.spawn(long);
        assert!(poll_once(&mut long).await.is_none());
        begun.take(1).await;
        Ok(())
    }));
    lender.await.unwrap();
    group.launch(says(t, "next"));
    pause().await;
    assert_eq!(t.log.lines(), [""; 0]);
    gate.open();
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["next"]);
}

pub async fn one_that_waits_in_a_group_inside_lends_its_place_too(t: &Test) {
    let group = limited(t.spawner(), 1);
    let (own, next) = (group.group(), says(t, "next"));
    group.launch(t.child(async move {
        let queued = own.spawn(next);
        let inner = TaskGroup::new(own.spawner().clone());
        let inside = inner.group();
        inner.launch(async move {
            let _of_its_own = inside;
            let body = scope(own.spawner().clone(), |_| async move {
                queued.await.unwrap();
                Ok::<_, Infallible>(())
            });
            body.await.unwrap();
        });
        inner.join().await.unwrap();
    }));
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["next"]);
}

/// The lender goes on beside the borrower for a while. When both are gone, the limit holds as before.
pub async fn a_place_that_was_lent_is_not_there_twice_afterwards(t: &Test) {
    let (group, gate) = (limited(t.spawner(), 1), Gate::new());
    let (own, next) = (group.group(), says(t, "next"));
    group.spawn(t.child(async move { own.spawn(next).await.map_err(|_| "cut") })).await.unwrap();
    let begun = Tally::new();
    group.launch(held(t, &begun, &gate));
    group.launch(says(t, "queued"));
    begun.take(1).await;
    pause().await;
    assert_eq!(t.log.lines(), ["next"]);
    assert!(group.try_spawn(async {}).unwrap_err().is_full());
    gate.open();
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["next", "queued"]);
}

/// The child can lend its place to one sibling at a time. It lends it to the next one when the one before has ended.
pub async fn several_are_awaited_one_after_the_other(t: &Test) {
    let group = limited(t.spawner(), 1);
    let (own, children) = (group.group(), [0, 1, 2].map(|n| said(t, n, async move { Ok(n) })));
    let sum = group.spawn(t.child(async move {
        let queued = children.map(|child| own.spawn(child));
        let mut sum = 0;
        for child in queued {
            sum += child.await.unwrap();
        }
        Ok(sum)
    }));
    assert_eq!(sum.await.unwrap(), 3);
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["0", "1", "2"]);
}

pub async fn the_body_has_no_place_to_lend(t: &Test) {
    let begun = Tally::new();
    let result = scope(t.spawner(), async |group| {
        let gate = Gate::new();
        group.launch(held(t, &begun, &gate));
        begun.take(1).await;
        let mut queued = group.spawn(says(t, "next"));
        assert!(futures_lite::future::poll_once(&mut queued).await.is_none());
        pause().await;
        assert_eq!(t.log.lines(), [""; 0]);
        gate.open();
        queued.await.unwrap();
        Ok::<_, Infallible>(())
    });
    result.limit(most(1)).await.unwrap();
}

pub async fn a_queued_child_that_is_awaited_and_then_cancelled_is_told_of(t: &Test) {
    let (group, begun) = (limited(t.spawner(), 1), Tally::new());
    let (own, stuck, begin) = (group.group(), t.waiting(&begun), begun.clone());
    let holder = group.spawn(t.child(async move {
        let queued = own.spawn(stuck);
        let cancel = queued.cancel_handle();
        let waits = async {
            let error = queued.await.unwrap_err();
            assert!(error.is_cancelled());
        };
        let cancels = async {
            begin.take(1).await;
            cancel.cancel();
        };
        futures_lite::future::zip(waits, cancels).await;
        Ok(())
    }));
    holder.await.unwrap();
    group.join().await.unwrap();
}

/// Each child has the place in turn, even if the lender then awaits only the last of them.
pub async fn several_are_awaited_at_once_and_one_runs_at_a_time(t: &Test) {
    let (group, running) = (limited(t.spawner(), 1), Arc::new(AtomicUsize::new(0)));
    let children: Vec<_> = (0..t.pick(100, 20))
        .map(|_| {
            let running = running.clone();
            t.child(async move {
                assert_eq!(running.fetch_add(1, SeqCst), 0, "two run at once");
                yield_now().await;
                running.fetch_sub(1, SeqCst);
                Ok(1)
            })
        })
        .collect();
    let (own, count) = (group.group(), children.len());
    let sum = group.spawn(t.child(async move {
        let mut queued: Vec<_> = children.into_iter().map(|child| own.spawn(child)).collect();
        for child in &mut queued {
            assert!(poll_once(child).await.is_none());
        }
        // The handles before it are not polled again until the last child has ended.
        let mut sum = queued.pop().unwrap().await.unwrap();
        for child in queued {
            sum += child.await.unwrap();
        }
        Ok(sum)
    }));
    assert_eq!(sum.await.unwrap(), count);
    group.join().await.unwrap();
}

/// Children that are gone when their turn comes are skipped.
pub async fn of_several_that_are_awaited_some_are_cancelled(t: &Test) {
    let (group, gate) = (limited(t.spawner(), 1), Gate::new());
    let (own, wait, log) = (group.group(), gate.clone(), t.log.clone());
    let (first, stuck, last) = (t.child(async move { wait.wait().await }), t.stuck(), says(t, "last"));
    let holder = group.spawn(t.child(async move {
        let (first, stuck, last) = (own.spawn(first), own.spawn(stuck), own.spawn(last));
        let cancel = stuck.cancel_handle();
        let all = zip(zip(first, stuck), last);
        let driver = async {
            yield_now().await;
            cancel.cancel();
            log.write("cancelled");
            gate.open();
        };
        let (((first, stuck), last), ()) = zip(all, driver).await;
        assert!(stuck.unwrap_err().is_cancelled());
        first.and(last).map_err(|_| "cut")
    }));
    holder.await.unwrap();
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["cancelled", "last"]);
}
