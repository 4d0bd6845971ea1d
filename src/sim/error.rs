//! What is wrong with a scenario, and the run that shows it.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// What a check has found: the fault, and the token of a run that shows it.
///
/// # Examples
///
/// ```
/// use taskgroup::sim::Checker;
///
/// let error = Checker::new().try_check(async |_| std::future::pending().await).unwrap_err();
/// assert!(error.is_deadlock());
/// println!("{error}"); // ends with how to run it again
/// assert!(error.token().unwrap().starts_with("v1."));
/// ```
pub struct CheckError(pub(crate) Box<Finding>);

pub(crate) struct Finding {
    pub(crate) fault: Fault,
    /// The run that shows it. There is none if the token that was given cannot be read.
    pub(crate) run: Option<FaultyRun>,
}

pub(crate) struct FaultyRun {
    pub(crate) token: String,
    /// Counted from 1.
    pub(crate) number: u64,
    pub(crate) last_turns: Vec<String>,
    /// Which child was cut, and when.
    pub(crate) cut: Option<String>,
}

impl CheckError {
    /// Returns the token of the run, for [`replay`](crate::sim::replay).
    ///
    /// The environment variable `TASKGROUP_SIM` takes it as well. It is `None` if there was no run, because the token that
    /// was given cannot be read.
    pub fn token(&self) -> Option<&str> {
        self.0.run.as_ref().map(|run| &*run.token)
    }

    /// Returns whether the scenario, or a task of no group, panicked, as when an assertion fails.
    pub fn is_panic(&self) -> bool {
        matches!(self.0.fault.kind, FaultKind::Panic)
    }

    /// Returns whether the scenario waited while nothing was runnable and nobody slept.
    pub fn is_deadlock(&self) -> bool {
        matches!(self.0.fault.kind, FaultKind::Deadlock)
    }

    /// Returns whether there was no end after as many turns as are allowed.
    pub fn is_livelock(&self) -> bool {
        matches!(self.0.fault.kind, FaultKind::Livelock)
    }

    /// Returns whether something of a task was left after the end of the scenario.
    pub fn is_leak(&self) -> bool {
        matches!(self.0.fault.kind, FaultKind::Leak)
    }

    /// Returns whether the scenario goes another way when it is run again.
    ///
    /// No run of such a scenario shows anything.
    pub fn is_nondeterministic(&self) -> bool {
        matches!(self.0.fault.kind, FaultKind::Nondeterministic)
    }
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { fault, run } = &*self.0;
        f.write_str(fault.text.trim_end())?;
        let Some(FaultyRun { token, number, last_turns, cut }) = run else { return Ok(()) };
        write!(f, "\n  in run {number}")?;
        if let Some(cut) = cut {
            write!(f, ", with a cancel of {cut}")?;
        }
        write!(f, "; the last turns were those of {}", last_turns.join(", "))?;
        write!(f, "\n  to run it again: TASKGROUP_SIM={token}")
    }
}

impl fmt::Debug for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckError")
            .field("kind", &self.0.fault.kind)
            .field("token", &self.token())
            .finish_non_exhaustive()
    }
}

impl Error for CheckError {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FaultKind {
    Panic,
    Deadlock,
    Livelock,
    Leak,
    Nondeterministic,
    Token,
}

/// What is wrong, in words.
#[derive(Debug)]
pub(crate) struct Fault {
    kind: FaultKind,
    text: String,
}

impl Fault {
    pub(crate) fn panic(who: &str, message: &str) -> Self {
        Self { kind: FaultKind::Panic, text: format!("{who} panicked: {message}") }
    }

    pub(crate) fn deadlock(now: Duration, tree: impl fmt::Display) -> Self {
        let text = format!("deadlock: nothing is runnable and nobody sleeps, at {now:?}\n{tree}");
        Self { kind: FaultKind::Deadlock, text }
    }

    pub(crate) fn livelock(steps: u64, tree: impl fmt::Display) -> Self {
        Self { kind: FaultKind::Livelock, text: format!("no end after {steps} turns\n{tree}") }
    }

    pub(crate) fn leak(tree: impl fmt::Display) -> Self {
        Self { kind: FaultKind::Leak, text: format!("tasks are left after the end of the scenario\n{tree}") }
    }

    pub(crate) fn nondeterministic(text: String) -> Self {
        Self { kind: FaultKind::Nondeterministic, text }
    }

    pub(crate) fn diverged() -> Self {
        Self::nondeterministic(
            "the run does not go as it did when its choices were written down: the scenario is another one, or it \
             depends on something besides the simulation"
                .into(),
        )
    }

    pub(crate) fn other_thread() -> Self {
        Self::nondeterministic("a task was started or woken by a thread that is not the simulation's".into())
    }

    pub(crate) fn token(text: String) -> Self {
        Self { kind: FaultKind::Token, text }
    }
}

impl From<Fault> for CheckError {
    fn from(fault: Fault) -> Self {
        Self(Box::new(Finding { fault, run: None }))
    }
}
