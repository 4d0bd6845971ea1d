//! A spawner that runs a child where it is woken: locks that are held there are held while the child runs.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::num::NonZero;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use futures_lite::future::{block_on, poll_once, yield_now};
use taskgroup::runtime::{Hooked, SpawnHook};
use taskgroup::{TaskGroup, scope, shield};
use taskgroup_conformance::ledger::{Gate, Ledger, Log, Tally};
use taskgroup_conformance::spawners::{Inline, WhereWoken};
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

/// A waker that calls its function when it is dropped.
struct Calls<F: FnMut() + Send + Sync>(OnDrop<F>);

impl<F: FnMut() + Send + Sync> Wake for Calls<F> {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_child_that_ends_while_its_handle_is_polled_is_lent_no_place() {
    watched(|| {
        let children = Ledger::default();
        let two = NonZero::new(2).unwrap();
        let group = TaskGroup::builder::<Infallible>(WhereWoken).limit(two).open();
        let mut awaited = group.spawn(children.track(pending::<()>()));
        let awaiter = group.spawn(children.track(async move {
            let cancel = awaited.cancel_handle();
            let waker = Waker::from(Arc::new(Calls(OnDrop(move || cancel.cancel()))));
            assert!(Pin::new(&mut awaited).poll(&mut Context::from_waker(&waker)).is_pending());
            drop(waker);
            // The packet of the handle drops that waker for the new one.
            assert!(poll_once(&mut awaited).await.is_none());
            assert!(awaited.cancel_handle().is_finished());
            assert!(awaited.await.unwrap_err().is_cancelled());
            Ok(())
        }));
        block_on(awaiter).unwrap();
        assert_eq!(group.snapshot().group().places_taken(), Some(0));
        block_on(group.join()).unwrap();
        assert_eq!(children.read().alive(), 0);
    });
}

/// A child is done for its group when its future is gone. What a spawner has put around it is not part of it.
#[test]
fn what_is_around_a_child_that_has_returned_inside_of_spawn_goes_on() {
    #[derive(Clone)]
    struct GoesOn(Tally);

    impl SpawnHook for GoesOn {
        fn wrap<F>(&self, child: F) -> impl Future<Output = ()> + Send + 'static
        where
            F: Future<Output = ()> + Send + 'static,
        {
            let done = self.0.clone();
            async move {
                child.await;
                yield_now().await;
                done.add();
            }
        }
    }

    watched(|| {
        let (done, gate) = (Tally::new(), Gate::new());
        let group = TaskGroup::new(Hooked::new(Inline, GoesOn(done.clone())));
        let opened = gate.clone();
        let inside = async move { opened.wait().await };
        // It returns in its first poll, and then waits for the group in it: its slot is there when its `Task` comes.
        group.launch(async move { TaskGroup::new(Inline).child().shielded().launch(inside) });
        assert_eq!(group.len(), 1);
        block_on(done.take(1));
        gate.open();
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
