//! A pool in the simulation: its drivers are tasks of the simulation, and poll its children.

use taskgroup::{Pool, TaskGroup};

use crate::{some, yields};

#[test]
fn a_pool_leaves_nothing() {
    some().check(async |sim| {
        let pool = Pool::new(sim.clone());
        let group = TaskGroup::new(pool.clone());
        for child in 0..5 {
            group.launch(yields(child));
        }
        group.join().await.unwrap();
        assert!(sim.alive() <= 2, "drivers: {}", sim.alive());
    });
}

/// The driver is started while a child is handed over, and outlives that child's group, which has the hook.
#[test]
fn a_driver_keeps_no_group() {
    some().check(async |sim| {
        let pool = Pool::new(sim);
        let captured = pool.clone();
        let hook = move |_: &_, _: &_| drop(captured.clone());
        let group = TaskGroup::builder::<()>(pool).on_failure(hook).open();
        group.launch(yields(1));
        group.join().await.unwrap();
    });
}
