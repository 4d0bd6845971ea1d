//! A. Ordinary completion.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use futures_lite::future::yield_now;
use taskgroup::{Spawner, Task, scope};

use crate::ledger::{Gate, Tally};
use crate::test::Test;

pub async fn o_01_two_children_two_values<S: Spawner>(t: &Test<S>) {
    let (first, second) = scope(t.spawner(), |group| async move {
        let first = group.spawn(t.child(async {
            yield_now().await;
            Ok(42)
        }));
        let second = group.spawn(t.child(async {
            yield_now().await;
            yield_now().await;
            Ok(11)
        }));
        Ok::<_, Infallible>((first, second))
    })
    .await
    .unwrap();
    assert_eq!(t.ledger.read().completed, 2);
    assert!(first.is_finished() && second.is_finished());
    assert_eq!(first.await.unwrap(), 42);
    assert_eq!(second.await.unwrap(), 11);
}

pub async fn o_02_child_added_later_by_the_body<S: Spawner>(t: &Test<S>) {
    let sum = scope(t.spawner(), |group| async move {
        let mut first = group.spawn(t.child(async { Ok(1) }));
        let first = (&mut first).await.unwrap();
        group.idle().await;
        assert!(group.is_empty() && !group.is_closed(), "empty for a moment, and open");
        let second = group.spawn(t.child(async { Ok(2) })).value().await;
        Ok::<_, Infallible>(first + second)
    });
    assert_eq!(sum.await.unwrap(), 3);
    assert_eq!(t.ledger.read().completed, 2);
}

pub async fn o_03_exit_waits_for_children_the_body_forgot<S: Spawner>(t: &Test<S>) {
    let value = scope(t.spawner(), |group| async move {
        let _gone = t.log.on_drop("body gone");
        group.spawn(t.child(async {}));
        group.spawn(t.child(yield_now()));
        let log = t.log.clone();
        group.spawn(t.child(async move {
            while log.count("body gone") == 0 {
                yield_now().await;
            }
            log.write("third ends");
        }));
        Ok::<_, Infallible>(42)
    });
    assert_eq!(value.await.unwrap(), 42);
    assert_eq!(t.log.lines(), ["body gone", "third ends"]);
    assert_eq!(t.ledger.read().completed, 3);
}

pub async fn o_04_grandchildren_spawned_as_siblings<S: Spawner>(t: &Test<S>) {
    scope(t.spawner(), |group| async move {
        let _gone = t.log.on_drop("body gone");
        let (siblings, ledger, log) = (group.clone(), t.ledger.clone(), t.log.clone());
        group.launch(t.child(async move {
            while log.count("body gone") == 0 {
                yield_now().await;
            }
            let gate = Gate::new();
            for _ in 0..2 {
                let gate = gate.clone();
                siblings.launch(ledger.track(async move { gate.wait().await }));
            }
            assert_eq!(siblings.len(), 3);
            gate.open();
        }));
        Ok::<_, Infallible>(())
    })
    .await
    .unwrap();
    assert_eq!(t.ledger.read().completed, 3);
}

pub async fn o_05_counting_while_it_runs<S: Spawner>(t: &Test<S>) {
    scope(t.spawner(), |group| async move {
        let gates: Vec<_> = (0..10).map(|_| Gate::new()).collect();
        for tick in 0..10 {
            let gate = gates[tick].clone();
            group.spawn(t.child(async move { gate.wait().await }));
            assert!(group.len() <= 4, "{} children", group.len());
            if tick >= 3 {
                gates[tick - 3].open();
                while group.len() > 3 {
                    yield_now().await;
                }
                assert_eq!(t.ledger.read().alive(), 3, "what has ended is destroyed while the group is open");
            }
        }
        gates.iter().for_each(Gate::open);
        group.idle().await;
        assert_eq!((group.len(), t.ledger.read().alive()), (0, 0));
        Ok::<_, Infallible>(())
    })
    .await
    .unwrap();
    assert_eq!(t.ledger.read().completed, 10);
}

pub async fn o_06_group_around_nothing<S: Spawner>(t: &Test<S>) {
    /// Counts the calls of `spawn`.
    #[derive(Clone)]
    struct Counting<S>(S, Arc<AtomicUsize>);

    impl<S: Spawner> Spawner for Counting<S> {
        fn spawn<F: Future<Output = ()> + Send + 'static>(&self, future: F) -> Task<()> {
            self.1.fetch_add(1, SeqCst);
            self.0.spawn(future)
        }
    }

    let calls = Arc::new(AtomicUsize::new(0));
    let spawner = Counting(t.spawner(), calls.clone());
    let body = t.child(async { Ok::<_, Infallible>(7) });
    assert_eq!(scope(spawner.clone(), |_| body).await.unwrap(), 7);
    assert_eq!(calls.load(SeqCst), 0);
    assert_eq!(t.ledger.read().polls, 1, "the group itself does not yield");

    let one = scope(spawner, |group| async move {
        group.launch(async {});
        Ok::<_, Infallible>(())
    });
    one.await.unwrap();
    assert_eq!(calls.load(SeqCst), 1);
}

pub async fn o_07_ten_thousand_children<S: Spawner>(t: &Test<S>) {
    let total = t.pick(10_000, 500);
    let ran = Tally::new();
    scope(t.spawner(), |group| {
        let ran = ran.clone();
        async move {
            for _ in 0..total {
                let ran = ran.clone();
                group.launch(t.child(async move {
                    yield_now().await;
                    ran.add();
                }));
            }
            Ok::<_, Infallible>(())
        }
    })
    .await
    .unwrap();
    ran.take(total).await;
    assert!(ran.is_empty(), "each ran once");
    assert_eq!(t.ledger.read().completed, total);
}
