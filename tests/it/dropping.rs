//! A spawner that drops each future that it is given: the scenarios that make sense with it.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use futures_lite::future::block_on;
use taskgroup::{CancelReason, TaskGroup, scope};
use taskgroup_conformance::ledger::{Ledger, Log};
use taskgroup_conformance::spawners::Dropping;
use taskgroup_conformance::watched;

#[test]
fn a_child_is_lost_and_its_group_ends() {
    watched(|| {
        let (ledger, log) = (Ledger::default(), Log::default());
        let group = TaskGroup::new(Dropping);
        let gone = log.on_drop("captures gone");
        let handle = group.spawn(ledger.track(async move { drop(gone) }));
        assert!(block_on(handle).unwrap_err().is_lost());
        assert_eq!(log.lines(), ["captures gone"]);
        assert_eq!(group.reason(), Some(CancelReason::Lost));
        assert_eq!((group.len(), ledger.read().polls), (0, 0));
        assert!(block_on(group.join()).unwrap_err().is_lost());
    });
}

#[test]
fn o_03_a_scope_ends_with_lost_where_the_body_waits_for_nobody() {
    watched(|| {
        let error = block_on(scope(Dropping, |group| async move {
            group.launch(async {});
            Ok::<_, Infallible>(42)
        }));
        assert!(error.unwrap_err().is_lost());
    });
}

#[test]
fn o_11_a_lost_child_cuts_a_body_that_waits() {
    watched(|| {
        let ledger = Ledger::default();
        let error = block_on(scope(Dropping, |group| {
            ledger.track(async move {
                group.launch(async {});
                std::future::pending::<Result<(), Infallible>>().await
            })
        }));
        assert!(error.unwrap_err().is_lost());
        assert_eq!(ledger.read().alive(), 0);
    });
}

#[test]
fn o_26_the_bodys_own_error_outranks_a_lost_child() {
    watched(|| {
        let error = block_on(scope(Dropping, |group| async move {
            group.launch(async {});
            Err::<(), _>("the body's")
        }))
        .unwrap_err();
        assert!(!error.is_lost());
        assert_eq!(error.into_primary().unwrap(), "the body's");
    });
}

#[test]
fn o_48_an_inner_group_loses_its_child_and_the_outer_one_ends() {
    watched(|| {
        let value = block_on(scope(Dropping, |_| async {
            let inner = scope(Dropping, |group| async move {
                group.launch(async {});
                Ok::<_, Infallible>(())
            });
            assert!(inner.await.unwrap_err().is_lost());
            Ok::<_, Infallible>(1)
        }));
        assert_eq!(value.unwrap(), 1);
    });
}

#[test]
fn o_51_nothing_is_taken_after_the_loss() {
    watched(|| {
        let ledger = Ledger::default();
        let group = TaskGroup::new(Dropping);
        group.launch(async {});
        let refused = group.try_spawn(ledger.track(async {})).unwrap_err();
        assert!(refused.is_cancelled());
        drop(refused);
        assert_eq!((ledger.read().polls, ledger.read().alive()), (0, 0));
    });
}

#[test]
fn a_collecting_group_is_cancelled_by_a_loss_as_well() {
    watched(|| {
        let told = Arc::new(AtomicUsize::new(0));
        let hook = told.clone();
        let group = TaskGroup::builder::<&str>(Dropping)
            .collect()
            .on_failure(move |_, _| {
                hook.fetch_add(1, SeqCst);
            })
            .open();
        group.launch(async { Err::<(), _>("never polled") });
        assert!(group.is_cancelled());
        assert!(block_on(group.join()).unwrap_err().is_lost());
        assert_eq!(told.load(SeqCst), 0, "a loss is no failure");
    });
}

#[test]
fn a_destructor_that_panics_inside_of_spawn_is_contained() {
    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("boom");
        }
    }

    watched(|| {
        let group = TaskGroup::new(Dropping);
        let bomb = Bomb;
        group.launch(async move { drop(bomb) });
        assert_eq!(block_on(taskgroup_conformance::panic_text(group.join())), "boom");
    });
}
