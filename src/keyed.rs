//! Children that are found by a key.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, PoisonError};

use crate::group::Group;
use crate::handle::{CancelHandle, JoinHandle};
use crate::output::ChildOutput;
use crate::spawner::Spawner;
use crate::sync::{Mutex, MutexGuard};

/// Children of a group by key: a connection for each peer, a watcher for each file.
///
/// Made by [`Group::keyed`]; a clone is the same set. A key is there for as long as its child has not ended. The children
/// are children of the group like all others.
///
/// # Panics
///
/// If `Hash` or `Eq` of a key panics, the panic goes to whoever called, and no child is started; where a child that ends
/// takes its own key away, it is the child's. Neither may use this very set.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "smol")] {
/// # use taskgroup::{Smol, TaskGroup};
/// # smol::block_on(async {
/// let group = TaskGroup::new(Smol);
/// let peers = group.keyed();
/// let first = peers.replace("10.0.0.1", std::future::pending::<()>());
/// let second = peers.replace("10.0.0.1", async {}); // the peer is back: its old connection is cancelled
/// assert!(first.await.unwrap_err().is_cancelled());
/// assert!(second.await.is_ok());
/// group.join().await.unwrap();
/// assert!(peers.is_empty());
/// # });
/// # }
/// ```
pub struct Keyed<S, K, E = Infallible> {
    group: Group<S, E>,
    children: Arc<Children<K>>,
}

struct Children<K>(Mutex<Map<K>>);

struct Map<K> {
    entries: HashMap<K, Keeper>,
    next: u64,
}

/// What is known of the child under a key.
struct Keeper {
    number: u64,
    /// Not there while the spawner is at work.
    child: Option<CancelHandle>,
    cancelled: bool,
}

impl<K> Children<K> {
    fn lock(&self) -> MutexGuard<'_, Map<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Clone, E> Group<S, E> {
    /// A set of children that are found by a key.
    pub fn keyed<K>(&self) -> Keyed<S, K, E> {
        let map = Map { entries: HashMap::new(), next: 0 };
        Keyed { group: self.clone(), children: Arc::new(Children(Mutex::new(map))) }
    }
}

impl<S, K, E> Keyed<S, K, E>
where
    S: Spawner,
    K: Hash + Eq + Clone + Send + 'static,
    E: Send + 'static,
{
    /// Starts a child under `key`, and cancels the one that was there.
    ///
    /// That one may still be on its way out when the new one starts. Await its handle first where that matters.
    #[track_caller]
    pub fn replace<F>(&self, key: K, future: F) -> JoinHandle<<F::Output as ChildOutput<E>>::Value>
    where
        F: Future + Send + 'static,
        F::Output: ChildOutput<E>,
        <F::Output as ChildOutput<E>>::Value: Send + 'static,
    {
        let mut map = self.children.lock();
        let keeper = map.keeper();
        let number = keeper.number;
        let before = map.entries.insert(key.clone(), keeper);
        drop(map);
        if let Some(child) = before.and_then(|before| before.child) {
            child.cancel();
        }
        self.start(key, number, future)
    }

    /// Starts a child under `key`, unless there is one: `None` then, and the future is dropped unpolled.
    #[track_caller]
    pub fn spawn_if_absent<F>(
        &self,
        key: K,
        future: F,
    ) -> Option<JoinHandle<<F::Output as ChildOutput<E>>::Value>>
    where
        F: Future + Send + 'static,
        F::Output: ChildOutput<E>,
        <F::Output as ChildOutput<E>>::Value: Send + 'static,
    {
        let mut map = self.children.lock();
        if map.entries.contains_key(&key) {
            return None;
        }
        let keeper = map.keeper();
        let number = keeper.number;
        map.entries.insert(key.clone(), keeper);
        drop(map);
        Some(self.start(key, number, future))
    }

    #[track_caller]
    fn start<F>(&self, key: K, number: u64, future: F) -> JoinHandle<<F::Output as ChildOutput<E>>::Value>
    where
        F: Future + Send + 'static,
        F::Output: ChildOutput<E>,
        <F::Output as ChildOutput<E>>::Value: Send + 'static,
    {
        let place = Place { children: self.children.clone(), key: key.clone(), number };
        let handle = self.group.spawn(async move {
            let _place = place;
            future.await
        });
        let child = handle.cancel_handle();
        let mut map = self.children.lock();
        let gone = match map.entries.get_mut(&key).filter(|keeper| keeper.number == number) {
            Some(keeper) => {
                keeper.child = Some(child);
                keeper.cancelled
            }
            // It has ended, or somebody has replaced it meanwhile.
            None => true,
        };
        drop(map);
        if gone {
            handle.cancel();
        }
        handle
    }
}

impl<S, K: Hash + Eq, E> Keyed<S, K, E> {
    /// Cancels the child under `key`, and says whether there is one. The key is there until that has ended.
    pub fn cancel(&self, key: &K) -> bool {
        let mut map = self.children.lock();
        let Some(keeper) = map.entries.get_mut(key) else { return false };
        keeper.cancelled = true;
        let child = keeper.child.clone();
        drop(map);
        if let Some(child) = child {
            child.cancel();
        }
        true
    }

    /// Whether there is a child under `key` that has not ended.
    pub fn contains(&self, key: &K) -> bool {
        self.children.lock().entries.contains_key(key)
    }
}

impl<S, K, E> Keyed<S, K, E> {
    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.children.lock().entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K> Map<K> {
    fn keeper(&mut self) -> Keeper {
        self.next += 1;
        Keeper { number: self.next, child: None, cancelled: false }
    }
}

/// Takes the key away when its child ends.
struct Place<K: Hash + Eq> {
    children: Arc<Children<K>>,
    key: K,
    number: u64,
}

impl<K: Hash + Eq> Drop for Place<K> {
    fn drop(&mut self) {
        let mut map = self.children.lock();
        if map.entries.get(&self.key).is_some_and(|keeper| keeper.number == self.number) {
            let removed = map.entries.remove_entry(&self.key);
            // The key is the user's: its destructor does not run under the lock.
            drop(map);
            drop(removed);
        }
    }
}

impl<S: Clone, K, E> Clone for Keyed<S, K, E> {
    fn clone(&self) -> Self {
        Self { group: self.group.clone(), children: self.children.clone() }
    }
}

impl<S, K, E> fmt::Debug for Keyed<S, K, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed").field("group", &self.group).finish_non_exhaustive()
    }
}
