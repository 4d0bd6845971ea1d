//! What a group tells its spawner, and what a spawner can ask of a group.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, Weak};

use taskgroup::async_task::{self, Runnable};
use taskgroup::runtime::Dependent;
use taskgroup::{AnySpawner, JoinHandle, Spawner, Task, TaskGroup};

use crate::ledger::{Gate, Ledger, Log};
use crate::spawners::Mortal;
use crate::test::Test;

/// A spawner that logs which groups register with it and which children it starts.
#[derive(Clone)]
struct Noting {
    spawner: AnySpawner,
    log: Log,
    name: &'static str,
}

impl Noting {
    fn new(t: &Test, name: &'static str) -> Self {
        Self { spawner: t.spawner(), log: t.log.clone(), name }
    }
}

impl Spawner for Noting {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.log.write(format!("{} starts a child", self.name));
        self.spawner.spawn(future)
    }

    fn register(&self, group: Weak<dyn Dependent>) {
        self.log.write(format!("{} is told", self.name));
        self.spawner.register(group);
    }
}

pub async fn a_spawner_is_told_of_a_group_once_before_its_first_child(t: &Test) {
    let group = TaskGroup::new(Noting::new(t, "here"));
    t.log.write("open");
    group.launch(t.child(async {}));
    group.launch(t.child(async {}));
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["open", "here is told", "here starts a child", "here starts a child"]);
}

pub async fn another_spawner_is_told_before_the_first_child_it_is_given(t: &Test) {
    let group = TaskGroup::new(Noting::new(t, "here"));
    let elsewhere = group.on(Noting::new(t, "there"));
    group.launch(t.child(async {}));
    elsewhere.launch(t.child(async {}));
    elsewhere.clone().launch(t.child(async {}));
    group.join().await.unwrap();
    let here = ["here is told", "here starts a child"];
    let there = ["there is told", "there starts a child", "there starts a child"];
    assert_eq!(t.log.lines(), [&here[..], &there[..]].concat());
}

/// A spawner that asks groups to keep the cells of ended children for a while. It counts all cells.
#[derive(Clone, Default)]
struct Cells {
    queue: Arc<Mutex<VecDeque<Runnable>>>,
    ledger: Ledger,
}

impl Cells {
    /// Runs children until none is ready.
    fn run(&self) {
        let next = || self.queue.lock().unwrap().pop_front();
        while let Some(runnable) = next() {
            runnable.run();
        }
    }

    fn alive(&self) -> usize {
        self.ledger.read().alive()
    }
}

impl Spawner for Cells {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (queue, counted) = (self.queue.clone(), self.ledger.capture());
        let (runnable, task) = async_task::spawn(future, move |runnable| {
            let _counted = &counted;
            queue.lock().unwrap().push_back(runnable);
        });
        runnable.schedule();
        task
    }

    fn keeps_ended(&self) -> bool {
        true
    }
}

/// Opens a group with one child that lives until the gate opens, and twenty children that have ended.
fn twenty_have_ended(t: &Test, cells: &Cells, gate: &Gate) -> (TaskGroup<Cells>, JoinHandle<()>) {
    let group = TaskGroup::new(cells.clone());
    let opened = gate.clone();
    let last = group.spawn(t.child(async move { opened.wait().await }));
    (0..20).for_each(|_| group.launch(t.child(async {})));
    cells.run();
    assert_eq!((group.len(), t.ledger.read().alive()), (1, 1));
    (group, last)
}

pub async fn at_most_sixteen_cells_of_ended_children_are_kept(t: &Test) {
    let (cells, gate) = (Cells::default(), Gate::new());
    let (group, _last) = twenty_have_ended(t, &cells, &gate);
    assert_eq!(cells.alive(), 1 + 16);
    gate.open();
    cells.run();
    group.join().await.unwrap();
}

pub async fn whoever_spawns_next_frees_cells_that_are_kept(t: &Test) {
    let (cells, gate) = (Cells::default(), Gate::new());
    let (group, _last) = twenty_have_ended(t, &cells, &gate);
    let kept = cells.alive();
    group.launch(t.child(async {}));
    group.launch(t.child(async {}));
    assert!(cells.alive() < kept, "two are new, and more than two are gone");
    gate.open();
    cells.run();
    group.join().await.unwrap();
}

pub async fn no_cell_is_kept_when_no_child_lives(t: &Test) {
    let (cells, gate) = (Cells::default(), Gate::new());
    let (group, _last) = twenty_have_ended(t, &cells, &gate);
    gate.open();
    cells.run();
    assert_eq!((group.len(), cells.alive()), (0, 0));
    group.join().await.unwrap();
}

pub async fn no_cell_is_kept_when_the_last_child_is_cancelled(t: &Test) {
    let (cells, gate) = (Cells::default(), Gate::new());
    let (group, last) = twenty_have_ended(t, &cells, &gate);
    last.cancel();
    cells.run();
    assert_eq!((group.len(), cells.alive()), (0, 0));
    group.join().await.unwrap();
}

/// The same with a wrapper around each child, which goes on after the child has ended until the gate opens.
#[derive(Clone)]
struct Around {
    cells: Cells,
    gate: Gate,
    log: Log,
}

impl Spawner for Around {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (gate, log) = (self.gate.clone(), self.log.clone());
        self.cells.spawn(async move {
            future.await;
            gate.wait().await;
            log.write("around an ended child");
        })
    }

    fn keeps_ended(&self) -> bool {
        true
    }
}

/// A way in which cells that are kept are let go of: by whoever spawns next, and with the last child.
type Way = fn(&TaskGroup<Around>, &JoinHandle<()>, &Gate);

pub async fn what_is_around_a_child_whose_cell_was_kept_comes_to_its_end(t: &Test) {
    let ways: [(Way, usize); 3] = [
        (|group, _, _| (0..2).for_each(|_| group.launch(async {})), 6),
        (|_, _, gate| gate.open(), 5),
        (|_, last, _| last.cancel(), 4),
    ];
    for (way, ended) in ways {
        let (log, gate) = (Log::default(), Gate::new());
        let around = Around { cells: Cells::default(), gate: Gate::new(), log: log.clone() };
        let group = TaskGroup::new(around.clone());
        let opened = gate.clone();
        let last = group.spawn(t.child(async move { opened.wait().await }));
        (0..4).for_each(|_| group.launch(t.child(async {})));
        around.cells.run();
        assert_eq!(group.len(), 1);
        way(&group, &last, &gate);
        around.cells.run();
        around.gate.open();
        around.cells.run();
        assert_eq!(log.lines().len(), ended);
        gate.open();
        around.cells.run();
        group.join().await.unwrap();
        assert_eq!(around.cells.alive(), 0);
    }
}

/// A spawner whose runtime goes away, and reports that, while it starts a child.
#[derive(Clone, Default)]
struct Going(Mortal);

impl Spawner for Going {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let task = self.0.spawn(future);
        self.0.die();
        task
    }

    fn register(&self, group: Weak<dyn Dependent>) {
        self.0.register(group);
    }
}

pub async fn a_child_that_is_being_started_when_its_runtime_goes_is_lost(t: &Test) {
    let group = TaskGroup::new(Going::default());
    let handle = group.spawn(t.stuck());
    assert_eq!((t.ledger.read().polls, t.ledger.read().alive()), (1, 0));
    assert!(handle.await.unwrap_err().is_lost());
    assert!(group.join().await.unwrap_err().is_lost());
}
