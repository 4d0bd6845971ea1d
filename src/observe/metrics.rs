//! Counters of what becomes of children.
//!
//! A group that is opened with [`Metrics`] is *observed*, and its children take the path that `observe` describes. All other
//! groups do nothing for metrics. The counters are no part of the protocol: they are written after what they count has
//! happened, and before the child leaves the group. So code that has joined the group reads all of it.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
// Not those of the model checker: nothing waits for these values.
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[cfg(feature = "metrics")]
use crate::unwind::{Quiet, catch, drop_quietly};

/// Counters of what becomes of the children of any number of groups.
///
/// A clone is the same counters. Groups are given them [when they are opened](crate::group::Builder::metrics), and groups
/// that are opened inside inherit them. So a server can have one set for all that it does, or one for each of its parts. The
/// counters outlive the groups. They can be read at any time, for the price of a few loads.
///
/// Everything that a group starts is a child: background children, clean-ups and adopted tasks too. The body of a scope
/// is not, nor is the task that keeps a deadline. A child counts as
/// | | if |
/// |---|---|
/// | [`returned`](Self::returned) | its future came to its end without an error, cancelled or not |
/// | [`failed`](Self::failed) | it returned an error, or was a clean-up that took too long |
/// | [`panicked`](Self::panicked) | it panicked, or its destructor did |
/// | [`cancelled`](Self::cancelled) | it was dropped, along with its group or alone |
/// | [`lost`](Self::lost) | its runtime dropped it by itself; that cancels the group, so its siblings count as cancelled |
///
/// whichever comes first: a child that fails, and panics on its way out, has failed.
///
/// * A child that a closed or cancelled group refused is counted by [`refused`](Self::refused) alone.
/// * If a child that was to be [ready](crate::Group::start) fails before it is ready, its error belongs to the caller of
///   `start` and not to the group: the child has returned. This is also so if that caller goes afterwards, and the group is
///   given the error. If the caller has gone before, the child has failed.
/// * Blocking work that outlives its runtime is counted twice: its child is lost, and the work goes on as another one.
///
/// The children of a group with metrics are [observed](crate::group::Builder::observe_polls), at the cost that is given
/// there. Without metrics nothing is done, and no clock is read.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "smol")] {
/// # use taskgroup::{Smol, TaskGroup, group::Metrics};
/// # smol::block_on(async {
/// let metrics = Metrics::new();
/// for _request in 0..3 {
///     let group = TaskGroup::builder::<&str>(Smol).metrics(&metrics).collect().open();
///     group.launch(async { Ok(()) });
///     group.launch(async { Err::<(), _>("connection reset") });
///     group.join().await.unwrap_err();
/// }
/// assert_eq!((metrics.spawned(), metrics.live()), (6, 0));
/// assert_eq!((metrics.returned(), metrics.failed()), (3, 3));
/// println!("the longest poll took {:?}", metrics.polls().longest());
/// # });
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Metrics(Arc<Counters>);

#[derive(Default)]
struct Counters {
    spawned: AtomicU64,
    refused: AtomicU64,
    ended: [AtomicU64; 5],
    polls: Times,
    cancels: Times,
    #[cfg(feature = "metrics")]
    exported: Option<Exported>,
}

/// What became of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Returned,
    Failed,
    Panicked,
    Cancelled,
    Lost,
}

impl Metrics {
    /// Makes counters that stand at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns how many children have not ended, including queued ones.
    ///
    /// A child ends when its future is destroyed and its result delivered. If a group that was opened in it still lives, it
    /// is still counted by [`Group::len`](crate::Group::len).
    pub fn live(&self) -> u64 {
        // In this order: every child that is counted as ended is then counted as spawned.
        let ended = self.ended();
        self.spawned().saturating_sub(ended)
    }

    /// Returns how many children were spawned.
    pub fn spawned(&self) -> u64 {
        self.0.spawned.load(Ordering::Relaxed)
    }

    /// Returns how many children were refused because their group was closed or cancelled.
    ///
    /// Their futures were dropped. A future that [`try_spawn`](crate::Group::try_spawn) gives back is not counted.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// Returns how many children have ended, in whatever way.
    pub fn ended(&self) -> u64 {
        // Pairs with `end`: a thread that sees the end of a child sees that it was spawned.
        self.0.ended.iter().map(|count| count.load(Ordering::Acquire)).sum()
    }

    /// Returns how many children returned a value.
    pub fn returned(&self) -> u64 {
        self.how_many(Ended::Returned)
    }

    /// Returns how many children failed.
    pub fn failed(&self) -> u64 {
        self.how_many(Ended::Failed)
    }

    /// Returns how many children panicked.
    pub fn panicked(&self) -> u64 {
        self.how_many(Ended::Panicked)
    }

    /// Returns how many children were dropped because they were cancelled.
    pub fn cancelled(&self) -> u64 {
        self.how_many(Ended::Cancelled)
    }

    /// Returns how many children their runtime dropped by itself.
    pub fn lost(&self) -> u64 {
        self.how_many(Ended::Lost)
    }

    fn how_many(&self, how: Ended) -> u64 {
        self.0.ended[how as usize].load(Ordering::Relaxed)
    }

    /// Returns how long cancelled children took to end, from the request on.
    ///
    /// The time counts from when the child's group was cancelled, or the child alone, for whatever reason. It counts for
    /// every child that had been cancelled when it ended, also for one that was under a shield and returned. Children that
    /// are lost are not included.
    pub fn cancels(&self) -> Timing {
        self.0.cancels.read()
    }

    /// Returns how long the polls took.
    ///
    /// If a future is destroyed outside a poll, as that of a cancelled child is, this counts as a poll. A poll that has not
    /// returned is not included yet; [`Group::snapshot`](crate::Group::snapshot) shows those.
    pub fn polls(&self) -> Timing {
        self.0.polls.read()
    }

    pub(crate) fn spawn(&self) {
        self.0.spawned.fetch_add(1, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        self.export(|exported| {
            exported.spawned.increment(1);
            exported.live.increment(1.0);
        });
    }

    /// A child has ended, this long after it was cancelled.
    pub(crate) fn end(&self, how: Ended, cancelled: Option<Duration>) {
        if let Some(cancelled) = cancelled {
            self.0.cancels.add(cancelled);
        }
        // Pairs with `ended`.
        self.0.ended[how as usize].fetch_add(1, Ordering::Release);
        #[cfg(feature = "metrics")]
        self.export(|exported| {
            exported.live.decrement(1.0);
            exported.ended[how as usize].increment(1);
            cancelled.into_iter().for_each(|time| exported.cancels.record(time));
        });
    }

    pub(crate) fn refuse(&self) {
        self.0.refused.fetch_add(1, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        self.export(|exported| exported.refused.increment(1));
    }

    pub(crate) fn poll(&self, took: Duration) {
        self.0.polls.add(took);
        #[cfg(feature = "metrics")]
        self.export(|exported| exported.polls.record(took));
    }
}

// Also with the recorders of the feature `metrics`.
impl UnwindSafe for Metrics {}
impl RefUnwindSafe for Metrics {}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics")
            .field("live", &self.live())
            .field("spawned", &self.spawned())
            .field("refused", &self.refused())
            .field("returned", &self.returned())
            .field("failed", &self.failed())
            .field("panicked", &self.panicked())
            .field("cancelled", &self.cancelled())
            .field("lost", &self.lost())
            .field("cancels", &self.cancels())
            .field("polls", &self.polls())
            .finish()
    }
}

/// In nanoseconds, of which 64 bits hold five hundred years.
#[derive(Default)]
struct Times {
    count: AtomicU64,
    total: AtomicU64,
    longest: AtomicU64,
}

impl Times {
    fn add(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.total.fetch_add(nanos, Ordering::Relaxed);
        self.longest.fetch_max(nanos, Ordering::Relaxed);
    }

    fn read(&self) -> Timing {
        let nanos = |time: &AtomicU64| Duration::from_nanos(time.load(Ordering::Relaxed));
        Timing {
            count: self.count.load(Ordering::Relaxed),
            total: nanos(&self.total),
            longest: nanos(&self.longest),
        }
    }
}

/// How often something happened and how long it took, for [`Metrics`].
///
/// Times are by the clock of the machine. While children run, the three values may be a few events apart.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "smol")] {
/// # use taskgroup::{Smol, TaskGroup, group::Metrics};
/// # smol::block_on(async {
/// let metrics = Metrics::new();
/// let group = TaskGroup::builder::<()>(Smol).metrics(&metrics).open();
/// group.launch(std::future::pending::<()>());
/// group.cancel();
/// group.join().await.unwrap();
/// let cancels = metrics.cancels();
/// assert_eq!(cancels.count(), 1);
/// assert_eq!(cancels.mean(), Some(cancels.longest()));
/// # });
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    count: u64,
    total: Duration,
    longest: Duration,
}

impl Timing {
    /// Returns how often it happened.
    pub fn count(self) -> u64 {
        self.count
    }

    /// Returns how long all of them took together.
    pub fn total(self) -> Duration {
        self.total
    }

    /// Returns how long the longest one took, or zero if there was none.
    pub fn longest(self) -> Duration {
        self.longest
    }

    /// Returns how long one of them took on average, or `None` if there was none.
    pub fn mean(self) -> Option<Duration> {
        let nanos = self.total.as_nanos().checked_div(u128::from(self.count))?;
        Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }
}

/// The same counters for a recorder of the `metrics` crate. It is foreign code: it is called with no lock held, and its
/// panics are caught.
#[cfg(feature = "metrics")]
struct Exported {
    spawned: Quiet<metrics::Counter>,
    refused: Quiet<metrics::Counter>,
    ended: [Quiet<metrics::Counter>; 5],
    live: Quiet<metrics::Gauge>,
    polls: Quiet<metrics::Histogram>,
    cancels: Quiet<metrics::Histogram>,
}

#[cfg(feature = "metrics")]
impl Metrics {
    /// Makes counters that also report to the recorder of the `metrics` crate.
    ///
    /// This needs the feature `metrics`. The recorder is the one that is installed when this is called. All metrics have the
    /// label `group`, which is `name`:
    ///
    /// | | |
    /// |---|---|
    /// | `taskgroup_spawned_total` | counter |
    /// | `taskgroup_refused_total` | counter |
    /// | `taskgroup_ended_total` | counter, with the label `outcome`: `returned`, `failed`, `panicked`, `cancelled`, `lost` |
    /// | `taskgroup_live` | gauge |
    /// | `taskgroup_poll_seconds` | histogram |
    /// | `taskgroup_cancel_seconds` | histogram |
    ///
    /// If the recorder panics, nothing changes for the group, nor for what is read here: the panic is caught, and std's
    /// panic hook has reported it.
    ///
    /// # Examples
    ///
    /// ```
    /// use taskgroup::group::Metrics;
    ///
    /// // after `metrics_exporter_prometheus::PrometheusBuilder::new().install()`, say
    /// let metrics = Metrics::exported("server");
    /// assert_eq!(metrics.spawned(), 0);
    /// ```
    pub fn exported(name: impl Into<String>) -> Self {
        let exported = match catch(|| Exported::new(name.into())) {
            Ok(exported) => Some(exported),
            Err(payload) => {
                drop_quietly(payload);
                None
            }
        };
        Self(Arc::new(Counters { exported, ..Counters::default() }))
    }

    fn export(&self, f: impl FnOnce(&Exported)) {
        if let Some(exported) = &self.0.exported {
            drop_quietly(catch(|| f(exported)));
        }
    }
}

#[cfg(feature = "metrics")]
impl Exported {
    fn new(group: String) -> Self {
        use metrics::Unit::{Count, Seconds};
        metrics::describe_counter!("taskgroup_spawned_total", Count, "Children that were spawned.");
        metrics::describe_counter!(
            "taskgroup_refused_total",
            Count,
            "Children that a closed or cancelled group refused."
        );
        metrics::describe_counter!("taskgroup_ended_total", Count, "Children that have ended, by outcome.");
        metrics::describe_gauge!("taskgroup_live", Count, "Children that have not ended.");
        metrics::describe_histogram!("taskgroup_poll_seconds", Seconds, "How long each poll took.");
        metrics::describe_histogram!(
            "taskgroup_cancel_seconds",
            Seconds,
            "From the request to cancel a child to its end."
        );
        // In the order of `Ended`.
        let outcomes = ["returned", "failed", "panicked", "cancelled", "lost"];
        Self {
            spawned: Quiet::new(metrics::counter!("taskgroup_spawned_total", "group" => group.clone())),
            refused: Quiet::new(metrics::counter!("taskgroup_refused_total", "group" => group.clone())),
            ended: outcomes.map(|outcome| {
                Quiet::new(
                    metrics::counter!("taskgroup_ended_total", "group" => group.clone(), "outcome" => outcome),
                )
            }),
            live: Quiet::new(metrics::gauge!("taskgroup_live", "group" => group.clone())),
            polls: Quiet::new(metrics::histogram!("taskgroup_poll_seconds", "group" => group.clone())),
            cancels: Quiet::new(metrics::histogram!("taskgroup_cancel_seconds", "group" => group)),
        }
    }
}
