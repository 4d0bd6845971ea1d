//! Code that blocks on a future of this crate inside a member that is being dropped. Nothing drops that future, so it has to
//! become ready.

use std::convert::Infallible;
use std::future::{Future, pending, ready};
use std::pin::pin;
use std::task::{Context, Waker};

use futures_lite::future::{block_on, yield_now};
use taskgroup::{Spawner, TaskGroup, scope, shield};

use crate::ledger::Gate;
use crate::test::Test;

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Runs `f` in the destructor of a cancelled child, and checks that `f` returned.
async fn in_a_destructor(t: &Test, mut f: impl FnMut() + Send + 'static) {
    let (group, begun) = (TaskGroup::new(t.spawner()), Gate::new());
    let (open, log) = (begun.clone(), t.log.clone());
    group.launch(t.child(async move {
        let _dropped = OnDrop(move || {
            f();
            log.write("came to its end");
        });
        open.open();
        pending::<()>().await
    }));
    begun.wait().await;
    group.cancel();
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["came to its end"]);
}

pub async fn o_87_a_shield_in_a_destructor(t: &Test) {
    in_a_destructor(t, || block_on(shield(yield_now()))).await;
}

pub async fn a_scope_in_a_destructor_is_born_cancelled(t: &Test) {
    let spawner = t.spawner();
    in_a_destructor(t, move || {
        let scope = scope(spawner.clone(), |_| async { Ok::<_, Infallible>(()) });
        assert!(block_on(scope).unwrap_err().is_cancelled());
    })
    .await;
}

pub async fn a_group_of_no_relation_in_a_destructor(t: &Test) {
    let spawner = t.spawner();
    in_a_destructor(t, move || {
        let group = TaskGroup::root(spawner.clone());
        group.cancel();
        block_on(group.join()).unwrap();
    })
    .await;
}

/// As many as no combinator asks for in one poll, however deep they are nested.
pub async fn every_answer_is_held_back_for_as_many_polls(t: &Test) {
    fn pending_polls(future: impl Future) -> usize {
        let (mut future, mut cx) = (pin!(future), Context::from_waker(Waker::noop()));
        (0..).find(|_| future.as_mut().poll(&mut cx).is_ready()).unwrap()
    }

    let spawner = t.spawner();
    in_a_destructor(t, move || {
        let group = TaskGroup::root(spawner.clone());
        group.cancel();
        let scope = scope(spawner.clone(), |_| async { Ok::<_, Infallible>(()) });
        let polls = [pending_polls(group.join()), pending_polls(scope), pending_polls(shield(ready(())))];
        assert_eq!(polls, [16; 3]);
    })
    .await;
}

pub async fn a_group_that_its_owner_joins_in_its_destructor(t: &Test) {
    struct Server<S: Spawner>(Option<TaskGroup<S>>);

    impl<S: Spawner> Drop for Server<S> {
        fn drop(&mut self) {
            let group = self.0.take().unwrap();
            assert_eq!(group.len(), 0, "teardown goes from the inside out, so it has ended already");
            assert!(block_on(group.join()).unwrap_err().is_cancelled());
        }
    }

    let (outer, begun) = (TaskGroup::new(t.spawner()), Gate::new());
    let (open, spawner, ledger) = (begun.clone(), t.spawner(), t.ledger.clone());
    outer.launch(t.child(async move {
        let server = Server(Some(TaskGroup::new(spawner)));
        server.0.as_ref().unwrap().launch(ledger.track(pending::<()>()));
        open.open();
        pending::<()>().await;
        drop(server);
    }));
    begun.wait().await;
    outer.cancel();
    outer.join().await.unwrap();
    assert_eq!(t.ledger.read().dropped, 2);
}
