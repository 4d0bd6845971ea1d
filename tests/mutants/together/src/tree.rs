//! The copy of the crate that contains all mutants.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::plan::Plan;
use crate::trial::Trial;
use crate::{Mutant, rewrite};

/// The function with which the copy asks whether it is this mutant.
const ASK: &str = r#"
/// Whether this mutant was chosen.
pub(crate) fn mutant(id: usize) -> bool {
    static CHOSEN: std::sync::LazyLock<Option<usize>> =
        std::sync::LazyLock::new(|| std::env::var("MUTANT").ok().and_then(|id| id.parse().ok()));
    *CHOSEN == Some(id)
}
"#;

/// What became of a mutant.
#[derive(Clone)]
pub enum Outcome {
    /// Which test caught it, and whether that is because it did not end.
    Caught {
        by: String,
        hung: bool,
    },
    Missed,
    /// It does not compile.
    Unviable,
    /// It cannot be built together with others.
    Apart,
}

impl Outcome {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Caught { hung: false, .. } => "caught",
            Self::Caught { hung: true, .. } => "hung",
            Self::Missed => "missed",
            Self::Unviable => "unviable",
            Self::Apart => "apart",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Caught { by, .. } => write!(f, "{} by {by}:", self.kind()),
            _ => write!(f, "{}:", self.kind()),
        }
    }
}

pub struct Tree {
    plan: &'static Plan,
    root: PathBuf,
    originals: BTreeMap<&'static str, String>,
    /// Known once the copy is built.
    trials: Vec<Trial>,
}

impl Tree {
    pub fn copy(plan: &'static Plan, files: &[&'static str]) -> Self {
        let root = PathBuf::from("target/mutants").join(plan.name);
        let ours =
            output(Command::new("git").args(["ls-files", "--cached", "--others", "--exclude-standard"]));
        for file in ours.lines() {
            let mut text = fs::read(file).unwrap();
            if file == "src/lib.rs" {
                text.extend_from_slice(ASK.as_bytes());
            }
            put(&root.join(file), &text);
        }
        let originals = files.iter().map(|file| (*file, fs::read_to_string(file).unwrap())).collect();
        Self { plan, root: fs::canonicalize(root).unwrap(), originals, trials: Vec::new() }
    }

    /// Builds all mutants that can be built together, and returns what is wrong with the others.
    pub fn build(&mut self, mutants: &[&Mutant]) -> BTreeMap<usize, Outcome> {
        let mut left_out = BTreeMap::new();
        loop {
            let into: Vec<_> = mutants.iter().filter(|mutant| !left_out.contains_key(&mutant.id)).collect();
            let mut bad = BTreeMap::new();
            for (file, text) in &self.originals {
                let here = into.iter().filter(|mutant| mutant.file == *file);
                let (text, apart) = rewrite::rewrite(text, here.map(|mutant| **mutant));
                put(&self.root.join(file), text.as_bytes());
                bad.extend(apart.into_iter().map(|id| (id, Outcome::Apart)));
            }
            if bad.is_empty() {
                bad.extend(self.errors().into_iter().map(|id| (id, Outcome::Unviable)));
            }
            if bad.is_empty() {
                break;
            }
            left_out.extend(bad);
        }
        let built = self.cargo(
            &["test", "--no-run"],
            self.plan.tests.iter().flat_map(|(test, _)| match *test {
                "taskgroup" => vec!["--lib"],
                test => vec!["--test", test],
            }),
        );
        self.trials = Trial::all(self.plan, &self.root, |test| {
            let program = built.iter().filter(|line| line["target"]["name"] == test);
            program.filter_map(|line| line["executable"].as_str()).next().expect("it was built").into()
        });
        left_out
    }

    /// Returns the messages in which cargo reports what it does.
    fn cargo<'a>(&self, what: &[&str], args: impl IntoIterator<Item = &'a str>) -> Vec<Value> {
        let Plan { features, flags, profile, .. } = self.plan;
        let mut cargo = Command::new("cargo");
        cargo.current_dir(&self.root).env("CARGO_TARGET_DIR", "target").env("RUSTFLAGS", flags).args(what);
        cargo.args(["--message-format", "json", "--profile", profile, "--no-default-features"]);
        // The compiler warns of parentheses, so its output is not shown.
        let output = cargo.args(["--features", features]).args(args).stderr(Stdio::null()).output().unwrap();
        let text = String::from_utf8(output.stdout).expect("it writes text");
        text.lines().map(|line| serde_json::from_str(line).expect("it writes JSON")).collect()
    }

    /// Returns the mutants in which the compiler finds an error.
    fn errors(&self) -> Vec<usize> {
        let checked = self.cargo(&["check"], []);
        let mut found = Vec::new();
        for line in &checked {
            let spans = line["message"]["spans"].as_array().filter(|_| line["message"]["level"] == "error");
            for span in spans.into_iter().flatten().filter(|span| span["is_primary"] == true) {
                let text = fs::read_to_string(self.root.join(span["file_name"].as_str().unwrap())).unwrap();
                let at = span["line_start"].as_u64().unwrap() as usize;
                let lines: Vec<_> = text.lines().skip(at - 1).collect();
                match lines.first().and_then(|line| rewrite::body_of(line)) {
                    Some(id) => found.push(id),
                    // An arm of a match is below where the match is said to be incomplete.
                    None => found.extend(
                        lines
                            .iter()
                            .take(12)
                            .map(|line| rewrite::asked_in(line))
                            .find(|ids| !ids.is_empty())
                            .unwrap_or_default(),
                    ),
                }
            }
        }
        let is_done = checked.iter().any(|line| line["success"] == true);
        assert!(is_done || !found.is_empty(), "only mutants do not compile");
        found
    }

    /// Runs one mutant against one test after the other.
    pub fn run(&self, id: usize) -> Outcome {
        self.trials.iter().find_map(|trial| trial.run(&self.root, id)).unwrap_or(Outcome::Missed)
    }
}

/// Writes a file only if it would change, so that nothing else is built again.
fn put(path: &Path, text: &[u8]) {
    if fs::read(path).ok().as_deref() != Some(text) {
        fs::create_dir_all(path.parent().expect("it is inside of the copy")).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// Runs a command, and returns what it prints.
pub fn output(command: &mut Command) -> String {
    let output = command.stderr(Stdio::inherit()).output().expect("it is installed");
    assert!(output.status.success(), "{command:?}: {}", output.status);
    String::from_utf8(output.stdout).expect("it writes text")
}
