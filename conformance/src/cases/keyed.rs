//! Children that are found by a key.

use std::future::pending;
use std::hash::{Hash, Hasher};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use futures_lite::future::yield_now;
use taskgroup::group::Keyed;
use taskgroup::{AnySpawner, Group, TaskGroup, shield};

use super::limits::limited;
use crate::ledger::{Entry, Gate, Log, Tally};
use crate::test::{Test, panic_text, quiet_panic, still_waits};

pub async fn replace_cancels_the_child_that_was_there(t: &Test) {
    let (group, there) = (TaskGroup::new(t.spawner()), Tally::new());
    let peers = group.keyed();
    let first = peers.replace("peer", t.waiting(&there));
    there.take(1).await;
    let second = peers.replace("peer", t.child(async { Ok(7) }));
    assert!(first.await.unwrap_err().is_cancelled());
    assert_eq!(second.await.unwrap(), 7);
    assert!(!group.is_cancelled());
    group.join().await.unwrap();
}

pub async fn spawn_if_absent_starts_one_child_a_key(t: &Test) {
    let (group, gate) = (TaskGroup::new(t.spawner()), Gate::new());
    let peers = group.keyed();
    let opened = gate.clone();
    let first = peers.spawn_if_absent(
        "peer",
        t.child(async move {
            opened.wait().await;
            Ok(7)
        }),
    );
    assert!(peers.spawn_if_absent("peer", t.stuck()).is_none());
    assert!(peers.spawn_if_absent("other", t.child(async {})).is_some());
    gate.open();
    assert_eq!(first.unwrap().await.unwrap(), 7);
    assert!(peers.spawn_if_absent("peer", t.child(async {})).is_some(), "its child has ended");
    group.join().await.unwrap();
    let ended = t.ledger.read();
    assert_eq!((ended.made, ended.started, ended.dropped), (4, 3, 4));
}

pub async fn a_child_is_cancelled_by_its_key(t: &Test) {
    let (group, there) = (TaskGroup::new(t.spawner()), Tally::new());
    let peers = group.keyed();
    let child = peers.replace("peer", t.waiting(&there));
    there.take(1).await;
    assert!(!peers.cancel(&"nobody"));
    assert!(peers.cancel(&"peer"));
    assert!(child.await.unwrap_err().is_cancelled());
    assert!(!peers.cancel(&"peer"), "it is gone");
    group.join().await.unwrap();
}

/// The child may do so before the code that spawns it has the handle.
pub async fn a_child_is_got_by_its_key_and_gone_before_the_next_one_starts(t: &Test) {
    let (group, gate, there) = (TaskGroup::new(t.spawner()), Gate::new(), Tally::new());
    let peers = group.keyed().named(|peer: &&str| *peer);
    let (opened, begun, log) = (gate.clone(), there.clone(), t.log.clone());
    peers.replace(
        "peer",
        t.child(shield(async move {
            begun.add();
            opened.wait().await;
            log.write("the old one");
        })),
    );
    there.take(1).await;
    peers.replace("other", t.waiting(&there));
    there.take(1).await;
    let mut keys = peers.keys();
    keys.sort_unstable();
    assert_eq!(keys, ["other", "peer"]);
    assert!(peers.get(&"nobody").is_none());
    let old = peers.get(&"peer").unwrap();
    assert_eq!((old.id(), old.name(), old.is_finished()), (Some(1), Some("peer"), false));
    old.cancel();
    let mut ended = pin!(old.ended());
    still_waits(ended.as_mut(), "the shield has not ended").await;
    gate.open();
    ended.await;
    assert!(peers.get(&"peer").is_none(), "its key is free");
    let log = t.log.clone();
    peers.replace("peer", t.child(async move { log.write("the new one") })).await.unwrap();
    assert!(peers.cancel(&"other"));
    group.join().await.unwrap();
    assert_eq!((t.log.lines(), peers.keys()), (vec!["the old one".into(), "the new one".into()], vec![]));
}

pub async fn a_child_cancels_itself_by_its_key(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let peers = group.keyed();
    let (own, log) = (peers.clone(), t.log.clone());
    let child = peers.replace(
        "peer",
        t.child(async move {
            assert!(own.cancel(&"peer"));
            log.write("cancelled");
            yield_now().await;
            log.write("went on");
        }),
    );
    assert!(child.await.unwrap_err().is_cancelled());
    assert_eq!(t.log.lines(), ["cancelled"]);
    group.join().await.unwrap();
}

pub async fn a_key_is_there_until_its_child_has_ended(t: &Test) {
    let (group, gate, there) = (TaskGroup::new(t.spawner()), Gate::new(), Tally::new());
    let peers = group.keyed();
    let (opened, begun) = (gate.clone(), there.clone());
    let child = peers.replace(
        "peer",
        t.child(shield(async move {
            begun.add();
            opened.wait().await;
        })),
    );
    there.take(1).await;
    peers.cancel(&"peer");
    assert!(peers.contains(&"peer"), "under its shield");
    assert_eq!((peers.len(), peers.is_empty()), (1, false));
    gate.open();
    drop(child.await);
    assert!(!peers.contains(&"peer"));
    assert_eq!((peers.len(), peers.is_empty()), (0, true));
    group.join().await.unwrap();
}

pub async fn so_it_is_where_its_child_is_cancelled_before_it_runs(t: &Test) {
    struct Looks(Keyed<AnySpawner, &'static str, &'static str>, Log);

    impl Drop for Looks {
        fn drop(&mut self) {
            self.1.write(format!("captured, and the key is there: {}", self.0.contains(&"peer")));
        }
    }

    let (group, there) = (limited(t.spawner(), 1), Tally::new());
    group.launch(t.waiting(&there));
    there.take(1).await;
    let peers = group.keyed();
    let looks = Looks(peers.clone(), t.log.clone());
    let queued = peers.replace("peer", t.child(async move { drop(looks) }));
    queued.cancel();
    assert!(queued.await.unwrap_err().is_cancelled());
    assert!(peers.is_empty());
    assert_eq!(t.log.lines(), ["captured, and the key is there: true"]);
    group.cancel();
    group.join().await.unwrap();
}

pub async fn the_end_of_a_replaced_child_leaves_the_new_one_its_key(t: &Test) {
    let (group, gate, there) = (TaskGroup::new(t.spawner()), Gate::new(), Tally::new());
    let peers = group.keyed();
    let (opened, begun) = (gate.clone(), there.clone());
    let first = peers.replace(
        "peer",
        t.child(shield(async move {
            begun.add();
            opened.wait().await;
        })),
    );
    there.take(1).await;
    let second = peers.replace("peer", t.waiting(&there));
    there.take(1).await;
    gate.open();
    drop(first.await);
    assert_eq!((peers.contains(&"peer"), peers.len()), (true, 1));
    assert!(peers.cancel(&"peer"));
    assert!(second.await.unwrap_err().is_cancelled());
    assert!(peers.is_empty());
    group.join().await.unwrap();
}

#[derive(Clone, PartialEq, Eq)]
struct Hostile(u8);

impl Hash for Hostile {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if self.0 == 0 {
            quiet_panic("in the hash");
        }
        self.0.hash(state);
    }
}

pub async fn a_hash_that_panics_is_the_callers_and_starts_nothing(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let peers = group.keyed();
    let replacing = async { drop(peers.replace(Hostile(0), t.child(async {}))) };
    assert_eq!(panic_text(replacing).await, "in the hash");
    let spawning = async { drop(peers.spawn_if_absent(Hostile(0), t.child(async {}))) };
    assert_eq!(panic_text(spawning).await, "in the hash");
    assert_eq!(t.ledger.read(), Entry { made: 2, polls: 0, started: 0, completed: 0, dropped: 2 });
    assert_eq!((group.len(), peers.len()), (0, 0));

    assert_eq!(peers.replace(Hostile(1), t.child(async { Ok(7) })).await.unwrap(), 7);
    group.join().await.unwrap();
}

/// A key whose `hash` succeeds a given number of times and then panics.
#[derive(Clone)]
struct HashesFor(Arc<AtomicUsize>);

impl PartialEq for HashesFor {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for HashesFor {}

impl Hash for HashesFor {
    fn hash<H: Hasher>(&self, _: &mut H) {
        if self.0.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_err() {
            quiet_panic("in a later hash");
        }
    }
}

pub async fn a_child_whose_key_hashes_once_is_started_and_can_be_replaced(t: &Test) {
    let (group, there) = (TaskGroup::new(t.spawner()), Tally::new());
    let hashes = Arc::new(AtomicUsize::new(1));
    let peers = group.keyed();
    let first = peers.replace(HashesFor(hashes.clone()), t.waiting(&there));
    there.take(1).await;
    hashes.store(100, SeqCst);
    drop(peers.replace(HashesFor(hashes), t.child(async {})));
    assert!(first.await.unwrap_err().is_cancelled());
    group.join().await.unwrap();
    assert!(peers.is_empty());
}

pub async fn a_closed_group_takes_no_child_and_keeps_no_key(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let peers = group.keyed();
    group.close();
    assert!(peers.replace("peer", t.stuck()).await.unwrap_err().is_cancelled());
    assert!(peers.spawn_if_absent("peer", t.stuck()).unwrap().await.unwrap_err().is_cancelled());
    assert!(peers.is_empty());
    assert_eq!(t.ledger.read(), Entry { made: 2, polls: 0, started: 0, completed: 0, dropped: 2 });
    group.join().await.unwrap();
}

pub async fn a_closed_group_refuses_a_replacement_and_keeps_what_is_there(t: &Test) {
    let (group, there, gate) = (TaskGroup::new(t.spawner()), Tally::new(), Gate::new());
    let (peers, begun, opened) = (group.keyed(), there.clone(), gate.clone());
    let first = peers.replace(
        "peer",
        t.child(async move {
            begun.add();
            opened.wait().await;
            Ok(1)
        }),
    );
    there.take(1).await;
    group.stop();
    let second = peers.replace("peer", t.child(async { Ok(2) }));
    assert!(second.await.unwrap_err().is_cancelled());
    assert!(peers.contains(&"peer"));
    gate.open();
    assert_eq!(first.await.unwrap(), 1);
    group.join().await.unwrap();
}

/// Closes a group when it is hashed.
#[derive(Clone)]
struct Closes(Option<Group<AnySpawner>>);

impl PartialEq for Closes {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Closes {}

impl Hash for Closes {
    fn hash<H: Hasher>(&self, _: &mut H) {
        self.0.iter().for_each(Group::close);
    }
}

pub async fn a_replacement_that_meets_a_close_does_not_leave_the_key_without_a_child(t: &Test) {
    let (group, there) = (TaskGroup::new(t.spawner()), Tally::new());
    let peers = group.keyed();
    let first = peers.replace(Closes(None), t.waiting(&there));
    there.take(1).await;
    let second = peers.replace(Closes(Some(group.group())), t.child(async { Ok(2) }));
    assert!(first.await.unwrap_err().is_cancelled());
    assert_eq!(second.await.unwrap(), 2, "it came before the close");
    group.join().await.unwrap();
    assert!(peers.is_empty());
}

pub async fn many_who_replace_one_key_leave_nothing(t: &Test) {
    let (group, replacers) = (TaskGroup::new(t.spawner()), TaskGroup::new(t.spawner()));
    let peers = group.keyed();
    for _ in 0..t.pick(8, 3) {
        let (peers, children, times) = (peers.clone(), t.ledger.clone(), t.pick(50, 10));
        replacers.launch(t.child(async move {
            for _ in 0..times {
                peers.replace("peer", children.track(pending::<()>()));
                yield_now().await;
            }
        }));
    }
    replacers.join().await.unwrap();
    while group.len() > 1 {
        yield_now().await;
    }
    assert_eq!((peers.len(), t.ledger.read().alive()), (1, 1));
    peers.cancel(&"peer");
    group.join().await.unwrap();
    assert!(peers.is_empty());
}

pub async fn children_are_named_after_their_keys(t: &Test) {
    let (group, there) = (TaskGroup::new(t.spawner()), Tally::new());
    let peers = group.keyed().named(|peer: &u32| match peer {
        0 => quiet_panic("nobody"),
        _ => format!("peer {peer}"),
    });
    let first = peers.replace(1, t.waiting(&there));
    let second = peers.clone().spawn_if_absent(2, t.child(async {})).unwrap();
    assert_eq!((first.name(), second.name()), (Some("peer 1"), Some("peer 2")));
    assert_eq!(panic_text(async { drop(peers.replace(0, t.stuck())) }).await, "nobody");
    assert!(!peers.contains(&0));
    there.take(1).await;
    assert!(peers.cancel(&1));
    group.join().await.unwrap();
}

/// Panics when it is dropped, and so do its clones.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Bomb(u32);

impl Drop for Bomb {
    fn drop(&mut self) {
        quiet_panic("key")
    }
}

pub async fn keys_that_panic_when_dropped_do_so_once(t: &Test) {
    let group = TaskGroup::builder::<&str>(t.spawner()).collect().open();
    let (peers, gate) = (group.keyed(), Gate::new());
    let wait = gate.clone();
    let child = peers.replace(Bomb(1), t.child(async move { wait.wait().await }));
    let absent = async { peers.spawn_if_absent(Bomb(1), t.stuck()).is_some() };
    assert_eq!(panic_text(absent).await, "key");
    gate.open();
    child.await.unwrap_or_default();
    assert!(peers.is_empty());
    group.close();
    let refused = async { drop(peers.replace(Bomb(2), t.stuck())) };
    assert_eq!(panic_text(refused).await, "key");
    assert!(peers.is_empty());
    assert_eq!(panic_text(group.join()).await, "key");
}

/// When its set is asked for it, the second one of these panics as it is cloned, and the first one then as it is dropped.
struct Frail(u32, Arc<AtomicUsize>);

impl PartialEq for Frail {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Frail {}

impl Hash for Frail {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Clone for Frail {
    fn clone(&self) -> Self {
        if self.1.load(SeqCst) > 0 && self.1.fetch_add(1, SeqCst) == 2 {
            quiet_panic("clone")
        }
        Self(self.0, self.1.clone())
    }
}

impl Drop for Frail {
    fn drop(&mut self) {
        if self.1.load(SeqCst) > 1 {
            quiet_panic("key")
        }
    }
}

pub async fn keys_that_panic_when_they_are_listed_are_one_panic(t: &Test) {
    let (group, asked) = (TaskGroup::new(t.spawner()), Arc::new(AtomicUsize::new(0)));
    let peers = group.keyed();
    (0..3).for_each(|number| drop(peers.replace(Frail(number, asked.clone()), t.stuck())));
    asked.store(1, SeqCst);
    assert_eq!(panic_text(async { peers.keys().len() }).await, "clone");
    asked.store(0, SeqCst);
    assert_eq!((peers.keys().len(), peers.len()), (3, 3), "nothing else has happened");
    group.cancel();
    group.join().await.unwrap();
}

/// Panics when it is hashed and when it is dropped.
#[derive(Clone, PartialEq, Eq)]
struct Worst;

impl Hash for Worst {
    fn hash<H: Hasher>(&self, _: &mut H) {
        quiet_panic("in the hash")
    }
}

impl Drop for Worst {
    fn drop(&mut self) {
        quiet_panic("key")
    }
}

pub async fn a_key_and_a_future_that_is_not_started_may_both_panic(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let peers = group.keyed();
    let future = || {
        let bomb = Bomb(1);
        t.child(async move { drop(bomb) })
    };
    let replacing = async { drop(peers.replace(Worst, future())) };
    assert_eq!(panic_text(replacing).await, "in the hash");
    let spawning = async { drop(peers.spawn_if_absent(Worst, future())) };
    assert_eq!(panic_text(spawning).await, "in the hash");
    assert_eq!(t.ledger.read(), Entry { made: 2, polls: 0, started: 0, completed: 0, dropped: 2 });
    group.join().await.unwrap();
}

pub async fn a_hash_and_a_capture_that_both_panic_are_one_panic(t: &Test) {
    let (group, there) = (TaskGroup::new(t.spawner()), Tally::new());
    let (peers, begin) = (group.keyed(), there.clone());
    let child = peers.replace(
        HashesFor(Arc::new(AtomicUsize::new(1))),
        t.child(async move {
            let _bomb = Bomb(1);
            begin.add();
            pending::<()>().await
        }),
    );
    there.take(1).await;
    child.cancel();
    assert_eq!(panic_text(group.join()).await, "key");
    assert!(child.await.is_err());
}
