//! Pools on async-std.

use taskgroup::AsyncStd;

use super::*;

#[test]
fn nothing_is_left() {
    run(runtimes::async_std, super::nothing_is_left);
}

#[test]
fn a_child_blocks_its_thread_and_waits_for_a_sibling() {
    if thread::available_parallelism().unwrap().get() < 2 {
        return;
    }
    watched(|| {
        let (group, children) = (TaskGroup::new(Pool::new(AsyncStd)), Ledger::default());
        let (ask, asked) = async_channel::bounded::<()>(1);
        let (spawn, counted) = (group.group(), children.clone());
        group.launch(children.track(async move {
            spawn.launch(counted.track(async move { drop(ask) }));
            let _closed = asked.recv_blocking();
        }));
        block_on(group.join()).unwrap();
        assert_eq!(children.read().completed, 2);
    });
}

#[test]
fn a_child_cancels_many_and_blocks_until_they_are_gone() {
    if thread::available_parallelism().unwrap().get() < 2 {
        return;
    }
    watched(|| whoever_cancels_many_blocks_until_they_are_gone(AsyncStd));
}
