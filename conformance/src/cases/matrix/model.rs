//! A model of how a group ends, without threads, wakers and locks.
//!
//! A group has four members:
//!
//! * the *body*;
//! * the *trigger*, a child that may fail;
//! * the *worker*, a child that waits and then has a *last word*. It waits with or without a shield, by itself or in a
//!   group inside;
//! * a third child, which is *queued* if the case has a limit, which is two.
//!
//! First the event happens. Then the trigger and the queued child end, then the worker has its last word, and then the body
//! ends.

use super::case::*;

impl Case {
    pub fn predict(self) -> Outcome {
        let mut group = Group::open(self);
        match self.event {
            Event::Nothing => {}
            Event::TriggerFails => {
                group.trigger = Some(Fate::Completed);
                group.fails(false, "trigger");
            }
            Event::TriggerPanics => {
                group.trigger = Some(Fate::Dropped);
                group.fails(false, "panic: trigger");
            }
            Event::BodyFails => {
                group.body = Some(Fate::Completed);
                group.fails(true, "body");
            }
            Event::BodyPanics => {
                group.body = Some(Fate::Dropped);
                group.fails(true, "panic: body");
            }
            Event::Cancel => group.cancel(Reason::Explicit),
            Event::Deadline => group.cancel(Reason::Deadline),
            Event::Parent => group.cancel(Reason::Parent),
        }
        group.trigger.get_or_insert(Fate::Completed);
        group.queued.get_or_insert(Fate::Completed);
        if group.worker.is_none() {
            group.last_word(self.nest, self.last);
        }
        group.body.get_or_insert(Fate::Completed);
        if group.worker.is_none() {
            group.held = false;
            group.cancel(Reason::Explicit);
        }
        group.ends()
    }
}

/// The group while it runs. A member without a fate lives.
struct Group {
    case: Case,
    reason: Option<Reason>,
    kept: Vec<String>,
    told: Vec<String>,
    /// Whether the worker is still under its shield.
    held: bool,
    body_cut: bool,
    body: Option<Fate>,
    trigger: Option<Fate>,
    worker: Option<Fate>,
    inside: Option<Fate>,
    queued: Option<Fate>,
}

impl Group {
    fn open(case: Case) -> Self {
        let (kept, told) = (Vec::new(), Vec::new());
        let body = case.body_left.then_some(Fate::Completed);
        let queued = (!case.limited).then_some(Fate::Completed);
        let (trigger, worker, inside, reason) = (None, None, None, None);
        let (held, body_cut) = (case.shielded, false);
        Self { case, reason, kept, told, held, body_cut, body, trigger, worker, inside, queued }
    }

    fn cancel(&mut self, reason: Reason) {
        if self.reason.is_some() {
            return;
        }
        self.reason = Some(reason);
        self.body_cut = self.body.is_none();
        self.body.get_or_insert(Fate::Dropped);
        self.trigger.get_or_insert(Fate::Dropped);
        self.queued.get_or_insert(Fate::NeverPolled);
        if !self.held {
            self.worker.get_or_insert(Fate::Dropped);
            self.inside.get_or_insert(Fate::Dropped);
        }
    }

    fn fails(&mut self, of_body: bool, failure: &str) {
        self.told.push(failure.into());
        if self.case.policy != Policy::Supervise || of_body {
            self.kept.push(failure.into());
        }
        if self.case.policy == Policy::FailFast || (self.case.policy == Policy::Supervise && of_body) {
            self.cancel(match failure.starts_with("panic") {
                true => Reason::Panicked,
                false if of_body => Reason::BodyFailed,
                false => Reason::Failed,
            });
        }
    }

    fn last_word(&mut self, nest: Nest, last: Last) {
        // A shield protects the task that polls it. If the work is in another task, the worker is cut and waits for that task.
        let cut = self.reason.is_some() && nest == Nest::ChildInside;
        self.held = false;
        let own = if cut { Fate::Dropped } else { Fate::Completed };
        let (inside, worker) = match last {
            Last::Return | Last::Fail => (Fate::Completed, own),
            Last::Panic => (Fate::Dropped, Fate::Dropped),
            Last::Wait if self.reason.is_some() => (Fate::Dropped, Fate::Dropped),
            Last::Wait => return,
        };
        (self.inside, self.worker) = (Some(inside), Some(worker));
        match last {
            Last::Fail if cut => self.fails(false, "foreign: late"),
            Last::Fail => self.fails(false, "late"),
            Last::Panic => self.fails(false, "panic: late"),
            Last::Return | Last::Wait => {}
        }
    }

    fn ends(self) -> Outcome {
        // The trigger lives until the event, so a deadline or a parent always cuts a member.
        let cut = match self.reason {
            None => false,
            Some(Reason::Explicit) => self.body_cut,
            Some(_) => true,
        };
        // If the host is cut, nothing is left to read the failures of the group, so the group around reports them.
        let outward = |kept: String| match self.reason == Some(Reason::Parent) {
            true => format!("foreign: {}", kept.trim_start_matches("foreign: ")),
            false => kept,
        };
        let end = match self.kept.iter().find_map(|kept| kept.strip_prefix("panic: ")) {
            Some(text) => End::Panicked(text.into()),
            None if !self.kept.is_empty() => End::Failed(self.kept.into_iter().map(outward).collect()),
            None if cut => End::Cut,
            None => End::Value,
        };
        let gone = |fate: Option<Fate>| fate.expect("nobody lives when the group has ended");
        Outcome {
            end,
            reason: self.reason,
            told: self.told,
            body: gone(self.body),
            trigger: gone(self.trigger),
            worker: gone(self.worker),
            inside: (self.case.nest != Nest::Itself).then(|| gone(self.inside)),
            queued: gone(self.queued),
        }
    }
}
