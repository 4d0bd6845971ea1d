//! Shutdown in two steps: the group asks its members to end, and after a grace it cancels them.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::future::{poll_once, yield_now, zip};
use taskgroup::group::ShutdownReport;
use taskgroup::{CancelReason, Group, GroupError, TaskGroup, scope, shield};

use crate::cases::crank::{Crank, Cranked, at, cranked};
use crate::cases::slow::Slow;
use crate::ledger::{Gate, Tally, Tracked};
use crate::test::{Test, errors, panic_text, quiet_panic};

/// Returns a child that ends when it is asked to, and logs that.
fn polite<E: Send + 'static>(
    t: &Test,
    group: &Group<Cranked, E>,
    line: &'static str,
) -> Tracked<impl Future<Output = ()> + Send + 'static + use<E>> {
    let (soft, log) = (group.stopping(), t.log.clone());
    t.child(async move {
        soft.await;
        log.write(line);
    })
}

/// Shuts a group down with a grace of 5, and sets the clock to its end when all members have been asked.
async fn forced<E: Send + 'static>(
    group: TaskGroup<Cranked, E>,
    crank: &Crank,
) -> Result<ShutdownReport, GroupError<E>> {
    let asked = group.stopping();
    let driver = async {
        asked.await;
        crank.to(5);
    };
    zip(group.shutdown(at(5)), driver).await.0
}

/// Returns the paths of the members that the report names.
fn paths(report: &ShutdownReport) -> Vec<&str> {
    let mut paths: Vec<_> = report.forced().iter().filter_map(|origin| origin.path()).collect();
    paths.sort_unstable();
    paths
}

pub async fn everybody_ends_on_the_soft_signal(t: &Test) {
    let (crank, spawner) = cranked(t);
    let group = TaskGroup::new(spawner);
    (0..3).for_each(|_| group.launch(polite(t, &group, "bye")));
    let report = group.shutdown(at(5)).await.unwrap();
    assert!(report.is_graceful());
    assert_eq!((report.forced().len(), report.more()), (0, 0));
    assert_eq!(report.to_string(), "everybody ended in time");
    assert_eq!((t.log.count("bye"), crank.sleeps()), (3, 0));
}

pub async fn an_empty_group_needs_no_grace(t: &Test) {
    let (_, spawner) = cranked(t);
    assert!(TaskGroup::new(spawner).shutdown(at(5)).await.unwrap().is_graceful());
}

pub async fn a_deaf_child_is_forced_and_named(t: &Test) {
    let (crank, spawner) = cranked(t);
    let group = TaskGroup::builder::<Infallible>(spawner).name("server").open();
    let begun = Tally::new();
    group.child().name("deaf").launch(t.waiting(&begun));
    group.launch(polite(t, &group, "bye"));
    let asked = group.group();
    let driver = async {
        asked.stopping().await;
        // When the grace is over, only the deaf child is left.
        while asked.len() > 1 {
            yield_now().await;
        }
        crank.to(5);
    };
    let report = zip(group.shutdown(at(5)), driver).await.0.unwrap();
    assert!(!report.is_graceful());
    assert_eq!(paths(&report), ["server/deaf"]);
    assert_eq!(report.forced()[0].name(), Some("deaf"));
    assert_eq!(asked.reason(), Some(CancelReason::Explicit("the grace is over".into())));
    assert_eq!((t.log.lines(), crank.sleeps()), (vec!["bye".into()], 0));
}

pub async fn before_the_grace_is_over_nobody_is_cut(t: &Test) {
    let (crank, spawner) = cranked(t);
    let group = TaskGroup::new(spawner);
    let (asked, gate) = (group.group(), Gate::new());
    let (soft, wait) = (group.stopping(), gate.clone());
    group.launch(t.child(async move {
        soft.await;
        wait.wait().await;
    }));
    let driver = async {
        asked.stopping().await;
        crank.to(4);
        for _ in 0..20 {
            yield_now().await;
        }
        assert!(!asked.is_cancelled());
        gate.open();
    };
    assert!(zip(group.shutdown(at(5)), driver).await.0.unwrap().is_graceful());
    assert_eq!(t.ledger.read().completed, 1);
}

pub async fn children_of_groups_inside_are_asked_and_named(t: &Test) {
    let (crank, spawner) = cranked(t);
    let group = TaskGroup::builder::<Infallible>(spawner).name("server").open();
    let (begun, bye) = (Tally::new(), Tally::new());
    let (deaf, own, inner_bye) = (t.waiting(&begun), group.group(), bye.clone());
    group.child().name("host").launch(t.child(async move {
        let inner = TaskGroup::builder::<Infallible>(own.spawner().clone()).name("pool").open();
        inner.child().name("deaf").launch(deaf);
        let soft = inner.stopping();
        inner.child().name("polite").launch(async move {
            soft.await;
            inner_bye.add();
        });
        let _ = inner.join().await;
    }));
    begun.take(1).await;
    let driver = async {
        bye.take(1).await;
        // The polite child is counted until all of it is gone, which is a moment later.
        for _ in 0..200 {
            yield_now().await;
        }
        crank.to(5);
    };
    let report = zip(group.shutdown(at(5)), driver).await.0.unwrap();
    let paths = paths(&report);
    assert!(paths.contains(&"server/host") && paths.contains(&"server/host/pool/deaf"), "{paths:?}");
}

pub async fn there_is_one_grace_for_the_whole_tree(t: &Test) {
    let (crank, spawner) = cranked(t);
    let group = TaskGroup::new(spawner);
    let begun = Tally::new();
    for _ in 0..3 {
        let (deaf, own) = (t.waiting(&begun), group.group());
        group.launch(t.child(async move {
            let inner = TaskGroup::new(own.spawner().clone());
            inner.launch(deaf);
            let _ = inner.join().await;
        }));
    }
    begun.take(3).await;
    let asked = group.stopping();
    let driver = async {
        asked.await;
        assert_eq!(crank.sleeps(), 1);
        crank.to(5);
    };
    let report = zip(group.shutdown(at(5)), driver).await.0.unwrap();
    assert_eq!((report.forced().len(), crank.sleeps()), (6, 0));
}

pub async fn a_failure_on_the_way_out_is_reported(t: &Test) {
    let (crank, spawner) = cranked(t);
    let group = TaskGroup::fallible(spawner);
    let soft = group.stopping();
    group.launch(t.child(async move {
        soft.await;
        Err::<(), _>("goodbye failed")
    }));
    group.launch(t.stuck());
    let error = group.shutdown(at(5)).await.unwrap_err();
    assert_eq!(errors(&error), ["goodbye failed"]);
    assert_eq!(crank.sleeps(), 0);
}

pub async fn a_shielded_child_outlasts_the_grace_and_is_waited_for(t: &Test) {
    let (crank, spawner) = cranked(t);
    let (slow, group) = (Slow::new(t), TaskGroup::new(spawner));
    group.launch(slow.child("child"));
    slow.begun.take(1).await;
    let (asked, member) = (group.stopping(), group.group());
    let driver = async {
        asked.await;
        crank.to(5);
        member.cancelled().await;
        slow.only(&[]).await;
        slow.gate.open();
    };
    let report = zip(group.shutdown(at(5)), driver).await.0.unwrap();
    assert_eq!(report.forced().len(), 1);
    assert_eq!(slow.log.lines(), ["child"]);
}

pub async fn background_children_end_with_the_others_and_are_not_named(t: &Test) {
    let (crank, spawner) = cranked(t);
    let group = TaskGroup::new(spawner.clone());
    group.child().background().launch(t.stuck());
    group.launch(polite(t, &group, "bye"));
    assert!(group.shutdown(at(5)).await.unwrap().is_graceful());

    let group = TaskGroup::new(spawner);
    let begun = Tally::new();
    group.child().background().launch(t.waiting(&begun));
    group.launch(t.waiting(&begun));
    begun.take(2).await;
    let report = forced(group, &crank).await.unwrap();
    assert_eq!(report.forced().iter().map(|origin| origin.child()).collect::<Vec<_>>(), [Some(2)]);
}

pub async fn dropped_it_cancels_at_once(t: &Test) {
    let (crank, spawner) = cranked(t);
    for polled in [false, true] {
        let group = TaskGroup::new(spawner.clone());
        let (member, begun) = (group.group(), Tally::new());
        group.launch(t.waiting(&begun));
        begun.take(1).await;
        let mut shutdown = Box::pin(group.shutdown(at(5)));
        assert!(!polled || poll_once(shutdown.as_mut()).await.is_none());
        assert_eq!(member.is_stopping(), polled, "it begins when it is polled");
        drop(shutdown);
        assert_eq!(member.reason(), Some(CancelReason::ScopeDropped));
        t.nothing_alive().await;
        assert_eq!(crank.sleeps(), 0);
    }
}

pub async fn without_any_grace_everybody_is_forced(t: &Test) {
    let (_, spawner) = cranked(t);
    let (group, begun) = (TaskGroup::new(spawner), Tally::new());
    (0..3).for_each(|_| group.launch(t.waiting(&begun)));
    begun.take(3).await;
    assert_eq!(group.shutdown(at(0)).await.unwrap().forced().len(), 3);
}

pub async fn a_report_names_sixty_four_and_counts_the_rest(t: &Test) {
    let (_, spawner) = cranked(t);
    let group = TaskGroup::builder::<Infallible>(spawner).name("server").open();
    let begun = Tally::new();
    (0..70).for_each(|_| group.launch(t.waiting(&begun)));
    begun.take(70).await;
    let report = group.shutdown(at(0)).await.unwrap();
    assert_eq!((report.forced().len(), report.more()), (64, 6));
    let text = report.to_string();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines[0], lines[65], lines.len()), ("70 had to be cancelled:", "  and 6 more", 66));
    assert!(lines[1].starts_with("  server/#") && lines[1].contains(", spawned at "), "{}", lines[1]);
    assert!(!text.ends_with('\n') && !text.contains(",\n"), "{text}");
}

pub async fn a_deadline_may_come_before_the_end_of_the_grace(t: &Test) {
    let (crank, spawner) = cranked(t);
    let group = TaskGroup::builder::<Infallible>(spawner).timeout(at(3)).open();
    let (begun, asked) = (Tally::new(), group.stopping());
    group.launch(t.waiting(&begun));
    begun.take(1).await;
    let driver = async {
        asked.await;
        crank.to(3);
    };
    let error = zip(group.shutdown(at(5)), driver).await.0.unwrap_err();
    assert_eq!((error.reason(), crank.sleeps()), (Some(&CancelReason::Deadline), 0));
}

/// It cut nobody, so there is a report.
pub async fn whom_a_deadline_finds_in_the_grace_is_in_the_report(t: &Test) {
    let (crank, spawner) = cranked(t);
    let group = TaskGroup::builder::<Infallible>(spawner).timeout(at(3)).open();
    let (begun, gate, own) = (Tally::new(), Gate::new(), group.group());
    let (begin, wait) = (begun.clone(), gate.clone());
    group.child().name("section").shielded().launch(t.child(async move {
        begin.add();
        wait.wait().await;
    }));
    begun.take(1).await;
    let driver = async {
        own.stopping().await;
        crank.to(3);
        own.cancelled().await;
        gate.open();
    };
    let report = zip(group.shutdown(at(5)), driver).await.0.unwrap();
    assert_eq!((paths(&report), own.reason()), (vec!["section"], Some(CancelReason::Deadline)));
    assert_eq!(crank.sleeps(), 0);
}

pub async fn stop_reaches_groups_inside(t: &Test) {
    let (_, spawner) = cranked(t);
    let (group, begun) = (TaskGroup::new(spawner), Tally::new());
    let (own, begin, log, ledger) = (group.group(), begun.clone(), t.log.clone(), t.ledger.clone());
    group.launch(t.child(async move {
        let inner = TaskGroup::new(own.spawner().clone());
        let soft = inner.stopping();
        let (spawner, said) = (own.spawner().clone(), log.clone());
        inner.launch(ledger.track(async move {
            let body = scope(spawner, |innermost| async move {
                begin.add();
                innermost.stopping().await;
                said.write("innermost");
                Ok::<_, Infallible>(())
            });
            body.await.unwrap();
        }));
        soft.await;
        inner.join().await.unwrap();
        log.write("inner");
    }));
    begun.take(1).await;
    group.stop();
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["innermost", "inner"]);
}

pub async fn stop_reaches_groups_opened_later_inside(t: &Test) {
    let (_, spawner) = cranked(t);
    let group = TaskGroup::new(spawner);
    let (soft, own) = (group.stopping(), group.group());
    group.launch(t.child(async move {
        soft.await;
        let late = TaskGroup::new(own.spawner().clone());
        assert!(late.is_stopping());
        late.stopping().await;
        late.launch(async {});
        let inside =
            scope(own.spawner().clone(), |group| async move { Ok::<_, Infallible>(group.is_stopping()) });
        assert!(inside.await.unwrap());
        late.join().await.unwrap();
    }));
    group.stop();
    group.join().await.unwrap();
    assert_eq!(t.ledger.read().completed, 1);
}

pub async fn a_spawn_after_stop_is_refused_here_and_taken_inside(t: &Test) {
    let (_, spawner) = cranked(t);
    let group = TaskGroup::new(spawner);
    let (soft, own, helper) = (group.stopping(), group.group(), t.child(async {}));
    let child = group.spawn(t.child(async move {
        let inner = TaskGroup::new(own.spawner().clone());
        soft.await;
        assert!(own.try_spawn(pending::<()>()).unwrap_err().is_closed());
        inner.launch(helper);
        inner.join().await.unwrap();
        Ok(())
    }));
    group.stop();
    assert!(group.try_spawn(pending::<()>()).unwrap_err().is_closed());
    child.await.unwrap();
    group.join().await.unwrap();
    assert_eq!(t.ledger.read().completed, 2);
}

/// A shield delays the cut, but not the request to stop.
pub async fn a_cancel_asks_groups_under_a_shield_as_well(t: &Test) {
    let (_, spawner) = cranked(t);
    let (group, begun) = (TaskGroup::new(spawner), Gate::new());
    let (own, open, log) = (group.group(), begun.clone(), t.log.clone());
    group.launch(t.child(async move {
        let inside = scope(own.spawner().clone(), |inner| async move {
            open.open();
            inner.stopping().await;
            assert!(!inner.is_cancelled());
            log.write("asked");
            Ok::<_, Infallible>(())
        });
        let _ = shield(inside).await;
    }));
    begun.wait().await;
    group.cancel();
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["asked"]);
}

/// With a group inside, whose children are named as well.
pub async fn a_cancel_in_the_grace_is_in_the_report(t: &Test) {
    let (crank, spawner) = cranked(t);
    let group = TaskGroup::builder::<Infallible>(spawner).name("server").open();
    let (begun, deaf, own) = (Tally::new(), Tally::new(), group.group());
    let inner_deaf = t.waiting(&deaf);
    group.child().name("host").launch(t.child(async move {
        let inner = TaskGroup::builder::<Infallible>(own.spawner().clone()).name("pool").open();
        inner.child().name("deaf").launch(inner_deaf);
        let _ = inner.join().await;
    }));
    group.child().name("deaf").launch(t.waiting(&begun));
    begun.take(1).await;
    deaf.take(1).await;
    let asked = group.group();
    let driver = async {
        asked.stopping().await;
        asked.cancel_with("asked twice");
    };
    let report = zip(group.shutdown(at(5)), driver).await.0.unwrap();
    assert!(!report.is_graceful());
    assert_eq!(paths(&report), ["server/deaf", "server/host", "server/host/pool/deaf"]);
    assert_eq!(asked.reason(), Some(CancelReason::Explicit("asked twice".into())));
    assert_eq!(crank.sleeps(), 0);
}

pub async fn so_it_is_if_there_was_no_signal_yet(t: &Test) {
    let (_, spawner) = cranked(t);
    let (group, begun) = (TaskGroup::new(spawner), Tally::new());
    group.launch(t.waiting(&begun));
    begun.take(1).await;
    let all = group.group();
    let shutdown = group.shutdown_when(pending::<()>(), at(5));
    all.cancel();
    assert_eq!(shutdown.await.unwrap().forced().len(), 1);
}

pub async fn a_cancel_before_it_forces_nobody(t: &Test) {
    let (_, spawner) = cranked(t);
    for stopped in [false, true] {
        let (group, begun) = (TaskGroup::new(spawner.clone()), Tally::new());
        group.launch(t.waiting(&begun));
        begun.take(1).await;
        if stopped {
            group.stop();
        }
        group.cancel();
        assert!(group.shutdown(at(5)).await.unwrap().is_graceful());
    }
}

/// The cancel was not part of the shutdown, but whoever is left when the grace is over has outlasted it.
pub async fn whoever_outlasts_the_grace_is_in_the_report_whoever_cancelled(t: &Test) {
    for early in [true, false] {
        let (crank, spawner) = cranked(t);
        let host = TaskGroup::new(spawner.clone());
        let (gate, there, opened) = (Gate::new(), Tally::new(), async_channel::bounded(1));
        let section = {
            let (gate, there) = (gate.clone(), there.clone());
            t.child(async move {
                there.add();
                gate.wait().await;
            })
        };
        host.launch(t.child(async move {
            let group = TaskGroup::new(spawner);
            group.child().name("deaf").shielded().launch(section);
            opened.0.send(group).await.unwrap();
            pending::<()>().await;
        }));
        let group: TaskGroup<_> = opened.1.recv().await.unwrap();
        there.take(1).await;
        if early {
            host.cancel();
        }
        let mut shutdown = group.shutdown(at(5));
        assert!(poll_once(&mut shutdown).await.is_none());
        if !early {
            host.cancel();
        }
        crank.to(5);
        assert!(poll_once(&mut shutdown).await.is_none());
        gate.open();
        let report = shutdown.await.unwrap();
        assert_eq!(report.forced().iter().map(|origin| origin.name()).collect::<Vec<_>>(), [Some("deaf")]);
        host.join().await.unwrap();
    }
}

/// Another thread spawns until it is refused.
pub async fn nobody_who_comes_while_it_is_cancelled_is_missing_in_the_report(t: &Test) {
    for _ in 0..t.pick(50, 5) {
        let (_, spawner) = cranked(t);
        let group = TaskGroup::<_, Infallible>::new(spawner);
        let (own, all) = (group.group(), group.group());
        let shutdown = group.shutdown_when(pending::<()>(), at(5));
        let spawning = std::thread::spawn(move || {
            (0..).find(|_| own.try_spawn(pending::<()>()).is_err()).expect("it is cancelled some time")
        });
        while all.len() < 10 {
            yield_now().await;
        }
        all.cancel();
        let spawned: usize = spawning.join().unwrap();
        let report = shutdown.await.unwrap();
        assert_eq!(report.forced().len() + report.more(), spawned);
    }
}

/// A signal that panics, in its poll or not, and again when it is dropped.
struct Broken {
    polled: bool,
}

impl Future for Broken {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.polled { quiet_panic("a signal") } else { Poll::Pending }
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        quiet_panic("the destructor of a signal")
    }
}

pub async fn a_signal_that_panics_loses_nothing(t: &Test) {
    let (_, spawner) = cranked(t);
    let group = TaskGroup::fallible(spawner.clone());
    group.launch(t.child(async { Err::<(), _>("disk full") }));
    let error = group.shutdown_when(Broken { polled: false }, at(5)).await.unwrap_err();
    assert_eq!(errors(&error), ["disk full"]);

    let group = TaskGroup::new(spawner.clone());
    group.launch(t.child(async { quiet_panic("a child") }));
    assert_eq!(panic_text(group.shutdown_when(Broken { polled: false }, at(5))).await, "a child");

    let group = TaskGroup::new(spawner.clone());
    group.launch(t.stuck());
    assert_eq!(panic_text(group.shutdown_when(Broken { polled: true }, at(5))).await, "a signal");

    // The group has ended when the panic is raised, which gives way to that of a child.
    let (group, there) = (TaskGroup::new(spawner.clone()), Tally::new());
    group.launch(t.waiting(&there));
    there.take(1).await;
    assert_eq!(panic_text(group.shutdown_when(Broken { polled: true }, at(5))).await, "a signal");
    assert_eq!(t.ledger.read().alive(), 0);
    let group = TaskGroup::builder::<Infallible>(spawner.clone()).collect().open();
    let broken = group.spawn(t.child(async { quiet_panic("a child") as Result<(), _> }));
    assert!(broken.await.is_err());
    group.launch(t.stuck());
    assert_eq!(panic_text(group.shutdown_when(Broken { polled: true }, at(5))).await, "a child");

    // Dropped together with what unwinds.
    let group = TaskGroup::new(spawner);
    group.launch(t.stuck());
    let shutdown = group.shutdown_when(Broken { polled: false }, at(5));
    let host = async {
        let _dropped = shutdown;
        quiet_panic("the host") as ()
    };
    assert_eq!(panic_text(host).await, "the host");
    t.nothing_alive().await;
}

pub async fn on_a_signal_it_begins_with_the_signal(t: &Test) {
    let (crank, spawner) = cranked(t);
    let (group, gate, begun) = (TaskGroup::new(spawner), Gate::new(), Tally::new());
    group.child().name("deaf").launch(t.waiting(&begun));
    group.launch(polite(t, &group, "bye"));
    begun.take(1).await;
    let (all, opens) = (group.group(), gate.clone());
    let mut shutdown = Box::pin(group.shutdown_when(async move { opens.wait().await }, at(5)));
    assert!(poll_once(shutdown.as_mut()).await.is_none());
    assert!(!all.is_stopping() && !all.is_closed() && crank.sleeps() == 0, "it only joins");
    gate.open();
    let driver = async {
        all.stopping().await;
        while all.len() > 1 {
            yield_now().await;
        }
        crank.to(5);
    };
    let report = zip(shutdown, driver).await.0.unwrap();
    assert_eq!(report.forced().iter().map(|origin| origin.name()).collect::<Vec<_>>(), [Some("deaf")]);
    assert_eq!((t.log.lines(), crank.sleeps()), (vec!["bye".into()], 0));
}

pub async fn a_group_that_ends_does_not_wait_for_the_signal(t: &Test) {
    let (crank, spawner) = cranked(t);
    let group = TaskGroup::new(spawner.clone());
    group.child().background().launch(t.stuck());
    group.launch(t.child(async {}));
    assert!(group.shutdown_when(t.child(pending::<()>()), at(5)).await.unwrap().is_graceful());

    let (group, begun) = (TaskGroup::fallible(spawner), Tally::new());
    group.launch(t.waiting(&begun));
    begun.take(1).await;
    group.launch(t.child(async { Err::<(), _>("disk full") }));
    let error = group.shutdown_when(t.child(pending::<()>()), at(5)).await.unwrap_err();
    assert_eq!((errors(&error), crank.sleeps()), (vec!["disk full"], 0));
}

pub async fn dropped_before_its_signal_it_cancels(t: &Test) {
    let (_, spawner) = cranked(t);
    let (group, begun) = (TaskGroup::new(spawner), Tally::new());
    let member = group.group();
    group.launch(t.waiting(&begun));
    begun.take(1).await;
    let mut shutdown = Box::pin(group.shutdown_when(t.child(pending::<()>()), at(5)));
    assert!(poll_once(shutdown.as_mut()).await.is_none());
    drop(shutdown);
    assert_eq!(member.reason(), Some(CancelReason::ScopeDropped));
    t.nothing_alive().await;
}
