//! The public types: their traits and sizes. Also checks that the first lines a user writes compile as they stand.

use std::convert::Infallible;
use std::error::Error;
use std::fmt::Debug;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use futures_lite::future::block_on;
use taskgroup::error::*;
use taskgroup::future::*;
use taskgroup::group::*;
use taskgroup::*;
use taskgroup_conformance::spawners::ThreadEach;

fn is_send<T: Send>() {}
fn is_sync<T: Sync>() {}
fn is_unpin<T: Unpin>() {}
fn is_static<T: 'static>() {}
fn is_error<T: Error + Send + Sync + 'static>() {}
fn is_debug<T: Debug>() {}
fn is_unwind_safe<T: UnwindSafe + RefUnwindSafe>() {}

#[derive(Debug)]
#[allow(dead_code, reason = "only its type counts")]
struct Hostile(std::cell::Cell<()>);

#[test]
fn types_have_the_auto_traits_that_users_need() {
    is_send::<Group<ThreadEach, Hostile>>();
    is_sync::<Group<ThreadEach, Hostile>>();
    is_static::<Group<ThreadEach, Hostile>>();
    is_unpin::<Group<ThreadEach, Hostile>>();
    is_send::<TaskGroup<ThreadEach, Hostile>>();
    is_sync::<TaskGroup<ThreadEach, Hostile>>();
    is_unpin::<TaskGroup<ThreadEach, Hostile>>();
    is_send::<Join<ThreadEach, Hostile>>();
    is_sync::<Join<ThreadEach, Hostile>>();
    is_unpin::<Join<ThreadEach, Hostile>>();
    is_send::<JoinHandle<Hostile>>();
    is_sync::<JoinHandle<Hostile>>();
    is_unpin::<JoinHandle<std::marker::PhantomPinned>>();
    is_send::<Value<Hostile>>();
    is_send::<CancelHandle>();
    is_sync::<CancelHandle>();
    is_unpin::<CancelHandle>();
    is_send::<Builder<ThreadEach, Hostile>>();
    is_send::<GroupError<Hostile>>();
    is_sync::<GroupError<u8>>();
    is_send::<Failure<Hostile>>();
    is_sync::<Payload>();
    is_error::<GroupError<std::io::Error>>();
    is_error::<JoinError>();
    is_error::<SpawnError<std::future::Ready<()>>>();
    is_send::<Shield<std::future::Ready<()>>>();
    is_send::<ChildBuilder<'_, ThreadEach, Hostile>>();
    is_sync::<ChildBuilder<'_, ThreadEach, Hostile>>();
    is_send::<Results<ThreadEach, Hostile, Hostile>>();
    is_sync::<Results<ThreadEach, Hostile, Hostile>>();
    is_unpin::<Results<ThreadEach, std::marker::PhantomPinned, Hostile>>();
    is_send::<InOrder<ThreadEach, Hostile, Hostile>>();
    is_unpin::<InOrder<ThreadEach, std::marker::PhantomPinned, Hostile>>();
    is_send::<Keyed<ThreadEach, Hostile, Hostile>>();
    is_sync::<Keyed<ThreadEach, Hostile, Hostile>>();
    is_static::<Keyed<ThreadEach, Hostile, Hostile>>();
    is_send::<Finish<Hostile>>();
    is_sync::<Finish<Hostile>>();
    is_send::<Racers<ThreadEach, Hostile, Hostile>>();
    is_sync::<Racers<ThreadEach, Hostile, Hostile>>();
    is_send::<Ready<Hostile>>();
    is_unpin::<Ready<std::marker::PhantomPinned>>();
    is_send::<Start<Hostile, Hostile>>();
    is_unpin::<Start<std::marker::PhantomPinned, Hostile>>();
    is_send::<Shutdown<ThreadEach, Hostile>>();
    is_unpin::<Shutdown<ThreadEach, Hostile>>();
    is_unpin::<Shutdown<ThreadEach, std::marker::PhantomPinned, std::future::Pending<()>>>();
    is_send::<CancelOnDrop<Hostile>>();
    is_sync::<CancelOnDrop<Hostile>>();
    is_unpin::<CancelOnDrop<std::marker::PhantomPinned>>();
    is_debug::<(CancelOnDrop<Hostile>, Shutdown<ThreadEach, Hostile>)>();
    is_send::<Finally<std::future::Ready<()>, Hostile>>();
    is_send::<ShutdownReport>();
    is_sync::<ShutdownReport>();
    is_send::<Metrics>();
    is_sync::<Metrics>();
    is_unpin::<Metrics>();
    is_debug::<(Metrics, Timing)>();
    is_send::<AnySpawner>();
    is_sync::<AnySpawner>();
    is_send::<AnyTimedSpawner>();
    is_sync::<AnyTimedSpawner>();
    is_send::<taskgroup::runtime::Hooked<ThreadEach, ()>>();
    is_error::<StartError<std::io::Error>>();
    is_error::<Cut>();
    is_debug::<(
        AnySpawner,
        AnyTimedSpawner,
        ShutdownReport,
        StartError<u8>,
        Ready<Hostile>,
        Start<Hostile, Hostile>,
    )>();
    is_debug::<(Finish<Hostile>, Racers<ThreadEach, Hostile, Hostile>, Keyed<ThreadEach, Hostile, Hostile>)>(
    );
    is_debug::<(Results<ThreadEach, Hostile, Hostile>, InOrder<ThreadEach, Hostile, Hostile>)>();
    is_debug::<(CancelReason, Origin, Payload, Failure<u8>, JoinError, GroupError<u8>)>();
}

#[test]
fn whoever_catches_panics_may_hold_what_leads_to_a_group() {
    is_unwind_safe::<Group<ThreadEach, Hostile>>();
    is_unwind_safe::<TaskGroup<ThreadEach, Hostile>>();
    is_unwind_safe::<JoinHandle<Hostile>>();
    is_unwind_safe::<CancelHandle>();
    is_unwind_safe::<CancelOnDrop<Hostile>>();
    is_unwind_safe::<Keyed<ThreadEach, u8, Hostile>>();
    is_unwind_safe::<Metrics>();
    is_unwind_safe::<AnySpawner>();
    is_unwind_safe::<AnyTimedSpawner>();
    is_unwind_safe::<Results<ThreadEach, u8, Hostile>>();
    is_unwind_safe::<Join<ThreadEach, Hostile>>();
    is_unwind_safe::<Shutdown<ThreadEach, Hostile>>();
    is_unwind_safe::<Value<Hostile>>();
    is_unwind_safe::<Racers<ThreadEach, Hostile, Hostile>>();
    is_unwind_safe::<Finish<Hostile>>();
    #[cfg(feature = "smol")]
    is_unwind_safe::<(Group<Smol>, Group<std::rc::Weak<smol::LocalExecutor<'static>>>)>();
    #[cfg(feature = "tokio")]
    is_unwind_safe::<(Group<tokio::runtime::Handle>, TaskGroup<std::rc::Rc<tokio::task::LocalSet>>)>();
    #[cfg(feature = "async-std")]
    is_unwind_safe::<Group<AsyncStd>>();
    #[cfg(feature = "pool")]
    is_unwind_safe::<Group<Pool<ThreadEach>>>();
    is_unwind_safe::<Snapshot>();
}

fn sendable<T: Send>(value: T) -> T {
    value
}

#[test]
fn a_scope_is_send_when_its_parts_are() {
    let value = sendable(scope(ThreadEach, |group| async move {
        let handle = group.spawn(async { Ok::<_, Infallible>(1) });
        Ok(handle.value().await)
    }));
    assert_eq!(block_on(value).unwrap(), 1);
}

#[test]
fn a_race_is_send_when_its_parts_are() {
    let value = sendable(race(ThreadEach, |racers| async move {
        racers.enter(async { Ok::<_, Infallible>(1) });
        Ok(())
    }));
    assert_eq!(block_on(value).unwrap(), 1);
}

async fn fetch(what: &'static str) -> Result<usize, std::io::Error> {
    Ok(what.len())
}

async fn connection(_stream: u32) {}

async fn what_the_user_writes(
    spawner: ThreadEach,
    stream: u32,
) -> Result<usize, Box<dyn Error + Send + Sync>> {
    let total = taskgroup::scope(spawner.clone(), |group| async move {
        let a = group.spawn(fetch("a")); // Future<Output = Result<T, E>>, (), or !
        let b = group.spawn(fetch("b"));
        Ok(a.value().await + b.value().await)
    })
    .await?; // the first Err cancels the others; all are gone before this line

    let group = TaskGroup::new(spawner); // free-standing, for example a field of a server; its children cannot fail
    group.launch(connection(stream));
    group.join().await?; // or shutdown(grace), cancel(), drop
    Ok(total)
}

#[test]
fn what_the_user_writes_compiles_and_runs() {
    assert_eq!(block_on(what_the_user_writes(ThreadEach, 1)).unwrap(), 2);
}

#[test]
fn children_may_return_nothing_a_result_or_never() {
    async fn forever() -> ! {
        std::future::pending().await
    }

    let group = TaskGroup::fallible::<String>(ThreadEach);
    group.launch(async {});
    group.launch(async { Ok::<u8, String>(1) });
    let never = group.spawn(forever());
    never.cancel();
    assert!(block_on(never).unwrap_err().is_cancelled());
    block_on(group.join()).unwrap();
}

#[test]
fn debug_and_display_say_something() {
    let group = TaskGroup::fallible::<&str>(ThreadEach);
    let handle = group.spawn(async { Err::<(), _>("disk full") });
    assert!(format!("{group:?}").contains("len"));
    assert!(format!("{handle:?}").contains("id"));
    let error = block_on(handle).unwrap_err();
    assert!(error.to_string().contains("api.rs") && error.to_string().ends_with("failed"));
    let error = block_on(group.join()).unwrap_err();
    assert!(error.to_string().starts_with("child 1, spawned at tests/it/api.rs"), "{error}");
    assert!(error.to_string().ends_with(", failed: disk full"), "{error}");
    let origin = error.origin().unwrap().to_string();
    assert!(origin.starts_with("child 1, spawned at tests/it/api.rs") && !origin.ends_with(','), "{origin}");
    assert!(format!("{error:?}").contains("disk full"));
}

/// A program whose `main` returns the error prints this.
#[test]
fn the_debug_form_of_an_error_is_one_readable_line() {
    let group = TaskGroup::fallible::<&str>(ThreadEach);
    group.launch(async { Err::<(), _>("disk full") });
    let line = format!("{:?}", block_on(group.join()).unwrap_err());
    let origin = "Origin(child 1, spawned at tests/it/api.rs:";
    assert!(line.starts_with(&format!("GroupError {{ failures: [({origin}")), "{line}");
    assert!(!line.contains("Location {") && line.len() < 250, "{line}");
}

/// Shows its causes only in the alternate form, as the errors of `anyhow` and `eyre` do.
#[derive(Debug)]
struct Layered;

impl std::fmt::Display for Layered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if f.alternate() { "reading the config: not found" } else { "reading the config" })
    }
}

#[test]
fn the_causes_of_an_error_are_shown_with_it() {
    let group = TaskGroup::fallible::<Layered>(ThreadEach);
    group.launch(async { Err::<(), _>(Layered) });
    let error = block_on(group.join()).unwrap_err();
    assert!(error.to_string().ends_with("failed: reading the config: not found"), "{error}");
    let error = StartError::Failed(Layered);
    assert!(error.to_string().ends_with("ready: reading the config: not found"), "{error}");
}

#[test]
fn in_a_function_of_io_results_a_group_is_asked_with_a_question_mark() {
    async fn child_of_its_own(cancelled: bool) -> std::io::Result<()> {
        scope(ThreadEach, |group| async move {
            match cancelled {
                true => group.cancel(),
                false => group.launch(async { Err::<(), _>(std::io::ErrorKind::NotFound.into()) }),
            }
            std::future::pending().await
        })
        .await?;
        Ok(())
    }

    assert_eq!(block_on(child_of_its_own(false)).unwrap_err().kind(), std::io::ErrorKind::NotFound);
    let error = block_on(child_of_its_own(true)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::Other);
    assert!(error.get_ref().unwrap().downcast_ref::<GroupError<std::io::Error>>().unwrap().is_cancelled());
}

#[test]
fn a_group_that_was_cut_short_is_named() {
    let line = std::panic::Location::caller().file();
    for name in [None, Some("page 504")] {
        let mut scope = scope(ThreadEach, |group: Group<_>| async move {
            group.cancel_with("enough");
            std::future::pending::<Result<(), _>>().await
        });
        if let Some(name) = name {
            scope = scope.name(name);
        }
        let error = block_on(scope).unwrap_err();
        assert_eq!((error.group_path(), error.group_location().file()), (name, line));
        let at = error.group_location();
        let text = match name {
            Some(name) => format!("{name}, opened at {at}, was cut short: cancelled: enough"),
            None => format!("the group opened at {at} was cut short: cancelled: enough"),
        };
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn a_group_is_one_pointer_whatever_its_spawner() {
    struct Large([u64; 100]);
    assert_eq!(size_of::<Group<Large>>(), size_of::<usize>());
    // The spawner need not be `Clone` either.
    let group = TaskGroup::new(Large([0; 100]));
    assert_eq!(group.group().clone().spawner().0.len(), 100);
}

/// A child takes sixteen bytes beside its future, and eight more if it has a handle.
#[test]
fn a_child_is_little_more_than_its_future() {
    /// Records the size of each future that it is given, and drops the future.
    #[derive(Clone)]
    struct Measuring(Arc<AtomicUsize>);

    impl Spawner for Measuring {
        fn spawn<F>(&self, future: F) -> Task<()>
        where
            F: Future<Output = ()> + Send + 'static,
        {
            self.0.store(size_of_val(&future), SeqCst);
            drop(future);
            adopt(())
        }
    }

    let size = Arc::new(AtomicUsize::new(0));
    let open = || TaskGroup::new(Measuring(size.clone()));
    let future = Box::pin(async {});
    let own = size_of_val(&future);
    open().launch(future);
    assert_eq!(size.load(SeqCst), own + 16);
    drop(open().spawn(Box::pin(async {})));
    assert_eq!(size.load(SeqCst), own + 24);
}
