//! What members do, and what may happen to them.

use super::{Answer, FailureId, Group, GroupId, Member, MemberId, Reason, Reference, Returned};

impl Reference {
    pub(super) fn new_member(&mut self, group: GroupId, is_body: bool) -> MemberId {
        self.members.push(Member {
            group,
            is_body,
            groups: Vec::new(),
            welcome: true,
            late: false,
            there: false,
            polling: false,
            shields: 0,
            cancelled: false,
            singled: false,
            asked: false,
            cut: false,
            gone: false,
            forced: false,
            returned: None,
            reported: false,
        });
        self.members.len() - 1
    }

    /// A child is about to be spawned.
    pub fn offer(&mut self, group: GroupId) -> MemberId {
        let Group { closed, finished, reason, shut, .. } = &self.groups[group];
        let welcome = !*closed && !*finished && reason.is_none();
        let late = *shut || *finished;
        let child = self.new_member(group, false);
        self.groups[group].children.push(child);
        let member = &mut self.members[child];
        member.welcome = welcome;
        member.late = late;
        member.there = welcome && self.in_order;
        child
    }

    /// The group has taken the child, or refused it.
    pub fn offered(&mut self, id: MemberId, taken: bool) {
        let Member { group, welcome, late, there, gone, .. } = self.members[id];
        let finished = self.groups[group].finished;
        self.must(!taken || !late, || {
            format!("group {group} was closed or cancelled, and then took member {id}")
        });
        self.must_in_order(taken == welcome, || {
            format!("group {group} took a child, or refused it, and must not have")
        });
        self.must(taken || !there, || format!("group {group} had member {id} polled, and refused it"));
        self.must(!taken || gone || !finished, || format!("group {group} was joined, and took member {id}"));
        self.members[id].there |= taken;
    }

    /// The future of a member was made. For a body, this means that it has begun.
    pub fn made(&mut self, id: MemberId) {
        let member = &mut self.members[id];
        member.there |= member.is_body;
    }

    /// Cancels one child.
    pub fn single_out(&mut self, id: MemberId) {
        let member = &mut self.members[id];
        member.asked = true;
        if member.cancelled || member.gone {
            return;
        }
        member.singled = true;
        let mut todo = Vec::new();
        self.cancel_member(id, &mut todo);
        self.cancel_all(todo);
    }

    pub fn poll_begins(&mut self, id: MemberId) {
        let Member { group, cut, gone, polling, returned, .. } = self.members[id];
        let finished = self.groups[group].finished;
        self.must_in_order(!cut, || format!("member {id} was polled after it was cut"));
        self.must(!gone && returned.is_none(), || format!("member {id} was polled after its end"));
        self.must(!polling, || format!("member {id} was polled twice at once"));
        self.must(!finished, || format!("member {id} was polled after group {group} was joined"));
        (self.members[id].polling, self.members[id].there) = (true, true);
    }

    pub fn poll_ends(&mut self, id: MemberId) {
        let member = &mut self.members[id];
        member.polling = false;
        if member.cancelled && !member.cut && member.shields == 0 {
            let mut todo = Vec::new();
            self.cut(id, &mut todo);
            self.cancel_all(todo);
        }
    }

    /// The members that one task polls: a body is polled by the task that awaits its scope.
    pub(super) fn task(&self, id: MemberId) -> Vec<MemberId> {
        let mut task = vec![id];
        let mut innermost = id;
        while self.members[innermost].is_body {
            let Some(host) = self.groups[self.members[innermost].group].host else { break };
            task.push(host);
            innermost = host;
        }
        task
    }

    pub fn shield_begins(&mut self, id: MemberId) {
        for id in self.task(id) {
            let cut = self.members[id].cut;
            self.must_in_order(!cut, || format!("a shield began in member {id}, which was cut"));
            self.members[id].shields += 1;
        }
    }

    pub fn shield_ends(&mut self, id: MemberId) {
        for id in self.task(id) {
            self.members[id].shields -= 1;
            if self.members[id].shields == 0 {
                for group in self.members[id].groups.clone() {
                    self.groups[group].shielded = false;
                }
            }
        }
    }

    /// A member returns, or panics, by itself.
    pub fn returns(&mut self, id: MemberId, returned: Returned) {
        self.members[id].returned = Some(returned);
    }

    /// The failure hook of a group is told of a failure, of one of its members or of an abandoned group inside.
    pub fn failed(&mut self, id: GroupId, failure: FailureId) {
        let own = self.members.iter().position(|member| {
            matches!(member.returned, Some(Returned::Error(own) | Returned::Panic(own)) if own == failure)
        });
        let member = own.expect("a failure is that of a member");
        let panics = matches!(self.members[member].returned, Some(Returned::Panic(_)));
        if self.members[member].group == id && !self.members[member].reported {
            self.members[member].reported = true;
        } else {
            let inner = self.groups.iter().position(|group| group.failures.contains(&(failure, panics)));
            let comes_from = inner.filter(|inner| {
                let host = self.groups[*inner].host;
                host.is_some_and(|host| self.members[host].group == id)
            });
            match comes_from {
                Some(inner) => {
                    let ended = (self.is_over(inner) || self.torn) && !self.groups[inner].finished;
                    self.must(ended, || format!("group {inner} was given up before its end"));
                    self.groups[inner].failures.retain(|(other, _)| *other != failure);
                }
                None => {
                    self.wrong.push(format!("group {id} was told of failure {failure}, which is not its own"))
                }
            }
        }
        self.groups[id].failures.push((failure, panics));
        self.cancel(id, Reason::Failed);
    }

    /// Nothing is left of a member: its future and all it captured are destroyed.
    pub fn ended(&mut self, id: MemberId) {
        let Member { cut, there, gone, forced, returned, reported, .. } = self.members[id];
        self.must(!gone, || format!("member {id} ended twice"));
        self.must_in_order(!there || returned.is_some() || cut || forced, || {
            format!("member {id} ended and nobody had asked")
        });
        let failed = matches!(returned, Some(Returned::Error(_) | Returned::Panic(_)));
        self.must(reported || !failed, || format!("the failure of member {id} was lost"));
        let groups = self.members[id].groups.clone();
        let bottom_up =
            returned.is_some() || forced || self.torn || groups.iter().all(|group| self.is_over(*group));
        self.must(bottom_up, || format!("member {id} was dropped while groups in it lived"));
        let member = &mut self.members[id];
        member.gone = true;
        self.cancel_all(groups.into_iter().map(|group| (group, Reason::Parent)).collect());
    }

    /// A handle gave its answer.
    pub fn answered(&mut self, id: MemberId, answer: Answer) {
        let Member { gone, returned, .. } = self.members[id];
        let expected = match returned {
            Some(Returned::Value) => Answer::Value,
            Some(Returned::Error(_)) => Answer::Failed,
            Some(Returned::Panic(_)) => Answer::Panicked,
            None => Answer::Cancelled,
        };
        let lost = self.torn && returned.is_none() && answer == Answer::Lost;
        self.must(gone, || format!("the handle of member {id} was ready before it was gone"));
        self.must(answer == expected || lost, || {
            format!("the handle of member {id} says {answer:?}, not {expected:?}")
        });
    }

    /// Whether this member will not report its end any more: it has ended, or it is a body that was cut before it began.
    fn is_done(&self, id: MemberId) -> bool {
        let Member { is_body, there, cut, gone, .. } = self.members[id];
        gone || (is_body && !there && (cut || !self.in_order))
    }

    pub fn all_done(&self) -> bool {
        (0..self.members.len()).all(|id| self.is_done(id))
    }

    /// Everything has ended. Checks that nothing lives, and that no failure is left unread.
    pub fn over(&mut self) {
        for id in 0..self.members.len() {
            if !self.is_done(id) {
                self.wrong.push(format!("member {id} is left: {:?}", self.members[id]));
            }
        }
        for id in 0..self.groups.len() {
            let Group { leaked, failures, .. } = &self.groups[id];
            let (unread, leaked) = (failures.len(), *leaked);
            self.must(unread == 0 || leaked || self.torn, || {
                format!("{unread} failures of group {id} were lost")
            });
        }
    }
}
