//! The workloads: how large they are, how a contestant is driven through one, and whether it has done the work.
//!
//! | | what |
//! |---|---|
//! | W1a, W1d, W1b, W1c | children that do nothing: 10³ in a group, 10⁴, 10⁵, 10⁶ |
//! | W2a, W2b | children that yield once, ten times |
//! | W3 | churn: 10⁶ children, at most 1,000 alive |
//! | W4 | 5·10⁴ pending children, all polled: cancel, until every future is destroyed; starting them is not timed |
//! | W5 | children spawn children: a binary tree of 17 levels |
//! | W6 | a value from each child, as the children end if the contestant can do that; added up |
//! | W7 | live bytes per pending child; not timed |
//! | W8 | one child at a time, each waited for |
//! | W9a, W9b | a new group for 8 children, for each child |

use std::fmt;
use std::pin::Pin;
use std::str::FromStr;
use std::time::{Duration, Instant};

use futures_lite::future::yield_now;

use crate::children::{Idle, PendingHeld, Yielding};
use crate::contestants::{Cancels, Collects, Contestant, FLOOR, HANDLES, Nest, Nests, Reaps};
use crate::counting;
use crate::gate::{DROPPED, STARTED};
use crate::runtimes::Runtime;
use crate::tally::{self, Alive, Tally};

/// How many children may be alive in W3.
const WINDOW: usize = 1_000;
/// How many threads a runtime has at most.
const THREADS: usize = 2;
/// How often W3 is drained, to see what is left, when allocations are counted.
const SAMPLES: usize = 10;
/// How far apart the live bytes of a drained W3 may be, if more children than this have come and gone. This allows for a task
/// or two on the other thread, and for a few in the yard of a runtime, but not for a byte of each child.
const FLAT: isize = 64 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    W1a,
    W1b,
    W1c,
    W1d,
    W2a,
    W2b,
    W3,
    W4,
    W5,
    W6,
    W7,
    W8,
    W9a,
    W9b,
}

use Workload::*;

/// The ability with which a contestant enters.
pub enum Entrance {
    Joins,
    Reaps,
    Cancels,
    Nests,
    Collects,
}

/// How much of a workload is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    Full,
    Quick,
    Smoke,
}

impl Workload {
    pub const ALL: [Self; 14] = [W1a, W1b, W1c, W1d, W2a, W2b, W3, W4, W5, W6, W7, W8, W9a, W9b];

    pub fn entrance(self) -> Entrance {
        match self {
            W1a | W1b | W1c | W1d | W2a | W2b | W7 | W8 | W9a | W9b => Entrance::Joins,
            W3 => Entrance::Reaps,
            W4 => Entrance::Cancels,
            W5 => Entrance::Nests,
            W6 => Entrance::Collects,
        }
    }

    /// Returns the contestant that the others are compared to.
    pub fn reference(self) -> &'static str {
        match self {
            W4 | W6 => HANDLES,
            _ => FLOOR,
        }
    }

    pub fn is_timed(self) -> bool {
        self != W7
    }

    /// Returns how many children a round has in all.
    fn children(self, scale: Scale) -> usize {
        let [full, quick, smoke] = match self {
            W1a => [50_000, 10_000, 200],
            W1c => [1_000_000, 100_000, 500],
            // With fewer, what the queues of a runtime take and give back now and then is more than what is looked for.
            W3 => [1_000_000, 50_000, 50_000],
            W4 => [50_000, 10_000, 100],
            W5 => [(1 << 17) - 1, (1 << 13) - 1, (1 << 6) - 1],
            // A table that has doubled with the children is equally full at both scales.
            W7 => [100_000, 12_500, 100],
            W8 | W9b => [20_000, 2_000, 50],
            W9a => [40_000, 8_000, 80],
            W1b | W1d | W2a | W2b | W6 => [100_000, 10_000, 100],
        };
        match scale {
            Scale::Full => full,
            Scale::Quick => quick,
            Scale::Smoke => smoke,
        }
    }

    /// Returns how many rounds are counted.
    pub fn rounds(self, scale: Scale) -> usize {
        match (scale, self) {
            (Scale::Full, W1c | W3) => 7,
            (Scale::Full, _) => 15,
            (Scale::Quick, _) => 3,
            (Scale::Smoke, _) => 1,
        }
    }

    fn yields(self) -> u32 {
        match self {
            W2a => 1,
            W2b => 10,
            _ => 0,
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|workload| workload.to_string() == name).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(Self::to_string).collect();
            format!("unknown workload `{name}`; there are {}", known.join(" "))
        })
    }
}

/// One round of a workload.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    pub workload: Workload,
    /// How many groups there are, one after the other.
    groups: usize,
    /// How many children each group has.
    each: usize,
    /// Whether the futures may be destroyed some time after they were reported to have ended.
    late: bool,
}

impl Job {
    /// Creates a round with this many children, or a few less if they do not divide evenly.
    pub fn new(workload: Workload, children: usize) -> Self {
        let each = match workload {
            W1a => children.min(1_000),
            W1d => children.min(10_000),
            W5 => (1 << (children + 1).ilog2()) - 1,
            W8 | W9b => 1,
            W9a => children.min(8),
            _ => children,
        };
        Self { workload, groups: children / each, each, late: false }
    }

    /// Returns the round at this scale for a contestant that takes at most `at_most` children at once, or `None` if that
    /// makes no sense.
    pub fn at(workload: Workload, scale: Scale, at_most: Option<usize>) -> Option<Self> {
        let job = Self::new(workload, workload.children(scale));
        match at_most {
            // W3 has only 1,000 at once, and nobody awaits the handles of W4 and W7.
            Some(at_most) if job.each > at_most && !matches!(workload, W3 | W4 | W7) => {
                (workload != W1c).then(|| Self::new(workload, at_most))
            }
            _ => Some(job),
        }
    }

    /// The same round for a contestant that reports too early that children have ended, if `late`.
    pub fn for_late(self, late: bool) -> Self {
        Self { late, ..self }
    }

    pub fn children(&self) -> usize {
        self.groups * self.each
    }
}

/// The result of a round that passed its checks.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    pub elapsed: Duration,
    pub children: usize,
    /// Allocations in the time that is measured, if they are counted.
    pub allocations: usize,
    /// For each child in W7. In W3 in all, from beginning to end.
    pub bytes: Option<f64>,
}

impl Round {
    pub fn nanoseconds(&self) -> f64 {
        self.elapsed.as_nanos() as f64 / self.children as f64
    }

    pub fn allocations_each(&self) -> f64 {
        self.allocations as f64 / self.children as f64
    }
}

/// A round that runs. It fails with a message about what the contestant has left undone.
pub type Running = Pin<Box<dyn Future<Output = Result<Round, String>> + Send>>;

struct Meter {
    job: Job,
    tally: Tally,
    allocations: usize,
    start: Instant,
}

impl Meter {
    fn start(job: Job) -> Self {
        let (tally, allocations) = (Tally::now(), counting::allocations());
        Self { job, tally, allocations, start: Instant::now() }
    }

    /// Ends the measuring. Every child must have been destroyed by then, whether it has run or not.
    async fn stop(self, ran: bool) -> Result<Round, String> {
        let elapsed = self.start.elapsed();
        let allocations = counting::allocations() - self.allocations;
        let children = self.job.children();
        let expected = Tally { ran: if ran { children } else { 0 }, dropped: children };
        let done = || Tally::now() - self.tally;
        let waited = Instant::now();
        while self.job.late && done() != expected && waited.elapsed() < Duration::from_secs(1) {
            yield_now().await;
        }
        match done() {
            done if done == expected => Ok(Round { elapsed, children, allocations, bytes: None }),
            done => Err(format!("of {children} children {done:?}, not {expected:?}")),
        }
    }
}

pub fn joins<R: Runtime, C: Contestant<R>>(runtime: R, job: Job) -> Running {
    match job.workload {
        W7 => Box::pin(pending_bytes::<R, C>(runtime, job)),
        W8 => Box::pin(one_by_one::<R, C>(runtime, job)),
        W2a | W2b => Box::pin(groups::<R, C, _>(runtime, job, move || Yielding::new(job.workload.yields()))),
        _ => Box::pin(groups::<R, C, _>(runtime, job, Idle::new)),
    }
}

async fn groups<R: Runtime, C: Contestant<R>, F>(
    runtime: R,
    job: Job,
    child: impl Fn() -> F,
) -> Result<Round, String>
where
    F: Future<Output = ()> + Send + 'static,
{
    let meter = Meter::start(job);
    for _ in 0..job.groups {
        let mut group = C::open(&runtime);
        for _ in 0..job.each {
            group.launch(child());
        }
        group.join().await;
    }
    meter.stop(true).await
}

async fn one_by_one<R: Runtime, C: Contestant<R>>(runtime: R, job: Job) -> Result<Round, String> {
    let mut group = C::open(&runtime);
    let meter = Meter::start(job);
    for _ in 0..job.groups {
        group.one(Idle::new()).await;
    }
    let round = meter.stop(true).await;
    group.join().await;
    round
}

async fn pending_bytes<R: Runtime, C: Contestant<R>>(runtime: R, job: Job) -> Result<Round, String> {
    STARTED.reset();
    PendingHeld::reserve(job.each);
    let meter = Meter::start(job);
    let before = counting::live_bytes();
    let mut group = C::open(&runtime);
    for _ in 0..job.each {
        group.launch_pending();
    }
    STARTED.wait_for(job.each).await;
    let bytes = counting::live_bytes() - before;
    let done = Tally::now() - meter.tally;
    if done != Tally::default() {
        return Err(format!("of {} pending children {done:?}", job.each));
    }
    Ok(Round {
        elapsed: meter.start.elapsed(),
        children: job.each,
        allocations: counting::allocations() - meter.allocations,
        bytes: Some(bytes as f64 / job.each as f64),
    })
}

pub fn reaps<R: Runtime, C: Reaps<R>>(runtime: R, job: Job) -> Running {
    Box::pin(async move {
        let meter = Meter::start(job);
        let mut group = C::open(&runtime);
        let (mut living, mut most) = (0, 0);
        let mut drained = Vec::with_capacity(SAMPLES);
        for launched in 1..=job.each {
            if living == WINDOW {
                group.reap().await;
                living -= 1;
            }
            group.launch(Idle::new());
            living += 1;
            if launched % 1_000 == 0 {
                most = most.max(launched - (Tally::now() - meter.tally).dropped);
            }
            if counting::is_on() && launched % (job.each / SAMPLES) == 0 {
                for _ in 0..living {
                    group.reap().await;
                }
                living = 0;
                drained.push(counting::live_bytes());
            }
        }
        group.join().await;
        let round = meter.stop(true).await?;
        // A late future is still in the poll in which it reported its end: one for each thread.
        if most > WINDOW + if job.late { THREADS } else { 0 } {
            return Err(format!("{most} children were alive at once"));
        }
        // The queues of a runtime with two threads grow now and then, which is much beside few children. What each child leaves
        // behind grows every time.
        let growth = drained.last().zip(drained.first()).map_or(0, |(last, first)| last - first);
        let mut steps: Vec<_> = drained.windows(2).map(|two| two[1] - two[0]).collect();
        steps.sort_unstable();
        let grows = steps.get(steps.len() / 2).is_some_and(|step| *step > (job.each / SAMPLES / 2) as isize);
        if grows || (growth > FLAT && job.each > FLAT as usize) {
            return Err(format!("live bytes are not flat: {drained:?}"));
        }
        Ok(Round { bytes: Some(growth as f64), ..round })
    })
}

pub fn cancels<R: Runtime, C: Cancels<R>>(runtime: R, job: Job) -> Running {
    Box::pin(async move {
        STARTED.reset();
        DROPPED.reset();
        let mut group = C::open(&runtime);
        for _ in 0..job.each {
            group.launch_pending();
        }
        STARTED.wait_for(job.each).await;
        let meter = Meter::start(job);
        group.cancel().await;
        meter.stop(false).await
    })
}

pub fn nests<R: Runtime, C: Nests<R>>(runtime: R, job: Job) -> Running {
    Box::pin(async move {
        let meter = Meter::start(job);
        let group = C::open(&runtime);
        plant(&group.nest(), job.each.ilog2());
        group.join(job.each).await;
        meter.stop(true).await
    })
}

/// Launches a child with this many levels of children below it.
fn plant<N: Nest>(nest: &N, levels: u32) {
    // A leaf does not use it.
    let inner = (levels > 0).then(|| nest.clone());
    let alive = Alive::new();
    nest.launch(async move {
        let _alive = alive;
        if let Some(inner) = inner {
            plant(&inner, levels - 1);
            plant(&inner, levels - 1);
        }
        tally::ran();
    });
}

pub fn collects<R: Runtime, C: Collects<R>>(runtime: R, job: Job) -> Running {
    Box::pin(async move {
        let meter = Meter::start(job);
        let children = job.each as u64;
        let sum = C::sum(runtime, 0..children).await;
        let round = meter.stop(true).await?;
        if sum != children * (children - 1) / 2 {
            return Err(format!("the sum of the values is {sum}"));
        }
        Ok(round)
    })
}
