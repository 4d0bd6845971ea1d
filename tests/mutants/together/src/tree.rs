//! The copy of the crate that all mutants are in, and what they are tried against.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{FILES, Mutant, rewrite};

const FEATURES: [&str; 3] = ["--no-default-features", "--features", "smol,sim,tracing"];

/// The quickest first.
const TESTS: [&str; 6] = ["mutants", "snapshot", "model", "sim", "allocations", "it"];

/// What of `tests/it` is not among the cases.
const FAULTS: &str = "faults::";

/// How long a mutant may take on one of them. A case that hangs is ended by its watch-dog long before.
const MOST: Duration = Duration::from_secs(600);

/// What the copy asks whether it is this mutant.
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
    /// By this test, and whether that is so because it did not end.
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
    root: PathBuf,
    originals: BTreeMap<&'static str, String>,
}

impl Tree {
    pub fn copy() -> Self {
        let root = PathBuf::from("target/mutants/together");
        for file in output("git", ["ls-files", "--cached", "--others", "--exclude-standard"]).lines() {
            let mut text = fs::read(file).unwrap();
            if file == "src/lib.rs" {
                text.extend_from_slice(ASK.as_bytes());
            }
            put(&root.join(file), &text);
        }
        let originals = FILES.map(|file| (file, fs::read_to_string(file).unwrap()));
        Self { root, originals: originals.into() }
    }

    /// Builds all that can be built together, and says what is wrong with the others.
    pub fn build(&self, mutants: &[Mutant]) -> BTreeMap<usize, Outcome> {
        let mut left_out = BTreeMap::new();
        loop {
            let into: Vec<_> = mutants.iter().filter(|mutant| !left_out.contains_key(&mutant.id)).collect();
            let mut bad = BTreeMap::new();
            for (file, text) in &self.originals {
                let (text, apart) = rewrite::rewrite(text, into.iter().copied().filter(|m| m.file == *file));
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
        let tests = TESTS.iter().flat_map(|test| ["--test", test]);
        // It warns of parentheses.
        let built = self.cargo(&["test", "--no-run"]).args(tests).stderr(Stdio::null()).status().unwrap();
        assert!(built.success(), "what passes `cargo check` can be built");
        left_out
    }

    fn cargo(&self, what: &[&str]) -> Command {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(&self.root).env("CARGO_TARGET_DIR", "target").args(what).args(FEATURES);
        cargo
    }

    /// The mutants in which the compiler finds an error.
    fn errors(&self) -> Vec<usize> {
        let check =
            self.cargo(&["check", "--message-format", "json"]).stderr(Stdio::null()).output().unwrap();
        let mut found = Vec::new();
        for line in String::from_utf8(check.stdout).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let spans = line["message"]["spans"].as_array().filter(|_| line["message"]["level"] == "error");
            for span in spans.into_iter().flatten().filter(|span| span["is_primary"] == true) {
                let text = fs::read_to_string(self.root.join(span["file_name"].as_str().unwrap())).unwrap();
                let at = span["line_start"].as_u64().unwrap() as usize;
                found.extend(text.lines().nth(at - 1).and_then(rewrite::body_of));
            }
        }
        assert!(check.status.success() || !found.is_empty(), "only mutants do not compile");
        found
    }

    /// Runs one mutant against one test after the other.
    pub fn run(&self, id: usize) -> Outcome {
        let caught = TESTS.iter().find_map(|test| self.try_on(id, test));
        caught.unwrap_or(Outcome::Missed)
    }

    fn try_on(&self, id: usize, test: &str) -> Option<Outcome> {
        let log = self.root.join(format!("target/{id}-{test}.log"));
        let file = fs::File::create(&log).unwrap();
        let mut child = Command::new(fs::canonicalize(self.binary(test)).unwrap())
            .current_dir(&self.root)
            .args((test == "it").then_some(FAULTS))
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
        let ended = wait(&mut child);
        let text = String::from_utf8_lossy(&fs::read(log).unwrap()).into_owned();
        let hung = ended.is_none() || text.contains("the watch-dog bit");
        (ended != Some(true)).then(|| Outcome::Caught { by: by(test, &text), hung })
    }

    fn binary(&self, test: &str) -> PathBuf {
        let is_it = |path: &Path| {
            let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
            path.extension().is_none() && name.rsplit_once('-').is_some_and(|(name, _)| name == test)
        };
        let files =
            fs::read_dir(self.root.join("target/debug/deps")).unwrap().map(|file| file.unwrap().path());
        let when = |path: &PathBuf| fs::metadata(path).unwrap().modified().unwrap();
        files.filter(|path| is_it(path)).max_by_key(when).expect("it was built")
    }
}

/// Writes what is not there yet, so that nothing else is built again.
fn put(path: &Path, text: &[u8]) {
    if fs::read(path).ok().as_deref() != Some(text) {
        fs::create_dir_all(path.parent().expect("it is inside of the copy")).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// Whether it ended well, if it did in time.
fn wait(child: &mut Child) -> Option<bool> {
    let begun = Instant::now();
    while begun.elapsed() < MOST {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status.success());
        }
        thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// Which case it was that failed.
fn by(test: &str, text: &str) -> String {
    let failed = |line: &str| Some(line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?.to_string());
    let case = |line: &&str| line.contains("::") && !line.contains(' ');
    let found = match test {
        "mutants" => text.lines().filter(case).next_back().map(str::to_string),
        _ => text.lines().find_map(failed),
    };
    format!("{test} {}", found.unwrap_or_default())
}

/// What a command writes.
pub fn output(program: &str, args: impl IntoIterator<Item = &'static str>) -> String {
    let output = Command::new(program).args(args).stderr(Stdio::inherit()).output().expect("it is installed");
    assert!(output.status.success(), "{program}: {}", output.status);
    String::from_utf8(output.stdout).expect("it writes text")
}
