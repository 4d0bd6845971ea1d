//! What went wrong in a group, in order, and bounded.
//!
//! The machinery is not generic over the error type: an error travels in a box and gets its type back when the
//! owner of the group takes the outcome. It is boxed on failure only.

use std::any::Any;
use std::fmt;
use std::panic::{Location, resume_unwind};

use crate::error::{CancelReason, Failure, GroupError, Origin, Payload, Report};
use crate::unwind::{catch, drop_quietly};

/// How many failures a group keeps besides the primary one.
pub(crate) const SUPPRESSED: usize = 16;

/// Either an error, a panic's payload, or an error that a group inside left behind.
pub(crate) enum Raw {
    Error(Box<dyn Any + Send>),
    Panic(Box<dyn Any + Send>),
    Foreign { path: Vec<Origin>, error: Box<dyn Any + Send> },
}

impl Raw {
    pub(crate) fn reason(&self, origin: Origin) -> CancelReason {
        match self {
            Raw::Panic(_) => CancelReason::Panicked(origin),
            _ if origin.is_body() => CancelReason::BodyFailed,
            _ => CancelReason::Failed(origin),
        }
    }

    /// What this failure is to the group around the one it happened in, for which it happened in `opener`.
    fn outward(self, origin: Origin, opener: Origin) -> Raw {
        match self {
            Raw::Error(error) => Raw::Foreign { path: vec![origin, opener], error },
            Raw::Foreign { mut path, error } => {
                path.push(opener);
                Raw::Foreign { path, error }
            }
            panic @ Raw::Panic(_) => panic,
        }
    }
}

/// A failure that was kept.
pub(crate) struct Entry {
    /// Its place in the order of occurrence.
    number: u64,
    pub(crate) origin: Origin,
    pub(crate) failure: Raw,
}

/// All that a group has to report.
#[derive(Default)]
pub(crate) struct Outcome {
    /// In order of occurrence; at most the primary one, the suppressed ones, and the first panic.
    pub(crate) failures: Vec<Entry>,
    /// How many more there were.
    pub(crate) not_kept: usize,
    /// Whether a child was dropped because it, or the group, was cancelled.
    pub(crate) child_cut: bool,
    /// Whether the body was dropped before it had ended.
    pub(crate) body_cut: bool,
    next: u64,
}

impl Outcome {
    /// Takes a number for a failure, by which [`keep`](Self::keep) puts it in order.
    pub(crate) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Keeps a failure, and hands back the one that finds no place any more.
    pub(crate) fn keep(&mut self, number: u64, origin: Origin, failure: Raw) -> Option<Entry> {
        let at = self.failures.partition_point(|entry| entry.number < number);
        self.failures.insert(at, Entry { number, origin, failure });
        if self.failures.len() <= 1 + SUPPRESSED {
            return None;
        }
        // The first panic decides how the group ends, so it is never the one to go.
        let first_panic = self.failures.iter().position(|entry| matches!(entry.failure, Raw::Panic(_)));
        let last = self.failures.len() - 1;
        let out = if first_panic == Some(last) { last - 1 } else { last };
        self.not_kept += 1;
        Some(self.failures.remove(out))
    }

    /// The failures as the group around this one sees them.
    pub(crate) fn outward(mut self, opener: &Origin) -> impl Iterator<Item = (Origin, Raw)> {
        let opener = opener.clone();
        std::mem::take(&mut self.failures)
            .into_iter()
            .map(move |entry| (opener.clone(), entry.failure.outward(entry.origin, opener.clone())))
    }
}

/// What the owner of a group set when it was opened; it never changes afterwards.
pub(crate) struct Config {
    pub(crate) collect: bool,
    pub(crate) location: &'static Location<'static>,
    pub(crate) on_failure: Option<FailureHook>,
    pub(crate) on_abandoned: Option<AbandonedHook>,
}

/// Shows a failure to the user's hook and hands it back, with the payload of the hook's own panic.
pub(crate) type FailureHook = Box<dyn Fn(Raw) -> (Raw, Option<Box<dyn Any + Send>>) + Send + Sync>;
pub(crate) type AbandonedHook = Box<dyn Fn(usize) + Send + Sync>;

impl Config {
    pub(crate) fn new(location: &'static Location<'static>) -> Self {
        Self { collect: false, location, on_failure: None, on_abandoned: None }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("collect", &self.collect)
            .field("location", &self.location)
            .finish_non_exhaustive()
    }
}

impl Outcome {
    /// What the group ends with: a panic goes on, a failure or a cut is an error, else there is the value.
    pub(crate) fn conclude<T, E: 'static>(
        mut self,
        reason: Option<CancelReason>,
        origin: Origin,
        value: Option<T>,
    ) -> Result<T, GroupError<E>> {
        let cut = match &reason {
            None => false,
            Some(CancelReason::Explicit(_)) => self.body_cut,
            Some(CancelReason::Lost) => true,
            Some(_) => self.body_cut || self.child_cut,
        };
        match value {
            Some(value) if self.failures.is_empty() && !cut => return Ok(value),
            value => {
                if let Err(payload) = catch(|| drop(value)) {
                    let number = self.number();
                    drop_quietly(self.keep(number, origin, Raw::Panic(payload)));
                }
            }
        }
        if let Some(at) = self.failures.iter().position(|entry| matches!(entry.failure, Raw::Panic(_))) {
            let Raw::Panic(payload) = self.failures.swap_remove(at).failure else {
                unreachable!("looked at above")
            };
            drop(self);
            resume_unwind(payload);
        }
        let failures = std::mem::take(&mut self.failures)
            .into_iter()
            .map(|entry| (entry.origin, Failure::from_raw(entry.failure)))
            .collect();
        Err(GroupError::new(Report { failures, not_kept: self.not_kept, reason }))
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        // One by one: two panics out of one `Vec` would abort.
        self.failures.drain(..).for_each(drop_quietly);
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
        }
    }

    /// Gives a user's hook the form the state calls it in.
    pub(crate) fn hook(hook: impl Fn(&Failure<E>) + Send + Sync + 'static) -> FailureHook
    where
        E: Send,
    {
        Box::new(move |raw| {
            let failure = Failure::from_raw(raw);
            let panic = catch(|| hook(&failure)).err();
            (failure.into_raw(), panic)
        })
    }
}
