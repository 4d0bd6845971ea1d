//! What can be awaited of a group besides its end by the owner.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use futures_lite::future::{poll_once, yield_now, zip};
use taskgroup::{AnySpawner, Group, TaskGroup, scope, shield};

use crate::ledger::{Gate, Tally, Wakes};
use crate::test::{Test, panic_text};

pub async fn until_stopping_gives_what_comes_first(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    assert_eq!(group.until_stopping(t.child(async { 5 })).await, Some(5));
    let mut waiting = Box::pin(group.until_stopping(t.stuck()));
    assert!(poll_once(&mut waiting).await.is_none());
    group.stop();
    assert_eq!(waiting.await, None::<()>);
    assert_eq!((t.ledger.read().completed, t.ledger.read().alive()), (1, 0));
    group.join().await.unwrap();
}

/// Otherwise a loop over something that is always ready would never end.
pub async fn after_the_stop_nothing_is_polled_under_until_stopping(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let mut waiting = Box::pin(group.until_stopping(t.stuck()));
    assert!(poll_once(&mut waiting).await.is_none());
    let before = t.ledger.read().polls;
    group.stop();
    assert_eq!(waiting.await, None);
    assert_eq!(group.until_stopping(t.child(async { 5 })).await, None);
    assert_eq!((t.ledger.read().polls, t.ledger.read().alive()), (before, 0));
    group.join().await.unwrap();
}

/// Opens a group with a child, its clean-up and a background child. The gate lets the clean-up end.
async fn kept(t: &Test) -> (TaskGroup<AnySpawner>, Gate) {
    let (group, gate, begun) = (TaskGroup::new(t.spawner()), Gate::new(), Tally::new());
    let (own, wait, ledger) = (group.group(), gate.clone(), t.ledger.clone());
    group.launch(t.child(async move {
        own.defer(ledger.track(async move { wait.wait().await }));
    }));
    group.child().background().launch(t.waiting(&begun));
    begun.take(1).await;
    group.idle().await;
    (group, gate)
}

pub async fn ended_waits_for_whatever_is_left_of_a_closed_group(t: &Test) {
    let (owner, gate) = kept(t).await;
    let group = owner.group();
    let (mut first, mut second) = (Box::pin(group.ended()), Box::pin(group.ended()));
    assert!(poll_once(&mut first).await.is_none(), "it is open");
    group.close();
    assert!(poll_once(&mut first).await.is_none());
    assert!(poll_once(&mut second).await.is_none());
    assert_eq!(t.ledger.read().alive(), 2, "the clean-up, and the service, which it may need");
    gate.open();
    zip(first, second).await;
    assert_eq!(t.ledger.read().alive(), 0);
    group.ended().await;
    owner.join().await.unwrap();
    group.ended().await;
}

pub async fn ended_of_an_open_group_comes_with_its_owner(t: &Test) {
    for joined in [true, false] {
        let (owner, gate) = kept(t).await;
        let group = owner.group();
        let mut ended = Box::pin(group.ended());
        assert!(poll_once(&mut ended).await.is_none());
        let end = async {
            match joined {
                true => owner.join().await.unwrap(),
                false => drop(owner),
            }
        };
        let driver = async {
            assert!(poll_once(&mut ended).await.is_none());
            gate.open();
            ended.await;
            assert_eq!(t.ledger.read().alive(), 0);
        };
        zip(end, driver).await;
    }
}

pub async fn ended_waits_for_the_body(t: &Test) {
    for dropped in [true, false] {
        let (give, take) = async_channel::bounded(1);
        let gate = Gate::new();
        let mut opened = Box::pin(scope(t.spawner(), |group: Group<_, Infallible>| {
            let (wait, gone) = (gate.clone(), t.log.clone());
            async move {
                let _gone = gone.on_drop("the body");
                give.try_send(group).unwrap();
                shield(wait.wait()).await;
                pending::<Result<(), _>>().await
            }
        }));
        assert!(poll_once(&mut opened).await.is_none());
        let group = take.recv().await.unwrap();
        let mut ended = Box::pin(group.ended());
        group.cancel();
        assert!(poll_once(&mut ended).await.is_none());
        if dropped {
            drop(opened);
        } else {
            gate.open();
            assert!(opened.await.is_err());
        }
        ended.await;
    }
    assert_eq!(t.log.lines(), ["the body"; 2]);
}

/// When the last child leaves, when an empty group is closed, and when a scope is dropped.
pub async fn whoever_waits_for_the_end_is_woken(t: &Test) {
    async fn woken(group: &Group<AnySpawner>, end: impl AsyncFnOnce()) {
        let (wakes, mut ended) = (Arc::new(Wakes::default()), pin!(group.ended()));
        let waker = Waker::from(wakes.clone());
        let mut cx = Context::from_waker(&waker);
        assert!(ended.as_mut().poll(&mut cx).is_pending());
        end().await;
        while wakes.count() == 0 {
            yield_now().await;
        }
        // Perhaps it was woken by something that came before.
        while ended.as_mut().poll(&mut cx).is_pending() {
            yield_now().await;
        }
    }
    let (group, gate) = (TaskGroup::new(t.spawner()), Gate::new());
    let wait = gate.clone();
    group.launch(t.child(async move { wait.wait().await }));
    group.close();
    woken(&group, async || gate.open()).await;
    group.join().await.unwrap();

    let group = TaskGroup::new(t.spawner());
    woken(&group, async || group.close()).await;
    group.join().await.unwrap();

    let (give, take) = async_channel::bounded(1);
    let mut opened = Box::pin(scope(t.spawner(), |group| async move {
        give.try_send(group).unwrap();
        pending::<Result<(), Infallible>>().await
    }));
    assert!(poll_once(&mut opened).await.is_none());
    let group = take.recv().await.unwrap();
    woken(&group, async || drop(opened)).await;
}

pub async fn a_member_that_waits_for_the_end_of_its_group_panics(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let own = group.group();
    group.launch(t.child(async move { own.ended().await }));
    let text = panic_text(group.join()).await;
    assert!(text.contains("would wait for itself: it waits for the end of its own group"), "{text}");
    let body = scope(t.spawner(), |group: Group<_, Infallible>| async move {
        group.ended().await;
        Ok(())
    });
    let text = panic_text(body).await;
    assert!(text.contains("would wait for itself: it waits for the end of its own group"), "{text}");
}
