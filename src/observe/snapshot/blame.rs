//! Which members hold a group up.
//!
//! These are not to blame: a member that is frozen (the members of the groups opened in it are), background children that were
//! not asked to end yet, clean-ups whose turn has not come, and the child that watches the deadline.
//!
//! A member that opened a group which is awaited may well wait for it. So members of that group come first: those that are in
//! the middle of a poll as it is, and, if it puts a cancel off, all of them, as that cancel does not reach them.

use std::collections::HashMap;
use std::panic::Location;
use std::time::Duration;

use super::{GroupEntry, MemberKind, MemberState, MemberView, Snapshot};

/// For how long a poll may go on without being suspicious.
const LONG: Duration = Duration::from_millis(100);

/// So many polls in a second are suspicious, once there were so many. Whoever has much to do is polled less often.
const MANY: u64 = 10_000;

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
    spins: bool,
}

/// Members that are alike and hold the group up in the same way.
pub(super) struct Culprit<'a> {
    pub(super) suspicion: Suspicion,
    /// It is as suspicious as somebody in a group that it has opened.
    relays: bool,
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
        let suspicions = self.suspicions();
        let relays = self.relays(&suspicions);
        let mut places = HashMap::new();
        let mut culprits: Vec<Culprit<'_>> = Vec::new();
        for (member, (suspicion, relays)) in self.members().zip(suspicions.into_iter().zip(relays)) {
            let Some(suspicion) = suspicion else { continue };
            let place = *places.entry((suspicion, relays, member.likeness())).or_insert(culprits.len());
            match culprits.get_mut(place) {
                Some(culprit) => {
                    culprit.alike += 1;
                    if member.since() > culprit.member.since() {
                        culprit.member = member;
                    }
                }
                None => culprits.push(Culprit { suspicion, relays, member, alike: 0 }),
            }
        }
        culprits.sort_by_key(|Culprit { suspicion, relays, member, .. }| {
            (*suspicion, *relays, !member.spins(), std::cmp::Reverse(member.since()))
        });
        culprits
    }

    /// How suspicious each member is. Outer groups come first, so what an opener puts off is known where its group is reached.
    fn suspicions(&self) -> Vec<Option<Suspicion>> {
        let mut suspicions: Vec<_> = self.members().map(MemberView::suspicion).collect();
        let mut put_off = vec![false; self.groups.len()];
        for group in self.groups() {
            let Some(opener) = group.opener() else { continue };
            if !group.is_awaited() {
                continue;
            }
            put_off[group.at] =
                suspicions[opener.at] == Some(Suspicion::PutsOff) || put_off[opener.entry().group];
            if put_off[group.at] {
                let alive = [Suspicion::Deaf, Suspicion::Blocking, Suspicion::Alive].map(Some);
                let members = &mut suspicions[group.entry().members.clone()];
                members
                    .iter_mut()
                    .filter(|own| alive.contains(own))
                    .for_each(|own| *own = Some(Suspicion::PutsOff));
            }
        }
        suspicions
    }

    /// Which members are no more to blame than somebody in a group that they have opened, and that is awaited.
    fn relays(&self, suspicions: &[Option<Suspicion>]) -> Vec<bool> {
        // The worst in the groups that were opened in each member.
        let mut inside: Vec<Option<Suspicion>> = vec![None; self.members.len()];
        for group in (1..self.groups.len()).rev() {
            let GroupEntry { members, opener, awaited, .. } = &self.groups[group];
            if !awaited {
                continue;
            }
            let worst = members
                .clone()
                .filter_map(|at| [suspicions[at], inside[at]].into_iter().flatten().min())
                .min();
            let opener = &mut inside[opener.expect("only the first group has none here")];
            *opener = [*opener, worst].into_iter().flatten().min();
        }
        suspicions.iter().zip(inside).map(|(own, inside)| inside.is_some() && inside <= *own).collect()
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
            _ if self.is_opener() => Some(Suspicion::Opener),
            _ if asked => Some(Suspicion::Deaf),
            (_, MemberKind::Blocking) => Some(Suspicion::Blocking),
            _ => Some(Suspicion::Alive),
        }
    }

    /// Whether it may wait for a group that was opened in it.
    fn is_opener(self) -> bool {
        self.groups().any(|group| group.members().len() > 0)
    }

    /// Whether it is polled again and again.
    pub(super) fn spins(self) -> bool {
        let (Some(polls), Some(age), Some(since)) = (self.polls(), self.age(), self.since()) else {
            return false;
        };
        polls >= MANY && since < LONG && u128::from(polls) * 1_000 >= u128::from(MANY) * age.as_millis()
    }

    pub(super) fn likeness(self) -> Likeness {
        Likeness {
            location: self.location(),
            kind: self.kind(),
            state: self.state(),
            cancelled: self.is_cancelled(),
            opener: self.is_opener(),
            spins: self.spins(),
        }
    }
}
