//! What lives in a group, as plain data.
//!
//! The tree is stored flat, in the order in which its groups are found, so that taking, drawing and dropping it do not
//! recurse. The members of a group lie side by side, and so do the groups that were opened in one member.
//!
//! Each group is copied under its own lock and no other, into memory that was allocated before. If the memory is too small,
//! the lock is released and the group is copied again. Only the reason of a cancel may be allocated under the lock. Clocks,
//! spawners and sorting come afterwards.

use std::fmt;
use std::ops::Range;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{CancelReason, Name};
use crate::group::Policy;
use crate::observe::Marks;
use crate::spawner::timer::Timer;
use crate::state::State;
use crate::state::facts::Fact;
use crate::state::member::{Kind, Member, Work};
use crate::state::table::Table;
use crate::unwind::{catch, drop_quietly};

mod blame;
mod draw;
#[cfg(feature = "serde")]
mod json;
mod views;

pub use self::views::{GroupView, MemberView};

/// What lived in a group, and in all groups inside it, when [`Group::snapshot`](crate::Group::snapshot) was called.
///
/// Each group is consistent in itself: its members, flags and reason are from one moment. Different groups are from different
/// moments, outer groups first. So while a cancel spreads, a group that is not yet cancelled may be shown inside one that is. A
/// group that ended after its opener was copied is shown empty.
///
/// It is a copy, and keeps nothing of the group alive except names and locations.
///
/// # Display
///
/// The first line shows the state of the group. The next lines name the members that hold it up, the likeliest culprit first. Then
/// follows the tree:
///
/// * Control characters in names, and characters that change the direction of writing, are escaped. Names are cut after 64
///   characters, messages after 200.
/// * If many members in a group are alike (the same location, kind and state), three are shown, then
///   "… and 9,997 more like it".
/// * At most sixteen levels and 400 lines are drawn; the rest is counted.
///
/// # Serialisation
///
/// With the feature `serde` it is a flat list of groups and members, each with an `id` and the `id` of its `parent`, so that a
/// deep tree is no problem for a parser. Names are not cut there, except in paths.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "smol")] {
/// # use taskgroup::{Smol, TaskGroup, group::MemberKind, shield};
/// # smol::block_on(async {
/// let group = TaskGroup::builder::<()>(Smol).name("server").open();
/// group.child().name("ticker").background().launch(std::future::pending::<()>());
/// group.child().name("conn 1").launch(std::future::pending::<()>());
///
/// let snapshot = group.snapshot();
/// let kinds: Vec<_> = snapshot.group().members().map(|member| member.kind()).collect();
/// assert_eq!(kinds, [MemberKind::Background, MemberKind::Ordinary]);
/// println!("{snapshot}");
/// # });
/// # }
/// ```
#[derive(Clone)]
pub struct Snapshot {
    groups: Vec<GroupEntry>,
    members: Vec<MemberEntry>,
    /// When it was complete, if polls are observed anywhere in it.
    taken: Option<Instant>,
}

#[derive(Clone)]
struct GroupEntry {
    /// The member that it was opened in, by its place in the list.
    opener: Option<usize>,
    members: Range<usize>,
    location: &'static Location<'static>,
    name: Option<Name>,
    path: Option<Name>,
    policy: Policy,
    children: usize,
    places: Option<(usize, usize, usize)>,
    waiting_to_spawn: usize,
    deadline: Option<Duration>,
    remaining: Option<Duration>,
    closed: bool,
    stopping: bool,
    finished: bool,
    background_ended: bool,
    reason: Option<CancelReason>,
    awaited: bool,
    abandoned: bool,
    opened: Option<Instant>,
    cancelled: Option<Instant>,
}

#[derive(Clone)]
struct MemberEntry {
    group: usize,
    id: u64,
    name: Option<Name>,
    location: &'static Location<'static>,
    kind: MemberKind,
    state: MemberState,
    cancelled: bool,
    singled: bool,
    marks: Option<Marks>,
    groups: Range<usize>,
}

/// What a member is to its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MemberKind {
    /// The body of a scope.
    Body,
    /// A child like any other.
    Ordinary,
    /// A child that ends with the others: [`background`](crate::group::ChildBuilder::background).
    Background,
    /// A clean-up: [`defer`](crate::Group::defer).
    Cleanup,
    /// Work that blocks a thread: [`spawn_blocking`](crate::Group::spawn_blocking).
    Blocking,
    /// A task that was adopted: [`adopt`](crate::Group::adopt).
    Adopted,
    /// A child of the crate's own, which watches the deadline.
    Deadline,
}

/// The state of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MemberState {
    /// It waits for a place under the [limit](crate::group::Builder::limit).
    Queued,
    /// A clean-up that waits until its member, and clean-ups registered later, have ended.
    Waiting,
    /// It runs, or waits for something. Which of the two is only known if [polls are
    /// observed](crate::group::Builder::observe_polls).
    Active,
    /// It is in the middle of a poll.
    Running,
    /// It is not being polled.
    Idle,
    /// It is under a shield.
    Shielded,
    /// A clean-up that has begun.
    CleaningUp,
    /// It is cancelled and not polled any more, and is dropped when the groups that it opened have ended. Or it is the body of a
    /// scope that such a member awaits, and is dropped along with that member.
    ///
    /// What it holds it keeps. If a member of those groups waits for that, none of them ends.
    Frozen,
    /// It is cancelled, and its runtime has not dropped it yet: it is in the middle of a poll, or nobody drives the executor.
    Cancelled,
    /// Its future is gone, and the groups opened in it are not.
    Gone,
}

/// Who asked a member to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Asked<'a> {
    /// It alone was cancelled, by its handle.
    Alone,
    /// It is a background child, or keeps the deadline, and the others have ended.
    OthersEnded,
    /// The group is cancelled, for this reason.
    Group(&'a CancelReason),
    /// The group was asked to [stop](crate::Group::stop): no member is dropped.
    Stopping,
}

/// A group that was found and is still to be copied.
struct Found {
    state: Arc<State>,
    opener: Option<usize>,
}

/// The groups opened in the members of one group, in the order of its table.
type Inner = Vec<Arc<State>>;

/// There was too little memory.
struct TooSmall;

impl Snapshot {
    pub(crate) fn take(state: &Arc<State>) -> Self {
        let mut snapshot = Self { groups: Vec::new(), members: Vec::new(), taken: None };
        let mut found = vec![Found { state: state.clone(), opener: None }];
        let mut inner = Inner::new();
        let mut observed = false;
        while let Some(Found { state, opener }) = found.get(snapshot.groups.len()) {
            let (state, opener) = (state.clone(), *opener);
            snapshot.copy(&state, opener, &mut inner);
            observed |= state.is_observed();
            snapshot.sort_in(&mut inner, &mut found);
        }
        snapshot.taken = observed.then(Instant::now);
        // A group may have ended meanwhile. Failures that nobody has read are dropped with the last reference to it.
        drop_quietly(found);
        snapshot
    }

    /// Copies one group, which comes last.
    fn copy(&mut self, state: &Arc<State>, opener: Option<usize>, inner: &mut Inner) {
        let from = self.members.len();
        let mut room = state.len() + 16;
        let (mut entry, due) = loop {
            self.members.reserve(room);
            inner.reserve(room);
            let table = state.lock();
            match self.copy_members(state, &table, inner) {
                Ok(()) => break (GroupEntry::copy(state, &table), table.due()),
                Err(TooSmall) => drop(table),
            }
            self.members.truncate(from);
            inner.clear();
            room *= 2;
        };
        entry.opener = opener;
        entry.members = from..self.members.len();
        entry.awaited = state.signal().is_awaited();
        entry.deadline = due.as_ref().map(|(at, _)| *at);
        // Whoever keeps the deadline sees it if the clock panics.
        let remaining = due.map(|(at, clock)| catch(|| at.saturating_sub(clock.now())).map_err(drop_quietly));
        entry.remaining = remaining.and_then(Result::ok);
        self.groups.push(entry);
    }

    /// Called under the lock: nothing is allocated here, and no other code runs.
    fn copy_members(&mut self, state: &State, table: &Table, inner: &mut Inner) -> Result<(), TooSmall> {
        let group = self.groups.len();
        let body = (0, state.config.location, &table.body);
        let children = table.slots.iter().map(|(_, slot)| (slot.member.id(), slot.location, &slot.member));
        for (id, location, member) in std::iter::once(body).chain(children) {
            if member.is(Fact::GONE) && !member.holds_groups() {
                continue;
            }
            let first = inner.len();
            for opened in member.groups() {
                if inner.len() == inner.capacity() {
                    return Err(TooSmall);
                }
                inner.push(opened.clone());
            }
            if self.members.len() == self.members.capacity() {
                return Err(TooSmall);
            }
            self.members.push(MemberEntry {
                group,
                id,
                name: member.name().cloned(),
                location,
                kind: MemberKind::of(member),
                state: MemberState::of(member),
                cancelled: member.is(Fact::CANCELLED),
                singled: member.is(Fact::SINGLED),
                marks: member.marks().copied(),
                groups: first..inner.len(),
            });
        }
        Ok(())
    }

    /// Puts the members of the last group into the order of their ids, and the groups in them into the list of those to come.
    fn sort_in(&mut self, inner: &mut Inner, found: &mut Vec<Found>) {
        let range = self.groups.last().expect("one was copied").members.clone();
        let members = &mut self.members[range.clone()];
        members.sort_unstable_by_key(|member| member.id);
        for (at, member) in range.zip(members) {
            let opened = std::mem::replace(&mut member.groups, found.len()..found.len());
            let opened = inner[opened].iter();
            found.extend(opened.map(|state| Found { state: state.clone(), opener: Some(at) }));
            member.groups.end = found.len();
        }
        inner.clear();
    }

    /// Returns the group of which the snapshot was taken.
    pub fn group(&self) -> GroupView<'_> {
        GroupView { snapshot: self, at: 0 }
    }

    /// Returns that group and all groups inside it, outer groups first.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = GroupView<'_>> {
        (0..self.groups.len()).map(|at| GroupView { snapshot: self, at })
    }

    /// Returns the living members of all these groups.
    pub fn members(&self) -> impl ExactSizeIterator<Item = MemberView<'_>> {
        self.views(0..self.members.len())
    }

    fn views(&self, range: Range<usize>) -> impl ExactSizeIterator<Item = MemberView<'_>> + use<'_> {
        range.map(|at| MemberView { snapshot: self, at })
    }

    /// How long ago that was when the snapshot was taken.
    fn ago(&self, at: Instant) -> Option<Duration> {
        self.taken.map(|taken| taken.saturating_duration_since(at))
    }
}

impl GroupEntry {
    /// Under the lock.
    fn copy(state: &State, table: &Table) -> Self {
        let seen = state.word.look();
        Self {
            opener: None,
            members: 0..0,
            location: state.config.location,
            name: state.config.name().cloned(),
            path: state.path.clone(),
            policy: state.config.policy,
            children: seen.children(),
            places: table.limit.as_ref().map(|limit| limit.places()),
            waiting_to_spawn: table.limit.as_ref().map_or(0, |limit| limit.waiting_to_spawn()),
            deadline: None,
            remaining: None,
            closed: seen.is_closed() || seen.is_cancelled(),
            stopping: seen.is_stopping(),
            finished: seen.is_finished(),
            background_ended: table.background.ended,
            reason: table.reason.as_deref().cloned(),
            awaited: false,
            abandoned: table.abandoned,
            opened: state.opened,
            cancelled: table.cancelled_at,
        }
    }
}

impl MemberKind {
    /// Its name in serialised snapshots and in spans: `ordinary`, `clean-up` and so on.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Ordinary => "ordinary",
            Self::Background => "background",
            Self::Cleanup => "clean-up",
            Self::Blocking => "blocking",
            Self::Adopted => "adopted",
            Self::Deadline => "deadline",
        }
    }

    pub(crate) fn of(member: &Member) -> Self {
        match (member.kind(), member.facts.work()) {
            (Kind::Body, _) => Self::Body,
            (Kind::Background, _) => Self::Background,
            (Kind::Watch, _) => Self::Deadline,
            // It has outlived its runtime, and with that its child.
            (Kind::Cleanup, Work::Blocking) => Self::Blocking,
            (Kind::Cleanup, _) => Self::Cleanup,
            (Kind::Ordinary, Work::Future) => Self::Ordinary,
            (Kind::Ordinary, Work::Blocking) => Self::Blocking,
            (Kind::Ordinary, Work::Adopted) => Self::Adopted,
        }
    }
}

impl MemberState {
    fn of(member: &Member) -> Self {
        match member {
            _ if member.is(Fact::GONE) => Self::Gone,
            _ if member.is(Fact::CUT) && member.awaits_groups() => Self::Frozen,
            _ if member.is(Fact::CUT) => Self::Cancelled,
            _ if member.kind() == Kind::Cleanup && member.has_begun() => Self::CleaningUp,
            _ if member.kind() == Kind::Cleanup => Self::Waiting,
            _ if member.is(Fact::QUEUED) => Self::Queued,
            _ if member.shields() > 0 => Self::Shielded,
            _ => match member.marks() {
                None => Self::Active,
                Some(marks) if marks.running => Self::Running,
                Some(_) => Self::Idle,
            },
        }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("group", &self.group())
            .field("groups", &self.groups.len())
            .field("members", &self.members.len())
            .finish_non_exhaustive()
    }
}
