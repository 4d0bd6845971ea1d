//! Children that are not `Send`, on executors that stay on one thread.

use std::future::{Future, pending};
use std::marker::PhantomData;
use std::rc::{Rc, Weak};
use std::thread::{self, ThreadId};

use futures_lite::future::{block_on, yield_now};
use taskgroup::runtime::LocalSpawner;
use taskgroup::{CancelReason, TaskGroup, scope};
use taskgroup_conformance::ledger::{Ledger, Log, Tally};
use taskgroup_conformance::spawners::ThreadEach;
use taskgroup_conformance::{errors, panic_text, quiet_panic, watched};

/// An executor of one thread.
trait Local {
    type Spawner: LocalSpawner;
    type Weak: LocalSpawner;

    fn new() -> Self;
    fn spawner(&self) -> Self::Spawner;
    fn weak(&self) -> Self::Weak;
    fn block_on<F: Future>(&self, host: F) -> F::Output;
}

#[cfg(feature = "smol")]
impl Local for Rc<async_executor::LocalExecutor<'static>> {
    type Spawner = Self;
    type Weak = Weak<async_executor::LocalExecutor<'static>>;

    fn new() -> Self {
        Rc::new(async_executor::LocalExecutor::new())
    }

    fn spawner(&self) -> Self {
        self.clone()
    }

    fn weak(&self) -> Self::Weak {
        Rc::downgrade(self)
    }

    fn block_on<F: Future>(&self, host: F) -> F::Output {
        block_on(self.run(host))
    }
}

#[cfg(feature = "tokio")]
impl Local for (Rc<tokio::task::LocalSet>, tokio::runtime::Runtime) {
    type Spawner = Rc<tokio::task::LocalSet>;
    type Weak = Weak<tokio::task::LocalSet>;

    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        (Rc::new(tokio::task::LocalSet::new()), runtime)
    }

    fn spawner(&self) -> Self::Spawner {
        self.0.clone()
    }

    fn weak(&self) -> Self::Weak {
        Rc::downgrade(&self.0)
    }

    fn block_on<F: Future>(&self, host: F) -> F::Output {
        self.0.block_on(&self.1, host)
    }
}

macro_rules! suite {
    ($($case:ident)*) => {
        #[cfg(feature = "smol")]
        runtime!(local_executor = std::rc::Rc<async_executor::LocalExecutor<'static>>; $($case)*);
        #[cfg(feature = "tokio")]
        runtime!(local_set = (std::rc::Rc<tokio::task::LocalSet>, tokio::runtime::Runtime); $($case)*);
    };
}

macro_rules! runtime {
    ($runtime:ident = $local:ty; $($case:ident)*) => {
        mod $runtime {
            $(#[test]
            fn $case() {
                super::watched(|| super::$case(<$local as super::Local>::new()));
            })*
        }
    };
}

suite! {
    futures_and_values_need_not_be_send
    a_failure_cancels_the_siblings
    a_panic_is_resumed
    a_cancel_from_another_thread_drops_the_future_on_its_own
    a_closed_group_takes_none
    an_executor_that_is_dropped_loses_its_children
    a_child_that_holds_its_group_keeps_no_executor_that_the_group_does_not_keep
    children_here_and_elsewhere_share_one_fate
}

fn futures_and_values_need_not_be_send<L: Local>(local: L) {
    local.block_on(async {
        let value = scope(local.spawner(), |group| async move {
            let shared = Rc::new(3);
            let (launched, spawned) = (shared.clone(), shared.clone());
            group.launch_local(async move { drop(launched) });
            let named = group.child().name("local").spawn_local(async move { Ok::<_, &str>(spawned) });
            assert_eq!(named.name(), Some("local"));
            let value = named.value().await;
            group.idle().await;
            Ok((Rc::strong_count(&shared), *value))
        });
        assert_eq!(value.await.unwrap(), (2, 3));
    });
}

fn a_failure_cancels_the_siblings<L: Local>(local: L) {
    let (ledger, there) = (Ledger::default(), Tally::new());
    local.block_on(async {
        let group = TaskGroup::fallible(local.spawner());
        let begun = there.clone();
        group.launch_local(ledger.track(async move {
            begun.add();
            pending::<()>().await
        }));
        there.take(1).await;
        group.launch_local(ledger.track(async { Err::<(), _>("broken") }));
        assert_eq!(errors(&group.join().await.unwrap_err()), ["broken"]);
    });
    assert_eq!((ledger.read().completed, ledger.read().dropped), (1, 2));
}

fn a_panic_is_resumed<L: Local>(local: L) {
    local.block_on(async {
        let group = TaskGroup::new(local.spawner());
        group.launch_local(async { quiet_panic("boom") as () });
        assert_eq!(panic_text(group.join()).await, "boom");
    });
}

/// Is not `Send`, and records the thread on which it is dropped.
struct Stays(Log, PhantomData<Rc<()>>);

impl Drop for Stays {
    fn drop(&mut self) {
        self.0.write(id(thread::current().id()));
    }
}

fn id(thread: ThreadId) -> String {
    format!("{thread:?}")
}

fn a_cancel_from_another_thread_drops_the_future_on_its_own<L: Local>(local: L) {
    let (log, there) = (Log::default(), Tally::new());
    local.block_on(async {
        let group = TaskGroup::new(local.spawner());
        let (stays, begun) = (Stays(log.clone(), PhantomData), there.clone());
        let handle = group.spawn_local(async move {
            let _stays = stays;
            begun.add();
            pending::<()>().await
        });
        there.take(1).await;
        let cancel = handle.cancel_handle();
        thread::spawn(move || cancel.cancel()).join().unwrap();
        assert!(handle.await.unwrap_err().is_cancelled());
        group.join().await.unwrap();
    });
    assert_eq!(log.lines(), [id(thread::current().id())]);
}

fn a_closed_group_takes_none<L: Local>(local: L) {
    let ledger = Ledger::default();
    let group = TaskGroup::new(local.spawner());
    group.close();
    let refused = group.spawn_local(ledger.track(pending::<()>()));
    group.launch_local(ledger.track(pending::<()>()));
    assert!(block_on(refused).unwrap_err().is_cancelled());
    assert_eq!((ledger.read().polls, ledger.read().dropped), (0, 2));
    local.block_on(group.join()).unwrap();
}

fn a_child_that_holds_its_group_keeps_no_executor_that_the_group_does_not_keep<L: Local>(local: L) {
    let (ledger, there, group) = (Ledger::default(), Tally::new(), TaskGroup::new(local.weak()));
    let (own, begun) = (group.group(), there.clone());
    group.launch_local(ledger.track(async move {
        begun.add();
        pending::<()>().await;
        drop(own);
    }));
    local.block_on(there.take(1));
    drop(local);
    assert_eq!(ledger.read().alive(), 0);
    let late = group.spawn_local(ledger.track(async { Ok(()) }));
    assert!(block_on(late).is_err());
    let error = block_on(group.join()).unwrap_err();
    assert_eq!(error.reason(), Some(&CancelReason::Lost));
    assert_eq!((ledger.read().made, ledger.read().alive()), (2, 0));
}

fn an_executor_that_is_dropped_loses_its_children<L: Local>(local: L) {
    let ledger = Ledger::default();
    let group = TaskGroup::new(ThreadEach);
    let here = group.on(local.spawner());
    let handle = here.spawn_local(ledger.track(pending::<()>()));
    here.launch_local(ledger.track(pending::<()>()));
    local.block_on(yield_now());
    drop((here, local));
    assert!(block_on(handle).is_err());
    assert!(block_on(group.join()).unwrap_err().is_lost());
    assert_eq!((ledger.read().made, ledger.read().alive()), (2, 0));
}

fn children_here_and_elsewhere_share_one_fate<L: Local>(local: L) {
    let (ledger, there) = (Ledger::default(), Tally::new());
    local.block_on(async {
        let group = TaskGroup::fallible(ThreadEach);
        let begun = there.clone();
        group.on(local.spawner()).launch_local(ledger.track(async move {
            begun.add();
            pending::<()>().await
        }));
        there.take(1).await;
        group.launch(ledger.track(async { Err::<(), _>("elsewhere") }));
        assert_eq!(errors(&group.join().await.unwrap_err()), ["elsewhere"]);
    });
    assert_eq!((ledger.read().completed, ledger.read().dropped), (1, 2));
}
