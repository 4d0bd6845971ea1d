//! Code that waits for something other than the end of a group: that it is idle, that a child is ready, that a racer has
//! won, that a time has come.

use std::convert::Infallible;
use std::future::{Future, Ready, pending, ready};
use std::sync::Arc;
use std::time::Duration;

use loom::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use loom::thread;
use taskgroup::error::StartError;
use taskgroup::group::Racers;
use taskgroup::runtime::{Timed, Timer};
use taskgroup::{CancelReason, Spawner, Task, TaskGroup, race};

use super::{Capture, Threads, Yield, block_on, bounded};

/// Red if `wait` checks its condition before it listens, or if `Group::idle` does not have the last child report its end.
#[test]
fn the_last_child_ends_while_somebody_comes_to_wait_for_an_idle_group() {
    bounded(3, || {
        let alive = Arc::new(AtomicUsize::new(0));
        let group = TaskGroup::new(Threads);
        let captured = Capture::new(&alive);
        group.launch(async move {
            let _captured = captured;
            Yield(false).await;
        });
        block_on(group.group().idle());
        assert_eq!((group.len(), alive.load(SeqCst)), (0, 0));
        block_on(group.join()).unwrap();
    });
}

/// A waiter goes on waiting if a child has come since the last one left.
///
/// Red if `Waiter::listen` does not listen anew once it was told.
#[test]
fn a_child_comes_while_somebody_waits_for_an_idle_group() {
    bounded(2, || {
        let alive = Arc::new(AtomicUsize::new(0));
        let group = TaskGroup::new(Threads);
        let captured = Capture::new(&alive);
        group.launch(async move { drop(captured) });
        let outside = group.group();
        let other = thread::spawn(move || outside.launch(async {}));
        block_on(group.group().idle());
        assert_eq!(alive.load(SeqCst), 0);
        other.join().unwrap();
        block_on(group.join()).unwrap();
    });
}

/// A child that was ready has reported it, even if it has ended since.
///
/// Red if `Start::poll` relies on the stage that it saw before it checked whether the child has ended.
#[test]
fn a_child_is_ready_and_ends_while_somebody_comes_to_wait_for_it() {
    bounded(3, || {
        let alive = Arc::new(AtomicUsize::new(0));
        let group = TaskGroup::new(Threads);
        let value = Capture::new(&alive);
        let value = block_on(group.start(|ready| async move { ready.set(value) }));
        assert_eq!((value.is_ok(), alive.load(SeqCst)), (true, 1));
        drop(value);
        block_on(group.join()).unwrap();
        assert_eq!(alive.load(SeqCst), 0);
    });
}

/// The code that starts a child gets what the child reported, or learns that the child was cut before it could report.
///
/// Red if `Start::poll` does not check whether the group is cancelled when the child was.
#[test]
fn a_child_is_ready_while_its_group_is_cancelled() {
    bounded(2, || {
        let (alive, said) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let group = TaskGroup::new(Threads);
        let (value, says) = (Capture::new(&alive), said.clone());
        let start = group.start(|ready| async move {
            ready.set(value);
            says.store(1, SeqCst);
            pending::<()>().await
        });
        let outside = group.group();
        let other = thread::spawn(move || outside.cancel());
        match block_on(start) {
            Ok(value) => {
                assert_eq!(alive.load(SeqCst), 1);
                drop(value);
            }
            Err(StartError::Cancelled) => assert_eq!((said.load(SeqCst), alive.load(SeqCst)), (0, 0)),
            Err(error) => panic!("{error}"),
        }
        block_on(group.join()).unwrap();
        assert_eq!(alive.load(SeqCst), 0);
        other.join().unwrap();
    });
}

/// One value comes out, and it did not come after the other one. A value that comes too late is gone before the race has
/// ended.
///
/// Red if `Values::finish` keeps the last value, or if `Finish::finish_with` cancels before it leaves the value.
#[test]
fn two_racers_finish_at_once() {
    bounded(2, || {
        let (values, racing) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (made, raced) = (values.clone(), racing.clone());
        let raced = race(Threads, move |racers: Racers<_, _, Infallible>| async move {
            for _ in 0..2 {
                let (group, value, capture) = (racers.clone(), Capture::new(&made), Capture::new(&raced));
                racers.enter(async move {
                    let _capture = capture;
                    Ok((group.is_cancelled(), value))
                });
            }
            Ok(())
        });
        let (late, value) = block_on(raced).unwrap();
        assert!(!late, "another one had won");
        assert_eq!((racing.load(SeqCst), values.load(SeqCst)), (0, 1));
        drop(value);
        assert_eq!(values.load(SeqCst), 0);
    });
}

/// A thread outside is not waited for. If it cuts the others, it has left a value before that.
///
/// Red if `Finish::finish_with` cancels before it leaves the value, or if `Finishing::poll` does not refuse what comes
/// later.
#[test]
fn a_racer_finishes_while_somebody_outside_ends_the_race() {
    bounded(3, || {
        let (values, racing) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (made, capture) = (values.clone(), Capture::new(&racing));
        let (sender, receiver) = std::sync::mpsc::channel();
        let raced = race(Threads, move |racers: Racers<_, _, Infallible>| async move {
            let (value, outside) = (Capture::new(&made), racers.clone());
            racers.enter(async move {
                let _capture = capture;
                Ok(value)
            });
            let value = Capture::new(&made);
            let other = thread::spawn(move || {
                outside.finish_with(value);
                outside
            });
            sender.send(other).unwrap();
            Ok(())
        });
        let value = block_on(raced).unwrap();
        assert_eq!(racing.load(SeqCst), 0);
        let outside = receiver.recv().unwrap().join().unwrap();
        assert_eq!(values.load(SeqCst), 1);
        drop(value);
        assert_eq!(values.load(SeqCst), 0);
        drop(outside);
    });
}

/// If all members ended in time, none was cut. Otherwise the report names those that were.
///
/// Red if `Shutdown::poll` asks which members are left after it has cancelled the group.
#[test]
fn a_grace_is_over_while_the_last_child_ends() {
    bounded(3, || {
        let returned = Arc::new(AtomicUsize::new(0));
        let group = TaskGroup::new(Impatient::default());
        let returns = returned.clone();
        group.child().name("last").launch(async move {
            Yield(false).await;
            returns.store(1, SeqCst);
        });
        let report = block_on(group.shutdown(Duration::ZERO)).unwrap();
        let forced = report.forced().iter().map(|origin| origin.name()).collect::<Vec<_>>();
        match report.is_graceful() {
            true => assert_eq!(returned.load(SeqCst), 1, "it was cut, and nobody says so"),
            false => assert_eq!(forced, [Some("last")]),
        }
    });
}

/// A deadline outranks an explicit cancel while a member delays that cancel.
///
/// Red if an explicit cancel cuts the watcher of the deadline, or if `State::end_deadline` keeps the first reason.
#[test]
fn a_deadline_passes_while_a_child_holds_up_a_cancel() {
    bounded(2, || {
        let group = TaskGroup::new(Impatient::default());
        let member = group.group();
        group.launch(async move {
            member.cancel();
            while member.reason() != Some(CancelReason::Deadline) {
                thread::yield_now();
            }
            pending::<()>().await
        });
        group.set_deadline(Some(Duration::ZERO));
        assert_eq!(block_on(group.join()).unwrap_err().reason(), Some(&CancelReason::Deadline));
    });
}

/// A deadline that finds no member left is not the reason. If it is the reason, it has cut a member.
///
/// Red if `State::end_deadline` does not check whether any member is left.
#[test]
fn a_deadline_passes_while_the_last_child_is_cancelled() {
    bounded(1, || {
        let spawner = Impatient::default();
        let group = TaskGroup::new(spawner.clone());
        group.launch(pending::<()>());
        group.set_deadline(Some(Duration::ZERO));
        let member = group.group();
        group.cancel();
        block_on(group.idle());
        spawner.idle.store(1, SeqCst);
        let joined = block_on(group.join());
        match member.reason() {
            Some(CancelReason::Deadline) => {
                assert_eq!(joined.unwrap_err().reason(), Some(&CancelReason::Deadline));
                assert_eq!(spawner.late.load(SeqCst), 0, "nobody was left whom it could cut");
            }
            reason => {
                assert!(matches!(reason, Some(CancelReason::Explicit(_))), "{reason:?}");
                joined.unwrap();
            }
        }
    });
}

/// [`Threads`] with a clock on which no time passes: every sleep is over at once.
#[derive(Clone, Default)]
struct Impatient {
    /// Set once no member is left.
    idle: Arc<AtomicUsize>,
    /// Whether the time was asked for after that.
    late: Arc<AtomicUsize>,
}

impl Spawner for Impatient {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Threads.spawn(future)
    }
}

impl Timed for Impatient {
    type Timer = Self;

    fn timer(&self) -> Self {
        self.clone()
    }
}

impl Timer for Impatient {
    type Sleep = Ready<()>;

    fn now(&self) -> Duration {
        self.late.store(self.idle.load(SeqCst), SeqCst);
        Duration::ZERO
    }

    fn sleep_until(&self, _: Duration) -> Ready<()> {
        ready(())
    }
}
