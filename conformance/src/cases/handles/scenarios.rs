//! The other numbered scenarios: waiting, what handles and reports show, and context that is carried into a child.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use futures_lite::future::poll_once;
use taskgroup::runtime::{Hooked, SpawnHook};
use taskgroup::{Failure, TaskGroup, scope, shield};

use crate::ledger::{Gate, Tally, Wakes};
use crate::test::{Test, errors, panic_text, quiet_panic};

pub async fn o_90_two_waiters_then_a_third(t: &Test) {
    let (group, waiters, gate, there) =
        (TaskGroup::new(t.spawner()), TaskGroup::new(t.spawner()), Gate::new(), Tally::new());
    let opened = gate.clone();
    let mut handle = group.spawn(t.child(async move {
        opened.wait().await;
        Ok(7)
    }));
    for _ in 0..2 {
        waiters.launch(t.child(there.clone().polls_of(group.idle())));
    }
    there.take(2).await;
    assert!(poll_once(&mut handle).await.is_none() && !handle.is_finished());
    gate.open();
    waiters.join().await.unwrap();
    group.idle().await;
    assert!(handle.is_finished());
    assert_eq!((&mut handle).await.unwrap(), 7);
    group.join().await.unwrap();
}

pub async fn o_91_a_waiter_goes_in_the_step_in_which_the_child_ends(t: &Test) {
    let (group, gate) = (TaskGroup::new(t.spawner()), Gate::new());
    let opened = gate.clone();
    let mut handle = group.spawn(t.child(async move {
        opened.wait().await;
        Ok(7)
    }));
    let mut waiter = Box::pin(async { (&mut handle).await.unwrap() });
    assert!(poll_once(waiter.as_mut()).await.is_none());
    gate.open();
    group.idle().await;
    drop(waiter);
    assert_eq!(handle.await.unwrap(), 7);
    group.join().await.unwrap();
}

pub async fn o_92_the_childs_own_error_beats_a_later_cancel(t: &Test) {
    let (group, gate, there) = (TaskGroup::fallible(t.spawner()), Gate::new(), Tally::new());
    let (opened, begun) = (gate.clone(), there.clone());
    let handle = group.spawn(t.child(shield(async move {
        begun.add();
        opened.wait().await;
        Err::<(), _>("broken")
    })));
    there.take(1).await;
    handle.cancel();
    gate.open();
    assert!(handle.await.unwrap_err().is_failed());
    assert_eq!(errors(&group.join().await.unwrap_err()), ["broken"]);
}

pub async fn o_93_each_waiter_is_woken_once(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let wait = |_| {
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        let mut wait = Box::pin(group.cancelled());
        assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        (wait, wakes)
    };
    let waiters: Vec<_> = (0..100).map(wait).collect();
    let (gone, not_woken) = wait(100);
    drop(gone);
    group.cancel();
    group.cancel();
    for (wait, wakes) in waiters {
        assert_eq!(wakes.count(), 1);
        wait.await;
    }
    assert_eq!(not_woken.count(), 0);
    group.join().await.unwrap();
}

pub async fn o_93_a_waiter_that_panics_does_not_stop_the_others(t: &Test) {
    let many = t.pick(100, 10);
    let (group, there) = (TaskGroup::new(t.spawner()), Tally::new());
    let waiters = TaskGroup::builder::<Infallible>(t.spawner()).collect().open();
    for number in 0..many {
        let (soft, log) = (group.cancelled(), t.log.clone());
        let waits = async move {
            soft.await;
            if number == 3 {
                quiet_panic("boom");
            }
            log.write("woken");
        };
        waiters.launch(t.child(there.clone().polls_of(waits)));
    }
    there.take(many).await;
    group.cancel();
    assert_eq!(panic_text(waiters.join()).await, "boom");
    assert_eq!(t.log.count("woken"), many - 1);
    group.join().await.unwrap();
}

pub async fn o_94_a_name_is_in_the_handle_and_in_reports(t: &Test) {
    let log = t.log.clone();
    let group = TaskGroup::builder(t.spawner())
        .name("server")
        .on_failure(move |origin, _| log.write(origin.name().unwrap()))
        .open();
    let handle = group.child().name("yolo").spawn(t.child(async { Err::<(), _>("broken") }));
    assert_eq!(handle.name(), Some("yolo"));
    let told = handle.await.unwrap_err();
    let error = group.join().await.unwrap_err();
    assert_eq!(t.log.lines(), ["yolo"]);
    for origin in [told.origin().unwrap(), error.origin().unwrap()] {
        assert_eq!((origin.name(), origin.path()), (Some("yolo"), Some("server/yolo")));
    }
    assert!(told.to_string().starts_with("server/yolo, spawned at "), "{told}");
    assert!(error.to_string().starts_with("server/yolo, spawned at "), "{error}");
}

pub async fn o_94_a_refused_child_has_no_name(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    group.close();
    let refused = group.child().name("yolo").spawn(t.child(async {}));
    assert_eq!((refused.name(), refused.location()), (None, None));
    group.join().await.unwrap();
}

thread_local!(static REQUEST: Cell<u32> = const { Cell::new(0) });

/// Gives each child the request of the code that spawned it. A child keeps its own changes to the request.
#[derive(Clone)]
struct CarryRequest;

impl SpawnHook for CarryRequest {
    fn wrap<F>(&self, child: F) -> impl Future<Output = ()> + Send + 'static
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut request = REQUEST.get();
        let mut child = Box::pin(child);
        std::future::poll_fn(move |cx| {
            let outside = REQUEST.replace(request);
            let poll = child.as_mut().poll(cx);
            request = REQUEST.replace(outside);
            poll
        })
    }
}

pub async fn o_95_context_is_carried_into_the_child(t: &Test) {
    let group = TaskGroup::new(Hooked::new(t.spawner(), CarryRequest));
    let (gate, mut children) = (Gate::new(), Vec::new());
    for request in [17, 18] {
        REQUEST.set(request);
        let opened = gate.clone();
        children.push(group.spawn(t.child(async move {
            let found = REQUEST.get();
            REQUEST.set(found + 100);
            opened.wait().await;
            Ok((found, REQUEST.get()))
        })));
        assert_eq!(REQUEST.get(), request, "nothing leaks out of `spawn`");
    }
    REQUEST.set(1);
    gate.open();
    for (child, found) in children.into_iter().zip([17, 18]) {
        assert_eq!(child.await.unwrap(), (found, found + 100));
    }
    assert_eq!(REQUEST.get(), 1);
    group.join().await.unwrap();
}

/// A panic payload that is not text.
struct Custom(u8);

pub async fn o_99_panic_as_data(t: &Test) {
    let log = t.log.clone();
    let group = TaskGroup::builder::<Infallible>(t.spawner())
        .supervise(move |origin, failure| {
            let Failure::Panic(payload) = failure else { panic!("no panic: {failure:?}") };
            let text = payload.inspect(|text: &&'static str| format!("&str {text}"));
            let string = payload.inspect(|text: &String| format!("String {text}"));
            let custom = payload.inspect(|Custom(number)| format!("Custom {number}"));
            let what = text.or(string).or(custom).unwrap();
            log.write(format!("{}: {what}, {:?}", origin.name().unwrap(), payload.message()));
        })
        .open();
    group.child().name("a").launch(t.child(async { quiet_panic("boom") as () }));
    group.child().name("b").launch(t.child(async { quiet(String::from("crash")) }));
    group.child().name("c").launch(t.child(async { quiet(Custom(7)) }));
    group.join().await.unwrap();
    assert_eq!(
        t.log.sorted(),
        ["a: &str boom, Some(\"boom\")", "b: String crash, Some(\"crash\")", "c: Custom 7, None"]
    );
}

fn quiet<P: Send + 'static>(payload: P) {
    std::panic::resume_unwind(Box::new(payload))
}

pub async fn o_107_the_signal_after_a_clean_end(t: &Test) {
    let kept = scope(t.spawner(), |group| async move {
        group.launch(t.child(async {}));
        Ok::<_, Infallible>(group)
    });
    let token = kept.await.unwrap();
    assert!(token.is_closed() && token.is_stopping() && !token.is_cancelled());
    assert_eq!(token.reason(), None);
    token.cancelled().await;
    token.stopping().await;
}

pub async fn o_107_whoever_waits_for_the_signal_is_woken_by_a_clean_end(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let (mut cancelled, mut stopping) = (pin!(group.cancelled()), pin!(group.stopping()));
    assert!(poll_once(cancelled.as_mut()).await.is_none() && poll_once(stopping.as_mut()).await.is_none());
    group.join().await.unwrap();
    cancelled.await;
    stopping.await;
    assert_eq!(t.ledger.read().made, 0);
}
