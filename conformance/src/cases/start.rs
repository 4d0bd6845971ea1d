//! Children that report when they are ready.

use std::future::pending;
use std::pin::pin;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use futures_lite::future::{poll_once, yield_now};
use taskgroup::error::StartError;
use taskgroup::group::Ready;
use taskgroup::{Group, TaskGroup, scope, shield};

use crate::ledger::{Capture, Entry, Gate, Tally};
use crate::test::{Test, errors, panic_text, quiet_panic};

pub async fn it_is_ready_and_goes_on(t: &Test) {
    let (group, gate) = (TaskGroup::fallible::<&str>(t.spawner()), Gate::new());
    let opened = gate.clone();
    let port = group.start(|ready| {
        t.child(async move {
            ready.set(80);
            opened.wait().await;
        })
    });
    assert_eq!(port.await, Ok(80));
    assert_eq!((group.len(), t.ledger.read().completed), (1, 0));
    gate.open();
    group.join().await.unwrap();
    assert_eq!(t.ledger.read().completed, 1);
}

pub async fn it_fails_before_it_is_ready(t: &Test) {
    let group = TaskGroup::fallible(t.spawner());
    let started = group.start(|ready: Ready<u16>| {
        t.child(async move {
            let _ready = ready;
            Err::<(), _>("address in use")
        })
    });
    assert_eq!(started.await, Err(StartError::Failed("address in use")));
    assert_eq!(t.ledger.read().alive(), 0);
    assert!(!group.is_cancelled());
    group.join().await.unwrap();
}

pub async fn it_ends_without_having_been_ready(t: &Test) {
    let group = TaskGroup::fallible::<&str>(t.spawner());
    let started = group.start(|ready: Ready<u16>| t.child(async move { drop(ready) }));
    assert_eq!(started.await, Err(StartError::NeverReady));
    assert_eq!(t.ledger.read().alive(), 0);
    assert!(!group.is_cancelled());
    group.join().await.unwrap();
}

pub async fn it_fails_after_it_was_ready(t: &Test) {
    let (group, gate) = (TaskGroup::fallible(t.spawner()), Gate::new());
    let opened = gate.clone();
    let started = group.start(|ready| {
        t.child(async move {
            ready.set(7);
            opened.wait().await;
            Err::<(), _>("broken")
        })
    });
    assert_eq!(started.await, Ok(7));
    gate.open();
    assert_eq!(errors(&group.join().await.unwrap_err()), ["broken"]);
}

pub async fn it_is_ready_and_fails_in_one_poll(t: &Test) {
    let group = TaskGroup::fallible(t.spawner());
    let started = group.start(|ready| {
        t.child(async move {
            ready.set(7);
            Err::<(), _>("broken")
        })
    });
    assert_eq!(started.await, Ok(7));
    assert_eq!(errors(&group.join().await.unwrap_err()), ["broken"]);
}

pub async fn it_drops_its_ready_and_runs_on(t: &Test) {
    let group = TaskGroup::fallible::<&str>(t.spawner());
    let started = group.start(|ready: Ready<u16>| {
        t.child(async move {
            drop(ready);
            pending::<()>().await
        })
    });
    assert_eq!(started.await, Err(StartError::NeverReady));
    assert_eq!(
        (t.ledger.read().completed, t.ledger.read().alive()),
        (0, 0),
        "it was cancelled and has ended"
    );
    assert!(!group.is_cancelled());
    group.join().await.unwrap();
}

pub async fn it_panics_before_it_is_ready(t: &Test) {
    let group = TaskGroup::fallible::<&str>(t.spawner());
    let started = group.start(|ready: Ready<u16>| {
        t.child(async move {
            let _ready = ready;
            quiet_panic("boom") as ()
        })
    });
    assert_eq!(started.await, Err(StartError::Cancelled));
    assert_eq!(panic_text(group.join()).await, "boom");
}

pub async fn its_caller_goes_while_it_waits(t: &Test) {
    let (group, there) = (TaskGroup::fallible::<&str>(t.spawner()), Tally::new());
    let begun = there.clone();
    let mut started = group.start(|ready: Ready<u16>| {
        t.child(async move {
            let _ready = ready;
            begun.add();
            pending::<()>().await
        })
    });
    assert!(poll_once(&mut started).await.is_none());
    there.take(1).await;
    drop(started);
    group.idle().await;
    assert_eq!(t.ledger.read(), Entry { made: 1, polls: 1, started: 1, completed: 0, dropped: 1 });
    assert!(!group.is_cancelled());
    group.join().await.unwrap();
}

pub async fn its_caller_goes_while_it_is_shielded(t: &Test) {
    let (group, gate, there) = (TaskGroup::fallible::<&str>(t.spawner()), Gate::new(), Tally::new());
    let (opened, begun) = (gate.clone(), there.clone());
    let started = group.start(|ready: Ready<u16>| {
        t.child(shield(async move {
            let _ready = ready;
            begun.add();
            opened.wait().await;
        }))
    });
    there.take(1).await;
    drop(started);
    let mut join = group.join();
    assert!(poll_once(&mut join).await.is_none(), "it is counted until it has ended");
    gate.open();
    join.await.unwrap();
    assert_eq!(t.ledger.read().completed, 1);
}

pub async fn its_error_is_the_groups_when_its_caller_is_gone(t: &Test) {
    let (group, gate, there) = (TaskGroup::fallible(t.spawner()), Gate::new(), Tally::new());
    let (opened, begun) = (gate.clone(), there.clone());
    let started = group.start(|ready: Ready<u16>| {
        t.child(shield(async move {
            let _ready = ready;
            begun.add();
            opened.wait().await;
            Err::<(), _>("broken")
        }))
    });
    there.take(1).await;
    drop(started);
    gate.open();
    assert_eq!(errors(&group.join().await.unwrap_err()), ["broken"]);
}

pub async fn an_error_that_its_caller_did_not_stay_for_is_the_groups(t: &Test) {
    let group = TaskGroup::fallible(t.spawner());
    let started = group.start(|ready: Ready<u16>| {
        t.child(async move {
            let _ready = ready;
            Err::<(), _>("address in use")
        })
    });
    group.idle().await;
    assert!(!group.is_cancelled(), "its caller may still ask");
    drop(started);
    assert!(group.is_cancelled());
    let error = group.join().await.unwrap_err();
    assert_eq!((errors(&error), error.origin().unwrap().child()), (vec!["address in use"], Some(1)));
}

/// The error cancels the group, and so its last child ends, while the hook has not returned.
pub async fn the_group_does_not_end_before_it_has_that_error(t: &Test) {
    let (told, ended) = mpsc::channel();
    let ended = Mutex::new(ended);
    let group = TaskGroup::builder::<&str>(t.spawner())
        .on_failure(move |_, _| {
            let _ = ended.lock().unwrap().recv_timeout(Duration::from_millis(50));
        })
        .open();
    let own = group.group();
    group.launch(t.child(shield(async move {
        while !own.is_cancelled() {
            yield_now().await;
        }
    })));
    let start = Box::pin(group.start(|ready: Ready<()>| {
        t.child(async move {
            let _ready = ready;
            Err::<(), _>("no port")
        })
    }));
    while group.len() > 1 {
        yield_now().await;
    }
    let join = group.join();
    let leaving = std::thread::spawn(|| drop(start));
    let error = join.await.unwrap_err();
    assert_eq!(errors(&error), ["no port"]);
    let _ = told.send(());
    leaving.join().unwrap();
}

pub async fn a_hook_is_told_of_it_when_the_group_has_ended(t: &Test) {
    let log = t.log.clone();
    let group = TaskGroup::builder::<&str>(t.spawner()).on_failure(move |_, _| log.write("told")).open();
    let started = group.start(|ready: Ready<u16>| {
        t.child(async move {
            let _ready = ready;
            Err::<(), _>("address in use")
        })
    });
    group.join().await.unwrap();
    drop(started);
    assert_eq!(t.log.lines(), ["told"]);
}

pub async fn the_group_around_gets_it_when_the_group_has_ended(t: &Test) {
    let outer = scope(t.spawner(), async |group: Group<_, &str>| {
        let inner = scope(t.spawner(), async |inner: Group<_, &str>| {
            Ok(inner.start(|ready: Ready<u16>| {
                t.child(async move {
                    let _ready = ready;
                    Err::<(), _>("address in use")
                })
            }))
        });
        let started = inner.await.unwrap();
        assert!(!group.is_cancelled(), "its caller may still ask");
        drop(started);
        assert!(group.is_cancelled());
        Ok(())
    });
    let error = outer.await.unwrap_err();
    let failures: Vec<_> = error.failures().map(|(_, failure)| failure.to_string()).collect();
    assert_eq!(failures.len(), 1);
    assert!(failures[0].contains("address in use"), "{failures:?}");
}

/// Adds one to `begun` and never becomes ready, so its starter keeps waiting.
async fn never_ready(_ready: Ready<u16>, begun: Tally) {
    begun.add();
    pending().await
}

pub async fn its_group_is_cancelled_before_it_is_ready(t: &Test) {
    let (group, there) = (TaskGroup::fallible::<&str>(t.spawner()), Tally::new());
    let started = group.start(|ready: Ready<u16>| t.child(never_ready(ready, there.clone())));
    there.take(1).await;
    group.cancel();
    assert_eq!(started.await, Err(StartError::Cancelled));
    assert_eq!((t.ledger.read().completed, t.ledger.read().alive()), (0, 0));
    group.join().await.unwrap();
}

pub async fn a_sibling_fails_before_it_is_ready(t: &Test) {
    let (group, there) = (TaskGroup::fallible(t.spawner()), Tally::new());
    let started = group.start(|ready: Ready<u16>| t.child(never_ready(ready, there.clone())));
    there.take(1).await;
    group.launch(t.child(async { Err::<(), _>("broken") }));
    assert_eq!(started.await, Err(StartError::Cancelled));
    assert_eq!(errors(&group.join().await.unwrap_err()), ["broken"]);
}

pub async fn a_shielded_child_is_ready_after_the_cancel(t: &Test) {
    let (group, there) = (TaskGroup::fallible::<&str>(t.spawner()), Tally::new());
    let (soft, begun) = (group.cancelled(), there.clone());
    let started = group.start(|ready| {
        t.child(shield(async move {
            begun.add();
            soft.await;
            ready.set(7);
        }))
    });
    there.take(1).await;
    group.cancel();
    assert_eq!(started.await, Ok(7));
    group.join().await.unwrap();
}

pub async fn a_pending_start_keeps_the_group_open(t: &Test) {
    let (group, gate) = (TaskGroup::fallible::<&str>(t.spawner()), Gate::new());
    let opened = gate.clone();
    let started = group.start(|ready| {
        t.child(async move {
            opened.wait().await;
            ready.set(7);
        })
    });
    let mut join = pin!(group.join());
    assert!(poll_once(join.as_mut()).await.is_none());
    gate.open();
    assert_eq!(started.await, Ok(7));
    join.await.unwrap();
}

pub async fn a_closed_group_takes_none(t: &Test) {
    let group = TaskGroup::fallible::<&str>(t.spawner());
    group.close();
    let started = group.start(|ready: Ready<u16>| {
        t.child(async move {
            let _ready = ready;
            pending::<()>().await
        })
    });
    assert_eq!(started.await, Err(StartError::Rejected));
    assert_eq!(t.ledger.read(), Entry { made: 1, polls: 0, started: 0, completed: 0, dropped: 1 });
    group.join().await.unwrap();
}

pub async fn a_closed_group_takes_none_that_is_ready_before_it_begins(t: &Test) {
    let group = TaskGroup::fallible::<&str>(t.spawner());
    group.close();
    let value = t.ledger.capture();
    let started = group.start(|ready: Ready<Capture>| {
        ready.set(value);
        t.child(pending::<()>())
    });
    assert_eq!(started.await.err(), Some(StartError::Rejected));
    group.join().await.unwrap();
}

pub async fn another_task_says_that_it_is_ready(t: &Test) {
    let group = TaskGroup::fallible::<&str>(t.spawner());
    let (give, given) = async_channel::bounded::<Ready<u16>>(1);
    let gate = Gate::new();
    let opened = gate.clone();
    let started = group.start(|ready| {
        t.child(async move {
            give.try_send(ready).unwrap();
            opened.wait().await;
        })
    });
    given.recv().await.unwrap().set(7);
    assert_eq!(started.await, Ok(7));
    gate.open();
    group.join().await.unwrap();
    assert_eq!(t.ledger.read().completed, 1);
}

pub async fn another_task_says_so_after_it_has_ended(t: &Test) {
    let group = TaskGroup::fallible::<&str>(t.spawner());
    let (give, given) = async_channel::bounded::<Ready<Capture>>(1);
    let started = group.start(|ready| t.child(async move { give.try_send(ready).unwrap() }));
    assert_eq!(started.await.map(drop), Err(StartError::NeverReady));
    given.recv().await.unwrap().set(t.ledger.capture());
    assert_eq!((t.ledger.read().made, t.ledger.read().dropped), (2, 2), "the value is nobody's");
    group.join().await.unwrap();
}

pub async fn it_has_a_name_and_may_be_a_background_child(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let child = group.child().name("server").background();
    let port = child.start(|ready: Ready<u16>| {
        t.child(async move {
            ready.set(80);
            pending::<()>().await
        })
    });
    assert_eq!(port.await.unwrap(), 80);
    assert!(group.snapshot().members().any(|member| member.name() == Some("server")));
    group.join().await.unwrap();
}
