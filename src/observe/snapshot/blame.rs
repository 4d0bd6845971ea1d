//! Which members hold a group up.
//!
//! These are not to blame: a member that is frozen (the members of the groups opened in it are), background children that were
//! not asked to end yet, clean-ups whose turn has not come, and the child that watches the deadline.

use std::collections::HashMap;
use std::panic::Location;
use std::time::Duration;

use super::{MemberKind, MemberState, MemberView, Snapshot};

/// For how long a poll may go on without being suspicious.
const LONG: Duration = Duration::from_millis(100);

/// How suspicious a member is, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Suspicion {
    /// It keeps a thread busy.
    InOnePoll,
    /// It is cancelled, and not let go of.
    NotDropped,
    /// It was asked to end, and a shield or a clean-up puts that off.
    PutsOff,
    /// It was asked to stop, and goes on.
    Deaf,
    /// It blocks a thread, by design.
    Blocking,
    Alive,
    /// Groups live in it, or it is the body of one, so it may well wait for them.
    Opener,
    Queued,
}

/// What members have in common that look the same to a reader.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Likeness {
    location: &'static Location<'static>,
    kind: MemberKind,
    state: MemberState,
    cancelled: bool,
    opener: bool,
}

/// Members that are alike and hold the group up in the same way.
pub(super) struct Culprit<'a> {
    pub(super) suspicion: Suspicion,
    /// The one that has been at it for the longest time, or was spawned first.
    pub(super) member: MemberView<'a>,
    pub(super) alike: usize,
}

impl Snapshot {
    /// The members that hold the group up, the likeliest first: of those that are alike, one.
    ///
    /// First come those that are in the middle of one poll for long (where that is observed), then those that are cancelled and
    /// not gone, that put a cancel off by a shield or a clean-up, that were asked to stop and go on; then all others.
    pub fn culprits(&self) -> Vec<MemberView<'_>> {
        self.blame().into_iter().map(|culprit| culprit.member).collect()
    }

    pub(super) fn blame(&self) -> Vec<Culprit<'_>> {
        let mut places = HashMap::new();
        let mut culprits: Vec<Culprit<'_>> = Vec::new();
        for member in self.members() {
            let Some(suspicion) = member.suspicion() else { continue };
            let place = *places.entry((suspicion, member.likeness())).or_insert(culprits.len());
            match culprits.get_mut(place) {
                Some(culprit) => {
                    culprit.alike += 1;
                    if member.since() > culprit.member.since() {
                        culprit.member = member;
                    }
                }
                None => culprits.push(Culprit { suspicion, member, alike: 0 }),
            }
        }
        culprits.sort_by_key(|culprit| (culprit.suspicion, std::cmp::Reverse(culprit.member.since())));
        culprits
    }
}

impl MemberView<'_> {
    fn suspicion(self) -> Option<Suspicion> {
        use MemberState as State;
        let busy = self.is_running() == Some(true) && self.since() >= Some(LONG);
        let asked = self.asked().is_some();
        match (self.state(), self.kind()) {
            (State::Gone | State::Frozen | State::Waiting, _) => None,
            (_, MemberKind::Deadline) => None,
            _ if busy => Some(Suspicion::InOnePoll),
            (State::Cancelled, _) => Some(Suspicion::NotDropped),
            (State::CleaningUp, _) => Some(Suspicion::PutsOff),
            (State::Shielded, _) if self.is_cancelled() => Some(Suspicion::PutsOff),
            (_, MemberKind::Background) => None,
            (State::Queued, _) => Some(Suspicion::Queued),
            (_, MemberKind::Body) if !self.group().is_empty() => Some(Suspicion::Opener),
            _ if self.groups().len() > 0 => Some(Suspicion::Opener),
            _ if asked => Some(Suspicion::Deaf),
            (_, MemberKind::Blocking) => Some(Suspicion::Blocking),
            _ => Some(Suspicion::Alive),
        }
    }

    pub(super) fn likeness(self) -> Likeness {
        Likeness {
            location: self.location(),
            kind: self.kind(),
            state: self.state(),
            cancelled: self.is_cancelled(),
            opener: self.groups().len() > 0,
        }
    }
}
