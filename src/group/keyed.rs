//! Children that are found by a key.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

use crate::child::ToHandle;
use crate::error::Name;
use crate::group::Group;
use crate::group::child_builder::ChildBuilder;
use crate::handle::{CancelHandle, JoinHandle, Packet};
use crate::keeping::Keeping;
use crate::output::ChildOutput;
use crate::spawner::Spawner;
use crate::state::entry::Entered;
use crate::state::{End, State};
use crate::sync::spare::KEPT;
use crate::sync::{Mutex, lock};
use crate::unwind::{GivesWay, Quiet, catch, drop_unread, raise, resume};

/// A set of children by key: a connection for each peer, a watcher for each file.
///
/// It is made by [`Group::keyed`]. All clones are the same set. A key is in the set until the future of its child is gone;
/// clean-ups of that child, and groups opened in it, may then still be ending. The children are children of the group like all
/// others.
///
/// `Hash`, `Eq` and `Clone` of the keys run under the lock of the set. They must not use the same set, nor wait for code that
/// uses it: that is a deadlock.
///
/// # Panics
///
/// A panic in `Hash` or `Eq` of a key, or in the function that makes a name of it, is raised in the caller, and no child is
/// started (though [`replace`](Self::replace) may have counted one in [`Metrics`](crate::group::Metrics)). A child that ends
/// removes its own key. If `Hash` or `Eq` panics then, it counts as a panic of the child, and the key stays in the set.
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
    name: Option<Arc<Namer<K>>>,
}

type Namer<K> = dyn Fn(&K) -> Name + Send + Sync;

struct Children<K>(Mutex<HashMap<Quiet<K>, Arc<Entry>>>);

impl<K: Hash + Eq> Children<K> {
    /// Removes a key if it still belongs to this child.
    fn remove(&self, key: &K, entry: &Arc<Entry>) -> Option<K> {
        let mut map = lock(&self.0);
        if !map.get(key).is_some_and(|there| Arc::ptr_eq(there, entry)) {
            return None;
        }
        let (key, _) = map.remove_entry(key)?;
        if map.is_empty() && map.capacity() > KEPT {
            map.shrink_to_fit();
        }
        Some(key.into_inner())
    }
}

/// The child under a key.
#[derive(Default)]
struct Entry(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// `None` until the group has taken the child.
    child: Option<CancelHandle>,
    cancelled: bool,
}

impl Entry {
    fn cancel(&self) {
        let mut known = lock(&self.0);
        known.cancelled = true;
        let child = known.child.clone();
        drop(known);
        if let Some(child) = child {
            child.cancel();
        }
    }

    fn child(&self) -> Option<CancelHandle> {
        lock(&self.0).child.clone()
    }

    /// The child is about to start.
    fn learn(&self, child: CancelHandle) {
        let mut known = lock(&self.0);
        let cancelled = known.cancelled;
        known.child = Some(child.clone());
        drop(known);
        if cancelled {
            child.cancel();
        }
    }
}

impl<S, E> Group<S, E> {
    /// Makes an empty set of children that are found by a key.
    pub fn keyed<K>(&self) -> Keyed<S, K, E> {
        Keyed { group: self.clone(), children: Arc::new(Children(Mutex::new(HashMap::new()))), name: None }
    }
}

impl<S, K, E> Keyed<S, K, E>
where
    S: Spawner,
    K: Hash + Eq + Clone + Send + 'static,
    E: Send + 'static,
{
    /// Starts a child under `key`, and cancels the child that was there.
    ///
    /// The old child may not have ended yet when the new one starts, nor when that ends, for example under a shield: from here
    /// on the key is the new child's. If that matters, [get](Self::get) the old child, cancel it and await its end first. Its
    /// clean-ups may run on even then.
    ///
    /// If the group refuses the new child, the old one stays where it is.
    ///
    /// # Panics
    ///
    /// Panics if the spawner does. The child that the spawner has not taken is lost then, which cancels the group.
    #[track_caller]
    pub fn replace<F>(&self, key: K, future: F) -> JoinHandle<<F::Output as ChildOutput<E>>::Value>
    where
        F: Future + Send + 'static,
        F::Output: ChildOutput<E>,
        <F::Output as ChildOutput<E>>::Value: Send + 'static,
    {
        // Hashing, comparing and cloning the key is the user's code, and may panic.
        let (key, future) = (Quiet::new(key), Quiet::new(future));
        // Neither cloned nor dropped under the lock.
        let (own, entry, child) = (Quiet::new(K::clone(&key)), Arc::<Entry>::default(), self.child(&key));
        // Before the old child is cancelled: a group that is closed meanwhile takes the new one, or refuses it here.
        let Ok(entered) = child.enter() else {
            return self.start(child, None, own.into_inner(), entry, future.into_inner());
        };
        let entered = Unstarted { group: self.group.state(), entered: Some(entered) };
        // If a key panics, these are dropped before the child leaves the count.
        let (key, own, future) = (key, own, future);
        let mut map = lock(&self.children.0);
        let (before, spare) = match map.get_mut(&*key) {
            Some(there) => (Some(std::mem::replace(there, entry.clone())), Some(key)),
            None => (map.insert(key, entry.clone()), None),
        };
        drop(map);
        drop(spare);
        if let Some(before) = before {
            before.cancel();
        }
        self.start(child, Some(entered.into_inner()), own.into_inner(), entry, future.into_inner())
    }

    /// Starts a child under `key`, unless there is one already.
    ///
    /// If there is one, this returns `None`, and the future is dropped unpolled. If the group refuses the child, there is a
    /// handle without an [id](JoinHandle::id), as from [`Group::spawn`].
    ///
    /// # Panics
    ///
    /// Panics if the spawner does. The child that the spawner has not taken is lost then, which cancels the group.
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
        let (key, future) = (Quiet::new(key), Quiet::new(future));
        let (own, entry, child) = (Quiet::new(K::clone(&key)), Arc::<Entry>::default(), self.child(&key));
        let mut map = lock(&self.children.0);
        if map.contains_key(&*key) {
            drop(map);
            let mut panic = None;
            drop_unread(future.into_inner(), &mut panic);
            drop_unread(own.into_inner(), &mut panic);
            drop_unread(key.into_inner(), &mut panic);
            resume(panic);
            return None;
        }
        map.insert(key, entry.clone());
        drop(map);
        let entered = child.enter().ok();
        Some(self.start(child, entered, own.into_inner(), entry, future.into_inner()))
    }

    fn child(&self, key: &K) -> ChildBuilder<'_, S, E> {
        let child = self.group.child();
        match &self.name {
            Some(name) => child.name(name(key)),
            None => child,
        }
    }

    /// Starts the child that was entered, or refuses it.
    #[track_caller]
    fn start<F>(
        &self,
        builder: ChildBuilder<'_, S, E>,
        entered: Option<Entered>,
        key: K,
        entry: Arc<Entry>,
        future: F,
    ) -> JoinHandle<<F::Output as ChildOutput<E>>::Value>
    where
        F: Future + Send + 'static,
        F::Output: ChildOutput<E>,
        <F::Output as ChildOutput<E>>::Value: Send + 'static,
    {
        let place = Place { children: self.children.clone(), key: Some(key), entry: entry.clone() };
        let child = Keeping::new(future, place);
        let Some(entered) = entered else { return JoinHandle::refused(child) };
        let packet = Packet::new();
        let handle = builder.handle(packet.clone(), entered.ticket, Location::caller());
        // Before the child can run, so that it can be cancelled by its key from its first poll on.
        entry.learn(handle.cancel_handle());
        self.group.hand_over(entered, child, ToHandle::new(packet));
        handle
    }
}

impl<S, K: Hash + Eq, E> Keyed<S, K, E> {
    /// Cancels the child under `key`, and returns whether there is one.
    ///
    /// The key stays in the set until the child's future is gone.
    pub fn cancel(&self, key: &K) -> bool {
        let Some(entry) = lock(&self.children.0).get(key).cloned() else { return false };
        entry.cancel();
        true
    }

    /// Returns a handle of the child under `key`, which can cancel it and wait for its end.
    ///
    /// It is `None` if there is no such child, or if another thread is just about to start it.
    ///
    /// # Examples
    ///
    /// A child that does not begin before its predecessor is gone:
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{Smol, TaskGroup};
    /// # async fn watch(_: &str) { std::future::pending().await }
    /// # smol::block_on(async {
    /// let group = TaskGroup::new(Smol);
    /// let watchers = group.keyed();
    /// watchers.replace("config.toml", watch("config.toml"));
    /// if let Some(old) = watchers.get(&"config.toml") {
    ///     old.cancel();
    ///     old.ended().await;
    /// }
    /// watchers.replace("config.toml", watch("config.toml"));
    /// assert_eq!(group.len(), 1);
    /// # });
    /// # }
    /// ```
    pub fn get(&self, key: &K) -> Option<CancelHandle> {
        let entry = lock(&self.children.0).get(key).cloned()?;
        entry.child()
    }

    /// Returns whether there is a child under `key` whose future is not gone.
    pub fn contains(&self, key: &K) -> bool {
        lock(&self.children.0).contains_key(key)
    }
}

impl<S, K, E> Keyed<S, K, E> {
    /// Names each child after its key; the name appears in its handle and in reports.
    ///
    /// It does not apply to clones of the set that were made before.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{Smol, TaskGroup};
    /// # smol::block_on(async {
    /// let group = TaskGroup::new(Smol);
    /// let peers = group.keyed().named(|peer: &u32| format!("peer {peer}"));
    /// let child = peers.replace(17, async {});
    /// assert_eq!(child.name(), Some("peer 17"));
    /// # });
    /// # }
    /// ```
    pub fn named<N: Into<Arc<str>>>(mut self, name: impl Fn(&K) -> N + Send + Sync + 'static) -> Self {
        let name = GivesWay::new(name);
        self.name = Some(Arc::new(move |key| (*name)(key).into()));
        self
    }

    /// Returns the keys, in no particular order. They are cloned under the lock of the set.
    pub fn keys(&self) -> Vec<K>
    where
        K: Clone,
    {
        // If a key panics while it is cloned, the others are dropped after the lock is released.
        let mut keys = Vec::new();
        let children = lock(&self.children.0);
        keys.extend(children.keys().map(|key| Quiet::new(K::clone(key))));
        drop(children);
        keys.into_iter().map(Quiet::into_inner).collect()
    }

    /// Returns how many keys there are.
    pub fn len(&self) -> usize {
        lock(&self.children.0).len()
    }

    /// Returns whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A child that was entered, and ends without having started if the user's code panics before it is handed over.
struct Unstarted<'a> {
    group: &'a Arc<State>,
    entered: Option<Entered>,
}

impl Unstarted<'_> {
    fn into_inner(mut self) -> Entered {
        self.entered.take().expect("taken once")
    }
}

impl Drop for Unstarted<'_> {
    fn drop(&mut self) {
        if let Some(entered) = self.entered.take() {
            self.group.end(entered.ticket.standing(), End::Returned);
        }
    }
}

/// Removes the key when its child ends.
struct Place<K: Hash + Eq> {
    children: Arc<Children<K>>,
    /// `Some` until this is dropped.
    key: Option<K>,
    entry: Arc<Entry>,
}

impl<K: Hash + Eq> Drop for Place<K> {
    fn drop(&mut self) {
        // Keys are the user's: their destructors must not run under the lock, and hashing them may panic.
        let mut panic = None;
        let removed = catch(|| self.key.as_ref().and_then(|key| self.children.remove(key, &self.entry)));
        let removed = removed.unwrap_or_else(|payload| {
            panic = Some(payload);
            None
        });
        drop_unread(removed, &mut panic);
        drop_unread(self.key.take(), &mut panic);
        raise(panic);
    }
}

impl<S, K, E> Clone for Keyed<S, K, E> {
    fn clone(&self) -> Self {
        Self { group: self.group.clone(), children: self.children.clone(), name: self.name.clone() }
    }
}

impl<S, K, E> UnwindSafe for Keyed<S, K, E> {}
impl<S, K, E> RefUnwindSafe for Keyed<S, K, E> {}

impl<S, K, E> fmt::Debug for Keyed<S, K, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed").field("group", &self.group).finish_non_exhaustive()
    }
}
