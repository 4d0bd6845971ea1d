//! L. Limits: the numbered scenarios, and what frees a place.
//!
//! `limits/free.rs` is about waiting for a place, `limits/lent.rs` and `limits/chains.rs` are about lending one.

use std::convert::Infallible;
use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use futures_lite::future::{Boxed, FutureExt, yield_now};
use taskgroup::{AnySpawner, CancelReason, Group, Spawner, TaskGroup, scope};

use crate::ledger::{Gate, Tally};
use crate::spawners::Dropping;
use crate::test::{Test, errors, panic_text};

mod chains;
mod free;
mod lent;

pub use chains::*;
pub use free::*;
pub use lent::*;

/// The group that a child is in.
type Own = Group<AnySpawner, &'static str>;

fn most(children: usize) -> NonZeroUsize {
    NonZeroUsize::new(children).unwrap()
}

/// Opens a group with a limit that collects all failures.
pub(super) fn limited<S: Spawner>(spawner: S, children: usize) -> TaskGroup<S, &'static str> {
    TaskGroup::builder(spawner).limit(most(children)).collect().open()
}

/// Returns a child that logs a line when it runs.
fn says(t: &Test, line: impl ToString) -> Boxed<()> {
    said(t, line, async {})
}

/// Returns a child that logs a line when it runs, and then runs `then`.
fn said<O: 'static>(
    t: &Test,
    line: impl ToString,
    then: impl Future<Output = O> + Send + 'static,
) -> Boxed<O> {
    let (log, line) = (t.log.clone(), line.to_string());
    let says = async move {
        log.write(line);
        then.await
    };
    t.child(says).boxed()
}

/// Returns a child that adds one to `begun` and waits for the gate.
fn held(t: &Test, begun: &Tally, gate: &Gate) -> impl Future<Output = ()> + Send + use<> {
    let (begun, gate) = (begun.clone(), gate.clone());
    t.child(async move {
        begun.add();
        gate.wait().await;
    })
}

/// Returns a child that spawns the next child of a chain and awaits it. The last child runs `last`.
///
/// The value is the number of children that were spawned.
fn link(own: Own, left: usize, last: Boxed<()>) -> Boxed<Result<usize, &'static str>> {
    let link = async move {
        if left == 0 {
            last.await;
            return Ok(0);
        }
        let next = own.spawn(link(own.clone(), left - 1, last));
        Ok(next.await.unwrap() + 1)
    };
    link.boxed()
}

/// Yields several times, so that anything that must not happen has the time to happen.
async fn pause() {
    for _ in 0..20 {
        yield_now().await;
    }
}

pub async fn o_100_panics_use_up_no_places(t: &Test) {
    let group = limited(t.spawner(), 2);
    for n in 0..10 {
        group.launch(said(t, "ran", async move { panic!("number {n}") }));
    }
    assert!(panic_text(group.join()).await.starts_with("number "));
    assert_eq!((t.log.count("ran"), t.ledger.read().started), (10, 10));
}

pub async fn o_101_never_above_the_limit(t: &Test) {
    for limit in [1, 10, t.pick(100, 20)] {
        let group = limited(t.spawner(), limit);
        let (running, highest) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (begun, gate, before) = (Tally::new(), Gate::new(), t.ledger.read());
        for _ in 0..limit * 10 {
            let (running, highest) = (running.clone(), highest.clone());
            let (begun, gate) = (begun.clone(), gate.clone());
            group.launch(t.child(async move {
                highest.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                begun.add();
                gate.wait().await;
                yield_now().await;
                running.fetch_sub(1, SeqCst);
            }));
        }
        begun.take(limit).await;
        pause().await;
        assert_eq!(t.ledger.read().started - before.started, limit, "the others are not polled");
        assert_eq!(group.len(), limit * 10, "but counted");
        gate.open();
        group.join().await.unwrap();
        assert_eq!((highest.load(SeqCst), running.load(SeqCst)), (limit, 0));
        assert_eq!(t.ledger.read().completed - before.completed, limit * 10);
    }
}

pub async fn o_102_try_spawn_at_the_limit(t: &Test) {
    let group = limited(t.spawner(), 42);
    let gate = Gate::new();
    for _ in 0..42 {
        let wait = gate.clone();
        group.try_spawn(t.child(async move { wait.wait().await })).unwrap();
    }
    let refused = group.try_spawn(says(t, "refused")).unwrap_err();
    assert!(refused.is_full() && !refused.is_closed() && !refused.is_cancelled());
    assert_eq!(refused.to_string(), "the group is full");
    gate.open();
    group.idle().await;
    group.try_spawn(refused.into_future()).unwrap();
    group.join().await.unwrap();
    assert_eq!((t.ledger.read().completed, t.log.lines()), (43, vec!["refused".into()]));
}

pub async fn o_104_queued_children_under_a_failure(t: &Test) {
    let group = TaskGroup::builder(t.spawner()).limit(most(1)).open();
    let gate = Gate::new();
    let wait = gate.clone();
    group.launch(t.child(async move {
        wait.wait().await;
        Err::<(), _>("first")
    }));
    let queued: Vec<_> = (0..t.pick(99, 20)).map(|_| group.spawn(t.stuck())).collect();
    gate.open();
    let error = group.join().await.unwrap_err();
    assert_eq!(errors(&error), ["first"]);
    assert_eq!((t.ledger.read().started, t.ledger.read().alive()), (1, 0));
    for child in queued {
        assert!(child.await.unwrap_err().is_cancelled());
    }
}

pub async fn o_105_cancel_while_queued_by_handle(t: &Test) {
    let (group, gate) = (limited(t.spawner(), 1), Gate::new());
    let wait = gate.clone();
    group.launch(t.child(async move { wait.wait().await }));
    let queued: Vec<_> = (0..5).map(|n| group.spawn(says(t, n))).collect();
    queued[1].cancel();
    queued[3].cancel();
    gate.open();
    group.join().await.unwrap();
    assert_eq!((t.log.lines(), t.ledger.read().started), (["0", "2", "4"].map(Into::into).to_vec(), 4));
    for (n, child) in queued.into_iter().enumerate() {
        assert_eq!(child.await.is_err(), n % 2 == 1);
    }
}

pub async fn children_start_in_the_order_in_which_they_were_spawned(t: &Test) {
    let (group, gate, begun) = (limited(t.spawner(), 1), Gate::new(), Tally::new());
    group.launch(held(t, &begun, &gate));
    begun.take(1).await;
    (0..20).for_each(|n| group.launch(said(t, n, yield_now())));
    pause().await;
    assert_eq!(t.ledger.read().started, 1);
    gate.open();
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
}

/// Checks that a queued child gets the only place when `holder`, which had it, ends.
async fn freed<O>(t: &Test, group: &TaskGroup<AnySpawner, &'static str>, holder: O)
where
    O: Future<Output = Result<(), &'static str>> + Send + 'static,
{
    let gate = Gate::new();
    let wait = gate.clone();
    group.launch(t.child(async move {
        wait.wait().await;
        holder.await
    }));
    let queued = group.spawn(says(t, "next"));
    pause().await;
    assert_eq!(t.log.lines(), [""; 0]);
    gate.open();
    queued.await.unwrap();
    assert_eq!(t.log.lines(), ["next"]);
}

pub async fn a_place_is_freed_by_an_end(t: &Test) {
    let group = limited(t.spawner(), 1);
    freed(t, &group, async { Ok(()) }).await;
    group.join().await.unwrap();
}

pub async fn a_place_is_freed_by_an_error(t: &Test) {
    let group = limited(t.spawner(), 1);
    freed(t, &group, async { Err("holder") }).await;
    assert_eq!(errors(&group.join().await.unwrap_err()), ["holder"]);
}

pub async fn a_place_is_freed_by_a_panic(t: &Test) {
    let group = limited(t.spawner(), 1);
    freed(t, &group, async { panic!("in the holder") }).await;
    assert_eq!(panic_text(group.join()).await, "in the holder");
}

pub async fn a_place_is_freed_by_a_cancel_of_its_child(t: &Test) {
    let (group, begun) = (limited(t.spawner(), 1), Tally::new());
    let holder = group.spawn(t.waiting(&begun));
    let queued = group.spawn(says(t, "next"));
    begun.take(1).await;
    holder.cancel();
    queued.await.unwrap();
    group.join().await.unwrap();
}

pub async fn a_place_is_kept_while_a_group_inside_lives(t: &Test) {
    let (group, gate, given_up) = (limited(t.spawner(), 1), Gate::new(), Gate::new());
    let (own, ledger, wait, open) = (group.group(), t.ledger.clone(), gate.clone(), given_up.clone());
    group.launch(t.child(async move {
        let inner = TaskGroup::new(own.spawner().clone());
        let begun = Gate::new();
        let begin = begun.clone();
        inner.launch(ledger.track(taskgroup::shield(async move {
            begin.open();
            wait.wait().await;
        })));
        begun.wait().await;
        drop(inner);
        open.open();
    }));
    let queued = group.spawn(says(t, "next"));
    given_up.wait().await;
    pause().await;
    assert_eq!(t.log.lines(), [""; 0]);
    gate.open();
    queued.await.unwrap();
    group.join().await.unwrap();
}

pub async fn a_lost_child_ends_those_that_are_queued(t: &Test) {
    let (group, begun) = (limited(t.spawner(), 2), Tally::new());
    group.launch(t.waiting(&begun));
    begun.take(1).await;
    let lost = group.on(Dropping).spawn(async {});
    assert!(lost.await.unwrap_err().is_lost());
    let queued = group.spawn(says(t, "never"));
    assert!(queued.await.unwrap_err().is_cancelled());
    assert_eq!(group.join().await.unwrap_err().reason(), Some(&CancelReason::Lost));
}

pub async fn a_cancel_leaves_nothing_of_a_thousand_that_are_queued(t: &Test) {
    let (group, begun) = (limited(t.spawner(), 1), Tally::new());
    let many = t.pick(1_000, 50);
    group.launch(t.waiting(&begun));
    (0..many).for_each(|_| group.launch(t.stuck()));
    begun.take(1).await;
    assert_eq!(group.len(), many + 1);
    group.cancel();
    group.join().await.unwrap();
    assert_eq!((t.ledger.read().started, t.ledger.read().alive()), (1, 0));
}

pub async fn background_children_need_no_place(t: &Test) {
    let (group, begun) = (limited(t.spawner(), 1), Tally::new());
    (0..3).for_each(|_| group.child().background().launch(t.waiting(&begun)));
    begun.take(3).await;
    group.try_spawn(says(t, "in the place")).unwrap().await.unwrap();
    let holder = group.spawn(t.waiting(&begun));
    group.child().background().launch(t.waiting(&begun));
    begun.take(2).await;
    holder.cancel();
    group.join().await.unwrap();
    assert_eq!(t.ledger.read().completed, 1);
}

pub async fn clean_ups_need_no_place(t: &Test) {
    let (group, begun) = (limited(t.spawner(), 1), Tally::new());
    let (own, log) = (group.group(), t.log.clone());
    let gate = Gate::new();
    let wait = gate.clone();
    group.launch(t.child(async move {
        own.defer(async move {
            wait.wait().await;
            log.write("clean-up");
        });
    }));
    // This child has the only place, and the clean-up runs beside it.
    let holder = group.spawn(t.waiting(&begun));
    begun.take(1).await;
    gate.open();
    while t.log.count("clean-up") == 0 {
        yield_now().await;
    }
    holder.cancel();
    group.join().await.unwrap();
}

pub async fn adopted_tasks_need_no_place(t: &Test) {
    let (group, begun) = (limited(t.spawner(), 1), Tally::new());
    let holder = group.spawn(t.waiting(&begun));
    begun.take(1).await;
    assert_eq!(group.adopt(Value(7)).await.unwrap(), 7);
    holder.cancel();
    group.join().await.unwrap();
}

/// A task that has already ended.
struct Value(u8);

impl taskgroup::runtime::Adopt for Value {
    type Output = Result<u8, &'static str>;

    async fn run(self, _: impl Future<Output = ()> + Send + 'static) -> Option<Self::Output> {
        Some(Ok(self.0))
    }
}

pub async fn groups_inside_have_places_of_their_own(t: &Test) {
    let group = limited(t.spawner(), 1);
    for n in 0..3 {
        let (own, line) = (group.group(), said(t, n, async { Ok::<_, Infallible>(()) }));
        group.launch(t.child(async move {
            let inner = scope(own.spawner().clone(), |inner| async move {
                inner.spawn(line).await.unwrap();
                inner.spawn(async { Ok(()) }).await.unwrap();
                Ok(())
            });
            inner.limit(most(1)).await.unwrap();
        }));
    }
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["0", "1", "2"]);
}

pub async fn a_scope_may_have_a_limit_and_its_body_needs_no_place(t: &Test) {
    let limited = scope(t.spawner(), |group| async move {
        let children: Vec<_> = (0..3).map(|n| group.spawn(said(t, n, async move { Ok(n) }))).collect();
        let mut sum = 0;
        for child in children {
            sum += child.value().await;
        }
        Ok::<_, Infallible>(sum)
    });
    assert_eq!(limited.limit(most(1)).await.unwrap(), 3);
    assert_eq!(t.log.lines(), ["0", "1", "2"]);
}

pub async fn one_that_waits_for_its_place_keeps_its_name(t: &Test) {
    let (group, begun) = (limited(t.spawner(), 1), Tally::new());
    let first = group.child().name("first").spawn_when_free(t.waiting(&begun)).await;
    begun.take(1).await;
    // A background child needs no place, so this does not wait.
    let beside = group.child().name("beside").background().spawn_when_free(t.waiting(&begun)).await;
    begun.take(1).await;
    let second = group.child().name("second").spawn_when_free(says(t, "second"));
    first.cancel();
    let second = second.await;
    let names = [&first, &second].map(|child| child.name().map(str::to_string));
    assert_eq!(names, [Some("first".to_string()), Some("second".to_string())]);
    assert_eq!(beside.name(), Some("beside"));
    second.await.unwrap();
    group.idle().await;
    group.try_spawn(says(t, "the place is free again")).unwrap().await.unwrap();
    group.join().await.unwrap();
}
