//! Which racer wins a race, and how many failures are kept. `finishing` has the scopes that are ended with a value.

use std::convert::Infallible;
use std::future::pending;

use taskgroup::error::Cut;
use taskgroup::group::Racers;
use taskgroup::{AnySpawner, CancelReason, TaskGroup, race, scope, shield};

use crate::ledger::{Entry, Tally};
use crate::test::{Test, errors, panic_text, quiet_panic, tell};

mod finishing;
pub use self::finishing::*;

/// The output of a racer that never succeeds.
type Never = Result<u8, &'static str>;

/// Returns a racer that adds one to `there` at its first poll and never ends by itself.
fn stuck(t: &Test, there: &Tally) -> impl Future<Output = Never> + Send + use<> {
    let begun = there.clone();
    t.child(async move {
        begun.add();
        pending().await
    })
}

pub async fn the_first_success_wins_a_race_and_the_losers_are_gone(t: &Test) {
    let there = &Tally::new();
    let won = race(t.spawner(), |racers| async move {
        (0..3).for_each(|_| drop(racers.enter(stuck(t, there))));
        let begun = there.clone();
        racers.enter(t.child(async move {
            begun.take(3).await;
            Ok(7)
        }));
        Ok(())
    });
    assert_eq!(won.await.unwrap(), 7);
    let ended = t.ledger.read();
    assert_eq!((ended.made, ended.started, ended.completed, ended.dropped), (4, 4, 1, 4));
}

pub async fn a_shielded_loser_is_waited_for(t: &Test) {
    let there = &Tally::new();
    let won = race(t.spawner(), |racers| async move {
        let (soft, begun, log) = (racers.cancelled(), there.clone(), t.log.clone());
        racers.enter(t.child(shield(async move {
            begun.add();
            soft.await;
            log.write("loser done");
            Ok(1)
        })));
        there.take(1).await;
        racers.enter(t.child(async { Ok::<_, Infallible>(7) }));
        Ok(())
    });
    assert_eq!(won.await.unwrap(), 7, "and not the later success");
    t.log.write("won");
    assert_eq!(t.log.lines(), ["loser done", "won"]);
}

pub async fn a_race_that_all_lose_ends_with_their_errors_in_order(t: &Test) {
    let lost = race(t.spawner(), |racers| async move {
        for error in ["first", "second", "third"] {
            assert!(racers.enter(t.child(async move { Never::Err(error) })).await.unwrap_err().is_failed());
        }
        Ok(())
    });
    let error = lost.await.unwrap_err();
    assert_eq!(errors(&error), ["first", "second", "third"]);
    assert_eq!(error.reason(), None, "nobody was cancelled");
    assert_eq!(t.ledger.read().completed, 3);
}

pub async fn a_race_without_racers_has_no_winner(t: &Test) {
    let error = race(t.spawner(), |_: Racers<AnySpawner, u8, &str>| async { Ok(()) }).await.unwrap_err();
    assert!(error.is_cancelled());
    assert_eq!(error.reason(), Some(&CancelReason::NoWinner));
}

pub async fn failures_before_the_win_do_not_count_and_the_hook_saw_them(t: &Test) {
    let won = race(t.spawner(), |racers| async move {
        for error in ["no route", "refused"] {
            racers.enter(t.child(async move { Err(error) })).await.unwrap_err();
        }
        racers.enter(t.child(async { Ok(7) }));
        Ok(())
    });
    assert_eq!(won.on_failure(tell(&t.log)).await.unwrap(), 7);
    assert_eq!(t.log.lines(), ["no route", "refused"]);
}

pub async fn a_panic_of_a_racer_ends_the_race_and_is_resumed(t: &Test) {
    let there = &Tally::new();
    let ended = race(t.spawner(), |racers| async move {
        racers.enter(stuck(t, there));
        there.take(1).await;
        racers.enter(t.child(async { quiet_panic("boom") as Never }));
        Ok(())
    });
    assert_eq!(panic_text(ended).await, "boom");
    assert_eq!((t.ledger.read().completed, t.ledger.read().dropped), (0, 2));
}

pub async fn a_failure_of_the_body_ends_the_race(t: &Test) {
    let there = &Tally::new();
    let failed = race(t.spawner(), |racers| async move {
        racers.enter(stuck(t, there));
        there.take(1).await;
        Err("body")
    });
    let error = failed.await.unwrap_err();
    assert_eq!((errors(&error), error.reason()), (vec!["body"], Some(&CancelReason::BodyFailed)));
    assert_eq!(t.ledger.read(), Entry { made: 1, polls: 1, started: 1, completed: 0, dropped: 1 });
}

pub async fn a_racer_cancelled_by_its_handle_leaves_the_race_to_the_others(t: &Test) {
    let there = &Tally::new();
    let won = race(t.spawner(), |racers| async move {
        let gone = racers.enter(stuck(t, there));
        there.take(1).await;
        gone.cancel();
        assert!(gone.await.unwrap_err().is_cancelled());
        racers.enter(t.child(async { Ok(7) }));
        Ok(())
    });
    assert_eq!(won.await.unwrap(), 7);
}

pub async fn a_race_whose_only_racer_is_cancelled_has_no_winner(t: &Test) {
    let ended = race(t.spawner(), |racers| async move {
        racers.enter(t.child(pending::<Never>())).cancel();
        Ok(())
    });
    assert_eq!(ended.await.unwrap_err().reason(), Some(&CancelReason::NoWinner));
}

pub async fn a_race_that_is_cancelled_says_so(t: &Test) {
    let there = &Tally::new();
    let ended = race(t.spawner(), |racers| async move {
        racers.enter(stuck(t, there));
        there.take(1).await;
        racers.cancel_with("called off");
        Ok(())
    });
    let error = ended.await.unwrap_err();
    assert_eq!(error.reason(), Some(&CancelReason::Explicit("called off".into())));
}

pub async fn who_succeeds_after_the_race_was_cancelled_has_not_won(t: &Test) {
    let ended = race(t.spawner(), |racers| async move {
        let own = racers.clone();
        racers.enter(t.child(async move {
            own.cancel_with("called off");
            Never::Ok(7)
        }));
        Ok(())
    });
    let error = ended.await.unwrap_err();
    assert_eq!(error.reason(), Some(&CancelReason::Explicit("called off".into())));
    assert_eq!(t.ledger.read().completed, 1);
}

pub async fn o_23_first_only(t: &Test) {
    let failed = scope(t.spawner(), |group| async move {
        group.spawn(t.child(async { Err::<(), _>("e1") })).await.unwrap_err();
        group.spawn(t.child(async { Ok(()) })).await.unwrap();
        group.spawn(t.child(async { Err::<(), _>("e2") })).await.unwrap_err();
        Ok(())
    });
    let error = failed.collect().keep(0).on_failure(tell(&t.log)).await.unwrap_err();
    assert_eq!((errors(&error), error.not_kept()), (vec!["e1"], 1));
    assert_eq!(t.log.lines(), ["e1", "e2"]);
}

pub async fn all_failures_are_kept_if_there_is_no_bound(t: &Test) {
    let many = t.pick(100, 20);
    let group = TaskGroup::builder(t.spawner()).collect().keep(usize::MAX).open();
    for number in 0..many {
        group.launch(t.child(async move { Err::<(), _>(number) }));
    }
    let error = group.join().await.unwrap_err();
    let mut kept = errors(&error);
    kept.sort_unstable();
    assert_eq!((kept, error.not_kept()), ((0..many).collect(), 0));
}

pub async fn a_group_that_cannot_fail_can_only_be_cut(t: &Test) {
    let there = &Tally::new();
    let cut = scope(t.spawner(), |group| async move {
        group.launch(t.waiting(there));
        there.take(1).await;
        group.cancel_with("enough");
        pending::<Result<(), _>>().await
    });
    let cut: Cut = cut.await.unwrap_err();
    assert_eq!((cut.is_cancelled(), cut.failures().len()), (true, 0));
    assert_eq!(cut.into_primary().unwrap_err().reason(), Some(&CancelReason::Explicit("enough".into())));
}
