//! A spawner that runs a child where it is woken: locks that are held there are held while the child runs.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use futures_lite::future::block_on;
use taskgroup::{TaskGroup, scope, shield};
use taskgroup_conformance::ledger::{Ledger, Log};
use taskgroup_conformance::spawners::WhereWoken;
use taskgroup_conformance::{panic_text, watched};

/// A gate for one waiter, which wakes without a lock. Channels and events wake under their own locks.
#[derive(Clone, Default)]
struct Switch(Arc<Mutex<(bool, Option<Waker>)>>);

impl Switch {
    fn turn_on(&self) {
        let waker = {
            let mut switch = self.0.lock().unwrap();
            switch.0 = true;
            switch.1.take()
        };
        waker.unwrap().wake();
    }

    async fn wait(&self) {
        std::future::poll_fn(|cx| {
            let mut switch = self.0.lock().unwrap();
            switch.1 = Some(cx.waker().clone());
            if switch.0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await
    }
}

#[test]
fn a_cancel_drops_the_children_inside_of_it() {
    watched(|| {
        let ledger = Ledger::default();
        let group = TaskGroup::new(WhereWoken);
        for _ in 0..10 {
            let own = group.group();
            group.launch(ledger.track(async move {
                // Dropped with the child. Its destructor looks at the group, and cancels it again.
                let _again = OnDrop(move || {
                    assert!(own.is_cancelled() && own.reason().is_some());
                    own.cancel();
                    own.launch(async {});
                });
                std::future::pending::<()>().await
            }));
        }
        group.cancel();
        assert_eq!((group.len(), ledger.read().alive()), (0, 0));
        block_on(group.join()).unwrap();
    });
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn a_failure_drops_the_siblings_inside_of_it() {
    watched(|| {
        let ledger = Ledger::default();
        let group = TaskGroup::fallible::<&str>(WhereWoken);
        for _ in 0..10 {
            group.launch(ledger.track(std::future::pending::<()>()));
        }
        group.launch(ledger.track(async { Err::<(), _>("an error") }));
        assert_eq!(ledger.read().alive(), 0);
        assert_eq!(block_on(group.join()).unwrap_err().into_primary().unwrap(), "an error");
    });
}

#[test]
fn one_child_is_cancelled_inside_of_its_handle() {
    watched(|| {
        let ledger = Ledger::default();
        let group = TaskGroup::new(WhereWoken);
        let handle = group.spawn(ledger.track(std::future::pending::<()>()));
        handle.cancel();
        assert_eq!(ledger.read().alive(), 0);
        assert!(block_on(handle).unwrap_err().is_cancelled());
        block_on(group.join()).unwrap();
    });
}

#[test]
fn nested_groups_are_torn_down_inside_of_the_outer_cancel() {
    watched(|| {
        let (ledger, log, gate) = (Ledger::default(), Log::default(), Switch::default());
        let outer = TaskGroup::new(WhereWoken);
        let (children, gone, inner_gone, wait) =
            (ledger.clone(), log.on_drop("host"), log.on_drop("child"), gate.clone());
        outer.launch(ledger.track(async move {
            let _gone = gone;
            let inner = scope(WhereWoken, |group| async move {
                group.launch(children.track(shield(async move {
                    let _gone = inner_gone;
                    wait.wait().await
                })));
                std::future::pending::<Result<(), Infallible>>().await
            });
            let _ = inner.await;
        }));
        outer.cancel();
        assert_eq!(log.lines().len(), 0, "the innermost is shielded");
        gate.turn_on();
        assert_eq!(log.lines(), ["child", "host"]);
        block_on(outer.join()).unwrap();
        assert_eq!(ledger.read().alive(), 0);
    });
}

#[test]
fn whoever_waits_is_woken_into_the_group_itself() {
    watched(|| {
        let (ledger, log) = (Ledger::default(), Log::default());
        let (group, other) = (TaskGroup::new(WhereWoken), TaskGroup::new(WhereWoken));
        for _ in 0..3 {
            let (watched, log) = (group.group(), log.clone());
            other.launch(ledger.track(async move {
                watched.cancelled().await;
                watched.cancel();
                log.write("woken");
            }));
        }
        group.cancel();
        assert_eq!(log.count("woken"), 3);
        block_on(group.join()).unwrap();
        block_on(other.join()).unwrap();
    });
}

#[test]
fn a_panic_of_a_destructor_inside_of_a_cancel_stops_nobody() {
    watched(|| {
        let ledger = Ledger::default();
        let group = TaskGroup::new(WhereWoken);
        for _ in 0..3 {
            group.launch(ledger.track(async {
                let _bomb = OnDrop(|| std::panic::resume_unwind(Box::new("boom")));
                std::future::pending::<()>().await
            }));
        }
        group.cancel();
        assert_eq!(ledger.read().alive(), 0);
        assert_eq!(block_on(panic_text(group.join())), "boom");
    });
}
