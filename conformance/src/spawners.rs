//! Spawners as a third party would write them, with only the public API.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, OnceLock, Weak, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use taskgroup::async_task::{self, Runnable};
use taskgroup::runtime::Dependent;
use taskgroup::{Spawner, Task};

/// Runs each child on its own thread.
#[derive(Clone, Debug)]
pub struct ThreadEach;

impl Spawner for ThreadEach {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (send, queue) = mpsc::channel::<Runnable>();
        let (runnable, task) = async_task::spawn(future, move |runnable| drop(send.send(runnable)));
        runnable.schedule();
        thread::Builder::new()
            .stack_size(256 << 10)
            .spawn(move || drive(queue))
            .expect("a thread can be had");
        task
    }
}

fn drive(queue: mpsc::Receiver<Runnable>) {
    for runnable in queue {
        runnable.run();
    }
}

/// Polls a child for the first time inside of `spawn`, and later on a separate thread.
#[derive(Clone, Debug)]
pub struct Inline;

impl Spawner for Inline {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (runnable, task) = async_task::spawn(future, |runnable| drop(inline_queue().send(runnable)));
        runnable.run();
        task
    }
}

fn inline_queue() -> &'static mpsc::Sender<Runnable> {
    static QUEUE: OnceLock<mpsc::Sender<Runnable>> = OnceLock::new();
    QUEUE.get_or_init(|| {
        let (send, queue) = mpsc::channel::<Runnable>();
        thread::spawn(move || drive(queue));
        send
    })
}

/// Drops each future that it is given, as a runtime does that has shut down.
#[derive(Clone, Debug)]
pub struct Dropping;

impl Spawner for Dropping {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        drop(future);
        taskgroup::adopt(())
    }
}

/// Polls a child once, when it is spawned, and tells its groups when the runtime is gone.
#[derive(Clone, Debug, Default)]
pub struct Mortal(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
struct Told {
    gone: bool,
    dependents: Vec<Weak<dyn Dependent>>,
}

impl Mortal {
    /// Ends the runtime, and tells the groups on it that it polls nothing any more.
    pub fn die(&self) {
        let mut told = self.0.lock().unwrap();
        told.gone = true;
        let dependents = std::mem::take(&mut told.dependents);
        drop(told);
        dependents.iter().filter_map(Weak::upgrade).for_each(Dependent::runtime_lost);
    }
}

impl Spawner for Mortal {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (runnable, task) = async_task::spawn(future, drop);
        runnable.run();
        task
    }

    fn register(&self, dependent: Weak<dyn Dependent>) {
        let mut told = self.0.lock().unwrap();
        match told.gone {
            false => told.dependents.push(dependent),
            true => {
                drop(told);
                dependent.upgrade().into_iter().for_each(Dependent::runtime_lost);
            }
        }
    }
}

/// Runs a child where it is woken, so inside of the code that wakes it or drops its handle.
#[derive(Clone, Debug)]
pub struct WhereWoken;

impl Spawner for WhereWoken {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (runnable, task) = async_task::spawn(future, |runnable: Runnable| {
            runnable.run();
        });
        runnable.run();
        task
    }
}

/// Polls children in random order, and more often than they are woken.
///
/// - It polls them on two threads, with a new waker each time.
/// - It passes wake-ups on late, twice, and from a separate thread, even when the child has ended.
/// - It polls a child that was woken more often than it was woken.
#[derive(Clone, Debug)]
pub struct Spurious;

impl Spawner for Spurious {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let restless = Restless { future: Box::pin(future), polls: 0 };
        let (runnable, task) = async_task::spawn(restless, |runnable| heap().push(runnable));
        runnable.schedule();
        task
    }
}

struct Restless<F> {
    future: Pin<Box<F>>,
    polls: usize,
}

impl<F: Future<Output = ()>> Future for Restless<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let waker = Waker::from(Arc::new(Late(cx.waker().clone())));
        // A child that is never woken is polled only once: cases rely on that.
        let times = if self.polls == 0 { 1 } else { 2 };
        for _ in 0..times {
            if self.future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                return Poll::Ready(());
            }
        }
        // Wakes the child again, but not for ever.
        if self.polls % 2 == 1 {
            cx.waker().wake_by_ref();
        }
        self.polls += 1;
        Poll::Pending
    }
}

struct Late(Waker);

impl Wake for Late {
    fn wake(self: Arc<Self>) {
        static LATE: OnceLock<mpsc::Sender<Waker>> = OnceLock::new();
        let late = LATE.get_or_init(|| {
            let (send, queue) = mpsc::channel::<Waker>();
            thread::spawn(move || {
                for waker in queue {
                    thread::yield_now();
                    waker.wake_by_ref();
                    waker.wake();
                }
            });
            send
        });
        drop(late.send(self.0.clone()));
    }
}

/// Children that are ready to be polled, in no order.
#[derive(Default)]
struct Heap {
    runnables: Mutex<Vec<Runnable>>,
    more: Condvar,
}

impl Heap {
    fn push(&self, runnable: Runnable) {
        self.runnables.lock().unwrap().push(runnable);
        self.more.notify_one();
    }

    fn take(&self) -> Runnable {
        let runnables = self.runnables.lock().unwrap();
        let mut runnables = self.more.wait_while(runnables, |runnables| runnables.is_empty()).unwrap();
        let any = fastrand::usize(..runnables.len());
        runnables.swap_remove(any)
    }
}

fn heap() -> &'static Heap {
    static HEAP: OnceLock<Heap> = OnceLock::new();
    HEAP.get_or_init(|| {
        for _ in 0..2 {
            thread::spawn(|| {
                loop {
                    heap().take().run();
                }
            });
        }
        Heap::default()
    })
}
