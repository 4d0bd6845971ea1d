//! Waiting until nothing is left of a child.

use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Waker};

use futures_lite::future::{poll_once, yield_now};
use taskgroup::group::CancelHandle;
use taskgroup::{TaskGroup, scope};

use super::opener;
use crate::cases::slow::Slow;
use crate::ledger::{Gate, Tally, Wakes};
use crate::test::{Test, panic_text};

pub async fn ended_waits_for_what_the_child_has_opened(t: &Test) {
    let (slow, group) = (Slow::new(t), TaskGroup::new(t.spawner()));
    let mut handle = opener(t, &group, &slow);
    let child = handle.cancel_handle();
    let (mut first, mut second) = (Box::pin(child.ended()), Box::pin(child.ended()));
    assert!(poll_once(&mut first).await.is_none() && poll_once(&mut second).await.is_none());
    assert_eq!((&mut handle).await.unwrap(), 7, "waiting cancels nothing");
    assert!(poll_once(&mut first).await.is_none(), "a group that was opened in it still lives");
    slow.gate.open();
    first.await;
    assert!(child.is_finished());
    assert_eq!((group.len(), t.ledger.read().alive()), (0, 0));
    second.await;
    child.ended().await;
    group.close();
    group.spawn(t.stuck()).cancel_handle().ended().await;
    group.join().await.unwrap();
}

/// Also of children that are put by for others to take out.
pub async fn ended_tells_each_of_a_crowd(t: &Test) {
    let many = t.pick(300, 30);
    let (group, told) = (TaskGroup::new(t.spawner()), Tally::new());
    let handles: Vec<CancelHandle> = (0..many)
        .map(|turn| {
            let busy = t.child(async move {
                for _ in 0..turn % 7 {
                    yield_now().await;
                }
            });
            group.spawn(busy).cancel_handle()
        })
        .collect();
    let waiting = scope(t.spawner(), |waiters| async move {
        for child in handles {
            let told = told.clone();
            waiters.launch(async move {
                child.ended().await;
                assert!(child.is_finished());
                told.add();
            });
        }
        told.take(many).await;
        Ok::<_, std::convert::Infallible>(())
    });
    waiting.await.unwrap();
    assert_eq!(group.len(), 0);
    group.join().await.unwrap();
    assert_eq!((t.ledger.read().completed, t.ledger.read().alive()), (many, 0));
}

pub async fn only_those_who_wait_for_a_child_are_woken_at_its_end(t: &Test) {
    let (group, gates) = (TaskGroup::new(t.spawner()), [Gate::new(), Gate::new()]);
    let [first, second] = gates.clone().map(|gate| {
        let waits = t.child(async move { gate.wait().await });
        group.spawn(waits).cancel_handle()
    });
    let polls = Arc::new(AtomicUsize::new(0));
    let counted = polls.clone();
    let waiter = group.spawn(async move {
        let mut ended = Box::pin(second.ended());
        std::future::poll_fn(|cx| {
            counted.fetch_add(1, SeqCst);
            ended.as_mut().poll(cx)
        })
        .await;
    });
    while polls.load(SeqCst) == 0 {
        yield_now().await;
    }
    let before = polls.load(SeqCst);
    gates[0].open();
    first.ended().await;
    t.step().await;
    assert!(t.restless() || polls.load(SeqCst) == before, "another child has ended");
    gates[1].open();
    waiter.await.unwrap();
    group.join().await.unwrap();
}

pub async fn beginning_to_wait_for_an_end_wakes_nobody(t: &Test) {
    let (group, there) = (TaskGroup::new(t.spawner()), Tally::new());
    let (gate, begun) = (Gate::new(), there.clone());
    let opened = gate.clone();
    let service = group.child().background().spawn(t.child(async move {
        begun.add();
        opened.wait().await;
    }));
    there.take(1).await;
    let child = service.cancel_handle();
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut cx = Context::from_waker(&waker);
    // From here on the group gives a signal when it counts no child, as now.
    group.idle().await;
    let (mut stopping, mut cancelled) = (Box::pin(group.stopping()), Box::pin(group.cancelled()));
    assert!(stopping.as_mut().poll(&mut cx).is_pending() && cancelled.as_mut().poll(&mut cx).is_pending());
    for _ in 0..10 {
        assert!(poll_once(child.ended()).await.is_none());
    }
    assert_eq!(wakes.count(), 0);
    gate.open();
    child.ended().await;
    service.await.unwrap();
    group.join().await.unwrap();
}

pub async fn waiting_for_ones_own_end_panics(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let (give, own) = async_channel::bounded::<CancelHandle>(1);
    let spawner = t.spawner();
    let child = group.spawn(t.child(async move {
        let own = own.recv().await.unwrap();
        // In code that runs inside of it as well.
        let inside = TaskGroup::new(spawner);
        inside.launch(async move { own.ended().await });
        inside.join().await.unwrap();
    }));
    give.try_send(child.cancel_handle()).unwrap();
    let text = panic_text(group.join()).await;
    assert!(text.contains("would wait for itself: the end of child 1, "), "{text}");
    assert_eq!(t.ledger.read().alive(), 0);
}

pub async fn whoever_waits_for_an_end_lends_its_place(t: &Test) {
    let group: TaskGroup<_> = TaskGroup::builder(t.spawner()).limit(NonZeroUsize::MIN).open();
    let member = group.group();
    let ledger = t.ledger.clone();
    group.launch(t.child(async move {
        let queued = member.spawn(ledger.track(async {})).cancel_handle();
        queued.ended().await;
        assert!(queued.is_finished());
    }));
    group.join().await.unwrap();
    assert_eq!((t.ledger.read().completed, t.ledger.read().alive()), (2, 0));
}
