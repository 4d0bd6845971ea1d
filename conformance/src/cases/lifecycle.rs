//! F. Opening, closing, reuse.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Waker};

use futures_lite::future::{poll_once, yield_now};
use taskgroup::{AnySpawner, CancelReason, Group, Spawner, Task, TaskGroup, scope};

use crate::ledger::{Entry, Gate, Tally, Wakes};
use crate::test::{Test, panic_text};

pub async fn o_49_opening_twice(t: &Test) {
    let mut scope = pin!(scope(t.spawner(), |group| {
        group.launch(t.child(async {}));
        t.child(async { Ok::<_, Infallible>(7) })
    }));
    assert_eq!(scope.as_mut().await.unwrap(), 7);
    let ended = t.ledger.read();
    assert!(panic_text(scope).await.contains("not polled after it has ended"));

    let mut join = TaskGroup::new(t.spawner()).join();
    (&mut join).await.unwrap();
    assert!(panic_text(join).await.contains("not polled after it has ended"));
    assert_eq!(t.ledger.read(), ended, "nothing ran a second time");
}

pub async fn o_50_spawning_before_it_is_open(t: &Test) {
    let captured = t.ledger.capture();
    let unopened = scope(t.spawner(), |group| {
        t.log.write("opened");
        group.launch(t.stuck());
        async move {
            let _captured = captured;
            Ok::<_, Infallible>(())
        }
    });
    assert_eq!(t.ledger.read(), Entry { made: 1, polls: 0, started: 0, completed: 0, dropped: 0 });
    drop(unopened);
    assert_eq!(t.log.lines(), [""; 0], "nobody was ever given a group to spawn into");
    assert_eq!(t.ledger.read(), Entry { made: 1, polls: 0, started: 0, completed: 0, dropped: 1 });
}

pub async fn o_51_spawning_after_the_end(t: &Test) {
    let value = scope(t.spawner(), |group| async move {
        group.launch(t.child(async {}));
        Ok::<_, &str>(group)
    });
    refuses(t, &value.await.unwrap()).await;

    let cancelled = TaskGroup::fallible(t.spawner());
    let kept = cancelled.group();
    cancelled.launch(t.stuck());
    cancelled.cancel();
    cancelled.join().await.unwrap();
    refuses(t, &kept).await;

    let failed = TaskGroup::fallible(t.spawner());
    let kept = failed.group();
    failed.launch(t.child(async { Err::<(), _>("broken") }));
    failed.join().await.unwrap_err();
    refuses(t, &kept).await;
}

async fn refuses(t: &Test, ended: &Group<AnySpawner, &'static str>) {
    let before = t.ledger.read();
    assert_eq!(before.alive(), 0);
    let refused = |n| Entry { made: before.made + n, dropped: before.dropped + n, ..before };

    let handle = ended.spawn(t.child(async { Ok(3) }));
    assert_eq!(t.ledger.read(), refused(1), "destroyed once, and unpolled");
    assert!(handle.is_finished() && handle.id().is_none());
    assert!(handle.await.unwrap_err().is_cancelled());

    ended.launch(t.child(async {}));
    assert_eq!(t.ledger.read(), refused(2));

    let error = ended.try_spawn(t.child(async { Ok(4) })).unwrap_err();
    assert!(error.is_closed() && !error.is_cancelled());
    assert_eq!(t.ledger.read(), Entry { made: before.made + 3, ..refused(2) }, "handed back whole");
    assert_eq!(error.into_future().await, Ok(4));
    assert!(ended.is_closed() && ended.is_empty());
}

/// A spawner that panics after the first few children, as if it had no executor for more.
#[derive(Clone)]
struct Exhausted<S> {
    spawner: S,
    left: Arc<AtomicUsize>,
}

impl<S> Exhausted<S> {
    fn after(children: usize, spawner: S) -> Self {
        Self { spawner, left: Arc::new(AtomicUsize::new(children)) }
    }
}

impl<S: Spawner> Spawner for Exhausted<S> {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, future: F) -> Task<()> {
        if self.left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_err() {
            drop(future);
            panic!("no executor here");
        }
        self.spawner.spawn(future)
    }
}

pub async fn o_52_group_opened_where_no_executor_runs(t: &Test) {
    let group = TaskGroup::new(Exhausted::after(1, t.spawner()));
    let there = &Tally::new();
    let accepted = group.spawn(t.waiting(there));
    there.take(1).await;

    let gone = t.log.on_drop("future destroyed");
    let child = t.child(async move { drop(gone) });
    let text = panic_text(async { drop(group.spawn(child)) }).await;
    assert_eq!(text, "no executor here", "told on the side of the caller");
    assert_eq!(t.log.lines(), ["future destroyed"]);
    assert_eq!(group.reason(), Some(CancelReason::Lost));
    assert!(group.try_spawn(async {}).unwrap_err().is_cancelled());

    let error = group.join().await.unwrap_err();
    assert!(error.is_lost() && error.failures().len() == 0);
    assert!(accepted.await.unwrap_err().is_cancelled());
    assert_eq!(t.ledger.read(), Entry { made: 2, polls: 1, started: 1, completed: 0, dropped: 2 });
}

pub async fn o_52_the_panic_of_a_spawner_goes_through_the_body(t: &Test) {
    let there = &Tally::new();
    let body = scope(Exhausted::after(1, t.spawner()), |group| async move {
        let _gone = t.log.on_drop("body gone");
        group.launch(t.waiting(there));
        there.take(1).await;
        group.launch(t.stuck());
        t.log.write("went on");
        Ok::<_, Infallible>(())
    });
    assert_eq!(panic_text(body).await, "no executor here");
    assert_eq!(t.log.lines(), ["body gone"]);
    assert_eq!(t.ledger.read(), Entry { made: 2, polls: 1, started: 1, completed: 0, dropped: 2 });
}

pub async fn o_53_two_rounds_do_not_mix(t: &Test) {
    for (round, error) in [(1, "first round"), (2, "second round")] {
        let group = TaskGroup::fallible(t.spawner());
        group.launch(t.child(async move { Err::<(), _>(error) }));
        let report = group.join().await.unwrap_err();
        assert_eq!(report.primary(), Some(&error));
        assert_eq!((report.failures().len(), report.not_kept()), (1, 0));
        assert_eq!(report.origin().unwrap().child(), Some(1), "children are counted anew");
        assert_eq!(t.ledger.read().completed, round);
    }
}

pub async fn o_54_nothing_is_kept_alive_by_a_finished_group(t: &Test) {
    let error = Arc::new("broken");
    let probe = Arc::downgrade(&error);
    let group = TaskGroup::fallible(t.spawner());
    let failing = group.spawn(t.child(async move { Err::<(), _>(error) }));
    let stuck = group.spawn(t.stuck());
    let kept = (group.group(), failing.cancel_handle(), failing, stuck);
    let report = group.join().await.unwrap_err();

    let ended = t.ledger.read();
    assert_eq!((ended.made, ended.completed, ended.dropped), (2, 1, 2));
    assert_eq!(report.primary(), Some(&Arc::new("broken")));
    assert_eq!(probe.strong_count(), 1, "only the report holds the error");
    drop(report);
    assert_eq!(probe.strong_count(), 0);
    drop(kept);
}

pub async fn o_55_changing_settings_too_late(t: &Test) {
    scope(t.spawner(), |_| async {
        // With a boxed body a scope can still be moved, and therefore configured, after it has been polled.
        let mut open = scope(t.spawner(), |group| {
            group.launch(t.stuck());
            Box::pin(pending::<Result<(), Infallible>>())
        });
        assert!(poll_once(&mut open).await.is_none());
        let text = panic_text(async { drop(open.collect()) }).await;
        assert!(text.contains("polled"), "{text}");
        Ok::<_, Infallible>(())
    })
    .await
    .unwrap();
    assert_eq!((t.ledger.read().completed, t.ledger.read().dropped), (0, 1));
}

pub async fn whoever_joins_is_woken_when_the_last_child_leaves_and_not_before(t: &Test) {
    let (group, first, last) = (TaskGroup::new(t.spawner()), Gate::new(), Gate::new());
    for gate in [&first, &last] {
        let opened = gate.clone();
        // When a named child leaves, the group has more to do.
        group.child().name("child").launch(t.child(async move { opened.wait().await }));
    }
    let (member, wakes) = (group.group(), Arc::new(Wakes::default()));
    let (mut join, waker) = (pin!(group.join()), Waker::from(wakes.clone()));
    assert!(join.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    first.open();
    while member.len() > 1 {
        yield_now().await;
    }
    assert_eq!(wakes.count(), 0);
    last.open();
    while wakes.count() == 0 {
        yield_now().await;
    }
    join.await.unwrap();
}
