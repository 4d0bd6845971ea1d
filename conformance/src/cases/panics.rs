//! K. Panics that need nothing but a group, and the kinds of end that the runtimes' own tasks handle wrongly.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Wake, Waker};

use futures_lite::future::{poll_once, yield_now};
use taskgroup::{Failure, Spawner, TaskGroup, scope, shield};

use crate::ledger::{Gate, Ledger, Tally};
use crate::test::{Test, panic_text, quiet_panic};

pub async fn o_96_a_panic_reaches_the_host_after_everybody_ended(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let (ready, counted) = (Tally::new(), Arc::new(AtomicUsize::new(0)));
    for _ in 0..2 {
        let (soft, ready, counted) = (group.group(), ready.clone(), counted.clone());
        group.launch(t.child(shield(async move {
            ready.add();
            soft.cancelled().await;
            counted.fetch_add(1, SeqCst);
        })));
    }
    group.launch(t.child(async move {
        ready.take(2).await;
        quiet_panic("boom")
    }));
    assert_eq!(panic_text(group.join()).await, "boom");
    assert_eq!(counted.load(SeqCst), 2);
}

pub async fn o_97_under_collect_the_others_finish(t: &Test) {
    for panicking in 0..3 {
        let group = TaskGroup::builder::<Infallible>(t.spawner()).collect().open();
        let counted = Arc::new(AtomicUsize::new(0));
        for child in 0..3 {
            let counted = counted.clone();
            group.launch(t.child(async move {
                if child == panicking {
                    quiet_panic("boom");
                }
                yield_now().await;
                counted.fetch_add(1, SeqCst);
            }));
        }
        assert_eq!(panic_text(group.join()).await, "boom");
        assert_eq!(counted.load(SeqCst), 2);
    }
    assert_eq!(t.ledger.read().completed, 6);
}

pub async fn o_98_of_two_panics_one_goes_on_and_both_reach_the_hook(t: &Test) {
    let told = Arc::new(AtomicUsize::new(0));
    let hook = told.clone();
    let group = TaskGroup::builder::<&str>(t.spawner())
        .collect()
        .on_failure(move |_, failure| {
            let Failure::Panic(payload) = failure else { panic!("no panic: {failure}") };
            hook.fetch_add(payload.message().unwrap().parse().unwrap(), SeqCst);
        })
        .open();
    group.launch(t.child(async { quiet_panic("1") }));
    group.launch(t.child(async { quiet_panic("10") }));
    let text = panic_text(group.join()).await;
    assert!(text == "1" || text == "10");
    assert_eq!(told.load(SeqCst), 11);
}

pub async fn the_first_panic_goes_on_however_few_failures_are_kept(t: &Test) {
    for bound in [0, 1, usize::MAX] {
        let group = TaskGroup::builder::<&str>(t.spawner()).collect().keep(bound).open();
        for panic in ["1", "2"] {
            assert!(group.spawn(t.child(async { Err::<(), _>("error") })).await.is_err());
            assert!(group.spawn(t.child(async move { quiet_panic(panic) })).await.is_err());
        }
        assert_eq!(panic_text(group.join()).await, "1", "where {bound} failures are kept");
    }
}

pub async fn a_panic_is_seen_only_when_the_childs_captures_are_gone(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let (gone, log) = (t.log.on_drop("captures gone"), t.log.clone());
    let handle = group.spawn(t.child(async move {
        let _gone = gone;
        quiet_panic("boom")
    }));
    assert!(handle.await.unwrap_err().is_panicked());
    log.write("the handle says so");
    assert_eq!(panic_text(group.join()).await, "boom");
    assert_eq!(t.log.lines(), ["captures gone", "the handle says so"]);
}

pub async fn a_child_that_is_cancelled_in_its_last_poll_may_still_panic(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let own = group.group();
    let handle = group.spawn(t.child(async move {
        own.cancel();
        quiet_panic("boom")
    }));
    assert!(handle.await.unwrap_err().is_panicked());
    assert_eq!(panic_text(group.join()).await, "boom");
}

pub async fn a_child_that_is_cancelled_in_its_last_poll_keeps_its_value(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let own = group.group();
    let handle = group.spawn(t.child(async move {
        own.cancel();
        Ok(42)
    }));
    assert_eq!(handle.await.unwrap(), 42);
    group.join().await.unwrap();
}

pub async fn a_ready_handle_means_that_the_captures_are_gone(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    for _ in 0..50 {
        let handle = group.spawn(t.child(async { Ok(()) }));
        handle.await.unwrap();
        assert_eq!(t.ledger.read().alive(), 0);
    }
    group.join().await.unwrap();
}

pub async fn a_panic_of_the_body_waits_for_every_child(t: &Test) {
    let gate = Gate::new();
    let result = scope(t.spawner(), |group| async move {
        let (open, log) = (gate.clone(), t.log.clone());
        group.launch(t.child(shield(async move {
            open.open();
            for _ in 0..20 {
                yield_now().await;
            }
            log.write("child done");
        })));
        gate.wait().await;
        quiet_panic("in the body") as Result<(), Infallible>
    });
    assert_eq!(panic_text(result).await, "in the body");
    assert_eq!(t.log.lines(), ["child done"]);
}

pub async fn a_panic_in_the_closure_that_makes_the_body_is_the_bodys(t: &Test) {
    let result = scope(t.spawner(), |group| {
        group.launch(t.stuck());
        if t.log.lines().is_empty() {
            quiet_panic("before the body");
        }
        std::future::ready(Ok::<(), Infallible>(()))
    });
    assert_eq!(panic_text(result).await, "before the body");
}

/// A waker is code of others, so it may panic.
pub async fn a_waker_that_panics_keeps_nobody_from_ending(t: &Test) {
    struct Bomb;

    impl Wake for Bomb {
        fn wake(self: Arc<Self>) {
            quiet_panic("in the waker");
        }
    }

    let waker = Waker::from(Arc::new(Bomb));
    let cx = &mut Context::from_waker(&waker);
    let group = TaskGroup::new(t.spawner());
    let mut handle = group.spawn(t.stuck());
    let (mut idle, mut other) = (Box::pin(group.idle()), Box::pin(group.idle()));
    assert!(pin!(&mut handle).poll(cx).is_pending());
    assert!(idle.as_mut().poll(cx).is_pending());
    assert!(poll_once(other.as_mut()).await.is_none());
    handle.cancel();
    other.await;
    assert!(handle.await.unwrap_err().is_cancelled());
    group.join().await.unwrap();
    assert_eq!(t.ledger.read().dropped, 1);
}

pub async fn a_group_opened_in_the_destructor_of_a_value_is_the_childs(t: &Test) {
    struct Opens<S: Spawner>(S, Gate, Ledger);

    impl<S: Spawner> Drop for Opens<S> {
        fn drop(&mut self) {
            let group = TaskGroup::new(self.0.clone());
            let gate = self.1.clone();
            group.launch(self.2.track(shield(async move { gate.wait().await })));
        }
    }

    let (outer, gate) = (TaskGroup::new(t.spawner()), Gate::new());
    let value = Opens(t.spawner(), gate.clone(), t.ledger.clone());
    outer.launch(t.child(async move { Ok(value) }));
    gate.open();
    outer.join().await.unwrap();
    assert_eq!(t.ledger.read().alive(), 0);
}
