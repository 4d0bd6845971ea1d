//! What is special about async-std.

use std::cell::Cell;
use std::convert::Infallible;

use async_std::task;
use taskgroup::{AsyncStd, TaskGroup, scope};
use taskgroup_conformance::ledger::{Gate, Ledger};
use taskgroup_conformance::{panic_text, watched};

async_std::task_local! {
    static NUMBER: Cell<u32> = Cell::new(0);
}

#[test]
fn every_child_is_a_task_with_locals_of_its_own() {
    watched(|| {
        task::block_on(async {
            let ids = scope(AsyncStd, |group| async move {
                let child = |n| async move {
                    NUMBER.with(|number| number.set(number.get() + n));
                    task::yield_now().await;
                    assert_eq!(NUMBER.with(Cell::get), n);
                    Ok::<_, Infallible>(task::current().id())
                };
                let (a, b) = (group.spawn(child(1)), group.spawn(child(2)));
                Ok([a.value().await, b.value().await])
            });
            let [a, b] = ids.await.unwrap();
            assert_ne!(a, b);
        })
    });
}

#[test]
fn its_join_handles_can_be_adopted() {
    watched(|| {
        task::block_on(async {
            let ledger = Ledger::default();
            let group = TaskGroup::fallible::<&str>(AsyncStd);
            let value = group.adopt(task::spawn(ledger.track(async { Ok(1) })));
            assert_eq!(value.await.unwrap(), 1);

            let started = Gate::new();
            let open = started.clone();
            let stuck = group.adopt(task::spawn(ledger.track(async move {
                open.open();
                std::future::pending::<Result<(), &str>>().await
            })));
            started.wait().await;
            stuck.cancel();
            assert!(stuck.await.unwrap_err().is_cancelled());
            assert_eq!(ledger.read().alive(), 0);

            group.adopt(task::spawn(async { panic!("in the task") as Result<(), &str> }));
            assert_eq!(panic_text(group.join()).await, "in the task");
        })
    });
}
