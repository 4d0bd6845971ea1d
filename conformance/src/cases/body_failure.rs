//! C. The body fails.

use std::convert::Infallible;

use futures_lite::future::yield_now;
use taskgroup::{CancelReason, GroupError, scope, shield};

use super::failure::{Fails, fails_at, stuck};
use crate::ledger::{Entry, Gate, Log, Tally};
use crate::test::{Test, errors, panic_text, tell};

/// Checks that the body failed and no child did.
#[track_caller]
fn assert_body_failed(error: &GroupError<&'static str>) {
    assert_eq!(errors(error), ["body"]);
    assert!(error.origin().unwrap().is_body());
    assert_eq!(error.reason(), Some(&CancelReason::BodyFailed));
}

pub async fn o_26_after_an_await(t: &Test) {
    let error = scope(t.spawner(), |group| async move {
        let begun = Tally::new();
        group.launch(stuck(t, &t.log, &begun));
        group.launch(stuck(t, &t.log, &begun));
        begun.take(2).await;
        Err::<(), _>("body")
    })
    .await
    .unwrap_err();
    t.log.write("host goes on");
    assert_body_failed(&error);
    assert_eq!(t.log.lines(), ["gone", "gone", "host goes on"]);
    assert_eq!(t.ledger.read(), Entry { made: 2, polls: 2, started: 2, completed: 0, dropped: 2 });

    let next = scope(t.spawner(), |group| async move {
        Ok::<_, Infallible>(group.spawn(t.child(async { Ok(1) })).value().await)
    });
    assert_eq!(next.await.unwrap(), 1);
}

pub async fn o_27_before_any_await(t: &Test) {
    let error = scope(t.spawner(), |group| async move {
        group.launch(t.stuck());
        group.launch(t.stuck());
        Err::<(), _>("body")
    })
    .await
    .unwrap_err();
    assert_body_failed(&error);
    let Entry { polls, completed, dropped, .. } = t.ledger.read();
    assert_eq!((completed, dropped), (0, 2));
    match (t.one_thread(), t.inline()) {
        (true, _) => assert_eq!(polls, 0),
        (_, true) => assert_eq!(polls, 2),
        // On other threads the children may have been polled before the body failed, or not.
        _ => assert!(polls <= 2),
    }
}

pub async fn o_28_body_and_two_children(t: &Test) {
    let error = scope(t.spawner(), |group| async move {
        group.launch(t.child(async { Err::<(), _>("first") }));
        group.launch(t.child(async { Err::<(), _>("second") }));
        Err::<(), _>("body")
    })
    .on_failure(tell(&t.log))
    .await
    .unwrap_err();
    let failed = errors(&error);
    let Entry { polls, completed, dropped, .. } = t.ledger.read();
    assert_eq!((polls, dropped), (completed, 2));
    assert_eq!(t.log.lines().len(), failed.len());
    if t.one_thread() {
        assert_body_failed(&error);
        assert_eq!(polls, 0);
    } else if t.inline() {
        // The first child has failed inside the spawn, so the second child is refused.
        assert_eq!(failed, ["first", "body"]);
        assert_eq!(polls, 1);
    } else {
        assert_eq!(failed.len(), 1 + completed);
        assert_eq!(failed.iter().filter(|error| **error == "body").count(), 1, "never lost");
    }
}

pub async fn o_29_child_failed_then_the_clean_up_of_the_body(t: &Test) {
    let error = scope(t.spawner(), |group| async move {
        let gate = Gate::new();
        group.launch(fails_at(t, &gate, "child"));
        shield(async {
            gate.open();
            group.cancelled().await;
            Err::<(), _>("body")
        })
        .await
    })
    .await
    .unwrap_err();
    assert_eq!((errors(&error), error.not_kept()), (vec!["child", "body"], 0));
    let origins: Vec<_> = error.failures().map(|(origin, _)| origin.child()).collect();
    assert_eq!(origins, [Some(1), None]);
    assert_eq!(error.reason(), Some(&CancelReason::Failed(error.origin().unwrap().clone())));
    assert_eq!(t.ledger.read().completed, 1);
}

/// Runs a child that ends as `child` does. After it, the body ends as `body` does, under a shield.
async fn child_then_body(t: &Test, log: &Log, child: fn() -> Fails, body: fn() -> Fails) -> String {
    panic_text(
        scope(t.spawner(), |group| async move {
            let gate = Gate::new();
            let opens = gate.clone();
            group.launch(t.child(async move {
                opens.wait().await;
                child()
            }));
            shield(async {
                gate.open();
                while log.lines().is_empty() {
                    yield_now().await;
                }
                body()
            })
            .await
        })
        .on_failure(tell(log)),
    )
    .await
}

pub async fn o_30_a_stronger_failure_on_either_side(t: &Test) {
    let log = Log::default();
    let panic = child_then_body(t, &log, || Err("child"), || panic!("body")).await;
    assert_eq!(panic, "body");
    assert_eq!(log.lines(), ["child", "panicked: body"]);
    assert_eq!(t.ledger.read().completed, 1);

    let log = Log::default();
    let panic = child_then_body(t, &log, || panic!("child"), || Err("body")).await;
    assert_eq!(panic, "child");
    assert_eq!(log.lines(), ["panicked: child", "body"]);
    let Entry { completed, dropped, .. } = t.ledger.read();
    assert_eq!((completed, dropped), (1, 2));
}

pub async fn o_31_body_cancels_and_fails_in_one_poll(t: &Test) {
    let error = scope(t.spawner(), |group| async move {
        group.launch(t.stuck());
        group.cancel_with("enough");
        Err::<(), _>("body")
    })
    .on_failure(tell(&t.log))
    .await
    .unwrap_err();
    assert_eq!(errors(&error), ["body"]);
    assert!(error.origin().unwrap().is_body() && !error.is_cancelled());
    assert_eq!(error.reason(), Some(&CancelReason::Explicit("enough".into())));
    assert_eq!(t.log.lines(), ["body"]);
    let Entry { completed, dropped, .. } = t.ledger.read();
    assert_eq!((completed, dropped), (0, 1));
}
