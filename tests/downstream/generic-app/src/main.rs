//! An application that uses `generic-lib`, and runs on every runtime that its features name.

mod runtimes;
#[allow(dead_code, reason = "nobody calls it without a runtime")]
mod shop;

use std::process::ExitCode;

fn main() -> ExitCode {
    if runtimes::ALL.is_empty() {
        eprintln!("no runtime: build it with --features smol, async-std or tokio");
        return ExitCode::from(2);
    }
    for (name, run) in runtimes::ALL {
        println!("{name}: {}", run());
    }
    ExitCode::SUCCESS
}
