//! One trial of a mutant.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use crate::plan::Plan;
use crate::tree::{Outcome, output};

/// No mutant has this id.
const NONE: usize = 0;

/// A test, or one case of it.
pub struct Trial {
    test: &'static str,
    program: PathBuf,
    args: Vec<String>,
    most: Duration,
}

impl Trial {
    /// Returns all trials, the quickest first. Without a mutant none of them may fail.
    pub fn all(plan: &Plan, root: &Path, program: impl Fn(&str) -> PathBuf) -> Vec<Self> {
        let mut trials = Vec::new();
        for &(test, part) in plan.tests {
            let program = program(test);
            let parts = match plan.case_by_case {
                true => cases(&program, part).map(|case| vec![case, "--exact".into()]).collect(),
                false => vec![Vec::from_iter((!part.is_empty()).then(|| part.into()))],
            };
            let trial = |args| Self { test, program: program.clone(), args, most: plan.most };
            trials.extend(parts.into_iter().map(trial));
        }
        trials.sort_by_cached_key(|trial| {
            let begun = Instant::now();
            assert!(trial.run(root, NONE).is_none(), "without a mutant: {} {:?}", trial.test, trial.args);
            begun.elapsed()
        });
        trials
    }

    /// Returns the outcome for a mutant, or `None` if it is missed.
    pub fn run(&self, root: &Path, id: usize) -> Option<Outcome> {
        let log = root.join(format!("target/{id}-{}.log", self.test));
        let file = fs::File::create(&log).unwrap();
        let mut child = Command::new(&self.program)
            .current_dir(root)
            .args(&self.args)
            .envs([
                ("MUTANT", id.to_string().as_str()),
                ("TASKGROUP_PATIENCE", "30"),
                ("RUST_BACKTRACE", "0"),
            ])
            .envs([("TASKGROUP_SCHEDULES", "2000"), ("TASKGROUP_TREES", "150")])
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        let ended = wait(&mut child, self.most);
        let text = String::from_utf8_lossy(&fs::read(log).unwrap()).into_owned();
        let hung = ended.is_none() || text.contains("the watch-dog bit");
        (ended != Some(true)).then(|| Outcome::Caught { by: self.by(&text), hung })
    }

    /// Returns which case failed.
    fn by(&self, text: &str) -> String {
        let failed = |line: &str| Some(line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?.to_string());
        let case = |line: &&str| line.contains("::") && !line.contains(' ');
        let found = match self.test {
            "mutants" => text.lines().rfind(case).map(str::to_string),
            _ => text.lines().find_map(failed).or_else(|| self.args.first().cloned()),
        };
        format!("{} {}", self.test, found.unwrap_or_default())
    }
}

/// Returns the cases of a test that have `part` in their names.
fn cases(program: &Path, part: &str) -> impl Iterator<Item = String> {
    let list = output(Command::new(program).args([part, "--list", "--format", "terse"]));
    let cases: Vec<_> =
        list.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_string).collect();
    cases.into_iter()
}

/// Returns whether the child ended well, or `None` if it did not end in time.
fn wait(child: &mut Child, most: Duration) -> Option<bool> {
    let begun = Instant::now();
    while begun.elapsed() < most {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status.success());
        }
        thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}
