//! Reports a wait that takes long.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{self, Poll};
use std::time::Duration;

use crate::observe::snapshot::Snapshot;
use crate::spawner::timer::{AnyTimer, Sleep, Timed, Timer, poll_sleep};
use crate::state::State;
use crate::unwind::GivesWay;

/// How long a wait may take, and what is called if it takes longer.
///
/// The mutex is only there to make this `Sync`: it is never contended. It is boxed, as few waits have one.
pub(crate) struct Patience(Mutex<Waiting>);

type Warn = Box<dyn FnMut(&Snapshot) + Send>;

struct Waiting {
    clock: AnyTimer,
    after: Duration,
    sleep: Option<Sleep>,
    warn: GivesWay<Warn>,
}

impl Patience {
    pub(crate) fn new<S: Timed>(
        spawner: &S,
        after: Duration,
        warn: impl FnMut(&Snapshot) + Send + 'static,
    ) -> Box<Self> {
        // First, as the spawner may panic.
        let warn = GivesWay::new(Box::new(warn) as Warn);
        Box::new(Self(Mutex::new(Waiting { clock: AnyTimer::of(spawner), after, sleep: None, warn })))
    }

    /// Warns if the time is over, and otherwise has the task woken when it is.
    pub(crate) fn look(&mut self, group: &Arc<State>, cx: &mut task::Context<'_>) {
        let waiting = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut sleep = waiting.sleep.take().unwrap_or_else(|| waiting.clock.sleep(waiting.after));
        while let Poll::Ready(Ok(())) = poll_sleep(&mut sleep, cx) {
            let left = Snapshot::take(group);
            // If nothing is left, the group is about to end.
            if left.members().len() > 0 {
                (waiting.warn)(&left);
            }
            // Waits again for as long as it took so far. A patience of zero would warn without end.
            let again = waiting.after.max(Duration::from_millis(1));
            sleep = waiting.clock.sleep(again);
            waiting.after = again.saturating_mul(2);
        }
        waiting.sleep = Some(sleep);
    }
}
