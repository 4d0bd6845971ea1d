//! H. The programs of the question that started this crate, and those of the answers to it.

use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::sync::mpsc;

use async_channel::{Receiver, Sender, bounded};
use futures_lite::FutureExt;
use futures_lite::future::{poll_once, yield_now};
use taskgroup::{AnySpawner, CancelReason, Group, GroupError, Spawner, TaskGroup, scope, shield};

use crate::ledger::{Gate, Log, Tally};
use crate::test::{Test, panic_text};

/// Processes the first result, which fails in each of these programs.
fn process_result(_: u32) -> Result<u32, &'static str> {
    Err("process_result failed")
}

pub async fn o_64_control_raw_spawn_is_not_structured(t: &Test) {
    let (at_1, at_4) = (Gate::new(), Gate::new());
    let mut tasks = Vec::new();
    let program = async {
        let (send, result) = bounded(1);
        let until = at_1.clone();
        tasks.push(t.spawner().spawn(t.child(async move {
            until.wait().await;
            send.try_send(1).unwrap();
        })));
        let (until, log) = (at_4.clone(), t.log.clone());
        tasks.push(t.spawner().spawn(t.child(async move {
            until.wait().await;
            log.write("t2 finished");
        })));
        process_result(result.recv().await.unwrap())
    };
    at_1.open();
    assert!(program.await.is_err());
    t.log.write("returned");
    at_4.open();
    t.nothing_alive().await;
    assert_eq!(t.log.lines(), ["returned", "t2 finished"]);
    assert_eq!(t.ledger.read().completed, 2);
    drop(tasks);
}

pub async fn o_65_same_in_a_group(t: &Test) {
    let (at_1, at_4, there) = (&Gate::new(), &Gate::new(), &Tally::new());
    let program = scope(t.spawner(), |group: Group<_, &str>| async move {
        let until = at_1.clone();
        let t1 = group.spawn(t.child(async move {
            until.wait().await;
            Ok(1)
        }));
        let (until, log, begun) = (at_4.clone(), t.log.clone(), there.clone());
        let t2 = group.spawn(t.child(async move {
            let _gone = log.on_drop("t2 gone");
            begun.add();
            until.wait().await;
            log.write("t2 finished");
            Ok(2)
        }));
        there.take(1).await;
        at_1.open();
        let r3 = process_result(t1.value().await)?;
        Ok(r3 + t2.value().await)
    });
    assert_eq!(program.await.unwrap_err().into_primary().unwrap(), "process_result failed");
    t.log.write("returned");
    let ended = t.ledger.read();
    assert_eq!((ended.completed, ended.dropped), (1, 2));
    at_4.open();
    yield_now().await;
    assert_eq!(t.log.lines(), ["t2 gone", "returned"]);
    assert_eq!(t.ledger.read(), ended);
}

/// Blocks in its destructor until it is let go.
struct Stubborn(Log, mpsc::Receiver<()>);

impl Drop for Stubborn {
    fn drop(&mut self) {
        let _ = self.1.recv();
        self.0.write("t2 gone");
    }
}

pub async fn o_66_control_finally_cancels_but_does_not_wait(t: &Test) {
    let (let_go, held) = mpsc::channel();
    let there = Tally::new();
    let program = async {
        let captured = Stubborn(t.log.clone(), held);
        let stuck = t.waiting(&there);
        // Dropping the tasks cancels them, as `finally` does in the original.
        let _t1 = t.spawner().spawn(t.child(async {}));
        let _t2 = t.spawner().spawn(t.child(async move {
            let _captured = captured;
            stuck.await;
        }));
        there.take(1).await;
        process_result(1)
    };
    assert!(program.await.is_err());
    t.log.write("returned");
    drop::<mpsc::Sender<()>>(let_go);
    t.nothing_alive().await;
    assert_eq!(t.log.lines(), ["returned", "t2 gone"]);
}

pub async fn o_66_a_group_cancels_and_waits(t: &Test) {
    let there = &Tally::new();
    let program = scope(t.spawner(), |group| async move {
        let (gone, stuck) = (t.log.on_drop("t2 gone"), t.waiting(there));
        group.launch(t.child(async {}));
        group.launch(async move {
            let _gone = gone;
            stuck.await;
        });
        there.take(1).await;
        process_result(1)
    });
    assert!(program.await.is_err());
    t.log.write("returned");
    assert_eq!(t.log.lines(), ["t2 gone", "returned"]);
    assert_eq!(t.ledger.read().alive(), 0);
}

pub async fn o_67_one_level_only(t: &Test) {
    let (inside, gate) = (Gate::new(), Gate::new());
    let group = TaskGroup::new(t.spawner());
    let grandchild = {
        let (inside, gate, log) = (inside.clone(), gate.clone(), t.log.clone());
        t.child(async move {
            let _gone = log.on_drop("grandchild gone");
            // It ends slowly, so that a wrong order cannot pass by luck.
            shield(async {
                inside.open();
                gate.wait().await;
                log.write("grandchild cleaned up");
            })
            .await;
            pending::<()>().await;
        })
    };
    let (spawner, captured) = (t.spawner(), t.log.on_drop("child's captures gone"));
    let polled = Tally::new();
    let child = group.spawn(t.child(polled.clone().polls_of(async move {
        let _captured = captured;
        let _ = scope(spawner, |group| async move {
            group.launch(grandchild);
            pending::<Result<(), Infallible>>().await
        })
        .await;
    })));
    inside.wait().await;
    // A poll that is under way when the cancel comes could still see the end of the inner group.
    polled.take(1).await;
    child.cancel();
    for _ in 0..10 {
        yield_now().await;
    }
    assert_eq!(t.log.lines(), [""; 0]);
    assert_eq!((group.len(), t.ledger.read().dropped), (1, 0));
    gate.open();
    assert!(child.await.unwrap_err().is_cancelled());
    assert_eq!(t.log.lines(), ["grandchild cleaned up", "grandchild gone", "child's captures gone"]);
    assert_eq!((t.ledger.read().completed, t.ledger.read().dropped), (0, 2));
    group.join().await.unwrap();
}

/// Runs the demo.
///
/// Child 1 takes two units of time. Child 3 spawns child 2, which fails at 3, and ends. When no child is left, the body spawns
/// child 1 again.
async fn demo(t: &Test, collect: bool) -> GroupError<&'static str> {
    let begun = &Tally::new();
    let [at_2, at_3, at_5] = &[Gate::new(), Gate::new(), Gate::new()];
    let step = |until: &Gate, line: &'static str| {
        let (begun, until, log) = (begun.clone(), until.clone(), t.log.clone());
        t.child(async move {
            begun.add();
            until.wait().await;
            log.write(line);
        })
    };
    let program = scope(t.spawner(), |group| async move {
        group.launch(step(at_2, "child 1 finished"));
        let (siblings, child_2) = (group.clone(), step(at_3, "child 2 fails"));
        group.launch(t.child(async move {
            siblings.launch(async {
                child_2.await;
                Err::<(), _>("child 2")
            });
        }));
        group.idle().await;
        t.log.write("quiet");
        group.launch(step(at_5, "child 1 finished again"));
        group.idle().await;
        Ok(())
    });
    let program = if collect { program.collect() } else { program };
    let program = async {
        let error = program.await.unwrap_err();
        t.log.write("after the group");
        error
    };
    program.or(clock(t, begun, [at_2, at_3, at_5])).await
}

/// Lets time pass as soon as all children wait for it.
async fn clock<T>(t: &Test, begun: &Tally, [at_2, at_3, at_5]: [&Gate; 3]) -> T {
    begun.take(2).await;
    t.log.write("t=2");
    at_2.open();
    while t.log.count("child 1 finished") == 0 {
        yield_now().await;
    }
    t.log.write("t=3");
    at_3.open();
    begun.take(1).await;
    t.log.write("t=5");
    at_5.open();
    pending().await
}

pub async fn o_68_demo_timeline_fail_fast(t: &Test) {
    let error = demo(t, false).await;
    assert_eq!((error.primary(), error.failures().len()), (Some(&"child 2"), 1));
    assert!(matches!(error.reason(), Some(CancelReason::Failed(_))));
    assert_eq!(t.log.lines(), ["t=2", "child 1 finished", "t=3", "child 2 fails", "after the group"]);
    assert_eq!((t.ledger.read().started, t.ledger.read().completed), (3, 3));
}

pub async fn o_69_demo_timeline_collect(t: &Test) {
    let error = demo(t, true).await;
    assert_eq!((error.primary(), error.failures().len()), (Some(&"child 2"), 1));
    assert_eq!(error.reason(), None);
    let lines = [
        "t=2",
        "child 1 finished",
        "t=3",
        "child 2 fails",
        "quiet",
        "t=5",
        "child 1 finished again",
        "after the group",
    ];
    assert_eq!(t.log.lines(), lines);
    assert_eq!((t.ledger.read().started, t.ledger.read().completed), (4, 4));
}

pub async fn o_70_waiting_for_quiet_without_closing(t: &Test) {
    scope(t.spawner(), |group| async move {
        waits_for_quiet(t, &group, 0).await;
        Ok::<_, Infallible>(())
    })
    .await
    .unwrap();

    let group = TaskGroup::new(t.spawner());
    waits_for_quiet(t, &group, 2).await;
    group.join().await.unwrap();
}

async fn waits_for_quiet(t: &Test, group: &Group<AnySpawner>, before: usize) {
    assert_eq!(poll_once(group.idle()).await, Some(()), "nobody to wait for");
    for round in 1..=2 {
        let gate = Gate::new();
        let opened = gate.clone();
        group.launch(t.child(async move { opened.wait().await }));
        let mut idle = pin!(group.idle());
        assert_eq!(poll_once(idle.as_mut()).await, None);
        gate.open();
        idle.await;
        assert_eq!((group.len(), t.ledger.read().alive()), (0, 0));
        assert_eq!(t.ledger.read().completed, before + round);
        assert!(!group.is_closed() && !group.is_cancelled());
    }
}

pub async fn o_70_a_child_cannot_wait_for_its_own_group_to_be_quiet(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let own = group.group();
    group.launch(t.child(async move { own.idle().await }));
    let text = panic_text(group.join()).await;
    assert!(text.contains("child 1") && text.contains("would wait for itself"), "{text}");
    assert_eq!((t.ledger.read().polls, t.ledger.read().completed), (1, 0));
}

pub async fn o_72_failed_child_and_failed_body(t: &Test) {
    let there = &Tally::new();
    let failed = scope(t.spawner(), |group| async move {
        let log = t.log.clone();
        let begun = there.clone();
        group.launch(t.child(async move {
            begun.take(1).await;
            log.write("child fails");
            Err::<(), _>("child")
        }));
        shield(async {
            there.add();
            group.cancelled().await;
        })
        .await;
        t.log.write("body fails");
        Err::<(), _>("body")
    });
    let error = failed.await.unwrap_err();
    assert_eq!(t.log.lines(), ["child fails", "body fails"]);
    assert_eq!(error.primary(), Some(&"child"));
    assert_eq!(error.failures().map(|(origin, _)| origin.is_body()).collect::<Vec<_>>(), [false, true]);
    let (origins, failures): (Vec<_>, Vec<_>) = error.into_failures().unzip();
    assert_eq!(failures.iter().map(ToString::to_string).collect::<Vec<_>>(), ["child", "body"]);
    assert_eq!((origins[0].child(), origins[1].child()), (Some(1), None));
}

pub async fn o_73_child_failure_must_wake_the_body(t: &Test) {
    let (at_4, there) = (&Gate::new(), &Tally::new());
    let failed = scope(t.spawner(), |group| async move {
        let _gone = t.log.on_drop("body gone");
        let begun = there.clone();
        group.launch(t.child(async move {
            begun.take(1).await;
            Err::<(), _>("broken")
        }));
        t.child(async {
            there.add();
            at_4.wait().await;
        })
        .await;
        t.log.write("body went on");
        Ok(())
    });
    assert_eq!(failed.await.unwrap_err().primary(), Some(&"broken"));
    t.log.write("group ended");
    at_4.open();
    assert_eq!(t.log.lines(), ["body gone", "group ended"]);
    assert_eq!((t.ledger.read().started, t.ledger.read().completed), (2, 1));
}

pub async fn o_74_spawn_after_close_all(t: &Test) {
    let value = scope(t.spawner(), |group| async move {
        let gate = Gate::new();
        let opened = gate.clone();
        let accepted = group.spawn(t.child(async move {
            opened.wait().await;
            Ok(1)
        }));
        group.close();
        let (before, refused) = (t.log.on_drop("refused"), t.log.on_drop("refused"));
        let handle = group.spawn(t.child(async { drop(before) }));
        group.launch(t.child(async { drop(refused) }));
        assert_eq!(t.log.lines(), ["refused", "refused"], "destroyed at once");
        assert!(handle.await.unwrap_err().is_cancelled());
        let back = group.try_spawn(t.child(async { Ok(2) })).unwrap_err();
        assert!(back.is_closed() && group.is_closed() && !group.is_cancelled());
        drop(back);
        assert_eq!(group.len(), 1, "who was there goes on");
        gate.open();
        Ok::<_, Infallible>(accepted.value().await)
    });
    assert_eq!(value.await.unwrap(), 1);
    let ended = t.ledger.read();
    assert_eq!((ended.made, ended.started, ended.completed, ended.dropped), (4, 1, 1, 4));
}

async fn coroutine_1(send: Sender<u32>) {
    send.send(1).await.unwrap();
}

async fn coroutine_2(at_1: Gate, send: Sender<u32>) {
    at_1.wait().await;
    send.send(2).await.unwrap();
}

async fn process(receive: Receiver<u32>, send: Sender<u32>) -> Result<(), &'static str> {
    let r3 = process_result(receive.recv().await.unwrap())?;
    send.send(r3).await.unwrap();
    Ok(())
}

async fn process_results(receive_2: Receiver<u32>, receive_3: Receiver<u32>) -> Result<u32, &'static str> {
    // With several threads, a poll that is under way may still see that the senders were dropped.
    let r2 = receive_2.recv().await.map_err(|_| "nobody sends any more")?;
    let r3 = receive_3.recv().await.map_err(|_| "nobody sends any more")?;
    Ok(r2 + r3)
}

pub async fn o_75_the_anyio_program(t: &Test) {
    let at_1 = &Gate::new();
    let [(send_1, receive_1), (send_2, receive_2), (send_3, receive_3)] = [1; 3].map(bounded);
    let ends = [&send_1, &send_2, &send_3].map(Sender::downgrade);
    let other_ends = [&receive_1, &receive_2, &receive_3].map(Receiver::downgrade);
    let program = scope(t.spawner(), |group| async move {
        group.launch(t.child(coroutine_1(send_1)));
        group.launch(t.child(coroutine_2(at_1.clone(), send_2)));
        group.launch(t.child(process(receive_1, send_3)));
        let result = t.child(process_results(receive_2, receive_3)).await?;
        t.log.write(format!("print {result}"));
        Ok(())
    });
    let error = program.await.unwrap_err();
    t.log.write("ended");
    assert_eq!(error.primary(), Some(&"process_result failed"));
    let ended = t.ledger.read();
    let late = error.suppressed().len();
    assert!(late == 0 || late == 1 && !t.one_thread(), "{error:?}");
    assert_eq!((ended.made, ended.completed, ended.dropped), (4, 2 + late, 4));
    assert!(ends.iter().all(|end| end.upgrade().is_none()));
    assert!(other_ends.iter().all(|end| end.upgrade().is_none()));
    at_1.open();
    assert_eq!(t.log.lines(), ["ended"]);
    assert_eq!(t.ledger.read(), ended);
}
