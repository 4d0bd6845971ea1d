//! Hashes every file under a path, like `sha256sum`, on the runtime of your choice.
//!
//! ```text
//! cargo run --release --example checksum -- ~/.cargo
//! cargo run --release --example checksum --features tokio -- --runtime tokio --keep-going ~/.cargo
//! ```
//!
//! One child walks the tree, and a fixed number of other children hash the files that it finds. The first file that
//! cannot be read ends the run, except with `--keep-going`. The code that uses the group is in `work`.

#![allow(unreachable_pub, reason = "an example exports nothing")]

mod digest;
mod files;
mod options;
mod output;
mod report;
mod runtime;
#[allow(dead_code, reason = "nobody calls it without a runtime")]
mod work;

use std::process::ExitCode;

use crate::options::{Options, Request};

/// The exit code for wrong arguments.
const MISUSE: u8 = 2;

fn main() -> ExitCode {
    match options::parse(std::env::args_os().skip(1)) {
        Ok(Request::Run(options)) => checksum(options),
        Ok(Request::Help) => {
            output::print(|out| out.write_all(options::USAGE.as_bytes()));
            ExitCode::SUCCESS
        }
        Err(misuse) => refuse(&format!("{misuse}\n{}", options::USAGE)),
    }
}

fn checksum(options: Options) -> ExitCode {
    let runtime = match runtime::find(options.runtime.as_deref()) {
        Ok(runtime) => runtime,
        Err(misuse) => return refuse(&misuse),
    };
    let report = runtime(options);
    let printed = report.print();
    if printed && report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn refuse(misuse: &str) -> ExitCode {
    output::note(|err| writeln!(err, "checksum: {}", misuse.trim_end()));
    ExitCode::from(MISUSE)
}
