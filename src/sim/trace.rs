//! What happened in a run, in order. It is compared with another run, hashed, and reported.

use std::time::Duration;

use crate::sim::rng::mix;

/// A task, by the order of spawning.
pub(crate) type Id = u32;

/// The task that the scenario itself is.
pub(crate) const SCENARIO: Id = 0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Spawn(Id),
    Wake(Id),
    /// The task had its turn: it was polled, or dropped if it was cancelled.
    Turn(Id),
    Cut(Id),
    /// Nothing of the task is left.
    Gone(Id),
    /// The clock was set.
    Time(Duration),
    /// The scenario asked for a number.
    Chose(u32),
}

impl Event {
    fn words(self) -> [u64; 2] {
        match self {
            Event::Spawn(id) => [1, id.into()],
            Event::Wake(id) => [2, id.into()],
            Event::Turn(id) => [3, id.into()],
            Event::Cut(id) => [4, id.into()],
            Event::Gone(id) => [5, id.into()],
            Event::Time(at) => [6 | at.as_secs() << 8, at.subsec_nanos().into()],
            Event::Chose(number) => [7, number.into()],
        }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Trace(Vec<Event>);

impl Trace {
    pub(crate) fn push(&mut self, event: Event) {
        self.0.push(event);
    }

    /// Gives the same hash for the same events, always and everywhere.
    pub(crate) fn hash(&self) -> u64 {
        self.0.iter().flat_map(|event| event.words()).fold(0, |hash, word| mix(hash ^ mix(word)))
    }

    /// The tasks that had the last turns, the latest one last.
    pub(crate) fn last_turns(&self, most: usize) -> Vec<Id> {
        let turns = self.0.iter().rev().filter_map(|event| match event {
            Event::Turn(id) => Some(*id),
            _ => None,
        });
        let mut turns: Vec<_> = turns.take(most).collect();
        turns.reverse();
        turns
    }

    /// Where two runs differ, if they do: after how many turns, and what each of them did then.
    pub(crate) fn parts_from(&self, other: &Trace) -> Option<(usize, Option<Event>, Option<Event>)> {
        let same = self.0.iter().zip(&other.0).take_while(|(one, other)| one == other).count();
        if same == self.0.len() && same == other.0.len() {
            return None;
        }
        let turns = self.0[..same].iter().filter(|event| matches!(event, Event::Turn(_))).count();
        Some((turns, self.0.get(same).copied(), other.0.get(same).copied()))
    }
}
