//! Children that a cancel has to wait for, so that no lucky scheduler hides a wrong order of ends.

use std::future::{Future, pending};

use futures_lite::future::yield_now;
use taskgroup::shield;

use crate::ledger::{Gate, Ledger, Log, Tally, Tracked};
use crate::test::Test;

/// What the members of one round share. It has a log of its own.
#[derive(Clone)]
pub struct Slow {
    pub ledger: Ledger,
    pub log: Log,
    /// Counts those that cannot be cut any more before the gate opens.
    pub begun: Tally,
    pub gate: Gate,
}

impl Slow {
    pub fn new(t: &Test) -> Self {
        Self { ledger: t.ledger.clone(), log: Log::default(), begun: Tally::new(), gate: Gate::new() }
    }

    /// Never ends by itself, is cut no sooner than the gate opens, and writes `line` when it is gone.
    pub fn child(&self, line: &'static str) -> Tracked<impl Future<Output = ()> + Send + use<>> {
        let this = self.clone();
        self.track(async move {
            let _gone = this.log.on_drop(line);
            this.shielded(&this.gate).await;
            pending().await
        })
    }

    /// Waits for `gate` under a shield, and adds to those that have begun.
    pub async fn shielded(&self, gate: &Gate) {
        shield(async {
            self.begun.add();
            gate.wait().await;
        })
        .await
    }

    pub fn track<F: Future>(&self, future: F) -> Tracked<F> {
        self.ledger.track(future)
    }

    /// Waits until `line` was written so many times.
    pub async fn seen(&self, line: &str, times: usize) {
        while self.log.count(line) < times {
            yield_now().await;
        }
    }

    /// Gives what must not happen the time to happen.
    pub async fn pause(&self) {
        for _ in 0..20 {
            yield_now().await;
        }
    }

    /// Checks, after a pause, that nothing was written but `lines`.
    pub async fn only(&self, lines: &[&str]) {
        self.pause().await;
        assert_eq!(self.log.lines(), lines);
    }
}
