//! What a member is to its group, and what its future stands for.

/// What a member is to its group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    #[default]
    Ordinary,
    /// A child that ends when the ordinary ones have ended.
    Background,
    /// A background child of the crate's own, which watches the deadline.
    Watch,
    /// A child that runs after the member that registered it.
    Cleanup,
    /// The body of a scope, which is no child.
    Body,
}

impl Kind {
    /// Whether such a child is cancelled when the others have ended.
    pub(crate) fn is_background(self) -> bool {
        matches!(self, Kind::Background | Kind::Watch)
    }

    /// Whether a child that was cut has failed to do what it was there for.
    ///
    /// The same goes for a child that was refused because the group was cancelled. A background child counts as missed
    /// only if its runtime is lost.
    pub(crate) fn is_missed(self, is_lost: bool) -> bool {
        self == Kind::Ordinary || (is_lost && self != Kind::Watch)
    }
}

/// What the future of a child stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Work {
    #[default]
    Future,
    /// The future waits for a thread that blocks.
    Blocking,
    /// The future waits for an adopted task.
    Adopted,
}
