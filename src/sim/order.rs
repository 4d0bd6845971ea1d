//! Who is next: the ways to put runnable tasks in order.
//!
//! Runnable tasks stand in a queue, in the order in which they became runnable.
//!
//! * *Random* takes any of them.
//! * *Priority* gives each task a priority when it is first seen, and takes the task with the highest one. Now and then the
//!   task that is taken falls below all others. This finds faults that need one task to be held up for long, which random
//!   orders hardly ever find.
//! * A *path* says what to take at each point at which there is a choice. After its end, the first in the queue is taken.
//!   [`Path::next`] goes through all paths, depth first.

use crate::sim::rng::Rng;
use crate::sim::trace::Id;

/// How rarely the task with the highest priority loses it: from one turn in 2 up to one in 64, depending on the schedule.
const RARITIES: u32 = 6;

/// The run is not what it was when its path was written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Diverged;

#[derive(Clone, Debug)]
pub(crate) enum Order {
    Random(Rng),
    Priority(Priorities),
    Path(Path),
}

impl Order {
    pub(crate) fn random(seed: u64) -> Self {
        Order::Random(Rng::new(seed))
    }

    pub(crate) fn priority(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let rarity = 2 << rng.below(RARITIES);
        Order::Priority(Priorities { rng, rarity, of: Vec::new(), lowest: 1 << 32 })
    }

    /// The place in the queue of the task that is next.
    pub(crate) fn next_of(&mut self, queue: &[impl Queued]) -> Result<usize, Diverged> {
        let length = u32::try_from(queue.len()).expect("ids of tasks are 32 bits");
        match self {
            _ if length == 1 => Ok(0),
            Order::Random(rng) => Ok(rng.below(length) as usize),
            Order::Priority(priorities) => Ok(priorities.next_of(queue)),
            Order::Path(path) => path.choose(length, false).map(|place| place as usize),
        }
    }

    /// A number below `n`.
    pub(crate) fn number(&mut self, n: u32) -> Result<u32, Diverged> {
        match self {
            _ if n == 1 => Ok(0),
            Order::Random(rng) | Order::Priority(Priorities { rng, .. }) => Ok(rng.below(n)),
            Order::Path(path) => path.choose(n, true),
        }
    }

    pub(crate) fn into_path(self) -> Option<Path> {
        match self {
            Order::Path(path) => Some(path),
            _ => None,
        }
    }
}

/// What stands in the queue.
pub(crate) trait Queued {
    fn id(&self) -> Id;
}

#[derive(Clone, Debug)]
pub(crate) struct Priorities {
    rng: Rng,
    rarity: u32,
    /// The priority of each task. Those of tasks that have fallen are below 2^32, each lower than the one before.
    of: Vec<u64>,
    lowest: u64,
}

impl Priorities {
    fn next_of(&mut self, queue: &[impl Queued]) -> usize {
        let highest = (0..queue.len()).max_by_key(|place| self.priority(queue[*place].id()));
        let place = highest.expect("there is a choice");
        if self.rng.below(self.rarity) == 0 {
            self.lowest -= 1;
            self.of[queue[place].id() as usize] = self.lowest;
        }
        place
    }

    fn priority(&mut self, id: Id) -> u64 {
        while self.of.len() <= id as usize {
            self.of.push(self.rng.next() | 1 << 63);
        }
        self.of[id as usize]
    }
}

/// What to take at each point at which there is a choice.
#[derive(Clone, Debug, Default)]
pub(crate) struct Path {
    points: Vec<Point>,
    at: usize,
    /// The run may differ from the one in which the path was written down: take what comes nearest.
    lenient: bool,
}

#[derive(Clone, Copy, Debug)]
struct Point {
    taken: u32,
    /// How many choices there were; zero if that is not known.
    of: u32,
    /// A number for the scenario, which does not count as a departure from the queue.
    free: bool,
}

impl Path {
    /// A path that takes the first everywhere except at these points.
    pub(crate) fn taking(choices: impl IntoIterator<Item = (usize, u32)>) -> Self {
        let mut points = Vec::new();
        for (at, taken) in choices {
            let unknown = Point { taken: 0, of: 0, free: false };
            points.resize(points.len().max(at + 1), unknown);
            points[at].taken = taken;
        }
        Self { points, ..Self::default() }
    }

    /// The points at which the path does not take the first.
    pub(crate) fn choices(&self) -> impl Iterator<Item = (usize, u32)> {
        self.points.iter().map(|point| point.taken).enumerate().filter(|(_, taken)| *taken > 0)
    }

    pub(crate) fn lenient(self) -> Self {
        Self { lenient: true, ..self }
    }

    fn choose(&mut self, of: u32, free: bool) -> Result<u32, Diverged> {
        let at = self.at;
        self.at += 1;
        let Some(point) = self.points.get_mut(at) else {
            self.points.push(Point { taken: 0, of, free });
            return Ok(0);
        };
        if self.lenient {
            return Ok(point.taken.min(of - 1));
        }
        if point.taken >= of || (point.of > 0 && point.of != of) {
            return Err(Diverged);
        }
        (point.of, point.free) = (of, free);
        Ok(point.taken)
    }

    /// The path that comes next, depth first, with at most this many departures from the queue. `None` if this was the last.
    pub(crate) fn next(mut self, departures: Option<u32>) -> Option<Self> {
        self.at = 0;
        while let Some(last) = self.points.pop() {
            let made = self.points.iter().filter(|point| point.taken > 0 && !point.free).count();
            let affordable = last.free || departures.is_none_or(|most| made < most as usize);
            if last.taken + 1 < last.of && affordable {
                self.points.push(Point { taken: last.taken + 1, ..last });
                return Some(self);
            }
        }
        None
    }

    /// Whether the run came to the end of what was written down.
    pub(crate) fn is_used_up(&self) -> bool {
        self.at >= self.points.len()
    }
}
