//! Draws a picture of a run: what a failure does to the other members, and in which order they end.
//!
//!     cargo run --example timeline -- docs/timeline.svg
//!
//! The program advances the clock by hand, one millisecond at a time. After each step a snapshot tells the state of each
//! member. So the picture is the same on every machine.

#![allow(unreachable_pub, reason = "an example exports nothing")]

mod draw;

use std::error::Error;
use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use smol::Executor;
use taskgroup::{Group, scope, shield};

use crate::draw::{Run, draw};

type Ex = Arc<Executor<'static>>;

/// A clock that is advanced by hand: the time, and the wakers of the sleepers.
#[derive(Clone, Default)]
struct Clock(Arc<Mutex<(u32, Vec<Waker>)>>);

impl Clock {
    fn turn(&self) -> u32 {
        let mut clock = self.0.lock().unwrap();
        clock.0 += 1;
        let (now, sleepers) = (clock.0, std::mem::take(&mut clock.1));
        drop(clock);
        sleepers.into_iter().for_each(Waker::wake);
        now
    }

    async fn sleep_until(&self, at: u32) {
        std::future::poll_fn(|cx| {
            let mut clock = self.0.lock().unwrap();
            if clock.0 >= at {
                return Poll::Ready(());
            }
            clock.1.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

async fn job(executor: Ex, clock: Clock, group: Group<Ex, &'static str>) -> Result<(), &'static str> {
    let spawn = |name, until, result| {
        let clock = clock.clone();
        group.child().name(name).launch(async move {
            clock.sleep_until(until).await;
            result
        });
    };
    spawn("fetch a", 25, Ok(()));
    spawn("fetch b", 45, Err("disk full"));
    spawn("fetch c", 90, Ok(()));
    let inner = clock.clone();
    group.child().name("upload").launch(async move {
        inner.sleep_until(8).await;
        let parts = scope(executor, async |group: Group<Ex, &'static str>| {
            let clock = inner.clone();
            group.child().name("part 1").launch(async move {
                clock.sleep_until(90).await;
                Ok(())
            });
            let clock = inner.clone();
            group.child().name("part 2").launch(async move {
                clock.sleep_until(15).await;
                shield(clock.sleep_until(70)).await;
                clock.sleep_until(90).await;
                Ok(())
            });
            Ok(())
        });
        parts.name("parts").await.map_err(|_| "no upload")
    });
    clock.sleep_until(90).await;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let path =
        std::env::args().nth(1).map_or_else(|| std::env::temp_dir().join("timeline.svg"), PathBuf::from);
    let (executor, clock) = (Ex::default(), Clock::default());
    let (failures, out) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(None)));
    let (failing, opened) = (failures.clone(), out.clone());
    let (on, time) = (executor.clone(), clock.clone());
    let job = scope(executor.clone(), move |group: Group<Ex, &'static str>| {
        *opened.lock().unwrap() = Some(group.clone());
        job(on, time, group)
    });
    let job = job.name("job").on_failure(move |child, _| {
        failing.lock().unwrap().push(child.name().unwrap_or_default().to_string());
    });

    let mut job = pin!(job);
    let (mut run, mut failed) = (Run::default(), 0);
    let mut now = 0;
    let error = loop {
        let polled = job.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        while executor.try_tick() {}
        let group = out.lock().unwrap().clone().expect("the body has begun");
        run.note(now, &group.snapshot());
        if failed == 0 && group.is_cancelled() {
            failed = now;
        }
        if let Poll::Ready(result) = polled {
            break result.expect_err("one child fails");
        }
        now = clock.turn();
        while executor.try_tick() {}
    };
    for bar in &mut run.0 {
        bar.failed = failures.lock().unwrap().contains(&bar.name);
    }
    assert_eq!(error.primary(), Some(&"disk full"));
    std::fs::write(&path, draw(&run, failed, now)?)?;
    println!("the picture is in {}", path.display());
    Ok(())
}
