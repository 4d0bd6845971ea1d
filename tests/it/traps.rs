//! Traps: faults and surprises of the crates that this one builds on. For each there is a test that would fail if we fell
//! in.
//!
//! The numbers are those of the list that was made beforehand. Each row describes the trap, names the test for it, and
//! names the change of one line of this crate that falls into it. Each change was made once, and the test was red.
//!
//! ```text
//!  1       async-task, unless told to propagate panics, loses the wake-up of the code that awaits a task, if the task is
//!          cancelled while it runs and then panics
//!     test trap_01_a_child_cancelled_in_the_poll_that_panics_wakes_its_joiner
//!     red  if Child::poll does not catch
//!  2       async-task reports a panic before the future is dropped
//!     test trap_02_a_panic_is_told_to_nobody_while_the_destructor_runs
//!     red  if let_go delivers before it drops
//!  3       async-task aborts the process when a future's destructor panics
//!     test smol_*::bad_input::a_destructor_panics_when_its_child_is_cut
//!     red  if close does not catch
//!  4       Task::cancel loses the output of a last poll that was under way
//!     test *::panics::a_child_that_is_cancelled_in_its_last_poll_keeps_its_value
//!     red  if Child::poll treats a value of a cancelled child as cancelled
//!  5       Task::is_finished is true while the destructor runs
//!     test trap_05_a_handle_is_not_finished_while_the_destructor_runs
//!     red  if let_go delivers before it drops
//!  6       async-executor calls iterators and wakers under its mutex, so code that spawns from there deadlocks
//!     test trap_06_a_spawner_is_called_with_no_lock_held
//!     red  if hand_over holds the table while it spawns
//! 12       Tokio's handles use up the budget of the task that awaits them, and a FuturesUnordered of them takes
//!          quadratic time
//!     test trap_12_many_handles_are_awaited_in_one_tokio_task_at_a_poll_or_two_each
//!     red  if JoinHandle::poll asks for budget
//! 13       everything that is driven inside one Tokio task shares one budget
//!     test pool::on_tokio::a_driver_gives_way_when_the_budget_is_spent
//!     red  if has_budget of the handle is always true
//!          a Tokio worker keeps the task that it woke last to itself, and another worker that goes to sleep at that
//!          moment is not told of the task; both matter only if a task blocks
//!     test pool::on_tokio::a_child_spawns_ten_siblings_and_then_blocks
//!     red  if kick of the handle does nothing; once in a hundred times, on a busy machine, if it does not kick again
//! 14       event-listener wakes under its mutex, where a waker may drop another listener
//!     test on_tokio::a_waker_that_drops_other_waiters_does_not_deadlock
//!     red  if Deferred wakes at once
//! 17       a Tokio runtime that has shut down takes a future and drops it unpolled
//!     test on_tokio::a_shut_down_runtime_loses_what_is_spawned_on_it
//!     red  if end_unasked treats a child that was not cancelled as cancelled
//! 18       a Tokio runtime that goes away drops tasks, and the tasks on it that await them are not told
//!     test on_tokio::a_shut_down_runtime_loses_its_children_and_join_ends
//!     red  if the destructor of Child does nothing
//! 19       awaiting a task of an executor that is gone panics
//!     test on_smol::an_adopted_task_of_an_executor_that_is_dropped_is_lost
//!     red  if Adopt for Task does not use fallible
//! 20       Task::cancel does nothing before it is polled, and hangs if no thread runs the executor
//!     test trap_20_a_cancel_waits_for_no_executor
//!     red  if dispose waits for the cancel of a Task
//! 24       a child that joins its own group waits for itself
//!     test *::nesting::joining_inside_of_the_own_child_panics
//!     red  if refuse_own_child refuses nothing
//! 28       an empty JoinSet is at its end at once, and a loop over it spins
//!     test *::results::without_children_they_pend_until_the_group_is_closed
//!     red  if poll_finished does not ask whether the group is closed
//! 31       work that blocks cannot be cut, and code that does not wait for it leaves it behind
//!     test blocking::*::a_cancel_waits_for_work_that_has_begun
//!     red  if spawn_blocking does not use a shield
//! ```

use std::future::poll_fn;
use std::sync::mpsc;
use std::task::Poll;

use futures_lite::future::{block_on, poll_once};
use taskgroup::TaskGroup;
use taskgroup_conformance::ledger::Gate;
use taskgroup_conformance::spawners::{Inline, ThreadEach};
use taskgroup_conformance::{panic_text, quiet_panic, watched};

/// The child is cancelled while it is polled, and the join is polled between the cancel and the panic.
#[test]
fn trap_01_a_child_cancelled_in_the_poll_that_panics_wakes_its_joiner() {
    watched(|| {
        let group = TaskGroup::new(ThreadEach);
        let (inside, (go, gone)) = (Gate::new(), mpsc::channel::<()>());
        let open = inside.clone();
        let handle = group.spawn(async move {
            open.open();
            assert!(gone.recv().is_err());
            quiet_panic("boom")
        });
        block_on(inside.wait());
        handle.cancel();
        let mut join = Box::pin(panic_text(group.join()));
        assert!(block_on(poll_once(join.as_mut())).is_none());
        drop(go);
        assert_eq!(block_on(join), "boom");
        assert!(block_on(handle).unwrap_err().is_panicked());
    });
}

/// Reports that it is being dropped, and waits there.
struct Blocks(Gate, mpsc::Receiver<()>);

impl Drop for Blocks {
    fn drop(&mut self) {
        self.0.open();
        assert!(self.1.recv().is_err());
    }
}

#[test]
fn trap_02_a_panic_is_told_to_nobody_while_the_destructor_runs() {
    watched(|| {
        let group = TaskGroup::new(ThreadEach);
        let (inside, (go, gone)) = (Gate::new(), mpsc::channel::<()>());
        let blocks = Blocks(inside.clone(), gone);
        // Not a local variable of the child: that would be gone before the panic is caught.
        let mut handle = group.spawn(poll_fn(move |_| -> Poll<()> {
            let _blocks = &blocks;
            quiet_panic("boom")
        }));
        block_on(inside.wait());
        assert!(block_on(poll_once(&mut handle)).is_none());
        let mut join = Box::pin(panic_text(group.join()));
        assert!(block_on(poll_once(join.as_mut())).is_none());
        drop(go);
        assert_eq!(block_on(join), "boom");
        assert!(block_on(handle).unwrap_err().is_panicked());
    });
}

#[test]
fn trap_05_a_handle_is_not_finished_while_the_destructor_runs() {
    watched(|| {
        let group = TaskGroup::new(ThreadEach);
        let (inside, (go, gone)) = (Gate::new(), mpsc::channel::<()>());
        let blocks = Blocks(inside.clone(), gone);
        let handle = group.spawn(poll_fn(move |_| {
            let _blocks = &blocks;
            Poll::Ready(Ok(7))
        }));
        block_on(inside.wait());
        assert!(!handle.is_finished());
        assert_eq!(group.len(), 1);
        drop(go);
        assert_eq!(block_on(handle).unwrap(), 7);
        block_on(group.join()).unwrap();
    });
}

/// The child is polled inside the call, and does with its group all that it may do.
#[test]
fn trap_06_a_spawner_is_called_with_no_lock_held() {
    watched(|| {
        let group = TaskGroup::new(Inline);
        let own = group.group();
        group.launch(async move {
            own.launch(async {});
            assert_eq!(own.len(), 1);
            own.cancel();
            assert!(own.reason().is_some());
        });
        assert!(group.is_empty());
        block_on(group.join()).unwrap();
    });
}

#[cfg(feature = "tokio")]
#[test]
fn trap_12_many_handles_are_awaited_in_one_tokio_task_at_a_poll_or_two_each() {
    use futures_lite::StreamExt;
    use futures_util::stream::FuturesUnordered;
    use taskgroup_conformance::ledger::Ledger;

    const MANY: usize = 5_000;

    watched(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let awaited = Ledger::default();
        runtime.block_on(async {
            let group = TaskGroup::new(runtime.handle().clone());
            let mut handles: FuturesUnordered<_> =
                (0..MANY).map(|number| awaited.track(group.spawn(async move { Ok(number) }))).collect();
            let mut sum = 0;
            while let Some(number) = handles.next().await {
                sum += number.unwrap();
            }
            assert_eq!(sum, MANY * (MANY - 1) / 2);
            group.join().await.unwrap();
        });
        let polls = awaited.read().polls;
        assert!(polls <= 2 * MANY, "{polls} polls for {MANY} handles");
    });
}

/// A cancel only sets a mark, for which nothing has to run. The end of a child needs a thread that runs the executor.
#[cfg(feature = "smol")]
#[test]
fn trap_20_a_cancel_waits_for_no_executor() {
    use taskgroup_conformance::ledger::Ledger;

    watched(|| {
        let executor = std::sync::Arc::new(async_executor::Executor::new());
        let children = Ledger::default();
        let group = TaskGroup::new(executor.clone());
        let one = group.spawn(children.track(std::future::pending::<()>()));
        group.launch(children.track(std::future::pending::<()>()));
        one.cancel();
        group.cancel();
        assert_eq!(children.read().alive(), 2, "nobody has dropped them");
        let mut join = Box::pin(group.join());
        assert!(block_on(poll_once(join.as_mut())).is_none());
        block_on(executor.run(join)).unwrap();
        assert_eq!(children.read().alive(), 0);
    });
}
