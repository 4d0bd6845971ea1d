//! What is mutated, how it is built, and which tests the mutants are tried against.

use std::time::Duration;

/// One way to try mutants.
pub struct Plan {
    /// The name of its folder in `target/mutants`, where it is built. Plans that are built alike may share a folder.
    pub name: &'static str,
    pub features: &'static str,
    /// Flags for the compiler.
    pub flags: &'static str,
    pub profile: &'static str,
    /// Tests, each with the part of it that is run. `taskgroup` stands for the tests inside the crate.
    pub tests: &'static [(&'static str, &'static str)],
    /// Whether every case is run by itself, so that the first failure ends the trial.
    pub case_by_case: bool,
    /// How many mutants are tried at a time. Mutants that hang need no processor.
    pub at_once: usize,
    /// How long a mutant may take on one of the tests. A case that hangs is ended by its watch-dog long before.
    pub most: Duration,
}

/// Returns what is mutated, and the plans for it. The next plan tries what a plan misses.
pub fn of(what: &str) -> (&'static [&'static str], &'static [Plan]) {
    match what {
        "core" => (
            &[
                "src/state.rs",
                "src/state/cancelling.rs",
                "src/state/table.rs",
                "src/state/entry.rs",
                "src/state/ticket.rs",
                "src/child.rs",
                "src/group.rs",
                "src/handle.rs",
            ],
            &[ONE_THREAD],
        ),
        "rest" => (
            &[
                "src/spawner/adopt.rs",
                "src/spawner/any.rs",
                "src/state/background.rs",
                "src/group/blocking.rs",
                "src/scope/borrow.rs",
                "src/group/child_builder.rs",
                "src/group/cleanup.rs",
                "src/group/config.rs",
                "src/child/context.rs",
                "src/state/deadline.rs",
                "src/state/effects.rs",
                "src/state/elsewhere.rs",
                "src/outcome/ending.rs",
                "src/error.rs",
                "src/error/failure.rs",
                "src/error/join.rs",
                "src/error/origin.rs",
                "src/error/reason.rs",
                "src/error/spawn.rs",
                "src/state/facts.rs",
                "src/state/kind.rs",
                "src/state/leaving.rs",
                "src/spawner/hook.rs",
                "src/keeping.rs",
                "src/group/keyed.rs",
                "src/state/lending.rs",
                "src/state/limit.rs",
                "src/state/member.rs",
                "src/observe/metrics.rs",
                "src/state/nesting.rs",
                "src/observe.rs",
                "src/outcome.rs",
                "src/output.rs",
                "src/observe/patience.rs",
                "src/outcome/policy.rs",
                "src/scope/race.rs",
                "src/group/results.rs",
                "src/group/results/added.rs",
                "src/group/results/in_order.rs",
                "src/handle/cancel.rs",
                "src/scope.rs",
                "src/shield.rs",
                "src/task_group/shutdown.rs",
                "src/state/signal.rs",
                "src/observe/snapshot.rs",
                "src/observe/snapshot/blame.rs",
                "src/observe/snapshot/draw.rs",
                "src/observe/snapshot/json.rs",
                "src/observe/snapshot/views.rs",
                "src/group/spawn.rs",
                "src/spawner.rs",
                "src/group/start.rs",
                "src/group/waiting.rs",
                "src/task_group.rs",
                "src/task_group/join.rs",
                "src/spawner/timer.rs",
                "src/observe/trace.rs",
                "src/unwind.rs",
                "src/state/word.rs",
                "backends/smol.rs",
            ],
            &[REST, RUNS, SUITE],
        ),
        "crowd" => (&["src/state/crowd.rs", "src/sync/kept.rs", "src/sync/lock.rs"], &[THREADS, LOOM]),
        "pool" => (
            &[
                "src/pool/queue.rs",
                "src/pool/word.rs",
                "src/pool/shared.rs",
                "src/pool/driver.rs",
                "src/pool/watch.rs",
            ],
            &[UNITS, LOOM_OF_POOLS, POOLS],
        ),
        _ => panic!("`core`, `rest`, `crowd` or `pool`, and not `{what}`"),
    }
}

/// On one thread, where no lock is ever found taken.
const ONE_THREAD: Plan = Plan {
    name: "core",
    features: "smol,sim,tracing",
    flags: "",
    profile: "dev",
    // The faults are the part of `tests/it` that is not among the cases.
    tests: &[
        ("mutants", ""),
        ("snapshot", ""),
        ("model", ""),
        ("sim", ""),
        ("allocations", ""),
        ("it", "faults::"),
    ],
    case_by_case: false,
    at_once: 6,
    most: Duration::from_secs(600),
};

/// Under the model checker. It ends mutants that hang, unless they hang where it does not look.
const LOOM: Plan = Plan {
    name: "loom",
    features: "pool",
    flags: "--cfg taskgroup_loom",
    profile: "release",
    tests: &[("loom", "")],
    case_by_case: true,
    at_once: 2,
    most: Duration::from_secs(600),
};

const LOOM_OF_POOLS: Plan = Plan { tests: &[("taskgroup", "models::"), ("loom", "pool::")], ..LOOM };

/// The cases in which many children end at once, on every runtime with threads.
const THREADS: Plan = Plan {
    name: "threads",
    features: "smol,tokio,pool",
    flags: "",
    profile: "dev",
    tests: &[("it", "crowd::")],
    ..LOOM
};

/// What is special about pools, on smol's executor and on Tokio.
const POOLS: Plan = Plan { tests: &[("it", "pool::")], ..THREADS };

/// What a pool does on one thread.
const UNITS: Plan = Plan { tests: &[("taskgroup", "pool::")], ..THREADS };

/// What is around the core, on one thread.
const REST: Plan = Plan {
    name: "rest",
    features: "smol,tokio,sim,tracing,metrics,serde",
    flags: "",
    profile: "dev",
    tests: &[
        ("mutants", ""),
        ("taskgroup", ""),
        ("snapshot", ""),
        ("metrics", ""),
        ("tracing", ""),
        ("allocations", ""),
    ],
    case_by_case: false,
    at_once: 4,
    most: Duration::from_secs(600),
};

/// What is random, or on other runtimes.
const RUNS: Plan = Plan { tests: &[("model", ""), ("sim", ""), ("it", "faults::")], ..REST };

/// The whole suite on smol, with and without a pool.
const SUITE: Plan =
    Plan { name: "suite", features: "smol,pool,tracing", tests: &[("it", "")], at_once: 2, ..REST };
