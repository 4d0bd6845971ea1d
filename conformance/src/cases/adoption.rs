//! Tasks that already run and are adopted by a group.

use std::convert::Infallible;
use std::future::Future;

use futures_lite::future::yield_now;
use taskgroup::runtime::Adopt;
use taskgroup::{Spawner, TaskGroup, scope};

use crate::ledger::Gate;
use crate::test::{Test, errors, panic_text};

/// Starts a task outside of every group. A channel delivers its output, possibly before the task is gone.
fn start<T: Send + 'static>(t: &Test, future: impl Future<Output = T> + Send + 'static) -> Running<T> {
    let (give, output) = async_channel::bounded(1);
    let task = t.spawner().spawn(t.child(async move {
        let _ = give.try_send(future.await);
    }));
    Running { task: Some(task), output }
}

/// A handle as a third party may have it: it can abort the task, and its channel closes when the task is gone.
struct Running<T> {
    task: Option<taskgroup::Task<()>>,
    output: async_channel::Receiver<T>,
}

impl<T: Send + 'static> Adopt for Running<T> {
    type Output = T;

    async fn run(mut self, cancelled: impl Future<Output = ()> + Send + 'static) -> Option<T> {
        let abort = async {
            cancelled.await;
            drop(self.task.take());
            std::future::pending().await
        };
        futures_lite::future::or(async { self.output.recv().await.ok() }, abort).await
    }
}

pub async fn its_value_and_its_end_are_the_groups(t: &Test) {
    let gate = Gate::new();
    let wait = gate.clone();
    let running = start(t, async move {
        wait.wait().await;
        Ok::<_, Infallible>(7)
    });
    let group = TaskGroup::new(t.spawner());
    let handle = group.adopt(running);
    assert_eq!(group.len(), 1);
    gate.open();
    group.join().await.unwrap();
    assert_eq!(handle.await.unwrap(), 7);
    t.nothing_alive().await;
}

pub async fn its_output_is_made_another_one(t: &Test) {
    let group = TaskGroup::fallible(t.spawner());
    let even = |number: u32| if number % 2 == 0 { Ok(number) } else { Err("odd") };
    let handle = group.adopt(start(t, async { 8 }).map_output(even));
    assert_eq!(handle.await.unwrap(), 8);
    let aborted = group.adopt(start(t, std::future::pending::<u32>()).map_output(even));
    aborted.cancel();
    assert!(aborted.await.unwrap_err().is_cancelled());
    assert!(!group.is_cancelled());
    drop(group.adopt(start(t, async { 7 }).map_output(even)));
    assert_eq!(errors(&group.join().await.unwrap_err()), ["odd"]);
    t.nothing_alive().await;
}

pub async fn its_error_fails_the_group(t: &Test) {
    let running = start(t, async { Err::<(), _>("its error") });
    let error = scope(t.spawner(), |group| async move {
        group.launch(t.stuck());
        group.adopt(running);
        std::future::pending::<Result<(), _>>().await
    });
    assert_eq!(error.await.unwrap_err().into_primary().unwrap(), "its error");
    t.nothing_alive().await;
}

pub async fn a_cancel_asks_for_the_abort_and_waits_for_the_end(t: &Test) {
    let alongside = !t.one_thread() && !t.inline();
    let (begun, open) = (Gate::new(), Gate::new());
    let (log, gone, wait) = (t.log.clone(), t.log.on_drop("captures gone"), open.clone());
    let began = begun.clone();
    // An abort takes effect at an await. So if the task runs on another thread, one poll lasts until the gate opens.
    let running = start(t, async move {
        let _gone = gone;
        began.open();
        while !wait.is_open() {
            if alongside {
                std::thread::yield_now();
            } else {
                yield_now().await;
            }
        }
        log.write("last poll");
        std::future::pending::<()>().await;
    });
    let group = TaskGroup::new(t.spawner());
    group.adopt(running);
    begun.wait().await;
    if !alongside {
        open.open();
        while t.log.count("last poll") == 0 {
            yield_now().await;
        }
    }
    group.cancel();
    if !t.inline() {
        assert_eq!(group.len(), 1, "it is counted until it has ended");
    }
    open.open();
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["last poll", "captures gone"]);
    t.nothing_alive().await;
}

pub async fn a_cancel_before_the_first_poll_waits_as_well(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let running = start(t, std::future::pending::<()>());
    let handle = group.adopt(running);
    group.cancel();
    group.join().await.unwrap();
    assert!(handle.await.unwrap_err().is_cancelled());
    t.nothing_alive().await;
}

pub async fn a_task_that_is_shielded_from_the_start_is_not_asked_to_end(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let (gate, log) = (Gate::new(), t.log.clone());
    let wait = gate.clone();
    let running = start(t, async move {
        wait.wait().await;
        log.write("ended by itself");
        Ok::<_, Infallible>(7)
    });
    let handle = group.child().shielded().adopt(running);
    group.cancel();
    t.step().await;
    gate.open();
    group.join().await.unwrap();
    assert_eq!((handle.await.unwrap(), t.log.lines()), (7, vec!["ended by itself".into()]));
    t.nothing_alive().await;
}

pub async fn one_adopted_task_is_cancelled_by_its_handle(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let handle = group.adopt(start(t, std::future::pending::<()>()));
    handle.cancel();
    assert!(handle.await.unwrap_err().is_cancelled());
    assert!(!group.is_cancelled());
    group.join().await.unwrap();
    t.nothing_alive().await;
}

pub async fn a_task_that_somebody_else_aborts_is_lost(t: &Test) {
    let mut running = start(t, std::future::pending::<()>());
    let task = running.task.take();
    let group = TaskGroup::new(t.spawner());
    let handle = group.adopt(running);
    drop(task);
    assert!(group.join().await.unwrap_err().is_lost());
    assert!(handle.await.unwrap_err().is_lost());
    t.nothing_alive().await;
}

pub async fn a_closed_group_aborts_what_it_does_not_take(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    group.close();
    let handle = group.adopt(start(t, std::future::pending::<()>()));
    assert!(handle.await.unwrap_err().is_cancelled());
    group.join().await.unwrap();
    t.nothing_alive().await;
}

pub async fn its_panic_is_the_groups(t: &Test) {
    struct Panics;

    impl Adopt for Panics {
        type Output = ();

        async fn run(self, _: impl Future<Output = ()> + Send + 'static) -> Option<()> {
            panic!("in the task")
        }
    }

    let group = TaskGroup::new(t.spawner());
    group.launch(t.stuck());
    let handle = group.adopt(Panics);
    assert_eq!(panic_text(group.join()).await, "in the task");
    assert!(handle.await.unwrap_err().is_panicked());
}

pub async fn it_has_a_name_and_its_error_tells_it(t: &Test) {
    let group = TaskGroup::fallible::<&str>(t.spawner());
    let handle = group.child().name("reader").adopt(start(t, async { Err::<(), _>("its error") }));
    assert_eq!(handle.name(), Some("reader"));
    let error = group.join().await.unwrap_err();
    assert_eq!(error.origin().unwrap().name(), Some("reader"));
    t.nothing_alive().await;
}
