//! What a child costs in memory, as the allocator counts it. There is one test, because the counters belong to the process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::hint::black_box;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use async_executor::Executor;
use futures_lite::future::{block_on, poll_once, yield_now};
use futures_util::FutureExt as _;
use taskgroup::async_task::{self, Runnable};
use taskgroup::runtime::{Adopt, SpawnBlocking, lazily};
use taskgroup::{Group, Spawner, Task, TaskGroup, scope, shield};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static LIVE_BYTES: AtomicIsize = AtomicIsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is handed to the system's allocator unchanged; the counters are only beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        LIVE_BYTES.fetch_add(layout.size() as isize, Relaxed);
        // SAFETY: the caller's promise, handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size() as isize, Relaxed);
        // SAFETY: the caller's promise, handed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

const CHILDREN: usize = 100_000;

/// Returns the allocations for each of `CHILDREN` children that `start` starts on a new executor, all alive at once.
fn allocations_each<F: Future>(start: impl FnOnce(Arc<Executor<'static>>) -> F) -> f64 {
    let executor = Arc::new(Executor::new());
    let before = ALLOCATIONS.load(Relaxed);
    block_on(executor.run(start(executor.clone())));
    (ALLOCATIONS.load(Relaxed) - before) as f64 / CHILDREN as f64
}

fn a_launched_child_allocates_what_the_executors_spawn_does() {
    let raw = allocations_each(|executor| async move {
        for _ in 0..CHILDREN {
            executor.spawn(yield_now()).detach();
        }
        while !executor.is_empty() {
            yield_now().await;
        }
    });
    let grouped = allocations_each(|executor| async move {
        let group = TaskGroup::new(executor);
        for _ in 0..CHILDREN {
            group.launch(yield_now());
        }
        group.join().await.unwrap();
    });
    let taken = allocations_each(|executor| async move {
        let group = TaskGroup::new(executor);
        let mut results = group.results();
        for _ in 0..CHILDREN {
            results.spawn(yield_now());
        }
        while let Some(result) = results.join_next().await {
            result.unwrap();
        }
        group.join().await.unwrap();
    });
    println!(
        "allocations a child: {raw:.4} by Executor::spawn, {grouped:.4} by Group::launch, {taken:.4} by Results::spawn"
    );
    assert!(raw >= 1.0, "the counter counts");
    assert!(grouped - raw <= 0.05, "{grouped} against {raw}");
    assert!(taken - raw <= 0.05, "{taken} against {raw}");
}

fn a_finished_child_leaves_nothing_behind() {
    let executor = Arc::new(Executor::new());
    block_on(executor.run(async {
        let group = TaskGroup::new(executor.clone());
        let (done, finished) = async_channel::bounded(256);
        let mut samples = Vec::with_capacity(16);
        for child in 0..1_000_000 {
            if child >= 100 {
                finished.recv().await.unwrap();
            }
            let done = done.clone();
            group.launch(async move { done.send(()).await.unwrap() });
            if child % 100_000 == 50_000 {
                samples.push(LIVE_BYTES.load(Relaxed));
            }
        }
        group.join().await.unwrap();
        println!("live bytes after every 100,000 children: {samples:?}");
        let spread = samples.iter().max().unwrap() - samples.iter().min().unwrap();
        // Between two samples one or two more children may be alive.
        assert!(spread < 1024, "{samples:?}");
    }));
}

fn a_burst_of_children_leaves_nothing_behind() {
    let executor = Arc::new(Executor::new());
    block_on(executor.run(async {
        // The executor grows to what it needs with another group.
        let first = TaskGroup::new(executor.clone());
        (0..CHILDREN).for_each(|_| first.launch(yield_now()));
        first.join().await.unwrap();

        let group = TaskGroup::new(executor.clone());
        let before = LIVE_BYTES.load(Relaxed);
        (0..CHILDREN).for_each(|_| group.launch(yield_now()));
        group.idle().await;
        let kept = LIVE_BYTES.load(Relaxed) - before;
        println!("live bytes after {CHILDREN} children at once: {kept} more than before");
        assert!(kept < 4096, "{kept}");
        group.join().await.unwrap();
    }));
}

fn nor_in_what_knows_of_each_child() {
    let executor = Arc::new(Executor::new());
    let mut kept = 0;
    block_on(executor.run(async {
        // The executor grows to what it needs with the first groups.
        for _ in 0..2 {
            let open = || TaskGroup::builder::<Infallible>(executor.clone());
            let (limited, group) = (open().limit(NonZero::<usize>::MIN).open(), open().open());
            let (keyed, mut results) = (group.keyed(), group.results());
            let before = LIVE_BYTES.load(Relaxed);
            for child in 0..CHILDREN {
                limited.launch(yield_now());
                drop(keyed.spawn_if_absent(child, yield_now()));
                results.spawn(yield_now());
                results.add(group.spawn(yield_now()));
            }
            limited.idle().await;
            group.idle().await;
            while results.outstanding() > 0 {
                results.next().await.unwrap().unwrap();
            }
            kept = LIVE_BYTES.load(Relaxed) - before;
        }
    }));
    println!("with a limit, keys and results, after {CHILDREN} children of each: {kept} more");
    assert!(kept < 4096, "{kept}");
}

fn nor_in_the_queue_of_a_child_that_awaits_its_siblings() {
    let executor = Arc::new(Executor::new());
    let kept = block_on(executor.run(async {
        let group = TaskGroup::builder::<Infallible>(executor.clone()).limit(NonZero::<usize>::MIN).open();
        let own = group.group();
        let last = group.spawn(async move {
            let mut before = 0;
            for child in 0..CHILDREN {
                if child == CHILDREN / 10 {
                    before = LIVE_BYTES.load(Relaxed);
                }
                // The child is queued, and lent the place.
                own.spawn(async { Ok(()) }).await.unwrap();
            }
            Ok(LIVE_BYTES.load(Relaxed) - before)
        });
        let kept = last.await.unwrap();
        group.join().await.unwrap();
        kept
    }));
    println!("in a queue that {CHILDREN} children went through: {kept} more");
    assert!(kept < 4096, "{kept}");
}

fn nor_of_two_siblings_that_await_a_queued_child_in_turn() {
    let executor = Arc::new(Executor::new());
    let kept = block_on(executor.run(async {
        let group = TaskGroup::builder::<Infallible>(executor.clone()).limit(NonZero::new(2).unwrap()).open();
        let own = group.group();
        let (queued, turns) = (Arc::new(Mutex::new(None)), Arc::new(AtomicUsize::new(0)));
        let lenders = [0, 1].map(|me| {
            let (own, queued, turns) = (own.clone(), queued.clone(), turns.clone());
            group.spawn(async move {
                // Its place is lent already.
                let mut first = own.spawn(pending::<()>());
                assert!(poll_once(&mut first).await.is_none());
                let mut before = 0;
                loop {
                    let turn = turns.load(Relaxed);
                    if turn == CHILDREN / 10 + me {
                        before = LIVE_BYTES.load(Relaxed);
                    }
                    if turn >= CHILDREN {
                        break Ok(LIVE_BYTES.load(Relaxed) - before);
                    }
                    if turn % 2 == me {
                        poll_fn(|cx| {
                            let mut queued = queued.lock().unwrap();
                            let queued = queued.get_or_insert_with(|| own.spawn(async { Ok(()) }));
                            assert!(Pin::new(queued).poll(cx).is_pending());
                            Poll::Ready(())
                        })
                        .await;
                        turns.fetch_add(1, Relaxed);
                    }
                    yield_now().await;
                }
            })
        });
        let mut kept = 0;
        for lender in lenders {
            kept += lender.await.unwrap();
        }
        group.cancel();
        group.join().await.unwrap();
        kept
    }));
    println!("of two that looked {CHILDREN} times in turn at one that is queued: {kept} more");
    assert!(kept < 4096, "{kept}");
}

fn nor_of_those_who_give_up_waiting_for_a_place() {
    let executor = Arc::new(Executor::new());
    let kept = block_on(executor.run(async {
        let group = TaskGroup::builder::<Infallible>(executor.clone()).limit(NonZero::<usize>::MIN).open();
        group.launch(pending::<()>());
        let mut waiting = [(); 4].map(|()| Box::pin(group.spawn_when_free(async {})));
        for spawning in &mut waiting {
            assert!(poll_once(spawning.as_mut()).await.is_none());
        }
        let mut before = 0;
        for caller in 0..CHILDREN {
            if caller == CHILDREN / 10 {
                before = LIVE_BYTES.load(Relaxed);
            }
            assert!(poll_once(group.spawn_when_free(async {})).await.is_none());
        }
        let kept = LIVE_BYTES.load(Relaxed) - before;
        group.cancel();
        group.join().await.unwrap();
        kept
    }));
    println!("of {CHILDREN} that gave up waiting for a place behind four that wait: {kept} more");
    assert!(kept < 4096, "{kept}");
}

/// A runtime in which all threads for work that blocks are taken.
#[derive(Clone)]
struct Full {
    executor: Arc<Executor<'static>>,
    queue: Arc<Mutex<Vec<Runnable>>>,
}

impl Spawner for Full {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.executor.spawn(future)
    }
}

impl SpawnBlocking for Full {
    fn spawn_blocking<W, O>(&self, work: W) -> impl Adopt<Output = O> + use<W, O>
    where
        W: FnOnce() -> O + Send + 'static,
        O: Send + 'static,
    {
        let queue = self.queue.clone();
        lazily(move || {
            let schedule = move |runnable| queue.lock().unwrap().push(runnable);
            let (runnable, task) = async_task::spawn(async move { work() }, schedule);
            runnable.schedule();
            task
        })
    }
}

fn work_that_is_cancelled_before_it_begins_leaves_only_its_place_in_the_queue() {
    const WORKS: usize = 1000;
    let executor = Arc::new(Executor::new());
    let queue = Arc::new(Mutex::new(Vec::with_capacity(WORKS)));
    let spawner = Full { executor: executor.clone(), queue: queue.clone() };
    let (held, kept) = block_on(executor.run(async {
        let before = LIVE_BYTES.load(Relaxed);
        let group = TaskGroup::<_, Infallible>::new(spawner);
        for _ in 0..WORKS {
            let captured = [0_u8; 10_000];
            drop(group.spawn_blocking(move || _ = black_box(captured)));
        }
        while queue.lock().unwrap().len() < WORKS {
            yield_now().await;
        }
        let held = LIVE_BYTES.load(Relaxed) - before;
        group.cancel();
        group.join().await.unwrap();
        (held, LIVE_BYTES.load(Relaxed) - before)
    }));
    println!("work that blocks: {held} bytes before it is cancelled, {kept} after it");
    assert!(held > 10_000 * WORKS as isize, "{held}");
    assert!(kept < 512 * WORKS as isize, "{kept}");
    assert_eq!(queue.lock().unwrap().len(), WORKS, "nobody took any out");
}

/// Returns the allocations while 1,024 children come and go a second time.
async fn second_burst(mut launch: impl FnMut(), is_over: impl Fn() -> bool) -> usize {
    let mut counted = 0;
    for _ in 0..2 {
        let before = ALLOCATIONS.load(Relaxed);
        (0..1024).for_each(|_| launch());
        while !is_over() {
            yield_now().await;
        }
        counted = ALLOCATIONS.load(Relaxed) - before;
    }
    counted
}

/// If a variable of a function panics when it is dropped, the value that the function was about to return is leaked.
fn refused_children_whose_destructors_panic_leave_nothing_behind() {
    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            resume_unwind(Box::new(()));
        }
    }

    let group = TaskGroup::new(Arc::new(Executor::new()));
    let keyed = group.keyed();
    group.close();
    let child = || {
        let bomb = Bomb;
        async move { drop(bomb) }
    };
    let spawns: [&dyn Fn(); 3] =
        [&|| drop(group.spawn(child())), &|| drop(keyed.replace(1, child())), &|| {
            drop(block_on(group.spawn_when_free(child())))
        }];
    for (number, spawn) in spawns.into_iter().enumerate() {
        let refused = || _ = catch_unwind(AssertUnwindSafe(spawn)).unwrap_err();
        refused();
        let before = LIVE_BYTES.load(Relaxed);
        (0..1_000).for_each(|_| refused());
        assert_eq!(LIVE_BYTES.load(Relaxed) - before, 0, "by way {number}");
    }
}

fn the_table_of_a_thousand_children_is_kept_for_the_next_thousand() {
    let executor = &Arc::new(Executor::new());
    let raw = second_burst(|| executor.spawn(yield_now()).detach(), || executor.is_empty());
    let raw = block_on(executor.run(raw));
    let group = TaskGroup::new(executor.clone());
    let grouped = second_burst(|| group.launch(yield_now()), || group.is_empty());
    let grouped = block_on(executor.run(grouped));
    println!("allocations for the second thousand: {raw} by Executor::spawn, {grouped} by Group::launch");
    // A table that grew anew would ask for memory nine times.
    assert!(grouped <= raw + 4, "{grouped} against {raw}");
}

/// A queue of children. Its owner runs them.
#[derive(Clone)]
struct Queue {
    runnables: Arc<Mutex<Vec<Runnable>>>,
    keeps_ended: bool,
}

impl Spawner for Queue {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let runnables = self.runnables.clone();
        let (runnable, task) =
            async_task::spawn(future, move |runnable| runnables.lock().unwrap().push(runnable));
        runnable.schedule();
        task
    }

    fn keeps_ended(&self) -> bool {
        self.keeps_ended
    }
}

fn a_poll_under_a_shield_or_after_one_allocates_nothing() {
    let executor = Arc::new(Executor::new());
    block_on(executor.run(async {
        let group = TaskGroup::<_, Infallible>::new(executor.clone());
        // Returns the allocations in these polls.
        let polls = || async {
            yield_now().await;
            let before = ALLOCATIONS.load(Relaxed);
            for _ in 0..CHILDREN {
                yield_now().await;
            }
            ALLOCATIONS.load(Relaxed) - before
        };
        let plain = group.spawn(async move { Ok(polls().await) }).value().await;
        let held = group.spawn(async move { Ok(shield(polls()).await) }).value().await;
        let shielded = group.child().shielded().spawn(async move { Ok(polls().await) }).value().await;
        let shield_and_go_on = async move {
            shield(yield_now()).await;
            Ok(polls().await)
        };
        let after = group.spawn(shield_and_go_on).value().await;
        println!(
            "allocations in {CHILDREN} polls: {plain}, {held} under a shield, {shielded} in a child under one, {after} after one"
        );
        // Those of the executor's queue.
        assert!([held, shielded, after].iter().all(|counted| counted.abs_diff(plain) <= 1));
        group.join().await.unwrap();
    }));
}

/// Returns the allocations while sixteen children end, and another one does not.
fn allocations_at_the_end(keeps_ended: bool) -> usize {
    let queue = Queue { runnables: Arc::default(), keeps_ended };
    let run = || {
        let runnables = std::mem::take(&mut *queue.runnables.lock().unwrap());
        for runnable in runnables {
            runnable.run();
        }
    };
    let group = TaskGroup::new(queue.clone());
    let stuck = group.spawn(std::future::pending::<()>());
    (0..16).for_each(|_| group.launch(async {}));
    let before = ALLOCATIONS.load(Relaxed);
    run();
    let counted = ALLOCATIONS.load(Relaxed) - before;
    assert_eq!(group.len(), 1);
    stuck.cancel();
    run();
    block_on(group.join()).unwrap();
    counted
}

fn cells_of_ended_children_that_are_kept_cost_one_allocation_a_group() {
    // The allocations of the thread itself come first.
    allocations_at_the_end(false);
    let (dropped, kept) = (allocations_at_the_end(false), allocations_at_the_end(true));
    println!("allocations while sixteen children end: {dropped}, and {kept} where their cells are kept");
    assert_eq!(kept, dropped + 1);
}

/// Opens and joins groups one after the other, and returns the allocations for each of a hundred.
async fn of_groups(executor: Arc<Executor<'static>>) -> usize {
    const GROUPS: usize = 100;
    let mut before = 0;
    for group in 0..=GROUPS {
        if group == 1 {
            // What the first group inside a child leaves there is for the next ones.
            before = ALLOCATIONS.load(Relaxed);
        }
        TaskGroup::new(executor.clone()).join().await.unwrap();
        scope(executor.clone(), |_| async { Ok::<_, Infallible>(()) }).await.unwrap();
    }
    (ALLOCATIONS.load(Relaxed) - before) / GROUPS
}

fn a_group_inside_a_child_costs_one_allocation_more() {
    let executor = Arc::new(Executor::new());
    let (outside, in_child, in_body) = block_on(executor.run(async {
        let outside = of_groups(executor.clone()).await;
        let group = TaskGroup::<_, Infallible>::new(executor.clone());
        let in_child = group.spawn(of_groups(executor.clone()).map(Ok)).await.unwrap();
        group.join().await.unwrap();
        let in_body =
            scope(executor.clone(), |_: Group<_>| of_groups(executor.clone()).map(Ok)).await.unwrap();
        (outside, in_child, in_body)
    }));
    println!("allocations for a group and a scope: {outside}, {in_child} in a child, {in_body} in a body");
    assert_eq!((in_child, in_body), (outside + 2, outside + 2));
}

#[test]
fn a_child_costs_what_the_runtime_takes_and_leaves_nothing() {
    cells_of_ended_children_that_are_kept_cost_one_allocation_a_group();
    the_table_of_a_thousand_children_is_kept_for_the_next_thousand();
    a_launched_child_allocates_what_the_executors_spawn_does();
    a_finished_child_leaves_nothing_behind();
    a_burst_of_children_leaves_nothing_behind();
    nor_in_what_knows_of_each_child();
    nor_in_the_queue_of_a_child_that_awaits_its_siblings();
    nor_of_two_siblings_that_await_a_queued_child_in_turn();
    nor_of_those_who_give_up_waiting_for_a_place();
    work_that_is_cancelled_before_it_begins_leaves_only_its_place_in_the_queue();
    refused_children_whose_destructors_panic_leave_nothing_behind();
    a_group_inside_a_child_costs_one_allocation_more();
    a_poll_under_a_shield_or_after_one_allocates_nothing();
}
