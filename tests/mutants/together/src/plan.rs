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
                "src/table.rs",
                "src/entry.rs",
                "src/ticket.rs",
                "src/child.rs",
                "src/group.rs",
                "src/handle.rs",
            ],
            &[ONE_THREAD],
        ),
        "rest" => (
            &[
                "src/adopt.rs",
                "src/any.rs",
                "src/background.rs",
                "src/blocking.rs",
                "src/borrow.rs",
                "src/child_builder.rs",
                "src/cleanup.rs",
                "src/config.rs",
                "src/context.rs",
                "src/deadline.rs",
                "src/effects.rs",
                "src/elsewhere.rs",
                "src/ending.rs",
                "src/error.rs",
                "src/error/failure.rs",
                "src/error/join.rs",
                "src/error/origin.rs",
                "src/error/reason.rs",
                "src/error/spawn.rs",
                "src/facts.rs",
                "src/hook.rs",
                "src/keeping.rs",
                "src/keyed.rs",
                "src/lending.rs",
                "src/limit.rs",
                "src/member.rs",
                "src/metrics.rs",
                "src/nesting.rs",
                "src/observe.rs",
                "src/outcome.rs",
                "src/output.rs",
                "src/patience.rs",
                "src/policy.rs",
                "src/race.rs",
                "src/results.rs",
                "src/results/added.rs",
                "src/results/in_order.rs",
                "src/handle/cancel.rs",
                "src/scope.rs",
                "src/shield.rs",
                "src/shutdown.rs",
                "src/signal.rs",
                "src/snapshot.rs",
                "src/snapshot/blame.rs",
                "src/snapshot/draw.rs",
                "src/snapshot/json.rs",
                "src/snapshot/views.rs",
                "src/spawn.rs",
                "src/spawner.rs",
                "src/start.rs",
                "src/task_group.rs",
                "src/timer.rs",
                "src/trace.rs",
                "src/unwind.rs",
                "src/word.rs",
                "backends/smol.rs",
            ],
            &[REST, RUNS, SUITE],
        ),
        "crowd" => (&["src/crowd.rs", "src/kept.rs", "src/lock.rs"], &[THREADS, LOOM]),
        "pool" => (
            &["src/pool/queue.rs", "src/pool/word.rs", "src/pool/shared.rs", "src/pool/driver.rs"],
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
