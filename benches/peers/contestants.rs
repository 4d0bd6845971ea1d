//! The contestants: what a contestant can do, and the list of them.
//!
//! A contestant does each thing in the way that its own documentation recommends. For a thing that it cannot do at all,
//! it implements no trait and has no cell in the table.

mod features;
mod handles;
mod join_set;
mod nursery;
mod ours;
mod raw;
mod tracker;
mod unordered;

use std::future::Future;
use std::ops::Range;

use self::features::{
    Collecting, Feature, Hook, Limited, Measured, Named, Observed, Queued, Supervising, With, WithDeadline,
};
use self::handles::Handles;
use self::join_set::{Set, SharedSet};
use self::nursery::InNursery;
use self::ours::{InHandles, Native, OnPool, Ours, Place};
use self::raw::Raw;
use self::tracker::{Tracker, TrackerAndToken};
use self::unordered::Unordered;
use crate::children::Pending;
use crate::gate::{Counted, ENDED};
use crate::runtimes::{OnTokio, Runtime};
use crate::workloads::{self, Entrance, Job, Workload};

/// The runtime's raw detached spawn and one shared counter.
pub const FLOOR: &str = "raw";
/// What takes the place of the floor in workloads that have none.
pub const HANDLES: &str = "handles";

/// The contestants on every runtime.
pub fn on_any<R: Runtime>() -> Vec<Entry<R>> {
    // Here the nursery's handle is that of `futures`, which is ready while the child's future is still in its task.
    let mut all = vec![raw(), handles(), unordered(), nursery().late()];
    all.extend(ours());
    all
}

/// The contestants on Tokio.
pub fn on_tokio() -> Vec<Entry<OnTokio>> {
    // Its handles are pending once the budget of a poll is spent, and the set polls all of them to find that out.
    let at_most = 2_000;
    let mut all = vec![
        raw(),
        handles(),
        Entry::reaping::<Set>("join-set").cancels::<Set>().nests::<SharedSet>().collects::<Set>(),
        Entry::paced::<Tracker>("tracker").nests::<Tracker>().collects::<Tracker>(),
        Entry::paced::<TrackerAndToken>("tracker-token")
            .cancels::<TrackerAndToken>()
            .nests::<TrackerAndToken>()
            .collects::<TrackerAndToken>(),
        unordered().at_most(at_most),
        nursery().at_most(at_most),
    ];
    all.extend(ours());
    all
}

/// Our groups on every spawner: the runtime's own, and a pool on it. A further spawner needs a [`Place`], and a line
/// here. Entries with a feature in use run only if they are [asked for](is_aside).
fn ours<R: Runtime>() -> Vec<Entry<R>> {
    vec![
        ours_on::<R, Native>("ours"),
        ours_on::<R, OnPool>("ours-pool"),
        ours_on::<R, Native>("ours+inside").inside::<Native>(),
        ours_on::<R, OnPool>("ours-pool+inside").inside::<OnPool>(),
        ours_on::<R, Native>("ours+handles").collects::<InHandles<Native>>(),
        ours_on::<R, OnPool>("ours-pool+handles").collects::<InHandles<OnPool>>(),
        ours_with::<R, Named>("ours+name"),
        ours_with::<R, Limited>("ours+limit"),
        ours_with::<R, Queued>("ours+queue"),
        ours_with::<R, WithDeadline>("ours+deadline"),
        ours_with::<R, Collecting>("ours+collect"),
        ours_with::<R, Supervising>("ours+supervise"),
        ours_with::<R, Hook>("ours+hook"),
        ours_with::<R, Observed>("ours+observe"),
        ours_with::<R, Measured>("ours+metrics"),
    ]
}

/// Whether a contestant runs only if it is named.
pub fn is_aside(name: &str) -> bool {
    name.contains('+')
}

fn ours_with<R: Runtime, X: Feature<R::Spawner>>(name: &'static str) -> Entry<R> {
    Entry::paced::<With<R, X>>(name)
}

fn ours_on<R: Runtime, P: Place<R>>(name: &'static str) -> Entry<R> {
    Entry::paced::<Ours<R, P>>(name).cancels::<Ours<R, P>>().nests::<Ours<R, P>>().collects::<Ours<R, P>>()
}

fn raw<R: Runtime>() -> Entry<R> {
    Entry::reaping::<Raw<R>>(FLOOR).nests::<Raw<R>>()
}

fn handles<R: Runtime>() -> Entry<R> {
    Entry::reaping::<Handles<R>>(HANDLES).cancels::<Handles<R>>().collects::<Handles<R>>()
}

fn unordered<R: Runtime>() -> Entry<R> {
    Entry::reaping::<Unordered<R>>("unordered").cancels::<Unordered<R>>().collects::<Unordered<R>>()
}

fn nursery<R: Runtime>() -> Entry<R> {
    Entry::reaping::<InNursery<R>>("nursery")
        .cancels::<InNursery<R>>()
        .nests::<InNursery<R>>()
        .collects::<InNursery<R>>()
}

/// Starts children and waits for all of them: W1, W2, W7, W8, W9.
pub trait Contestant<R: Runtime>: Sized + Send + 'static {
    fn open(runtime: &R) -> Self;

    fn launch<F>(&mut self, child: F)
    where
        F: Future<Output = ()> + Send + 'static;

    /// Starts a child of W4 or W7.
    fn launch_pending(&mut self) {
        self.launch(Pending::new());
    }

    fn join(self) -> impl Future<Output = ()> + Send;

    /// Starts one child, with no other child alive, and waits for it.
    fn one<F>(&mut self, child: F) -> impl Future<Output = ()> + Send
    where
        F: Future<Output = ()> + Send + 'static;
}

/// Notices by itself when children have ended: W3.
pub trait Reaps<R: Runtime>: Contestant<R> {
    /// Waits until one more child has ended, and keeps nothing of it.
    fn reap(&mut self) -> impl Future<Output = ()> + Send;
}

/// Can cancel: W4.
pub trait Cancels<R: Runtime>: Contestant<R> {
    /// Cancels every child, and waits until their futures are destroyed.
    fn cancel(self) -> impl Future<Output = ()> + Send;
}

/// Has a handle with which children can spawn: W5.
pub trait Nests<R: Runtime>: Sized + Send + 'static {
    type Nest: Nest;

    fn open(runtime: &R) -> Self;

    fn nest(&self) -> Self::Nest;

    /// Waits for all children. Their number is passed in, but only the floor uses it.
    fn join(self, children: usize) -> impl Future<Output = ()> + Send;
}

pub trait Nest: Clone + Send + 'static {
    fn launch<F>(&self, child: F)
    where
        F: Future<Output = ()> + Send + 'static;
}

/// Returns the children's values: W6.
pub trait Collects<R: Runtime>: 'static {
    /// Starts a child for each of these values and adds up what the children return, in the order in which they end if
    /// possible.
    fn sum(runtime: R, values: Range<u64>) -> impl Future<Output = u64> + Send;
}

/// A contestant that does not notice when a child has ended. In W3 the child reports it, on the floor's counter.
pub struct Paced<C> {
    inner: C,
    reaped: usize,
}

impl<R: Runtime, C: Contestant<R>> Contestant<R> for Paced<C> {
    fn open(runtime: &R) -> Self {
        ENDED.reset();
        Self { inner: C::open(runtime), reaped: 0 }
    }

    fn launch<F>(&mut self, child: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.inner.launch(Counted::new(child));
    }

    fn join(self) -> impl Future<Output = ()> + Send {
        self.inner.join()
    }

    fn one<F>(&mut self, child: F) -> impl Future<Output = ()> + Send
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.inner.one(child)
    }
}

impl<R: Runtime, C: Contestant<R>> Reaps<R> for Paced<C> {
    fn reap(&mut self) -> impl Future<Output = ()> + Send {
        self.reaped += 1;
        ENDED.wait_for(self.reaped)
    }
}

/// A contestant by name.
pub struct Competitor {
    pub name: &'static str,
    pub at_most: Option<usize>,
    pub late: bool,
    /// The workloads that it can run.
    pub workloads: Vec<Workload>,
}

type Drive<R> = fn(R, Job) -> workloads::Running;

/// A contestant on a runtime, with what it can do there.
pub struct Entry<R> {
    pub name: &'static str,
    /// The most children that it is given at once, if its time is quadratic in their number.
    pub at_most: Option<usize>,
    /// Whether it may report that children have ended before their futures are destroyed.
    pub late: bool,
    joins: Drive<R>,
    reaps: Drive<R>,
    cancels: Option<Drive<R>>,
    nests: Option<Drive<R>>,
    collects: Option<Drive<R>>,
    /// What the parent is run in, if it is not the only one there.
    inside: Option<fn(R, workloads::Running) -> workloads::Running>,
}

impl<R: Runtime> Entry<R> {
    /// A contestant that notices by itself when children have ended.
    fn reaping<C: Reaps<R>>(name: &'static str) -> Self {
        Self { reaps: workloads::reaps::<R, C>, ..Self::paced::<C>(name) }
    }

    fn paced<C: Contestant<R>>(name: &'static str) -> Self {
        Self {
            name,
            at_most: None,
            late: false,
            joins: workloads::joins::<R, C>,
            reaps: workloads::reaps::<R, Paced<C>>,
            cancels: None,
            nests: None,
            collects: None,
            inside: None,
        }
    }

    fn cancels<C: Cancels<R>>(self) -> Self {
        Self { cancels: Some(workloads::cancels::<R, C>), ..self }
    }

    fn nests<C: Nests<R>>(self) -> Self {
        Self { nests: Some(workloads::nests::<R, C>), ..self }
    }

    fn collects<C: Collects<R>>(self) -> Self {
        Self { collects: Some(workloads::collects::<R, C>), ..self }
    }

    fn at_most(self, children: usize) -> Self {
        Self { at_most: Some(children), ..self }
    }

    /// The parent is a child of one of our groups itself.
    fn inside<P: Place<R>>(self) -> Self {
        Self { inside: Some(ours::inside::<R, P>), ..self }
    }

    fn late(self) -> Self {
        Self { late: true, ..self }
    }

    /// What is known of it without its runtime.
    pub fn competitor(&self) -> Competitor {
        let workloads =
            Workload::ALL.into_iter().filter(|workload| self.drive(*workload).is_some()).collect();
        Competitor { name: self.name, at_most: self.at_most, late: self.late, workloads }
    }

    /// Starts a parent that runs this job, if the contestant can.
    pub fn start(&self, runtime: R, job: Job) -> Option<workloads::Running> {
        let drive = self.drive(job.workload)?;
        let parent = drive(runtime.clone(), job.for_late(self.late));
        Some(match self.inside {
            Some(inside) => inside(runtime, parent),
            None => parent,
        })
    }

    /// Returns how it runs this workload, if it can.
    pub fn drive(&self, workload: Workload) -> Option<Drive<R>> {
        match workload.entrance() {
            Entrance::Joins => Some(self.joins),
            Entrance::Reaps => Some(self.reaps),
            Entrance::Cancels => self.cancels,
            Entrance::Nests => self.nests,
            Entrance::Collects => self.collects,
        }
    }
}
