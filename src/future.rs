//! The futures that the crate's functions and methods return.

pub use crate::handle::{CancelOnDrop, Value};
pub use crate::race::{Finally, Finishing};
pub use crate::scope::Scope;
pub use crate::shield::Shield;
pub use crate::shutdown::Shutdown;
pub use crate::start::Start;
pub use crate::task_group::Join;
