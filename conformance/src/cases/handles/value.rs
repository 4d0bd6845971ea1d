//! `value`, which gives the result without the error to a member that is cut when the child fails.

use std::convert::Infallible;

use futures_lite::future::{poll_once, yield_now};
use taskgroup::{TaskGroup, scope, shield};

use crate::ledger::{Entry, Tally};
use crate::test::{Test, panic_text};

pub async fn value_of_a_failing_child_cuts_the_awaiting_body(t: &Test) {
    let there = &Tally::new();
    let failed = scope(t.spawner(), |group| async move {
        let _gone = t.log.on_drop("body gone");
        let begun = there.clone();
        let failing = group.spawn(t.child(async move {
            begun.take(1).await;
            Err::<(), _>("broken")
        }));
        there.add();
        failing.value().await;
        t.log.write("body saw the failure");
        Ok(())
    });
    let error = failed.await.unwrap_err();
    assert_eq!((error.primary(), error.failures().len()), (Some(&"broken"), 1));
    assert_eq!(t.log.lines(), ["body gone"]);
    assert_eq!(t.ledger.read().completed, 1);
}

pub async fn value_of_a_child_that_fails_at_once_cuts_the_sibling_that_awaits_it(t: &Test) {
    let group = TaskGroup::fallible(t.spawner());
    let (siblings, ledger, log) = (group.group(), t.ledger.clone(), t.log.clone());
    group.launch(t.child(async move {
        // If `spawn` polls the child, the child has failed before it is awaited.
        siblings.spawn(ledger.track(async { Err::<(), _>("broken") })).value().await;
        log.write("sibling saw the failure");
    }));
    let error = group.join().await.unwrap_err();
    assert_eq!((error.primary(), error.failures().len()), (Some(&"broken"), 1));
    assert_eq!(t.log.lines(), [""; 0]);
    assert_eq!((t.ledger.read().completed, t.ledger.read().dropped), (1, 2));
}

/// Checks the panic message of a misused `value()` in this file.
#[track_caller]
fn assert_misuse(text: &str, why: &str) {
    let begin = format!("no value for `value()` at {}:", file!());
    assert!(text.starts_with(&begin) && text.contains("child 1, ") && text.contains(why), "{text}");
}

pub async fn value_outside_of_the_group_panics(t: &Test) {
    let group = TaskGroup::fallible(t.spawner());
    let failing = group.spawn(t.child(async { Err::<(), _>("broken") }));
    assert_misuse(&panic_text(failing.value()).await, " failed;");
    assert_eq!(group.join().await.unwrap_err().primary(), Some(&"broken"));
    assert_eq!(t.ledger.read().completed, 1);
}

pub async fn value_of_a_child_cancelled_by_hand_panics(t: &Test) {
    let there = &Tally::new();
    let body = scope(t.spawner(), |group| async move {
        let stuck = group.spawn(t.waiting(there));
        there.take(1).await;
        stuck.cancel();
        stuck.value().await;
        Ok::<_, Infallible>(())
    });
    assert_misuse(&panic_text(body).await, " was cancelled;");
    assert_eq!(t.ledger.read(), Entry { made: 1, polls: 1, started: 1, completed: 0, dropped: 1 });
}

pub async fn value_panics_where_the_awaiter_is_not_cut(t: &Test) {
    let collecting = scope(t.spawner(), |group| async move {
        group.spawn(t.child(async { Err::<(), _>("broken") })).value().await;
        Ok(())
    });
    assert_misuse(&panic_text(collecting.collect()).await, " failed;");

    let shielded = scope(t.spawner(), |group| async move {
        shield(async { group.spawn(t.child(async { Err::<(), _>("broken") })).value().await }).await;
        Ok(())
    });
    assert_misuse(&panic_text(shielded).await, " failed;");
    assert_eq!(t.ledger.read().completed, 2);
}

pub async fn value_panics_in_its_first_poll_where_the_awaiter_is_not_cut(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let stuck = group.spawn(t.stuck());
    stuck.cancel();
    t.nothing_alive().await;
    while !stuck.is_finished() {
        yield_now().await;
    }
    assert_misuse(&panic_text(async { poll_once(stuck.value()).await }).await, " was cancelled;");
    group.join().await.unwrap();

    let body = scope(t.spawner(), |group| async move {
        let stuck = group.spawn(t.stuck());
        stuck.cancel();
        while !stuck.is_finished() {
            yield_now().await;
        }
        let _ = poll_once(stuck.value()).await;
        Ok::<_, Infallible>(())
    });
    assert_misuse(&panic_text(body).await, " was cancelled;");
}

pub async fn value_of_a_cancelled_child_is_kept_from_whoever_cancels_its_own_group(t: &Test) {
    let there = &Tally::new();
    let cut = scope(t.spawner(), |group| async move {
        let stuck = group.spawn(t.waiting(there));
        there.take(1).await;
        stuck.cancel();
        while !stuck.is_finished() {
            yield_now().await;
        }
        group.cancel();
        // The child has ended, so `value()` has nothing to wait for. It must neither panic nor return.
        stuck.value().await;
        t.log.write("the body went on");
        Ok::<_, Infallible>(())
    });
    assert!(cut.await.unwrap_err().is_cancelled());
    assert_eq!(t.log.lines(), [""; 0]);
}

pub async fn value_of_a_refused_child_is_kept_from_whoever_is_about_to_be_cut(t: &Test) {
    let cut = scope(t.spawner(), |group| async move {
        group.cancel();
        group.spawn(t.child(async { Ok(7) })).value().await;
        t.log.write("the body went on");
        Ok::<_, Infallible>(())
    });
    assert!(cut.await.unwrap_err().is_cancelled());

    let group = TaskGroup::new(t.spawner());
    let (siblings, ledger, log) = (group.group(), t.ledger.clone(), t.log.clone());
    group.launch(t.child(async move {
        // To this child it looks as if other code cancelled the group during the poll.
        siblings.cancel();
        siblings.spawn(ledger.track(async { Ok(7) })).value().await;
        log.write("a sibling went on");
    }));
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), [""; 0]);
    assert_eq!((t.ledger.read().started, t.ledger.read().completed), (1, 0));
}

pub async fn value_of_a_refused_child_panics_where_the_awaiter_is_not_cut(t: &Test) {
    let body = scope(t.spawner(), |group| async move {
        group.close();
        group.spawn(t.child(async { Ok(7) })).value().await;
        Ok::<_, Infallible>(())
    });
    assert!(panic_text(body).await.contains("the child was not taken in"));

    let group = TaskGroup::new(t.spawner());
    group.cancel();
    let outside = panic_text(group.spawn(t.child(async { Ok(7) })).value());
    assert!(outside.await.contains("the child was not taken in"));

    let shielded = scope(t.spawner(), |group| async move {
        shield(async {
            group.cancel();
            // In its first poll, as under a shield no cut may come in between.
            let _ = poll_once(group.spawn(t.child(async { Ok(7) })).value()).await;
        })
        .await;
        Ok::<_, Infallible>(())
    });
    assert!(panic_text(shielded).await.contains("the child was not taken in"));
    assert_eq!((t.ledger.read().started, t.ledger.read().dropped), (0, 3));
}
