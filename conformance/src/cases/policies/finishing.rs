//! Scopes that the body or a child ends with a value.

use std::convert::Infallible;
use std::future::pending;

use futures_lite::future::{poll_once, yield_now};
use taskgroup::group::Finish;
use taskgroup::{CancelReason, TaskGroup, scope_with, shield};

use crate::ledger::{Capture, Entry, Tally};
use crate::test::{Test, errors, panic_text, quiet_panic};

pub async fn o_56_from_the_body_with_a_value(t: &Test) {
    let there = &Tally::new();
    let finished = scope_with(t.spawner(), |group, finish| async move {
        let _gone = t.log.on_drop("body gone");
        group.launch(t.waiting(there));
        group.launch(t.waiting(there));
        there.take(2).await;
        finish.finish_with(7);
        t.log.write("finished");
        yield_now().await;
        t.log.write("went on");
        Ok::<_, Infallible>(0)
    });
    assert_eq!(finished.await.unwrap(), 7);
    assert_eq!(t.log.lines(), ["finished", "body gone"]);
    assert_eq!(t.ledger.read(), Entry { made: 2, polls: 2, started: 2, completed: 0, dropped: 2 });
}

pub async fn a_child_finishes_the_scope_with_a_value(t: &Test) {
    let there = &Tally::new();
    let finished = scope_with(t.spawner(), |group, finish| async move {
        group.launch(t.waiting(there));
        there.take(1).await;
        group.launch(t.child(async move { finish.finish_with(7) }));
        pending::<Result<_, Infallible>>().await
    });
    assert_eq!(finished.await.unwrap(), 7);
    assert_eq!((t.ledger.read().completed, t.ledger.read().dropped), (1, 2));
}

pub async fn a_finish_from_outside_of_the_group_counts(t: &Test) {
    let others = TaskGroup::new(t.spawner());
    let finished = scope_with(t.spawner(), |_, finish: Finish<u8>| {
        others.launch(t.child(async move { finish.finish_with(7) }));
        pending::<Result<_, Infallible>>()
    });
    assert_eq!(finished.await.unwrap(), 7);
    others.join().await.unwrap();
    assert_eq!(t.ledger.read().completed, 1);
}

pub async fn the_bodys_own_value_is_what_counts_if_nobody_finishes(t: &Test) {
    let ended = scope_with(t.spawner(), |group, _| async move {
        group.launch(t.child(async {}));
        Ok::<_, Infallible>(5)
    });
    assert_eq!(ended.await.unwrap(), 5);
    assert_eq!(t.ledger.read().completed, 1, "which is not cancelled by it");
}

pub async fn a_second_finish_is_dropped_once_and_at_once(t: &Test) {
    let finished = scope_with(t.spawner(), |_, finish: Finish<(u8, Capture)>| async move {
        finish.finish_with((1, t.ledger.capture()));
        finish.clone().finish_with((2, t.ledger.capture()));
        assert_eq!((t.ledger.read().made, t.ledger.read().dropped), (2, 1));
        Ok::<_, Infallible>((3, t.ledger.capture()))
    });
    let (number, value) = finished.await.unwrap();
    assert_eq!((number, t.ledger.read().made, t.ledger.read().dropped), (1, 3, 2));
    drop(value);
    assert_eq!(t.ledger.read().dropped, 3);
}

pub async fn a_finish_after_the_end_is_dropped_at_once(t: &Test) {
    let (give, kept) = async_channel::bounded::<Finish<Capture>>(1);
    let ended = scope_with(t.spawner(), |_, finish| async move {
        give.try_send(finish).unwrap();
        Ok::<_, Infallible>(t.ledger.capture())
    });
    drop(ended.await.unwrap());
    let finish = kept.recv().await.unwrap();
    finish.finish_with(t.ledger.capture());
    assert_eq!((t.ledger.read().made, t.ledger.read().dropped), (2, 2));
}

pub async fn a_finish_after_the_scope_was_dropped_is_dropped_at_once(t: &Test) {
    let (give, kept) = async_channel::bounded::<Finish<Capture>>(1);
    let mut opened = Box::pin(scope_with(t.spawner(), |_, finish| async move {
        give.try_send(finish).unwrap();
        pending::<Result<_, Infallible>>().await
    }));
    assert!(poll_once(opened.as_mut()).await.is_none());
    let finish = kept.recv().await.unwrap();
    finish.finish_with(t.ledger.capture());
    assert_eq!(t.ledger.read().alive(), 1, "it may yet be the scope's");
    drop(opened);
    assert_eq!(t.ledger.read().alive(), 0);
    finish.finish_with(t.ledger.capture());
    assert_eq!(t.ledger.read().alive(), 0);
}

pub async fn a_value_is_gone_when_a_panic_has_ended_the_scope(t: &Test) {
    let (give, kept) = async_channel::bounded::<Finish<Capture>>(1);
    let ended = scope_with(t.spawner(), |_, finish| async move {
        finish.finish_with(t.ledger.capture());
        give.try_send(finish).unwrap();
        quiet_panic("body") as Result<_, Infallible>
    });
    assert_eq!(panic_text(async { ended.await.map(drop) }).await, "body");
    assert_eq!(t.ledger.read().alive(), 0);
    drop(kept);
}

pub async fn of_two_values_that_panic_when_they_are_dropped_the_first_panic_goes_on(t: &Test) {
    struct Bomb(&'static str);

    impl Drop for Bomb {
        fn drop(&mut self) {
            quiet_panic(self.0)
        }
    }

    let there = &Tally::new();
    let failed = scope_with(t.spawner(), |group, finish: Finish<Bomb>| async move {
        let begun = there.clone();
        group.launch(t.child(shield(async move {
            begun.add();
            finish.finish_with(Bomb("finish"));
            Err::<(), _>("late")
        })));
        Ok(Bomb("own"))
    });
    assert_eq!(panic_text(async { failed.await.map(std::mem::forget) }).await, "own");
}

pub async fn a_failure_outranks_the_value(t: &Test) {
    let there = &Tally::new();
    let failed = scope_with(t.spawner(), |group, finish| async move {
        let (soft, begun) = (group.cancelled(), there.clone());
        group.launch(t.child(shield(async move {
            begun.add();
            soft.await;
            Err::<(), _>("late")
        })));
        there.take(1).await;
        finish.finish_with(t.ledger.capture());
        pending().await
    });
    let error = failed.await.map(drop).unwrap_err();
    assert_eq!((errors(&error), error.reason()), (vec!["late"], Some(&CancelReason::Finished)));
    assert_eq!((t.ledger.read().made, t.ledger.read().dropped), (2, 2));
}

pub async fn a_finish_after_a_failure_does_not_count(t: &Test) {
    let there = &Tally::new();
    let failed = scope_with(t.spawner(), |group, finish: Finish<u8>| async move {
        let (soft, begun) = (group.cancelled(), there.clone());
        group.launch(t.child(shield(async move {
            begun.add();
            soft.await;
            finish.finish_with(7);
        })));
        there.take(1).await;
        Err("broken")
    });
    let error = failed.await.unwrap_err();
    assert_eq!((errors(&error), error.reason()), (vec!["broken"], Some(&CancelReason::BodyFailed)));
}

pub async fn a_finish_after_an_explicit_cancel_does_not_count(t: &Test) {
    let ended = scope_with(t.spawner(), |group, finish| async move {
        group.cancel();
        finish.finish_with(9);
        Ok::<_, Infallible>(5)
    });
    assert_eq!(ended.await.unwrap(), 5, "the body has finished");

    let cut = scope_with(t.spawner(), |group, finish| async move {
        group.cancel_with("enough");
        finish.finish_with(9);
        yield_now().await;
        Ok::<_, Infallible>(5)
    });
    assert_eq!(cut.await.unwrap_err().reason(), Some(&CancelReason::Explicit("enough".into())));
}
