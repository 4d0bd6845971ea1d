//! Memory of a list that was large and is empty: it is given back.

use std::collections::VecDeque;

/// How large an empty list may be.
pub(crate) const KEPT: usize = 1024;

/// Gives the memory of a queue back that was large and is empty.
#[inline]
pub(crate) fn shrink<T>(queue: &mut VecDeque<T>) {
    if queue.is_empty() && queue.capacity() > KEPT {
        *queue = VecDeque::new();
    }
}
