//! What the failure or success of a member means for the others. It is a pure state machine: events in, a verdict out.
//!
//! ```text
//!             child fails      child panics      body fails, panics      a racer succeeds
//! fail-fast   cancel, keep     cancel, keep      cancel, keep            —
//! collect     keep             keep              keep                    —
//! supervise   tell the hook    tell the hook     cancel, keep            —
//! race        keep             cancel, keep      cancel, keep            cancel
//! ```
//!
//! It has no clock, no lock and no future. The state asks it under its own lock, and does what it says.

/// Says how a group treats the failures of its members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// The first failure cancels all other members.
    #[default]
    FailFast,
    /// All other members go on after a failure, and all failures are collected.
    Collect,
    /// A child's failure affects no other member: only the failure hook sees it.
    Supervise,
    /// The first success cancels all other members, and failures before it do not count.
    Race,
}

/// What happened to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    ChildFailed,
    ChildPanicked,
    BodyFailed,
    BodyPanicked,
}

/// What follows for the group. The failure hook is called in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Whether all other members are cancelled.
    pub(crate) cancel: bool,
    /// Whether the failure is part of the group's outcome.
    pub(crate) keep: bool,
}

impl Policy {
    pub(crate) fn on(self, event: Event) -> Verdict {
        let of_child = matches!(event, Event::ChildFailed | Event::ChildPanicked);
        match self {
            Policy::FailFast => Verdict { cancel: true, keep: true },
            Policy::Collect => Verdict { cancel: false, keep: true },
            Policy::Supervise => Verdict { cancel: !of_child, keep: !of_child },
            Policy::Race => Verdict { cancel: event != Event::ChildFailed, keep: true },
        }
    }
}
