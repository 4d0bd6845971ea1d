//! What is certain only where the host and all children share one thread.

use taskgroup::scope;

use crate::body_failure::{all_fail, assert_body_failed};
use crate::ledger::Entry;
use crate::rig::{Rig, Test};

pub async fn o_27_children_of_a_body_that_fails_at_once_are_never_polled<R: Rig>(t: &Test<R>) {
    let error = scope(t.spawner(), |group| async move {
        group.launch(t.stuck());
        group.launch(t.stuck());
        Err::<(), _>("body")
    })
    .await
    .unwrap_err();
    assert_body_failed(&error);
    assert_eq!(t.ledger.read(), Entry { made: 2, polls: 0, started: 0, completed: 0, dropped: 2 });
}

pub async fn o_28_body_first_two_children_as_well<R: Rig>(t: &Test<R>) {
    let error = all_fail(t).await;
    assert_body_failed(&error);
    assert_eq!(t.log.lines(), ["body"]);
    assert_eq!(t.ledger.read(), Entry { made: 2, polls: 0, started: 0, completed: 0, dropped: 2 });
}
