//! The behaviour suite on one executor of smol's with one thread, for mutants of the core: see [`README.md`](README.md).
//!
//! The cases are those of `tests/it`. Here they run in one process, which ends with the first case that fails.

use std::sync::Arc;

use async_executor::Executor;
use futures_lite::future::block_on;
use taskgroup_conformance::{Rig, list};

macro_rules! cases {
    (
        { $($typed:ident { $($generic:ident)* })* }
        { $($section:ident { $($case:ident)* })* }
    ) => {
        const CASES: &[(&str, fn())] = &[
            $($((concat!(stringify!($section), "::", stringify!($case)), || list::$section::$case(erased)),)*)*
            $($((concat!(stringify!($typed), "::", stringify!($generic)), || list::$typed::$generic(rig)),)*)*
        ];
    };
}

taskgroup_conformance::__for_all_cases! { cases, }

/// The cases that take longer than all others together. They run last.
const LONG: &[&str] = &["matrix", "races", "ten_thousand", "two_thousand"];

/// The random trees. They take longer than all other cases, and the simulation has random trees too.
const LEFT_OUT: &str = "orphans";

fn rig() -> Rig<Arc<Executor<'static>>> {
    let executor = Arc::new(Executor::new());
    Rig::new(executor.clone()).one_thread().block_on(move |host| block_on(executor.run(host)))
}

fn erased() -> Rig {
    rig().erased()
}

fn main() {
    let mut cases: Vec<_> = CASES.iter().filter(|(name, _)| !name.starts_with(LEFT_OUT)).collect();
    cases.sort_by_key(|(name, _)| LONG.iter().any(|long| name.contains(long)));
    for (name, case) in &cases {
        println!("{name}");
        case();
    }
    println!("{} cases passed", cases.len());
}
