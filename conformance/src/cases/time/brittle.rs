//! A clock whose sleeps panic when they are dropped. The group does not report these panics, and otherwise works as with any
//! other clock.

use std::future::pending;

use futures_lite::future::poll_once;
use taskgroup::TaskGroup;

use super::{joined_with_a_warning, timed_out};
use crate::cases::crank::{at, cranked};
use crate::ledger::Tally;
use crate::test::{Test, errors};

pub async fn a_deadline_by_a_brittle_clock_is_moved_and_passes(t: &Test) {
    let (crank, spawner) = cranked(t);
    crank.embrittle();
    let begun = Tally::new();
    let group = TaskGroup::builder::<&str>(spawner).timeout(at(1)).open();
    group.launch(t.waiting(&begun));
    begun.take(1).await;
    group.set_deadline(Some(at(2)));
    crank.to(2);
    timed_out(group.join().await);
    assert_eq!(crank.sleeps(), 0);
}

pub async fn the_grace_of_a_shutdown_by_it_passes(t: &Test) {
    let (crank, spawner) = cranked(t);
    crank.embrittle();
    let begun = Tally::new();
    let group = TaskGroup::builder::<&str>(spawner).open();
    group.launch(t.waiting(&begun));
    begun.take(1).await;
    let mut down = group.shutdown(at(1));
    assert!(poll_once(&mut down).await.is_none());
    crank.to(1);
    assert_eq!(down.await.unwrap().forced().len(), 1);
    assert_eq!(crank.sleeps(), 0);
}

pub async fn clean_ups_have_their_time_by_it(t: &Test) {
    for in_time in [true, false] {
        let (crank, spawner) = cranked(t);
        crank.embrittle();
        let begun = Tally::new();
        let group = TaskGroup::builder::<&str>(spawner).cleanup_timeout(at(1)).open();
        let (own, begin) = (group.group(), begun.clone());
        group.launch(t.child(async move {
            own.defer(async move {
                begin.add();
                if !in_time {
                    pending::<()>().await;
                }
            });
        }));
        begun.take(1).await;
        crank.to(1);
        let ended = group.join().await;
        assert_eq!(ended.is_ok(), in_time, "{ended:?}");
        assert_eq!(crank.sleeps(), 0);
    }
}

pub async fn whoever_waits_is_warned_by_it(t: &Test) {
    let (crank, spawner) = cranked(t);
    crank.embrittle();
    let (gate, mut joined) = joined_with_a_warning(t, spawner).await;
    for time in [0, 1, 3] {
        crank.to(time);
        assert!(poll_once(&mut joined).await.is_none());
    }
    gate.open();
    assert_eq!(errors(&joined.await.unwrap_err()), ["an error"]);
    assert_eq!(t.log.lines(), ["warned"; 2]);
    assert_eq!(crank.sleeps(), 0);
}
