//! What has to happen: an executable model of groups. Everything that happens is reported to it.
//!
//! In the simulation only one thing happens at a time, so the model need not guess the order. Each event is reported to it as
//! it happens, and it knows from the events before whether this one may happen. It has no futures, no tasks and no wakers. It
//! knows only the rules: which members are cancelled together, what a shield delays, which members must not be polled any
//! more, which must be gone before which others, and what a group ends with.
//!
//! Where several things happen at once, the events are reported in some order, and the model checks only what holds in any
//! order:
//!
//! * No member is polled after its end, or by two threads at once, or dropped twice.
//! * No member goes before what is inside it.
//! * Nothing is left of a group that was joined.
//! * Each failure is reported once, and comes out.
//! * Handles report what happened.

mod members;

use std::time::Duration;

pub type GroupId = usize;
pub type MemberId = usize;
/// A failure, with a number of its own.
pub type FailureId = u32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Failed,
    Parent,
    Explicit,
    Dropped,
    Deadline,
    Lost,
}

/// What a member ends with if it ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    Value,
    Error(FailureId),
    Panic(FailureId),
}

/// What a group ends with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Value,
    Failures(Vec<FailureId>),
    Cut(Reason),
    Panic(FailureId),
}

/// What a handle reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Value,
    Failed,
    Panicked,
    Cancelled,
    Lost,
}

#[derive(Debug)]
struct Group {
    /// The member that opened the group.
    host: Option<MemberId>,
    body: Option<MemberId>,
    children: Vec<MemberId>,
    closed: bool,
    /// The call that closed or cancelled the group has returned. In any order, the group takes no child that comes later.
    shut: bool,
    finished: bool,
    reason: Option<Reason>,
    /// The group was cancelled explicitly, whatever its reason was by then.
    asked: bool,
    deadline: Option<Duration>,
    /// Opened under a shield that has not ended.
    shielded: bool,
    /// Its owner, or the scope, was dropped.
    dropped: bool,
    /// Its owner was leaked, so only its hook is told of its failures.
    leaked: bool,
    /// The failures that were recorded and not read, in order.
    failures: Vec<(FailureId, bool)>,
}

#[derive(Debug)]
struct Member {
    group: GroupId,
    is_body: bool,
    groups: Vec<GroupId>,
    /// Whether its group must take it, if only one thing happens at a time.
    welcome: bool,
    /// It came after its group was shut.
    late: bool,
    /// It exists: its group has taken it, or it was polled.
    there: bool,
    polling: bool,
    shields: u32,
    cancelled: bool,
    singled: bool,
    /// It was cancelled alone, whatever else had cancelled it by then.
    asked: bool,
    cut: bool,
    gone: bool,
    /// The scope of this body was dropped by the code around it, without a cancel.
    forced: bool,
    returned: Option<Returned>,
    /// Its failure was recorded.
    reported: bool,
}

#[derive(Debug)]
pub struct Reference {
    in_order: bool,
    /// The runtime is going away, and drops members without a cancel.
    torn: bool,
    groups: Vec<Group>,
    members: Vec<Member>,
    failures: FailureId,
    /// What happened although it must not.
    pub wrong: Vec<String>,
}

impl Reference {
    pub fn new(in_order: bool) -> Self {
        let (groups, members) = (Vec::new(), Vec::new());
        Self { in_order, torn: false, groups, members, failures: 0, wrong: Vec::new() }
    }

    fn must(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.wrong.push(what());
        }
    }

    /// Checks what holds if only one thing happens at a time.
    fn must_in_order(&mut self, holds: bool, what: impl FnOnce() -> String) {
        self.must(holds || !self.in_order, what);
    }

    /// The runtime goes away.
    pub fn tear(&mut self) {
        self.torn = true;
    }

    pub fn new_failure(&mut self) -> FailureId {
        self.failures += 1;
        self.failures
    }

    /// A group is opened. If the member that opens it is cut, it is cancelled from the start.
    pub fn open(&mut self, host: Option<MemberId>, has_body: bool, deadline: Option<Duration>) -> GroupId {
        let id = self.groups.len();
        let born_cancelled = host.is_some_and(|host| self.members[host].cut || self.members[host].gone);
        let shielded = host.is_some_and(|host| self.members[host].shields > 0);
        self.groups.push(Group {
            host,
            body: None,
            children: Vec::new(),
            closed: false,
            shut: false,
            finished: false,
            reason: born_cancelled.then_some(Reason::Parent),
            asked: false,
            deadline,
            shielded,
            dropped: false,
            leaked: false,
            failures: Vec::new(),
        });
        if has_body {
            let body = self.new_member(id, true);
            self.groups[id].body = Some(body);
            let member = &mut self.members[body];
            (member.cancelled, member.cut) = (born_cancelled, born_cancelled);
        }
        if let Some(host) = host {
            self.members[host].groups.push(id);
        }
        id
    }

    pub fn body(&self, group: GroupId) -> MemberId {
        self.groups[group].body.expect("it is a scope")
    }

    pub fn close(&mut self, group: GroupId) {
        self.groups[group].closed = true;
    }

    /// A call that closed or cancelled a group has returned.
    pub fn shut(&mut self, group: GroupId) {
        self.groups[group].shut = true;
    }

    /// Cancels a group and what is inside it. The first reason is kept.
    pub fn cancel(&mut self, group: GroupId, reason: Reason) {
        let mut todo = vec![(group, reason)];
        while let Some((id, reason)) = todo.pop() {
            let group = &mut self.groups[id];
            group.asked |= reason == Reason::Explicit;
            if group.reason.is_some() || group.finished {
                continue;
            }
            group.reason = Some(reason);
            let members: Vec<_> = group.children.iter().chain(&group.body).copied().collect();
            for member in members {
                self.cancel_member(member, &mut todo);
            }
        }
    }

    fn cancel_member(&mut self, id: MemberId, todo: &mut Vec<(GroupId, Reason)>) {
        let member = &mut self.members[id];
        if member.cancelled || member.gone {
            return;
        }
        member.cancelled = true;
        if member.shields == 0 {
            return self.cut(id, todo);
        }
        let inner = self.members[id].groups.iter().filter(|group| !self.groups[**group].shielded);
        todo.extend(inner.map(|group| (*group, Reason::Parent)));
    }

    fn cut(&mut self, id: MemberId, todo: &mut Vec<(GroupId, Reason)>) {
        self.members[id].cut = true;
        todo.extend(self.members[id].groups.iter().map(|group| (*group, Reason::Parent)));
    }

    fn cancel_all(&mut self, todo: Vec<(GroupId, Reason)>) {
        for (group, reason) in todo {
            self.cancel(group, reason);
        }
    }

    /// Checks the deadlines against the clock, if only one thing happens at a time. If a group was seen to be cancelled by
    /// its deadline, that was reported first.
    pub fn time(&mut self, now: Duration) {
        for id in 0..self.groups.len() {
            let group = &self.groups[id];
            if group.finished || group.deadline.is_none_or(|at| at >= now) {
                continue;
            }
            let missed = match group.reason {
                None => true,
                // The deadline outranks the cancel while a member is left and the deadline is watched.
                Some(Reason::Explicit) => self.is_alive(id) && self.is_watched(id),
                Some(_) => false,
            };
            self.must(!missed, || format!("group {id} went on after its deadline"));
        }
    }

    /// Whether the deadline of this group may still cancel it.
    pub fn awaits_deadline(&self, id: GroupId) -> bool {
        let group = &self.groups[id];
        group.deadline.is_some() && !group.finished && matches!(group.reason, None | Some(Reason::Explicit))
    }

    pub fn deadline(&mut self, id: GroupId, now: Duration) {
        let at = self.groups[id].deadline.expect("it was looked out for");
        self.must(at <= now, || format!("group {id} was cancelled at {now:?}, before its deadline {at:?}"));
        // The deadline outranks an explicit cancel.
        if self.groups[id].reason == Some(Reason::Explicit) {
            self.groups[id].reason = Some(Reason::Deadline);
        }
        self.cancel(id, Reason::Deadline);
    }

    /// The owner of a group, or its scope, is dropped without having joined the group.
    pub fn dropping(&mut self, id: GroupId) {
        let host = self.groups[id].host;
        let asked_nobody = host.is_some_and(|host| self.members[host].polling || self.members[host].forced);
        let unfinished = host.is_some_and(|host| self.members[host].returned.is_none());
        self.must(!unfinished || asked_nobody || self.torn || self.is_over(id), || {
            format!("the host of group {id} was dropped while the group lived")
        });
        self.cancel(id, Reason::Dropped);
        self.groups[id].dropped = true;
        if let Some(body) = self.groups[id].body {
            self.members[body].forced |= asked_nobody;
        }
    }

    /// The owner of a group was leaked.
    pub fn leaking(&mut self, id: GroupId) {
        self.groups[id].leaked = true;
    }

    fn is_alive(&self, id: GroupId) -> bool {
        !self.is_over(id) || self.groups[id].body.is_some_and(|body| self.is_there(body))
    }

    pub fn has_ended(&self, id: MemberId) -> bool {
        self.members[id].gone
    }

    fn is_there(&self, id: MemberId) -> bool {
        self.members[id].there && !self.members[id].gone
    }

    /// Whether the deadline is watched: by a child of a free-standing group, or by the task that polls the scope.
    fn is_watched(&self, id: GroupId) -> bool {
        let Group { body, dropped, host, .. } = &self.groups[id];
        let polled = host.is_none_or(|host| self.task(host).iter().all(|member| !self.members[*member].cut));
        body.is_none() || (!dropped && polled)
    }

    /// Whether no child is left, at any depth.
    pub fn is_over(&self, group: GroupId) -> bool {
        let mut todo = vec![group];
        while let Some(group) = todo.pop() {
            let group = &self.groups[group];
            if group.children.iter().any(|child| self.is_there(*child)) {
                return false;
            }
            let members = group.children.iter().chain(&group.body);
            todo.extend(members.flat_map(|member| self.members[*member].groups.iter().copied()));
        }
        true
    }

    /// A group was joined. Checks that nothing of it is left, and that it has ended as it had to.
    pub fn joined(&mut self, id: GroupId, outcome: &Outcome, now: Duration) {
        self.must(!self.is_alive(id), || format!("group {id} was joined and something is left"));
        let host_is_cut = self.groups[id].host.is_some_and(|host| self.members[host].cut);
        self.must_in_order(!host_is_cut, || format!("group {id} was joined by a member that was cut"));
        let expected = self.outcome(id);
        let holds = match self.in_order {
            true => *outcome == expected,
            false => self.is_complete(id, outcome) && self.is_true(id, outcome, now),
        };
        if !holds {
            let Group { children, body, .. } = &self.groups[id];
            let members: Vec<_> = children.iter().chain(body).map(|member| &self.members[*member]).collect();
            let what = format!(
                "group {id} ended with {outcome:?}; if one thing happens after the other, with {expected:?}"
            );
            self.wrong.push(format!("{what}: {:?}, {members:?}", self.groups[id]));
        }
        let group = &mut self.groups[id];
        group.finished = true;
        group.failures.clear();
    }

    /// Whether no failure was lost or invented. A panic hides all others.
    fn is_complete(&self, id: GroupId, outcome: &Outcome) -> bool {
        let failures = &self.groups[id].failures;
        match outcome {
            Outcome::Value | Outcome::Cut(_) => failures.is_empty(),
            Outcome::Panic(panic) => failures.contains(&(*panic, true)),
            Outcome::Failures(told) => {
                told.len() == failures.len()
                    && failures.iter().all(|(id, panics)| !panics && told.contains(id))
            }
        }
    }

    /// Whether a group with this outcome may have ended well, or may have been cut for this reason.
    fn is_true(&self, id: GroupId, outcome: &Outcome, now: Duration) -> bool {
        let group = &self.groups[id];
        let has_returned = |member: MemberId| self.members[member].returned == Some(Returned::Value);
        // Only the caller that asked for the cancel is not told that children were cut.
        let is_no_news = |child: &MemberId| {
            let Member { returned, asked, there, .. } = self.members[*child];
            returned.is_some() || asked || group.asked || !there
        };
        let Outcome::Cut(reason) = outcome else {
            let is_whole = group.body.is_none_or(has_returned) && group.children.iter().all(is_no_news);
            return is_whole || *outcome != Outcome::Value;
        };
        let may_be = match reason {
            Reason::Explicit => group.asked,
            Reason::Parent => group.host.is_some(),
            Reason::Deadline => group.deadline.is_some_and(|at| at <= now),
            Reason::Lost => self.torn,
            // Such a group has a failure, or nobody who could be told.
            Reason::Failed | Reason::Dropped => false,
        };
        may_be && group.children.iter().chain(&group.body).any(|member| !has_returned(*member))
    }

    fn outcome(&self, id: GroupId) -> Outcome {
        let group = &self.groups[id];
        if let Some((panic, _)) = group.failures.iter().find(|(_, panics)| *panics) {
            return Outcome::Panic(*panic);
        }
        if !group.failures.is_empty() {
            return Outcome::Failures(group.failures.iter().map(|(failure, _)| *failure).collect());
        }
        let was_cut = |member: &MemberId| {
            let member = &self.members[*member];
            let refused = !member.is_body && !member.there;
            member.returned.is_none() && !member.singled && !refused
        };
        let body_cut = group.body.iter().any(was_cut);
        match group.reason {
            Some(reason) if body_cut => Outcome::Cut(reason),
            Some(reason) if reason != Reason::Explicit && group.children.iter().any(was_cut) => {
                Outcome::Cut(reason)
            }
            _ => Outcome::Value,
        }
    }
}
