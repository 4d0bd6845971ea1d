//! How deep groups can nest, and in which order they are torn down.

use super::*;

use std::pin::Pin;

use async_channel::{Sender, bounded};
use taskgroup::{AnySpawner, Spawner};

pub async fn teardown_is_bottom_up_through_children(t: &Test) {
    let (slow, outermost) = (Slow::new(t), TaskGroup::new(t.spawner()));
    let (spawner, outer) = (t.spawner(), slow.clone());
    outermost.launch(t.child(async move {
        let _locals = outer.log.on_drop("outer's locals");
        let group = TaskGroup::new(spawner.clone());
        let middle = outer.clone();
        group.launch(outer.track(async move {
            let _locals = middle.log.on_drop("middle's locals");
            let group = TaskGroup::new(spawner);
            (0..3).for_each(|_| group.launch(middle.child("grandchild")));
            pending::<()>().await
        }));
        pending::<()>().await
    }));
    slow.begun.take(3).await;
    outermost.cancel();
    slow.only(&[]).await;
    slow.gate.open();
    outermost.join().await.unwrap();
    let lines = ["grandchild", "grandchild", "grandchild", "middle's locals", "outer's locals"];
    assert_eq!(slow.log.lines(), lines);
}

pub async fn teardown_is_bottom_up_through_bodies(t: &Test) {
    let slow = &Slow::new(t);
    let outermost = scope(t.spawner(), |group| async move {
        let _locals = slow.log.on_drop("outer's locals");
        let middle = |_: Group<_>| async move {
            let _locals = slow.log.on_drop("middle's locals");
            let inner = |group: Group<_>| async move {
                let _locals = slow.log.on_drop("inner's locals");
                (0..3).for_each(|_| group.launch(slow.child("grandchild")));
                pending::<Result<(), Infallible>>().await
            };
            drop(scope(t.spawner(), inner).await);
            pending::<Result<(), Infallible>>().await
        };
        let cancel = group.clone();
        group.launch(slow.track({
            let slow = slow.clone();
            async move {
                slow.begun.take(3).await;
                cancel.cancel();
            }
        }));
        drop(scope(t.spawner(), middle).await);
        pending::<Result<(), Infallible>>().await
    });
    let driver = async {
        // The child that cancels is the only child that completes.
        while t.ledger.read().completed == 0 {
            yield_now().await;
        }
        slow.pause().await;
        assert_eq!((slow.log.count("middle's locals"), slow.log.count("outer's locals")), (0, 0));
        slow.gate.open();
    };
    let error = zip(outermost, driver).await.0.unwrap_err();
    assert!(matches!(error.reason(), Some(CancelReason::Explicit(_))));
    let mut lines = slow.log.lines();
    if !t.one_thread() {
        // The inner body is a member like the grandchildren. If the cancel comes during its poll, it may end first.
        lines[..4].sort();
    }
    assert_eq!(lines[..4], ["grandchild", "grandchild", "grandchild", "inner's locals"]);
    assert_eq!(lines[4..], ["middle's locals", "outer's locals"]);
}

type Deep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Opens `depth` groups, each in a child of the group before. Free-standing groups and scopes alternate.
fn nest<S: Spawner>(spawner: S, depth: usize, slow: Slow) -> Deep {
    Box::pin(slow.clone().track(async move {
        // Without this, a spawner that polls inline would nest all polls on the stack.
        yield_now().await;
        if depth == 0 {
            slow.begun.add();
            return slow.gate.wait().await;
        }
        let child = nest(spawner.clone(), depth - 1, slow.clone());
        let ended = if depth % 2 == 0 {
            let group = TaskGroup::new(spawner);
            group.launch(child);
            group.join().await
        } else {
            let body = |group: Group<_>| async move {
                group.launch(child);
                Ok::<_, Infallible>(())
            };
            scope(spawner, body).await
        };
        if ended.is_ok() {
            slow.begun.add();
        }
    }))
}

pub async fn two_thousand_groups_deep_and_cancelled(t: &Test) {
    let (slow, depth) = (Slow::new(t), t.pick(2_000, 200));
    let outermost = TaskGroup::new(t.spawner());
    outermost.launch(nest(t.spawner(), depth, slow.clone()));
    slow.begun.take(1).await;
    assert_eq!((outermost.len(), t.ledger.read().alive()), (1, depth + 1));
    outermost.cancel();
    outermost.join().await.unwrap();
    assert!(slow.begun.is_empty(), "no group ended with a value");
    let ledger = t.ledger.read();
    assert_eq!((ledger.alive(), ledger.dropped), (0, depth + 1));
}

pub async fn two_thousand_groups_deep_and_done(t: &Test) {
    let (slow, depth) = (Slow::new(t), t.pick(2_000, 200));
    let outermost = TaskGroup::new(t.spawner());
    outermost.launch(nest(t.spawner(), depth, slow.clone()));
    slow.begun.take(1).await;
    slow.gate.open();
    outermost.join().await.unwrap();
    slow.begun.take(depth).await;
    let ledger = t.ledger.read();
    assert_eq!((ledger.alive(), ledger.completed), (0, depth + 1));
}

/// Opens `depth` groups, each in a child of the group before, and gives a handle of the last one.
fn inward(spawner: AnySpawner, depth: usize, give: Sender<Group<AnySpawner>>) -> Deep {
    Box::pin(async move {
        // As in `nest`.
        yield_now().await;
        let group = TaskGroup::new(spawner.clone());
        match depth {
            0 => give.send(group.group()).await.unwrap(),
            _ => group.launch(inward(spawner, depth - 1, give)),
        }
        group.join().await.unwrap();
    })
}

/// With that handle goes what is left of all groups around.
pub async fn a_handle_of_a_group_keeps_twenty_thousand_around_it(t: &Test) {
    let (outermost, (give, take)) = (TaskGroup::new(t.spawner()), bounded(1));
    outermost.launch(inward(t.spawner(), t.pick(20_000, 200), give));
    let innermost = take.recv().await.unwrap();
    outermost.join().await.unwrap();
    drop(innermost);
}
