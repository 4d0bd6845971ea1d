//! `spawn_when_free`, which makes the code that spawns wait for a place.

use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use futures_lite::future::{poll_once, yield_now, zip};
use taskgroup::{AnySpawner, Group, TaskGroup, shield};

use super::{held, limited, pause, says};
use crate::ledger::{Gate, Tally};
use crate::test::Test;

/// Opens a group with one place. A child has it until the gate opens.
async fn full(t: &Test) -> (TaskGroup<AnySpawner, &'static str>, Gate) {
    let (group, gate, begun) = (limited(t.spawner(), 1), Gate::new(), Tally::new());
    group.launch(held(t, &begun, &gate));
    begun.take(1).await;
    (group, gate)
}

pub async fn spawning_waits_until_there_is_a_place(t: &Test) {
    let (group, gate) = full(t).await;
    let mut spawning = Box::pin(group.spawn_when_free(says(t, "in")));
    for _ in 0..3 {
        assert!(poll_once(spawning.as_mut()).await.is_none());
        pause().await;
    }
    assert_eq!(group.len(), 1, "it is not a child yet");
    gate.open();
    spawning.await.await.unwrap();
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["in"]);
}

pub async fn whoever_waits_to_spawn_is_refused_when_the_group_is_closed(t: &Test) {
    let (group, gate) = full(t).await;
    let mut waiting = [(); 2].map(|()| Box::pin(group.spawn_when_free(says(t, "in"))));
    for spawning in &mut waiting {
        assert!(poll_once(spawning.as_mut()).await.is_none());
    }
    group.close();
    let [asked, dropped] = waiting;
    drop(dropped);
    assert!(asked.await.await.unwrap_err().is_cancelled());
    assert!(group.spawn_when_free(says(t, "late")).await.await.unwrap_err().is_cancelled());
    assert_eq!(group.snapshot().group().places_taken(), Some(1));
    gate.open();
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), [""; 0]);
}

pub async fn whoever_gave_up_waiting_takes_no_place(t: &Test) {
    let (group, gate) = full(t).await;
    let mut waiting: Vec<_> = (0..100).map(|n| Box::pin(group.spawn_when_free(says(t, n)))).collect();
    for spawning in &mut waiting {
        assert!(poll_once(spawning.as_mut()).await.is_none());
    }
    let last = waiting.pop().unwrap();
    drop(waiting.split_off(10));
    gate.open();
    group.idle().await;
    assert_eq!(group.snapshot().group().places_taken(), Some(1), "the first of those that are left has it");
    drop(waiting);
    last.await.await.unwrap();
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["99"]);
}

pub async fn the_waker_of_whoever_gave_up_waiting_is_dropped_with_no_lock_held(t: &Test) {
    struct Asks(Group<AnySpawner, &'static str>);

    impl Wake for Asks {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for Asks {
        fn drop(&mut self) {
            assert_eq!(self.0.len(), 1);
        }
    }

    let (group, gate) = full(t).await;
    let mut waiting: Vec<_> = (0..4).map(|n| Box::pin(group.spawn_when_free(says(t, n)))).collect();
    for spawning in &mut waiting {
        let waker = Waker::from(Arc::new(Asks(group.group())));
        assert!(spawning.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    drop(waiting);
    gate.open();
    group.join().await.unwrap();
}

pub async fn there_are_never_more_children_than_places(t: &Test) {
    let group = limited(t.spawner(), 3);
    for n in 0..30 {
        group.spawn_when_free(says(t, n)).await;
        // Not `len`: a child is counted for a moment longer than it has its place.
        let alive = t.ledger.read().alive();
        assert!(alive <= 3, "{alive} children");
    }
    group.join().await.unwrap();
    assert_eq!(t.log.lines().len(), 30);
}

pub async fn without_a_limit_spawning_does_not_wait(t: &Test) {
    let (group, begun) = (TaskGroup::new(t.spawner()), Tally::new());
    for _ in 0..3 {
        assert!(poll_once(std::pin::pin!(group.spawn_when_free(t.waiting(&begun)))).await.is_some());
    }
    begun.take(3).await;
    group.cancel();
    group.join().await.unwrap();
}

pub async fn a_place_is_given_in_the_order_in_which_it_was_asked_for(t: &Test) {
    let (group, gate) = full(t).await;
    group.launch(says(t, "queued first"));
    let mut spawning = Box::pin(group.spawn_when_free(says(t, "spawned when free")));
    assert!(poll_once(spawning.as_mut()).await.is_none());
    group.launch(says(t, "queued last"));
    gate.open();
    spawning.await.await.unwrap();
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["queued first", "spawned when free", "queued last"]);
}

pub async fn a_wait_that_is_dropped_loses_no_place(t: &Test) {
    let (group, gate) = full(t).await;
    let mut spawning = Box::pin(group.spawn_when_free(says(t, "never")));
    assert!(poll_once(spawning.as_mut()).await.is_none());
    let next = group.spawn(says(t, "next"));
    drop(spawning);
    gate.open();
    next.await.unwrap();
    group.idle().await;
    group.try_spawn(says(t, "and one more")).unwrap().await.unwrap();
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["next", "and one more"]);
}

pub async fn a_wait_that_is_dropped_with_its_place_gives_it_to_the_next(t: &Test) {
    let (group, gate) = full(t).await;
    let mut spawning = Box::pin(group.spawn_when_free(says(t, "never")));
    assert!(poll_once(spawning.as_mut()).await.is_none());
    let next = group.spawn(says(t, "next"));
    gate.open();
    // The place goes to the pending `spawn_when_free`, which is not polled.
    while group.len() > 1 {
        yield_now().await;
    }
    pause().await;
    assert!(group.try_spawn(async {}).unwrap_err().is_full());
    assert_eq!(t.log.lines(), [""; 0]);
    drop(spawning);
    next.await.unwrap();
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["next"]);
}

pub async fn a_wait_ends_when_the_group_is_cancelled(t: &Test) {
    let (group, _gate) = full(t).await;
    let spawning = group.spawn_when_free(says(t, "never"));
    let (refused, ()) = zip(spawning, async {
        yield_now().await;
        group.cancel();
    })
    .await;
    assert!(refused.await.unwrap_err().is_cancelled());
    let late = group.spawn_when_free(says(t, "never")).await;
    assert!(late.await.unwrap_err().is_cancelled());
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), [""; 0]);
}

pub async fn a_wait_ends_with_the_cancel_although_no_place_is_free(t: &Test) {
    let (group, gate, begun) = (limited(t.spawner(), 1), Gate::new(), Tally::new());
    group.launch(shield(held(t, &begun, &gate)));
    begun.take(1).await;
    let mut spawning = Box::pin(group.spawn_when_free(says(t, "never")));
    assert!(poll_once(spawning.as_mut()).await.is_none());
    group.cancel();
    let refused = poll_once(spawning).await.expect("it waits no longer for whoever has the place");
    assert!(refused.await.unwrap_err().is_cancelled());
    assert_eq!(t.ledger.read().completed, 0, "who is still there");
    gate.open();
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), [""; 0]);
}

/// When the group is cancelled, the place belongs to a pending `spawn_when_free` that has not been polled since.
pub async fn a_place_that_was_not_used_before_a_cancel_is_not_taken_for_ever(t: &Test) {
    let (group, gate) = full(t).await;
    let mut spawning = Box::pin(group.spawn_when_free(says(t, "never")));
    assert!(poll_once(spawning.as_mut()).await.is_none());
    gate.open();
    group.idle().await;
    let handle = group.group();
    assert_eq!(handle.snapshot().group().places_taken(), Some(1));
    group.cancel();
    drop(spawning);
    group.join().await.unwrap();
    assert_eq!(handle.snapshot().group().places_taken(), Some(0));
}

pub async fn a_place_in_a_closed_group_is_of_no_use_and_not_lost(t: &Test) {
    let (group, gate) = full(t).await;
    let spawning = group.spawn_when_free(says(t, "never"));
    let queued = group.spawn(says(t, "queued"));
    let (refused, ()) = zip(spawning, async {
        let last = group.spawn(says(t, "last"));
        group.close();
        gate.open();
        last.await.unwrap();
    })
    .await;
    assert!(refused.await.unwrap_err().is_cancelled());
    queued.await.unwrap();
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["queued", "last"]);
}

pub async fn many_wait_at_once_and_all_come_in(t: &Test) {
    let (group, gate) = full(t).await;
    let (in_turn, done) = (group.group(), Tally::new());
    let makers = TaskGroup::new(t.spawner());
    for n in 0..10 {
        let (group, done, child) = (in_turn.clone(), done.clone(), says(t, n));
        makers.launch(async move {
            group.spawn_when_free(child).await.await.unwrap();
            done.add();
        });
    }
    gate.open();
    done.take(10).await;
    makers.join().await.unwrap();
    group.join().await.unwrap();
    assert_eq!(t.log.lines().len(), 10);
}
