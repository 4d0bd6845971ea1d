//! Random children that await each other under a limit. In the simulation, a child that waits for ever is a deadlock.
//!
//! A child does not begin to wait where that would close a circle, because then some children would wait for ever without a
//! limit as well. So all of them must end, whatever they do: await several at once, go on before a child that they have begun
//! to await, cancel each other, need no place. And if no child goes on before one that it awaits, no more children than the
//! limit are at work.
//!
//! Faults that were planted in `lending.rs` and found, each by some thousands of plans:
//!
//! | Fault | Seen as |
//! |---|---|
//! | a child that comes to be in want is not reported further up | a deadlock |
//! | nor is a child that has lent its place and awaits more children | a deadlock |
//! | no child is in want | a deadlock |
//! | the last child of a chain is joined with the first of the same chain | a panic |
//! | a child that needs no place stays the first of a chain | places taken in the end |
//! | the place that two chains need less when they become one is not given back | places taken in the end |
//! | that place is given back before the child to which it is lent has it | places taken in the end |

use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use futures_lite::future::{poll_fn, poll_once, yield_now};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use taskgroup::sim::{Checker, Sim};
use taskgroup::{Group, JoinHandle, TaskGroup};

const CHILDREN: usize = 9;

#[derive(Clone, Debug)]
enum Step {
    Work,
    /// Starts the next child that has not been started.
    Spawn,
    /// Awaits some children until all of them have ended.
    Await(Vec<usize>),
    /// Awaits some children until one has ended.
    Race(Vec<usize>),
    /// Begins to await a child, and goes on.
    Look(usize),
    Cancel(usize),
}

impl Step {
    /// Whether some child may go on before a child that it awaits, directly or through others, has ended.
    fn goes_on(&self) -> bool {
        matches!(self, Self::Race(_) | Self::Look(_) | Self::Cancel(_))
    }
}

#[derive(Clone, Debug)]
struct Plan {
    limit: usize,
    children: Vec<(bool, Vec<Step>)>,
    /// How many children are started from outside.
    first: usize,
}

fn plans() -> impl Strategy<Value = Plan> {
    let child = || 0..CHILDREN;
    let some = move || vec(child(), 1..5);
    let step = move |goes_on: u32| {
        prop_oneof![
            4 => Just(Step::Work),
            6 => Just(Step::Spawn),
            6 => some().prop_map(Step::Await),
            goes_on => some().prop_map(Step::Race),
            goes_on * 2 => child().prop_map(Step::Look),
            goes_on => child().prop_map(Step::Cancel),
        ]
    };
    let children = move |goes_on| {
        let background = prop_oneof![7 => Just(false), 1 => Just(true)];
        vec((background, vec(step(goes_on), 1..7)), CHILDREN)
    };
    let children = prop_oneof![children(0), children(2)];
    (1..4usize, children, 1..4usize).prop_map(|(limit, children, first)| Plan { limit, children, first })
}

/// What the children of one run share.
struct Play {
    plan: Plan,
    group: Group<Sim, ()>,
    next: AtomicUsize,
    /// A child that awaits another one has taken its handle out.
    handles: [Mutex<Option<JoinHandle<()>>>; CHILDREN],
    waits: Mutex<[Option<Wait>; CHILDREN]>,
    at_work: AtomicUsize,
}

/// The children that a child waits for.
struct Wait {
    others: Vec<usize>,
    for_one: bool,
}

/// Whether all children would end if only those ended that do not wait.
fn all_end(waits: &[Option<Wait>; CHILDREN]) -> bool {
    let mut ends: [bool; CHILDREN] = std::array::from_fn(|at| waits[at].is_none());
    for _ in 0..CHILDREN {
        for (at, wait) in waits.iter().enumerate() {
            let Some(Wait { others, for_one }) = wait else { continue };
            let mut others = others.iter().map(|other| ends[*other]);
            ends[at] = if *for_one { others.any(|ends| ends) } else { others.all(|ends| ends) };
        }
    }
    ends.iter().all(|ends| *ends)
}

/// A child that waits, until this is dropped.
struct Waiting<'a>(&'a Play, usize);

impl<'a> Waiting<'a> {
    fn new(play: &'a Play, me: usize, wait: Wait) -> Option<Self> {
        let mut waits = play.waits.lock().unwrap();
        waits[me] = Some(wait);
        let no_circle = all_end(&waits);
        if !no_circle {
            waits[me] = None;
        }
        no_circle.then(|| Self(play, me))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waits.lock().unwrap()[self.1] = None;
    }
}

impl Play {
    fn spawn(self: &Arc<Self>) {
        let me = self.next.fetch_add(1, SeqCst);
        let Some((in_background, steps)) = self.plan.children.get(me).cloned() else { return };
        let play = self.clone();
        let body = async move {
            for step in steps {
                play.take(me, in_background, step).await;
            }
            Ok(())
        };
        let builder = self.group.child();
        let handle = if in_background { builder.background().spawn(body) } else { builder.spawn(body) };
        *self.handles[me].lock().unwrap() = Some(handle);
    }

    async fn take(self: &Arc<Self>, me: usize, in_background: bool, step: Step) {
        match step {
            Step::Work => {
                let at_work = AtWork::new(&self.at_work, in_background);
                let limit = self.plan.limit;
                let goes_on = self.plan.children.iter().flat_map(|(_, steps)| steps).any(Step::goes_on);
                assert!(goes_on || at_work.now <= limit, "{} at work under a limit of {limit}", at_work.now);
                yield_now().await;
            }
            Step::Spawn => self.spawn(),
            Step::Await(others) => self.wait(me, others, false).await,
            Step::Race(others) => self.wait(me, others, true).await,
            Step::Look(other) => {
                if let Some(mut handle) = self.handle(me, other) {
                    let ended = poll_once(&mut handle).await;
                    self.put_back(other, handle, ended.is_some());
                }
            }
            Step::Cancel(other) => {
                if let Some(handle) = &*self.handles[other].lock().unwrap() {
                    handle.cancel();
                }
            }
        }
    }

    /// Takes the handle of another child, if that was spawned and no other child has the handle.
    fn handle(&self, me: usize, other: usize) -> Option<JoinHandle<()>> {
        (other != me).then(|| self.handles[other].lock().unwrap().take()).flatten()
    }

    fn put_back(&self, other: usize, handle: JoinHandle<()>, ended: bool) {
        if !ended {
            *self.handles[other].lock().unwrap() = Some(handle);
        }
    }

    async fn wait(&self, me: usize, others: Vec<usize>, for_one: bool) {
        let mut waits: Vec<_> =
            others.into_iter().filter_map(|other| Some((other, self.handle(me, other)?, false))).collect();
        let wait = Wait { others: waits.iter().map(|(other, ..)| *other).collect(), for_one };
        let waiting = if waits.is_empty() { None } else { Waiting::new(self, me, wait) };
        if waiting.is_none() {
            return waits.into_iter().for_each(|(other, handle, _)| self.put_back(other, handle, false));
        }
        poll_fn(|cx| {
            for (_, handle, ended) in waits.iter_mut().filter(|(_, _, ended)| !ended) {
                *ended = Pin::new(handle).poll(cx).is_ready();
            }
            let mut ended = waits.iter().map(|(_, _, ended)| *ended);
            let enough = if for_one { ended.any(|ended| ended) } else { ended.all(|ended| ended) };
            if enough { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        for (other, handle, ended) in waits {
            self.put_back(other, handle, ended);
        }
    }
}

/// A child that does something other than wait.
struct AtWork<'a> {
    count: &'a AtomicUsize,
    own: usize,
    now: usize,
}

impl<'a> AtWork<'a> {
    /// Background children need no place, and do not count.
    fn new(count: &'a AtomicUsize, in_background: bool) -> Self {
        let own = usize::from(!in_background);
        Self { count, own, now: count.fetch_add(own, SeqCst) + own }
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(self.own, SeqCst);
    }
}

async fn run(sim: Sim, plan: Plan) {
    let limit = NonZeroUsize::new(plan.limit).unwrap();
    let group = TaskGroup::builder(sim.clone()).limit(limit).open();
    let play = Arc::new(Play {
        next: AtomicUsize::new(0),
        handles: Default::default(),
        waits: Mutex::default(),
        at_work: AtomicUsize::new(0),
        group: group.group(),
        plan,
    });
    for _ in 0..play.plan.first {
        play.spawn();
    }
    group.join().await.unwrap();
    assert_eq!((play.at_work.load(SeqCst), sim.alive()), (0, 0));
    assert_eq!(play.group.snapshot().group().places_taken(), Some(0));
}

#[test]
fn those_who_await_each_other_all_end() {
    let config = Config { cases: crate::trees() * 4, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&(plans(), any::<u64>()), |(plan, seed)| {
        let checker = Checker::new().schedules(4).seed(seed);
        let found = checker.try_check(async |sim| run(sim, plan.clone()).await);
        found.map(drop).map_err(|error| TestCaseError::fail(error.to_string()))
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}
