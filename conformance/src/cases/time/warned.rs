//! Whoever waits long for a scope, a race or a shutdown is told who is left.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::{Pin, pin};

use futures_lite::future::{poll_once, yield_now, zip};
use taskgroup::group::{Racers, Snapshot};
use taskgroup::{Group, TaskGroup, race, scope, shield};

use crate::cases::crank::{Crank, Cranked, at, cranked};
use crate::cases::slow::Slow;
use crate::ledger::{Gate, Log, Tally};
use crate::test::Test;

/// Notes whom a warning blames.
fn blame(log: &Log) -> impl FnMut(&Snapshot) + Send + use<> {
    let log = log.clone();
    move |left| log.write(left.culprits()[0].name().expect("all that wait here have names"))
}

/// Sets the clock to each of these times, polls, and checks how many warnings there are then.
async fn warned<F: Future>(t: &Test, crank: &Crank, mut future: Pin<&mut F>, times: &[(u64, usize)]) {
    for &(time, warnings) in times {
        crank.to(time);
        assert!(poll_once(future.as_mut()).await.is_none());
        assert_eq!(t.log.lines().len(), warnings, "at {time}");
    }
}

pub async fn a_scope_warns_when_its_body_has_ended(t: &Test) {
    let (crank, spawner) = cranked(t);
    let (body, child) = (Gate::new(), Gate::new());
    let opened = scope(spawner, async |group: Group<Cranked, Infallible>| {
        let child = child.clone();
        group.child().name("late").launch(t.child(async move { child.wait().await }));
        body.wait().await;
        Ok("value")
    });
    let mut opened = pin!(opened.warn_after(at(10), blame(&t.log)));
    warned(t, &crank, opened.as_mut(), &[(0, 0), (100, 0)]).await;
    body.open();
    warned(t, &crank, opened.as_mut(), &[(100, 0), (109, 0), (110, 1), (119, 1), (120, 2), (140, 3)]).await;
    child.open();
    assert_eq!(opened.await.unwrap(), "value");
    assert_eq!((t.log.lines(), crank.sleeps()), (vec!["late".into(); 3], 0));
}

/// The body of a scope is under a shield when the group is asked to end by this.
async fn asked(t: &Test, ask: fn(&Group<Cranked>)) {
    let (crank, spawner) = cranked(t);
    let (gate, (give, opened)) = (Gate::new(), async_channel::bounded(1));
    let held = scope(spawner, async |group| {
        give.try_send(group).unwrap();
        shield(gate.wait()).await;
        Ok(())
    });
    let log = t.log.clone();
    let mut held = pin!(held.warn_after(at(10), move |left| {
        assert!(left.group().is_stopping());
        log.write("warned");
    }));
    warned(t, &crank, held.as_mut(), &[(0, 0), (100, 0)]).await;
    ask(&opened.try_recv().unwrap());
    warned(t, &crank, held.as_mut(), &[(100, 0), (109, 0), (110, 1)]).await;
    gate.open();
    held.await.unwrap();
    assert_eq!(crank.sleeps(), 0);
}

pub async fn a_scope_warns_when_it_is_stopped(t: &Test) {
    asked(t, |group| group.stop()).await;
}

pub async fn a_scope_warns_when_it_is_cancelled(t: &Test) {
    asked(t, |group| group.cancel()).await;
}

pub async fn a_race_warns_when_it_is_won(t: &Test) {
    let (crank, spawner) = cranked(t);
    let (slow, (give, given)) = (&Slow::new(t), async_channel::bounded(1));
    let won = race(spawner, async |racers: Racers<Cranked, u8>| {
        racers.child().name("late").launch(slow.child("late child"));
        give.try_send(racers).unwrap();
        pending().await
    });
    let mut won = pin!(won.warn_after(at(10), blame(&t.log)));
    warned(t, &crank, won.as_mut(), &[(0, 0), (100, 0)]).await;
    slow.begun.take(1).await;
    given.try_recv().unwrap().finish_with(7);
    warned(t, &crank, won.as_mut(), &[(100, 0), (109, 0), (110, 1)]).await;
    slow.gate.open();
    assert_eq!(won.await.unwrap(), 7);
    assert_eq!(crank.sleeps(), 0);
}

pub async fn a_shutdown_warns_from_its_signal_on(t: &Test) {
    let (crank, spawner) = cranked(t);
    let (signal, slow) = (Gate::new(), Slow::new(t));
    let group = TaskGroup::new(spawner);
    group.child().name("late").launch(slow.child("late child"));
    slow.begun.take(1).await;
    let down = group.shutdown_when(signal.wait(), at(5)).warn_after(at(3), blame(&t.log));
    let mut down = pin!(down);
    warned(t, &crank, down.as_mut(), &[(0, 0), (100, 0)]).await;
    signal.open();
    let (in_grace, after) = ([(100, 0), (102, 0), (103, 1)], [(105, 1), (106, 2), (111, 2), (112, 3)]);
    warned(t, &crank, down.as_mut(), &in_grace).await;
    warned(t, &crank, down.as_mut(), &after).await;
    slow.gate.open();
    assert_eq!(down.await.unwrap().forced().len(), 1);
    assert_eq!((t.log.lines(), crank.sleeps()), (vec!["late".into(); 3], 0));
}

pub async fn a_shutdown_warns_of_a_group_that_was_cancelled_before_its_signal(t: &Test) {
    let (crank, spawner) = cranked(t);
    let slow = Slow::new(t);
    let group = TaskGroup::new(spawner);
    group.child().name("late").launch(slow.child("late child"));
    slow.begun.take(1).await;
    let own = group.group();
    let mut down = pin!(group.shutdown_when(pending::<()>(), at(5)).warn_after(at(3), blame(&t.log)));
    warned(t, &crank, down.as_mut(), &[(0, 0), (100, 0)]).await;
    own.cancel();
    warned(t, &crank, down.as_mut(), &[(100, 0), (103, 1)]).await;
    slow.gate.open();
    assert!(down.await.is_ok());
    assert_eq!(crank.sleeps(), 0);
}

pub async fn the_join_around_warns_of_a_scope_whose_host_is_cut(t: &Test) {
    let (crank, spawner) = cranked(t);
    let (slow, log) = (Slow::new(t), t.log.clone());
    let group = TaskGroup::new(spawner);
    let (own, child) = (group.group(), slow.child("late child"));
    group.child().name("host").launch(t.child(async move {
        let inner = scope(own.spawner().clone(), async |inner: Group<_>| {
            inner.child().name("late").launch(child);
            Ok(())
        });
        _ = inner.warn_after(at(10), move |_| log.write("not this one")).await;
    }));
    slow.begun.take(1).await;
    let own = group.group();
    let mut joined = pin!(group.join().warn_after(at(10), blame(&t.log)));
    own.cancel();
    warned(t, &crank, joined.as_mut(), &[(0, 0), (10, 1), (20, 2)]).await;
    slow.gate.open();
    joined.await.unwrap();
    assert_eq!((t.log.lines(), crank.sleeps()), (vec!["late".into(); 2], 0));
}

pub async fn a_warning_may_end_what_it_warns_of(t: &Test) {
    let (crank, spawner) = cranked(t);
    let begun = Tally::new();
    let (give, opened) = async_channel::bounded::<Group<Cranked, Infallible>>(1);
    let stuck = scope(spawner, async |group| {
        group.launch(t.waiting(&begun));
        give.try_send(group).unwrap();
        begun.take(1).await;
        Ok(())
    });
    let stuck = stuck.warn_after(at(10), move |_| opened.try_recv().expect("it warns once").cancel());
    let turn = async {
        while crank.sleeps() == 0 {
            yield_now().await;
        }
        crank.to(10);
    };
    zip(stuck, turn).await.0.unwrap();
    assert_eq!(crank.sleeps(), 0);
}
