//! Tokio's clock, and what happens to clean-ups when the runtime goes away.

use std::convert::Infallible;
use std::time::Duration;

use futures_lite::future::block_on;
use taskgroup::{CancelReason, Failure, Group, TaskGroup, Tokio, scope};
use tokio::runtime::Builder;

use super::{current_thread, workers};
use taskgroup_conformance::ledger::{Gate, Ledger};
use taskgroup_conformance::{panic_text, watched};

#[test]
fn a_timeout_goes_by_a_clock_that_is_paused() {
    watched(|| {
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let real = std::time::Instant::now();
        runtime.block_on(async {
            let hour = Duration::from_secs(3_600);
            let begun = tokio::time::Instant::now();
            let spawner = Tokio::current().unwrap();
            let stuck = scope(spawner.clone(), |group| async move {
                group.launch(std::future::pending::<()>());
                Ok::<_, Infallible>(())
            });
            let error = stuck.timeout(hour).await.unwrap_err();
            assert_eq!(error.reason(), Some(&CancelReason::Deadline));
            assert_eq!(begun.elapsed().as_secs(), 3_600);

            let group = TaskGroup::new(spawner);
            group.launch(std::future::pending::<()>());
            let report = group.shutdown(hour).await.unwrap();
            assert_eq!(report.forced().len(), 1);
            assert_eq!(begun.elapsed().as_secs(), 7_200);
        });
        assert!(real.elapsed() < Duration::from_secs(600), "nobody has waited");
    });
}

/// Tokio panics where the timer is made, with a message that names the setting.
#[test]
fn without_a_time_driver_whoever_keeps_the_deadline_panics() {
    let second = Duration::from_secs(1);
    watched(move || {
        let runtime = Builder::new_current_thread().build().unwrap();
        let (ledger, spawner) = (Ledger::default(), runtime.handle().clone());
        let body = scope(spawner.clone(), |group: Group<_, Infallible>| {
            group.launch(std::future::pending::<()>());
            ledger.track(async { Ok(()) })
        });
        let text = runtime.block_on(panic_text(body.timeout(second)));
        assert!(text.contains("enable_time"), "{text}");
        assert_eq!(ledger.read().made, 0, "the body is not made");

        let group = TaskGroup::builder::<Infallible>(spawner.clone()).timeout(second).open();
        group.launch(ledger.track(std::future::pending::<()>()));
        let text = runtime.block_on(panic_text(group.join()));
        assert!(text.contains("enable_time"), "{text}");

        // Also where a panic cancels nothing: the deadline would never pass.
        let group = TaskGroup::builder::<Infallible>(spawner.clone()).timeout(second);
        let group = group.supervise(|_, failure| assert!(matches!(failure, Failure::Panic(_)))).open();
        group.launch(ledger.track(std::future::pending::<()>()));
        let lost = runtime.block_on(group.join()).unwrap_err();
        assert_eq!(lost.reason(), Some(&CancelReason::Lost));

        let group = TaskGroup::builder::<Infallible>(spawner.clone()).cleanup_timeout(second).open();
        let (own, cleaned) = (group.group(), Ledger::default());
        let cleanup = cleaned.track(async {});
        group.launch(async move { own.defer(cleanup) });
        let text = runtime.block_on(panic_text(group.join()));
        assert!(text.contains("enable_time"), "{text}");
        assert_eq!(cleaned.read().completed, 1, "it is done all the same");

        let group = TaskGroup::new(spawner);
        group.launch(ledger.track(std::future::pending::<()>()));
        let text = runtime.block_on(panic_text(group.shutdown(second)));
        assert!(text.contains("enable_time"), "{text}");
        runtime.block_on(tokio::task::yield_now());
        assert_eq!(ledger.read().alive(), 0);

        // Not only when the signal comes.
        let group = TaskGroup::<_, Infallible>::new(runtime.handle().clone());
        let text = runtime.block_on(panic_text(group.shutdown_when(std::future::pending::<()>(), second)));
        assert!(text.contains("enable_time"), "{text}");
    });
}

#[test]
fn clean_ups_on_a_runtime_that_goes_away_are_dropped_and_join_ends() {
    watched(|| {
        for runtime in [current_thread(), workers(2)] {
            let (ledger, begun) = (Ledger::default(), Gate::new());
            let group = TaskGroup::new(runtime.handle().clone());
            let (own, open, cleanups) = (group.group(), begun.clone(), ledger.clone());
            group.launch(ledger.track(async move {
                own.defer(cleanups.track(std::future::pending::<()>()));
                own.defer(cleanups.track(async move {
                    open.open();
                    std::future::pending::<()>().await;
                }));
            }));
            runtime.block_on(begun.wait());
            drop(runtime);
            assert!(block_on(group.join()).unwrap_err().is_lost());
            assert_eq!((ledger.read().started, ledger.read().alive()), (2, 0));
        }
    });
}
