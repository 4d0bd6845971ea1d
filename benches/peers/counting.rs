//! An allocator that counts when it is told to.
//!
//! The timing passes must run without counting, and an allocator belongs to the whole binary. A second bench target would
//! keep it out of the first, but the two could not start each other: cargo tells a bench the path of no other bench. The
//! switch costs a timing pass one relaxed load and a branch that always goes the same way. That is under half a
//! nanosecond, beside the 20 of an allocation, and every contestant pays it alike.

#[cfg(not(taskgroup_mimalloc))]
use std::alloc::System as Below;
use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering::Relaxed};

#[cfg(taskgroup_mimalloc)]
use mimalloc::MiMalloc as Below;

struct Switchable;

#[global_allocator]
static ALLOCATOR: Switchable = Switchable;

static ON: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static LIVE_BYTES: AtomicIsize = AtomicIsize::new(0);

/// Counts from now on, on every thread.
pub fn switch_on() {
    ON.store(true, Relaxed);
}

pub fn is_on() -> bool {
    ON.load(Relaxed)
}

/// Returns how many allocations there were.
pub fn allocations() -> usize {
    ALLOCATIONS.load(Relaxed)
}

/// Returns how many bytes are allocated now, beyond those at the start of the counting.
pub fn live_bytes() -> isize {
    LIVE_BYTES.load(Relaxed)
}

#[inline]
fn count(allocations: usize, bytes: isize) {
    if ON.load(Relaxed) {
        ALLOCATIONS.fetch_add(allocations, Relaxed);
        LIVE_BYTES.fetch_add(bytes, Relaxed);
    }
}

// SAFETY: every call is handed to the allocator below unchanged; the counters are only beside it, and do not allocate.
unsafe impl GlobalAlloc for Switchable {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as isize);
        // SAFETY: the caller's promise, handed on.
        unsafe { Below.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as isize);
        // SAFETY: the caller's promise, handed on.
        unsafe { Below.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, -(layout.size() as isize));
        // SAFETY: the caller's promise, handed on.
        unsafe { Below.dealloc(pointer, layout) }
    }

    // The trait's own method copies, so a vector that grows would cost more here than in a program.
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(1, size as isize - layout.size() as isize);
        // SAFETY: the caller's promise, handed on.
        unsafe { Below.realloc(pointer, layout, size) }
    }
}
