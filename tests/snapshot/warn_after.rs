//! `warn_after`: which members are still there when a join takes long.

use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use taskgroup::group::MemberKind;
use taskgroup::runtime::{Timed, Timer};
use taskgroup::{Smol, Spawner, Task, TaskGroup};

use super::{Ex, STACK, poll, settle, watched};

/// A spawner whose clock is set by hand.
#[derive(Clone)]
struct ByHand(Ex, Hand);

#[derive(Clone, Default)]
struct Hand(Arc<Mutex<(Duration, Vec<Waker>)>>);

impl Spawner for ByHand {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, future: F) -> Task<()> {
        self.0.spawn(future)
    }
}

impl Timed for ByHand {
    type Timer = Hand;

    fn timer(&self) -> Hand {
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
