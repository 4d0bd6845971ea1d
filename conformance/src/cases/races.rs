//! Things that happen at the same time: hundreds of rounds in each case, from threads that no runtime knows.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::thread;

use futures_lite::future::yield_now;
use taskgroup::TaskGroup;

use crate::test::Test;

pub async fn nothing_starts_once_join_has_returned(t: &Test) {
    for _ in 0..t.pick(500, 50) {
        let group = TaskGroup::new(t.spawner());
        let (outside, start) = (group.group(), Arc::new(Barrier::new(2)));
        let (ledger, began, joined) = (t.ledger.clone(), start.clone(), Arc::new(AtomicBool::new(false)));
        let ended = joined.clone();
        let spawning = thread::spawn(move || {
            began.wait();
            let mut accepted = 0;
            // Bounded, because this loop may always be faster than the children.
            while accepted < 20 {
                let late = ended.load(SeqCst);
                match outside.try_spawn(ledger.track(async {})) {
                    Ok(_) => assert!(!late, "taken after the end"),
                    Err(refused) => return drop(refused),
                }
                accepted += 1;
            }
        });
        start.wait();
        yield_now().await;
        group.join().await.unwrap();
        joined.store(true, SeqCst);
        let polls = t.ledger.read().polls;
        spawning.join().unwrap();
        assert_eq!(t.ledger.read().polls, polls);
        assert_eq!(t.ledger.read().alive(), 0);
    }
}

pub async fn a_cancel_meets_spawning_from_elsewhere(t: &Test) {
    for _ in 0..t.pick(500, 50) {
        let group = TaskGroup::new(t.spawner());
        let (outside, start) = (group.group(), Arc::new(Barrier::new(2)));
        let (ledger, began) = (t.ledger.clone(), start.clone());
        let spawning = thread::spawn(move || {
            began.wait();
            while let Ok(handle) = outside.try_spawn(ledger.track(std::future::pending::<()>())) {
                handle.cancel_handle().cancel();
            }
        });
        start.wait();
        yield_now().await;
        group.cancel();
        spawning.join().unwrap();
        group.join().await.unwrap();
        assert_eq!(t.ledger.read().alive(), 0);
    }
}
