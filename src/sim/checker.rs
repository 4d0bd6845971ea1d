//! Running a scenario under many schedules.

use crate::sim::error::{CheckError, Fault, FaultyRun, Finding};
use crate::sim::order::Path;
use crate::sim::report::Report;
use crate::sim::rng::{Rng, mix};
use crate::sim::run::Run;
use crate::sim::spawner::Sim;
use crate::sim::token::{Cut, Kind, Plan};
use crate::sim::trace::{Event, Id};
use crate::sim::tree::Name;

/// The environment variable in which a token is looked for.
const VARIABLE: &str = "TASKGROUP_SIM";

/// One run in this many is repeated, to see whether it goes the same way.
const REPEATED: u64 = 32;

/// How many of the last turns are reported of a run that is at fault.
const LAST_TURNS: usize = 8;

/// Runs a scenario under many schedules.
///
/// It sets how many schedules there are, which ones, and how long each run may be.
///
/// # Examples
///
/// ```
/// use taskgroup::{TaskGroup, sim::Checker};
///
/// let report = Checker::new().exhaustive().check(async |sim| {
///     let group = TaskGroup::new(sim);
///     group.launch(async {});
///     group.launch(async {});
///     group.join().await.unwrap();
/// });
/// assert!(report.is_complete());
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "nothing is run before `check`"]
pub struct Checker {
    schedules: Option<u64>,
    seed: u64,
    max_steps: Option<u64>,
    kind: Schedules,
    everywhere: bool,
    token: Option<String>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Schedules {
    #[default]
    InTurns,
    Random,
    Priorities,
    Exhaustive {
        departures: Option<u32>,
    },
}

impl Checker {
    /// Makes a checker for a thousand schedules, by turns random ones and ones with priorities.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how many schedules there are to be.
    ///
    /// The default for an exhaustive check is 100,000. For others it is 1,000, or 50 if a child is
    /// [cancelled everywhere](Self::cancel_everywhere) in each.
    pub fn schedules(mut self, schedules: u64) -> Self {
        self.schedules = Some(schedules);
        self
    }

    /// Sets the seed that schedules are drawn from.
    ///
    /// The same seed gives the same schedules. The default is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use taskgroup::sim::{Checker, Sim};
    ///
    /// let dice = async |sim: Sim| drop(sim.choose(6));
    /// let traces = |seed| Checker::new().seed(seed).schedules(10).check(dice).traces().to_vec();
    /// assert_eq!(traces(7), traces(7));
    /// assert_ne!(traces(7), traces(8));
    /// ```
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets how many turns of tasks a run may take.
    ///
    /// The default is 100,000. A run that takes more is reported.
    ///
    /// # Examples
    ///
    /// ```
    /// use taskgroup::sim::Checker;
    ///
    /// let spinning = async |_| loop {
    ///     futures_lite::future::yield_now().await;
    /// };
    /// assert!(Checker::new().max_steps(1_000).try_check(spinning).unwrap_err().is_livelock());
    /// ```
    pub fn max_steps(mut self, steps: u64) -> Self {
        self.max_steps = Some(steps);
        self
    }

    /// Uses only random schedules.
    ///
    /// Each runnable task is as likely to be next as any other.
    pub fn random(mut self) -> Self {
        self.kind = Schedules::Random;
        self
    }

    /// Uses only schedules by priority.
    ///
    /// Each task has a random priority, and now and then the highest task falls behind all others. These schedules find
    /// faults that need one task to be held up for long, which random schedules hardly ever find.
    pub fn priorities(mut self) -> Self {
        self.kind = Schedules::Priorities;
        self
    }

    /// Goes through every schedule there is.
    ///
    /// This is for scenarios of a few tasks and turns. [`Report::is_complete`] says whether the check came to the end.
    ///
    /// A scenario in which one task polls again and again until another has acted has no end of schedules.
    pub fn exhaustive(mut self) -> Self {
        self.kind = Schedules::Exhaustive { departures: None };
        self
    }

    /// Goes through every schedule with at most `departures` departures from the queue's order.
    ///
    /// That is the order in which tasks became runnable. Most faults need one or two departures. The number of schedules
    /// grows as the length of the run to that power.
    ///
    /// # Examples
    ///
    /// ```
    /// use taskgroup::{TaskGroup, sim::Checker};
    ///
    /// let report = Checker::new().exhaustive_within(1).check(async |sim| {
    ///     let group = TaskGroup::new(sim);
    ///     (0..10).for_each(|_| group.launch(async {}));
    ///     group.join().await.unwrap();
    /// });
    /// assert!(report.is_complete());
    /// assert_eq!(report.schedules(), 1 + 9 + 8 + 7 + 6 + 5 + 4 + 3 + 2 + 1); // and not all 10! of them
    /// ```
    pub fn exhaustive_within(mut self, departures: u32) -> Self {
        self.kind = Schedules::Exhaustive { departures: Some(departures) };
        self
    }

    /// In each schedule, also cancels each child at each of its polls.
    ///
    /// For every child and every poll of it, this runs the scenario once more, and cancels that child there. See
    /// [`cancel_everywhere`](crate::sim::cancel_everywhere).
    pub fn cancel_everywhere(mut self) -> Self {
        self.everywhere = true;
        self
    }

    /// Runs nothing but the run that this token stands for.
    ///
    /// See [`replay`](crate::sim::replay).
    pub fn replay(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Runs the scenario, and reports how much was gone through.
    ///
    /// If the environment variable `TASKGROUP_SIM` is set, it runs only the run whose token that is.
    ///
    /// # Panics
    ///
    /// Panics at the first run that is at fault, with the message of [`CheckError`].
    #[track_caller]
    pub fn check(&self, scenario: impl AsyncFn(Sim)) -> Report {
        match self.try_check(scenario) {
            Ok(report) => report,
            Err(error) => panic!("{error}"),
        }
    }

    /// Runs the scenario like [`check`](Self::check), and returns what is wrong as an error.
    ///
    /// # Errors
    ///
    /// [`CheckError`] for the first run that is at fault, and for a token that cannot be read.
    pub fn try_check(&self, scenario: impl AsyncFn(Sim)) -> Result<Report, CheckError> {
        let mut check = Check { scenario, checker: self, report: Report::default() };
        let from_outside = || std::env::var(VARIABLE).ok().filter(|token| !token.is_empty());
        match self.token.clone().or_else(from_outside) {
            Some(token) => {
                let plan = token.parse().map_err(Fault::token)?;
                check.run(&plan, true)?;
            }
            None => check.explore()?,
        }
        Ok(check.report)
    }

    /// How the run with this number goes; the first one has number zero.
    fn plan(&self, number: u64, path: &Path) -> Plan {
        let seed = mix(Rng::new(self.seed).next() ^ mix(number));
        Plan::new(match self.kind {
            Schedules::Random => Kind::Random(seed),
            Schedules::Priorities => Kind::Priority(seed),
            Schedules::InTurns if number % 2 == 0 => Kind::Random(seed),
            Schedules::InTurns => Kind::Priority(seed),
            Schedules::Exhaustive { .. } => Kind::Path(path.clone()),
        })
    }
}

/// A check under way.
struct Check<'a, F> {
    scenario: F,
    checker: &'a Checker,
    report: Report,
}

impl<F: AsyncFn(Sim)> Check<'_, F> {
    fn explore(&mut self) -> Result<(), CheckError> {
        let most = self.checker.schedules.unwrap_or(match self.checker.kind {
            Schedules::Exhaustive { .. } => 100_000,
            _ if self.checker.everywhere => 50,
            _ => 1_000,
        });
        let mut path = Path::default();
        for number in 0..most {
            let plan = self.checker.plan(number, &path);
            let run = self.run(&plan, number % REPEATED == 0)?;
            if self.checker.everywhere {
                self.cut_everywhere(&plan, &run)?;
            }
            if let Schedules::Exhaustive { departures } = self.checker.kind {
                match run.path.and_then(|path| path.next(departures)) {
                    Some(next) => path = next,
                    None => {
                        self.report.complete = true;
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Repeats a run with every child cut at every poll. A child that did not return in its last poll is also cut after that
    /// poll.
    fn cut_everywhere(&mut self, plan: &Plan, run: &Run) -> Result<(), CheckError> {
        for (id, task) in (0..).zip(&run.tasks).filter(|(_, task)| task.may_be_cut) {
            let polls = (1..=task.polls).map(|poll| (poll, false));
            let waits = task.polls > 0 && !task.returned;
            for (poll, after) in polls.chain(waits.then_some((task.polls, true))) {
                self.run(&plan.clone().cut(Cut { task: id, poll, after }), false)?;
            }
        }
        Ok(())
    }

    /// Runs the scenario once, and once more if it is at fault or `repeat` says so.
    fn run(&mut self, plan: &Plan, repeat: bool) -> Result<Run, CheckError> {
        let run = self.once(plan);
        let again = (repeat || run.fault.is_some()).then(|| self.once(plan));
        let parted = again.and_then(|again| parted(&run, &again));
        let number = self.report.traces.len() as u64 + 1;
        if run.fault.is_none() && parted.is_none() {
            self.report.traces.push(run.trace.hash());
            return Ok(run);
        }
        let told = FaultyRun {
            token: plan.to_string(),
            number,
            last_turns: run
                .trace
                .last_turns(LAST_TURNS)
                .into_iter()
                .map(|id| format!("{:#}", run.name(id)))
                .collect(),
            cut: plan.cut.map(|cut| run.place(cut)),
        };
        let fault = parted.or(run.fault).expect("looked at above");
        Err(CheckError(Box::new(Finding { fault, run: Some(told) })))
    }

    fn once(&self, plan: &Plan) -> Run {
        Run::new(&self.scenario, plan, self.checker.max_steps.unwrap_or(100_000))
    }
}

/// Whether two runs of the same plan differ, and where.
fn parted(one: &Run, other: &Run) -> Option<Fault> {
    let (turns, first, then) = one.trace.parts_from(&other.trace)?;
    Some(Fault::nondeterministic(format!(
        "the scenario depends on something besides the simulation: run again, it went another way after turn {turns}, \
         where {} at first and then {}",
        one.told(first),
        other.told(then),
    )))
}

impl Run {
    fn name(&self, id: Id) -> Name<'_> {
        Name::of(id, &self.tasks)
    }

    fn place(&self, Cut { task, poll, after }: Cut) -> String {
        format!("{} {} its poll {poll}", self.name(task), if after { "after" } else { "instead of" })
    }

    fn told(&self, event: Option<Event>) -> String {
        match event {
            None => "nothing happened any more".into(),
            Some(Event::Spawn(id)) => format!("{} was spawned", self.name(id)),
            Some(Event::Wake(id)) => format!("{} was woken", self.name(id)),
            Some(Event::Turn(id)) => format!("it was the turn of {}", self.name(id)),
            Some(Event::Cut(id)) => format!("{} was cut", self.name(id)),
            Some(Event::Gone(id)) => format!("{} ended", self.name(id)),
            Some(Event::Time(at)) => format!("it was {at:?}"),
            Some(Event::Chose(number)) => format!("the scenario was given the number {number}"),
        }
    }
}
