//! What a snapshot of a group reports, and what it looks like.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/nest.rs"]
mod nest;

mod blame;
mod trees;
mod warn_after;

use std::future::{Future, pending, poll_fn};
use std::num::NonZero;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use smol::Executor;
use taskgroup::group::{Asked, MemberKind, MemberState, MemberView, Snapshot};
use taskgroup::{CancelReason, Group, Smol, TaskGroup, scope, shield};

type Ex = Arc<Executor<'static>>;

/// Runs `f` on a thread of its own, and fails if it takes too long.
fn watched<T: Send + 'static>(stack: usize, f: impl FnOnce() -> T + Send + 'static) -> T {
    common::watched(thread::Builder::new().stack_size(stack), Duration::from_secs(120), f)
}

const STACK: usize = 8 << 20;

/// Runs everything that can run on this executor.
fn settle(executor: &Ex) {
    while executor.try_tick() {}
}

/// Polls once in place of the executor, whatever the result.
fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn line(snapshot: &Snapshot, nth: usize) -> String {
    snapshot.to_string().lines().nth(nth).unwrap_or_default().to_string()
}

fn named<'a>(snapshot: &'a Snapshot, name: &str) -> MemberView<'a> {
    snapshot.members().find(|member| member.name() == Some(name)).unwrap()
}

#[test]
fn the_culprit_of_a_stuck_program_is_in_the_second_line() {
    watched(STACK, || {
        let executor = Ex::default();
        let server = TaskGroup::builder::<()>(executor.clone()).name("server").observe_polls().open();
        server.child().name("ticker").background().launch(pending::<()>());
        for _ in 0..100 {
            server.launch(pending::<()>());
        }
        let on = executor.clone();
        server.child().name("conn 17").launch(async move {
            let inner = scope(on, async |group: Group<Ex, ()>| {
                group.child().name("reader").launch(shield(pending::<()>()));
                group.child().name("writer").launch(pending::<()>());
                Ok(())
            });
            drop(inner.name("pumps").await);
        });
        settle(&executor);
        server.cancel_with("shutting down");
        settle(&executor);

        let snapshot = server.snapshot();
        let text = snapshot.to_string();
        println!("{text}");
        assert_eq!(snapshot.culprits()[0].name(), Some("reader"));
        assert_eq!(snapshot.culprits().len(), 1);
        assert!(line(&snapshot, 0).starts_with("group \"server\" at tests/snapshot/main.rs:"), "{text}");
        assert!(line(&snapshot, 0).contains("is still open: 1 child, cancelled"), "{text}");
        assert!(line(&snapshot, 0).contains("(shutting down)"), "{text}");
        let culprit = line(&snapshot, 1);
        assert!(
            culprit.starts_with("held up by server/conn 17/pumps/reader, child 1, spawned at tests/"),
            "{text}"
        );
        assert!(culprit.contains("under a shield") && culprit.contains("asked to end"), "{text}");
        let asks = "(shutting down); does it wait for what a frozen member holds?";
        assert!(culprit.ends_with(asks), "{text}");

        let conn = named(&snapshot, "conn 17");
        assert_eq!(conn.state(), MemberState::Frozen);
        let reason = CancelReason::Explicit("shutting down".into());
        assert_eq!(conn.asked(), Some(Asked::Group(&reason)));
        let pumps = conn.groups().next().unwrap();
        assert_eq!(pumps.reason(), Some(&CancelReason::Parent));
        assert_eq!(pumps.opener().unwrap().child(), conn.child());
        assert_eq!(named(&snapshot, "reader").origin().path(), Some("server/conn 17/pumps/reader"));
    });
}

#[test]
fn each_kind_and_state_is_told() {
    watched(STACK, || {
        let executor = Ex::default();
        let two = NonZero::new(2).unwrap();
        let group = TaskGroup::builder::<()>(executor.clone()).limit(two).open();
        let member = group.group();
        group.child().name("deferring").launch(async move {
            member.defer(pending::<()>());
            member.defer(pending::<()>());
            pending::<()>().await;
        });
        settle(&executor);
        group.child().name("shielded").launch(shield(pending::<()>()));
        let queued = group.child().name("queued").spawn(pending::<()>());
        group.child().name("service").background().launch(pending::<()>());
        group.on(Smol).adopt(smol::spawn(pending::<()>()));
        settle(&executor);

        let snapshot = group.snapshot();
        let at = |name| (named(&snapshot, name).kind(), named(&snapshot, name).state());
        assert_eq!(at("deferring"), (MemberKind::Ordinary, MemberState::Active));
        assert_eq!(at("shielded"), (MemberKind::Ordinary, MemberState::Shielded));
        assert_eq!(at("queued"), (MemberKind::Ordinary, MemberState::Queued));
        assert_eq!(at("service"), (MemberKind::Background, MemberState::Active));
        assert!(snapshot.members().any(|member| member.kind() == MemberKind::Adopted));
        let root = snapshot.group();
        assert_eq!((root.limit(), root.places_taken(), root.len()), (Some(2), Some(2), 4));
        assert_eq!(snapshot.members().filter(|member| member.kind() == MemberKind::Cleanup).count(), 2);
        assert!(snapshot.members().all(|member| member.since().is_none() && member.polls().is_none()));

        // The child is cancelled and not gone, because no thread drives the executor.
        queued.cancel();
        let snapshot = group.snapshot();
        assert_eq!(at_now(&snapshot, "queued"), MemberState::Cancelled);
        assert_eq!(named(&snapshot, "queued").asked(), Some(Asked::Alone));

        group.cancel();
        settle(&executor);
        let snapshot = group.snapshot();
        println!("{snapshot}");
        let states: Vec<_> = snapshot
            .members()
            .filter(|member| member.kind() == MemberKind::Cleanup)
            .map(MemberView::state)
            .collect();
        assert_eq!(states, [MemberState::Waiting, MemberState::CleaningUp]);
    });
}

fn at_now(snapshot: &Snapshot, name: &str) -> MemberState {
    named(snapshot, name).state()
}

#[test]
fn a_child_that_blocks_is_shown_as_blocking() {
    watched(STACK, || {
        let group = TaskGroup::new(Smol);
        let (release, released) = mpsc::channel::<()>();
        group.child().name("hash").spawn_blocking(move || released.recv().unwrap_or(()));
        let snapshot = group.snapshot();
        assert_eq!(named(&snapshot, "hash").kind(), MemberKind::Blocking);
        assert!(line(&snapshot, 1).contains("hash, child 1, blocking, spawned at"), "{snapshot}");
        drop(release);
        smol::block_on(group.join()).unwrap();
    });
}

#[test]
fn the_body_of_a_scope_is_a_member() {
    watched(STACK, || {
        let executor = Ex::default();
        let (give, take) = mpsc::channel();
        let mut open = pin!(scope(executor.clone(), |group: Group<Ex, ()>| {
            give.send(group).unwrap();
            pending::<Result<(), ()>>()
        }));
        assert!(poll(open.as_mut()).is_pending());
        let group = take.recv().unwrap();
        let snapshot = group.snapshot();
        let body = snapshot.members().next().unwrap();
        assert_eq!((body.kind(), body.child()), (MemberKind::Body, None));
        assert!(snapshot.group().is_awaited());
        assert!(line(&snapshot, 1).starts_with("held up by the body of the scope at tests/"), "{snapshot}");
    });
}

#[test]
fn nothing_is_known_of_the_polls_of_a_body_where_they_are_not_observed() {
    watched(STACK, || {
        let (give, take) = mpsc::channel();
        let mut open = pin!(scope(Ex::default(), |group: Group<Ex, ()>| {
            give.send(group).unwrap();
            pending::<Result<(), ()>>()
        }));
        assert!(poll(open.as_mut()).is_pending());
        let snapshot = take.recv().unwrap().snapshot();
        let body = snapshot.members().next().unwrap();
        assert_eq!((body.kind(), body.polls(), body.age()), (MemberKind::Body, None, None));
    });
}

#[test]
fn who_is_in_a_poll_is_known_where_polls_are_observed() {
    watched(STACK, || {
        let executor = Ex::default();
        let group = TaskGroup::builder::<()>(executor.clone()).observe_polls().open();
        let (inside, seen) = (group.group(), Arc::new(Mutex::new(None)));
        let slot = seen.clone();
        group.child().name("idle").launch(pending::<()>());
        group.child().name("looking").launch(async move {
            *slot.lock().unwrap() = Some(inside.snapshot());
        });
        assert_eq!(named(&group.snapshot(), "idle").polls(), Some(0));
        assert!(group.snapshot().to_string().contains("never polled"));
        let before = Duration::from_millis(20);
        thread::sleep(before);
        settle(&executor);
        let snapshot = seen.lock().unwrap().take().unwrap();
        assert_eq!(at_now(&snapshot, "idle"), MemberState::Idle);
        assert_eq!(at_now(&snapshot, "looking"), MemberState::Running);
        assert_eq!(named(&snapshot, "looking").polls(), Some(1));
        let looking = named(&snapshot, "looking");
        assert!(
            looking.age().unwrap() >= looking.since().unwrap() + before,
            "in this poll only since it began"
        );
    });
}

#[test]
fn a_child_that_is_cancelled_again_has_been_cancelled_since_the_first_time() {
    watched(STACK, || {
        let executor = Ex::default();
        let group = TaskGroup::builder::<()>(executor.clone()).observe_polls().open();
        let stubborn = group.child().name("stubborn").spawn(shield(pending::<()>()));
        settle(&executor);
        stubborn.cancel();
        let since = || named(&group.snapshot(), "stubborn").cancelled_for().unwrap();
        while since() < Duration::from_millis(50) {
            thread::yield_now();
        }
        stubborn.cancel();
        assert!(since() >= Duration::from_millis(50));
    });
}

#[test]
fn a_child_that_is_cut_stays_frozen_when_another_such_child_has_gone() {
    watched(STACK, || {
        let executor = Ex::default();
        let group = TaskGroup::new(executor.clone());
        let (spawner, (tell, wakers)) = (executor.clone(), mpsc::channel());
        let held = group.child().name("held").spawn(async move {
            let mut inner = pin!(scope(spawner, |inner: Group<Ex, ()>| async move {
                inner.launch(shield(pending::<()>()));
                pending::<Result<(), ()>>().await
            }));
            let polled = poll_fn(|cx| {
                tell.send(cx.waker().clone()).unwrap();
                inner.as_mut().poll(cx)
            });
            drop(polled.await);
        });
        let other = group.spawn(pending::<()>());
        settle(&executor);
        held.cancel();
        other.cancel();
        settle(&executor);
        assert_eq!(group.len(), 1);
        wakers.try_iter().last().unwrap().wake();
        settle(&executor);
        assert_eq!(wakers.try_iter().count(), 0, "it was polled");
        assert_eq!(at_now(&group.snapshot(), "held"), MemberState::Frozen);
    });
}

#[test]
fn a_body_is_frozen_with_the_member_that_awaits_it() {
    watched(STACK, || {
        let executor = Ex::default();
        let group = TaskGroup::new(executor.clone());
        let spawner = executor.clone();
        let host = group.spawn(async move {
            let inner = scope(spawner, |inner: Group<Ex, ()>| async move {
                let (_sender, receiver) = async_channel::bounded::<()>(1);
                // It ends with the body, and the body after it.
                let waits = shield(async move { _ = receiver.recv().await });
                inner.child().name("waits").launch(waits);
                pending::<Result<(), ()>>().await
            });
            drop(inner.name("inner").await);
        });
        settle(&executor);
        assert!(!line(&group.snapshot(), 1).contains("frozen"));
        host.cancel();
        settle(&executor);

        let snapshot = group.snapshot();
        let text = snapshot.to_string();
        let body = snapshot.members().find(|member| member.kind() == MemberKind::Body).unwrap();
        assert_eq!(body.state(), MemberState::Frozen);
        assert!(text.contains("the body: cancelled, and frozen with the member that awaits it"), "{text}");
        assert!(text.contains("cancelled, and frozen until the groups opened in it have ended"), "{text}");
        let culprit = line(&snapshot, 1);
        assert!(culprit.starts_with("held up by inner/waits, child 1, "), "{text}");
        assert!(culprit.ends_with("; does it wait for what a frozen member holds?"), "{text}");
        assert_eq!(snapshot.culprits().len(), 1);
    });
}

#[test]
fn a_body_that_blocks_its_thread_is_to_blame_also_in_a_frozen_member() {
    watched(STACK, || {
        let executor = Ex::default();
        let group = TaskGroup::builder::<()>(executor.clone()).observe_polls().open();
        let ((tell, begun), (release, released)) = (mpsc::channel(), mpsc::channel::<()>());
        let spawner = executor.clone();
        group.launch(async move {
            let inner = scope(spawner, |inner: Group<Ex, ()>| async move {
                inner.launch(pending::<()>());
                tell.send(()).unwrap();
                released.recv().unwrap();
                Ok(())
            });
            drop(inner.name("inner").await);
        });
        let driver = executor.clone();
        let runs = thread::spawn(move || settle(&driver));
        begun.recv().unwrap();
        group.cancel();
        let snapshot = loop {
            let snapshot = group.snapshot();
            if snapshot.culprits()[0].kind() == MemberKind::Body {
                break snapshot;
            }
            thread::yield_now();
        };
        assert!(line(&snapshot, 1).contains("the body of inner, opened at"), "{snapshot}");
        assert!(line(&snapshot, 1).contains("in one poll for"), "{snapshot}");
        assert!(!snapshot.to_string().contains("a frozen member"), "{snapshot}");
        release.send(()).unwrap();
        runs.join().unwrap();
        settle(&executor);
        smol::block_on(group.join()).unwrap();
    });
}

#[test]
fn groups_inside_are_observed_as_well() {
    watched(STACK, || {
        let executor = Ex::default();
        let group = TaskGroup::builder::<()>(executor.clone()).observe_polls().open();
        let on = executor.clone();
        group.launch(async move {
            let inner = TaskGroup::new(on);
            inner.child().name("inner").launch(pending::<()>());
            drop(inner.join().await);
        });
        settle(&executor);
        assert_eq!(at_now(&group.snapshot(), "inner"), MemberState::Idle);
    });
}

#[test]
fn a_group_whose_opener_has_ended_is_not_cancelled_for_what_comes_later() {
    watched(STACK, || {
        let executor = Ex::default();
        let group = TaskGroup::new(executor.clone());
        let (on, (carry, carried)) = (executor.clone(), mpsc::channel());
        group.launch(async move {
            let inner = TaskGroup::new(on);
            inner.child().shielded().launch(pending::<()>());
            carry.send(inner).unwrap();
        });
        settle(&executor);
        let _inner = carried.recv().unwrap();
        group.cancel_with("much later");
        let text = group.snapshot().to_string();
        assert!(text.contains("asked to end along with what is around its group\n"), "{text}");
    });
}

#[test]
fn a_group_that_nobody_joins_says_so() {
    let group = TaskGroup::new(Smol);
    let snapshot = group.snapshot();
    assert_eq!(line(&snapshot, 1), "held up by nobody: it ends when its owner joins or drops it");
    assert!(line(&snapshot, 0).ends_with("is still open: no children, nobody waits for it"), "{snapshot}");
    assert!(snapshot.culprits().is_empty());
    let handle = group.group();
    smol::block_on(group.join()).unwrap();
    assert!(line(&handle.snapshot(), 0).ends_with("has ended: no children"), "{}", handle.snapshot());
}

#[test]
fn a_group_that_was_dropped_has_ended_when_nothing_is_left_in_it() {
    watched(STACK, || {
        let executor = Ex::default();
        let group = TaskGroup::new(executor.clone());
        let handle = group.group();
        handle.launch(std::future::pending::<()>());
        drop(group);
        let ends = |nth, end: &str| {
            let snapshot = handle.snapshot();
            assert!(line(&snapshot, nth).contains(end), "{snapshot}");
        };
        ends(0, " was dropped by its owner and is still open: 1 child, cancelled");
        settle(&executor);
        ends(0, " was dropped by its owner and has ended: no children, cancelled");
        assert_eq!(handle.snapshot().to_string().lines().count(), 1, "{}", handle.snapshot());
    });
}

#[test]
fn those_who_wait_to_spawn_are_counted() {
    watched(STACK, || {
        let executor = Ex::default();
        let group = TaskGroup::builder::<()>(executor.clone()).limit(NonZero::new(1).unwrap()).open();
        let holder = group.spawn(std::future::pending::<()>());
        let mut waiting: Vec<_> =
            (0..3).map(|_| Box::pin(group.spawn_when_free(std::future::pending::<()>()))).collect();
        for (waiting, told) in
            waiting.iter_mut().zip([", 1 task waits to spawn,", ", 2 tasks wait to spawn,", ", 3 tasks"])
        {
            assert!(poll(waiting.as_mut()).is_pending());
            assert!(line(&group.snapshot(), 0).contains(told), "{}", group.snapshot());
        }
        waiting.pop();
        assert_eq!(group.snapshot().group().waiting_to_spawn(), 2);
        holder.cancel();
        settle(&executor);
        let snapshot = group.snapshot();
        assert_eq!(snapshot.group().waiting_to_spawn(), 1, "one of them has a place");
        assert_eq!((snapshot.group().places_taken(), snapshot.group().places_kept()), (Some(1), Some(1)));
        let kept = "1 of 1 places taken, 1 of them kept for whoever waited to spawn, 1 task waits";
        assert!(line(&snapshot, 0).contains(kept), "{snapshot}");
        assert!(poll(waiting[0].as_mut()).is_ready());
        assert_eq!(group.snapshot().group().places_kept(), Some(0));
        let next = Box::pin(group.spawn_when_free(std::future::pending::<()>()));
        waiting.push(next);
        waiting.drain(..).for_each(drop);
        assert_eq!(group.snapshot().group().places_kept(), Some(0));
    });
}

#[test]
fn a_name_is_shown_in_one_line_and_short() {
    watched(STACK, || {
        let executor = Ex::default();
        let group = TaskGroup::builder::<()>(executor.clone()).name("a\nb").open();
        group.child().name("\u{1b}[2J\r\u{202e}evil").launch(pending::<()>());
        group.child().name("x".repeat(10 << 20)).launch(pending::<()>());
        group.cancel_with(format!("line\nbreak {}", "y".repeat(10 << 20)));
        let snapshot = group.snapshot();
        let text = snapshot.to_string();
        assert!(text.len() < 4096, "{} bytes", text.len());
        assert!(text.contains(r"\u{1b}[2J\r\u{202e}evil") && text.contains(r"a\nb"), "{text}");
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        assert!(text.contains(&format!("{}…", "x".repeat(64))), "{text}");
        assert!(text.contains(r"line\nbreak yyy"), "{text}");
        assert_eq!(named(&snapshot, "\u{1b}[2J\r\u{202e}evil").child(), Some(1));
        drop(group);
        settle(&executor);
    });
}

#[test]
fn members_that_are_alike_are_counted() {
    watched(STACK, || {
        let executor = Ex::default();
        let group = TaskGroup::new(executor.clone());
        for _ in 0..10_000 {
            group.launch(pending::<()>());
        }
        let snapshot = group.snapshot();
        let text = snapshot.to_string();
        assert_eq!(snapshot.members().len(), 10_000);
        assert!(line(&snapshot, 1).ends_with("… and 9,999 more like it"), "{text}");
        assert!(text.ends_with("└─ … and 9,997 more like it\n"), "{text}");
        assert_eq!(text.lines().count(), 8, "{text}");
    });
}
