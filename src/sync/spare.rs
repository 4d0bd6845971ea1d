//! Frees the memory of a list that was large and is empty.

use std::collections::VecDeque;

/// The capacity that an empty list may keep.
pub(crate) const KEPT: usize = 1024;

/// Frees the memory of a queue that was large and is empty.
#[inline]
pub(crate) fn shrink<T>(queue: &mut VecDeque<T>) {
    if queue.is_empty() && queue.capacity() > KEPT {
        *queue = VecDeque::new();
    }
}
