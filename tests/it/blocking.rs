//! Work that blocks, on the runtimes that have threads for it.

use std::convert::Infallible;
use std::future::pending;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, mpsc};

use futures_lite::future::{block_on, or, poll_once};
use taskgroup::runtime::{Adopt, SpawnBlocking};
use taskgroup::{Group, Spawner, Task, TaskGroup, scope};
use taskgroup_conformance::ledger::{Ledger, Log, Tally};
use taskgroup_conformance::spawners::ThreadEach;
use taskgroup_conformance::{Test, errors, panic_text, quiet_panic, watched};

#[cfg(any(feature = "smol", feature = "tokio"))]
mod outlives_its_runtime;

on_the_runtimes! {
    its_value_is_the_handles
    its_error_is_the_groups
    its_panic_is_resumed
    cancelled_before_it_begins_it_never_does
    unless_it_is_shielded_from_the_start
    a_closed_group_takes_none
    a_cancel_waits_for_work_that_has_begun
    work_that_takes_from_a_channel_ends_although_a_frozen_body_has_the_sender
    the_error_of_work_that_was_cancelled_is_not_lost
    the_panic_of_work_that_was_cancelled_is_not_lost
}

async fn its_value_is_the_handles<S: Spawner + SpawnBlocking>(t: &Test<S>) {
    let group = TaskGroup::fallible::<&str>(t.spawner());
    let value = t.ledger.capture();
    let handle = group.spawn_blocking(move || {
        drop(value);
        Ok(7)
    });
    assert_eq!(handle.await.unwrap(), 7);
    assert_eq!(t.ledger.read().dropped, 1);
    group.join().await.unwrap();
}

async fn its_error_is_the_groups<S: Spawner + SpawnBlocking>(t: &Test<S>) {
    let (group, there) = (TaskGroup::fallible(t.spawner()), Tally::new());
    group.launch(t.waiting(&there));
    there.take(1).await;
    let handle = group.spawn_blocking(|| Err::<(), _>("broken"));
    assert!(handle.await.unwrap_err().is_failed());
    assert_eq!(errors(&group.join().await.unwrap_err()), ["broken"]);
    assert_eq!(t.ledger.read().dropped, 1, "a sibling is cancelled");
}

async fn its_panic_is_resumed<S: Spawner + SpawnBlocking>(t: &Test<S>) {
    let group = TaskGroup::new(t.spawner());
    let value = t.ledger.capture();
    let handle = group.spawn_blocking(move || {
        let _value = value;
        quiet_panic("boom") as ()
    });
    assert!(handle.await.unwrap_err().is_panicked());
    assert_eq!(t.ledger.read().dropped, 1);
    assert_eq!(panic_text(group.join()).await, "boom");
}

async fn cancelled_before_it_begins_it_never_does<S: Spawner + SpawnBlocking>(t: &Test<S>) {
    let there = Tally::new();
    let group = TaskGroup::builder::<&str>(t.spawner()).limit(NonZeroUsize::new(1).unwrap()).open();
    group.launch(t.waiting(&there));
    there.take(1).await;
    let (log, value) = (t.log.clone(), t.ledger.capture());
    let queued = group.spawn_blocking(move || {
        let _value = value;
        log.write("begun");
    });
    queued.cancel();
    assert!(queued.await.unwrap_err().is_cancelled());
    assert_eq!(t.ledger.read().alive(), 1, "the sibling");
    group.cancel();
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), [""; 0]);
}

async fn unless_it_is_shielded_from_the_start<S: Spawner + SpawnBlocking>(t: &Test<S>) {
    let group = TaskGroup::new(t.spawner());
    for _ in 0..20 {
        let log = t.log.clone();
        group.child().shielded().spawn_blocking(move || log.write("begun"));
    }
    group.cancel();
    group.join().await.unwrap();
    assert_eq!(t.log.count("begun"), 20);
}

async fn a_closed_group_takes_none<S: Spawner + SpawnBlocking>(t: &Test<S>) {
    let group = TaskGroup::new(t.spawner());
    group.close();
    let (log, value) = (t.log.clone(), t.ledger.capture());
    let refused = group.spawn_blocking(move || {
        let _value = value;
        log.write("begun");
    });
    assert!(refused.await.unwrap_err().is_cancelled());
    assert_eq!((t.ledger.read().dropped, t.log.lines().len()), (1, 0));
    group.join().await.unwrap();
}

/// Work that reports when it has begun, and blocks until it is released.
fn held<O>(
    log: &Log,
    ends: impl FnOnce() -> O + Send + 'static,
) -> (Tally, mpsc::Sender<()>, impl FnOnce() -> O + Send + 'static) {
    let (there, (release, released)) = (Tally::new(), mpsc::channel());
    let (begun, gone, log) = (there.clone(), log.on_drop("captures gone"), log.clone());
    let work = move || {
        let _gone = gone;
        begun.add();
        released.recv().unwrap();
        log.write("released");
        ends()
    };
    (there, release, work)
}

async fn a_cancel_waits_for_work_that_has_begun<S: Spawner + SpawnBlocking>(t: &Test<S>) {
    let group = TaskGroup::new(t.spawner());
    let (there, release, work) = held(&t.log, || Ok(7));
    let mut handle = group.spawn_blocking(work);
    there.take(1).await;
    group.cancel();
    assert!(poll_once(&mut handle).await.is_none());
    assert_eq!(group.len(), 1);
    release.send(()).unwrap();
    assert_eq!(handle.await.unwrap(), 7, "which counts");
    t.log.write("told");
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["released", "captures gone", "told"]);
}

async fn work_that_takes_from_a_channel_ends_although_a_frozen_body_has_the_sender<S>(t: &Test<S>)
where
    S: Spawner + SpawnBlocking,
{
    let (group, there) = (TaskGroup::new(t.spawner()), Tally::new());
    let (spawner, begun) = (t.spawner(), there.clone());
    let host = group.spawn(t.child(async move {
        let inner = scope(spawner, |inner: Group<S, Infallible>| async move {
            let (sender, jobs) = async_channel::unbounded();
            let member = inner.clone();
            inner.spawn_blocking(move || {
                while let Some(Ok(())) = block_on(member.until_stopping(jobs.recv())) {
                    begun.add();
                }
            });
            sender.send(()).await.unwrap();
            pending::<Result<(), _>>().await
        });
        let _ = inner.await;
    }));
    there.take(1).await;
    host.cancel();
    assert!(host.await.unwrap_err().is_cancelled());
    group.join().await.unwrap();
    assert_eq!(t.ledger.read().alive(), 0);
}

async fn the_error_of_work_that_was_cancelled_is_not_lost<S: Spawner + SpawnBlocking>(t: &Test<S>) {
    let group = TaskGroup::fallible(t.spawner());
    let (there, release, work) = held(&t.log, || Err::<(), _>("broken"));
    let handle = group.spawn_blocking(work);
    there.take(1).await;
    handle.cancel();
    t.step().await;
    release.send(()).unwrap();
    assert!(handle.await.unwrap_err().is_failed());
    assert_eq!(errors(&group.join().await.unwrap_err()), ["broken"]);
}

async fn the_panic_of_work_that_was_cancelled_is_not_lost<S: Spawner + SpawnBlocking>(t: &Test<S>) {
    let group = TaskGroup::new(t.spawner());
    let (there, release, work) = held(&t.log, || quiet_panic("boom") as ());
    group.spawn_blocking(work);
    there.take(1).await;
    group.cancel();
    t.step().await;
    release.send(()).unwrap();
    assert_eq!(panic_text(group.join()).await, "boom");
}

/// Gives each child a thread of its own. What differs is how these spawners do work that blocks.
macro_rules! with_a_thread_each {
    ($($spawner:ident)*) => {
        $(impl Spawner for $spawner {
            fn spawn<F>(&self, future: F) -> Task<()>
            where
                F: Future<Output = ()> + Send + 'static,
            {
                ThreadEach.spawn(future)
            }
        })*
    };
}

with_a_thread_each!(Queueing Eager Hasty);

/// Its threads run nothing until the test runs the queue.
#[derive(Clone, Default)]
struct Queueing {
    queue: Arc<Mutex<Vec<Queued>>>,
    awaited: Tally,
    /// A cancelled child waits for a thread nevertheless.
    cancel_waits: bool,
}

type Queued = Box<dyn FnOnce() + Send>;

impl SpawnBlocking for Queueing {
    fn spawn_blocking<W, O>(&self, work: W) -> impl Adopt<Output = O> + use<W, O>
    where
        W: FnOnce() -> O + Send + 'static,
        O: Send + 'static,
    {
        let (give, result) = async_channel::bounded(1);
        self.queue.lock().unwrap().push(Box::new(move || drop(give.try_send(work()))));
        Waiting { result, awaited: self.awaited.clone(), cancel_waits: self.cancel_waits }
    }
}

struct Waiting<O> {
    result: async_channel::Receiver<O>,
    awaited: Tally,
    cancel_waits: bool,
}

impl<O: Send + 'static> Adopt for Waiting<O> {
    type Output = O;

    async fn run(self, cancelled: impl Future<Output = ()> + Send + 'static) -> Option<O> {
        self.awaited.add();
        let cancelled = async {
            cancelled.await;
            if self.cancel_waits { pending().await } else { None }
        };
        or(async { self.result.recv().await.ok() }, cancelled).await
    }
}

/// Begins work at once, and not when the child is polled first.
#[derive(Clone)]
struct Eager;

impl SpawnBlocking for Eager {
    fn spawn_blocking<W, O>(&self, work: W) -> impl Adopt<Output = O> + use<W, O>
    where
        W: FnOnce() -> O + Send + 'static,
        O: Send + 'static,
    {
        let (give, result) = async_channel::bounded(1);
        drop(give.try_send(work()));
        Waiting { result, awaited: Tally::new(), cancel_waits: false }
    }
}

/// Begins work in the child's first poll, and ends in that poll without its result.
#[derive(Clone)]
struct Hasty {
    there: Tally,
    panics: bool,
}

impl SpawnBlocking for Hasty {
    fn spawn_blocking<W, O>(&self, work: W) -> impl Adopt<Output = O> + use<W, O>
    where
        W: FnOnce() -> O + Send + 'static,
        O: Send + 'static,
    {
        Begins { work, how: self.clone() }
    }
}

struct Begins<W> {
    work: W,
    how: Hasty,
}

impl<W, O> Adopt for Begins<W>
where
    W: FnOnce() -> O + Send + 'static,
    O: Send + 'static,
{
    type Output = O;

    async fn run(self, _: impl Future<Output = ()> + Send + 'static) -> Option<O> {
        let Self { work, how } = self;
        std::thread::spawn(move || drop(work()));
        block_on(how.there.take(1));
        if how.panics { quiet_panic("of the adapter") } else { None }
    }
}

#[test]
fn work_that_has_begun_is_waited_for_whatever_its_adapter_does() {
    watched(|| {
        for panics in [false, true] {
            let log = Log::default();
            let (there, release, work) = held(&log, || Err::<(), _>("broken"));
            let group = TaskGroup::fallible(Hasty { there, panics });
            let outside = group.group();
            let handle = group.spawn_blocking(work);
            let mut join = group.join();
            assert!(block_on(handle).is_err());
            while !outside.is_empty() {
                std::thread::yield_now();
            }
            assert!(block_on(poll_once(&mut join)).is_none());
            release.send(()).unwrap();
            if panics {
                assert_eq!(block_on(panic_text(join)), "of the adapter");
            } else {
                assert_eq!(errors(&block_on(join).unwrap_err()), ["broken"]);
            }
            assert_eq!(log.lines(), ["released", "captures gone"]);
        }
    });
}

/// It happens in a child of another group, whose error type is another.
#[test]
fn the_error_of_work_that_has_begun_for_a_refused_child_is_nobodys() {
    watched(|| {
        let outer = TaskGroup::fallible::<&str>(ThreadEach);
        outer.launch(async {
            let group = TaskGroup::fallible::<u32>(Eager);
            group.close();
            let refused = group.spawn_blocking(|| Err::<(), _>(7));
            assert!(refused.await.unwrap_err().is_cancelled());
            group.join().await.unwrap();
        });
        block_on(outer.join()).unwrap();
    });
}

/// On async-std a cancel does not wait for what its threads have queued; on Tokio it does.
#[test]
fn what_is_cancelled_before_it_begins_is_gone_whatever_is_queued() {
    watched(|| {
        let (mut threads, ledger, log) = (Queueing::default(), Ledger::default(), Log::default());
        for (waits, cancel_waits) in [(false, false), (true, false), (true, true)] {
            threads.cancel_waits = cancel_waits;
            let group = TaskGroup::new(threads.clone());
            let (value, begun) = (ledger.capture(), log.clone());
            let handle = group.spawn_blocking(move || {
                let _value = value;
                begun.write("begun");
            });
            if waits {
                block_on(threads.awaited.take(1));
            }
            handle.cancel();
            assert!(block_on(handle).unwrap_err().is_cancelled());
            assert_eq!(ledger.read().alive(), 0);
            block_on(group.join()).unwrap();
        }
        let queued = std::mem::take(&mut *threads.queue.lock().unwrap());
        assert_eq!(queued.len(), 3);
        queued.into_iter().for_each(|queued| queued());
        assert_eq!(log.lines(), [""; 0]);
    });
}
