//! What members of the models count and record.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// A number that members count in.
#[derive(Clone, Debug, Default)]
pub struct Count(Arc<AtomicU32>);

impl Count {
    pub fn add(&self) -> u32 {
        self.0.fetch_add(1, SeqCst) + 1
    }

    pub fn sub(&self) {
        self.0.fetch_sub(1, SeqCst);
    }

    pub fn get(&self) -> u32 {
        self.0.load(SeqCst)
    }

    /// Counts one more until the value that it returns is dropped.
    pub fn hold(&self) -> Held {
        self.add();
        Held(self.clone())
    }
}

pub struct Held(Count);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.sub();
    }
}

/// What was recorded, in order.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Vec<u32>>>);

impl Log {
    pub fn write(&self, what: u32) {
        self.0.lock().unwrap().push(what);
    }

    pub fn read(&self) -> Vec<u32> {
        self.0.lock().unwrap().clone()
    }

    /// Writes when the value that it returns is dropped.
    pub fn at_the_end(&self, what: u32) -> impl Drop + Send + use<> {
        struct End(Log, u32);
        impl Drop for End {
            fn drop(&mut self) {
                self.0.write(self.1);
            }
        }
        End(self.clone(), what)
    }
}
