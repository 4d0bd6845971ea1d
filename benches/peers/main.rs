//! What a child costs, compared with everything else that one could use.
//!
//!     cargo bench --bench peers --features smol,async-std,tokio,pool
//!     cargo bench --bench peers --features smol,async-std,tokio,pool -- --quick --rt smol-2,tokio-2 --wl W1b,W3 --only ours
//!
//! The [`workloads`] are run on each of the [`runtimes`] by all [`contestants`] that can run them. What counts is the
//! ratio to the floor, which is the runtime's raw detached spawn and one shared counter. In W4 and W6 it is the ratio to
//! a list of the runtime's own handles. A table gives the median of the ratios of all rounds, with the least and the
//! greatest. Below the table there is one line for each cell, for machines. The references are in nanoseconds per child,
//! which say nothing about another machine.
//!
//! Nobody wins by doing less. After each round every child must have run, and its future must be destroyed ([`tally`]).
//! Each workload adds a check of what it is about.
//!
//! # Instructions
//!
//! On a runtime with one thread the number of instructions for a child is exact, and needs no quiet machine. It is
//! computed from the difference of two runs, which removes everything that is not for a child:
//!
//!     peers=$(cargo bench --bench peers --features smol,async-std,tokio,pool --no-run 2>&1 | sed -n 's/.*Executable.*(\(.*\))/\1/p')
//!     for n in 10000 20000; do
//!         valgrind --tool=callgrind --toggle-collect='*measured_cell*' --callgrind-out-file=$n.out \
//!             "$peers" --callgrind smol-1 W1b ours $n
//!     done
//!     callgrind_annotate 20000.out
//!
//! Subtract the first `Collected` from the second, and divide by 10,000. `CARGO_PROFILE_BENCH_DEBUG=1` in front of cargo
//! adds the lines of the source. In W4 the start of the children is counted too.
//!
//! # Another allocator
//!
//! The system's allocator has a large part in all times, most of all with 10⁶ children. To measure on mimalloc, put
//! `RUSTFLAGS="--cfg taskgroup_mimalloc"` in front of cargo.

#![allow(unreachable_pub, reason = "a bench exports nothing")]

mod children;
mod contestants;
mod counting;
mod gate;
mod options;
mod passes;
mod report;
mod runtimes;
mod tally;
mod workloads;

use std::env;
use std::process::ExitCode;

use crate::options::{Request, USAGE};
use crate::passes::{Count, Once, Time};

fn main() -> ExitCode {
    let request = match options::parse(env::args().skip(1)) {
        Ok(request) => request,
        Err(error) => {
            eprintln!("peers: {error}");
            return ExitCode::from(2);
        }
    };
    let done = match request {
        Request::Help => {
            print!("{USAGE}");
            Ok(())
        }
        Request::Compare(selection) => passes::compare(&selection),
        Request::Time(runtime, selection) => runtimes::start(runtime, Time(&selection)),
        Request::Count(cell, scale) => {
            counting::switch_on();
            runtimes::start(cell.runtime, Count(cell, scale))
        }
        Request::Once(cell, children) => runtimes::start(cell.runtime, Once(cell, children)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}
