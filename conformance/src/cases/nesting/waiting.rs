//! Members that would wait for themselves: refused, at any depth.

use super::*;

use std::fmt::Debug;

use taskgroup::{AnySpawner, JoinHandle};

use crate::test::panic_text;

/// Runs `misuse` in a child of `group`, or `depth` groups deeper, and returns the text of its panic.
///
/// The text comes through the log, because `misuse` may cancel the child in which it runs.
async fn inside<F>(t: &Test, slow: &Slow, group: &Group<AnySpawner>, depth: usize, misuse: F) -> String
where
    F: Future<Output: Debug> + Send + 'static,
{
    let log = slow.log.clone();
    let misuse = async move { log.write(panic_text(misuse).await) };
    let mut child: std::pin::Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(t.child(misuse));
    for _ in 0..depth {
        let (spawner, inner) = (t.spawner(), child);
        let body = |group: Group<_>| async move {
            group.launch(inner);
            Ok::<_, Infallible>(())
        };
        child = Box::pin(t.child(async move {
            // Without this, a spawner that polls inline would run `misuse` before the child has a handle.
            yield_now().await;
            drop(scope(spawner, body).await);
        }));
    }
    group.launch(child);
    while slow.log.lines().is_empty() {
        yield_now().await;
    }
    slow.log.lines().remove(0)
}

pub async fn joining_inside_of_the_own_child_panics(t: &Test) {
    for depth in [0, 1, 2] {
        let (slow, owner) = (Slow::new(t), TaskGroup::new(t.spawner()));
        let (group, (give, take)) = (owner.group(), async_channel::bounded(1));
        give.try_send(owner).unwrap();
        let misuse = async move {
            let owner: TaskGroup<AnySpawner> = take.recv().await.unwrap();
            owner.join().await
        };
        let text = inside(t, &slow, &group, depth, misuse).await;
        assert!(text.contains("child 1, spawned at"), "{text}");
        assert!(text.contains("would wait for itself: it joins its own group"), "{text}");
        group.idle().await;
        assert_eq!(group.reason(), Some(CancelReason::ScopeDropped), "the future owned the group");
    }
    assert_eq!(t.ledger.read().alive(), 0);
}

pub async fn idling_inside_of_an_own_child_panics(t: &Test) {
    for depth in [0, 1, 2] {
        let (slow, owner) = (Slow::new(t), TaskGroup::new(t.spawner()));
        // It is another child that had the slot before.
        owner.spawn(t.child(async { Ok(()) })).await.unwrap();
        owner.idle().await;
        let text = inside(t, &slow, &owner, depth, owner.idle()).await;
        assert!(text.contains("child 2, spawned at"), "{text}");
        assert!(text.contains("would wait for itself: it waits for its own group to be idle"), "{text}");
        assert!(!owner.is_cancelled(), "it was caught");
        owner.join().await.unwrap();
    }
    assert_eq!(t.ledger.read().completed, 9);
}

pub async fn idling_in_the_body_waits_for_the_children(t: &Test) {
    let ended = scope(t.spawner(), |group| async move {
        group.launch(t.child(yield_now()));
        group.idle().await;
        Ok::<_, Infallible>(t.ledger.read().alive())
    });
    assert_eq!(ended.await.unwrap(), 0);
    assert_eq!(t.ledger.read().completed, 1);
}

pub async fn awaiting_the_own_handle_panics(t: &Test) {
    for deep in [false, true] {
        for value in [false, true] {
            let (slow, owner) = (Slow::new(t), TaskGroup::new(t.spawner()));
            let (give, take) = async_channel::bounded::<JoinHandle<()>>(1);
            let misuse = async move {
                let handle = take.recv().await.unwrap();
                if value { handle.value().await } else { handle.await.unwrap() }
            };
            let (spawner, child) = (t.spawner(), slow.clone());
            let handle = owner.spawn(t.child(async move {
                let misuse = child.track(misuse);
                let log = child.log.clone();
                let misuse = async move { log.write(panic_text(misuse).await) };
                if deep {
                    let body = |group: Group<_>| async move {
                        group.launch(misuse);
                        Ok::<_, Infallible>(())
                    };
                    scope(spawner, body).await.unwrap();
                } else {
                    misuse.await;
                }
            }));
            give.try_send(handle).unwrap();
            owner.join().await.unwrap();
            let lines = slow.log.lines();
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert!(lines[0].contains("a child would wait for itself: the handle of child 1, spawned at"));
            assert!(lines[0].ends_with("was awaited inside of that child"), "{}", lines[0]);
        }
    }
    assert_eq!(t.ledger.read().completed, 4, "the children went on after they had caught it");
}

pub async fn idling_that_began_outside_panics_inside(t: &Test) {
    let (slow, owner) = (Slow::new(t), TaskGroup::new(t.spawner()));
    let held = Gate::new();
    let wait = held.clone();
    owner.launch(t.child(async move { wait.wait().await }));
    let mut idle = Box::pin(owner.idle());
    assert!(futures_lite::future::poll_once(&mut idle).await.is_none());
    let text = inside(t, &slow, &owner, 0, idle).await;
    assert!(text.contains("would wait for itself: it waits for its own group to be idle"), "{text}");
    held.open();
    owner.join().await.unwrap();
    assert_eq!(t.ledger.read().completed, 2);
}

pub async fn a_scope_that_its_own_child_awaits_panics_there(t: &Test) {
    type Moved = std::pin::Pin<Box<dyn Future<Output = Result<(), GroupError<Infallible>>> + Send>>;

    let (give, take) = async_channel::bounded::<Moved>(1);
    let (log, ledger) = (t.log.clone(), t.ledger.clone());
    let mut moved: Moved = Box::pin(scope(t.spawner(), |group: Group<_>| async move {
        group.launch(ledger.track(async move {
            let text = panic_text(async { take.recv().await.unwrap().await }).await;
            log.write(text);
        }));
        pending().await
    }));
    assert!(futures_lite::future::poll_once(&mut moved).await.is_none());
    give.try_send(moved).unwrap();
    t.nothing_alive().await;
    let lines = t.log.lines();
    assert!(
        lines.len() == 1 && lines[0].contains("would wait for itself: it awaits the scope that it is in"),
        "{lines:?}"
    );
}
