//! A token repeats a run, and text that is no token is refused.

use std::cell::RefCell;
use std::env;
use std::process::Command;
use std::rc::Rc;

use taskgroup::TaskGroup;
use taskgroup::sim::{Checker, Sim, replay};

use crate::yields;

/// Fails if the second child comes first and the schedule chose a three.
async fn now_and_then(sim: Sim) {
    let number = sim.choose(5);
    let first = Rc::new(RefCell::new(None));
    let group = TaskGroup::new(sim);
    for child in 0..2 {
        let first = first.clone();
        group.launch_local(async move {
            yields(2).await;
            first.borrow_mut().get_or_insert(child);
        });
    }
    group.join().await.unwrap();
    if first.take() == Some(1) && number == 3 {
        std::panic::resume_unwind(Box::new("the second child came first"));
    }
}

fn every_kind() -> [Checker; 4] {
    let new = Checker::new;
    [new().random(), new().priorities(), new().exhaustive(), new().exhaustive_within(3)]
}

#[test]
fn a_token_gives_the_failure_again() {
    for checker in every_kind() {
        let found = checker.try_check(now_and_then).unwrap_err();
        let token = found.token().unwrap();
        let again = Checker::new().replay(token).try_check(now_and_then).unwrap_err();
        assert_eq!(again.token(), Some(token));
        let text = |error: &taskgroup::sim::CheckError| error.to_string().lines().next().map(String::from);
        assert_eq!(text(&again), text(&found));
    }
}

#[test]
fn a_token_gives_the_same_trace_again() {
    let traces = Checker::new().random().schedules(2).check(yielding).traces().to_vec();
    let tokens = ["v1.random.48218226ff3cd4bf", "v1.random.5eed"];
    assert_eq!(replay(tokens[0], yielding).traces(), &traces[..1]);
    assert_ne!(replay(tokens[1], yielding).traces(), &traces[..1]);
}

async fn yielding(sim: Sim) {
    let group = TaskGroup::new(sim);
    (0..4).for_each(|_| group.launch(yields(4)));
    group.join().await.unwrap();
}

#[test]
#[should_panic = "the token `v2.random.5eed` is of version v2, and tokens here are v1"]
fn a_token_of_another_version_is_refused() {
    replay("v2.random.5eed", yielding);
}

#[test]
#[should_panic = "`rubbish` is no token of a run, like `v1.random.5eed`"]
fn rubbish_is_refused() {
    replay("rubbish", yielding);
}

#[test]
fn whatever_is_no_token_is_refused() {
    let refused = [
        "",
        ".",
        "v",
        "v1",
        "v1.",
        "v1.random",
        "v1.random.",
        "v1.random.xyz",
        "v1.random.5eed.",
        "v1.random.5eed.5eed",
        "v1.random.123456789abcdef01",
        "v1.random.5eed.cut",
        "v1.random.5eed.cut.1",
        "v1.random.5eed.cut.1.2.3",
        "v1.random.5eed.cut.1.-2",
        "v1.path.1",
        "v1.path.1:",
        "v1.path.:1",
        "v1.path.1:2:3",
        "v1.path.99999999999:1",
        "v1.path.99999999999999999999999:1",
        "v1.priorities.5eed",
        "V1.random.5eed",
        "v1 random 5eed",
        "\u{0}",
    ];
    for token in refused {
        let error = Checker::new().replay(token).try_check(yielding).unwrap_err();
        assert_eq!(error.token(), None, "{token} was taken for a token");
        assert!(error.to_string().contains("is no token of a run"), "{error}");
    }
}

#[test]
fn a_path_of_another_scenario_is_refused() {
    for token in ["v1.path.0:9", "v1.path.5000:1"] {
        let error = Checker::new().replay(token).try_check(yielding).unwrap_err();
        assert!(error.is_nondeterministic(), "{error}");
    }
}

/// The effect of the variable is seen from outside: the next test runs this one, in a process of its own.
#[test]
fn one_run_or_a_thousand() {
    println!("{} runs", taskgroup::sim::check(yielding).schedules());
}

#[test]
fn the_variable_replays() {
    let run = |token: Option<&str>| {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "tokens::one_run_or_a_thousand", "--nocapture"]).env_remove("TASKGROUP_SIM");
        command.envs(token.map(|token| ("TASKGROUP_SIM", token)));
        let output = command.output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    assert!(run(None).contains("1000 runs"));
    assert!(run(Some("")).contains("1000 runs"));
    assert!(run(Some("v1.random.5eed")).contains("\n1 runs"));
    assert!(run(Some("v0.random.5eed")).contains("is of version v0"));
    let refused = run(Some("rubbish"));
    assert!(refused.contains("`rubbish` is no token"), "{refused}");
    assert!(refused.contains("tokens.rs:"), "it is not told which check it was: {refused}");
}
