//! A program played on the simulation, with the model told of everything that happens.

use std::any::Any;
use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_lite::FutureExt;
use futures_lite::future::{or, yield_now};
use taskgroup::error::GroupError;
use taskgroup::sim::Sim;
use taskgroup::{CancelReason, Failure, JoinError, JoinHandle, TaskGroup, scope, shield};

use crate::program::{Census, End, Op, Program};
use crate::reference::{Answer, FailureId, GroupId, MemberId, Outcome, Reason, Reference, Returned};

/// When whatever is stuck is cut at last.
const LAST: u8 = 200;

type Group = taskgroup::Group<Sim, FailureId>;
type Result = std::result::Result<(), FailureId>;
type Joined = std::thread::Result<std::result::Result<(), GroupError<FailureId>>>;
type Handles = Arc<Mutex<Vec<(MemberId, JoinHandle<()>)>>>;
type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Plays a program, and panics if anything was not as it has to be. Says what was done.
pub async fn play(sim: Sim, program: &Program) -> Census {
    let log = Log { sim: sim.clone(), seen: Arc::default() };
    let root =
        Member { log: log.clone(), id: None, groups: Vec::new(), handles: Arc::default(), shielded: false };
    root.scope(Some(LAST), None, program.clone()).await;
    log.tell(Reference::over);
    // Whatever was leaked keeps the log.
    let seen = std::mem::take(&mut *log.seen.lock().unwrap());
    assert!(seen.reference.wrong.is_empty(), "{:#?}", seen.reference.wrong);
    assert_eq!(sim.alive(), 0);
    seen.census
}

/// Tells the model.
#[derive(Clone)]
struct Log {
    sim: Sim,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    reference: Reference,
    census: Census,
    groups: Vec<(GroupId, Group)>,
}

impl Log {
    fn tell<R>(&self, event: impl FnOnce(&mut Reference) -> R) -> R {
        let now = self.sim.now();
        let mut seen = self.seen.lock().unwrap();
        let Seen { reference, groups, .. } = &mut *seen;
        // Nobody says when a deadline passes; it shows in the reason.
        for (id, group) in groups {
            if reference.awaits_deadline(*id) && group.reason() == Some(CancelReason::Deadline) {
                reference.deadline(*id, now);
            }
        }
        reference.time(now);
        event(reference)
    }

    fn know(&self, id: GroupId, group: Group) {
        self.seen.lock().unwrap().groups.push((id, group));
    }

    /// The failure hook of a group.
    fn hook(
        &self,
        id: GroupId,
    ) -> impl Fn(&taskgroup::error::Origin, &Failure<FailureId>) + Send + Sync + use<> {
        let log = self.clone();
        move |_, failure| {
            let failure = failure_of(failure);
            log.tell(|reference| reference.failed(id, failure));
        }
    }
}

/// A member at work; the scenario itself is none.
#[derive(Clone)]
struct Member {
    log: Log,
    id: Option<MemberId>,
    /// The groups that it is in, innermost first.
    groups: Vec<(GroupId, Group)>,
    /// The children it has spawned.
    handles: Handles,
    /// Nothing in it may wait for ever, as nobody could cut it.
    shielded: bool,
}

impl Member {
    fn inside(&self, id: MemberId, groups: Vec<(GroupId, Group)>) -> Self {
        Self { id: Some(id), groups, handles: Arc::default(), ..self.clone() }
    }

    fn group(&self, up: u8) -> usize {
        usize::from(up).min(self.groups.len() - 1)
    }

    fn run(self, program: Program) -> Boxed<Result> {
        Box::pin(async move {
            let mut kept = Vec::new();
            for op in program {
                self.step(op, &mut kept).await?;
            }
            Ok(())
        })
    }

    async fn step(&self, op: Op, kept: &mut Vec<Owned>) -> Result {
        self.log.seen.lock().unwrap().census.add(&op);
        match op {
            Op::Stuck if !self.shielded => pending().await,
            Op::Yield | Op::Stuck => yield_now().await,
            Op::Sleep(seconds) => self.log.sim.sleep(time(seconds)).await,
            Op::Spawn { up, program } => self.spawn(&self.groups[self.group(up)..], program),
            Op::CancelChild(number) => {
                let handles = self.handles.lock().unwrap();
                if let Some((child, handle)) = nth(&handles, number).map(|at| &handles[at]) {
                    self.log.tell(|reference| reference.single_out(*child));
                    handle.cancel();
                }
            }
            Op::Await(number) if !self.shielded => self.wait(number).await,
            Op::Await(_) => {}
            Op::Cancel { up } => {
                let (id, group) = &self.groups[self.group(up)];
                self.log.tell(|reference| reference.cancel(*id, Reason::Explicit));
                group.cancel();
            }
            Op::Close { up } => {
                let (id, group) = &self.groups[self.group(up)];
                self.log.tell(|reference| reference.close(*id));
                group.close();
            }
            Op::Shield(program) => return shield(self.shielded(program)).await,
            Op::Scope { deadline, halfway, body } => self.scope(deadline, halfway, body).await,
            Op::Group { deadline, children, end } => self.free(deadline, children, end, kept).await,
            Op::Fail => return Err(self.log.tell(Reference::new_failure)),
            Op::Panic => resume_unwind(Box::new(self.log.tell(Reference::new_failure))),
        }
        Ok(())
    }

    /// Spawns a child into the first of these groups.
    fn spawn(&self, groups: &[(GroupId, Group)], program: Program) {
        let (id, group) = &groups[0];
        let spawned = match self.log.tell(|reference| reference.spawn(*id)) {
            None => group.try_spawn(async { Ok(()) }).is_err(),
            Some(child) => {
                let member = self.inside(child, groups.to_vec());
                let spawned = group.try_spawn(Watched::new(&self.log, child, member.run(program)));
                let taken = spawned.is_ok();
                self.handles.lock().unwrap().extend(spawned.ok().map(|handle| (child, handle)));
                taken
            }
        };
        self.log.tell(|reference| {
            if !spawned {
                reference.wrong.push(format!("group {id} took a child, or refused it, and must not have"));
            }
        });
    }

    async fn wait(&self, number: u8) {
        let taken = {
            let mut handles = self.handles.lock().unwrap();
            nth(&handles, number).map(|at| handles.swap_remove(at))
        };
        let Some((child, handle)) = taken else { return };
        let answer = match handle.await {
            Ok(()) => Answer::Value,
            Err(error) => answer(&error),
        };
        self.log.tell(|reference| reference.answered(child, answer));
    }

    fn shielded(&self, program: Program) -> impl Future<Output = Result> + use<> {
        let inside = Self { shielded: true, ..self.clone() };
        async move {
            let (log, id) = (inside.log.clone(), inside.id.expect("only members have shields"));
            log.tell(|reference| reference.shield_begins(id));
            let _end = OnDrop(Some(move || log.tell(|reference| reference.shield_ends(id))));
            inside.run(program).await
        }
    }

    async fn scope(&self, deadline: Option<u8>, halfway: Option<u8>, body: Program) {
        let log = &self.log;
        let id = self.open(true, deadline);
        let body_id = log.tell(|reference| reference.body(id));
        let around = self.clone();
        let opened = scope(log.sim.clone(), move |group: Group| {
            around.log.know(id, group.clone());
            let groups = std::iter::once((id, group)).chain(around.groups.iter().cloned()).collect();
            let member = around.inside(body_id, groups);
            Watched::new(&around.log, body_id, member.run(body))
        });
        let opened = opened.keep(1_000).on_failure(log.hook(id));
        let joined: Boxed<Joined> = match deadline {
            Some(seconds) => Box::pin(AssertUnwindSafe(opened.timeout(time(seconds))).catch_unwind()),
            None => Box::pin(AssertUnwindSafe(opened).catch_unwind()),
        };
        let joining = Joining { dropping: Dropping::new(log, id), joined };
        let joined = match halfway {
            None => Some(joining.await),
            Some(yields) => {
                let cut = async {
                    for _ in 0..yields {
                        yield_now().await;
                    }
                    None
                };
                or(async { Some(joining.await) }, cut).await
            }
        };
        if let Some(joined) = joined {
            let outcome = outcome(joined);
            log.tell(|reference| reference.joined(id, &outcome));
        }
    }

    async fn free(&self, deadline: Option<u8>, children: Vec<Program>, end: End, kept: &mut Vec<Owned>) {
        let log = &self.log;
        let id = self.open(false, deadline);
        let builder = TaskGroup::builder(log.sim.clone()).keep(1_000).on_failure(log.hook(id));
        let group = match deadline {
            Some(seconds) => builder.timeout(time(seconds)).open(),
            None => builder.open(),
        };
        log.know(id, group.group());
        let groups: Vec<_> =
            std::iter::once((id, group.group())).chain(self.groups.iter().cloned()).collect();
        for program in children {
            self.spawn(&groups, program);
        }
        let owned = Owned { dropping: Dropping::new(log, id), group };
        match end {
            End::Drop => drop(owned),
            End::Keep => kept.push(owned),
            End::Leak => {
                log.tell(|reference| reference.leaking(id));
                let Owned { mut dropping, group } = owned;
                dropping.done = true;
                std::mem::forget(group);
            }
            End::Join => {
                let Owned { dropping, group } = owned;
                let joined = Box::pin(AssertUnwindSafe(group.join()).catch_unwind());
                let outcome = outcome(Joining { dropping, joined }.await);
                log.tell(|reference| reference.joined(id, &outcome));
            }
        }
    }

    fn open(&self, has_body: bool, deadline: Option<u8>) -> GroupId {
        let at = deadline.map(|seconds| self.log.sim.now() + time(seconds));
        self.log.tell(|reference| reference.open(self.id, has_body, at))
    }
}

fn time(seconds: u8) -> Duration {
    Duration::from_secs(seconds.into())
}

fn nth<T>(all: &[T], number: u8) -> Option<usize> {
    usize::from(number).checked_rem(all.len())
}

fn answer(error: &JoinError) -> Answer {
    match () {
        () if error.is_failed() => Answer::Failed,
        () if error.is_panicked() => Answer::Panicked,
        () if error.is_cancelled() => Answer::Cancelled,
        () => panic!("a simulation loses nothing"),
    }
}

fn failure_of(failure: &Failure<FailureId>) -> FailureId {
    let id = |failure: &FailureId| *failure;
    match failure {
        Failure::Own(failure) => *failure,
        Failure::Panic(payload) => payload.inspect(id).expect("panics carry a failure"),
        Failure::Foreign { error, .. } => error.inspect(id).expect("errors are failures"),
        other => panic!("there are no clean-ups: {other:?}"),
    }
}

fn outcome(joined: Joined) -> Outcome {
    let error = match joined {
        Ok(Ok(())) => return Outcome::Value,
        Ok(Err(error)) => error,
        Err(payload) => return Outcome::Panic(panic_of(&*payload)),
    };
    if error.is_cancelled() {
        return Outcome::Cut(match error.reason().expect("it was cut") {
            CancelReason::Parent => Reason::Parent,
            CancelReason::Explicit(_) => Reason::Explicit,
            CancelReason::ScopeDropped => Reason::Dropped,
            CancelReason::Deadline => Reason::Deadline,
            _ => Reason::Failed,
        });
    }
    Outcome::Failures(error.failures().map(|(_, failure)| failure_of(failure)).collect())
}

fn panic_of(payload: &(dyn Any + Send)) -> FailureId {
    *payload.downcast_ref().expect("panics carry a failure")
}

/// The future of a member, with its polls and its end.
struct Watched {
    // Before the other, which says that it is destroyed.
    future: Boxed<Result>,
    end: Ended,
}

struct Ended {
    log: Log,
    id: MemberId,
}

impl Watched {
    fn new(log: &Log, id: MemberId, future: Boxed<Result>) -> Self {
        Self { future, end: Ended { log: log.clone(), id } }
    }
}

impl Future for Watched {
    type Output = Result;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result> {
        let this = &mut *self;
        let Ended { log, id } = &this.end;
        log.tell(|reference| reference.poll_begins(*id));
        let poll = catch_unwind(AssertUnwindSafe(|| this.future.as_mut().poll(cx)));
        let returned = match &poll {
            Ok(Poll::Pending) => None,
            Ok(Poll::Ready(Ok(()))) => Some(Returned::Value),
            Ok(Poll::Ready(Err(failure))) => Some(Returned::Error(*failure)),
            Err(payload) => Some(Returned::Panic(panic_of(&**payload))),
        };
        log.tell(|reference| {
            if let Some(returned) = returned {
                reference.returns(*id, returned);
            }
            reference.poll_ends(*id);
        });
        poll.unwrap_or_else(|payload| resume_unwind(payload))
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.log.tell(|reference| reference.ended(self.id));
    }
}

/// Says that the owner of a group is about to be dropped, unless it was joined.
struct Dropping {
    log: Log,
    id: GroupId,
    done: bool,
}

impl Dropping {
    fn new(log: &Log, id: GroupId) -> Self {
        Self { log: log.clone(), id, done: false }
    }
}

impl Drop for Dropping {
    fn drop(&mut self) {
        if !self.done {
            self.log.tell(|reference| reference.dropping(self.id));
        }
    }
}

/// A free-standing group.
struct Owned {
    // Said before it is so.
    dropping: Dropping,
    group: TaskGroup<Sim, FailureId>,
}

/// A group that is being joined, or a scope.
struct Joining {
    // Said before it is so.
    dropping: Dropping,
    joined: Boxed<Joined>,
}

impl Future for Joining {
    type Output = Joined;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Joined> {
        let joined = ready!(self.joined.as_mut().poll(cx));
        self.dropping.done = true;
        Poll::Ready(joined)
    }
}

struct OnDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        self.0.take().expect("it is dropped once")();
    }
}
