//! What happened to every child and token, recorded by those that should know.

use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use futures_lite::FutureExt;
use taskgroup::Failure;
use taskgroup::error::{JoinError, Origin};

/// How a child ended, as seen by its destructor.
#[derive(Clone, Copy)]
enum Fate {
    Returned,
    Failed,
    Panicked,
    /// Dropped at an await.
    Cut,
    /// Dropped unpolled.
    Unpolled,
}

/// One count for each fate.
#[derive(Default)]
struct Fates([AtomicUsize; 5]);

impl Fates {
    fn add(&self, fate: Fate) {
        self.0[fate as usize].fetch_add(1, SeqCst);
    }

    fn read(&self) -> [usize; 5] {
        self.0.each_ref().map(|count| count.load(SeqCst))
    }
}

#[derive(Default)]
pub(crate) struct Books {
    pub(crate) groups: AtomicUsize,
    children: AtomicUsize,
    /// Children without a handle.
    launched: Fates,
    /// Children with one.
    held: Fates,
    /// What the handles reported. For them, a child that was cut and one that was not polled are the same.
    said: Fates,
    /// Failures and panics of children that were reported to hooks.
    told_errors: AtomicUsize,
    told_panics: AtomicUsize,
    /// Children that `try_spawn` returned.
    refused: AtomicUsize,
    registered: AtomicUsize,
    cleaned_up: AtomicUsize,
    /// Values, errors and payloads of panics.
    tokens: AtomicUsize,
    tokens_gone: AtomicUsize,
}

impl Books {
    /// Creates a child's value, or its error.
    pub(crate) fn token(self: &Arc<Self>) -> Token {
        self.tokens.fetch_add(1, SeqCst);
        Token(self.clone())
    }

    /// Panics without the panic hook, which would print the panic.
    pub(crate) fn panic(self: &Arc<Self>) -> ! {
        resume_unwind(Box::new(Planned { told: AtomicBool::new(false), _token: self.token() }))
    }

    /// Wraps a child, with or without a handle, so that its end is recorded.
    pub(crate) fn child<F>(
        self: &Arc<Self>,
        held: bool,
        future: F,
    ) -> impl Future<Output = Result<Token, Token>> + Send + use<F>
    where
        F: Future<Output = Result<Token, Token>> + Send,
    {
        self.children.fetch_add(1, SeqCst);
        let life = Life { books: self.clone(), held, fate: Fate::Unpolled };
        async move {
            // Captures the whole of it, and not only its fate.
            let mut life = life;
            life.fate = Fate::Cut;
            let end = AssertUnwindSafe(future).catch_unwind().await;
            life.fate = match &end {
                Ok(Ok(_)) => Fate::Returned,
                Ok(Err(_)) => Fate::Failed,
                Err(_) => Fate::Panicked,
            };
            end.unwrap_or_else(|payload| resume_unwind(payload))
        }
    }

    /// A clean-up, which must run to its end.
    pub(crate) fn cleanup<F: Future + Send>(
        self: &Arc<Self>,
        future: F,
    ) -> impl Future<Output = ()> + Send + use<F> {
        self.registered.fetch_add(1, SeqCst);
        let books = self.clone();
        async move {
            future.await;
            books.cleaned_up.fetch_add(1, SeqCst);
        }
    }

    /// A failure hook, which also counts errors in `told`.
    pub(crate) fn hook(
        self: &Arc<Self>,
        told: &Arc<AtomicUsize>,
    ) -> impl Fn(&Origin, &Failure<Token>) + Send + Sync + use<> {
        let (books, told) = (self.clone(), told.clone());
        move |origin, failure| match failure {
            Failure::Own(_) if !origin.is_body() => {
                books.told_errors.fetch_add(1, SeqCst);
                told.fetch_add(1, SeqCst);
            }
            // A panic in a group inside that is abandoned is reported there and here.
            Failure::Panic(payload) => {
                let first = payload.inspect(|planned: &Planned| !planned.told.swap(true, SeqCst));
                if first.expect("nobody else panics") && !origin.is_body() {
                    books.told_panics.fetch_add(1, SeqCst);
                }
            }
            _ => {}
        }
    }

    /// A handle reports how its child ended.
    pub(crate) fn said(&self, result: Result<Token, JoinError>) {
        self.said.add(match result {
            Ok(_) => Fate::Returned,
            Err(error) if error.is_failed() => Fate::Failed,
            Err(error) if error.is_panicked() => Fate::Panicked,
            Err(error) if error.is_cancelled() => Fate::Cut,
            Err(error) => panic!("no runtime went away: {error}"),
        });
    }

    /// A child was returned by `try_spawn`. This counts as what its handle would have reported.
    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, SeqCst);
        self.said.add(Fate::Cut);
    }

    /// How many children there have been.
    pub(crate) fn children(&self) -> usize {
        self.children.load(SeqCst)
    }

    /// How many children are alive.
    pub(crate) fn alive(&self) -> usize {
        // The dead are read first. Otherwise a child that is made and dies in between would look as if more had died than
        // were made.
        let dead: usize = self.launched.read().iter().chain(&self.held.read()).sum();
        self.children() - dead
    }

    /// Whether everything is gone, and everything that had to be done is done.
    pub(crate) fn is_settled(&self) -> bool {
        let tokens = self.tokens_gone.load(SeqCst) == self.tokens.load(SeqCst);
        tokens && self.cleaned_up.load(SeqCst) == self.registered.load(SeqCst) && self.alive() == 0
    }

    /// What must hold when a join is over. Handles may still have values.
    pub(crate) fn nobody_is_left(&self) {
        assert_eq!(self.alive(), 0, "children");
        assert_eq!(self.cleaned_up.load(SeqCst), self.registered.load(SeqCst), "clean-ups");
    }

    /// What must hold between two groups: all records agree.
    pub(crate) fn check(&self) {
        assert!(self.is_settled());
        let [returned, failed, panicked, cut, unpolled] = self.held.read();
        assert_eq!(self.said.read(), [returned, failed, panicked, cut + unpolled, 0], "what handles said");
        let [_, failed, panicked, ..] = self.all();
        let told = (self.told_errors.load(SeqCst), self.told_panics.load(SeqCst));
        assert_eq!(told, (failed, panicked), "what hooks were told");
    }

    fn all(&self) -> [usize; 5] {
        let (launched, held) = (self.launched.read(), self.held.read());
        std::array::from_fn(|fate| launched[fate] + held[fate])
    }

    pub(crate) fn print_head() {
        println!(
            "{:<16} {:>4} {:>9} {:>9} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9} {:>6} {:>6} {:>8} {:>8}",
            "runtime",
            "%",
            "children",
            "returned",
            "failed",
            "panicked",
            "cut",
            "unpolled",
            "refused",
            "cleanups",
            "groups",
            "most",
            "alive",
            "bytes",
            "ns/child",
        );
    }

    /// Prints a line. `most` children were alive at once when an outermost group ended.
    pub(crate) fn print(&self, runtime: &str, percent: usize, most: usize, bytes: isize, took: Duration) {
        let [returned, failed, panicked, cut, unpolled] = self.all();
        println!(
            "{runtime:<16} {percent:>4} {:>9} {returned:>9} {failed:>8} {panicked:>8} {cut:>8} {unpolled:>8} {:>8} {:>8} {:>9} {most:>6} {:>6} {bytes:>8} {:>8}",
            self.children(),
            self.refused.load(SeqCst),
            self.cleaned_up.load(SeqCst),
            self.groups.load(SeqCst),
            self.alive(),
            took.as_nanos() as usize / self.children(),
        );
    }
}

/// A value that has to be dropped.
pub(crate) struct Token(Arc<Books>);

impl Drop for Token {
    fn drop(&mut self) {
        self.0.tokens_gone.fetch_add(1, SeqCst);
    }
}

/// The payload of a panic.
struct Planned {
    told: AtomicBool,
    _token: Token,
}

/// Dropped with its child, after everything else in the child.
struct Life {
    books: Arc<Books>,
    held: bool,
    fate: Fate,
}

impl Drop for Life {
    fn drop(&mut self) {
        let Self { books, held, fate } = self;
        if *held { &books.held } else { &books.launched }.add(*fate);
    }
}
