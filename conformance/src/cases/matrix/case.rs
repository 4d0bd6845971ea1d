//! The combinations and their possible outcomes. `model.rs` describes the members.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    FailFast,
    Collect,
    Supervise,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Nothing,
    TriggerFails,
    TriggerPanics,
    BodyFails,
    BodyPanics,
    Cancel,
    Deadline,
    /// The member that opened the group is cancelled.
    Parent,
}

/// Where the worker's work is done: in the worker itself, or in a group inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nest {
    Itself,
    ChildInside,
    BodyInside,
}

/// The last word of the worker: how its work ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    Return,
    Fail,
    Panic,
    /// It awaits once more, without a shield.
    Wait,
}

#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub policy: Policy,
    pub event: Event,
    pub nest: Nest,
    pub last: Last,
    pub shielded: bool,
    pub limited: bool,
    /// Whether the body has returned before anything happens.
    pub body_left: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    NeverPolled,
    Dropped,
    Completed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Failed,
    BodyFailed,
    Panicked,
    Explicit,
    Deadline,
    Parent,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    Value,
    /// The primary failure and the suppressed ones.
    Failed(Vec<String>),
    Panicked(String),
    Cut,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub end: End,
    pub reason: Option<Reason>,
    /// What the failure hook saw.
    pub told: Vec<String>,
    pub body: Fate,
    pub trigger: Fate,
    pub worker: Fate,
    /// The member of a group inside that does the worker's work, if there is one.
    pub inside: Option<Fate>,
    pub queued: Fate,
}

impl Case {
    pub fn all() -> impl Iterator<Item = Case> {
        use {Event::*, Last::*, Nest::*, Policy::*};
        let events =
            [Nothing, TriggerFails, TriggerPanics, BodyFails, BodyPanics, Cancel, Deadline, Event::Parent];
        (0..3 * 8 * 3 * 4 * 8)
            .map(move |n: usize| Case {
                shielded: n & 1 != 0,
                limited: n & 2 != 0,
                body_left: n & 4 != 0,
                last: [Return, Fail, Last::Panic, Wait][n / 8 % 4],
                nest: [Itself, ChildInside, BodyInside][n / 32 % 3],
                policy: [FailFast, Collect, Supervise][n / 96 % 3],
                event: events[n / 288],
            })
            .filter(|case| !(case.body_left && matches!(case.event, BodyFails | BodyPanics)))
    }
}
