//! Random trees, three groups deep, in which members end in all ways at random moments. Nothing may be left of them.

use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::Pin;

use fastrand::Rng;
use futures_lite::FutureExt;
use futures_lite::future::{or, poll_once, yield_now};
use taskgroup::{Group, GroupError, Spawner, TaskGroup, scope, shield};

use crate::ledger::Ledger;
use crate::test::{Test, leak};

const ROUNDS: usize = 2_000;
/// The number of children of a group, from the outermost group inwards.
///
/// A tree has 4 + 4 × 4 + 4 × 4 × 4 = 84 children. On average about 20 of them have started when it is cut.
const CHILDREN: [usize; 3] = [4, 4, 4];
/// How long a tree grows at most, in polls of children.
const GROWTH: u32 = 200;

pub async fn no_capture_is_alive_after_the_outer_join(t: &Test) {
    let seed = std::env::var("TASKGROUP_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("TASKGROUP_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    for round in 0..ROUNDS {
        let tree = Tree { spawner: t.spawner(), ledger: t.ledger.clone(), rng: rng.fork(), depth: 0 };
        let outer = scope(t.spawner(), |_| async move {
            let _ = AssertUnwindSafe(tree.grow()).catch_unwind().await;
            Ok::<_, Infallible>(())
        });
        // A panic or an error that an inner group left behind may arrive here.
        let _ = AssertUnwindSafe(outer).catch_unwind().await;
        assert_eq!(t.ledger.read().alive(), 0, "after round {round}");
    }
    let started = t.ledger.read().started;
    // The number depends on how busy the machine is, and on whom the runtime runs first. Usually it is about 20 a round, and
    // 4 where that is the newest task.
    assert!(started > t.pick(3, 1) * ROUNDS, "the trees did grow: {started} children");
    println!("{started} children started in {ROUNDS} rounds");
}

struct Tree<S> {
    spawner: S,
    ledger: Ledger,
    rng: Rng,
    depth: usize,
}

type End = Result<(), GroupError<&'static str>>;

impl<S: Spawner> Tree<S> {
    /// Opens a group with children that open groups, and leaves it in one of the possible ways.
    fn grow(mut self) -> Pin<Box<dyn Future<Output = End> + Send>> {
        Box::pin(async move {
            let way = self.rng.u32(0..7);
            let moment = self.rng.u32(0..GROWTH);
            match way {
                // Awaited to its end.
                0 | 1 => self.scope(false).await,
                // Dropped half-way, as by another branch of a `select` or by a timeout.
                2 | 3 => {
                    let cut = progress(self.ledger.clone(), moment);
                    or(self.scope(false), async move {
                        cut.await;
                        Ok(())
                    })
                    .await
                }
                // Leaked. Its body captures nothing that the ledger counts, because the captures are leaked too.
                4 => {
                    let mut scope = Box::pin(self.scope(true));
                    for _ in 0..moment {
                        if poll_once(scope.as_mut()).await.is_some() {
                            return Ok(());
                        }
                        yield_now().await;
                    }
                    leak(scope);
                    Ok(())
                }
                5 => self.free_standing(moment).await,
                _ => shield(self.scope(false)).await,
            }
        })
    }

    fn scope(mut self, leaked: bool) -> impl Future<Output = End> + Send {
        let spawner = self.spawner.clone();
        scope(spawner, move |group| async move {
            let _capture = (!leaked).then(|| self.ledger.capture());
            self.launch_all(&group);
            let (moment, way) = (self.rng.u32(0..GROWTH), self.rng.u32(0..8));
            let ledger = self.ledger.clone();
            drop(self);
            progress(ledger, moment).await;
            ending(way, &group).await
        })
    }

    async fn free_standing(mut self, moment: u32) -> End {
        let group = TaskGroup::<S>::fallible(self.spawner.clone());
        self.launch_all(&group);
        let ledger = self.ledger.clone();
        drop(self);
        progress(ledger, moment).await;
        if moment % 2 == 0 { group.join().await } else { Ok(()) }
    }

    fn launch_all(&mut self, group: &Group<S, &'static str>) {
        for _ in 0..CHILDREN[self.depth] {
            let child = self.child(group.clone());
            group.launch(self.ledger.track(child));
        }
    }

    fn child(
        &mut self,
        group: Group<S, &'static str>,
    ) -> impl Future<Output = Result<(), &'static str>> + Send + use<S> {
        let mut rng = self.rng.fork();
        let (spawner, ledger, depth) = (self.spawner.clone(), self.ledger.clone(), self.depth + 1);
        let capture = ledger.capture();
        async move {
            let _capture = capture;
            yields(rng.u32(0..6)).await;
            if depth < CHILDREN.len() {
                let tree = Tree { spawner, ledger, rng: rng.fork(), depth };
                tree.grow().await.map_err(|_| "an inner group failed")?;
            }
            let shielded = rng.u32(0..4);
            shield(yields(shielded)).await;
            ending(rng.u32(0..30), &group).await
        }
    }
}

async fn yields(n: u32) {
    for _ in 0..n {
        yield_now().await;
    }
}

/// Waits until children have been polled `polls` times more, or for a while, because no child may be left.
async fn progress(ledger: Ledger, polls: u32) {
    let goal = ledger.read().polls + polls as usize;
    for _ in 0..500 {
        if ledger.read().polls >= goal {
            break;
        }
        yield_now().await;
    }
}

/// Ends a member, most often well, otherwise in one of the other possible ways.
async fn ending<S>(way: u32, group: &Group<S, &'static str>) -> Result<(), &'static str> {
    match way {
        0 => Err("an error"),
        // Not `panic!`, which would print each panic.
        1 => resume_unwind(Box::new("a panic")),
        2 => {
            group.cancel();
            yield_now().await;
            unreachable!("cut at the await")
        }
        3 => {
            or(std::future::pending(), async {
                // Waits until another member ends the group, but not for ever: there may be none.
                yields(40).await;
                Ok(())
            })
            .await
        }
        _ => Ok(()),
    }
}
