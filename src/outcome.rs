//! What went wrong in a group: in order, and bounded.
//!
//! The machinery is not generic over the error type. An error travels in a box, and gets its type back when the owner
//! of the group takes the outcome. It is boxed only when a child or the body fails.

pub(crate) mod ending;
pub(crate) mod policy;

use std::any::Any;
use std::panic::resume_unwind;

use crate::error::{CancelReason, Failure, GroupError, Origin, Payload, Report};
use crate::group::config::FailureHook;
use crate::outcome::policy::Event;
use crate::task_group::shutdown::ShutdownReport;
use crate::unwind::{catch, drop_quietly};

/// How many failures a group keeps besides the primary one.
pub(crate) const SUPPRESSED: usize = 16;

/// One failure of a group.
///
/// It is an error, the payload of a panic, an error that an inner group left behind, or a clean-up that took too long.
pub(crate) enum Raw {
    Error(Box<dyn Any + Send>),
    Panic(Box<dyn Any + Send>),
    Foreign { path: Vec<Origin>, error: Box<dyn Any + Send> },
    CleanupTimeout,
}

impl Raw {
    /// Returns what the policy is asked about.
    pub(crate) fn event(&self, origin: &Origin) -> Event {
        match (origin.is_body(), self) {
            (false, Raw::Panic(_)) => Event::ChildPanicked,
            (false, _) => Event::ChildFailed,
            (true, Raw::Panic(_)) => Event::BodyPanicked,
            (true, _) => Event::BodyFailed,
        }
    }

    pub(crate) fn reason(&self, origin: Origin) -> CancelReason {
        match self {
            Raw::Panic(_) => CancelReason::Panicked(origin),
            _ if origin.is_body() => CancelReason::BodyFailed,
            _ => CancelReason::Failed(origin),
        }
    }

    /// Converts this failure to what it is for the group around: there it happened in `opener`.
    fn outward(self, origin: Origin, opener: Origin) -> Raw {
        match self {
            Raw::Error(error) => Raw::Foreign { path: vec![origin, opener], error },
            Raw::Foreign { mut path, error } => {
                path.push(opener);
                Raw::Foreign { path, error }
            }
            other @ (Raw::Panic(_) | Raw::CleanupTimeout) => other,
        }
    }
}

/// A failure that is kept.
pub(crate) struct Entry {
    /// Its place in the order of occurrence.
    pub(crate) number: u64,
    pub(crate) origin: Origin,
    pub(crate) failure: Raw,
}

/// Everything that a group has to report.
#[derive(Default)]
pub(crate) struct Outcome {
    failures: Option<Box<Failures>>,
    /// Whether a child was dropped by its runtime, or because the child or the group was cancelled.
    pub(crate) child_cut: bool,
    /// Whether the body was dropped before it had ended.
    pub(crate) body_cut: bool,
}

#[derive(Default)]
struct Failures {
    /// In order of occurrence: the primary failure and the suppressed ones. The first panic is always among them.
    kept: Vec<Entry>,
    /// The number of the first panic. To look for it at each failure would take time proportional to the number that is kept.
    first_panic: Option<u64>,
    /// How many more there were.
    not_kept: usize,
    last: u64,
    /// Set in a shutdown: those that were cancelled in it, as soon as they are noted.
    forced: Option<Option<ShutdownReport>>,
}

impl Outcome {
    fn failures(&mut self) -> &mut Failures {
        self.failures.get_or_insert_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.failures.as_ref().is_none_or(|failures| failures.kept.is_empty())
    }

    pub(crate) fn begin_shutdown(&mut self) {
        self.failures().forced = Some(None);
    }

    pub(crate) fn is_shutting_down(&self) -> bool {
        self.failures.as_ref().is_some_and(|failures| failures.forced.is_some())
    }

    /// Notes who is forced to end. The first note counts.
    pub(crate) fn note_forced(&mut self, forced: ShutdownReport) {
        if let Some(noted) = &mut self.failures().forced {
            noted.get_or_insert(forced);
        }
    }

    /// Notes who is forced to end as well.
    pub(crate) fn note_more(&mut self, forced: ShutdownReport) {
        if let Some(Some(noted)) = &mut self.failures().forced {
            noted.append(forced);
        }
    }

    pub(crate) fn take_forced(&mut self) -> ShutdownReport {
        self.failures.as_mut().and_then(|failures| failures.forced.take().flatten()).unwrap_or_default()
    }

    /// Takes a number for a failure; [`keep`](Self::keep) orders failures by it.
    pub(crate) fn number(&mut self) -> u64 {
        let failures = self.failures();
        failures.last += 1;
        failures.last
    }

    /// Keeps a failure, and returns the one that has no room any more besides `bound` others.
    pub(crate) fn keep(&mut self, number: u64, origin: Origin, failure: Raw, bound: usize) -> Option<Entry> {
        self.failures().keep(Entry { number, origin, failure }, bound)
    }

    /// How many failures there were besides those that are kept.
    pub(crate) fn not_kept(&self) -> usize {
        self.failures.as_ref().map_or(0, |failures| failures.not_kept)
    }

    /// Counts failures that another group has not kept.
    pub(crate) fn add_not_kept(&mut self, more: usize) {
        if more > 0 {
            self.failures().not_kept += more;
        }
    }

    /// Converts all failures to what they are for the group around this one.
    ///
    /// For that group they happened in `opener`.
    pub(crate) fn outward(&mut self, opener: &Origin) {
        let Some(failures) = &mut self.failures else { return };
        let outward = |Entry { number, origin, failure }| {
            let failure = Raw::outward(failure, origin, opener.clone());
            Entry { number, origin: opener.clone(), failure }
        };
        failures.kept = std::mem::take(&mut failures.kept).into_iter().map(outward).collect();
    }

    /// Returns the failures that were kept.
    pub(crate) fn into_kept(self) -> impl Iterator<Item = (Origin, Raw)> {
        let kept = self.failures.map_or_else(Vec::new, |mut failures| std::mem::take(&mut failures.kept));
        kept.into_iter().map(|entry| (entry.origin, entry.failure))
    }

    /// Whether the group ends with its value.
    pub(crate) fn is_good(&self, reason: Option<&CancelReason>) -> bool {
        let cut = match reason {
            None => false,
            Some(CancelReason::Explicit(_) | CancelReason::Finished) => self.body_cut,
            Some(_) => self.body_cut || self.child_cut,
        };
        self.is_empty() && !cut
    }

    /// Decides how the group ends.
    ///
    /// There is a value exactly if the group [is good](Self::is_good). Otherwise a panic is resumed, and a failure or a cut is an
    /// error.
    pub(crate) fn conclude<T, E: 'static>(
        mut self,
        reason: Option<CancelReason>,
        body: impl Fn() -> Origin,
        value: Option<T>,
    ) -> Result<T, GroupError<E>> {
        if let Some(value) = value {
            return Ok(value);
        }
        let Failures { kept, not_kept, .. } = self.failures();
        if let Some(at) = kept.iter().position(|entry| matches!(entry.failure, Raw::Panic(_))) {
            let Raw::Panic(payload) = kept.swap_remove(at).failure else { unreachable!("looked at above") };
            drop(self);
            resume_unwind(payload);
        }
        let failures = std::mem::take(kept)
            .into_iter()
            .map(|entry| (entry.origin, Failure::from_raw(entry.failure)))
            .collect();
        Err(GroupError::new(Report { failures, not_kept: *not_kept, reason, group: body() }))
    }
}

impl Failures {
    fn keep(&mut self, entry: Entry, bound: usize) -> Option<Entry> {
        if matches!(entry.failure, Raw::Panic(_)) {
            self.first_panic = Some(self.first_panic.map_or(entry.number, |first| first.min(entry.number)));
        }
        let at = self.kept.partition_point(|other| other.number < entry.number);
        self.kept.insert(at, entry);
        if self.kept.len() - 1 <= bound {
            return None;
        }
        // The first panic decides how the group ends, so it is never dropped from the list.
        let last = self.kept.len() - 1;
        let out = if self.first_panic == Some(self.kept[last].number) { last - 1 } else { last };
        self.not_kept += 1;
        Some(self.kept.remove(out))
    }
}

impl Drop for Failures {
    fn drop(&mut self) {
        // One by one: if a `Vec` dropped them and two of them panicked, the process would abort.
        self.kept.drain(..).for_each(drop_quietly);
    }
}

impl<E: 'static> Failure<E> {
    fn from_raw(raw: Raw) -> Self {
        match raw {
            Raw::Error(error) => {
                Failure::Own(*error.downcast().expect("a group's own errors are of its error type"))
            }
            Raw::Panic(payload) => Failure::Panic(Payload::new(payload)),
            Raw::Foreign { path, error } => Failure::Foreign { path, error: Payload::new(error) },
            Raw::CleanupTimeout => Failure::CleanupTimeout,
        }
    }

    fn into_raw(self) -> Raw
    where
        E: Send,
    {
        match self {
            Failure::Own(error) => Raw::Error(Box::new(error)),
            Failure::Panic(payload) => Raw::Panic(payload.into_inner()),
            Failure::Foreign { path, error } => Raw::Foreign { path, error: error.into_inner() },
            Failure::CleanupTimeout => Raw::CleanupTimeout,
        }
    }

    /// Wraps a user's hook in the form in which the state calls it.
    pub(crate) fn hook(hook: impl Fn(&Origin, &Failure<E>) + Send + Sync + 'static) -> FailureHook
    where
        E: Send,
    {
        Box::new(move |origin, raw| {
            let failure = Failure::from_raw(raw);
            let panic = catch(|| hook(origin, &failure)).err();
            (failure.into_raw(), panic)
        })
    }
}
