//! J. The handles of children.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_lite::future::{poll_once, yield_now};
use taskgroup::group::Ready;
use taskgroup::{AnySpawner, JoinError, JoinHandle, TaskGroup, scope, shield};

use crate::cases::slow::Slow;
use crate::ledger::{Entry, Gate, Tally, Wakes};
use crate::spawners::Dropping;
use crate::test::{Test, panic_text, until};

mod ended;
mod scenarios;
mod value;
pub use self::ended::*;
pub use self::scenarios::*;
pub use self::value::*;

pub async fn dropping_a_handle_neither_cancels_nor_detaches(t: &Test) {
    let value = scope(t.spawner(), |group| async move {
        let _gone = t.log.on_drop("body gone");
        let (log, there) = (t.log.clone(), Tally::new());
        let begun = there.clone();
        let handle = group.spawn(t.child(async move {
            begun.add();
            while log.count("body gone") == 0 {
                yield_now().await;
            }
            log.write("child ends");
        }));
        there.take(1).await;
        drop(handle);
        Ok::<_, Infallible>(7)
    });
    assert_eq!(value.await.unwrap(), 7);
    t.log.write("joined");
    assert_eq!(t.log.lines(), ["body gone", "child ends", "joined"]);
    assert_eq!(t.ledger.read().completed, 1);
}

pub async fn o_88_cancel_one_child(t: &Test) {
    let there = &Tally::new();
    let value = scope(t.spawner(), |group| async move {
        let gate = Gate::new();
        let opened = gate.clone();
        let sibling = group.spawn(t.child(async move {
            opened.wait().await;
            Ok(7)
        }));
        let mut stuck = group.spawn(t.waiting(there));
        there.take(1).await;
        assert!(!stuck.is_finished());
        stuck.cancel();
        stuck.cancel();
        assert!((&mut stuck).await.unwrap_err().is_cancelled());
        assert_eq!(t.ledger.read().dropped, 1, "destroyed before its handle tells");

        assert!(!group.is_cancelled() && !group.is_closed() && group.reason().is_none());
        let later = group.spawn(t.child(async { Ok(1) }));
        gate.open();
        Ok::<_, Infallible>(sibling.value().await + later.value().await)
    });
    assert_eq!(value.await.unwrap(), 8);
    let ended = t.ledger.read();
    assert_eq!((ended.made, ended.completed, ended.dropped), (3, 2, 3));
}

pub async fn o_89_cancel_before_the_first_poll(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let handle = group.spawn(t.stuck());
    handle.cancel();
    assert!(handle.await.unwrap_err().is_cancelled());
    let polls = t.ledger.read().polls;
    if t.one_thread() {
        assert_eq!(polls, 0);
    } else if t.inline() {
        assert_eq!(polls, 1, "within `spawn`");
    } else {
        assert!(polls <= 1, "another thread may have been quicker");
    }
    assert_eq!(t.ledger.read(), Entry { made: 1, polls, started: polls, completed: 0, dropped: 1 });
    group.join().await.unwrap();
}

pub async fn a_child_that_cancels_itself_runs_up_to_its_next_await(t: &Test) {
    let group = TaskGroup::fallible::<Infallible>(t.spawner());
    let (give, own) = async_channel::bounded(1);
    let log = t.log.clone();
    let handle = group.spawn(t.child(async move {
        JoinHandle::<()>::cancel(&own.recv().await.unwrap());
        log.write("cancelled");
        yield_now().await;
        log.write("went on");
    }));
    let cancel = handle.cancel_handle();
    give.try_send(handle).unwrap();
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["cancelled"]);
    assert_eq!((t.ledger.read().completed, t.ledger.read().dropped), (0, 1));
    assert_eq!(cancel.id(), Some(1));
}

pub async fn a_child_that_cancels_itself_and_returns_keeps_its_value(t: &Test) {
    let group = TaskGroup::fallible::<Infallible>(t.spawner());
    let (give, own) = async_channel::bounded(1);
    let handle = group.spawn(t.child(async move {
        taskgroup::group::CancelHandle::cancel(&own.recv().await.unwrap());
        Ok(5)
    }));
    give.try_send(handle.cancel_handle()).unwrap();
    assert_eq!(handle.await.unwrap(), 5);
    group.join().await.unwrap();
    assert_eq!(t.ledger.read().completed, 1);
}

pub async fn a_lost_race_loses_nothing(t: &Test) {
    let (gate, out_of_patience) = (&Gate::new(), &Gate::new());
    out_of_patience.open();
    let value = scope(t.spawner(), |group| async move {
        let opened = gate.clone();
        let mut handle = group.spawn(t.child(async move {
            opened.wait().await;
            Ok(7)
        }));
        assert!(poll_once(&mut handle).await.is_none());
        assert!(until(out_of_patience, &mut handle).await.is_none());
        assert!(!handle.is_finished());
        gate.open();
        group.idle().await;
        assert!(handle.is_finished());
        assert!(until(out_of_patience, pending::<()>()).await.is_none());
        Ok::<_, Infallible>(handle.await.unwrap())
    });
    assert_eq!(value.await.unwrap(), 7);
    assert_eq!(t.ledger.read().completed, 1);
}

pub async fn a_handle_wakes_whoever_awaited_it_last(t: &Test) {
    let (gate, there) = (&Gate::new(), &Tally::new());
    let value = scope(t.spawner(), |group| async move {
        let opened = gate.clone();
        let mut handle = group.spawn(t.child(async move {
            opened.wait().await;
            Ok(7)
        }));
        assert!(poll_once(&mut handle).await.is_none());
        let begun = there.clone();
        let waiter = group.spawn(t.child(async move {
            assert!(poll_once(&mut handle).await.is_none());
            begun.add();
            Ok(handle.await.unwrap())
        }));
        there.take(1).await;
        gate.open();
        Ok::<_, Infallible>(waiter.value().await)
    });
    assert_eq!(value.await.unwrap(), 7);
    assert_eq!(t.ledger.read().completed, 2);
}

pub async fn a_second_await_after_the_result_panics(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let mut handle = group.spawn(t.child(async { Ok(7) }));
    assert_eq!((&mut handle).await.unwrap(), 7);
    assert!(handle.is_finished());
    assert!(panic_text(&mut handle).await.contains("after it had given its result"));
    group.join().await.unwrap();
    assert_eq!(t.ledger.read().completed, 1);
}

pub async fn awaiting_ones_own_handle_panics(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let (give, own) = async_channel::bounded::<JoinHandle<()>>(1);
    let other = group.spawn(t.child(async { Ok(()) }));
    let mut handle = group.spawn(t.child(async move { drop(own.recv().await.unwrap().await) }));
    assert!(poll_once(&mut handle).await.is_none(), "waiting for it outside is no misuse");
    other.await.unwrap();
    give.try_send(handle).unwrap();
    let text = panic_text(group.join()).await;
    assert!(text.contains("a child would wait for itself") && text.contains("child 2, "), "{text}");
    assert_eq!((t.ledger.read().completed, t.ledger.read().dropped), (1, 2));
}

pub async fn groups_and_handles_say_what_they_are(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    group.launch(t.child(async {}));
    let handle = group.spawn(t.child(async { Ok(7) }));
    let (canceller, member) = (handle.cancel_handle(), group.group());
    assert!(format!("{member:?}").starts_with("Group {"), "{member:?}");
    assert_eq!(format!("{canceller:?}"), "CancelHandle { id: Some(2), .. }");
    assert_eq!(format!("{handle:?}"), format!("JoinHandle {{ child: {canceller:?}, .. }}"));
    let shown = format!("{handle:?}");
    let cancelling = group.spawn(t.child(async {})).cancel_on_drop();
    assert_eq!(format!("{cancelling:?}"), format!("CancelOnDrop({:?})", *cancelling));
    let value = handle.value();
    assert_eq!(format!("{value:?}"), format!("Value {{ handle: {shown}, .. }}"));
    assert_eq!(value.await, 7);
    group.join().await.unwrap();
}

pub async fn a_handle_knows_where_its_child_was_spawned(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let (handle, line) = (group.spawn(t.child(async {})), line!());
    let location = handle.location().unwrap();
    assert_eq!((location.file(), location.line()), (file!(), line));
    group.join().await.unwrap();
}

/// Returns which of the predicates hold: failed, cancelled, panicked, lost.
fn predicates(error: &JoinError) -> [bool; 4] {
    [error.is_failed(), error.is_cancelled(), error.is_panicked(), error.is_lost()]
}

/// Checks the predicates of an error, its origin and its text.
#[track_caller]
fn assert_tells(error: &JoinError, which: usize, id: u64, what: &str) {
    assert_eq!(predicates(error), [0, 1, 2, 3].map(|at| at == which), "{error}");
    let origin = error.origin().unwrap();
    assert_eq!((origin.child(), origin.is_body()), (Some(id), false));
    assert_eq!((origin.location().file(), origin.group_location().file()), (file!(), file!()));
    assert_ne!(origin.location().line(), origin.group_location().line());
    assert_eq!(error.to_string(), format!("child {id}, spawned at {}, {what}", origin.location()));
}

pub async fn join_error_says_why_there_is_no_value(t: &Test) {
    let group = TaskGroup::builder(t.spawner()).collect().open();
    let failed = group.spawn(t.child(async { Err::<(), _>("broken") }));
    let cancelled = group.spawn(t.stuck());
    cancelled.cancel();
    let panicked = group.spawn(t.child(async { panic!("on purpose") as () }));
    assert_tells(&failed.await.unwrap_err(), 0, 1, "failed");
    assert_tells(&cancelled.await.unwrap_err(), 1, 2, "was cancelled");
    assert_tells(&panicked.await.unwrap_err(), 2, 3, "panicked");
    assert_eq!(panic_text(group.join()).await, "on purpose");
    assert_eq!((t.ledger.read().completed, t.ledger.read().dropped), (1, 3));
}

pub async fn join_error_of_a_lost_child(t: &Test) {
    let group = TaskGroup::new(Dropping);
    let lost = group.spawn(t.stuck());
    assert_tells(&lost.await.unwrap_err(), 3, 1, "was dropped by its runtime");
    assert!(group.join().await.unwrap_err().is_lost());
    assert_eq!(t.ledger.read(), Entry { made: 1, polls: 0, started: 0, completed: 0, dropped: 1 });
}

pub async fn join_error_of_a_refused_child(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    group.close();
    let refused = group.spawn(t.stuck());
    assert!(refused.is_finished() && refused.id().is_none() && refused.cancel_handle().id().is_none());
    refused.cancel();
    let error = refused.await.unwrap_err();
    assert_eq!(predicates(&error), [false, true, false, false]);
    assert!(error.origin().is_none());
    assert_eq!(error.to_string(), "the child was not taken in: its group is closed or cancelled");
    assert_eq!((t.ledger.read().polls, t.ledger.read().dropped), (0, 1));
    group.join().await.unwrap();
}

pub async fn a_value_nobody_reads_is_destroyed_before_join_returns(t: &Test) {
    let group = TaskGroup::fallible::<Infallible>(t.spawner());
    let value = t.ledger.capture();
    drop(group.spawn(t.child(async { Ok(value) })));
    let value = t.ledger.capture();
    group.launch(t.child(async { Ok(value) }));
    group.join().await.unwrap();
    let ended = t.ledger.read();
    assert_eq!((ended.completed, ended.made, ended.dropped), (2, 4, 4));
}

pub async fn a_value_stays_with_its_handle(t: &Test) {
    let group = TaskGroup::fallible::<Infallible>(t.spawner());
    let value = t.ledger.capture();
    let handle = group.spawn(t.child(async { Ok(value) }));
    let cancel = handle.cancel_handle();
    group.join().await.unwrap();
    cancel.cancel();
    assert_eq!((t.ledger.read().completed, t.ledger.read().alive()), (1, 1), "only the value is left");
    drop(handle);
    assert_eq!(t.ledger.read().alive(), 0);
}

pub async fn a_late_cancel_does_nothing(t: &Test) {
    let value = scope(t.spawner(), |group| async move {
        let first = group.spawn(t.child(async { Ok(1) }));
        let (late, later) = (first.cancel_handle(), first.cancel_handle());
        group.idle().await;
        first.cancel();

        // The second child gets the slot that the first child had.
        let gate = Gate::new();
        let opened = gate.clone();
        let second = group.spawn(t.child(async move {
            opened.wait().await;
            Ok(2)
        }));
        assert_eq!((late.id(), second.id()), (Some(1), Some(2)));
        late.cancel();
        gate.open();
        let sum = first.value().await + second.value().await;
        later.cancel();
        Ok::<_, Infallible>((sum, later))
    });
    let (sum, later) = value.await.unwrap();
    later.cancel();
    assert_eq!(sum, 3);
    assert_eq!((t.ledger.read().completed, t.ledger.read().dropped), (2, 2));
}

pub async fn a_child_that_was_cancelled_by_itself_does_not_count_as_cut_with_the_group(t: &Test) {
    scope(t.spawner(), |outer| async move {
        let inner = TaskGroup::new(t.spawner());
        let child = inner.spawn(t.stuck());
        child.cancel();
        child.await.unwrap_err();
        inner.idle().await;
        shield(async {
            outer.cancel();
            inner.join().await.unwrap();
        })
        .await;
        Ok::<_, Infallible>(())
    })
    .await
    .unwrap();
    assert_eq!(t.ledger.read().dropped, 1);
}

/// Spawns a child that returns 7, and leaves a group behind that lives until the gate opens.
fn opener(t: &Test, group: &TaskGroup<AnySpawner>, slow: &Slow) -> JoinHandle<u32> {
    let (spawner, inner) = (t.spawner(), slow.clone());
    group.spawn(t.child(async move {
        let inside = TaskGroup::new(spawner);
        inside.launch(inner.child("inner child"));
        inner.begun.take(1).await;
        Ok(7)
    }))
}

pub async fn a_cancel_handle_says_when_nothing_is_left_of_its_child(t: &Test) {
    let (slow, group) = (Slow::new(t), TaskGroup::new(t.spawner()));
    let mut handle = opener(t, &group, &slow);
    let child = handle.cancel_handle();
    assert_eq!((&mut handle).await.unwrap(), 7);
    assert!(!child.is_finished(), "a group that was opened in it still lives");
    slow.gate.open();
    group.idle().await;
    let next = group.spawn(t.stuck());
    assert!(child.is_finished() && !next.cancel_handle().is_finished());
    next.cancel();
    group.join().await.unwrap();
    assert!(next.cancel_handle().is_finished());
}

/// Polls a future until it is ready, by a waker, and then waits until nobody keeps that waker.
async fn and_forgotten<F: Future + Unpin>(mut future: F, polls: usize) -> Option<F::Output> {
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut output = None;
    for _ in 0..polls {
        if let Poll::Ready(ready) = Pin::new(&mut future).poll(&mut Context::from_waker(&waker)) {
            output = Some(ready);
            break;
        }
        yield_now().await;
    }
    drop(future);
    // Another thread may be about to wake it.
    while Arc::strong_count(&wakes) > 2 {
        yield_now().await;
    }
    output
}

/// The waker keeps the cell of a task that may have ended.
pub async fn whoever_has_given_up_is_forgotten(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    assert_eq!(and_forgotten(group.spawn(t.stuck()), 3).await.map(|_| ()), None);
    let start = group.start(|ready: Ready<u32>| {
        t.child(async move {
            ready.set(7);
            pending::<()>().await
        })
    });
    assert_eq!(and_forgotten(start, usize::MAX).await.unwrap().unwrap(), 7);
    group.cancel();
    group.join().await.unwrap();
}

pub async fn a_handle_can_cancel_when_it_is_dropped(t: &Test) {
    let (group, there) = (TaskGroup::new(t.spawner()), Tally::new());
    let mut stuck = group.spawn(t.waiting(&there)).cancel_on_drop();
    there.take(1).await;
    assert!(poll_once(&mut stuck).await.is_none());
    assert!(!stuck.is_finished());
    drop(stuck);
    let value = group.spawn(t.child(async { Ok(7) })).cancel_on_drop();
    assert_eq!(value.await.unwrap(), 7);
    let gate = Gate::new();
    let opened = gate.clone();
    let goes_on = group.spawn(t.child(async move { opened.wait().await })).cancel_on_drop();
    drop(goes_on.into_inner());
    gate.open();
    // The group itself is not cancelled.
    assert_eq!(group.spawn(t.child(async { Ok(8) })).await.unwrap(), 8);
    group.join().await.unwrap();
    assert_eq!((t.ledger.read().completed, t.ledger.read().dropped), (3, 4));
}

/// The child may be counted for longer than its handle waits for, here because of a group in it.
pub async fn a_handle_that_was_ready_cancels_nothing(t: &Test) {
    let (group, gate, begun, spawner) = (TaskGroup::new(t.spawner()), Gate::new(), Tally::new(), t.spawner());
    let (opened, begin) = (gate.clone(), begun.clone());
    let inside = t.child(async move {
        begin.add();
        opened.wait().await;
    });
    let mut child = group
        .spawn(t.child(async move {
            let inner = TaskGroup::new(spawner);
            inner.child().shielded().launch(inside);
            Ok(7)
        }))
        .cancel_on_drop();
    assert_eq!((&mut child).await.unwrap(), 7);
    begun.take(1).await;
    drop(child);
    assert!(!group.snapshot().members().next().unwrap().is_cancelled());
    gate.open();
    group.join().await.unwrap();
}
