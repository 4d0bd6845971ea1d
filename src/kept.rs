//! A reference that counts nothing: somebody else keeps what it points to.
//!
//! An `Arc` that each child clones and drops is two locked instructions for it. But a group counts its children anyway: so it
//! holds *one* `Arc`, to itself, while the count is not zero (`Table::keeper`), and a child has a [`Kept`]. Here and where one
//! is made is all the `unsafe` of the crate. Under a model checker each use of one looks whether the group is there.

#[cfg(not(taskgroup_loom))]
mod imp {
    use std::mem::ManuallyDrop;
    use std::ops::Deref;
    use std::ptr;
    use std::sync::Arc;

    /// An `Arc` that was not counted. To have one that is not used any more is no harm.
    pub(crate) struct Kept<T>(ManuallyDrop<Arc<T>>);

    impl<T> Kept<T> {
        /// # Safety
        ///
        /// Whenever this is dereferenced, there is an `Arc` to the same value.
        #[inline]
        #[expect(unsafe_code, reason = "what this module is for")]
        pub(crate) unsafe fn new(kept: &Arc<T>) -> Self {
            // SAFETY: the second `Arc` that this makes of one is never dropped, and looked at only while there is another.
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

/// Looks at each use whether the value is there.
#[cfg(taskgroup_loom)]
mod imp {
    use std::mem::ManuallyDrop;
    use std::ops::Deref;
    use std::sync::{Arc, Weak};

    pub(crate) struct Kept<T> {
        arc: ManuallyDrop<Arc<T>>,
        weak: Weak<T>,
    }

    impl<T> Kept<T> {
        #[expect(unsafe_code, reason = "as above")]
        pub(crate) unsafe fn new(kept: &Arc<T>) -> Self {
            // SAFETY: as above.
            let arc = ManuallyDrop::new(unsafe { Arc::from_raw(Arc::as_ptr(kept)) });
            Self { arc, weak: Arc::downgrade(kept) }
        }
    }

    impl<T> Deref for Kept<T> {
        type Target = Arc<T>;

        fn deref(&self) -> &Arc<T> {
            assert!(self.weak.strong_count() > 0, "a group is looked at that nobody keeps any more");
            &self.arc
        }
    }
}

pub(crate) use imp::Kept;
