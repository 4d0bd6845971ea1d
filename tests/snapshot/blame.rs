//! Whom a snapshot blames where members wait for each other, and how it says which one it is.

use std::future::pending;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use futures_lite::future::yield_now;
use taskgroup::group::MemberState;
use taskgroup::{Group, TaskGroup, scope, shield};

use super::{Ex, STACK, line, named, settle, watched};

/// Opens a group with this name in which polls are observed.
fn observed(executor: &Ex) -> TaskGroup<Ex, ()> {
    TaskGroup::builder::<()>(executor.clone()).name("server").observe_polls().open()
}

#[test]
fn a_section_under_a_shield_is_to_blame_after_whom_it_waits_for() {
    watched(STACK, || {
        let executor = Ex::default();
        let group = observed(&executor);
        let on = executor.clone();
        group.child().name("host").launch(async move {
            // Three levels, none of which the cancel reaches.
            let inner = scope(on.clone(), |outer: Group<Ex, ()>| async move {
                outer.child().name("half-way").launch(async move {
                    let inner = scope(on, |inner: Group<Ex, ()>| async move {
                        inner.child().name("guilty").launch(pending::<()>());
                        Ok(())
                    });
                    inner.await.unwrap();
                });
                Ok(())
            });
            shield(inner).await.unwrap();
        });
        let late = executor.clone();
        group.child().name("alike").launch(async move {
            let group = TaskGroup::new(late);
            group.child().background().launch(pending::<()>());
            shield(pending::<()>()).await;
        });
        settle(&executor);
        group.cancel_with("shutting down");
        settle(&executor);
        let snapshot = group.snapshot();
        let names: Vec<_> = snapshot.culprits().into_iter().map(|member| member.name().unwrap()).collect();
        assert_eq!(&names[2..], ["host", "half-way"], "{snapshot}");
        assert!(names[..2].contains(&"guilty") && names[..2].contains(&"alike"), "{snapshot}");
        let text = snapshot.to_string();

        let guilty = text.lines().find(|line| line.contains("half-way/guilty")).unwrap_or(&text);
        assert!(
            guilty.ends_with("; asked to stop; what is around its group was cancelled (shutting down)"),
            "{text}"
        );
    });
}

#[test]
fn helpers_that_nobody_waits_for_are_not_to_blame() {
    watched(STACK, || {
        let executor = Ex::default();
        let group = observed(&executor);
        let on = executor.clone();
        group.child().name("stuck").launch(shield(async move {
            let helpers = TaskGroup::new(on);
            helpers.child().name("logger").launch(pending::<()>());
            pending::<()>().await;
        }));
        settle(&executor);
        group.cancel();
        settle(&executor);
        let snapshot = group.snapshot();
        assert!(line(&snapshot, 1).starts_with("held up by server/stuck, "), "{snapshot}");
        let logger = line(&snapshot, 2);
        assert!(logger.contains("server/stuck/logger, "), "{snapshot}");
        assert!(
            logger.ends_with("; asked to stop; what is around its group was cancelled (by hand)"),
            "{logger}"
        );
    });
}

#[test]
fn whoever_comes_after_a_cancel_is_only_asked_to_stop() {
    struct Defers(Group<Ex>);

    impl Drop for Defers {
        fn drop(&mut self) {
            self.0.defer(pending::<()>());
        }
    }

    watched(STACK, || {
        let executor = Ex::default();
        let group = TaskGroup::new(executor.clone());
        let defers = Defers(group.group());
        group.child().name("last words").launch(async move {
            let _defers = defers;
            pending::<()>().await
        });
        settle(&executor);
        group.cancel_with("that is all");
        settle(&executor);
        let snapshot = group.snapshot();
        assert!(line(&snapshot, 1).starts_with("held up by last words, child 2, a clean-up, "), "{snapshot}");
        assert!(
            line(&snapshot, 1).ends_with("; asked to stop; its group was cancelled (that is all)"),
            "{snapshot}"
        );
    });
}

#[test]
fn of_bodies_in_bodies_the_innermost_one_is_to_blame_that_blocks() {
    watched(STACK, || {
        let executor = Ex::default();
        let group = observed(&executor);
        let ((tell, begun), (release, released)) = (mpsc::channel(), mpsc::channel::<()>());
        let on = executor.clone();
        group.child().name("host").launch(async move {
            let outer = scope(on.clone(), |_: Group<Ex, ()>| async move {
                let inner = scope(on, |_: Group<Ex, ()>| async move {
                    tell.send(()).unwrap();
                    released.recv().unwrap();
                    Ok(())
                });
                inner.name("inner").await.unwrap();
                Ok(())
            });
            outer.name("outer").await.unwrap();
        });
        let driver = executor.clone();
        let runs = thread::spawn(move || settle(&driver));
        begun.recv().unwrap();
        let snapshot = loop {
            let snapshot = group.snapshot();
            if snapshot.members().all(|member| member.since() > Some(Duration::from_millis(100))) {
                break snapshot;
            }
            thread::yield_now();
        };
        release.send(()).unwrap();
        assert!(line(&snapshot, 1).contains("the body of server/host/outer/inner"), "{snapshot}");
        assert!(line(&snapshot, 2).contains("in one poll for"), "the others are there as well: {snapshot}");
        runs.join().unwrap();
    });
}

#[test]
fn whoever_is_polled_without_end_comes_first() {
    watched(STACK, || {
        let executor = Ex::default();
        let group = observed(&executor);
        for number in 0..10 {
            group.child().name(format!("conn {number}")).launch(async move {
                if number == 3 {
                    loop {
                        yield_now().await;
                    }
                }
                pending::<()>().await
            });
        }
        let polls = |group: &TaskGroup<Ex, ()>| named(&group.snapshot(), "conn 3").polls().unwrap();
        while polls(&group) < 50_000 {
            (0..1_000).for_each(|_| _ = executor.try_tick());
        }
        let snapshot = group.snapshot();
        assert!(line(&snapshot, 1).contains("held up by server/conn 3, "), "{snapshot}");
        assert!(line(&snapshot, 1).contains(", polled 5"), "{snapshot}");
        assert!(line(&snapshot, 2).ends_with("… and 8 more like it"), "{snapshot}");
    });
}

#[test]
fn a_clean_up_has_the_name_of_whom_it_cleans_up_after() {
    watched(STACK, || {
        let executor = Ex::default();
        let group = TaskGroup::builder::<()>(executor.clone()).name("server").open();
        for number in 0..50 {
            let own = group.group();
            group.child().name(format!("conn {number}")).launch(async move {
                own.defer(async move {
                    if number == 17 {
                        pending::<()>().await
                    }
                });
                pending::<()>().await
            });
        }
        settle(&executor);
        group.cancel();
        settle(&executor);
        let snapshot = group.snapshot();
        assert!(line(&snapshot, 1).starts_with("held up by server/conn 17, child "), "{snapshot}");
        assert!(line(&snapshot, 1).contains(", a clean-up, registered at "), "{snapshot}");
    });
}

#[test]
fn a_culprit_is_in_the_tree_however_many_are_alike() {
    watched(STACK, || {
        let executor = Ex::default();
        let group = TaskGroup::new(executor.clone());
        for number in 0..50 {
            let on = executor.clone();
            group.launch(async move {
                let inner = scope(on, |inner: Group<Ex, ()>| async move {
                    inner.launch(async move {
                        if number == 33 {
                            shield(pending::<()>()).await
                        }
                        pending::<()>().await
                    });
                    Ok(())
                });
                _ = inner.await;
            });
        }
        settle(&executor);
        group.cancel();
        // Only some of them are let go of.
        let snapshot = group.snapshot();
        let text = snapshot.to_string();
        let shielded = snapshot.members().find(|member| member.state() == MemberState::Shielded).unwrap();
        assert_eq!(shielded.group().opener().unwrap().child(), Some(34));
        assert!(
            text.contains("held up by #34/#1, child 1, spawned at") || text.contains("and #34/#1, "),
            "{text}"
        );
        assert!(text.lines().any(|line| line.starts_with("└─ child 34, ")), "{text}");
        assert!(text.contains("├─ … and 46 more like it"), "{text}");
    });
}

#[test]
fn services_that_nobody_joins_are_left_to_the_owner() {
    watched(STACK, || {
        let executor = Ex::default();
        let group = TaskGroup::new(executor.clone());
        group.child().background().launch(pending::<()>());
        settle(&executor);
        let owner = "held up by nobody: it ends when its owner joins or drops it";
        assert_eq!(line(&group.snapshot(), 1), owner);
        group.stop();
        assert_eq!(line(&group.snapshot(), 1), owner);
    });
}

#[test]
fn work_that_blocks_is_under_no_shield_of_the_users() {
    watched(STACK, || {
        let group = TaskGroup::new(taskgroup::Smol);
        let (release, released) = mpsc::channel::<()>();
        group.child().name("hash").spawn_blocking(move || released.recv().unwrap_or(()));
        group.child().name("old").adopt(smol::spawn(pending::<()>()));
        let lines = [": its work has not returned", ": its task has not ended"];
        let text = loop {
            let text = group.snapshot().to_string();
            if lines.iter().all(|line| text.contains(line)) {
                break text;
            }
            thread::yield_now();
        };
        assert!(!text.contains("shield"), "{text}");
        drop(release);
    });
}

#[test]
fn what_a_frozen_member_holds_is_asked_for_however_far_out_it_is() {
    watched(STACK, || {
        let executor = Ex::default();
        let group = TaskGroup::new(executor.clone());
        let on = executor.clone();
        group.child().name("host").launch(async move {
            let (_sender, receiver) = async_channel::bounded::<()>(1);
            let inner = scope(on.clone(), |inner: Group<Ex, ()>| async move {
                inner.launch(async move {
                    let left = TaskGroup::new(on);
                    left.child().name("waits").launch(shield(async move { _ = receiver.recv().await }));
                    yield_now().await;
                });
                Ok(())
            });
            _ = inner.await;
        });
        settle(&executor);
        group.cancel();
        settle(&executor);
        let snapshot = group.snapshot();
        let opener = named(&snapshot, "waits").group().opener().unwrap();
        assert_eq!(
            (opener.state(), named(&snapshot, "host").state()),
            (MemberState::Gone, MemberState::Frozen)
        );
        assert!(line(&snapshot, 1).contains("/waits, "), "{snapshot}");
        assert!(line(&snapshot, 1).ends_with("; does it wait for what a frozen member holds?"), "{snapshot}");
    });
}

#[cfg(feature = "tokio")]
#[test]
fn work_that_outlives_its_runtime_is_no_clean_up() {
    watched(STACK, || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let group = TaskGroup::new(runtime.handle().clone());
        let ((tell, begun), (release, released)) = (mpsc::channel(), mpsc::channel::<()>());
        group.child().name("hash").spawn_blocking(move || {
            tell.send(()).unwrap();
            released.recv().unwrap_or(())
        });
        runtime.block_on(async { tokio::task::yield_now().await });
        begun.recv().unwrap();
        runtime.shutdown_background();
        let snapshot = group.snapshot();
        assert_eq!(named(&snapshot, "hash").kind(), taskgroup::group::MemberKind::Blocking);
        assert!(
            line(&snapshot, 1).contains("its runtime is gone, and its work has not returned"),
            "{snapshot}"
        );
        drop(release);
        smol::block_on(group.join()).unwrap_err();
    });
}
