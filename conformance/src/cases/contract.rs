//! The promises of a spawner, without any group: what a spawner that keeps them not breaks in all other sections.

use std::time::{Duration, Instant};

use futures_lite::future::yield_now;
use taskgroup::Spawner;

use crate::ledger::Gate;
use crate::run::patience;
use crate::test::Test;

/// Waits until it is so, but not for as long as other cases do: whoever writes a spawner wants to know soon.
async fn soon(broken: &str, is_so: impl Fn() -> bool) {
    let (begun, most) = (Instant::now(), Duration::from_secs(5).max(patience() / 10));
    while !is_so() {
        assert!(begun.elapsed() < most, "{broken}");
        yield_now().await;
    }
}

pub async fn promise_1_a_future_is_polled_until_it_is_ready<S: Spawner>(t: &Test<S>) {
    let gate = Gate::new();
    let wait = gate.clone();
    let task = t.spawner().spawn(t.child(async move {
        wait.wait().await;
        yield_now().await;
    }));
    soon("promise 1 is broken: the future is not polled", || t.ledger.read().started == 1).await;
    gate.open();
    soon("promise 1 is broken: the future was woken, and is not polled", || t.ledger.read().completed == 1)
        .await;
    soon("promise 1 is broken: the future is ready, and is not dropped", || t.ledger.read().alive() == 0)
        .await;
    task.detach();
}

pub async fn promise_2_a_future_is_dropped_soon_after_its_task<S: Spawner>(t: &Test<S>) {
    let broken = "promise 2 is broken: the `Task` was dropped, and the future is not";
    drop(t.spawner().spawn(t.stuck()));
    soon(broken, || t.ledger.read().alive() == 0).await;

    let before = t.ledger.read().started;
    let task = t.spawner().spawn(t.stuck());
    soon("promise 1 is broken: the future is not polled", || t.ledger.read().started > before).await;
    drop(task);
    soon(broken, || t.ledger.read().alive() == 0).await;
}

/// If it does, this case hangs.
pub async fn promise_3_spawn_does_not_wait_for_the_future<S: Spawner>(t: &Test<S>) {
    drop(t.spawner().spawn(t.stuck()));
    t.nothing_alive().await;
}
