//! What a check that found nothing has gone through.

use std::collections::HashSet;
use std::fmt;

/// How much a check has gone through.
///
/// # Examples
///
/// ```
/// use taskgroup::{TaskGroup, sim::Checker};
///
/// let report = Checker::new().exhaustive().check(async |sim| {
///     let group = TaskGroup::new(sim);
///     (0..3).for_each(|_| group.launch(async {}));
///     group.join().await.unwrap();
/// });
/// assert_eq!(report.schedules(), 6);
/// assert_eq!(report.distinct(), 6);
/// assert!(report.is_complete());
/// ```
#[derive(Clone, Default)]
pub struct Report {
    pub(crate) traces: Vec<u64>,
    pub(crate) complete: bool,
}

/// Without the hashes.
impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report")
            .field("schedules", &self.schedules())
            .field("distinct", &self.distinct())
            .field("is_complete", &self.complete)
            .finish()
    }
}

impl Report {
    /// Returns how many runs there were, except those that only repeat another.
    pub fn schedules(&self) -> usize {
        self.traces.len()
    }

    /// Returns a hash of what happened in each run, in order.
    ///
    /// The hashes are the same for the same seed, on every machine. Two runs that differ in one turn have different hashes.
    pub fn traces(&self) -> &[u64] {
        &self.traces
    }

    /// Returns how many of the runs were different.
    pub fn distinct(&self) -> usize {
        self.traces.iter().collect::<HashSet<_>>().len()
    }

    /// Whether the check was exhaustive and has come to its end.
    ///
    /// Then there is no other run, within the bound on departures.
    pub fn is_complete(&self) -> bool {
        self.complete
    }
}
