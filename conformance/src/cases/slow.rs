//! Children that a cancel has to wait for, so that a wrong order of ends cannot pass by the luck of a scheduler.

use std::future::{Future, pending};

use futures_lite::future::yield_now;
use taskgroup::shield;

use crate::ledger::{Gate, Ledger, Log, Tally, Tracked};
use crate::test::Test;

/// What the members of one round share. It has its own log.
#[derive(Clone)]
pub struct Slow {
    pub ledger: Ledger,
    pub log: Log,
    /// Counts the members that can no longer be cut before their gate opens.
    pub begun: Tally,
    pub gate: Gate,
}

impl Slow {
    pub fn new(t: &Test) -> Self {
        Self { ledger: t.ledger.clone(), log: Log::default(), begun: Tally::new(), gate: Gate::new() }
    }

    /// Returns a child that never ends by itself, cannot be cut before the gate opens, and logs `line` when it is gone.
    pub fn child(&self, line: &'static str) -> Tracked<impl Future<Output = ()> + Send + use<>> {
        let this = self.clone();
        self.track(async move {
            let _gone = this.log.on_drop(line);
            this.shielded(&this.gate).await;
            pending().await
        })
    }

    /// Waits for `gate` under a shield, and adds one to `begun`.
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

    /// Waits until `line` has been logged `times` times.
    pub async fn seen(&self, line: &str, times: usize) {
        while self.log.count(line) < times {
            yield_now().await;
        }
    }

    /// Yields several times, so that anything that must not happen has the time to happen.
    pub async fn pause(&self) {
        for _ in 0..20 {
            yield_now().await;
        }
    }

    /// Checks, after a pause, that exactly `lines` were logged.
    pub async fn only(&self, lines: &[&str]) {
        self.pause().await;
        assert_eq!(self.log.lines(), lines);
    }
}
