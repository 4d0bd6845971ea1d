//! Owners of groups that are moved away from the member that opened the group.

use super::*;

use taskgroup::AnySpawner;

pub async fn a_group_stored_elsewhere_is_linked_to_its_opener(t: &Test) {
    let (slow, outer, end) = (Slow::new(t), TaskGroup::new(t.spawner()), Gate::new());
    let (store, stored) = async_channel::bounded(1);
    let (spawner, opener, ends) = (t.spawner(), slow.clone(), end.clone());
    outer.launch(t.child(async move {
        let _gone = opener.log.on_drop("opener");
        store.try_send(TaskGroup::new(spawner)).unwrap();
        ends.wait().await;
    }));
    let group = stored.recv().await.unwrap();
    group.launch(slow.child("child"));
    slow.begun.take(1).await;
    slow.only(&[]).await;
    assert!(!group.is_cancelled());
    end.open();
    slow.seen("opener", 1).await;
    group.cancelled().await;
    let join = async {
        outer.join().await.unwrap();
        slow.log.write("outer closed");
    };
    let driver = async {
        slow.only(&["opener"]).await;
        slow.gate.open();
    };
    zip(join, driver).await;
    assert_eq!(slow.log.lines(), ["opener", "child", "outer closed"]);
    let error = group.join().await.unwrap_err();
    assert!(error.is_cancelled());
    assert_eq!(error.reason(), Some(&CancelReason::Parent));
}

/// The cancel ends the last child, on whatever thread, and with it the opener. So the outer group may end meanwhile.
pub async fn failures_of_a_group_that_is_dropped_elsewhere_are_reported(t: &Test) {
    for _ in 0..t.pick(100, 5) {
        let outer = TaskGroup::builder::<&str>(t.spawner()).collect().open();
        let ((store, stored), (alive, dropped)) =
            (async_channel::bounded(1), async_channel::bounded::<()>(1));
        let spawner = t.spawner();
        outer.launch(t.child(async move {
            let inner = TaskGroup::builder::<&str>(spawner).collect().open();
            drop(inner.spawn(async { Err::<(), _>("unread") }).await);
            inner.launch(async move {
                let _alive = alive;
                pending::<()>().await;
            });
            store.try_send(inner).unwrap();
            let _ = dropped.recv().await;
        }));
        let inner = stored.recv().await.unwrap();
        let dropping = std::thread::spawn(|| drop(inner));
        let error = outer.join().await.unwrap_err();
        dropping.join().unwrap();
        assert!(matches!(error.failures().next(), Some((_, Failure::Foreign { .. }))), "{error:?}");
        assert_eq!(error.failures().len(), 1);
    }
}

pub async fn a_root_group_outlives_the_child_that_opens_it(t: &Test) {
    let (slow, outer) = (Slow::new(t), TaskGroup::new(t.spawner()));
    let (store, stored) = async_channel::bounded(1);
    let (spawner, opener) = (t.spawner(), slow.clone());
    outer.launch(t.child(async move {
        let group = TaskGroup::root(spawner);
        let child = opener.clone();
        group.launch(opener.track(async move {
            child.begun.add();
            child.gate.wait().await;
            child.log.write("child");
        }));
        store.try_send(group).unwrap();
    }));
    slow.begun.take(1).await;
    outer.cancel();
    outer.join().await.unwrap();
    slow.log.write("outer closed");
    let group = stored.recv().await.unwrap();
    assert_eq!((group.len(), group.is_closed(), t.ledger.read().alive()), (1, false, 1));
    slow.gate.open();
    group.join().await.unwrap();
    assert_eq!(slow.log.lines(), ["outer closed", "child"]);
    assert_eq!(t.ledger.read().completed, 2);
}

pub async fn a_group_dropped_inside_its_own_child(t: &Test) {
    for returns in [true, false] {
        let (slow, before) = (Slow::new(t), t.ledger.read());
        let hook = slow.log.clone();
        let owner = TaskGroup::builder::<Infallible>(t.spawner())
            .on_abandoned(move |live| hook.write(format!("{live} abandoned")))
            .open();
        let (group, (give, take)) = (owner.group(), async_channel::bounded(1));
        let child = slow.clone();
        let dropper = group.spawn(t.child(async move {
            let owner: TaskGroup<_> = take.recv().await.unwrap();
            if returns {
                // The owner is dropped with the captures.
                return child.log.write("returned");
            }
            drop(owner);
            child.log.write("dropped");
            yield_now().await;
            child.log.write("the child goes on");
        }));
        group.launch(slow.child("sibling"));
        slow.begun.take(1).await;
        give.send(owner).await.unwrap();
        let result = dropper.await;
        assert_eq!(result.is_ok(), returns);
        slow.gate.open();
        group.idle().await;
        assert_eq!(group.reason(), Some(CancelReason::ScopeDropped));
        let lines = match returns {
            true => ["returned", "2 abandoned", "sibling"],
            false => ["2 abandoned", "dropped", "sibling"],
        };
        assert_eq!(slow.log.lines(), lines);
        assert_eq!(t.ledger.read().completed - before.completed, usize::from(returns));
    }
}

pub async fn a_linked_group_dropped_inside_its_own_child(t: &Test) {
    let (slow, outer) = (Slow::new(t), TaskGroup::new(t.spawner()));
    let (spawner, opener) = (t.spawner(), slow.clone());
    outer.launch(t.child(async move {
        let (give, take) = async_channel::bounded(1);
        let (owner, child) = (TaskGroup::new(spawner), opener.clone());
        owner.launch(opener.child("sibling"));
        owner.launch(opener.track(async move {
            let _gone = child.log.on_drop("dropper");
            let owner: TaskGroup<AnySpawner> = take.recv().await.unwrap();
            drop(owner);
            yield_now().await;
            child.log.write("the child goes on");
        }));
        opener.begun.take(1).await;
        give.send(owner).await.unwrap();
        opener.seen("dropper", 1).await;
        opener.log.write("opener");
    }));
    slow.seen("opener", 1).await;
    assert_eq!(outer.len(), 1, "the opener is counted for the sibling");
    let join = async {
        outer.join().await.unwrap();
        slow.log.write("outer closed");
    };
    let driver = async {
        slow.pause().await;
        slow.gate.open();
    };
    zip(join, driver).await;
    assert_eq!(slow.log.lines(), ["dropper", "opener", "sibling", "outer closed"]);
}
