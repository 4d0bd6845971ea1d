//! Groups whose children borrow, in one task, on each runtime: awaited in whatever is around them there.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::hint::spin_loop;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use async_executor::LocalExecutor;
use futures_lite::future::{poll_once, yield_now, zip};
use taskgroup::group::Borrowing;
use taskgroup::{Group, GroupError, Spawner, TaskGroup, borrowing, scope, shield};
use taskgroup_conformance::ledger::{Gate, Ledger, Log, Tally};
use taskgroup_conformance::spawners::Inline;
use taskgroup_conformance::{Test, errors, panic_text, quiet_panic, still_waits, watched};

macro_rules! suite {
    ($($case:ident)*) => {
        on!(inline: $($case)*);
        on_the_runtimes!($($case)*);
    };
}

suite! {
    children_share_what_they_borrow
    a_failure_cancels_siblings_and_body
    a_panic_is_resumed_when_all_are_gone
    a_shielded_section_is_completed
    dropped_half_way_its_children_are_gone_at_once
    cut_along_with_the_body_around_it_it_is_dropped
    cut_along_with_the_child_around_it_it_is_dropped
    cut_along_with_a_scope_in_a_scope_it_is_dropped
    what_outlives_it_there_is_waited_for
    its_clean_up_waits_for_the_body_around_its_scope
    carried_out_of_a_body_in_a_scope_it_is_waited_for
    carried_out_of_a_child_in_a_scope_it_is_waited_for
    a_shield_in_a_child_holds_the_body_around_its_group
    a_shield_in_a_child_holds_the_child_around_its_groups
    nor_does_a_child_with_a_task_of_its_own_hold_whoever_spawns_it
    what_a_child_opens_on_a_runtime_is_counted_around_it
    a_cancelled_one_takes_no_more_children
}

async fn children_share_what_they_borrow<S: Spawner>(t: &Test<S>) {
    let (sum, words) = (Cell::new(0), ["one", "two", "three"].map(String::from));
    let longest = borrowing(async |group| {
        let lengths = words.each_ref().map(|word| {
            group.spawn(t.child(async {
                yield_now().await;
                sum.set(sum.get() + word.len());
                Ok(word.len())
            }))
        });
        let mut longest = 0;
        for length in lengths {
            longest = longest.max(length.value().await);
        }
        Ok::<_, Infallible>(longest)
    });
    assert_eq!(longest.await.unwrap(), 5);
    assert_eq!((sum.get(), t.ledger.read().completed), (11, 3));
}

async fn a_failure_cancels_siblings_and_body<S: Spawner>(t: &Test<S>) {
    let there = Tally::new();
    let failed: Result<(), GroupError<&str>> = borrowing(async |group| {
        group.launch(t.waiting(&there));
        group.launch(t.child(async {
            there.take(1).await;
            Err::<(), _>("broken")
        }));
        t.stuck().await;
        Ok(())
    })
    .await;
    assert_eq!(errors(&failed.unwrap_err()), ["broken"]);
    assert_eq!((t.ledger.read().alive(), t.ledger.read().completed), (0, 1));
}

async fn a_panic_is_resumed_when_all_are_gone<S: Spawner>(t: &Test<S>) {
    let panics = borrowing(async |group| {
        group.launch(t.stuck());
        group.launch(t.child(async { quiet_panic("out of cheese") as () }));
        Ok::<_, Infallible>(())
    });
    assert_eq!(panic_text(panics).await, "out of cheese");
    assert_eq!(t.ledger.read().alive(), 0);
}

async fn a_shielded_section_is_completed<S: Spawner>(t: &Test<S>) {
    let (begun, log) = (Tally::new(), &t.log);
    let failed = borrowing(async |group| {
        group.spawn(t.child(async {
            shield(async {
                begun.add();
                yield_now().await;
                yield_now().await;
                log.write("completed");
            })
            .await;
            pending::<()>().await
        }));
        begun.take(1).await;
        Err::<(), _>("broken")
    });
    assert_eq!(errors(&failed.await.unwrap_err()), ["broken"]);
    assert_eq!((t.log.lines(), t.ledger.read().alive()), (vec!["completed".to_string()], 0));
}

async fn dropped_half_way_its_children_are_gone_at_once<S: Spawner>(t: &Test<S>) {
    let there = Tally::new();
    let mut stuck = Box::pin(borrowing(async |group| {
        group.spawn(t.waiting(&there));
        group.spawn(t.stuck());
        pending::<Result<(), Infallible>>().await
    }));
    while there.is_empty() {
        assert!(poll_once(stuck.as_mut()).await.is_none());
    }
    assert_eq!(t.ledger.read().alive(), 2);
    drop(stuck);
    assert_eq!(t.ledger.read().alive(), 0);
}

async fn cut_along_with_the_body_around_it_it_is_dropped<S: Spawner>(t: &Test<S>) {
    let there = Tally::new();
    let failed: Result<(), GroupError<&str>> = scope(t.spawner(), async |group: Group<_, _>| {
        let ready = there.clone();
        group.launch(t.child(async move {
            ready.take(1).await;
            Err::<(), _>("broken outside")
        }));
        borrowing(async |inside| {
            inside.spawn(t.waiting(&there));
            pending::<Result<(), Infallible>>().await
        })
        .await
        .map_err(|_| "cut")
    })
    .await;
    assert_eq!(errors(&failed.unwrap_err()), ["broken outside"]);
    assert_eq!(t.ledger.read().alive(), 0);
}

/// Awaits a borrowing group in a scope inside another scope, of which a child fails when the group has begun.
async fn in_two_scopes<S: Spawner>(
    t: &Test<S>,
    there: &Tally,
    begin: impl AsyncFnOnce(&Borrowing<'_, '_>),
) -> Result<(), GroupError<&'static str>> {
    scope(t.spawner(), async |group: Group<_, _>| {
        let ready = there.clone();
        group.launch(t.child(async move {
            ready.take(1).await;
            Err::<(), _>("broken outside")
        }));
        let inner = scope(t.spawner(), async |_: Group<_, Infallible>| {
            let stuck = borrowing(async |inside: Borrowing<'_, '_>| {
                begin(&inside).await;
                pending::<Result<(), _>>().await
            });
            let _ = stuck.await;
            Ok(())
        });
        inner.await.map_err(|_| "cut")
    })
    .await
}

/// The scope in between does not wait for a group that is dropped with its own body, which is dropped with its host.
async fn cut_along_with_a_scope_in_a_scope_it_is_dropped<S: Spawner>(t: &Test<S>) {
    let there = Tally::new();
    let child = t.waiting(&there);
    let failed = in_two_scopes(t, &there, async move |inside| drop(inside.spawn(child)));
    assert_eq!(errors(&failed.await.unwrap_err()), ["broken outside"]);
    assert_eq!(t.ledger.read().alive(), 0);
}

async fn what_outlives_it_there_is_waited_for<S: Spawner>(t: &Test<S>) {
    let (there, gate) = (Tally::new(), Gate::new());
    let (begun, wait) = (there.clone(), gate.clone());
    let section = t.child(shield(async move {
        begun.add();
        wait.wait().await;
    }));
    let failed = in_two_scopes(t, &there, async |inside| inside.group().on(t.spawner()).launch(section));
    let mut failed = pin!(failed);
    while t.ledger.read().completed == 0 {
        assert!(poll_once(failed.as_mut()).await.is_none());
        yield_now().await;
    }
    still_waits(failed.as_mut(), "its section still lives").await;
    gate.open();
    assert_eq!(errors(&failed.await.unwrap_err()), ["broken outside"]);
    assert_eq!(t.ledger.read().alive(), 0);
}

/// It is registered when all groups are over already.
async fn its_clean_up_waits_for_the_body_around_its_scope<S: Spawner>(t: &Test<S>) {
    let outer = scope(t.spawner(), async |outer: Group<_, Infallible>| {
        let (held, dropped) = async_channel::bounded::<()>(1);
        let cleanup = t.child(async move { assert!(dropped.recv().await.is_err()) });
        let inner = scope(t.spawner(), async |_: Group<_, Infallible>| {
            let owned = borrowing(async |group: Borrowing<'_, '_>| {
                outer.cancel();
                group.group().on(t.spawner()).defer(cleanup);
                pending::<Result<(), Infallible>>().await
            });
            let _ = owned.await;
            Ok(())
        });
        let _ = inner.await;
        drop(held);
        Ok(())
    });
    assert!(outer.await.is_err());
    assert_eq!((t.ledger.read().completed, t.ledger.read().alive()), (1, 0));
}

/// A scope that was carried out of the member it was polled in.
type Carried = RefCell<Option<Pin<Box<dyn Future<Output = Result<(), GroupError<Infallible>>>>>>>;

/// Polls a scope once whose body awaits a borrowing group, and carries it away.
async fn carry_away<S: Spawner>(spawner: S, ledger: Ledger, kept: Rc<Carried>) {
    let elsewhere = spawner.clone();
    let mut inner = Box::pin(scope(spawner, async move |_: Group<_, Infallible>| {
        let stuck = borrowing(async |inside: Borrowing<'_, '_>| {
            inside.spawn(ledger.track(pending::<()>()));
            inside.group().on(elsewhere).launch(ledger.track(pending::<()>()));
            pending::<Result<(), Infallible>>().await
        });
        stuck.await.map_err(|_| unreachable!("nobody polls it any more"))
    }));
    assert!(poll_once(inner.as_mut()).await.is_none());
    *kept.borrow_mut() = Some(inner);
}

/// The groups around wait until the scope is dropped that was carried away.
async fn waits_for<F: Future>(around: F, kept: &Carried, ledger: &Ledger) -> F::Output {
    let mut around = pin!(around);
    still_waits(around.as_mut(), "what was carried away is left").await;
    assert_ne!(ledger.read().alive(), 0);
    drop(kept.take());
    let output = around.await;
    assert_eq!(ledger.read().alive(), 0);
    output
}

async fn carried_out_of_a_body_in_a_scope_it_is_waited_for<S: Spawner>(t: &Test<S>) {
    let kept = Rc::<Carried>::default();
    let outer = scope(t.spawner(), async |_: Group<_, Infallible>| {
        let host = scope(t.spawner(), async |_: Group<_, Infallible>| {
            carry_away(t.spawner(), t.ledger.clone(), kept.clone()).await;
            Ok(())
        });
        host.await.map_err(|_| unreachable!("it goes well"))
    });
    waits_for(outer, &kept, &t.ledger).await.unwrap();
}

async fn carried_out_of_a_child_in_a_scope_it_is_waited_for<S: Spawner>(t: &Test<S>) {
    let (kept, executor) = (Rc::<Carried>::default(), Rc::new(LocalExecutor::new()));
    let group = TaskGroup::new(executor.clone());
    group.launch_local(carry_away(t.spawner(), t.ledger.clone(), kept.clone()));
    executor.run(waits_for(group.join(), &kept, &t.ledger)).await.unwrap();
}

async fn cut_along_with_the_child_around_it_it_is_dropped<S: Spawner>(t: &Test<S>) {
    let executor = Rc::new(LocalExecutor::new());
    let group = TaskGroup::new(executor.clone());
    let there = Tally::new();
    let (ledger, waiting) = (t.ledger.clone(), there.clone());
    let child = group.spawn_local(async move {
        let local = ledger.capture();
        let stuck = borrowing(async |inside| {
            inside.spawn(ledger.track(async {
                let _borrowed = &local;
                waiting.add();
                pending::<()>().await
            }));
            pending::<Result<(), Infallible>>().await
        });
        let _ = stuck.await;
    });
    executor
        .run(async {
            there.take(1).await;
            child.cancel();
            assert!(child.await.unwrap_err().is_cancelled());
            assert_eq!(t.ledger.read().alive(), 0);
            group.join().await.unwrap();
        })
        .await;
}

/// Waits for the gate under a shield, and then without one, in a child.
async fn section(ledger: &Ledger, log: &Log, begun: &Tally, gate: &Gate) -> Result<(), &'static str> {
    let inside = borrowing(async |inside| {
        let child = inside.spawn(ledger.track(async {
            shield(async {
                begun.add();
                gate.wait().await;
                yield_now().await;
                log.write("completed");
            })
            .await;
            pending::<()>().await
        }));
        child.value().await;
        Ok::<_, Infallible>(())
    });
    inside.await.map_err(|_| "cut")
}

async fn a_shield_in_a_child_holds_the_body_around_its_group<S: Spawner>(t: &Test<S>) {
    let (begun, gate) = (Tally::new(), Gate::new());
    let outer = scope(t.spawner(), async |group: Group<_, _>| {
        let (ready, opens, member) = (begun.clone(), gate.clone(), group.clone());
        group.launch(t.child(shield(async move {
            ready.take(1).await;
            member.cancel();
            yield_now().await;
            opens.open();
            Ok(())
        })));
        section(&t.ledger, &t.log, &begun, &gate).await
    });
    assert!(outer.await.unwrap_err().is_cancelled());
    assert_eq!((t.log.lines(), t.ledger.read().alive()), (vec!["completed".to_string()], 0));
}

/// With two groups, one in a child of the other.
async fn a_shield_in_a_child_holds_the_child_around_its_groups<S: Spawner>(t: &Test<S>) {
    let executor = Rc::new(LocalExecutor::new());
    let group = TaskGroup::new(executor.clone());
    let (begun, gate) = (Tally::new(), Gate::new());
    let (ledger, log, begin, opened) = (t.ledger.clone(), t.log.clone(), begun.clone(), gate.clone());
    let child = group.spawn_local(async move {
        let outer = borrowing(async |outside| {
            outside.spawn(async { section(&ledger, &log, &begin, &opened).await });
            pending::<Result<(), &str>>().await
        });
        let _ = outer.await;
    });
    executor
        .run(async {
            begun.take(1).await;
            child.cancel();
            yield_now().await;
            assert!(!child.is_finished());
            gate.open();
            assert!(child.await.unwrap_err().is_cancelled());
            group.join().await.unwrap();
        })
        .await;
    assert_eq!((t.log.lines(), t.ledger.read().alive()), (vec!["completed".to_string()], 0));
}

/// Its spawner polls at once, so its shield begins in a poll of the member that spawns it. That member holds what the shield
/// waits for.
async fn nor_does_a_child_with_a_task_of_its_own_hold_whoever_spawns_it<S: Spawner>(t: &Test<S>) {
    let spawn = |group: &Group<(), Infallible>| {
        let (held, gone) = async_channel::bounded::<()>(1);
        group.on(Inline).launch(t.child(shield(async move {
            let _ = gone.recv().await;
        })));
        held
    };
    let from_the_body = borrowing(async |inside| {
        let _held = spawn(inside.group());
        inside.group().cancel();
        pending::<Result<(), Infallible>>().await
    });
    assert!(from_the_body.await.unwrap_err().is_cancelled());
    let from_a_child = borrowing(async |inside| {
        let group = inside.group().clone();
        let child = inside.spawn(t.child(async move {
            let _held = spawn(&group);
            pending::<()>().await
        }));
        yield_now().await;
        yield_now().await;
        child.cancel();
        assert!(child.await.unwrap_err().is_cancelled());
        Ok::<_, Infallible>(())
    });
    from_a_child.await.unwrap();
    assert_eq!(t.ledger.read().alive(), 0);
}

async fn what_a_child_opens_on_a_runtime_is_counted_around_it<S: Spawner>(t: &Test<S>) {
    let (gate, begun) = (Gate::new(), Tally::new());
    let (wait, there) = (gate.clone(), begun.clone());
    let ready = begun.clone();
    let outer = scope(t.spawner(), async |group: Group<_, _>| {
        group.launch(t.child(async move {
            ready.take(1).await;
            Err::<(), _>("broken outside")
        }));
        let inside = t.ledger.track(shield(async move {
            there.add();
            wait.wait().await;
        }));
        borrowing(async |borrowers| {
            borrowers.spawn(async {
                let on_runtime = TaskGroup::new(t.spawner());
                on_runtime.launch(inside);
                let _ = on_runtime.join().await;
            });
            pending::<Result<(), Infallible>>().await
        })
        .await
        .map_err(|_| "cut")
    });
    let mut outer = pin!(outer);
    // Polls until the failure has happened, and some more times.
    while t.ledger.read().completed == 0 {
        assert!(poll_once(outer.as_mut()).await.is_none());
        yield_now().await;
    }
    still_waits(outer.as_mut(), "a child of a borrowing child still lives").await;
    gate.open();
    let failed: Result<(), GroupError<&str>> = outer.await;
    assert_eq!(errors(&failed.unwrap_err()), ["broken outside"]);
    assert_eq!(t.ledger.read().alive(), 0);
}

async fn a_cancelled_one_takes_no_more_children<S: Spawner>(t: &Test<S>) {
    let value = borrowing(async |group| {
        group.group().cancel();
        group.launch(t.child(async {}));
        let refused = group.spawn(t.child(async {}));
        Ok::<_, Infallible>(zip(refused, async {}).await.0.is_err())
    });
    assert!(value.await.unwrap());
    assert_eq!(t.ledger.read().started, 0);
}

#[test]
fn dropped_while_another_thread_wakes_a_child_it_leaves_nothing() {
    watched(|| {
        let slot = Mutex::new(None::<Waker>);
        let (begun, woken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let await_round = |counter: &AtomicUsize, round| {
            while counter.load(SeqCst) < round {
                thread::yield_now();
            }
        };
        let mut outlived = Vec::new();
        thread::scope(|threads| {
            threads.spawn(|| {
                for round in 1.. {
                    await_round(&begun, round);
                    let waker = slot.lock().unwrap().take();
                    let Some(waker) = waker else { return };
                    waker.wake();
                    woken.store(round, SeqCst);
                }
            });
            // On a busy machine a round takes long, so the time is limited as well.
            let start = Instant::now();
            for round in (1..=100_000).take_while(|_| start.elapsed() < Duration::from_secs(5)) {
                let captured = Rc::new(());
                let captures = captured.clone();
                let opened = borrowing(async |group| {
                    let slot = &slot;
                    group.spawn(poll_fn(move |cx| {
                        let _captured = &captures;
                        *slot.lock().unwrap() = Some(cx.waker().clone());
                        Poll::<()>::Pending
                    }));
                    pending::<Result<(), Infallible>>().await
                });
                let mut opened = Box::pin(opened);
                let _pending = opened.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                begun.store(round, SeqCst);
                // Sometimes before the wake, sometimes after it.
                (0..round % 64 * 4).for_each(|_| spin_loop());
                drop(opened);
                await_round(&woken, round);
                if Rc::strong_count(&captured) > 1 {
                    outlived.push(round);
                }
            }
            begun.store(usize::MAX, SeqCst);
        });
        assert!(outlived.is_empty(), "children outlived their group in rounds {outlived:?}");
        assert!(woken.into_inner() > 0, "no child was woken");
    });
}
