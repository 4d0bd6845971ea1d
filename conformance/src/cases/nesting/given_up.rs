//! Scopes that are dropped half-way, leaked, or moved to another task.

use super::*;

use std::pin::{Pin, pin};

use async_channel::bounded;
use futures_lite::future::poll_once;
use taskgroup::AnySpawner;

use crate::test::{leak, panic_text, quiet_panic, still_waits};

/// Returns a scope whose body never ends, with a slow child that logs "runs on" once `tick` opens.
fn stuck_scope(
    t: &Test,
    slow: &Slow,
    tick: &Gate,
) -> Pin<Box<dyn Future<Output = Result<(), GroupError<Infallible>>> + Send>> {
    let (slow, tick) = (slow.clone(), tick.clone());
    Box::pin(scope(t.spawner(), |group: Group<_>| async move {
        let child = slow.clone();
        group.launch(slow.track(async move {
            let _gone = child.log.on_drop("inner child");
            tick.wait().await;
            child.log.write("runs on");
            child.shielded(&child.gate).await;
            pending::<()>().await
        }));
        pending().await
    }))
}

pub async fn a_scope_leaked_in_a_child_is_cancelled_with_it(t: &Test) {
    let (slow, tick, end) = (Slow::new(t), Gate::new(), Gate::new());
    let outer = TaskGroup::new(t.spawner());
    let mut inner = stuck_scope(t, &slow, &tick);
    let (member, ends) = (slow.clone(), end.clone());
    outer.launch(t.child(async move {
        let _gone = member.log.on_drop("member");
        assert!(poll_once(&mut inner).await.is_none());
        leak(inner);
        member.log.write("leaked");
        ends.wait().await;
    }));
    slow.seen("leaked", 1).await;
    tick.open();
    slow.begun.take(1).await;
    slow.only(&["leaked", "runs on"]).await;
    end.open();
    slow.seen("member", 1).await;
    slow.only(&["leaked", "runs on", "member"]).await;
    assert_eq!(outer.len(), 1, "counted for the child of the leaked scope");
    slow.gate.open();
    outer.join().await.unwrap();
    assert_eq!(slow.log.lines(), ["leaked", "runs on", "member", "inner child"]);
}

pub async fn a_scope_leaked_in_a_body_is_cancelled_with_it(t: &Test) {
    let (slow, tick, end) = (&Slow::new(t), &Gate::new(), &Gate::new());
    let outer = async {
        let body = |group: Group<_>| async move {
            let _gone = slow.log.on_drop("body");
            let mut inner = stuck_scope(t, slow, tick);
            assert!(poll_once(&mut inner).await.is_none());
            leak(inner);
            end.wait().await;
            Ok::<_, Infallible>(group.len())
        };
        let ended = scope(t.spawner(), body).await;
        slow.log.write("outer closed");
        ended
    };
    let driver = async {
        tick.open();
        slow.begun.take(1).await;
        slow.only(&["runs on"]).await;
        end.open();
        slow.seen("body", 1).await;
        slow.only(&["runs on", "body"]).await;
        slow.gate.open();
    };
    assert_eq!(zip(outer, driver).await.0.unwrap(), 0, "a group in the body is no child");
    assert_eq!(slow.log.lines(), ["runs on", "body", "inner child", "outer closed"]);
}

pub async fn a_scope_dropped_in_a_child_is_counted_by_every_group_around(t: &Test) {
    let (slow, tick, timer) = (Slow::new(t), Gate::new(), Gate::new());
    let outermost = TaskGroup::new(t.spawner());
    let inner = stuck_scope(t, &slow, &tick);
    let (spawner, middle, cut) = (t.spawner(), slow.clone(), timer.clone());
    let (groups, seen) = async_channel::bounded(1);
    tick.open();
    outermost.launch(t.child(async move {
        let group = TaskGroup::new(spawner);
        groups.try_send(group.group()).unwrap();
        let host = middle.clone();
        group.launch(middle.track(async move {
            let _gone = host.log.on_drop("host");
            assert!(until(&cut, inner).await.is_none());
        }));
        group.join().await.unwrap();
        middle.log.write("middle closed");
    }));
    slow.begun.take(1).await;
    timer.open();
    slow.seen("host", 1).await;
    slow.only(&["runs on", "host"]).await;
    let middle = seen.recv().await.unwrap();
    assert_eq!((middle.len(), outermost.len()), (1, 1));
    assert!(!middle.is_cancelled());
    slow.gate.open();
    outermost.join().await.unwrap();
    assert_eq!(slow.log.lines(), ["runs on", "host", "inner child", "middle closed"]);
}

pub async fn a_scope_dropped_in_a_body_is_counted_by_every_group_around(t: &Test) {
    let (slow, tick, timer) = (Slow::new(t), Gate::new(), Gate::new());
    let outermost = TaskGroup::new(t.spawner());
    let inner = stuck_scope(t, &slow, &tick);
    let (spawner, middle, cut) = (t.spawner(), slow.clone(), timer.clone());
    tick.open();
    outermost.launch(t.child(async move {
        let host = middle.clone();
        let body = |_: Group<_>| async move {
            let _gone = host.log.on_drop("body");
            Ok::<_, Infallible>(until(&cut, inner).await.is_none())
        };
        assert!(scope(spawner, body).await.unwrap());
        middle.log.write("middle closed");
    }));
    slow.begun.take(1).await;
    timer.open();
    slow.seen("body", 1).await;
    slow.only(&["runs on", "body"]).await;
    assert_eq!(outermost.len(), 1);
    slow.gate.open();
    outermost.join().await.unwrap();
    assert_eq!(slow.log.lines(), ["runs on", "body", "inner child", "middle closed"]);
}

type Movable = Pin<Box<dyn Future<Output = Result<u32, GroupError<Infallible>>> + Send>>;

/// Returns a scope whose body and child wait for the gate and then return 7 together.
fn movable(t: &Test, slow: &Slow) -> Movable {
    let slow = slow.clone();
    Box::pin(scope(t.spawner(), |group: Group<_>| {
        slow.clone().track(async move {
            let gate = slow.gate.clone();
            let child = group.spawn(slow.track(async move {
                gate.wait().await;
                Ok(3)
            }));
            slow.gate.wait().await;
            Ok(4 + child.value().await)
        })
    }))
}

/// Returns a child that polls the scope once, sends it away and waits for `end`.
fn opener(
    slow: &Slow,
    mut moved: Movable,
    end: &Gate,
) -> (impl Future<Output = ()> + Send + use<>, async_channel::Receiver<Movable>) {
    let (slow, end, (give, take)) = (slow.clone(), end.clone(), async_channel::bounded(1));
    let child = slow.clone().track(async move {
        let _gone = slow.log.on_drop("opener");
        assert!(poll_once(&mut moved).await.is_none());
        give.try_send(moved).unwrap();
        end.wait().await;
    });
    (child, take)
}

pub async fn a_scope_moved_to_the_host_ends_with_its_value(t: &Test) {
    let (slow, end, outer) = (Slow::new(t), Gate::new(), TaskGroup::new(t.spawner()));
    let (opener, take) = opener(&slow, movable(t, &slow), &end);
    outer.launch(opener);
    let moved = take.recv().await.unwrap();
    let driver = async {
        slow.only(&[]).await;
        slow.gate.open();
    };
    assert_eq!(zip(moved, driver).await.0.unwrap(), 7);
    end.open();
    outer.join().await.unwrap();
    assert_eq!(t.ledger.read().completed, 3);
}

pub async fn a_scope_moved_to_a_sibling_ends_with_its_value(t: &Test) {
    let (slow, end, outer) = (Slow::new(t), Gate::new(), TaskGroup::new(t.spawner()));
    let (opener, take) = opener(&slow, movable(t, &slow), &end);
    outer.launch(opener);
    let (other, ends) = (slow.clone(), end.clone());
    let seven = outer.spawn(t.child(async move {
        let mut moved = take.recv().await.unwrap();
        assert!(poll_once(&mut moved).await.is_none());
        other.gate.open();
        let seven = moved.await.unwrap();
        ends.open();
        Ok(seven)
    }));
    assert_eq!(seven.await.unwrap(), 7);
    outer.join().await.unwrap();
    assert_eq!(t.ledger.read().completed, 4);
}

pub async fn a_scope_that_outlives_its_opener_is_cut(t: &Test) {
    let (slow, end, outer) = (Slow::new(t), Gate::new(), TaskGroup::new(t.spawner()));
    let (opener, take) = opener(&slow, movable(t, &slow), &end);
    outer.launch(opener);
    let moved = take.recv().await.unwrap();
    end.open();
    slow.seen("opener", 1).await;
    let error = moved.await.unwrap_err();
    assert!(error.is_cancelled());
    assert_eq!(error.reason(), Some(&CancelReason::Parent));
    outer.join().await.unwrap();
    assert_eq!(t.ledger.read().completed, 1, "the opener");
}

/// Nothing else is left in its group, and the group is cancelled.
pub async fn a_shielded_body_that_outlives_its_opener_is_waited_for(t: &Test) {
    let (gate, outer, (give, take)) = (Gate::new(), TaskGroup::new(t.spawner()), bounded(1));
    let (spawner, wait) = (t.spawner(), gate.clone());
    outer.launch(t.child(async move {
        let mut moved = Box::pin(scope(spawner, |_: Group<_>| async move {
            shield(wait.wait()).await;
            Ok::<_, Infallible>(7)
        }));
        assert!(poll_once(&mut moved).await.is_none());
        give.send(moved).await.unwrap();
    }));
    let moved = take.recv().await.unwrap();
    let mut join = pin!(outer.join());
    still_waits(join.as_mut(), "the body is still shielded").await;
    gate.open();
    assert_eq!(moved.await.unwrap(), 7, "it was shielded to its end");
    join.await.unwrap();
}

pub async fn a_shield_moved_to_another_task_lets_go_of_its_opener(t: &Test) {
    let (slow, outer) = (Slow::new(t), TaskGroup::new(t.spawner()));
    let body = slow.clone();
    let moved: Movable = Box::pin(scope(t.spawner(), |_: Group<_>| {
        body.clone().track(async move {
            body.shielded(&body.gate).await;
            Ok::<_, Infallible>(7)
        })
    }));
    let (opener, take) = opener(&slow, moved, &Gate::new());
    let handle = outer.spawn(opener);
    let mut moved = take.recv().await.unwrap();
    slow.begun.take(1).await;
    assert!(poll_once(&mut moved).await.is_none(), "from now on the gate wakes the host alone");
    let polls = t.ledger.read().polls;
    handle.cancel();
    while t.ledger.read().polls == polls {
        // The cancel leads to one poll of the opener, its last one before the shield ends in another task.
        yield_now().await;
    }
    slow.only(&[]).await;
    slow.gate.open();
    assert_eq!(moved.await.unwrap(), 7, "it was shielded to its end");
    assert!(handle.await.unwrap_err().is_cancelled());
    outer.join().await.unwrap();
    assert_eq!(slow.log.lines(), ["opener"]);
}

pub async fn failures_beyond_those_kept_are_counted_by_the_group_around(t: &Test) {
    let error = scope(t.spawner(), |_| async move {
        let inner = TaskGroup::builder::<u8>(t.spawner()).collect().open();
        for number in 0..20 {
            inner.launch(t.child(async move { Err::<(), _>(number) }));
        }
        inner.idle().await;
        drop(inner);
        Ok::<_, &str>(())
    })
    .await
    .unwrap_err();
    let foreign = error.failures().filter(|(_, failure)| matches!(failure, Failure::Foreign { .. })).count();
    assert_eq!((foreign, error.not_kept()), (17, 3));
}

type Fallible = Group<AnySpawner, &'static str>;

/// Calls a function with a group when the body that owns it is destroyed.
struct Leaves(Fallible, fn(&Fallible));

impl Drop for Leaves {
    fn drop(&mut self) {
        self.1(&self.0);
    }
}

/// Moves a scope out of the body of a scope around it, and drops it in the host.
///
/// Before that, the scope around ends well or is dropped half-way. The next group that has not ended reports what the
/// destruction of the inner body leaves.
async fn handed_out(
    t: &Test,
    is_given_up: bool,
    leaves: fn(&Fallible),
) -> Result<(), GroupError<&'static str>> {
    let outer = TaskGroup::fallible::<&'static str>(t.spawner());
    let (spawner, inside) = (t.spawner(), t.spawner());
    outer.launch(t.child(async move {
        let (give, take) = bounded(1);
        let mut around = Box::pin(scope(spawner, move |_: Group<_>| async move {
            let mut inner = Box::pin(scope(inside, move |inner| async move {
                let _leaves = Leaves(inner, leaves);
                pending::<Result<(), &'static str>>().await
            }));
            assert!(poll_once(inner.as_mut()).await.is_none());
            give.try_send(inner).unwrap();
            if is_given_up { pending().await } else { Ok::<_, Infallible>(()) }
        }));
        if is_given_up {
            assert!(poll_once(around.as_mut()).await.is_none());
        } else {
            around.as_mut().await.unwrap();
        }
        drop(around);
        drop(take.try_recv().unwrap());
    }));
    outer.join().await
}

pub async fn a_scope_carried_out_of_a_group_that_has_ended_panics_in_the_next_one(t: &Test) {
    assert_eq!(panic_text(handed_out(t, false, |_| quiet_panic("dropped"))).await, "dropped");
}

pub async fn a_scope_carried_out_of_a_group_that_was_given_up_panics_in_the_next_one(t: &Test) {
    assert_eq!(panic_text(handed_out(t, true, |_| quiet_panic("dropped"))).await, "dropped");
}

pub async fn a_late_clean_up_of_a_scope_that_was_carried_out_fails_the_next_group(t: &Test) {
    let failing = |group: &Fallible| group.defer(async { Err::<(), _>("clean-up") });
    let error = handed_out(t, false, failing).await.unwrap_err();
    let (path, text) = foreign(error.failures().next().unwrap().1);
    assert_eq!((text, path.len()), ("clean-up", 3), "by way of the group that has ended");
}

/// Like the case before, but the clean-up is for the group that has ended and whose result has been taken.
pub async fn a_late_clean_up_for_a_group_that_has_ended_fails_the_next_one(t: &Test) {
    let outer = TaskGroup::fallible::<&'static str>(t.spawner());
    let (spawner, inside) = (t.spawner(), t.spawner());
    outer.launch(t.child(async move {
        let carried = scope(spawner, |around: Fallible| async move {
            let mut inner = Box::pin(scope(inside, |_: Group<_>| async move {
                let _leaves = Leaves(around, |around| around.defer(async { Err::<(), _>("clean-up") }));
                pending::<Result<(), Infallible>>().await
            }));
            assert!(poll_once(inner.as_mut()).await.is_none());
            Ok(inner)
        });
        drop(carried.await.unwrap());
    }));
    let error = outer.join().await.unwrap_err();
    assert_eq!(foreign(error.failures().next().unwrap().1).1, "clean-up");
}
