//! I. Supervision: children whose failures end no other member.

use std::convert::Infallible;
use std::future::pending;
use std::sync::{Arc, Mutex};

use futures_lite::future::zip;
use taskgroup::error::Origin;
use taskgroup::{AnySpawner, CancelReason, Failure, Group, TaskGroup, scope, shield};

use crate::ledger::Tally;
use crate::test::{Test, errors, panic_text, quiet_panic, tell};

pub async fn o_76_two_failing_children(t: &Test) {
    let value = scope(t.spawner(), |group| async move {
        group.launch(t.child(async { Err::<(), _>("first") }));
        group.launch(t.child(async { Err::<(), _>("second") }));
        Ok("OK")
    });
    assert_eq!(value.supervise(tell(&t.log)).await.unwrap(), "OK");
    assert_eq!(t.log.sorted(), ["first", "second"]);
    assert_eq!(t.ledger.read().completed, 2);
}

pub async fn o_77_failure_does_not_disturb_a_live_sibling(t: &Test) {
    let there = &Tally::new();
    let value = scope(t.spawner(), |group| async move {
        let mut sibling = group.spawn(t.waiting(there));
        there.take(1).await;
        let failing = group.spawn(t.child(async { Err::<(), _>("broken") }));
        assert!(failing.await.unwrap_err().is_failed());
        assert!(!sibling.is_finished() && !group.is_cancelled());
        sibling.cancel();
        assert!((&mut sibling).await.unwrap_err().is_cancelled());
        Ok(7)
    });
    assert_eq!(value.supervise(tell(&t.log)).await.unwrap(), 7);
    assert_eq!(t.log.lines(), ["broken"], "and a cancel is no failure");
}

pub async fn o_78_body_fails(t: &Test) {
    let there = &Tally::new();
    let failed = scope(t.spawner(), |group| async move {
        group.launch(t.waiting(there));
        let (soft, begun) = (group.cancelled(), there.clone());
        group.launch(t.child(shield(async move {
            begun.add();
            soft.await;
            Err::<(), _>("clean-up")
        })));
        there.take(2).await;
        Err::<(), _>("body")
    });
    let error = failed.supervise(tell(&t.log)).await.unwrap_err();
    assert_eq!((errors(&error), error.not_kept()), (vec!["body"], 0));
    assert_eq!(error.reason(), Some(&CancelReason::BodyFailed));
    assert_eq!(t.log.sorted(), ["body", "clean-up"]);
    assert_eq!((t.ledger.read().completed, t.ledger.read().dropped), (1, 2));
}

pub async fn o_79_outside_cancel(t: &Test) {
    let there = &Tally::new();
    let cut = scope(t.spawner(), |outer| async move {
        let inner = scope(t.spawner(), |group| async move {
            (0..5).for_each(|_| group.launch(t.waiting(there)));
            pending::<Result<(), &str>>().await
        });
        let cancel = async {
            there.take(5).await;
            outer.cancel();
        };
        drop(zip(inner.supervise(tell(&t.log)), cancel).await);
        t.log.write("went on");
        Ok::<_, Infallible>(())
    });
    assert!(cut.await.unwrap_err().is_cancelled());
    assert_eq!((t.ledger.read().made, t.ledger.read().dropped), (5, 5));
    assert_eq!(t.log.lines(), [""; 0]);
}

pub async fn a_panic_of_a_child_goes_to_the_hook_only(t: &Test) {
    let value = scope(t.spawner(), |group| async move {
        let child = group.spawn(t.child(async { quiet_panic("boom") as () }));
        assert!(child.await.unwrap_err().is_panicked());
        assert!(!group.is_cancelled());
        Ok(7)
    });
    assert_eq!(value.supervise(tell(&t.log)).await.unwrap(), 7);
    assert_eq!(t.log.lines(), ["panicked: boom"]);
}

pub async fn a_panic_of_the_hook_disturbs_nobody_and_is_resumed_at_the_end(t: &Test) {
    let ended = scope(t.spawner(), |group| async move {
        group.spawn(t.child(async { Err::<(), _>("broken") })).await.unwrap_err();
        assert!(!group.is_cancelled());
        assert_eq!(group.spawn(t.child(async { Ok(7) })).await.unwrap(), 7);
        t.log.write("went on");
        Ok(())
    });
    let hook = |_: &Origin, _: &Failure<&str>| quiet_panic("in the hook");
    assert_eq!(panic_text(ended.supervise(hook)).await, "in the hook");
    assert_eq!(t.log.lines(), ["went on"]);
}

/// Where a hook finds its own group. It is emptied at the end, because the group and the hook would keep each other alive.
type Own = Arc<Mutex<Option<Group<AnySpawner, &'static str>>>>;

fn own(place: &Own) -> Group<AnySpawner, &'static str> {
    place.lock().unwrap().clone().expect("it was put there before any child")
}

pub async fn a_hook_spawns_into_its_own_group(t: &Test) {
    let place = Own::default();
    let (inside, ledger) = (place.clone(), t.ledger.clone());
    let group = TaskGroup::builder(t.spawner())
        .supervise(move |_, failure| {
            if matches!(failure, Failure::Own("first")) {
                own(&inside).launch(ledger.track(async { Err::<(), _>("second") }));
            }
        })
        .open();
    *place.lock().unwrap() = Some(group.group());
    group.launch(t.child(async { Err::<(), _>("first") }));
    group.join().await.unwrap();
    place.lock().unwrap().take();
    assert_eq!((t.ledger.read().made, t.ledger.read().completed), (2, 2));
}

pub async fn a_hook_cancels_its_own_group(t: &Test) {
    let (place, there) = (Own::default(), Tally::new());
    let inside = place.clone();
    let group =
        TaskGroup::builder(t.spawner()).supervise(move |_, _| own(&inside).cancel_with("enough")).open();
    *place.lock().unwrap() = Some(group.group());
    group.launch(t.waiting(&there));
    there.take(1).await;
    group.launch(t.child(async { Err::<(), _>("broken") }));
    group.join().await.unwrap();
    let reason = place.lock().unwrap().take().unwrap().reason();
    assert_eq!(reason, Some(CancelReason::Explicit("enough".into())));
    assert_eq!((t.ledger.read().completed, t.ledger.read().dropped), (1, 2));
}
