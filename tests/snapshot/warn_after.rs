//! `warn_after`: which members are still there when a join takes long.

use std::future::{Future, pending, poll_fn};
use std::panic::resume_unwind;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use taskgroup::group::{Asked, MemberKind};
use taskgroup::runtime::{Timed, Timer};
use taskgroup::{Smol, Spawner, Task, TaskGroup};

use super::{Ex, STACK, poll, settle, watched};

/// A spawner with a clock of its own.
#[derive(Clone)]
struct ByHand<T = Hand>(Ex, T);

/// A clock that is set by hand.

#[derive(Clone, Default)]
struct Hand(Arc<Mutex<(Duration, Vec<Waker>)>>);

impl<T: Timer> Spawner for ByHand<T> {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, future: F) -> Task<()> {
        self.0.spawn(future)
    }
}

impl<T: Timer> Timed for ByHand<T> {
    type Timer = T;

    fn timer(&self) -> T {
        self.1.clone()
    }
}

impl Hand {
    fn advance(&self, time: Duration) {
        let mut clock = self.0.lock().unwrap();
        clock.0 += time;
        let wakers = std::mem::take(&mut clock.1);
        drop(clock);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Timer for Hand {
    type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn now(&self) -> Duration {
        self.0.lock().unwrap().0
    }

    fn sleep_until(&self, at: Duration) -> Self::Sleep {
        let clock = self.0.clone();
        Box::pin(poll_fn(move |cx| {
            let mut clock = clock.lock().unwrap();
            if clock.0 >= at {
                return Poll::Ready(());
            }
            clock.1.push(cx.waker().clone());
            Poll::Pending
        }))
    }
}

#[test]
fn a_join_that_takes_long_warns_again_whenever_the_wait_has_doubled() {
    watched(STACK, || {
        let clock = Hand::default();
        let group = TaskGroup::new(ByHand(Ex::default(), clock.clone()));
        group.child().name("deaf").launch(pending::<()>());
        let (inside, log) = (group.group(), Arc::new(Mutex::new(Vec::new())));
        let (told, at) = (log.clone(), clock.clone());
        let mut join = pin!(group.join().warn_after(Duration::from_secs(10), move |left| {
            assert_eq!(left.culprits()[0].name(), Some("deaf"));
            assert!(left.group().is_awaited());
            told.lock().unwrap().push(at.now().as_secs());
        }));
        for _ in 0..100 {
            assert!(poll(join.as_mut()).is_pending());
            clock.advance(Duration::from_secs(1));
        }
        assert_eq!(*log.lock().unwrap(), [10, 20, 40, 80]);
        inside.cancel();
        settle(&inside.spawner().0);
        assert!(matches!(poll(join), Poll::Ready(Ok(()))));
    });
}

#[test]
fn a_join_that_is_quick_does_not_warn() {
    let group = TaskGroup::new(Smol);
    group.launch(async {});
    let join = group.join().warn_after(Duration::from_secs(3600), |left| panic!("{left}"));
    watched(STACK, move || smol::block_on(join)).unwrap();
}

#[test]
fn whoever_keeps_a_deadline_is_at_the_line_that_set_it() {
    let clock = Hand::default();
    let (at_open, builder) = (line!(), TaskGroup::builder::<()>(ByHand(Ex::default(), clock.clone())));
    let opened = builder.deadline(Duration::from_secs(1)).open();
    let later = TaskGroup::fallible(ByHand(Ex::default(), clock));
    let (at_set, ()) = (line!(), later.set_deadline(Some(Duration::from_secs(1))));
    for (group, line) in [(opened, at_open), (later, at_set)] {
        let snapshot = group.snapshot();
        let keeper = snapshot.members().find(|member| member.kind() == MemberKind::Deadline).unwrap();
        assert_eq!((keeper.location().file(), keeper.location().line()), (file!(), line));
    }
}

#[test]
fn whoever_keeps_a_deadline_is_not_asked_to_end_by_a_handle() {
    let executor = Ex::default();
    let builder = TaskGroup::builder::<()>(ByHand(executor.clone(), Hand::default()));
    let group = builder.deadline(Duration::from_secs(1)).open();
    settle(&executor);
    let mut idle = pin!(group.ended());
    group.close();
    assert!(poll(idle.as_mut()).is_pending());
    let snapshot = group.snapshot();
    let keeper = snapshot.members().find(|member| member.kind() == MemberKind::Deadline).unwrap();
    assert_eq!(keeper.asked(), Some(Asked::OthersEnded));
}

/// A clock that does not know the time any more.
#[derive(Clone)]
struct Broken;

impl Timer for Broken {
    type Sleep = std::future::Pending<()>;

    fn now(&self) -> Duration {
        resume_unwind(Box::new("broken"))
    }

    fn sleep_until(&self, _: Duration) -> Self::Sleep {
        pending()
    }
}

#[test]
fn a_clock_that_panics_does_not_matter_to_whoever_looks() {
    let at = Duration::from_secs(1);
    let group = TaskGroup::builder::<()>(ByHand(Ex::default(), Broken)).deadline(at).open();
    let snapshot = group.snapshot();
    assert_eq!((snapshot.group().deadline(), snapshot.group().remaining()), (Some(at), None));
    assert!(snapshot.to_string().contains("is still open"));
}
