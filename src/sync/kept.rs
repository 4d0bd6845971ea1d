//! A reference that is not counted, because something else keeps what it points to.
//!
//! If each child cloned and dropped an `Arc`, that would cost it two locked instructions. But a group counts its
//! children anyway. So the group holds *one* `Arc` to itself while a child is counted (`Table::keeper`), and one to its
//! pool while a child on that pool is counted (`Table::on_pool`). Each child has a [`Kept`] of both.
//!
//! All the `unsafe` of the crate is here and where a [`Kept`] is made: for a wrapper (`child.rs`), for a poll
//! (`context.rs`) and for a task of a pool (`pool.rs`). Under a model checker, each use of a [`Kept`] checks that
//! what it points to is still there.

#[cfg(not(taskgroup_loom))]
mod imp {
    use std::mem::ManuallyDrop;
    use std::ops::Deref;
    use std::ptr;
    use std::sync::Arc;

    /// An `Arc` that was not counted; one that is not used any more does no harm.
    pub(crate) struct Kept<T>(ManuallyDrop<Arc<T>>);

    impl<T> Kept<T> {
        /// # Safety
        ///
        /// Whenever this is dereferenced, there is an `Arc` to the same value.
        #[inline]
        #[expect(unsafe_code, reason = "what this module is for")]
        pub(crate) unsafe fn new(kept: &Arc<T>) -> Self {
            // SAFETY: this copies the `Arc` without counting it. The copy is never dropped, and it is looked at only
            // while there is another `Arc` to the same value.
            Self(ManuallyDrop::new(unsafe { ptr::read(kept) }))
        }
    }

    impl<T> Deref for Kept<T> {
        type Target = Arc<T>;

        #[inline]
        fn deref(&self) -> &Arc<T> {
            &self.0
        }
    }
}

/// A version that checks at each use whether the value is there.
#[cfg(taskgroup_loom)]
mod imp {
    use std::mem::ManuallyDrop;
    use std::ops::Deref;
    use std::sync::Arc;

    use loom::sync::atomic::{AtomicBool, Ordering::SeqCst};

    /// A part of the value that is kept.
    ///
    /// Its destruction is a step of its own, so each use comes either before or after it.
    pub(crate) struct Alive(Arc<AtomicBool>);

    impl Alive {
        pub(crate) fn new() -> Self {
            Self(Arc::new(AtomicBool::new(true)))
        }
    }

    impl Drop for Alive {
        fn drop(&mut self) {
            self.0.store(false, SeqCst);
        }
    }

    pub(crate) trait Mortal {
        fn alive(&self) -> &Alive;
    }

    pub(crate) struct Kept<T> {
        arc: ManuallyDrop<Arc<T>>,
        is_alive: Arc<AtomicBool>,
    }

    impl<T: Mortal> Kept<T> {
        #[expect(unsafe_code, reason = "as above")]
        pub(crate) unsafe fn new(kept: &Arc<T>) -> Self {
            // SAFETY: as above.
            let arc = ManuallyDrop::new(unsafe { Arc::from_raw(Arc::as_ptr(kept)) });
            Self { arc, is_alive: kept.alive().0.clone() }
        }
    }

    impl<T> Deref for Kept<T> {
        type Target = Arc<T>;

        fn deref(&self) -> &Arc<T> {
            assert!(self.is_alive.load(SeqCst), "something is looked at that nobody keeps any more");
            &self.arc
        }
    }
}

pub(crate) use imp::Kept;
#[cfg(taskgroup_loom)]
pub(crate) use imp::{Alive, Mortal};
