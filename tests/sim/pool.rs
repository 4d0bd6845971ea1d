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
