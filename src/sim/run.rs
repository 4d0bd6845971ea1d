//! One run of a scenario, from its first turn to its last.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crate::sim::birth;
use crate::sim::error::Fault;
use crate::sim::order::Path;
use crate::sim::spawner::Sim;
use crate::sim::token::Plan;
use crate::sim::trace::{SCENARIO, Trace};
use crate::sim::tree::{Name, Tree};
use crate::sim::world::{Task, Trouble, Turn, World};
use crate::unwind::{catch, drop_quietly, message};

/// What came of a run.
pub(crate) struct Run {
    pub(crate) fault: Option<Fault>,
    pub(crate) trace: Trace,
    /// Who was who in the trace, and what became of them.
    pub(crate) tasks: Vec<Task>,
    /// What was taken at each choice, if the plan was a path.
    pub(crate) path: Option<Path>,
}

impl Run {
    /// Runs `scenario` once, in at most this many turns.
    pub(crate) fn new(scenario: &impl AsyncFn(Sim), plan: &Plan, max_steps: u64) -> Self {
        let _asked = birth::ask();
        let world = World::new(plan.order(), plan.cut);
        let mut host = Host { future: None, world: world.clone() };
        let begun = catch(|| scenario(Sim(world.clone())));
        let fault = match begun {
            Ok(future) => {
                host.future = Some(Box::pin(future));
                world.wake(SCENARIO, None);
                host.run(max_steps).err()
            }
            Err(payload) => Some(panicked("the scenario", payload)),
        };
        drop_quietly(host);
        world.end(drop_quietly);

        let (tasks, trace, path) = world.take();
        let cut_short =
            fault.is_none() && plan.cut.is_none() && path.as_ref().is_some_and(|path| !path.is_used_up());
        let fault = if cut_short { Some(Fault::diverged()) } else { fault };
        Self { fault, trace, tasks, path }
    }
}

/// Gives the tasks their turns, and polls the scenario.
struct Host<F> {
    /// `None` when the scenario has returned.
    future: Option<Pin<Box<F>>>,
    world: Arc<World>,
}

impl<F: Future<Output = ()>> Host<F> {
    fn run(&mut self, max_steps: u64) -> Result<(), Fault> {
        let waker = Waker::from(Arc::new(HostWaker(self.world.clone())));
        let mut steps = 0;
        while let Some(turn) = self.world.next().map_err(trouble)? {
            if steps == max_steps {
                return Err(self.endless(max_steps));
            }
            steps += 1;
            let Turn { id, runnable, cut } = turn;
            if let Some((group, ticket)) = cut {
                group.cancel_child(ticket);
            }
            let polled = catch(|| match runnable {
                Some(runnable) => drop(runnable.run()),
                None => self.poll(&mut Context::from_waker(&waker)),
            });
            if let Err(payload) = polled {
                let inner = self.world.lock();
                return Err(panicked(&Name::of(id, &inner.tasks).to_string(), payload));
            }
        }
        let inner = self.world.lock();
        match (&self.future, inner.left().next()) {
            (Some(_), _) => Err(Fault::deadlock(inner.clock(), Tree::of(&inner))),
            (None, Some(_)) => Err(Fault::leak(Tree::of(&inner))),
            (None, None) => Ok(()),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        let Some(future) = &mut self.future else { return };
        self.world.begin_poll(SCENARIO);
        if let Poll::Ready(()) = future.as_mut().poll(cx) {
            self.future = None;
        }
    }

    fn endless(&self, steps: u64) -> Fault {
        let inner = self.world.lock();
        match &self.future {
            Some(_) => Fault::livelock(steps, Tree::of(&inner)),
            // The scenario has ended, but what it has left behind runs on and on.
            None => Fault::leak(Tree::of(&inner)),
        }
    }
}

/// The waker of the scenario.
struct HostWaker(Arc<World>);

impl Wake for HostWaker {
    fn wake(self: Arc<Self>) {
        self.0.wake(SCENARIO, None);
    }
}

fn trouble(trouble: Trouble) -> Fault {
    match trouble {
        Trouble::Diverged => Fault::diverged(),
        Trouble::OtherThread => Fault::other_thread(),
    }
}

fn panicked(who: &str, payload: Box<dyn Any + Send>) -> Fault {
    let fault = Fault::panic(who, message(&*payload).unwrap_or("with something that is no text"));
    drop_quietly(payload);
    fault
}
