//! The clocks of the runtimes themselves. What is done with a clock is in the cases for every runtime, on one that is cranked.

use std::time::Duration;

use futures_lite::future::or;
use taskgroup::Spawner;
use taskgroup::runtime::{Timed, Timer};
use taskgroup_conformance::Test;

on_the_runtimes! {
    a_sleep_begins_when_it_is_asked_for
}

#[cfg(all(feature = "pool", feature = "smol"))]
on!(pool_on_smol: a_sleep_begins_when_it_is_asked_for);
#[cfg(all(feature = "pool", feature = "async-std"))]
on!(pool_on_async_std: a_sleep_begins_when_it_is_asked_for);
#[cfg(all(feature = "pool", feature = "tokio"))]
on!(pool_on_tokio: a_sleep_begins_when_it_is_asked_for);

async fn a_sleep_begins_when_it_is_asked_for<S: Spawner + Timed>(t: &Test<S>) {
    const TIME: Duration = Duration::from_millis(200);
    let timer = t.spawner().timer();
    let due = timer.sleep(TIME);
    timer.sleep(TIME).await;
    let another = timer.sleep(TIME / 2);
    let is_first = or(
        async {
            due.await;
            true
        },
        async {
            another.await;
            false
        },
    );
    assert!(is_first.await, "it is due before its first poll");
}
