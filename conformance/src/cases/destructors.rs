//! Futures that return or panic, and whose destructors panic after that, in all the ways in which a group runs them.

use std::future::{Future, pending};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::future::{poll_once, yield_now};
use taskgroup::future::Scope;
use taskgroup::group::{Racers, Ready};
use taskgroup::runtime::{Adopt, lazily};
use taskgroup::{AnySpawner, Group, TaskGroup, race, scope, shield};

use crate::ledger::{Capture, Tally};
use crate::test::{Test, panic_text, quiet_panic, tell};

/// Returns its output, or panics if it has none. Its destructor panics as well.
///
/// It is not a local of an `async` block, because the unwinding would drop that.
struct Brittle<O>(Option<O>);

impl<O: Unpin> Future for Brittle<O> {
    type Output = O;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<O> {
        Poll::Ready(self.0.take().unwrap_or_else(|| quiet_panic("poll")))
    }
}

impl<O> Drop for Brittle<O> {
    fn drop(&mut self) {
        quiet_panic("destructor");
    }
}

type Output = Result<(), &'static str>;

/// An adopted task, which is also the future of its end.
struct Job(Brittle<Output>);

impl Adopt for Job {
    type Output = Output;

    fn run(
        self,
        _: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = Option<Output>> + Send + 'static {
        self
    }
}

impl Future for Job {
    type Output = Option<Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Output>> {
        Pin::new(&mut self.0).poll(cx).map(Some)
    }
}

const WAYS: [&str; 7] = ["spawn", "start", "defer", "adopt", "lazily", "shield", "key"];

async fn enter(way: &str, group: &Group<AnySpawner, &'static str>, output: Option<Output>) {
    let child = Brittle(output);
    match way {
        "spawn" => drop(group.spawn(child)),
        "start" => {
            let ready = |ready: Ready<()>| {
                ready.set(());
                child
            };
            group.start(ready).await.unwrap();
        }
        "defer" => {
            let own = group.clone();
            group.launch(async move {
                own.defer(child);
                Ok(())
            });
        }
        "adopt" => drop(group.adopt(Job(child))),
        "lazily" => drop(group.adopt(lazily(|| Job(child)))),
        "shield" => group.launch(shield(child)),
        _ => drop(group.keyed().replace(1, child)),
    }
}

pub async fn a_future_that_panics_and_whose_destructor_panics_too(t: &Test) {
    for way in WAYS {
        let group = TaskGroup::builder(t.spawner()).collect().on_failure(tell(&t.log)).open();
        group.launch(t.child(async { Ok(()) }));
        enter(way, &group, None).await;
        assert_eq!(panic_text(group.join()).await, "poll", "{way}");
    }
    assert_eq!(t.log.lines().len(), 2 * WAYS.len(), "both are told of: {:?}", t.log.lines());
}

pub async fn an_error_is_not_lost_where_the_destructor_panics(t: &Test) {
    // A shield drops its future during the poll of the child. There the panic takes the place of the error.
    for way in WAYS.into_iter().filter(|way| *way != "shield") {
        let group = TaskGroup::builder(t.spawner()).collect().on_failure(tell(&t.log)).open();
        enter(way, &group, Some(Err("an error"))).await;
        assert_eq!(panic_text(group.join()).await, "destructor", "{way}");
    }
    assert_eq!(t.log.count("an error"), WAYS.len() - 1);
}

pub async fn nor_is_the_value_of_a_racer_leaked(t: &Test) {
    for value in [Some(Ok(t.ledger.capture())), None] {
        let expected = if value.is_some() { "destructor" } else { "poll" };
        let racing = race(t.spawner(), |racers: Racers<_, Capture, &str>| async move {
            racers.enter(Brittle(value));
            pending().await
        });
        assert_eq!(panic_text(async { racing.await.map(drop) }).await, expected);
    }
}

pub async fn a_shielded_future_and_its_value_that_both_panic_are_one_panic(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    group.launch(shield(Brittle(Some(Ok(Brittle::<()>(None))))));
    assert_eq!(panic_text(group.join()).await, "destructor");
}

pub async fn a_value_that_nobody_reads_may_panic_beside_its_reader(t: &Test) {
    let reading: Scope<_, _, (), _, _> = scope(t.spawner(), |group: Group<_, &str>| async move {
        let (value, late) = (
            group.spawn(async { Ok(Brittle::<()>(None)) }),
            group.start(|ready: Ready<_>| async move {
                ready.set(Brittle::<()>(None));
            }),
        );
        // Both have ended, so it is the reader who drops their values.
        while !group.is_empty() {
            yield_now().await;
        }
        let _unread = (value, late);
        quiet_panic("reader")
    });
    assert_eq!(panic_text(reading).await, "reader");
}

/// The first panic goes on.
pub async fn the_hook_sees_the_panic_of_a_value_that_a_scope_does_not_give(t: &Test) {
    for (fails, expected) in [(Some(Err("an error")), "destructor"), (None, "child")] {
        let hook = t.log.clone();
        let failed = scope(t.spawner(), |group: Group<_, &str>| async move {
            group.launch(async move { fails.unwrap_or_else(|| quiet_panic("child")) as Output });
            Ok(Brittle::<()>(None))
        });
        let failed = failed.on_failure(move |_, failure| hook.write(failure.to_string()));
        assert_eq!(panic_text(async { failed.await.map(drop) }).await, expected);
    }
    assert_eq!(t.log.lines().len(), 4, "{:?}", t.log.lines());
}

pub async fn and_so_may_the_value_of_a_scope(t: &Test) {
    let (outer, there) = (TaskGroup::new(t.spawner()), Tally::new());
    let (spawner, child) = (t.spawner(), t.waiting(&there));
    outer.launch(async move {
        let mut inner = Box::pin(scope(spawner, |group: Group<_, &str>| async move {
            group.launch(child);
            Ok(Brittle::<()>(None))
        }));
        assert!(poll_once(inner.as_mut()).await.is_none());
        there.take(1).await;
        let _unread = inner;
        quiet_panic("host")
    });
    assert_eq!(panic_text(outer.join()).await, "host");
    assert_eq!(t.ledger.read().alive(), 0);
}
