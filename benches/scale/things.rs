//! The things that are done, and how they are checked.

use std::future::{Future, pending};
use std::num::NonZero;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use futures_lite::future::yield_now;
use taskgroup::{Group, Spawner, TaskGroup};

use crate::{Alive, counting};

/// How often a group of each size is filled. The median counts.
const ROUNDS: usize = 7;
/// How many children may be alive while many go through.
const WINDOW: usize = 1_000;
/// How many bytes may still be allocated when everything is gone: those of the other threads.
const REST: isize = 256 << 10;

/// How many of the pending children were polled. It is not in the children, whose size is measured.
static POLLED: AtomicUsize = AtomicUsize::new(0);

pub(crate) struct Things<S> {
    pub(crate) runtime: &'static str,
    pub(crate) spawner: S,
    /// The divisor of all numbers: only this part of each thing is done.
    pub(crate) share: usize,
}

impl<S: Spawner> Things<S> {
    fn group(&self) -> TaskGroup<S> {
        TaskGroup::new(self.spawner.clone())
    }

    fn report(&self, thing: &str, children: usize, took: Duration, bytes: Option<isize>) {
        let each = took.as_nanos() as f64 / children as f64;
        let bytes = bytes.map(|bytes| bytes.to_string()).unwrap_or_default();
        println!("{:<18} {thing:<28} {each:>14.0} {bytes:>12}", self.runtime);
    }

    /// A group whose children have nothing to do.
    pub(crate) async fn flat(&self, size: usize) {
        let size = (size / self.share).max(10);
        let mut took = Vec::new();
        for _ in 0..ROUNDS {
            let ran = Arc::new(AtomicUsize::new(0));
            let group = self.group();
            let begun = Instant::now();
            for _ in 0..size {
                let ran = ran.clone();
                group.launch(async move {
                    ran.fetch_add(1, SeqCst);
                });
            }
            group.join().await.unwrap();
            took.push(begun.elapsed());
            assert_eq!((ran.load(SeqCst), Arc::strong_count(&ran)), (size, 1));
        }
        took.sort();
        self.report(&format!("{size} children"), size, took[ROUNDS / 2], None);
    }

    /// A group whose children wait, have all been polled, and are cancelled.
    pub(crate) async fn pending(&self, size: usize) {
        let size = size / self.share;
        let (group, alive) = (self.group(), Alive::new());
        let before = counting::live_bytes();
        let begun = Instant::now();
        POLLED.store(0, SeqCst);
        for _ in 0..size {
            group.launch(alive.wrap(async {
                POLLED.fetch_add(1, SeqCst);
                pending::<()>().await
            }));
        }
        while POLLED.load(SeqCst) < size {
            yield_now().await;
        }
        self.report(&format!("{size} pending"), size, begun.elapsed(), None);
        assert_eq!((group.len(), alive.others()), (size, size));
        let bytes = (counting::live_bytes() - before) / size as isize;
        let begun = Instant::now();
        group.cancel();
        group.join().await.unwrap();
        assert_eq!(alive.others(), 0);
        self.report("… cancelled, bytes of each", size, begun.elapsed(), Some(bytes));
    }

    /// Many children, of which only few are alive at a time.
    pub(crate) async fn through(&self, size: usize) {
        let size = size / self.share;
        let (alive, ran) = (Alive::new(), Arc::new(AtomicUsize::new(0)));
        let group =
            TaskGroup::builder::<()>(self.spawner.clone()).limit(NonZero::new(WINDOW).unwrap()).open();
        let before = counting::live_bytes();
        let begun = Instant::now();
        let mut left = Vec::new();
        for number in 1..=size {
            let ran = ran.clone();
            let child = alive.wrap(async move {
                yield_now().await;
                ran.fetch_add(1, SeqCst);
            });
            group.spawn_when_free(child).await;
            if [size / 10, size / 2, size].contains(&number) {
                group.idle().await;
                left.push(counting::live_bytes() - before);
            }
        }
        let took = begun.elapsed();
        group.join().await.unwrap();
        assert_eq!((ran.load(SeqCst), alive.others()), (size, 0));
        self.report(&format!("{size} through, bytes grown"), size, took, Some(left[2] - left[0]));
        assert!(left[2] - left[0] < REST, "it grows: {left:?}");
    }

    /// Groups that are all open at once, with one child each.
    pub(crate) async fn side_by_side(&self, size: usize) {
        let size = size / self.share;
        let alive = Alive::new();
        let begun = Instant::now();
        let groups: Vec<_> = (0..size)
            .map(|_| {
                let group = self.group();
                group.launch(alive.wrap(pending::<()>()));
                group
            })
            .collect();
        assert_eq!(alive.others(), size);
        groups.iter().for_each(|group| group.cancel());
        for group in groups {
            group.join().await.unwrap();
        }
        assert_eq!(alive.others(), 0);
        self.report(&format!("{size} groups side by side"), size, begun.elapsed(), None);
    }

    /// A group in a child of a group in a child, and so on. It is cancelled from outside, or ends from inside.
    pub(crate) async fn nested(&self, depth: usize, cancel: bool) {
        let depth = depth / self.share;
        let (group, alive) = (self.group(), Alive::new());
        let bottom = Arc::new(Bottom { reached: OnceLock::new(), stays: cancel });
        let begun = Instant::now();
        group.launch(descend(self.spawner.clone(), alive.clone(), bottom.clone(), depth));
        if cancel {
            while bottom.reached.get().is_none() {
                yield_now().await;
            }
            assert_eq!(alive.others(), depth + 1);
            group.cancel();
        }
        group.join().await.unwrap();
        assert!(bottom.reached.get().is_some());
        assert_eq!(alive.others(), 0);
        let end = if cancel { "cancelled" } else { "done" };
        self.report(&format!("{depth} deep and {end}"), depth, begun.elapsed(), None);
    }

    /// Threads that do not belong to the runtime spawn into one group.
    pub(crate) async fn spawned_outside(&self, threads: usize, each: usize) {
        let each = each / self.share;
        let (group, alive, ran) = (self.group(), Alive::new(), Arc::new(AtomicUsize::new(0)));
        let begun = Instant::now();
        let spawning: Vec<_> = (0..threads)
            .map(|_| {
                let (group, alive, ran) = (group.group(), alive.clone(), ran.clone());
                thread::spawn(move || launch_all(&group, each, &alive, &ran))
            })
            .collect();
        // The task does not block for the threads: it waits for the group again and again while they spawn.
        while spawning.iter().any(|thread| !thread.is_finished()) {
            group.idle().await;
            yield_now().await;
        }
        spawning.into_iter().for_each(|thread| thread.join().unwrap());
        group.join().await.unwrap();
        assert_eq!((ran.load(SeqCst), alive.others()), (threads * each, 0));
        self.report(&format!("{threads} threads, {each} each"), threads * each, begun.elapsed(), None);
    }
}

fn launch_all<S: Spawner>(group: &Group<S>, children: usize, alive: &Alive, ran: &Arc<AtomicUsize>) {
    for _ in 0..children {
        let ran = ran.clone();
        group.launch(alive.wrap(async move {
            ran.fetch_add(1, SeqCst);
        }));
    }
}

struct Bottom {
    reached: OnceLock<()>,
    /// Whether the child that arrives there stays.
    stays: bool,
}

fn descend<S: Spawner>(
    spawner: S,
    alive: Alive,
    bottom: Arc<Bottom>,
    depth: usize,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        let _alive = alive.clone();
        let group = TaskGroup::new(spawner.clone());
        match depth.checked_sub(1) {
            Some(depth) => group.launch(descend(spawner, alive, bottom, depth)),
            None => {
                drop(alive);
                bottom.reached.set(()).expect("there is one way down");
                if bottom.stays {
                    pending::<()>().await;
                }
            }
        }
        group.join().await.unwrap();
    })
}
