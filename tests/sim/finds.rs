//! Faults are found, and reported so that a developer can act on them.

use std::future::pending;

use futures_lite::future::yield_now;
use taskgroup::{Group, Spawner, TaskGroup, scope};

use crate::{Alive, fault, some};

#[test]
fn a_deadlock_is_told_with_who_waits_for_whom() {
    let error = fault(async |sim| {
        let group = TaskGroup::builder::<()>(sim.clone()).name("server").open();
        group.child().name("reader").launch(pending::<()>());
        let inner = sim.clone();
        group.child().name("hub").launch(async move {
            let group = TaskGroup::new(inner);
            group.launch(pending::<()>());
            group.join().await.unwrap();
        });
        group.join().await.unwrap();
    });
    assert!(error.is_deadlock(), "{error}");
    let text = error.to_string();
    let lines: Vec<_> = text.lines().collect();
    let starts = [
        "deadlock: nothing is runnable and nobody sleeps, at 0ns",
        "  the scenario: polled once",
        "    the group server opened at tests/sim/finds.rs:",
        "      server/reader (tests/sim/finds.rs:",
        "      server/hub (tests/sim/finds.rs:",
        "        the group opened at tests/sim/finds.rs:",
        "          server/hub/#1 (tests/sim/finds.rs:",
        "  in run 1; the last turns were those of",
        "  to run it again: TASKGROUP_SIM=v1.random.",
    ];
    assert_eq!(lines.len(), starts.len(), "{text}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.replace('\\', "/").starts_with(start), "{start}\nis not in\n{text}");
    }
    assert!(lines[4].ends_with("polled once, last woken by the scenario"), "{text}");
}

#[test]
fn a_deadlock_tells_what_holds_a_member() {
    let error = fault(async |sim| {
        let group = TaskGroup::new(sim.clone());
        let inner = sim.clone();
        let host = group.child().name("host").spawn(async move {
            let group = TaskGroup::new(inner);
            group.child().name("stubborn").launch(taskgroup::shield(pending::<()>()));
            group.join().await.unwrap();
        });
        while sim.alive() < 2 {
            yield_now().await;
        }
        yield_now().await;
        host.cancel();
        group.join().await.unwrap();
    });
    let text = error.to_string();
    assert!(text.contains("frozen until its groups have ended"), "{text}");
}

#[test]
fn a_deadlock_in_the_body_of_a_scope_is_one() {
    let error = fault(async |sim| {
        scope(sim, |group: Group<_, ()>| async move {
            group.launch(pending::<()>());
            pending::<Result<(), ()>>().await
        })
        .await
        .unwrap();
    });
    assert!(error.is_deadlock(), "{error}");
}

#[test]
fn a_panic_of_the_scenario_is_told_with_its_text() {
    let error = fault(async |_| std::panic::resume_unwind(Box::new("out of cheese")));
    assert!(error.is_panic());
    assert!(error.to_string().starts_with("the scenario panicked: out of cheese\n"), "{error}");
}

#[test]
fn a_panic_of_a_task_of_no_group_is_told() {
    let error = fault(async |sim| {
        sim.spawn(async { std::panic::resume_unwind(Box::new(format!("out of {}", "cheese"))) }).detach();
    });
    assert!(error.is_panic());
    assert!(error.to_string().starts_with("task 1 of no group panicked: out of cheese\n"), "{error}");
}

#[test]
fn a_panic_of_a_child_comes_out_of_its_group() {
    let error = fault(async |sim| {
        let group = TaskGroup::new(sim);
        group.launch(async { std::panic::resume_unwind(Box::new("out of cheese")) });
        group.join().await.unwrap();
    });
    assert!(error.to_string().starts_with("the scenario panicked: out of cheese\n"), "{error}");
}

#[test]
fn a_task_that_goes_on_for_ever_is_a_livelock() {
    let error = some().max_steps(100).try_check(async |_| {
        loop {
            yield_now().await;
        }
    });
    let error = error.unwrap_err();
    assert!(error.is_livelock(), "{error}");
    assert!(error.to_string().starts_with("no end after 100 turns\n"), "{error}");
}

#[test]
fn as_many_turns_as_are_allowed_are_enough() {
    // One turn more than there are yields.
    let yielding = |yields| some().max_steps(100).try_check(async |_| crate::yields(yields).await);
    yielding(99).unwrap();
    assert!(yielding(100).unwrap_err().is_livelock());
}

#[test]
fn what_is_left_after_the_end_is_a_leak() {
    let error = fault(async |sim| {
        let group = TaskGroup::builder::<()>(sim).name("forgotten").open();
        group.child().name("orphan").launch(pending::<()>());
        std::mem::forget(group);
    });
    assert!(error.is_leak(), "{error}");
    let text = error.to_string();
    assert!(text.starts_with("tasks are left after the end of the scenario\n"), "{text}");
    assert!(text.contains("forgotten/orphan (tests"), "{text}");
}

#[test]
fn what_goes_on_for_ever_after_the_end_is_a_leak() {
    let error = some().max_steps(100).try_check(async |sim| {
        let endless = async {
            loop {
                yield_now().await;
            }
        };
        sim.spawn(endless).detach();
    });
    assert!(error.unwrap_err().is_leak());
}

#[test]
fn what_ends_by_itself_after_the_end_is_none() {
    some().check(async |sim| {
        sim.spawn(sim.sleep(crate::time::at(1))).detach();
        let group = TaskGroup::new(sim);
        group.launch(crate::yields(3));
        drop(group);
    });
}

#[test]
fn nothing_is_kept_of_a_run_that_failed() {
    let alive = Alive::default();
    fault(async |sim| {
        let group = TaskGroup::new(sim.clone());
        for _ in 0..3 {
            let captured = alive.clone();
            let inner = sim.clone();
            group.launch_local(async move {
                let _captured = captured;
                inner.sleep(crate::time::at(1)).await;
                pending::<()>().await
            });
        }
        let captured = alive.clone();
        group.join().await.unwrap();
        drop(captured);
    });
    assert_eq!(alive.count(), 0);
}

#[test]
fn what_was_forgotten_is_dropped_with_the_run() {
    let alive = Alive::default();
    fault(async |sim| {
        let group = TaskGroup::new(sim);
        let captured = alive.clone();
        group.launch_local(async move {
            let _captured = captured;
            pending::<()>().await
        });
        std::mem::forget(group);
    });
    assert_eq!(alive.count(), 0);
}

#[test]
fn what_is_spawned_after_the_end_is_dropped() {
    let (alive, kept) = (Alive::default(), std::cell::RefCell::new(None));
    taskgroup::sim::Checker::new().schedules(1).check(async |sim| {
        kept.replace(Some(sim));
    });
    let sim = kept.take().unwrap();
    let group = TaskGroup::new(sim);
    let captured = alive.clone();
    let child = group.spawn_local(async move {
        let _captured = captured;
        pending::<()>().await
    });
    assert_eq!(alive.count(), 0);
    assert!(futures_lite::future::block_on(child).unwrap_err().is_lost());
    assert!(futures_lite::future::block_on(group.join()).unwrap_err().is_lost());
}
