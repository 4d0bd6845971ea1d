//! Which child of which group is being handed to its spawner on this thread.
//!
//! A spawner is given a future and nothing else. A simulation wants to name that future and to cancel it, so the code that
//! hands it over says which child it is. Outside simulations that is a look at a thread-local.

use std::cell::RefCell;
use std::sync::Arc;

use crate::state::State;
use crate::state::ticket::Ticket;

/// A child of a group.
pub(crate) type Child = (Arc<State>, Ticket);

thread_local!(static NEWBORN: RefCell<Newborn> = const { RefCell::new(Newborn::Unasked) });

enum Newborn {
    /// No simulation runs on this thread.
    Unasked,
    None,
    Child(Child),
}

/// Whether a simulation runs on this thread.
pub(crate) fn is_here() -> bool {
    // On a thread that is going away there is nothing to look at.
    let asked = NEWBORN.try_with(|newborn| !matches!(*newborn.borrow(), Newborn::Unasked));
    asked.unwrap_or(false)
}

/// Calls `spawn`, which hands this child to its spawner, or a task that is no child.
pub(crate) fn announce<R>(child: Option<(&Arc<State>, Ticket)>, spawn: impl FnOnce() -> R) -> R {
    if !is_here() {
        return spawn();
    }
    let newborn = child.map_or(Newborn::None, |(group, ticket)| Newborn::Child((group.clone(), ticket)));
    let _end = Swap::with(newborn);
    spawn()
}

/// The child that is being handed over. Only the first task that is made for it is that child.
pub(crate) fn take() -> Option<Child> {
    NEWBORN.with_borrow_mut(|newborn| {
        let child = match newborn {
            Newborn::Child(child) => child.clone(),
            Newborn::None | Newborn::Unasked => return None,
        };
        *newborn = Newborn::None;
        Some(child)
    })
}

/// Has children announced on this thread, until it is dropped.
pub(crate) fn ask() -> impl Drop {
    Swap::with(Newborn::None)
}

struct Swap(Option<Newborn>);

impl Swap {
    fn with(newborn: Newborn) -> Self {
        Self(Some(NEWBORN.replace(newborn)))
    }
}

impl Drop for Swap {
    fn drop(&mut self) {
        let before = self.0.take().expect("it is dropped once");
        drop(NEWBORN.replace(before));
    }
}
