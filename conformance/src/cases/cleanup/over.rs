//! Clean-ups that are registered when their group is over, or when the member around it is gone.
//!
//! A body can register such a clean-up in its last poll or in its destructors. The group around waits for it.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::pin;

use async_channel::bounded;
use futures_lite::future::{Boxed, block_on, or, poll_once, yield_now};
use taskgroup::{AnySpawner, Group, JoinHandle, TaskGroup, scope};

use super::body::clean;
use crate::ledger::{Gate, Log};
use crate::test::{Test, still_waits};

/// Registers a clean-up when it is dropped, in a poll or in a destructor of a body.
struct Late {
    group: Option<Group<AnySpawner>>,
    begun: Gate,
    gate: Gate,
    log: Log,
}

impl Late {
    fn of(mut self, group: Group<AnySpawner>) -> Self {
        self.group = Some(group);
        self
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        let (begun, gate, log) = (self.begun.clone(), self.gate.clone(), self.log.clone());
        self.group.take().expect("it is in a body").defer(async move {
            begun.open();
            gate.wait().await;
            clean(log).await;
        });
    }
}

/// Checks that an outer group waits for the clean-up that `host` registers late in a group inside.
async fn waits_around<F>(t: &Test, host: impl FnOnce(Group<AnySpawner>, AnySpawner, Late) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (outer, begun, gate) = (TaskGroup::new(t.spawner()), Gate::new(), Gate::new());
    let late = Late { group: None, begun: begun.clone(), gate: gate.clone(), log: t.log.clone() };
    outer.launch(t.child(host(outer.group(), t.spawner(), late)));
    begun.wait().await;
    let mut join = pin!(outer.join());
    still_waits(join.as_mut(), "the clean-up has not ended").await;
    gate.open();
    join.await.unwrap();
    assert_eq!(t.log.lines(), ["clean-up"]);
}

/// When the body is cut, nothing else is left in its group, so the group is over.
pub async fn in_a_body_that_has_just_been_cut_it_is_waited_for_around(t: &Test) {
    waits_around(t, |outer, spawner, late| async move {
        let body = scope(spawner, |group| async move {
            outer.cancel();
            drop(late.of(group));
            pending::<Result<(), Infallible>>().await
        });
        drop(body.await);
    })
    .await;
}

pub async fn in_a_destructor_of_a_body_that_is_cut_it_is_waited_for_around(t: &Test) {
    waits_around(t, |outer, spawner, late| async move {
        let body = scope(spawner, |group| async move {
            let _late = late.of(group);
            outer.cancel();
            pending::<Result<(), Infallible>>().await
        });
        drop(body.await);
    })
    .await;
}

pub async fn in_a_destructor_of_a_body_in_a_body_it_is_waited_for_around(t: &Test) {
    waits_around(t, |outer, spawner, late| async move {
        let inside = spawner.clone();
        let body = scope(spawner, |_group: Group<_>| async move {
            let body = scope(inside, |group| async move {
                let _late = late.of(group);
                outer.cancel();
                pending::<Result<(), Infallible>>().await
            });
            drop(body.await);
            Ok(())
        });
        drop(body.await);
    })
    .await;
}

pub async fn in_a_destructor_of_a_scope_that_is_given_up_it_is_waited_for_around(t: &Test) {
    waits_around(t, |_, spawner, late| async move {
        let body = scope(spawner, |group| async move {
            let _late = late.of(group);
            pending::<Result<(), Infallible>>().await
        });
        or(async { drop(body.await) }, yield_now()).await;
    })
    .await;
}

/// Returns a scope that was polled once. Its body never ends, and owns what `keep` returns.
async fn stuck<K: Send + 'static>(
    spawner: AnySpawner,
    keep: impl FnOnce(Group<AnySpawner>) -> K + Send + 'static,
) -> Boxed<()> {
    let mut stuck: Boxed<()> = Box::pin(async move {
        let body = scope(spawner, |group| async move {
            let _kept = keep(group);
            pending::<Result<(), Infallible>>().await
        });
        drop(body.await);
    });
    assert!(poll_once(stuck.as_mut()).await.is_none());
    stuck
}

/// Drops a scope that the body of another scope has returned to the host. The outer scope has ended well.
///
/// The clean-up is for the inner group or for the outer one (`of_inner`). In both cases the outer scope is linked again.
async fn carried_out(t: &Test, of_inner: bool) {
    waits_around(t, move |_, spawner, late| async move {
        let inside = spawner.clone();
        let carried = scope(spawner, |around: Group<_>| async move {
            Ok::<_, Infallible>(
                stuck(inside, move |inner| late.of(if of_inner { inner } else { around })).await,
            )
        });
        drop(carried.await.unwrap());
    })
    .await;
}

pub async fn in_a_scope_that_was_carried_out_of_its_group_it_is_waited_for_around(t: &Test) {
    carried_out(t, true).await;
}

pub async fn in_a_scope_that_was_carried_out_it_is_waited_for_where_its_group_has_ended(t: &Test) {
    carried_out(t, false).await;
}

/// Like `carried_out`, for a scope that was opened in a child which is gone by then.
///
/// So no member is left between the scope and `around` with which the clean-up could be registered.
pub async fn in_a_scope_that_outlived_its_host_it_is_waited_for_around(t: &Test) {
    waits_around(t, |_, spawner, late| async move {
        let inside = spawner.clone();
        let carried = scope(spawner, |around: Group<_>| async move {
            let (host, inner) = from_a_host(&around, inside, late.of(around.clone())).await;
            host.cancel();
            let _ = host.await;
            Ok::<_, Infallible>(inner)
        });
        drop(carried.await.unwrap());
    })
    .await;
}

/// The clean-up is for the group of the scope. Another child of `outer` drops the scope.
pub async fn in_a_scope_that_was_handed_to_a_sibling_it_is_waited_for_around(t: &Test) {
    waits_around(t, |outer, spawner, late| async move {
        let (give, take) = bounded(1);
        let opener = outer.spawn(async move {
            give.try_send(stuck(spawner, |group| late.of(group)).await).unwrap();
            Ok(())
        });
        opener.await.unwrap();
        drop(take.try_recv().unwrap());
    })
    .await;
}

/// Opens a scope whose body owns `kept`, in a new child of `group` that never ends. Returns the child and the scope.
async fn from_a_host<K: Send + 'static>(
    group: &Group<AnySpawner>,
    spawner: AnySpawner,
    kept: K,
) -> (JoinHandle<()>, Boxed<()>) {
    let (give, take) = bounded(1);
    let host = group.spawn(async move {
        give.try_send(stuck(spawner, |_| kept).await).unwrap();
        pending::<()>().await
    });
    (host, take.recv().await.unwrap())
}

/// Polls [`Group::idle`] once when it is dropped: a child has to be there.
struct Idles(Group<AnySpawner>);

impl Drop for Idles {
    fn drop(&mut self) {
        assert!(block_on(poll_once(self.0.idle())).is_none(), "somebody is there");
    }
}

/// Registers the clean-up for the group of the host, with no group in between.
///
/// If `with_another`, another child may have the slot of the host by then.
async fn outlived(t: &Test, with_another: bool) {
    let group = TaskGroup::new(t.spawner());
    let (begun, gate, log) = (Gate::new(), Gate::new(), t.log.clone());
    gate.open();
    let late = Late { group: None, begun: begun.clone(), gate, log }.of(group.group());
    let idles = with_another.then(|| Idles(group.group()));
    let (host, inner) = from_a_host(&group, t.spawner(), (idles, late)).await;
    host.cancel();
    assert!(host.await.unwrap_err().is_cancelled());
    group.idle().await;
    if with_another {
        group.launch(t.child(async move { begun.wait().await }));
    }
    drop(inner);
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["clean-up"]);
}

pub async fn in_a_scope_that_outlived_its_host_it_runs_at_once(t: &Test) {
    outlived(t, false).await;
}

pub async fn in_a_scope_that_outlived_its_host_it_does_not_wait_for_whoever_has_its_place(t: &Test) {
    outlived(t, true).await;
}
