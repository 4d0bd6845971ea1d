//! Injected faults: spawners that break their promises, wakers that are woken at any time, children that leak.

use std::convert::Infallible;
use std::future::{Future, pending, poll_fn, ready};
use std::hash::{Hash, Hasher};
use std::num::NonZero;
use std::pin::pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use futures_lite::FutureExt;
use futures_lite::future::{Boxed, block_on, poll_once, yield_now};
use taskgroup::async_task::{self, Runnable};
use taskgroup::runtime::{Adopt, SpawnBlocking, Timed, Timer, lazily};
use taskgroup::{JoinHandle, Spawner, Task, TaskGroup};
use taskgroup_conformance::ledger::{Gate, Ledger, Wakes};
use taskgroup_conformance::list::contract;
use taskgroup_conformance::spawners::ThreadEach;
use taskgroup_conformance::{Rig, watched};

use crate::brittle::{Bomb, panic_of, unwinds_over};
use crate::hostile::OnDrop;

/// Keeps what it is given until it is told to run it, or to drop it.
#[derive(Clone, Default)]
struct Later(Arc<Mutex<Vec<Runnable>>>);

impl Spawner for Later {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let kept = self.0.clone();
        let (runnable, task) = async_task::spawn(future, move |runnable| kept.lock().unwrap().push(runnable));
        runnable.schedule();
        task
    }
}

impl SpawnBlocking for Later {
    fn spawn_blocking<W, O>(&self, work: W) -> impl Adopt<Output = O> + use<W, O>
    where
        W: FnOnce() -> O + Send + 'static,
        O: Send + 'static,
    {
        lazily(move || {
            let (runnable, task) = async_task::spawn(async move { work() }, |runnable: Runnable| {
                runnable.run();
            });
            runnable.schedule();
            task
        })
    }
}

impl Timed for Later {
    type Timer = Self;

    fn timer(&self) -> Self {
        self.clone()
    }
}

/// A clock that stands still.
impl Timer for Later {
    type Sleep = Boxed<()>;

    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep_until(&self, at: Duration) -> Boxed<()> {
        if at > self.now() { pending().boxed() } else { ready(()).boxed() }
    }
}

impl Later {
    fn take(&self) -> Vec<Runnable> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    fn run(&self) {
        self.take().into_iter().for_each(|runnable| {
            runnable.run();
        });
    }
}

/// A group with a deadline that is not reached, and the child that watches the deadline, which has not begun.
fn with_a_deadline() -> (Later, TaskGroup<Later>, Vec<Runnable>) {
    let later = Later::default();
    let group = TaskGroup::builder(later.clone()).timeout(Duration::from_secs(1)).open();
    let deadline = later.take();
    assert_eq!(deadline.len(), 1);
    (later, group, deadline)
}

#[test]
fn children_that_are_started_late_are_waited_for() {
    watched(|| {
        let (later, children) = (Later::default(), Ledger::default());
        let group = TaskGroup::new(later.clone());
        (0..10).for_each(|_| group.launch(children.track(yield_now())));
        let mut join = pin!(group.join());
        for _ in 0..2 {
            assert!(block_on(poll_once(join.as_mut())).is_none());
            later.run();
        }
        block_on(join).unwrap();
        assert_eq!((children.read().completed, children.read().alive()), (10, 0));
    });
}

/// As in a destructor that runs a group to its end.
#[test]
fn what_is_run_while_its_thread_unwinds_loses_no_panic() {
    /// With its children, who begin before they are cancelled, or not.
    struct Runs(Option<(Later, TaskGroup<Later>)>, bool, mpsc::Sender<String>);

    impl Drop for Runs {
        fn drop(&mut self) {
            let (later, group) = self.0.take().unwrap();
            if self.1 {
                later.run();
            }
            group.cancel();
            later.run();
            self.2.send(panic_of(|| block_on(group.join()))).unwrap();
        }
    }

    /// All are the same key.
    #[derive(Clone)]
    struct Key(#[expect(dead_code, reason = "it is dropped")] Arc<Bomb>);

    impl PartialEq for Key {
        fn eq(&self, _: &Self) -> bool {
            true
        }
    }

    impl Eq for Key {}

    impl Hash for Key {
        fn hash<H: Hasher>(&self, _: &mut H) {}
    }

    type Spawn = fn(&TaskGroup<Later>);
    let spawn: [(bool, Spawn); 4] = [
        (true, |group| drop(group.spawn(async { Ok(Bomb) }))),
        (true, |group| {
            let bomb = Bomb;
            group.launch(async move {
                let _captured = bomb;
                pending::<()>().await;
            });
        }),
        (true, |group| drop(group.keyed().replace(Key(Arc::new(Bomb)), pending::<()>()))),
        (false, |group| {
            let bomb = Bomb;
            drop(group.spawn_blocking(move || drop(bomb)));
        }),
    ];
    watched(move || {
        for (begin, spawn) in spawn {
            let (later, (send, told)) = (Later::default(), mpsc::channel());
            let group = TaskGroup::new(later.clone());
            spawn(&group);
            unwinds_over(Runs(Some((later, group)), begin, send));
            assert_eq!(told.recv().unwrap(), "dropped");
        }
    });
}

#[test]
fn children_that_were_cancelled_before_they_are_started_never_begin() {
    watched(|| {
        let (later, children) = (Later::default(), Ledger::default());
        let group = TaskGroup::new(later.clone());
        (0..10).for_each(|_| group.launch(children.track(yield_now())));
        group.cancel();
        let mut join = pin!(group.join());
        assert!(block_on(poll_once(join.as_mut())).is_none(), "their futures are there");
        later.run();
        block_on(join).unwrap();
        assert_eq!((children.read().polls, children.read().alive()), (0, 0));
    });
}

#[test]
fn children_that_are_dropped_in_place_of_being_started_are_lost() {
    watched(|| {
        let (later, children) = (Later::default(), Ledger::default());
        let group = TaskGroup::new(later.clone());
        (0..10).for_each(|_| group.launch(children.track(yield_now())));
        drop(later.take());
        assert!(block_on(group.join()).unwrap_err().is_lost());
        assert_eq!((children.read().polls, children.read().alive()), (0, 0));
    });
}

/// The lost child gets no place meanwhile. It would have to lend the place to the child that it awaits, and does not look
/// for it.
#[test]
fn a_queued_child_that_is_lost_awaits_the_next_one_in_its_destructor() {
    for awaited in [false, true] {
        watched(move || {
            let (later, gate) = (Later::default(), Gate::new());
            let group = TaskGroup::builder::<Infallible>(later.clone()).limit(NonZero::<usize>::MIN).open();
            let ((give, lost), wait) = (async_channel::bounded::<JoinHandle<()>>(1), gate.clone());
            group.launch(async move {
                wait.wait().await;
                if awaited {
                    lost.recv().await.unwrap().await.unwrap_err();
                }
            });
            later.run();
            let ((send, next), (begin, begun)) = (mpsc::channel::<JoinHandle<()>>(), mpsc::channel());
            let awaits = OnDrop(move || {
                let mut next = next.recv().unwrap();
                assert!(block_on(poll_once(&mut next)).is_none());
                begin.send(()).unwrap();
                block_on(next).unwrap();
            });
            let handle = group.spawn(async move { drop(awaits) });
            let queued = later.take();
            send.send(group.spawn(async {})).unwrap();
            let losing = thread::spawn(|| drop(queued));
            begun.recv().unwrap();
            give.try_send(handle).unwrap();
            gate.open();
            while !losing.is_finished() {
                later.run();
            }
            later.run();
            assert!(block_on(group.join()).unwrap_err().is_lost());
        });
    }
}

#[test]
fn a_deadline_that_is_lost_with_the_runtime_was_met_by_those_who_have_returned() {
    watched(|| {
        let ((later, group, deadline), children) = (with_a_deadline(), Ledger::default());
        group.launch(children.track(async {}));
        later.run();
        assert_eq!(children.read().completed, 1);
        drop(deadline);
        block_on(group.join()).unwrap();
    });
}

#[test]
fn a_deadline_that_is_lost_alone_takes_those_who_run_with_it() {
    watched(|| {
        let ((later, group, deadline), children) = (with_a_deadline(), Ledger::default());
        group.launch(children.track(pending::<()>()));
        drop(deadline);
        assert!(group.try_spawn(async {}).is_err(), "it would have no deadline");
        let mut join = pin!(group.join());
        assert!(block_on(poll_once(join.as_mut())).is_none(), "its future is there");
        drop(later.take());
        assert!(block_on(join).unwrap_err().is_lost());
        assert_eq!(children.read().alive(), 0);
    });
}

#[test]
fn a_child_that_is_refused_since_the_deadline_was_lost_is_missed() {
    watched(|| {
        let ((_later, group, deadline), children) = (with_a_deadline(), Ledger::default());
        drop(deadline);
        group.launch(children.track(async {}));
        assert!(block_on(group.join()).unwrap_err().is_lost());
        assert_eq!((children.read().polls, children.read().alive()), (0, 0));
    });
}

#[test]
fn a_background_child_that_goes_after_its_deadline_was_lost_is_missed() {
    watched(|| {
        let ((later, group, deadline), children) = (with_a_deadline(), Ledger::default());
        group.child().background().launch(children.track(pending::<()>()));
        drop(deadline);
        drop(later.take());
        assert!(block_on(group.join()).unwrap_err().is_lost());
        assert_eq!(children.read().alive(), 0);
    });
}

/// Background children, whether the deadline cuts them or they come after it.
#[test]
fn whoever_is_not_missed_is_not_missed_after_a_deadline_either() {
    watched(|| {
        let (later, children) = (Later::default(), Ledger::default());
        let group = TaskGroup::builder::<Infallible>(later.clone()).deadline(Duration::ZERO).open();
        group.child().background().launch(children.track(pending::<()>()));
        while !group.is_cancelled() {
            later.run();
        }
        group.child().background().launch(children.track(async {}));
        drop(later.take());
        block_on(group.join()).unwrap();
        assert_eq!((children.read().completed, children.read().alive()), (0, 0));
    });
}

/// A thread that no runtime knows has the wakers of a child, and wakes them again and again, even when the child has ended.
#[test]
fn wakers_are_woken_from_elsewhere_too_often_and_too_late() {
    watched(|| {
        let (children, (give, take)) = (Ledger::default(), async_channel::unbounded::<Waker>());
        let waking = thread::spawn(move || {
            let mut known = Vec::new();
            while let Ok(waker) = take.recv_blocking() {
                known.push(waker);
                known.iter().for_each(Waker::wake_by_ref);
            }
            known
        });
        let group = TaskGroup::new(ThreadEach);
        // There is a limit because with each new waker the thread wakes all that it knows, and each wake can bring another
        // waker.
        let child = |is_stuck: bool| {
            let (mut polls, give) = (0, give.clone());
            children.track(poll_fn(move |cx| {
                polls += 1;
                if polls <= 50 {
                    give.try_send(cx.waker().clone()).unwrap();
                }
                if is_stuck || polls < 50 { Poll::Pending } else { Poll::Ready(()) }
            }))
        };
        (0..4).for_each(|_| group.launch(child(false)));
        let handle = group.spawn(child(true));
        drop(give);
        while group.len() > 1 {
            thread::yield_now();
        }
        handle.cancel();
        block_on(group.join()).unwrap();
        let left = children.read();
        assert_eq!((left.completed, left.alive()), (4, 0));
        for waker in waking.join().unwrap() {
            waker.wake_by_ref();
            waker.wake();
        }
        assert_eq!(children.read(), left);
    });
}

#[test]
fn a_join_is_polled_without_having_been_woken() {
    watched(|| {
        let (children, gate) = (Ledger::default(), Gate::new());
        let group = TaskGroup::new(ThreadEach);
        let wait = gate.clone();
        group.launch(children.track(async move { wait.wait().await }));
        let mut join = pin!(group.join());
        let wakes: Vec<_> = (0..100).map(|_| Arc::new(Wakes::default())).collect();
        for wakes in &wakes {
            let waker = Waker::from(wakes.clone());
            assert!(join.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        gate.open();
        // The waker of the last poll is woken; the others need not be.
        while wakes[99].count() == 0 {
            thread::yield_now();
        }
        assert!(join.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
        assert_eq!(children.read().alive(), 0);
    });
}

#[test]
fn a_handle_that_is_leaked_keeps_nothing_of_the_child_but_its_value() {
    watched(|| {
        static LEAKED: Mutex<Vec<JoinHandle<()>>> = Mutex::new(Vec::new());
        let children = Ledger::default();
        let group = TaskGroup::new(ThreadEach);
        for _ in 0..2 {
            LEAKED.lock().unwrap().push(group.spawn(children.track(async {})));
            LEAKED.lock().unwrap().push(group.spawn(children.track(pending::<()>())));
        }
        group.cancel();
        block_on(group.join()).unwrap();
        assert_eq!(children.read().alive(), 0);
    });
}

/// A child owns its group and its own handle, and both know the child.
#[test]
fn a_cycle_through_a_child_goes_with_the_child() {
    watched(|| {
        let (children, begun) = (Ledger::default(), Gate::new());
        let owner = TaskGroup::new(ThreadEach);
        let (give, take) = async_channel::bounded::<JoinHandle<()>>(1);
        let (group, open) = (owner.group(), begun.clone());
        let handle = owner.spawn(children.track(async move {
            let own = take.recv().await.unwrap();
            open.open();
            pending::<()>().await;
            drop((own, group));
        }));
        let cancel = handle.cancel_handle();
        give.try_send(handle).unwrap();
        block_on(begun.wait());
        cancel.cancel();
        block_on(owner.join()).unwrap();
        assert_eq!(children.read().alive(), 0);
    });
}

#[test]
fn the_destructor_of_a_child_that_is_cut_spawns_a_sibling() {
    struct Spawns<F: FnMut()>(F);

    impl<F: FnMut()> Drop for Spawns<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }

    watched(|| {
        let (children, begun) = (Ledger::default(), Gate::new());
        let group = TaskGroup::new(ThreadEach);
        let (own, siblings, open) = (group.group(), children.clone(), begun.clone());
        let handle = group.spawn(children.track(async move {
            let _spawns = Spawns(move || own.launch(siblings.track(yield_now())));
            open.open();
            pending::<()>().await
        }));
        block_on(begun.wait());
        handle.cancel();
        assert!(block_on(handle).unwrap_err().is_cancelled());
        block_on(group.join()).unwrap();
        assert_eq!((children.read().completed, children.read().alive()), (1, 0));
    });
}

/// Whoever writes a spawner learns within seconds which promise it breaks.
#[test]
fn the_suite_says_which_promise_is_broken() {
    /// Its tasks go on when their `Task`s are dropped.
    #[derive(Clone)]
    struct Deaf;
    impl Spawner for Deaf {
        fn spawn<F>(&self, future: F) -> Task<()>
        where
            F: Future<Output = ()> + Send + 'static,
        {
            ThreadEach.spawn(future).detach();
            async_task::spawn(ready(()), drop::<Runnable>).1
        }
    }
    let text = panic_of(|| contract::promise_2_a_future_is_dropped_soon_after_its_task(|| Rig::new(Deaf)));
    assert!(text.starts_with("promise 2 is broken"), "{text}");
    let idle = || Rig::new(Later::default());
    let text = panic_of(move || contract::promise_1_a_future_is_polled_until_it_is_ready(idle));
    assert!(text.starts_with("promise 1 is broken"), "{text}");
}
