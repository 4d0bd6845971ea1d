//! The futures that the crate's functions and methods return.

pub use crate::group::start::Start;
pub use crate::handle::{CancelOnDrop, Value};
pub use crate::scope::Scope;
pub use crate::scope::race::{Finally, Finishing};
pub use crate::shield::Shield;
pub use crate::task_group::join::Join;
pub use crate::task_group::shutdown::Shutdown;
