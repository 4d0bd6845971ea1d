//! Deadlines that are moved, removed, or set later.

use std::convert::Infallible;
use std::future::Future;

use futures_lite::future::{yield_now, zip};
use taskgroup::group::MemberKind;
use taskgroup::{CancelReason, GroupError, TaskGroup, scope, shield};

use super::timed_out;
use crate::cases::crank::{Crank, Cranked, at, cranked};
use crate::ledger::{Gate, Tally};
use crate::test::Test;

/// A group with one child, which waits for a gate. The deadline of the group is moved when the child has begun.
struct Moved {
    opened_with: Option<u64>,
    to: Option<u64>,
    /// A time at which nothing happens.
    safe: u64,
    /// A time at which the group is cut. If there is none, the group ends well.
    fatal: Option<u64>,
}

impl Moved {
    async fn free(self, t: &Test) {
        let (crank, spawner) = cranked(t);
        let (begun, gate) = (Tally::new(), Gate::new());
        let builder = TaskGroup::builder::<Infallible>(spawner);
        let group = match self.opened_with {
            Some(time) => builder.deadline(at(time)).open(),
            None => builder.open(),
        };
        group.launch(waits(t, &begun, &gate));
        begun.take(1).await;
        group.set_deadline(self.to.map(at));
        assert_eq!(group.deadline(), self.to.map(at));
        self.crank(&crank, &gate, || group.is_cancelled()).await;
        self.check(&crank, group.join().await);
    }

    async fn scope(self, t: &Test) {
        let (crank, spawner) = cranked(t);
        let (begun, gate, opened) = (Tally::new(), Gate::new(), async_channel::bounded(1));
        let body = scope(spawner, async |group: taskgroup::Group<Cranked, Infallible>| {
            group.launch(waits(t, &begun, &gate));
            opened.0.try_send(group).unwrap();
            gate.wait().await;
            Ok(())
        });
        let driver = async {
            let group = opened.1.recv().await.unwrap();
            begun.take(1).await;
            group.set_deadline(self.to.map(at));
            self.crank(&crank, &gate, || group.is_cancelled()).await;
        };
        let result = match self.opened_with {
            Some(time) => zip(body.deadline(at(time)), driver).await.0,
            None => zip(body, driver).await.0,
        };
        self.check(&crank, result);
    }

    async fn crank(&self, crank: &Crank, gate: &Gate, is_cancelled: impl Fn() -> bool) {
        crank.to(self.safe);
        for _ in 0..20 {
            yield_now().await;
        }
        assert!(!is_cancelled(), "not at {}", self.safe);
        match self.fatal {
            Some(fatal) => crank.to(fatal),
            None => gate.open(),
        }
    }

    fn check(&self, crank: &Crank, result: Result<(), GroupError<Infallible>>) {
        match self.fatal {
            Some(_) => timed_out(result),
            None => result.unwrap(),
        }
        assert_eq!(crank.sleeps(), 0);
    }
}

fn waits(t: &Test, begun: &Tally, gate: &Gate) -> impl Future<Output = ()> + Send + 'static + use<> {
    let (begun, gate) = (begun.clone(), gate.clone());
    t.child(async move {
        begun.add();
        gate.wait().await;
    })
}

const LATER: Moved = Moved { opened_with: Some(5), to: Some(9), safe: 8, fatal: Some(9) };
const EARLIER: Moved = Moved { opened_with: Some(9), to: Some(5), safe: 4, fatal: Some(5) };
const TAKEN_AWAY: Moved = Moved { opened_with: Some(5), to: None, safe: 50, fatal: None };
const SET_LATE: Moved = Moved { opened_with: None, to: Some(5), safe: 4, fatal: Some(5) };

pub async fn a_deadline_of_a_scope_is_moved_later(t: &Test) {
    LATER.scope(t).await;
}

pub async fn a_deadline_of_a_scope_is_moved_earlier(t: &Test) {
    EARLIER.scope(t).await;
}

pub async fn a_deadline_of_a_scope_is_taken_away(t: &Test) {
    TAKEN_AWAY.scope(t).await;
}

pub async fn a_scope_opened_without_a_deadline_gets_one(t: &Test) {
    SET_LATE.scope(t).await;
}

pub async fn a_deadline_of_a_free_standing_group_is_moved_later(t: &Test) {
    LATER.free(t).await;
}

pub async fn a_deadline_of_a_free_standing_group_is_moved_earlier(t: &Test) {
    EARLIER.free(t).await;
}

pub async fn a_deadline_of_a_free_standing_group_is_taken_away(t: &Test) {
    TAKEN_AWAY.free(t).await;
}

pub async fn a_free_standing_group_opened_without_a_deadline_gets_one(t: &Test) {
    SET_LATE.free(t).await;
}

pub async fn a_deadline_is_set_on_a_closed_group(t: &Test) {
    let (crank, spawner) = cranked(t);
    let begun = Tally::new();
    let group = TaskGroup::new(spawner);
    group.launch(t.waiting(&begun));
    begun.take(1).await;
    group.close();
    group.set_deadline(Some(at(1)));
    crank.to(1);
    timed_out(group.join().await);
}

pub async fn a_deadline_that_is_set_too_late_is_passed_at_once(t: &Test) {
    let (crank, spawner) = cranked(t);
    let begun = Tally::new();
    let group = TaskGroup::new(spawner);
    group.launch(t.waiting(&begun));
    begun.take(1).await;
    crank.to(5);
    group.set_deadline(Some(at(4)));
    timed_out(group.join().await);
}

/// Of a group inside, too, whose own deadline is later.
pub async fn a_deadline_that_has_passed_is_still_the_earliest(t: &Test) {
    let (crank, spawner) = cranked(t);
    let (begun, clock) = (Tally::new(), spawner.clone());
    let group = TaskGroup::builder::<Infallible>(spawner).timeout(at(1)).open();
    let (own, begin) = (group.group(), begun.clone());
    group.launch(t.child(shield(async move {
        let inner = TaskGroup::builder::<Infallible>(clock).timeout(at(9)).open();
        assert_eq!(inner.deadline(), Some(at(1)));
        begin.add();
        own.cancelled().await;
        assert_eq!((inner.deadline(), own.deadline()), (Some(at(1)), Some(at(1))));
        inner.join().await.unwrap();
    })));
    begun.take(1).await;
    crank.to(2);
    group.join().await.unwrap();
}

/// Whether it was noticed or not.
pub async fn a_deadline_that_has_passed_cannot_be_moved(t: &Test) {
    for noticed in [true, false] {
        let (crank, spawner) = cranked(t);
        let begun = Tally::new();
        let group = TaskGroup::builder::<Infallible>(spawner).timeout(at(1)).open();
        group.launch(t.waiting(&begun));
        begun.take(1).await;
        crank.to(1);
        if noticed {
            group.cancelled().await;
        }
        group.set_deadline(if noticed { Some(at(9)) } else { None });
        assert_eq!(group.reason(), Some(CancelReason::Deadline));
        timed_out(group.join().await);
    }
}

pub async fn a_deadline_that_is_moved_in_time_does_not_pass(t: &Test) {
    let (crank, spawner) = cranked(t);
    let ledger = t.ledger.clone();
    let value = scope(spawner, |group| {
        group.set_deadline(Some(at(1)));
        let (mover, clock) = (group.clone(), crank.clone());
        // Whoever keeps the deadline has read it, and asks for the time.
        crank.when_asked(move || {
            mover.set_deadline(Some(at(10)));
            clock.to(3);
        });
        ledger.track(async move {
            assert_eq!((group.deadline(), group.is_cancelled()), (Some(at(10)), false));
            Ok::<_, Infallible>(7)
        })
    });
    assert_eq!(value.deadline(at(2)).await.unwrap(), 7);
    assert_eq!(t.ledger.read().completed, 1);
}

/// Also if it was set anew, to the same time, between the two looks of whoever moves it.
pub async fn a_deadline_that_has_passed_cannot_be_moved_by_whoever_looks_twice(t: &Test) {
    let (crank, spawner) = cranked(t);
    let ended = scope(spawner, |group| {
        t.ledger.track(async move {
            group.set_deadline(Some(at(1)));
            let (other, clock) = (group.clone(), crank.clone());
            crank.when_asked(move || {
                other.set_deadline(Some(at(1)));
                clock.to(2);
            });
            group.set_deadline(Some(at(10)));
            assert_eq!((group.deadline(), group.reason()), (Some(at(1)), Some(CancelReason::Deadline)));
            Ok::<_, Infallible>(7)
        })
    });
    // It returns in the poll in which it was cancelled.
    assert_eq!(ended.timeout(at(5)).await.unwrap(), 7);
}

pub async fn a_group_that_is_opened_after_its_deadline_takes_nobody(t: &Test) {
    let (crank, spawner) = cranked(t);
    crank.to(2);
    let late = TaskGroup::builder::<Infallible>(spawner.clone()).deadline(at(1)).open();
    late.launch(t.stuck());
    timed_out(late.join().await);
    let open = TaskGroup::new(spawner);
    // Also if somebody watches the deadline already.
    for at in [at(9), at(1)] {
        assert!(!open.is_cancelled());
        open.set_deadline(Some(at));
    }
    open.launch(t.stuck());
    timed_out(open.join().await);
    assert_eq!((t.ledger.read().polls, crank.sleeps()), (0, 0));
}

/// Nothing would wait for a child that watches this deadline, so there must be none.
pub async fn a_deadline_is_set_on_a_group_that_is_over(t: &Test) {
    let (crank, spawner) = cranked(t);
    let outer = TaskGroup::new(spawner.clone());
    let host = outer.spawn(t.child(async move {
        let inner = TaskGroup::new(spawner);
        inner.cancel();
        inner.set_deadline(Some(at(5)));
        assert_eq!(inner.snapshot().members().len(), 0);
        Ok(inner)
    }));
    host.await.unwrap().join().await.unwrap();
    outer.join().await.unwrap();
    assert_eq!(crank.sleeps(), 0);
}

pub async fn a_deadline_is_set_by_a_child_of_the_group(t: &Test) {
    let (crank, spawner) = cranked(t);
    let begun = Gate::new();
    let group = TaskGroup::new(spawner);
    let (own, open) = (group.group(), begun.clone());
    group.launch(t.child(async move {
        own.set_deadline(Some(at(1)));
        open.open();
        std::future::pending::<()>().await
    }));
    begun.wait().await;
    crank.to(1);
    group.cancelled().await;
    assert_eq!(group.reason(), Some(CancelReason::Deadline));
    timed_out(group.join().await);
}

/// A background child of the crate's own watches the deadline, and must not be visible to users.
pub async fn who_keeps_the_deadline_is_not_counted(t: &Test) {
    let (crank, spawner) = cranked(t);
    let group = TaskGroup::builder::<Infallible>(spawner).timeout(at(9)).open();
    group.set_deadline(Some(at(8)));
    assert!(group.is_empty());
    group.idle().await;
    group.join().await.unwrap();
    assert_eq!(crank.sleeps(), 0);
}

pub async fn a_deadline_has_one_keeper_however_often_it_is_moved(t: &Test) {
    let (_crank, spawner) = cranked(t);
    let group = TaskGroup::new(spawner);
    let keepers = || {
        let snapshot = group.snapshot();
        snapshot.members().filter(|member| member.kind() == MemberKind::Deadline).count()
    };
    group.set_deadline(None);
    assert_eq!(keepers(), 0);
    for time in [9, 8, 10] {
        group.set_deadline(Some(at(time)));
        assert_eq!(keepers(), 1);
    }
    group.join().await.unwrap();
}

pub async fn a_deadline_is_moved_by_another_clock(t: &Test) {
    let ((crank, spawner), (other, elsewhere)) = (cranked(t), cranked(t));
    let begun = Tally::new();
    let group = TaskGroup::builder::<Infallible>(spawner).deadline(at(20)).open();
    group.launch(t.waiting(&begun));
    begun.take(1).await;
    crank.to(15);
    group.on(elsewhere).set_deadline(Some(at(10)));
    t.step().await;
    assert!(!group.is_cancelled(), "it is not ten by that clock");
    assert_eq!(group.snapshot().group().remaining(), Some(at(10)));
    other.to(10);
    timed_out(group.join().await);
    assert_eq!((crank.sleeps(), other.sleeps()), (0, 0));
}
