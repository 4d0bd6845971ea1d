//! What the user sees.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use taskgroup::{Failure, GroupError};

use crate::digest::Digest;
use crate::files::FileError;
use crate::output::{bytes, note, print, write_digest};

/// The time between two updates of the progress line.
const PAUSE: Duration = Duration::from_millis(100);

/// Counts files and bytes, and shows a progress line if standard error is a terminal.
pub struct Progress {
    start: Instant,
    terminal: bool,
    shown: Mutex<Instant>,
    files: AtomicU64,
    bytes: AtomicU64,
}

#[allow(dead_code, reason = "nobody calls it without a runtime")]
impl Progress {
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
            terminal: io::stderr().is_terminal(),
            shown: Mutex::new(Instant::now()),
            files: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    pub fn read(&self, len: usize) {
        self.bytes.fetch_add(len as u64, Relaxed);
        self.show();
    }

    pub fn hashed(&self) {
        self.files.fetch_add(1, Relaxed);
    }

    fn show(&self) {
        // If another thread holds the lock, this one has nothing newer to show.
        let Some(mut shown) = self.shown.try_lock().ok().filter(|_| self.terminal) else { return };
        if shown.elapsed() >= PAUSE {
            *shown = Instant::now();
            note(|err| write!(err, "\r{}\x1b[K", self.counts()));
        }
    }

    fn counts(&self) -> String {
        let files = count(self.files.load(Relaxed), "file");
        let bytes = count(self.bytes.load(Relaxed), "byte");
        format!("{files}, {bytes}, {:.2} s", self.start.elapsed().as_secs_f64())
    }

    /// Shows a failure at once.
    pub fn failed(&self, failure: &Failure<FileError>) {
        let _alone = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        self.clear();
        show_failure(failure);
    }

    fn clear(&self) {
        if self.terminal {
            note(|err| err.write_all(b"\r\x1b[K"));
        }
    }

    /// Makes the report, after all counting has ended.
    pub fn finish(
        &self,
        mut digests: Vec<(PathBuf, Digest)>,
        error: Option<GroupError<FileError>>,
        keep_going: bool,
    ) -> Report {
        self.clear();
        digests.sort_by(|(a, _), (b, _)| bytes(a).cmp(bytes(b)));
        let failures = error.as_ref().map_or(0, |error| error.failures().len() + error.not_kept());
        let summary = format!("{}, {}", self.counts(), count(failures as u64, "failure"));
        match error {
            None => Report { digests, summary, clean: true },
            // Each failure was shown when it happened.
            Some(_) if keep_going => Report { digests, summary, clean: false },
            Some(error) => {
                show_first(&error);
                Report { digests: Vec::new(), summary, clean: false }
            }
        }
    }
}

fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn show_first(error: &GroupError<FileError>) {
    match error.failures().next() {
        Some((_, failure)) => show_failure(failure),
        None => note(|err| writeln!(err, "checksum: cut short")),
    }
}

fn show_failure(failure: &Failure<FileError>) {
    match failure {
        Failure::Own(error) => note(|err| error.write(err)),
        _ => note(|err| writeln!(err, "checksum: a failure of another kind")),
    }
}

/// What remains to be printed when the group has ended.
pub struct Report {
    digests: Vec<(PathBuf, Digest)>,
    summary: String,
    clean: bool,
}

impl Report {
    /// Tells whether every file was read.
    pub fn is_clean(&self) -> bool {
        self.clean
    }

    /// Prints the digests and the summary, and returns whether the digests could be printed.
    pub fn print(&self) -> bool {
        let printed =
            print(|out| self.digests.iter().try_for_each(|(path, digest)| write_digest(out, path, digest)));
        note(|err| writeln!(err, "{}", self.summary));
        printed
    }
}
