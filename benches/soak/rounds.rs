//! What happens, as the seed decides.

use std::future::{Future, pending};
use std::num::NonZero;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use fastrand::Rng;
use futures_lite::FutureExt;
use futures_lite::future::{or, yield_now};
use taskgroup::runtime::Timed;
use taskgroup::{Group, GroupError, JoinHandle, Spawner, TaskGroup, scope, shield};

use crate::books::{Books, Token};

/// How deep groups are inside one another, each in a child of the one around it.
const DEPTH: u32 = 3;
/// How many children an outermost group has at most.
const WIDTH: usize = 256;
/// How many children the groups inside have at most.
const INNER_WIDTH: usize = 4;
/// How long to wait for children that nobody joins.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Rounds<S> {
    spawner: S,
    books: Arc<Books>,
    rng: Rng,
    depth: u32,
}

type Handles = Vec<JoinHandle<Token>>;

impl<S: Spawner + Timed> Rounds<S> {
    pub(crate) fn new(spawner: S, books: Arc<Books>, rng: Rng) -> Self {
        Self { spawner, books, rng, depth: 0 }
    }

    fn fork(&mut self) -> Self {
        let Self { spawner, books, rng, depth } = self;
        Self { spawner: spawner.clone(), books: books.clone(), rng: rng.fork(), depth: *depth }
    }

    /// Opens a group, and waits for its end. Returns how many children were alive before that.
    pub(crate) async fn one(&mut self) -> usize {
        let told = Arc::new(AtomicUsize::new(0));
        let (collects, limited) = (self.rng.u32(0..4) == 0, self.rng.u32(0..4) == 0);
        let group = self.open(&told, collects, limited);
        let mut handles = Vec::new();
        let sticky = self.spawn_all(&group, limited, &mut handles).await;
        yields(self.rng.u32(0..8)).await;
        for handle in &handles {
            // All are cancelled if some never end by themselves.
            if sticky || self.rng.u32(0..16) == 0 {
                handle.cancel();
            }
        }
        let alive = self.books.alive();
        self.end(group, collects, &told).await;
        for handle in handles {
            self.books.said(handle.await);
        }
        let begun = Instant::now();
        // This waits only if the group was abandoned, because then nothing reported its end.
        while !self.books.is_settled() {
            assert!(begun.elapsed() < PATIENCE, "{} are left behind", self.books.alive());
            yield_now().await;
        }
        alive
    }

    fn open(&mut self, told: &Arc<AtomicUsize>, collects: bool, limited: bool) -> TaskGroup<S, Token> {
        self.books.groups.fetch_add(1, SeqCst);
        let builder = TaskGroup::builder::<Token>(self.spawner.clone()).keep(usize::MAX);
        let mut builder = match self.rng.bool() {
            _ if collects => builder.collect().on_failure(self.books.hook(told)),
            true => builder.supervise(self.books.hook(told)),
            false => builder.on_failure(self.books.hook(told)),
        };
        if limited {
            builder = builder.limit(NonZero::new(self.rng.usize(1..32)).expect("one at least"));
        }
        if self.rng.u32(0..16) == 0 {
            builder = builder.timeout(Duration::from_micros(self.rng.u64(0..500)));
        }
        builder.open()
    }

    /// Returns whether some of them end only when they are cancelled. In that case all of them have handles.
    async fn spawn_all(&mut self, group: &TaskGroup<S, Token>, limited: bool, handles: &mut Handles) -> bool {
        let sticky = self.rng.u32(0..4) == 0;
        let keyed = group.keyed::<u32>();
        for _ in 0..self.rng.usize(1..WIDTH) {
            let way = self.rng.u32(0..8);
            match way {
                0..3 if !sticky => group.launch(self.child(group, false, false)),
                // This may wait for a place, so some children have to end without being cancelled.
                3 if limited && !sticky => {
                    handles.push(group.spawn_when_free(self.child(group, true, false)).await);
                }
                4 => {
                    let child = self.child(group, true, sticky);
                    handles.push(keyed.replace(self.rng.u32(0..8), child));
                }
                5 => match group.try_spawn(self.child(group, true, sticky)) {
                    Ok(handle) => handles.push(handle),
                    Err(refused) => {
                        drop(refused);
                        self.books.refused();
                    }
                },
                _ => handles.push(group.spawn(self.child(group, true, sticky))),
            }
            if self.rng.u32(0..64) == 0 {
                yield_now().await;
            }
        }
        sticky
    }

    async fn end(&mut self, group: TaskGroup<S, Token>, collects: bool, told: &AtomicUsize) {
        let moment = self.rng.u32(0..64);
        let way = self.rng.u32(0..8);
        let join = match way {
            0 => {
                group.cancel();
                group.join()
            }
            1 => return drop(group),
            2 => {
                let cut = async {
                    yields(moment).await;
                    Ok(())
                };
                let _ = AssertUnwindSafe(or(group.join(), cut)).catch_unwind().await;
                return;
            }
            3 => {
                let grace = Duration::from_micros(moment.into());
                let _ = AssertUnwindSafe(group.shutdown(grace)).catch_unwind().await;
                self.books.nobody_is_left();
                return;
            }
            _ => group.join(),
        };
        let end = AssertUnwindSafe(join).catch_unwind().await;
        self.books.nobody_is_left();
        if let (true, Ok(end)) = (collects, end) {
            let reported = end.map_or_else(|error| own(&error), |()| 0);
            assert_eq!(reported, told.load(SeqCst), "what the join reported");
        }
    }

    /// A child that may be one of those that end only when they are cancelled.
    fn child(
        &mut self,
        group: &Group<S, Token>,
        held: bool,
        sticky: bool,
    ) -> impl Future<Output = Result<Token, Token>> + Send + use<S> {
        let (mut own, group) = (self.fork(), group.clone());
        self.books.clone().child(held, async move { own.live(&group, sticky).await })
    }

    async fn live(&mut self, group: &Group<S, Token>, sticky: bool) -> Result<Token, Token> {
        let moment = self.rng.u32(0..4);
        match self.rng.u32(0..64) {
            0..24 => {}
            24..44 => yields(moment).await,
            44 if self.rng.u32(0..8) == 0 => {
                yields(moment).await;
                return Err(self.books.token());
            }
            45 if self.rng.u32(0..8) == 0 => {
                yields(moment).await;
                self.books.panic()
            }
            46..50 if sticky => pending().await,
            46..52 => {
                let value = shield(async {
                    yields(moment).await;
                    self.books.token()
                });
                return Ok(value.await);
            }
            52..56 => {
                group.defer(self.books.cleanup(yields(moment)));
                yields(3 - moment).await;
            }
            56 if self.rng.u32(0..8) == 0 => {
                group.cancel();
                yield_now().await;
                unreachable!("cut at the await")
            }
            57 => {
                for _ in 0..moment {
                    group.launch(self.child(group, false, false));
                }
            }
            58 | 59 if self.depth + 1 < DEPTH => self.nest().await?,
            _ => {}
        }
        Ok(self.books.token())
    }

    /// Opens a group inside. Its panics are caught: a child that resumes one is counted as if it were another panic.
    fn nest(&mut self) -> Pin<Box<dyn Future<Output = Result<(), Token>> + Send>> {
        let mut inside = self.fork();
        inside.depth += 1;
        Box::pin(async move {
            let books = inside.books.clone();
            match AssertUnwindSafe(inside.grow()).catch_unwind().await {
                Ok(true) => Ok(()),
                Ok(false) => Err(books.token()),
                Err(payload) => {
                    drop(payload);
                    books.panic()
                }
            }
        })
    }

    /// Returns whether all went well.
    async fn grow(&mut self) -> bool {
        let moment = self.rng.u32(0..16);
        match self.rng.u32(0..6) {
            0 | 1 => self.scope(false).await,
            2 => shield(self.scope(false)).await,
            3 => {
                or(self.scope(true), async {
                    yields(moment).await;
                    true
                })
                .await
            }
            way => {
                let told = Arc::default();
                let group = self.open(&told, false, moment < 4);
                let gives_up = way == 4;
                for _ in 0..self.rng.usize(0..=INNER_WIDTH) {
                    group.launch(self.child(&group, false, gives_up));
                }
                yields(moment).await;
                gives_up || group.join().await.is_ok()
            }
        }
    }

    fn scope(&mut self, sticky: bool) -> impl Future<Output = bool> + Send + use<S> {
        let mut own = self.fork();
        let hook = own.books.hook(&Arc::default());
        own.books.groups.fetch_add(1, SeqCst);
        let scope = scope(own.spawner.clone(), move |group: Group<S, Token>| async move {
            for _ in 0..own.rng.usize(0..=INNER_WIDTH) {
                group.launch(own.child(&group, false, sticky));
            }
            yields(own.rng.u32(0..4)).await;
            match own.rng.u32(0..16) {
                0 => Err(own.books.token()),
                1 => own.books.panic(),
                _ => Ok(own.books.token()),
            }
        });
        async move { scope.on_failure(hook).await.is_ok() }
    }
}

/// Returns how many children failed by themselves.
fn own(error: &GroupError<Token>) -> usize {
    error.failures().filter(|(_, failure)| matches!(failure, taskgroup::Failure::Own(_))).count()
}

async fn yields(n: u32) {
    for _ in 0..n {
        yield_now().await;
    }
}
