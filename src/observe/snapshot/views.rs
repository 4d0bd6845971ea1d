//! A snapshot as it is read: its groups and their members.

use std::fmt;
use std::panic::Location;
use std::time::Duration;

use super::{Asked, GroupEntry, MemberEntry, MemberKind, MemberState, Snapshot};
use crate::error::{CancelReason, Origin, step};
use crate::group::Policy;

/// A group in a [`Snapshot`].
#[derive(Clone, Copy)]
pub struct GroupView<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) at: usize,
}

impl<'a> GroupView<'a> {
    pub(super) fn entry(self) -> &'a GroupEntry {
        &self.snapshot.groups[self.at]
    }

    /// The name that it was given.
    pub fn name(self) -> Option<&'a str> {
        self.entry().name.as_deref()
    }

    /// The names around it and its own, with `/` in between, if there are any.
    pub fn path(self) -> Option<&'a str> {
        self.entry().path.as_deref()
    }

    /// Where it was opened.
    pub fn location(self) -> &'static Location<'static> {
        self.entry().location
    }

    /// The member that it was opened in, if that is part of the snapshot.
    pub fn opener(self) -> Option<MemberView<'a>> {
        self.entry().opener.map(|at| MemberView { snapshot: self.snapshot, at })
    }

    /// The living members in the order of spawning, the body first.
    pub fn members(self) -> impl ExactSizeIterator<Item = MemberView<'a>> {
        self.snapshot.views(self.entry().members.clone())
    }

    /// How many children live, background ones and clean-ups not counted: see [`Group::len`](crate::Group::len).
    pub fn len(self) -> usize {
        self.entry().children
    }

    /// Whether no such child lives.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// What a failure means for the others.
    pub fn policy(self) -> Policy {
        self.entry().policy
    }

    /// How many children may run at once, if that is limited.
    pub fn limit(self) -> Option<usize> {
        self.entry().places.map(|(most, ..)| most)
    }

    /// How many of these places are taken, or kept for somebody who is about to spawn. Children that await each other have one
    /// among them.
    pub fn places_taken(self) -> Option<usize> {
        self.entry().places.map(|(_, taken, _)| taken)
    }

    /// How many of the places that are taken are kept for somebody who has not spawned yet: for
    /// [`spawn_when_free`](crate::Group::spawn_when_free) that has not been polled since it got the place.
    pub fn places_kept(self) -> Option<usize> {
        self.entry().places.map(|(.., kept)| kept)
    }

    /// How many tasks wait to spawn, in [`spawn_when_free`](crate::Group::spawn_when_free).
    pub fn waiting_to_spawn(self) -> usize {
        self.entry().waiting_to_spawn
    }

    /// Its own deadline, by the clock that was given with it; `None` once it has passed and cancelled the group.
    pub fn deadline(self) -> Option<Duration> {
        self.entry().deadline
    }

    /// How far off the deadline was.
    pub fn remaining(self) -> Option<Duration> {
        self.entry().remaining
    }

    /// Whether it took no more children.
    pub fn is_closed(self) -> bool {
        self.entry().closed
    }

    /// Whether members were asked to come to an end.
    pub fn is_stopping(self) -> bool {
        self.entry().stopping
    }

    /// Whether it was cancelled.
    pub fn is_cancelled(self) -> bool {
        self.entry().reason.is_some()
    }

    /// Why.
    pub fn reason(self) -> Option<&'a CancelReason> {
        self.entry().reason.as_ref()
    }

    /// Whether it had ended for good.
    pub fn is_finished(self) -> bool {
        self.entry().finished
    }

    /// Whether its owner waited for it: it is a scope, or somebody polls `join`.
    pub fn is_awaited(self) -> bool {
        self.entry().awaited
    }

    /// Whether its owner was dropped before it had ended.
    pub fn is_abandoned(self) -> bool {
        self.entry().abandoned
    }

    /// How long ago it was opened, where polls are observed.
    pub fn age(self) -> Option<Duration> {
        self.snapshot.ago(self.entry().opened?)
    }

    /// How long ago it was cancelled, where polls are observed.
    pub fn cancelled_for(self) -> Option<Duration> {
        self.snapshot.ago(self.entry().cancelled?)
    }
}

/// A member of a group in a [`Snapshot`]: a child, or a body.
#[derive(Clone, Copy)]
pub struct MemberView<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) at: usize,
}

impl<'a> MemberView<'a> {
    pub(super) fn entry(self) -> &'a MemberEntry {
        &self.snapshot.members[self.at]
    }

    /// Its group.
    pub fn group(self) -> GroupView<'a> {
        GroupView { snapshot: self.snapshot, at: self.entry().group }
    }

    /// The groups opened in it that have not ended.
    pub fn groups(self) -> impl ExactSizeIterator<Item = GroupView<'a>> {
        self.entry().groups.clone().map(move |at| GroupView { snapshot: self.snapshot, at })
    }

    /// The child's number within its group. `None` for a body.
    pub fn child(self) -> Option<u64> {
        Some(self.entry().id).filter(|_| self.kind() != MemberKind::Body)
    }

    /// The name that it was given.
    pub fn name(self) -> Option<&'a str> {
        self.entry().name.as_deref()
    }

    /// Where it was spawned, or where the scope of the body was opened.
    pub fn location(self) -> &'static Location<'static> {
        self.entry().location
    }

    /// Which member it is, with its path, as reports of failures have it.
    pub fn origin(self) -> Origin {
        let (entry, group) = (self.entry(), self.group().entry());
        let child = self.child().map(|id| (id, entry.location));
        let path = step(group.path.as_ref(), entry.name.as_ref(), self.child());
        Origin { group: group.location, child, name: entry.name.clone(), path }
    }

    /// What it is to its group.
    pub fn kind(self) -> MemberKind {
        self.entry().kind
    }

    /// What it was at.
    pub fn state(self) -> MemberState {
        let state = self.entry().state;
        let is_body = self.kind() == MemberKind::Body && state == MemberState::Cancelled;
        // It goes with the member that awaits the scope, unless it is still in the middle of its last poll.
        let is_frozen = is_body && self.is_in_frozen() && self.is_running() != Some(true);
        if is_frozen { MemberState::Frozen } else { state }
    }

    /// Whether what it waits for may be held by a frozen member: by any of those around it. A body is frozen with its own.
    pub(super) fn may_wait_for_frozen(self) -> bool {
        let mut around = self.group().opener();
        if self.kind() == MemberKind::Body {
            around = around.and_then(|host| host.group().opener());
        }
        std::iter::successors(around, |member| member.group().opener())
            .any(|member| member.entry().state == MemberState::Frozen)
    }

    /// Whether the member that opened its group is frozen.
    pub(super) fn is_in_frozen(self) -> bool {
        self.group().opener().is_some_and(|opener| opener.entry().state == MemberState::Frozen)
    }

    /// Who asked it to end, if anybody did.
    pub fn asked(self) -> Option<Asked<'a>> {
        let (entry, group) = (self.entry(), self.group());
        let ends_last = matches!(entry.kind, MemberKind::Background | MemberKind::Deadline);
        match group.reason() {
            _ if entry.singled && ends_last && group.entry().background_ended => Some(Asked::OthersEnded),
            _ if entry.singled => Some(Asked::Alone),
            Some(reason) if entry.cancelled => Some(Asked::Group(reason)),
            _ => group.is_stopping().then_some(Asked::Stopping),
        }
    }

    /// Whether it is cancelled, by itself or with its group.
    pub fn is_cancelled(self) -> bool {
        self.entry().cancelled
    }

    /// Whether it is in the middle of a poll, where polls are observed.
    pub fn is_running(self) -> Option<bool> {
        self.entry().marks.map(|marks| marks.running)
    }

    /// How long it has been in the middle of that poll, or not been polled, where polls are observed.
    pub fn since(self) -> Option<Duration> {
        self.snapshot.ago(self.entry().marks?.since)
    }

    /// How often it was polled, where that is observed.
    pub fn polls(self) -> Option<u64> {
        self.entry().marks.map(|marks| marks.polls)
    }

    /// How long ago it was spawned, where polls are observed.
    pub fn age(self) -> Option<Duration> {
        self.snapshot.ago(self.entry().marks?.spawned)
    }

    /// How long ago it was cancelled, where polls are observed.
    pub fn cancelled_for(self) -> Option<Duration> {
        let entry = self.entry();
        match entry.marks?.singled {
            Some(at) => self.snapshot.ago(at),
            None => self.group().cancelled_for().filter(|_| entry.cancelled),
        }
    }
}

impl fmt::Debug for GroupView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupView")
            .field("name", &self.name())
            .field("location", &self.location())
            .field("len", &self.len())
            .field("reason", &self.reason())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for MemberView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemberView")
            .field("child", &self.child())
            .field("name", &self.name())
            .field("location", &self.location())
            .field("kind", &self.kind())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
