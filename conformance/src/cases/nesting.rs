//! E. Nesting.

use std::convert::Infallible;
use std::future::{Future, pending};

use futures_lite::future::{yield_now, zip};
use taskgroup::{CancelReason, Failure, Group, GroupError, TaskGroup, scope, shield};

use super::outside::foreign;
use crate::cases::slow::Slow;
use crate::ledger::Gate;
use crate::test::{Test, until};

mod deep;
mod given_up;
mod stored;
mod waiting;

pub use self::deep::*;
pub use self::given_up::*;
pub use self::stored::*;
pub use self::waiting::*;

pub async fn o_42_outer_child_fails_inner_group_in_the_body(t: &Test) {
    let (slow, at_1) = (&Slow::new(t), &Gate::new());
    let outer = scope(t.spawner(), |group| async move {
        let _body = slow.log.on_drop("body");
        let (child, at_1) = (slow.clone(), at_1.clone());
        group.launch(t.child(async move {
            let _gone = child.log.on_drop("outer child");
            at_1.wait().await;
            Err::<(), _>("outer")
        }));
        let inner = |inner: Group<_, _>| async move {
            inner.launch(slow.child("inner child"));
            pending::<Result<(), &str>>().await
        };
        drop(scope(t.spawner(), inner).await);
        slow.log.write("the body goes on");
        Ok(())
    });
    let driver = async {
        slow.begun.take(1).await;
        at_1.open();
        slow.seen("outer child", 1).await;
        slow.only(&["outer child"]).await;
        slow.gate.open();
    };
    let error = zip(outer, driver).await.0.unwrap_err();
    let failures: Vec<_> = error.failures().map(|(origin, failure)| (origin.child(), failure)).collect();
    assert!(matches!(failures[..], [(Some(1), Failure::Own("outer"))]), "{failures:?}");
    assert_eq!(slow.log.lines(), ["outer child", "inner child", "body"]);
}

pub async fn o_43_inner_child_fails_outer_has_a_long_child(t: &Test) {
    let slow = &Slow::new(t);
    let outer = scope(t.spawner(), |group| async move {
        let _body = slow.log.on_drop("body");
        group.launch(slow.child("long child"));
        let inner = |inner: Group<_, _>| async move {
            inner.launch(t.child(async { Err::<(), _>("inner") }));
            pending::<Result<(), &str>>().await
        };
        slow.begun.take(1).await;
        scope(t.spawner(), inner).await?;
        slow.log.write("the body goes on");
        Ok::<_, GroupError<&str>>(())
    });
    let driver = async {
        slow.seen("body", 1).await;
        slow.only(&["body"]).await;
        slow.gate.open();
    };
    let error = zip(outer, driver).await.0.unwrap_err();
    assert_eq!((error.failures().len(), error.not_kept()), (1, 0));
    assert_eq!(error.reason(), Some(&CancelReason::BodyFailed));
    let (at, inner) = (error.origin().unwrap(), error.primary().unwrap());
    assert!(at.is_body());
    assert_eq!((inner.primary(), inner.failures().len()), (Some(&"inner"), 1));
    assert_eq!(inner.origin().unwrap().child(), Some(1));
    assert_ne!(inner.origin().unwrap().group_location(), at.group_location());
    assert_eq!(slow.log.lines(), ["body", "long child"]);
}

pub async fn o_44_inner_failure_handled(t: &Test) {
    let (go_on, slow) = (&Gate::new(), &Slow::new(t));
    let seven = scope(t.spawner(), |group| async move {
        let wait = go_on.clone();
        let undisturbed = group.spawn(t.child(async move {
            wait.wait().await;
            yield_now().await;
            Ok(7)
        }));
        let inner = |inner: Group<_, _>| async move {
            inner.launch(t.stuck());
            inner.launch(t.child(async { Err::<(), _>("inner") }));
            pending::<Result<(), &str>>().await
        };
        let error = scope(t.spawner(), inner).await.unwrap_err();
        assert_eq!(error.into_primary().unwrap(), "inner");
        slow.only(&[]).await;
        assert!(!group.is_cancelled() && !undisturbed.is_finished());
        go_on.open();
        Ok::<_, Infallible>(undisturbed.value().await)
    });
    assert_eq!(seven.await.unwrap(), 7);
    assert_eq!(t.ledger.read().completed, 2);
}

pub async fn o_45_both_fail_at_once_inner_handled(t: &Test) {
    for outer_waits_first in [true, false] {
        let (slow, go) = (&Slow::new(t), &Gate::new());
        let fails = &|name: &'static str| {
            let (slow, go) = (slow.clone(), go.clone());
            t.child(async move {
                slow.begun.add();
                go.wait().await;
                slow.log.write(name);
                Err::<(), _>(name)
            })
        };
        let outer = scope(t.spawner(), |group| async move {
            if outer_waits_first {
                group.launch(fails("outer"));
                slow.begun.take(1).await;
            }
            let siblings = &group;
            let inner = |inner: Group<_, _>| async move {
                inner.launch(fails("inner"));
                slow.begun.take(1).await;
                if !outer_waits_first {
                    siblings.launch(fails("outer"));
                    slow.begun.take(1).await;
                }
                go.open();
                Ok(())
            };
            let handled = scope(t.spawner(), inner).await.unwrap_err();
            slow.log.write(if handled.is_cancelled() { "cut" } else { "handled" });
            yield_now().await;
            group.cancelled().await;
            // The cancel may come during this poll. The body then goes on to its next await.
            yield_now().await;
            slow.log.write("the body goes on");
            Ok(())
        });
        let error = outer.await.unwrap_err();
        assert_eq!(error.primary(), Some(&"outer"));
        let unread = slow.log.count("inner") - slow.log.count("handled");
        let suppressed: Vec<_> = error.suppressed().map(|failure| foreign(failure).1).collect();
        assert_eq!(suppressed, vec!["inner"; unread], "an error is reported once: {:?}", slow.log.lines());
        assert_eq!((slow.log.count("outer"), slow.log.count("the body goes on")), (1, 0));
        assert_eq!(slow.log.count("cut"), 0);
        if t.one_thread() {
            assert_eq!(slow.log.count("handled"), 0, "the body is cut at the very await");
        }
    }
}

pub async fn o_46_clean_up_failures_in_two_levels(t: &Test) {
    let (slow, outermost) = (Slow::new(t), TaskGroup::fallible::<usize>(t.spawner()));
    let (spawner, member) = (t.spawner(), slow.clone());
    outermost.launch(t.child(async move {
        let _host = member.log.on_drop("host");
        let (member, spawner) = (&member, &spawner);
        let outer = |group: Group<_, usize>| async move {
            group.launch(member.child("outer child"));
            let inner = |group: Group<_, usize>| async move {
                (0..5).for_each(|i| group.launch(cleans_up(member, i)));
                pending::<Result<(), _>>().await
            };
            drop(scope(spawner.clone(), inner).await);
            member.log.write("the body goes on");
            Ok(())
        };
        drop(scope(spawner.clone(), outer).await);
        member.log.write("the host goes on");
        Ok(())
    }));
    slow.begun.take(6).await;
    outermost.cancel();
    slow.only(&[]).await;
    assert_eq!(outermost.len(), 1);
    slow.gate.open();
    let error = outermost.join().await.unwrap_err();
    let mut errors = Vec::new();
    for (_, failure) in error.failures() {
        let Failure::Foreign { path, error, .. } = failure else { panic!("{failure:?}") };
        let number = error.inspect(|error: &usize| *error).unwrap();
        assert_eq!(
            failure.to_string(),
            format!("an error nobody was left to look at in {}: {number}", path[0])
        );
        assert!(!path[0].to_string().ends_with(','));
        assert_eq!(path.iter().map(|at| at.child()).skip(1).collect::<Vec<_>>(), [None, Some(1)]);
        errors.push((path[0].child().unwrap() as usize, number));
    }
    errors.sort();
    assert_eq!(errors, [(1, 0), (2, 1), (3, 2), (4, 3), (5, 4)]);
    assert_eq!(error.not_kept(), 0);
    assert_eq!(slow.log.lines().last().unwrap(), "host");
    assert_eq!((slow.log.lines().len(), slow.log.count("inner child")), (7, 5));
}

/// Returns a child that waits for the gate under a shield, even if it is cancelled, and then fails with `error`.
fn cleans_up(slow: &Slow, error: usize) -> impl Future<Output = Result<(), usize>> + Send + use<> {
    let slow = slow.clone();
    slow.clone().track(async move {
        let _gone = slow.log.on_drop("inner child");
        slow.shielded(&slow.gate).await;
        Err(error)
    })
}

pub async fn o_47_inner_group_value(t: &Test) {
    let (slow, lives) = (&Slow::new(t), &Gate::new());
    let (groups, seen) = &async_channel::bounded(2);
    let outer = async {
        let body = |group: Group<_>| async move {
            groups.try_send(group).unwrap();
            let inner = |group: Group<_>| async move {
                let _body = slow.log.on_drop("inner body");
                let (lives, log) = (lives.clone(), slow.log.clone());
                group.launch(t.child(async move {
                    let _gone = log.on_drop("inner child");
                    lives.wait().await;
                }));
                groups.try_send(group).unwrap();
                Ok::<_, Infallible>(1)
            };
            let one = scope(t.spawner(), inner).await.unwrap();
            slow.log.write("inner closed");
            Ok::<_, Infallible>(one + 1)
        };
        let two = scope(t.spawner(), body).await;
        slow.log.write("outer closed");
        two
    };
    let driver = async {
        slow.seen("inner body", 1).await;
        slow.only(&["inner body"]).await;
        let (outer, inner) = (seen.recv().await.unwrap(), seen.recv().await.unwrap());
        assert_eq!((outer.len(), outer.is_closed(), inner.len(), inner.is_closed()), (0, false, 1, false));
        assert_eq!(outer.spawn(t.child(async { Ok(5) })).await.unwrap(), 5);
        assert_eq!(inner.spawn(t.child(async { Ok(6) })).await.unwrap(), 6);
        lives.open();
        (outer, inner)
    };
    let (two, (outer, inner)) = zip(outer, driver).await;
    assert_eq!(two.unwrap(), 2);
    assert!(outer.is_closed() && inner.is_closed());
    assert_eq!(slow.log.lines(), ["inner body", "inner child", "inner closed", "outer closed"]);
    assert_eq!(t.ledger.read().completed, 3);
}

pub async fn o_48_inner_group_given_up_by_its_own_body(t: &Test) {
    let (slow, timer, outer) = (Slow::new(t), Gate::new(), TaskGroup::new(t.spawner()));
    let (spawner, host, cut) = (t.spawner(), slow.clone(), timer.clone());
    outer.launch(t.child(async move {
        let body = host.clone();
        let inner = move |group: Group<_>| async move {
            let _body = body.log.on_drop("inner body");
            (0..2).for_each(|_| group.launch(body.child("inner child")));
            pending::<Result<(), Infallible>>().await
        };
        assert!(until(&cut, scope(spawner, inner)).await.is_none());
        host.log.write("the host goes on");
    }));
    slow.begun.take(2).await;
    timer.open();
    slow.seen("the host goes on", 1).await;
    slow.only(&["inner body", "the host goes on"]).await;
    assert_eq!(outer.len(), 1, "the host is gone, and counted for what it has left behind");
    let join = async {
        outer.join().await.unwrap();
        slow.log.write("outer closed");
    };
    let driver = async {
        slow.only(&["inner body", "the host goes on"]).await;
        slow.gate.open();
    };
    zip(join, driver).await;
    let lines = ["inner body", "the host goes on", "inner child", "inner child", "outer closed"];
    assert_eq!(slow.log.lines(), lines);
}

pub async fn a_group_inside_a_shield_obeys_itself_only(t: &Test) {
    let (slow, outer) = (Slow::new(t), TaskGroup::new(t.spawner()));
    let (spawner, host) = (t.spawner(), slow.clone());
    let (groups, seen) = async_channel::bounded(1);
    outer.launch(t.child(async move {
        let _host = host.log.on_drop("host");
        let (host, groups) = (&host, &groups);
        let shielded = async {
            let inner = |group: Group<_>| async move {
                group.launch(host.track(pending::<()>()));
                groups.try_send(group).unwrap();
                Ok::<_, Infallible>(())
            };
            let ended = scope(spawner, inner).await;
            host.log.write(if ended.is_ok() { "value" } else { "cut" });
        };
        shield(shielded).await;
        yield_now().await;
        host.log.write("the host goes on");
    }));
    let inner = seen.recv().await.unwrap();
    outer.cancel();
    slow.only(&[]).await;
    assert!(!inner.is_cancelled() && inner.len() == 1);
    assert_eq!(inner.spawn(t.child(async { Ok(7) })).await.unwrap(), 7, "it takes children, which run");
    assert_eq!(outer.len(), 1);
    inner.cancel_with("its own");
    outer.join().await.unwrap();
    assert_eq!(inner.reason(), Some(CancelReason::Explicit("its own".into())));
    assert_eq!(slow.log.lines(), ["value", "host"]);
}
