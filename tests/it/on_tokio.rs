//! What is special about Tokio: children are ordinary tasks, and runtimes can be shut down.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::future::{block_on, poll_once};
use taskgroup::{TaskGroup, Tokio, scope, shield};
use taskgroup_conformance::ledger::{Gate, Ledger, Log};
use taskgroup_conformance::{panic_text, watched};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

mod time;

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn workers(n: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(n).enable_all().build().unwrap()
}

#[test]
fn o_52_outside_of_a_runtime_there_is_none() {
    let error = Tokio::current().unwrap_err();
    assert_eq!(error.to_string(), "not in the context of a Tokio runtime");
}

#[test]
fn every_child_is_a_task_with_an_id_of_its_own() {
    watched(|| {
        workers(2).block_on(async {
            let ids = scope(Tokio::current().unwrap(), |group| async move {
                let handles: Vec<_> =
                    (0..10).map(|_| group.spawn(async { Ok::<_, Infallible>(tokio::task::id()) })).collect();
                let mut ids = HashSet::new();
                for handle in handles {
                    ids.insert(handle.value().await);
                }
                Ok(ids)
            });
            assert_eq!(ids.await.unwrap().len(), 10);
        })
    });
}

#[test]
fn task_locals_timers_and_sockets_work_in_a_child() {
    tokio::task_local! {
        static NAME: &'static str;
    }
    watched(|| {
        let runtime = workers(2);
        let group = TaskGroup::fallible::<std::io::Error>(runtime.handle().clone());
        let (address, bound) = async_channel::bounded(1);
        group.launch(NAME.scope("server", async move {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            address.try_send(listener.local_addr()?).unwrap();
            let (mut stream, _) = listener.accept().await?;
            tokio::time::sleep(Duration::from_millis(1)).await;
            stream.write_all(NAME.get().as_bytes()).await
        }));
        let client = group.spawn(async move {
            let mut stream = TcpStream::connect(bound.recv().await.unwrap()).await?;
            let mut text = String::new();
            stream.read_to_string(&mut text).await?;
            Ok(text)
        });
        block_on(group.join()).unwrap();
        assert_eq!(block_on(client).unwrap(), "server");
    });
}

#[test]
fn every_child_has_a_coop_budget_of_its_own() {
    watched(|| {
        let ledger = Ledger::default();
        let counted = ledger.clone();
        current_thread().block_on(async move {
            scope(Tokio::current().unwrap(), |group| async move {
                for _ in 0..100 {
                    let (send, mut receive) = tokio::sync::mpsc::unbounded_channel();
                    (0..50).for_each(|n| send.send(n).unwrap());
                    group.launch(ledger.track(async move {
                        for _ in 0..50 {
                            receive.recv().await.unwrap();
                        }
                    }));
                }
                Ok::<_, Infallible>(())
            })
            .await
            .unwrap();
        });
        assert_eq!(counted.read().polls, 100, "one poll for fifty receives that are ready");
    });
}

#[test]
fn a_shut_down_runtime_loses_its_children_and_join_ends() {
    watched(|| {
        for runtime in [current_thread(), workers(2)] {
            let ledger = Ledger::default();
            let group = TaskGroup::new(runtime.handle().clone());
            let handles: Vec<_> =
                (0..10).map(|_| group.spawn(ledger.track(std::future::pending::<()>()))).collect();
            let inner = group.group();
            group.launch(ledger.track(async move {
                let nested = TaskGroup::new(Tokio::current().unwrap());
                nested.launch(std::future::pending::<()>());
                drop(inner);
                nested.join().await.unwrap();
            }));
            drop(runtime);
            assert!(block_on(group.join()).unwrap_err().is_lost());
            assert_eq!(ledger.read().alive(), 0);
            for handle in handles {
                let error = block_on(handle).unwrap_err();
                assert!(
                    error.is_lost() || error.is_cancelled(),
                    "the first is lost, which cancels the others"
                );
            }
        }
    });
}

#[test]
fn a_runtime_that_shuts_down_in_the_background_loses_what_waits_and_not_what_blocks() {
    watched(|| {
        let (runtime, ledger, begun) = (workers(2), Ledger::default(), Gate::new());
        let group = TaskGroup::new(runtime.handle().clone());
        for _ in 0..10 {
            group.launch(ledger.track(std::future::pending::<()>()));
        }
        let (open, (go, gone)) = (begun.clone(), std::sync::mpsc::channel::<()>());
        let blocks = group.spawn(ledger.track(async move {
            open.open();
            gone.recv().unwrap_err();
            Ok(7)
        }));
        block_on(begun.wait());
        runtime.shutdown_background();
        let mut join = std::pin::pin!(group.join());
        assert!(block_on(poll_once(join.as_mut())).is_none(), "one is at it");
        drop(go);
        assert!(block_on(join).unwrap_err().is_lost());
        assert_eq!(block_on(blocks).unwrap(), 7);
        assert_eq!(ledger.read().alive(), 0);
    });
}

#[test]
fn a_shut_down_runtime_loses_what_is_spawned_on_it() {
    watched(|| {
        let runtime = workers(1);
        let handle = runtime.handle().clone();
        drop(runtime);
        let ledger = Ledger::default();
        let group = TaskGroup::new(handle);
        let child = group.spawn(ledger.track(async {}));
        assert!(block_on(child).unwrap_err().is_lost());
        assert!(group.is_cancelled());
        assert!(block_on(group.join()).unwrap_err().is_lost());
        assert_eq!((ledger.read().polls, ledger.read().alive()), (0, 0));
    });
}

#[test]
fn a_host_on_the_runtime_that_goes_away_loses_nothing() {
    watched(|| {
        let (runtime, ledger, started) = (workers(2), Ledger::default(), Gate::new());
        let (children, open, spawner) = (ledger.clone(), started.clone(), runtime.handle().clone());
        runtime.spawn(ledger.track(async move {
            let body = scope(spawner, |group| async move {
                for _ in 0..10 {
                    group.launch(children.track(shield(std::future::pending::<()>())));
                }
                open.open();
                std::future::pending::<Result<(), Infallible>>().await
            });
            let _ = body.await;
        }));
        block_on(started.wait());
        drop(runtime);
        assert_eq!(ledger.read().alive(), 0);
    });
}

/// A notification wakes under the event's own lock, and such a waker may drop another listener of the event.
#[test]
fn a_waker_that_drops_other_waiters_does_not_deadlock() {
    struct DropsOnWake(std::sync::Mutex<Option<Box<dyn Send>>>);

    impl std::task::Wake for DropsOnWake {
        fn wake(self: Arc<Self>) {
            drop(self.0.lock().unwrap().take());
        }
    }

    watched(|| {
        let runtime = workers(1);
        let group = TaskGroup::new(runtime.handle().clone());
        let dropping = Arc::new(DropsOnWake(Default::default()));
        let waker = dropping.clone().into();
        let mut cx = std::task::Context::from_waker(&waker);
        let mut waits: Vec<_> = (0..3).map(|_| Box::pin(group.cancelled())).collect();
        waits.iter_mut().for_each(|wait| assert!(wait.as_mut().poll(&mut cx).is_pending()));
        *dropping.0.lock().unwrap() = Some(Box::new(waits));
        group.cancel();
        assert!(dropping.0.lock().unwrap().is_none(), "woken");
        block_on(group.join()).unwrap();
    });
}

#[test]
fn its_join_handles_can_be_adopted() {
    watched(|| {
        let runtime = workers(2);
        let (ledger, log) = (Ledger::default(), Log::default());
        let group = TaskGroup::fallible::<&str>(runtime.handle().clone());
        let value = group.adopt(runtime.spawn(ledger.track(async { Ok(1) })));
        assert_eq!(block_on(value).unwrap(), 1);

        let (gone, started) = (log.on_drop("captures gone"), Gate::new());
        let open = started.clone();
        let stuck = group.adopt(runtime.spawn(ledger.track(async move {
            let _gone = gone;
            open.open();
            std::future::pending::<Result<(), &str>>().await
        })));
        block_on(started.wait());
        stuck.cancel();
        assert!(block_on(stuck).unwrap_err().is_cancelled());
        assert_eq!(log.lines(), ["captures gone"]);

        let aborted = runtime.spawn(ledger.track(std::future::pending::<Result<(), &str>>()));
        let abort = aborted.abort_handle();
        let lost = group.adopt(aborted);
        abort.abort();
        assert!(block_on(lost).unwrap_err().is_lost());
        assert!(block_on(group.join()).unwrap_err().is_lost());
        assert_eq!(ledger.read().alive(), 0);
    });
}

#[test]
fn the_panic_of_an_adopted_task_is_resumed() {
    watched(|| {
        let runtime = workers(2);
        let group = TaskGroup::new(runtime.handle().clone());
        group.adopt(runtime.spawn(async { panic!("in the task") }));
        assert_eq!(block_on(panic_text(group.join())), "in the task");
    });
}

#[test]
fn an_adopted_task_is_aborted_by_a_refusal_and_by_a_cancel_before_the_first_poll() {
    watched(|| {
        let runtime = current_thread();
        let ledger = Ledger::default();
        let group = TaskGroup::new(runtime.handle().clone());
        group.adopt(runtime.spawn(ledger.track(std::future::pending::<()>())));
        group.cancel();
        group.adopt(runtime.spawn(ledger.track(std::future::pending::<()>())));
        assert!(block_on(poll_once(std::pin::pin!(group.idle()))).is_none());
        runtime.block_on(group.join()).unwrap();
        runtime.block_on(tokio::task::yield_now());
        assert_eq!(ledger.read().alive(), 0);
    });
}

/// A handle that is polled when the budget is spent wakes the task that polls it. Outside of a worker it does so at once,
/// again and again.
#[test]
fn children_are_started_and_cancelled_by_a_host_whose_budget_is_spent() {
    async fn spend_the_budget() {
        while tokio::task::coop::has_budget_remaining() {
            tokio::task::coop::consume_budget().await;
        }
    }

    watched(|| {
        for runtime in [current_thread(), workers(2)] {
            let ledger = Ledger::default();
            let group = TaskGroup::new(runtime.handle().clone());
            runtime.block_on(async {
                spend_the_budget().await;
                for _ in 0..1_000 {
                    group.launch(ledger.track(std::future::pending::<()>()));
                }
                tokio::task::yield_now().await;
                spend_the_budget().await;
                group.cancel();
                group.join().await.unwrap();
            });
            assert_eq!((ledger.read().made, ledger.read().alive()), (1_000, 0));
        }
    });
}

#[test]
fn a_local_set_hosts_a_group_whose_children_run_on_the_runtime() {
    watched(|| {
        let runtime = current_thread();
        let local = tokio::task::LocalSet::new();
        let sum = local.block_on(&runtime, async {
            let unsend = std::rc::Rc::new(1);
            scope(Tokio::current().unwrap(), |group| async move {
                let two = group.spawn(async { Ok::<_, Infallible>(2) });
                Ok(*unsend + two.value().await)
            })
            .await
        });
        assert_eq!(sum.unwrap(), 3);
    });
}

#[test]
fn a_scope_in_block_in_place_ends_when_the_child_around_it_is_cut() {
    watched(|| {
        let (runtime, ledger, begun) = (workers(4), Ledger::default(), Gate::new());
        let group = TaskGroup::new(runtime.handle().clone());
        let (handle, children, open) = (runtime.handle().clone(), ledger.clone(), begun.clone());
        group.launch(ledger.track(async move {
            let inner = scope(handle.clone(), |inner| async move {
                inner.launch(children.track(std::future::pending::<()>()));
                open.open();
                std::future::pending::<Result<(), Infallible>>().await
            });
            let ended = tokio::task::block_in_place(|| handle.block_on(inner));
            assert!(ended.unwrap_err().is_cancelled());
        }));
        block_on(begun.wait());
        group.cancel();
        block_on(group.join()).unwrap();
        assert_eq!(ledger.read().alive(), 0);
    });
}
