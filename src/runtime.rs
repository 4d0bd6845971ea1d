//! What a runtime has to offer, and what else it may offer.
//!
//! | trait | for |
//! |---|---|
//! | [`Spawner`] | groups: this is all that they need |
//! | [`LocalSpawner`] | children that are not `Send` |
//! | [`Timer`], [`Timed`] | deadlines, timeouts, [`shutdown`](crate::TaskGroup::shutdown) |
//! | [`SpawnBlocking`] | [`spawn_blocking`](crate::Group::spawn_blocking) |
//! | [`Adopt`] | [`adopt`](crate::Group::adopt): handles of tasks that already run |
//! | [`SpawnHook`] | carrying a context into children, with [`Hooked`] |

pub use crate::spawner::adopt::{Adopt, lazily};
pub use crate::spawner::hook::{Hooked, SpawnHook};
pub use crate::spawner::timer::{AnyTimer, Timed, Timer};
pub use crate::spawner::{Dependent, LocalSpawner, SpawnBlocking, Spawner, adopt};
