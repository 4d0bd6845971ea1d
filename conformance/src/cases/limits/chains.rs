//! Children that await each other take one place together, and all of them end.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use futures_lite::future::{Boxed, FutureExt, or, poll_once, try_zip, yield_now};
use taskgroup::JoinHandle;

use super::{Own, held, limited, link, says};
use crate::ledger::{Gate, Tally};
use crate::test::Test;

/// The handle of a child, for a child that is spawned before the handle exists.
#[derive(Clone)]
struct Later {
    there: Gate,
    handle: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Later {
    fn new() -> Self {
        Self { there: Gate::new(), handle: Arc::default() }
    }

    fn set(&self, handle: JoinHandle<()>) {
        *self.handle.lock().unwrap() = Some(handle);
        self.there.open();
    }

    async fn wait(self) {
        self.there.wait().await;
        let handle = self.handle.lock().unwrap().take();
        handle.expect("it was set").await.unwrap();
    }
}

/// Returns a child that lends its place twice.
///
/// First it awaits a child that lends the place on to `last` and ends. Then it awaits another queued child.
fn lends_twice(
    t: &Test,
    own: Own,
    last: impl Future<Output = ()> + Send + 'static,
) -> Boxed<Result<(), &'static str>> {
    let (around, last, then) = (own.clone(), t.child(last).boxed(), says(t, "then"));
    let between = t.child(async move {
        let mut last = around.spawn(last);
        // If two children do this, `last` may have found a place of its own and ended.
        poll_once(&mut last).await;
    });
    let between = between.boxed();
    let lends = async move {
        own.spawn(between).await.unwrap();
        own.spawn(then).await.unwrap();
        Ok(())
    };
    t.child(lends).boxed()
}

pub async fn one_that_has_the_place_of_whom_it_awaits_lends_it_back(t: &Test) {
    let (group, first) = (limited(t.spawner(), 1), Later::new());
    let last = first.clone().wait();
    first.set(group.spawn(lends_twice(t, group.group(), last)));
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["then"]);
}

pub async fn two_that_have_the_places_of_each_others_siblings_lend_them_back(t: &Test) {
    let (group, [one, two]) = (limited(t.spawner(), 2), [Later::new(), Later::new()]);
    let (first, second) = (one.clone().wait(), two.clone().wait());
    let handles = [first, second].map(|last| group.spawn(lends_twice(t, group.group(), last)));
    let [first, second] = handles;
    one.set(second);
    two.set(first);
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["then", "then"]);
}

/// The racer awaits whichever of two children ends first, and the first of them, which runs, awaits the racer.
pub async fn the_second_of_two_is_started_where_the_first_awaits_whoever_awaits_both(t: &Test) {
    let (group, racer) = (limited(t.spawner(), 1), Later::new());
    let (own, first, second) = (group.group(), t.child(racer.clone().wait()).boxed(), says(t, "second"));
    racer.set(group.spawn(t.child(async move {
        let (first, second) = (own.spawn(first), own.spawn(second));
        or(first, second).await.map_err(|_| "cut")
    })));
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["second"]);
}

pub async fn a_place_is_lent_through_one_that_needs_none(t: &Test) {
    let group = limited(t.spawner(), 1);
    let (own, queued) = (group.group(), says(t, "queued"));
    group.launch(t.child(async move {
        let queued = own.spawn(queued);
        let between = own.child().background().spawn(async move { queued.await.map_err(|_| "cut") });
        between.await.unwrap();
    }));
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["queued"]);
}

/// As long as enough children do not wait for others, as many of them are at work as the limit allows.
pub async fn those_who_wait_in_a_tree_take_no_places(t: &Test) {
    const LIMIT: usize = 4;
    const DEPTH: usize = 5;

    #[derive(Default)]
    struct Leaves {
        arrived: AtomicUsize,
        at_work: AtomicUsize,
        gates: [Gate; (1 << DEPTH) / LIMIT],
    }

    impl Leaves {
        /// Waits until as many leaves as the limit are at work at once.
        async fn work(&self) {
            assert!(self.at_work.fetch_add(1, SeqCst) < LIMIT, "too many at work");
            let me = self.arrived.fetch_add(1, SeqCst);
            let gate = &self.gates[me / LIMIT];
            if me % LIMIT == LIMIT - 1 {
                gate.open();
            }
            gate.wait().await;
            self.at_work.fetch_sub(1, SeqCst);
        }
    }

    fn node(own: Own, leaves: Arc<Leaves>, depth: usize, at_once: bool) -> Boxed<Result<(), &'static str>> {
        let node = async move {
            if depth == 0 {
                leaves.work().await;
                return Ok(());
            }
            let [one, two] =
                [(); 2].map(|()| own.spawn(node(own.clone(), leaves.clone(), depth - 1, at_once)));
            if at_once {
                try_zip(one, two).await.map_err(|_| "cut")?;
            } else {
                one.await.map_err(|_| "cut")?;
                two.await.map_err(|_| "cut")?;
            }
            Ok(())
        };
        node.boxed()
    }

    for at_once in [false, true] {
        let (group, leaves) = (limited(t.spawner(), LIMIT), Arc::<Leaves>::default());
        group.launch(t.child(node(group.group(), leaves.clone(), DEPTH, at_once)));
        group.join().await.unwrap();
        assert_eq!((leaves.arrived.load(SeqCst), leaves.at_work.load(SeqCst)), (1 << DEPTH, 0));
    }
}

pub async fn a_chain_takes_one_place(t: &Test) {
    let (group, begun, gate) = (limited(t.spawner(), 2), Tally::new(), Gate::new());
    group.launch(link(group.group(), 10, held(t, &begun, &gate).boxed()));
    begun.take(1).await;
    // On several threads the last child may begin before all the others await.
    while group.group().snapshot().group().places_taken() != Some(1) {
        yield_now().await;
    }
    group.spawn(says(t, "beside")).await.unwrap();
    gate.open();
    group.join().await.unwrap();
}

/// A child begins to await a child that has a place, and then goes on beside it.
///
/// When both have ended, there are as many places as before.
pub async fn one_that_goes_on_beside_whom_it_awaited_takes_no_place_for_ever(t: &Test) {
    let (group, begun, gates) = (limited(t.spawner(), 2), Tally::new(), [Gate::new(), Gate::new()]);
    let taken = || group.snapshot().group().places_taken();
    let mut awaited = group.spawn(held(t, &begun, &gates[0]));
    let goes_on = held(t, &begun, &gates[1]);
    let awaiter = group.spawn(t.child(async move {
        assert!(poll_once(&mut awaited).await.is_none());
        goes_on.await;
        Ok(awaited)
    }));
    begun.take(2).await;
    assert_eq!(taken(), Some(1));
    gates[1].open();
    let awaited = awaiter.await.unwrap();
    assert_eq!(taken(), Some(1));
    gates[0].open();
    awaited.await.unwrap();
    group.idle().await;
    assert_eq!(taken(), Some(0));
    group.join().await.unwrap();
}

/// The lender lends its place to a child, hands the child's handle to the awaiter, and ends.
pub async fn whoever_awaits_one_that_has_come_to_be_the_first_takes_no_place(t: &Test) {
    let (group, begun, gate) = (limited(t.spawner(), 2), Tally::new(), Gate::new());
    let (own, long, handed, polls) =
        (group.group(), held(t, &begun, &gate).boxed(), Later::new(), Tally::new());
    let (hands, polled) = (handed.clone(), polls.clone());
    let lender = group.spawn(t.child(async move {
        polled.take(1).await;
        let mut long = own.spawn(long);
        assert!(poll_once(&mut long).await.is_none());
        hands.set(long);
        polled.take(1).await;
        Ok(())
    }));
    let awaiter = group.spawn(t.child(async move {
        polls.polls_of(handed.wait()).await;
        Ok(())
    }));
    lender.await.unwrap();
    begun.take(1).await;
    group.spawn(says(t, "beside")).await.unwrap();
    gate.open();
    awaiter.await.unwrap();
    group.join().await.unwrap();
}
