//! What a subscriber is told of groups and children.

mod common;
#[path = "common/nest.rs"]
mod nest;
#[path = "common/seen.rs"]
mod seen;

use std::fmt::Debug;
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use smol::Executor;
use smol::future::poll_once;
use taskgroup::group::MemberState;
use taskgroup::{Group, Smol, TaskGroup, scope, shield};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;

use self::nest::nest;
use self::seen::seen;

type Ex = Arc<Executor<'static>>;

/// Runs `f` on a separate thread, and fails if it takes too long.
fn watched<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    common::watched(thread::Builder::new(), Duration::from_secs(60), f)
}

#[test]
fn parents_are_right_across_runtimes() {
    let log = seen(|| {
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let handle = tokio.handle().clone();
        let outer = tracing::debug_span!("outer");
        let group = outer.in_scope(|| TaskGroup::builder::<()>(Smol).name("server").open());
        group.on(handle.clone()).child().name("a").launch(async move {
            let inner = scope(Smol, async |group: Group<Smol, ()>| {
                group.on(handle.clone()).child().name("b").launch(async {});
                Ok(())
            });
            inner.name("pumps").await.unwrap();
        });
        smol::block_on(group.join()).unwrap();
    });
    assert_eq!(log.around("group name=\"server\""), Some("outer"));
    assert_eq!(log.around("child child=1 name=\"a\""), Some("group name=\"server\""));
    assert_eq!(log.around("group name=\"pumps\""), Some("child child=1 name=\"a\""));
    assert_eq!(log.around("child child=1 name=\"b\""), Some("group name=\"pumps\""));
    assert_eq!((log.open, log.inside), (0, 0));
}

#[test]
fn a_member_is_in_its_span_while_it_is_polled_and_dropped() {
    let log = seen(|| {
        let executor = Ex::default();
        let group = TaskGroup::new(executor.clone());
        group.child().name("child").launch(async {
            tracing::info!("first poll");
            smol::future::yield_now().await;
            tracing::info!("second poll");
            let _dropped = OnDrop;
            pending::<()>().await;
        });
        while executor.try_tick() {}
        tracing::info!("outside");
        group.cancel();
        while executor.try_tick() {}
        smol::block_on(group.join()).unwrap();
    });
    let told = log.of("child child=1 name=\"child\"");
    let expected = ["spawned", "first poll", "second poll", "dropped", "ended outcome=\"cancelled\""];
    assert_eq!(told, expected);
    assert_eq!(log.of(""), ["outside"]);
    assert_eq!(log.of("group"), ["cancelled reason=\"cancelled\"", "ended outcome=\"cancelled\""]);
    assert_eq!(log.entered["child child=1 name=\"child\""], 3);
    assert_eq!((log.open, log.inside), (0, 0));
}

#[test]
fn a_body_is_in_the_span_of_its_group_while_it_is_dropped() {
    let log = seen(|| {
        for waits in [true, false] {
            let (executor, (give, given)) = (Ex::default(), async_channel::bounded(1));
            let mut inside = Box::pin(scope(executor.clone(), async move |group: Group<Ex>| {
                group.launch(shield(pending::<()>()));
                give.try_send(group).unwrap();
                let _dropped = OnDrop;
                pending::<Result<(), _>>().await
            }));
            assert!(smol::block_on(poll_once(&mut inside)).is_none());
            while executor.try_tick() {}
            // Either the scope itself drops the body, or whoever has the scope does.
            given.try_recv().unwrap().cancel();
            if waits {
                assert!(smol::block_on(poll_once(&mut inside)).is_none());
            }
            drop(inside);
        }
    });
    let dropped = log.events.iter().filter(|(_, event)| event == "dropped");
    assert!(dropped.map(|(span, _)| span).eq(["group"; 2]));
}

#[test]
fn a_body_that_cancels_its_own_group_leaves_its_span() {
    let log = seen(|| {
        let request = tracing::info_span!("request").entered();
        for awaits in [false, true] {
            let cut = scope(Smol, async move |group: Group<Smol>| {
                group.cancel();
                if awaits {
                    pending::<()>().await;
                }
                Ok(())
            });
            assert_eq!(smol::block_on(cut).is_err(), awaits);
            tracing::info!("in the request");
        }
        drop(request);
    });
    assert_eq!(log.of("request"), ["in the request"; 2]);
    assert_eq!((log.open, log.inside, log.entered["group"]), (0, 0, 2));
}

/// All fields of all spans and events, each in a line that begins with the name or the message.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Visit for Lines {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let line = &mut self.0.lock().unwrap()[0];
        match field.name() {
            "message" => line.insert_str(0, &format!("{value:?}")),
            name => *line += &format!(" {name}={value:?}"),
        }
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        self.0.lock().unwrap().insert(0, attributes.metadata().name().to_string());
        attributes.record(&mut self.clone());
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.0.lock().unwrap().insert(0, String::new());
        event.record(&mut self.clone());
    }
}

#[test]
fn where_a_child_is_and_what_it_is_are_fields() {
    watched(|| {
        let lines = Lines::default();
        let began = std::time::Instant::now();
        let busy = std::time::Duration::from_millis(2);
        let at = tracing::subscriber::with_default(Registry::default().with(lines.clone()), || {
            let one = std::num::NonZero::new(1).unwrap();
            let group = TaskGroup::builder::<()>(Ex::default()).name("server").limit(one).open();
            group.child().name("conn").launch(async move { std::thread::sleep(busy) });
            let at = line!() - 1;
            group.child().background().launch(async {});
            group.launch(async {});
            smol::block_on(group.spawner().clone().run(group.join())).unwrap();
            at
        });
        let lines = lines.0.lock().unwrap();
        let told = |line: &str| lines.iter().any(|told| told == line);
        let here = |line: u32, column: u32| format!("location={}:{line}:{column}", file!());
        let child = "child child=1 name=\"conn\" path=\"server/conn\" kind=\"ordinary\"";
        assert!(told(&format!("{child} {}", here(at, 40))), "{lines:#?}");
        assert!(
            told(&format!("child child=2 path=\"server/#2\" kind=\"background\" {}", here(at + 2, 40))),
            "{lines:#?}"
        );
        assert!(told("spawned queued=false") && told("spawned queued=true"), "{lines:#?}");
        let seconds = lines.iter().filter_map(|told| told.split_once("ended outcome=\"returned\" seconds="));
        let seconds: Vec<f64> = seconds.map(|(_, seconds)| seconds.parse().unwrap()).collect();
        assert_eq!(seconds.len(), 4, "{lines:#?}");
        assert!(seconds.iter().all(|seconds| *seconds <= began.elapsed().as_secs_f64()), "{seconds:?}");
        assert!(seconds.iter().any(|seconds| *seconds >= busy.as_secs_f64()), "{seconds:?}");
    });
}

struct OnDrop;

impl Drop for OnDrop {
    fn drop(&mut self) {
        tracing::info!("dropped");
    }
}

#[test]
fn failures_and_the_cancels_that_follow_are_told() {
    let log = seen(|| {
        let executor = Ex::default();
        let group = TaskGroup::fallible::<&str>(executor.clone());
        group.launch(pending::<()>());
        group.launch(async { Err::<(), _>("disk full") });
        assert!(smol::block_on(executor.run(group.join())).is_err());
    });
    assert_eq!(log.of("child child=2"), ["spawned", "failed", "ended outcome=\"failed\""]);
    assert_eq!(log.of("child child=1"), ["spawned", "ended outcome=\"cancelled\""]);
    let group = log.of("group");
    assert!(group[0].starts_with("cancelled reason=\"child 2, spawned at tests/tracing.rs:"), "{group:?}");
    assert_eq!(group[1..], ["ended outcome=\"failed\""]);
    assert_eq!((log.open, log.inside), (0, 0));
}

#[test]
fn a_child_that_is_refused_is_told_by_its_group() {
    let log = seen(|| {
        let executor = Ex::default();
        let group = TaskGroup::new(executor.clone());
        group.close();
        group.launch(pending::<()>());
        group.try_spawn(pending::<()>()).unwrap_err();
        smol::block_on(executor.run(group.join())).unwrap();
    });
    let told = log.of("group");
    assert_eq!(
        told,
        ["refused reason=\"closed\"", "ended outcome=\"returned\""],
        "what is given back is not told"
    );
}

#[test]
fn a_panic_is_told_with_its_message() {
    let log = seen(|| {
        let executor = Ex::default();
        let group = TaskGroup::builder::<()>(executor.clone()).supervise(|_, _| {}).open();
        group.launch(async { panic!("out of cheese") });
        let alone = group.spawn(pending::<()>());
        alone.cancel();
        smol::block_on(executor.run(group.join())).unwrap();
    });
    let told = log.of("child child=1");
    assert!(told[1].contains("panicked") && told[1].contains("out of cheese"), "{told:?}");
    assert_eq!(told[2], "ended outcome=\"panicked\"");
    let told = log.of("child child=2");
    assert_eq!(told, ["spawned", "cancelled reason=\"alone\"", "ended outcome=\"cancelled\""]);
    assert_eq!((log.open, log.inside), (0, 0));
}

#[test]
fn a_name_is_told_in_one_line_and_short() {
    let log = seen(|| {
        let group = TaskGroup::builder::<()>(Ex::default()).name("a\nb").open();
        group.child().name("x".repeat(10 << 20)).launch(pending::<()>());
        drop(group);
    });
    let group = log.around.keys().find(|label| label.starts_with("group")).unwrap();
    assert_eq!(group, r#"group name="a\\nb""#);
    let child = log.around.keys().find(|label| label.starts_with("child")).unwrap();
    assert_eq!(*child, format!("child child=1 name=\"{}…\"", "x".repeat(64)));
}

/// The stack is that of a thread as std makes it, whichever end the spans are closed from.
#[test]
fn a_tree_of_any_depth_is_told() {
    const DEPTH: usize = 5_000;
    let log = seen(|| {
        let executor = Ex::default();
        let group = TaskGroup::new(executor.clone());
        group.launch(nest(executor.clone(), DEPTH, |group| group.launch(pending::<()>())));
        while executor.try_tick() {}
        group.cancel();
        smol::block_on(executor.run(group.join())).unwrap();
    });
    assert_eq!((log.open, log.inside), (0, 0));
    let ended = log.events.iter().filter(|(_, event)| event.starts_with("ended")).count();
    assert_eq!(ended, 2 * (DEPTH + 2));
}

#[test]
fn without_a_subscriber_nothing_is_observed() {
    let group = TaskGroup::new(Ex::default());
    group.launch(pending::<()>());
    let snapshot = group.snapshot();
    assert_eq!(snapshot.members().next().unwrap().state(), MemberState::Active);
    assert!(snapshot.group().age().is_none());
}

/// Panics from the `from`th call on, whatever it is asked.
struct Hostile {
    calls: Arc<AtomicUsize>,
    from: usize,
    /// Whether it panics when it is dropped as well.
    to_the_end: bool,
}

impl Drop for Hostile {
    fn drop(&mut self) {
        assert!(!self.to_the_end, "a subscriber that panics");
    }
}

impl Hostile {
    fn call(&self) {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        assert!(call < self.from, "a subscriber that panics");
    }
}

impl Subscriber for Hostile {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        self.call();
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        self.call();
    }

    fn enter(&self, _: &Id) {
        self.call();
    }

    fn exit(&self, _: &Id) {
        self.call();
    }

    fn try_close(&self, _: Id) -> bool {
        self.call();
        true
    }
}

#[test]
fn a_subscriber_that_panics_changes_nothing_for_the_group() {
    let mut calls = usize::MAX;
    for from in 0.. {
        if from > calls {
            break;
        }
        calls = watched(move || {
            let calls = Arc::new(AtomicUsize::new(0));
            let hostile = Hostile { calls: calls.clone(), from, to_the_end: false };
            tracing::subscriber::with_default(hostile, || {
                let executor = Ex::default();
                smol::block_on(executor.clone().run(fails_fast(executor.clone())));
            });
            let calls = calls.load(Ordering::SeqCst);
            assert!(calls > from || from > 0, "it was asked nothing");
            if calls > from { usize::MAX } else { calls }
        });
    }
}

/// The span of the group is the last that holds it.
#[test]
fn nor_does_one_that_panics_to_the_end() {
    watched(|| {
        let calls = Arc::new(AtomicUsize::new(0));
        let hostile = Hostile { calls: calls.clone(), from: 1, to_the_end: true };
        let group = tracing::subscriber::with_default(hostile, || TaskGroup::new(Ex::default()));
        smol::block_on(group.join()).unwrap();
        assert_eq!(
            calls.load(Ordering::SeqCst),
            3,
            "it was asked for a span, told of its end, and asked to close it"
        );
    });
}

/// In a callback no dispatcher can be set.
#[test]
fn nor_does_one_that_panics_as_it_closes_a_span_in_a_callback() {
    static GROUP: Mutex<Option<TaskGroup<Smol>>> = Mutex::new(None);

    struct Drops;

    impl Subscriber for Drops {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            if event.metadata().target() == "tracing" {
                drop(GROUP.lock().unwrap().take().unwrap());
            }
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}

        fn try_close(&self, _: Id) -> bool {
            std::panic::resume_unwind(Box::new("closed"))
        }
    }

    watched(|| {
        tracing::subscriber::with_default(Drops, || {
            *GROUP.lock().unwrap() = Some(TaskGroup::new(Smol));
            tracing::info!(target: "tracing", "the last of a group goes in here");
        });
        assert!(GROUP.lock().unwrap().is_none());
    });
}

async fn fails_fast(executor: Ex) {
    let on = executor.clone();
    let result = scope(executor, async move |group: Group<Ex, &str>| {
        let quick = group.spawn(async { Ok(7) });
        assert_eq!(quick.await.unwrap(), 7);
        group.launch(async move { drop(TaskGroup::new(on).join().await) });
        group.launch(pending::<()>());
        group.launch(async { Err::<(), _>("disk full") });
        pending::<Result<(), _>>().await
    });
    assert_eq!(result.await.unwrap_err().into_primary().unwrap(), "disk full");
}
