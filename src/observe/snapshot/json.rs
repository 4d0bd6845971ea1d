//! A snapshot as a flat list of records: each group is followed by its members.

use std::collections::HashMap;
use std::time::Duration;

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::{Asked, GroupView, MemberState, MemberView, Snapshot};
use crate::group::Policy;

impl Serialize for Snapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let culprits = self.culprits().into_iter().zip(1_usize..);
        let culprits: HashMap<_, _> = culprits.map(|(member, rank)| (member.at, rank)).collect();
        let mut list = serializer.serialize_seq(Some(self.groups.len() + self.members.len()))?;
        for group in self.groups() {
            list.serialize_element(&Group(group))?;
            for member in group.members() {
                list.serialize_element(&Member { member, culprit: culprits.get(&member.at).copied() })?;
            }
        }
        list.end()
    }
}

struct Group<'a>(GroupView<'a>);

struct Member<'a> {
    member: MemberView<'a>,
    /// Its place among the culprits, counted from 1.
    culprit: Option<usize>,
}

impl GroupView<'_> {
    /// Its place in the list.
    fn record(self) -> usize {
        self.at + self.entry().members.start
    }
}

impl MemberView<'_> {
    /// Its place in the list: as many groups come before it as before the next one.
    fn record(self) -> usize {
        self.at + self.entry().group + 1
    }
}

impl Serialize for Group<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let group = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &group.record())?;
        map.serialize_entry("parent", &group.opener().map(MemberView::record))?;
        map.serialize_entry("type", "group")?;
        map.serialize_entry("name", &group.name())?;
        map.serialize_entry("path", &group.path())?;
        map.serialize_entry("location", &group.location().to_string())?;
        map.serialize_entry("children", &group.len())?;
        map.serialize_entry("policy", policy(group.policy()))?;
        map.serialize_entry("limit", &group.limit())?;
        map.serialize_entry("places_taken", &group.places_taken())?;
        map.serialize_entry("places_kept", &group.places_kept())?;
        map.serialize_entry("waiting_to_spawn", &group.waiting_to_spawn())?;
        map.serialize_entry("deadline", &seconds(group.deadline()))?;
        map.serialize_entry("remaining", &seconds(group.remaining()))?;
        map.serialize_entry("closed", &group.is_closed())?;
        map.serialize_entry("stopping", &group.is_stopping())?;
        map.serialize_entry("cancelled", &group.is_cancelled())?;
        map.serialize_entry("reason", &group.reason().map(ToString::to_string))?;
        map.serialize_entry("cancelled_for", &seconds(group.cancelled_for()))?;
        map.serialize_entry("finished", &group.is_finished())?;
        map.serialize_entry("awaited", &group.is_awaited())?;
        map.serialize_entry("abandoned", &group.is_abandoned())?;
        map.serialize_entry("age", &seconds(group.age()))?;
        map.end()
    }
}

impl Serialize for Member<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { member, culprit } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &member.record())?;
        map.serialize_entry("parent", &member.group().record())?;
        map.serialize_entry("type", "member")?;
        map.serialize_entry("child", &member.child())?;
        map.serialize_entry("name", &member.name())?;
        map.serialize_entry("path", &member.origin().path())?;
        map.serialize_entry("location", &member.location().to_string())?;
        map.serialize_entry("kind", member.kind().as_str())?;
        map.serialize_entry("state", state(member.state()))?;
        map.serialize_entry("culprit", culprit)?;
        map.serialize_entry("asked", &member.asked().map(asked))?;
        map.serialize_entry("cancelled", &member.is_cancelled())?;
        map.serialize_entry("cancelled_for", &seconds(member.cancelled_for()))?;
        map.serialize_entry("running", &member.is_running())?;
        map.serialize_entry("since", &seconds(member.since()))?;
        map.serialize_entry("polls", &member.polls())?;
        map.serialize_entry("age", &seconds(member.age()))?;
        map.end()
    }
}

fn seconds(time: Option<Duration>) -> Option<f64> {
    time.map(|time| time.as_secs_f64())
}

fn policy(policy: Policy) -> &'static str {
    match policy {
        Policy::FailFast => "fail-fast",
        Policy::Collect => "collect",
        Policy::Supervise => "supervise",
        Policy::Race => "race",
    }
}

fn state(state: MemberState) -> &'static str {
    match state {
        MemberState::Queued => "queued",
        MemberState::Waiting => "waiting",
        MemberState::Active => "active",
        MemberState::Running => "running",
        MemberState::Idle => "idle",
        MemberState::Shielded => "shielded",
        MemberState::CleaningUp => "cleaning-up",
        MemberState::Frozen => "frozen",
        MemberState::Cancelled => "cancelled",
        MemberState::Gone => "gone",
    }
}

fn asked(asked: Asked<'_>) -> &'static str {
    match asked {
        Asked::Alone => "alone",
        Asked::OthersEnded => "others-ended",
        Asked::Group(_) => "group",
        Asked::Stopping => "stopping",
    }
}
