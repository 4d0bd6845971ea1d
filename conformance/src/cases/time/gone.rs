//! A clock that goes away before the time has come.

use std::future::pending;

use futures_lite::future::{poll_once, zip};
use taskgroup::{CancelReason, TaskGroup, scope};

use super::joined_with_a_warning;
use crate::cases::crank::{at, cranked};
use crate::cases::slow::Slow;
use crate::ledger::{Gate, Tally};
use crate::test::{Test, errors};

pub async fn a_deadline_whose_clock_has_gone_ends_the_scope(t: &Test) {
    let (crank, spawner) = cranked(t);
    let (slow, broken) = (Slow::new(t), Gate::new());
    let held = scope(spawner, async |group| {
        let failed = group.spawn(t.child(async { Err::<(), _>("an error") }));
        failed.await.unwrap_err();
        group.launch(slow.child("child"));
        slow.begun.take(1).await;
        crank.break_down();
        broken.open();
        pending::<Result<(), _>>().await
    });
    let driver = async {
        broken.wait().await;
        slow.only(&[]).await;
        slow.gate.open();
    };
    let error = zip(held.collect().timeout(at(1)), driver).await.0.unwrap_err();
    assert_eq!(error.reason(), Some(&CancelReason::Lost));
    assert_eq!(errors(&error), ["an error"], "it is not lost");
    assert_eq!(slow.log.lines(), ["child"], "it was waited for");
}

pub async fn so_it_does_in_a_free_standing_group(t: &Test) {
    let (crank, spawner) = cranked(t);
    let begun = Tally::new();
    let group = TaskGroup::builder::<&str>(spawner).timeout(at(1)).open();
    group.launch(t.waiting(&begun));
    begun.take(1).await;
    crank.break_down();
    assert!(group.join().await.unwrap_err().is_lost());
}

pub async fn the_grace_of_a_shutdown_is_over_with_its_clock(t: &Test) {
    let (crank, spawner) = cranked(t);
    let begun = Tally::new();
    let group = TaskGroup::builder::<&str>(spawner).open();
    group.launch(t.waiting(&begun));
    begun.take(1).await;
    let mut down = group.shutdown(at(1));
    assert!(poll_once(&mut down).await.is_none());
    crank.break_down();
    assert_eq!(down.await.unwrap().forced().len(), 1);
}

pub async fn a_clean_up_has_all_the_time_then(t: &Test) {
    let (crank, spawner) = cranked(t);
    let (begun, gate) = (Tally::new(), Gate::new());
    let group = TaskGroup::builder::<&str>(spawner).cleanup_timeout(at(1)).open();
    let (own, begin, wait, log) = (group.group(), begun.clone(), gate.clone(), t.log.clone());
    group.launch(t.child(async move {
        own.defer(async move {
            begin.add();
            wait.wait().await;
            log.write("clean");
        });
    }));
    begun.take(1).await;
    crank.break_down();
    t.step().await;
    gate.open();
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["clean"]);
}

pub async fn and_nobody_is_warned(t: &Test) {
    let (crank, spawner) = cranked(t);
    let (gate, mut joined) = joined_with_a_warning(t, spawner).await;
    assert!(poll_once(&mut joined).await.is_none());
    crank.break_down();
    assert!(poll_once(&mut joined).await.is_none());
    gate.open();
    assert_eq!(errors(&joined.await.unwrap_err()), ["an error"]);
    assert_eq!(t.log.lines(), [""; 0]);
}
