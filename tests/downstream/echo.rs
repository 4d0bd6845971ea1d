//! The parts of both echo servers that depend on no runtime.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// How many connections are made in all.
pub const CONNECTIONS: usize = 1000;

/// How many connections are made at a time if the limit of open descriptors is low or unknown.
const CAREFUL: usize = 256;

/// Returns how many connections may be open at once: each needs a descriptor at either end.
pub fn at_a_time() -> usize {
    match descriptors() {
        Some(limit) if limit >= 2 * CONNECTIONS + 100 => CONNECTIONS,
        _ => CAREFUL,
    }
}

fn descriptors() -> Option<usize> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Returns what a client sends: up to some thousand bytes, which differ between connections and rounds.
pub fn message(number: usize, round: usize) -> Vec<u8> {
    (0..1 + number * 7 % 3000).map(|at| (number + 31 * round + at) as u8).collect()
}

/// Counts the connections that the server still holds.
#[derive(Clone, Default)]
pub struct Census(Arc<Counts>);

#[derive(Default)]
struct Counts {
    alive: AtomicUsize,
    total: AtomicUsize,
    peak: AtomicUsize,
}

impl Census {
    pub fn enter(&self) -> Guest {
        self.0.total.fetch_add(1, SeqCst);
        let alive = self.0.alive.fetch_add(1, SeqCst) + 1;
        self.0.peak.fetch_max(alive, SeqCst);
        Guest(self.clone())
    }

    pub fn alive(&self) -> usize {
        self.0.alive.load(SeqCst)
    }

    pub fn total(&self) -> usize {
        self.0.total.load(SeqCst)
    }

    pub fn peak(&self) -> usize {
        self.0.peak.load(SeqCst)
    }
}

/// A value that a connection captures, and that is therefore destroyed with it.
pub struct Guest(Census);

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.0.alive.fetch_sub(1, SeqCst);
    }
}
