//! Users' code that the crate calls in the middle of its own. It panics, looks at the group, or waits for another group.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, Weak, mpsc};
use std::task::{Context, Wake, Waker};
use std::thread;

use futures_lite::future::{Boxed, block_on, poll_once};
use taskgroup::async_task::{self, Runnable};
use taskgroup::runtime::{Dependent, LocalSpawner};
use taskgroup::{Group, JoinHandle, Spawner, Task, TaskGroup, adopt, scope, shield};
use taskgroup_conformance::ledger::Ledger;
use taskgroup_conformance::spawners::{ThreadEach, WhereWoken};
use taskgroup_conformance::watched;

/// Calls its function when it is dropped.
pub struct OnDrop<F: FnMut()>(pub F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Sends what is to run to the thread that runs it, and panics when the receiver is gone.
#[derive(Clone)]
struct Sending(mpsc::Sender<Runnable>);

impl Spawner for Sending {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let send = self.0.clone();
        let (runnable, task) = async_task::spawn(future, move |runnable| send.send(runnable).unwrap());
        runnable.schedule();
        task
    }
}

#[test]
fn a_schedule_function_that_panics_keeps_nobody_from_being_cancelled() {
    watched(|| {
        let (children, (send, queue)) = (Ledger::default(), mpsc::channel());
        let group = TaskGroup::new(WhereWoken);
        // A group is open inside this child, and is empty. When the child is cancelled, it is dropped once that group is
        // over.
        group.launch(children.track(async {
            let _inside = TaskGroup::new(WhereWoken);
            pending::<()>().await
        }));
        let elsewhere = group.on(Sending(send));
        for _ in 0..3 {
            elsewhere.launch(children.track(pending::<()>()));
            queue.recv().unwrap().run();
        }
        drop(queue);
        group.cancel();
        block_on(group.join()).unwrap();
        assert_eq!(children.read().alive(), 0);
    });
}

/// How a destructor waits.
type Waits = fn(TaskGroup<WhereWoken>, JoinHandle<()>);

/// A child whose destructor cancels a group with another such child, and waits for that; `levels` deep.
fn waits_when_dropped(
    children: &Ledger,
    levels: usize,
    waits: Waits,
) -> impl Future<Output = ()> + Send + use<> {
    let inside = children.clone();
    children.track(async move {
        let _waits = OnDrop(|| {
            if levels > 0 {
                let own = TaskGroup::root(WhereWoken);
                let child: Boxed<()> = Box::pin(waits_when_dropped(&inside, levels - 1, waits));
                let handle = own.spawn(child);
                own.cancel();
                waits(own, handle);
            }
        });
        pending::<()>().await
    })
}

#[test]
fn a_destructor_waits_for_what_it_has_cancelled_itself_however_deep() {
    let ways: [Waits; 3] = [
        |group, _| block_on(group.join()).unwrap(),
        |group, _| block_on(group.idle()),
        |_, handle| assert!(block_on(handle).unwrap_err().is_cancelled()),
    ];
    for waits in ways {
        watched(move || {
            let children = Ledger::default();
            let group = TaskGroup::new(WhereWoken);
            group.launch(waits_when_dropped(&children, 30, waits));
            group.cancel();
            block_on(group.join()).unwrap();
            assert_eq!((children.read().started, children.read().alive()), (31, 0));
        });
    }
}

/// The destructor in question runs inside so many others that what it cancels is queued. It cancels two children, and the
/// destructor of the first one waits for the second one.
#[test]
fn a_destructor_waits_for_what_another_one_has_cancelled_however_deep() {
    watched(|| {
        let (children, chain, others) =
            (Ledger::default(), TaskGroup::new(WhereWoken), TaskGroup::new(WhereWoken));
        let second = others.spawn(children.track(pending::<()>()));
        let cancel_second = second.cancel_handle();
        let (mut second, mut others) = (Some(second), Some(others));
        let waits = OnDrop(move || assert!(block_on(second.take().unwrap()).unwrap_err().is_cancelled()));
        let first = chain.spawn(children.track(async move {
            let _waits = waits;
            pending::<()>().await
        }));
        let cancel_first = first.cancel_handle();
        let mut next: Box<dyn FnMut() + Send> = Box::new(move || {
            cancel_first.cancel();
            cancel_second.cancel();
            block_on(others.take().unwrap().join()).unwrap();
        });
        for _ in 0..12 {
            let drops = OnDrop(next);
            let child = chain.spawn(children.track(async move {
                let _drops = drops;
                pending::<()>().await
            }));
            let cancel = child.cancel_handle();
            next = Box::new(move || cancel.cancel());
        }
        next();
        block_on(chain.join()).unwrap();
        assert_eq!((children.read().started, children.read().alive()), (14, 0));
    });
}

/// An error whose destructor panics.
#[derive(Debug)]
struct Bad;

impl Drop for Bad {
    fn drop(&mut self) {
        panic!("a destructor of an error");
    }
}

#[test]
fn errors_that_nobody_is_left_to_read_are_dropped_quietly() {
    watched(|| {
        let root = TaskGroup::new(WhereWoken);
        let (give, take) = async_channel::bounded(1);
        root.launch(async move {
            let inner = scope(WhereWoken, |group: Group<_, Bad>| async move {
                (0..2).for_each(|_| group.launch(async { Err::<(), _>(Bad) }));
                pending::<Result<(), Bad>>().await
            });
            let mut inner = Box::pin(inner.collect());
            assert!(poll_once(inner.as_mut()).await.is_none());
            give.try_send(inner).unwrap();
        });
        let inner = take.try_recv().unwrap();
        block_on(root.join()).unwrap();
        assert!(catch_unwind(AssertUnwindSafe(|| drop(inner))).is_ok());
    });
}

/// A child that opens a group with another such child in it; `levels` deep.
fn inside_of_groups(levels: usize) -> Boxed<()> {
    Box::pin(async move {
        if levels > 0 {
            let group = TaskGroup::new(WhereWoken);
            group.launch(inside_of_groups(levels - 1));
            group.join().await.unwrap();
        }
        pending().await
    })
}

/// Many `Task`s are queued on this thread. Each child that is dropped wakes a task, which is polled at once and awaits
/// something else.
#[test]
fn whoever_waits_among_many_that_are_dropped_does_not_lie_on_the_stack_of_the_next() {
    watched(|| {
        let (children, others) = (Ledger::default(), TaskGroup::new(WhereWoken));
        let many = TaskGroup::root(WhereWoken);
        for _ in 0..5_000 {
            let handle = many.spawn(children.track(pending::<()>()));
            let member = others.group();
            others.launch(children.track(async move {
                assert!(handle.await.unwrap_err().is_cancelled());
                member.stopping().await;
            }));
        }
        let group = TaskGroup::new(WhereWoken);
        // This child is dropped last, from inside the destructors of everything in it.
        group.launch(async move {
            let _many = many;
            inside_of_groups(9).await;
        });
        group.cancel();
        block_on(group.join()).unwrap();
        others.stop();
        block_on(others.join()).unwrap();
        assert_eq!((children.read().completed, children.read().alive()), (5_000, 0));
    });
}

/// A task of a runtime that has shut down: waking it drops it.
#[derive(Default)]
struct Shut(Mutex<Option<Boxed<()>>>);

impl Wake for Shut {
    fn wake(self: Arc<Self>) {
        let task = self.0.lock().unwrap().take();
        drop(task);
    }
}

/// A listener that was notified and has not looked passes the notification on.
#[test]
fn a_listener_that_goes_wakes_the_next_one_where_no_lock_is_held() {
    watched(|| {
        let group = TaskGroup::new(ThreadEach);
        let mut first = Box::pin(group.stopping());
        assert!(block_on(poll_once(first.as_mut())).is_none());
        group.close();
        let shut = Arc::new(Shut::default());
        let mut second: Boxed<()> = Box::pin(group.stopping());
        let waker = Waker::from(shut.clone());
        assert!(second.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        *shut.0.lock().unwrap() = Some(second);
        drop(first);
        assert!(shut.0.lock().unwrap().is_none(), "it was woken, and its runtime dropped it");
        block_on(group.join()).unwrap();
    });
}

/// Polls a child once, with a waker whose destructor looks at the group.
#[derive(Clone, Default)]
struct Curious(Arc<Mutex<Option<Group<Curious>>>>);

struct Looks(Curious);

impl Wake for Looks {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Looks {
    fn drop(&mut self) {
        let group = self.0.0.lock().unwrap().clone();
        assert!(group.is_none_or(|group| group.len() < 3));
    }
}

impl Spawner for Curious {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut future = Box::pin(future);
        let waker = Waker::from(Arc::new(Looks(self.clone())));
        assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let future: Mutex<Pin<Box<dyn Future<Output = ()> + Send>>> = Mutex::new(future);
        adopt(future)
    }
}

#[test]
fn the_waker_of_a_child_that_waits_for_a_place_is_dropped_where_no_lock_is_held() {
    watched(|| {
        let spawner = Curious::default();
        let one = NonZero::new(1).unwrap();
        let group = TaskGroup::builder::<Infallible>(spawner.clone()).limit(one).open();
        group.launch(pending::<()>());
        let queued = group.spawn(pending::<()>());
        *spawner.0.lock().unwrap() = Some(group.group());
        queued.cancel();
        assert!(block_on(queued).unwrap_err().is_cancelled());
        *spawner.0.lock().unwrap() = None;
        group.cancel();
        block_on(group.join()).unwrap();
    });
}

/// Polls a child once, with a waker that panics when it is dropped. The test drops the child.
#[derive(Clone, Default)]
struct Panicky {
    kept: Arc<Mutex<Option<Boxed<()>>>>,
    armed: Arc<AtomicBool>,
}

struct PanicsOnDrop(Arc<AtomicBool>);

impl Wake for PanicsOnDrop {
    fn wake(self: Arc<Self>) {}
}

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        assert!(!self.0.load(SeqCst), "a destructor of a waker");
    }
}

impl Spawner for Panicky {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut future: Boxed<()> = Box::pin(future);
        let waker = Waker::from(Arc::new(PanicsOnDrop(self.armed.clone())));
        assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        *self.kept.lock().unwrap() = Some(future);
        adopt(())
    }
}

#[test]
fn a_waker_that_panics_when_it_is_dropped_breaks_no_destructor_of_a_child() {
    watched(|| {
        let (spawner, children) = (Panicky::default(), Ledger::default());
        let group = TaskGroup::new(spawner.clone());
        // Under a shield the child's waker is kept, so that a cancel can wake the child afterwards.
        group.launch(children.track(shield(pending::<()>())));
        let child = spawner.kept.lock().unwrap().take();
        spawner.armed.store(true, SeqCst);
        assert!(catch_unwind(AssertUnwindSafe(|| drop(child))).is_ok());
        assert!(block_on(group.join()).unwrap_err().is_lost());
        assert_eq!(children.read().alive(), 0);
    });
}

#[test]
fn the_waker_of_an_owner_that_panics_when_it_is_dropped_keeps_no_group_from_being_cancelled() {
    watched(|| {
        let (armed, children) = (Arc::new(AtomicBool::new(false)), Ledger::default());
        let group = TaskGroup::new(ThreadEach);
        group.launch(children.track(pending::<()>()));
        let mut join = Box::pin(group.join());
        let waker = Waker::from(Arc::new(PanicsOnDrop(armed.clone())));
        assert!(join.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        armed.store(true, SeqCst);
        assert!(catch_unwind(AssertUnwindSafe(|| drop(join))).is_ok());
        while children.read().alive() > 0 {
            thread::yield_now();
        }
    });
}

/// Counts how often it is told of a group.
#[derive(Clone, Default)]
struct Told(Arc<AtomicUsize>);

impl Spawner for Told {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        ThreadEach.spawn(future)
    }

    fn register(&self, _group: Weak<dyn Dependent>) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl LocalSpawner for Told {
    fn spawn_local<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + 'static,
    {
        let (runnable, task) = async_task::spawn_local(future, |runnable: Runnable| {
            runnable.run();
        });
        runnable.run();
        task
    }
}

#[test]
fn a_spawner_is_told_of_its_group_once_whatever_its_first_child_is() {
    watched(|| {
        let (told, elsewhere) = (Told::default(), Told::default());
        let group = TaskGroup::new(told.clone());
        let on = group.on(elsewhere.clone());
        on.launch(async {});
        group.launch_local(async {});
        assert_eq!(told.0.load(SeqCst), 0, "it has no child there");
        (0..3).for_each(|_| group.launch(async {}));
        (0..3).for_each(|_| on.launch(async {}));
        block_on(group.join()).unwrap();
        assert_eq!((told.0.load(SeqCst), elsewhere.0.load(SeqCst)), (1, 1));
    });
}

/// Tells each group that its runtime is gone, as soon as the group registers.
#[derive(Clone)]
struct Gone;

impl Spawner for Gone {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        drop(future);
        adopt(())
    }

    fn register(&self, group: Weak<dyn Dependent>) {
        group.upgrade().unwrap().runtime_lost();
    }
}

#[test]
fn a_destructor_spawns_while_its_group_is_told_of_a_runtime_that_is_gone() {
    watched(|| {
        let children = Ledger::default();
        let group = TaskGroup::new(WhereWoken);
        let (gone, tracked) = (group.on(Gone), children.clone());
        let spawns = gone.clone();
        group.launch(children.track(async move {
            let _spawns = OnDrop(move || spawns.launch(tracked.track(async {})));
            pending::<()>().await
        }));
        gone.launch(children.track(async {}));
        assert!(block_on(group.join()).unwrap_err().is_lost());
        assert_eq!((children.read().started, children.read().alive()), (1, 0));
    });
}

/// The call in which a spawner panics.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Panics {
    Spawning,
    Registering,
    Saying,
}

impl Spawner for Panics {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        assert!(*self != Panics::Spawning);
        ThreadEach.spawn(future)
    }

    fn register(&self, _group: Weak<dyn Dependent>) {
        assert!(*self != Panics::Registering);
    }

    fn keeps_ended(&self) -> bool {
        assert!(*self != Panics::Saying);
        false
    }
}

#[test]
fn a_child_whose_spawner_panics_is_lost_and_not_counted() {
    watched(|| {
        for spawner in [Panics::Spawning, Panics::Registering, Panics::Saying] {
            for launch in [Group::launch::<_>, |group: &Group<Panics>, future| drop(group.spawn(future))] {
                let children = Ledger::default();
                let group = TaskGroup::new(spawner);
                let launched = catch_unwind(AssertUnwindSafe(|| launch(&group, children.track(async {}))));
                assert!(launched.is_err());
                assert!(block_on(group.join()).unwrap_err().is_lost());
                assert_eq!(children.read().alive(), 0);
            }
        }
    });
}
