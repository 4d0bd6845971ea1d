//! Mistakes of users, and failures from outside: the group handles each of them, and nothing is lost.

use std::convert::Infallible;
use std::panic::panic_any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::task::Poll;
use std::thread;

use futures_lite::FutureExt;
use futures_lite::future::{poll_once, yield_now};
use taskgroup::group::{Racers, Snapshot};
use taskgroup::{CancelReason, Failure, Group, TaskGroup, race, scope, shield};

use crate::cases::crank::{Cranked, at, cranked};
use crate::ledger::Gate;
use crate::test::{Test, leak, panic_text, quiet_panic, until};

/// Panics when it is dropped.
struct Bomb(&'static str);

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}

pub async fn a_destructor_panics_when_its_child_is_cut(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let gate = Gate::new();
    for _ in 0..3 {
        let (bomb, gate) = (Bomb("boom"), gate.clone());
        group.launch(t.child(async move {
            let _bomb = bomb;
            gate.open();
            std::future::pending::<()>().await
        }));
    }
    gate.wait().await;
    group.cancel();
    assert_eq!(panic_text(group.join()).await, "boom");
    assert_eq!(t.ledger.read().dropped, 3, "a panic of one destructor stops no other");
}

pub async fn a_destructor_panics_when_its_child_has_returned(t: &Test) {
    let bomb = Bomb("boom");
    let result = scope(t.spawner(), |group| async move {
        group.launch(t.stuck());
        let handle = group.spawn(t.child(async move {
            let _bomb = &bomb;
            Ok::<_, Infallible>(7)
        }));
        handle.await.unwrap();
        std::future::pending::<Result<(), _>>().await
    });
    assert_eq!(panic_text(result).await, "boom");
}

pub async fn a_destructor_panics_in_the_body(t: &Test) {
    let result = scope(t.spawner(), |group| async move {
        let _bomb = Bomb("boom");
        group.launch(t.stuck());
        yield_now().await;
        Err::<(), _>("an error")
    });
    assert_eq!(panic_text(result).await, "boom", "a panic outranks an error");
}

pub async fn a_value_that_nobody_takes_panics_when_dropped(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let gate = Gate::new();
    let open = gate.clone();
    drop(group.spawn(t.child(async move {
        gate.wait().await;
        Ok(Bomb("boom"))
    })));
    open.open();
    assert_eq!(panic_text(group.join()).await, "boom");
}

pub async fn the_value_of_a_scope_that_fails_panics_when_dropped(t: &Test) {
    let gone = Gate::new();
    let result = scope(t.spawner(), |group| async move {
        let open = gone.clone();
        group.launch(t.child(async move {
            gone.wait().await;
            Err::<(), _>("late")
        }));
        open.open();
        Ok(Box::new(Bomb("boom")))
    });
    assert_eq!(panic_text(async { result.await.map(drop) }).await, "boom");
}

pub async fn the_destructor_of_a_panics_payload_panics(t: &Test) {
    let group = TaskGroup::builder::<Infallible>(t.spawner()).collect().open();
    for _ in 0..30 {
        group.launch(t.child(async { panic_any(Bomb("payload")) }));
    }
    let payload = group.join().catch_unwind().await.unwrap_err();
    assert!(payload.is::<Bomb>(), "the first payload comes out whole");
    leak(payload);
    assert_eq!(t.ledger.read().started, 30);
}

pub async fn errors_that_panic_when_dropped_do_so_once(t: &Test) {
    const TEXTS: [&str; 3] = ["one", "two", "three"];

    async fn once(future: impl Future<Output = ()>) {
        assert!(TEXTS.contains(&panic_text(future).await.as_str()));
    }

    let fails = async |group: &Group<_, Bomb>| {
        for text in TEXTS {
            group.launch(t.child(async move { Err::<(), _>(Bomb(text)) }));
        }
        group.idle().await;
    };
    let failed = async || {
        let group = TaskGroup::builder(t.spawner()).collect().open();
        fails(&group).await;
        group.join().await.unwrap_err()
    };
    let error = failed().await;
    once(async { drop(error) }).await;
    let mut failures = failed().await.into_failures();
    leak(failures.next());
    once(async { drop(failures) }).await;
    leak(failed().await.into_primary().ok().expect("the others do not take it away"));

    let lost = race(t.spawner(), async |racers: Racers<_, (), _>| {
        fails(&racers).await;
        racers.finish_with(());
        Ok(())
    });
    once(async { lost.await.map_err(leak).unwrap_or_default() }).await;
}

pub async fn what_the_owner_holds_panics_when_dropped(t: &Test) {
    fn held(t: &Test) -> (TaskGroup<Cranked>, impl FnMut(&Snapshot) + Send + 'static) {
        let bomb = Bomb("owner's");
        let warn = move |_: &Snapshot| {
            let _ = &bomb;
        };
        (TaskGroup::new(cranked(t).1), warn)
    }
    let (group, warn) = held(t);
    group.join().warn_after(at(1), warn).await.unwrap();
    let (group, warn) = held(t);
    group.shutdown(at(1)).warn_after(at(1), warn).await.unwrap();
    let (group, warn) = held(t);
    scope(group.spawner().clone(), async |_: Group<_>| Ok(())).warn_after(at(1), warn).await.unwrap();
    let (group, warn) = held(t);
    group.launch(t.child(async { quiet_panic("child") as () }));
    assert_eq!(panic_text(group.join().warn_after(at(1), warn)).await, "child");
}

pub async fn the_captures_of_a_hook_panic_when_dropped(t: &Test) {
    fn hook() -> impl Fn(usize) {
        let bomb = Bomb("hook");
        move |_| {
            let _ = &bomb;
        }
    }
    let opened = scope(t.spawner(), |_| async { Ok::<_, Infallible>(t.ledger.capture()) });
    let value = opened.on_abandoned(hook()).await.unwrap();
    assert_eq!(t.ledger.read().alive(), 1, "the value is not lost");
    drop(value);

    // If a child is the last to hold its group, it drops the hook. The runtime survives that.
    let (group, gate) =
        (TaskGroup::builder::<Infallible>(t.spawner()).on_abandoned(hook()).open(), Gate::new());
    let wait = gate.clone();
    group.launch(t.child(shield(async move { wait.wait().await })));
    drop(group);
    gate.open();
    t.nothing_alive().await;
    let group = TaskGroup::new(t.spawner());
    group.launch(t.child(async {}));
    group.join().await.unwrap();
}

pub async fn a_child_never_yields(t: &Test) {
    let (started, release) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let group = TaskGroup::new(t.spawner());
    let canceller = thread::spawn({
        let (group, started, release) = (group.group(), started.clone(), release.clone());
        move || {
            while !started.load(SeqCst) {
                thread::yield_now();
            }
            group.cancel();
            assert_eq!(group.len(), 1, "the group waits for it");
            release.store(true, SeqCst);
        }
    });
    let log = t.log.clone();
    group.launch(t.child(async move {
        started.store(true, SeqCst);
        while !release.load(SeqCst) {
            std::hint::spin_loop();
        }
        log.write("up to the next await");
        yield_now().await;
        log.write("not past it");
    }));
    group.join().await.unwrap();
    canceller.join().unwrap();
    assert_eq!(t.log.lines(), ["up to the next await"]);
}

pub async fn a_scope_is_polled_after_it_has_returned(t: &Test) {
    let mut done = Box::pin(scope(t.spawner(), |_| t.child(async { Ok::<_, Infallible>(()) })));
    done.as_mut().await.unwrap();
    assert!(panic_text(done.as_mut()).await.contains("not polled after it has ended"));
}

pub async fn a_timeout_around_join_cancels(t: &Test) {
    scope(t.spawner(), |outer| async move {
        let group = TaskGroup::new(t.spawner());
        let (log, begun) = (t.log.clone(), Gate::new());
        let open = begun.clone();
        group.launch(t.child(shield(async move {
            open.open();
            for _ in 0..20 {
                yield_now().await;
            }
            log.write("cleaned up");
        })));
        begun.wait().await;
        let timeout = Gate::new();
        timeout.open();
        assert!(until(&timeout, group.join()).await.is_none());
        assert!(!outer.is_cancelled());
        Ok::<_, Infallible>(())
    })
    .await
    .unwrap();
    assert_eq!(t.log.lines(), ["cleaned up"], "the group around it has waited");
}

pub async fn an_owner_goes_without_joining(t: &Test) {
    let failures = Arc::new(AtomicUsize::new(0));
    let abandoned = Arc::new(AtomicUsize::new(0));
    let (seen, left) = (failures.clone(), abandoned.clone());
    let group = TaskGroup::builder(t.spawner())
        .collect()
        .on_failure(move |_, failure: &Failure<&str>| {
            assert!(matches!(failure, Failure::Own("lost otherwise")));
            seen.fetch_add(1, SeqCst);
        })
        .on_abandoned(move |children| {
            left.fetch_add(children, SeqCst);
        })
        .open();
    group.launch(t.child(async { Err::<(), _>("lost otherwise") }));
    group.idle().await;
    group.launch(t.child(async { std::future::pending::<Result<(), _>>().await }));
    let outsider = group.group();
    drop(group);
    assert_eq!(outsider.reason(), Some(CancelReason::ScopeDropped));
    assert_eq!((failures.load(SeqCst), abandoned.load(SeqCst)), (1, 1));
    t.nothing_alive().await;
}

pub async fn an_owner_goes_after_its_children(t: &Test) {
    let hook = t.log.clone();
    let group = TaskGroup::builder::<Infallible>(t.spawner())
        .on_abandoned(move |children| hook.write(format!("{children} left")))
        .open();
    group.launch(t.child(async {}));
    group.idle().await;
    drop(group);
    assert_eq!((t.log.lines(), t.ledger.read().alive()), (vec![], 0));
}

/// The group around it waits for the children.
pub async fn an_owner_inside_another_group_abandons_nobody(t: &Test) {
    let (outer, hook, spawner) = (TaskGroup::new(t.spawner()), t.log.clone(), t.spawner());
    let child = t.stuck();
    outer.launch(t.child(async move {
        let inner = TaskGroup::builder::<Infallible>(spawner)
            .on_abandoned(move |children| hook.write(format!("{children} left")))
            .open();
        inner.launch(child);
        drop(inner);
    }));
    outer.join().await.unwrap();
    assert_eq!((t.log.lines(), t.ledger.read().alive()), (vec![], 0));
}

pub async fn a_hook_panics(t: &Test) {
    let group = TaskGroup::builder::<&str>(t.spawner()).on_failure(|_, _| panic!("in the hook")).open();
    group.launch(t.child(async { Err::<(), _>("an error") }));
    group.launch(t.child(std::future::pending::<()>()));
    assert_eq!(panic_text(group.join()).await, "in the hook");
}

pub async fn a_join_is_dropped_after_a_poll_and_by_whoever_polled_it_last(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    group.launch(t.stuck());
    let mut join = group.join();
    assert!(poll_once(&mut join).await.is_none());
    // Polls from another task, so that the waker changes.
    let moved = scope(t.spawner(), |_| async {
        let first =
            std::future::poll_fn(|cx| Poll::Ready(std::pin::Pin::new(&mut join).poll(cx).is_pending()));
        assert!(first.await);
        Ok::<_, Infallible>(join)
    });
    drop(moved.await.unwrap());
    t.nothing_alive().await;
}

pub async fn a_closed_or_cancelled_group_is_spawned_on(t: &Test) {
    let closed = TaskGroup::new(t.spawner());
    closed.close();
    let cancelled = TaskGroup::new(t.spawner());
    cancelled.cancel();
    for group in [closed, cancelled] {
        let was_cancelled = group.is_cancelled();
        group.launch(t.stuck());
        let handle = group.spawn(t.stuck());
        assert!(handle.is_finished());
        assert_eq!(handle.id(), None);
        assert!(handle.await.unwrap_err().is_cancelled());
        let refused = group.try_spawn(t.stuck()).unwrap_err();
        assert_eq!((refused.is_cancelled(), refused.is_closed()), (was_cancelled, !was_cancelled));
        assert_eq!(t.ledger.read().alive(), 1, "given back");
        drop(refused.into_future());
        group.join().await.unwrap();
    }
    assert_eq!(t.ledger.read().polls, 0);
}
