//! Members at work, and what they report to the model.

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
use taskgroup::runtime::{Timed, Timer};
use taskgroup::{CancelReason, Failure, JoinError, JoinHandle, TaskGroup, scope, shield};

use crate::play::{Group, Play, World};
use crate::program::{End, Op, Program};
use crate::reference::{Answer, FailureId, GroupId, MemberId, Outcome, Reason, Reference, Returned};

type Result = std::result::Result<(), FailureId>;
type Joined = std::thread::Result<std::result::Result<(), GroupError<FailureId>>>;
type Handles = Arc<Mutex<Vec<(MemberId, JoinHandle<()>)>>>;
type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A member at work, or code outside of all groups.
pub struct Member<W: World> {
    play: Play<W>,
    id: Option<MemberId>,
    /// The groups that the member is in, innermost first.
    groups: Vec<GroupId>,
    /// The children that the member has spawned.
    handles: Handles,
    /// Whether the member is under a shield. Then nothing in it may wait for ever, because nobody could cut it.
    shielded: bool,
}

impl<W: World> Clone for Member<W> {
    fn clone(&self) -> Self {
        let Self { play, id, groups, handles, shielded } = self;
        Self {
            play: play.clone(),
            id: *id,
            groups: groups.clone(),
            handles: handles.clone(),
            shielded: *shielded,
        }
    }
}

impl<W: World> Member<W> {
    /// Code that is no member, and knows these groups.
    pub fn outside(play: &Play<W>, groups: Vec<GroupId>) -> Self {
        Self { play: play.clone(), id: None, groups, handles: Arc::default(), shielded: false }
    }

    fn inside(&self, id: MemberId, groups: Vec<GroupId>) -> Self {
        Self { id: Some(id), groups, handles: Arc::default(), ..self.clone() }
    }

    /// The groups of this member, without the `up` innermost ones.
    fn from(&self, up: u8) -> &[GroupId] {
        &self.groups[usize::from(up).min(self.groups.len() - 1)..]
    }

    fn group(&self, up: u8) -> Option<(GroupId, Group<W>)> {
        let id = self.from(up)[0];
        self.play.group(id).map(|group| (id, group))
    }

    /// The groups of a member of this group: this group, and those around it.
    fn and_around(&self, id: GroupId) -> Vec<GroupId> {
        std::iter::once(id).chain(self.groups.iter().copied()).collect()
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

    async fn step(&self, op: Op, kept: &mut Vec<Owned<W>>) -> Result {
        self.play.count(&op);
        self.play.world.strain();
        match op {
            Op::Stuck if !self.shielded => pending().await,
            Op::Yield | Op::Stuck => yield_now().await,
            Op::Sleep(seconds) => {
                let timer = self.play.world.inner().timer();
                timer.sleep_until(timer.now() + time::<W>(seconds)).await;
            }
            Op::Spawn { up, program } => {
                self.spawn(up, program);
            }
            Op::CancelChild(number) => {
                let handles = self.handles.lock().unwrap();
                if let Some((child, handle)) = nth(&handles, number).map(|at| &handles[at]) {
                    self.play.tell(|reference| reference.single_out(*child));
                    handle.cancel();
                }
            }
            Op::Await(number) if !self.shielded => self.wait(number).await,
            Op::Await(_) => {}
            Op::Cancel { up } => {
                if let Some((id, group)) = self.group(up) {
                    self.play.tell(|reference| reference.cancel(id, Reason::Explicit));
                    group.cancel();
                    self.play.tell(|reference| reference.shut(id));
                }
            }
            Op::Close { up } => {
                if let Some((id, group)) = self.group(up) {
                    self.play.tell(|reference| reference.close(id));
                    group.close();
                    self.play.tell(|reference| reference.shut(id));
                }
            }
            Op::Shield(program) => return shield(self.shielded(program)).await,
            Op::Scope { deadline, halfway, body } => self.scope(deadline, halfway, body).await,
            Op::Group { deadline, children, end } => self.free(deadline, children, end, kept).await,
            Op::Fail => return Err(self.play.tell(Reference::new_failure)),
            Op::Panic => resume_unwind(Box::new(self.play.tell(Reference::new_failure))),
        }
        Ok(())
    }

    /// Spawns a child into a group, if the group takes it.
    pub fn spawn(&self, up: u8, program: Program) -> Option<MemberId> {
        let (id, group) = self.group(up)?;
        let groups = self.from(up).to_vec();
        let child = self.play.tell(|reference| reference.offer(id));
        let spawned = group.try_spawn(Watched::new(self.inside(child, groups), child, program));
        let taken = spawned.is_ok();
        self.handles.lock().unwrap().extend(spawned.ok().map(|handle| (child, handle)));
        self.play.tell(|reference| reference.offered(child, taken));
        taken.then_some(child)
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
        self.play.answered(child, answer);
    }

    fn shielded(&self, program: Program) -> impl Future<Output = Result> + use<W> {
        let inside = Self { shielded: true, ..self.clone() };
        async move {
            let (play, id) = (inside.play.clone(), inside.id.expect("only members have shields"));
            play.tell(|reference| reference.shield_begins(id));
            let _end = OnDrop(Some(move || play.tell(|reference| reference.shield_ends(id))));
            inside.run(program).await
        }
    }

    pub async fn scope(&self, deadline: Option<u8>, halfway: Option<u8>, body: Program) {
        let play = &self.play;
        let id = self.open(true, deadline);
        let body_id = play.tell(|reference| reference.body(id));
        let around = self.clone();
        let opened = scope(self.spawner(), move |group: Group<W>| {
            around.play.know(id, group);
            Watched::new(around.inside(body_id, around.and_around(id)), body_id, body)
        });
        let opened = opened.keep(1_000).on_failure(play.hook(id));
        let joined: Boxed<Joined> = match deadline {
            Some(seconds) => Box::pin(AssertUnwindSafe(opened.timeout(time::<W>(seconds))).catch_unwind()),
            None => Box::pin(AssertUnwindSafe(opened).catch_unwind()),
        };
        let joining = Joining { dropping: Dropping::new(play, id), joined };
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
            play.joined(id, &outcome(joined));
        }
    }

    async fn free(&self, deadline: Option<u8>, children: Vec<Program>, end: End, kept: &mut Vec<Owned<W>>) {
        let play = &self.play;
        let id = self.open(false, deadline);
        let builder = TaskGroup::builder(self.spawner()).keep(1_000).on_failure(play.hook(id));
        let group = match deadline {
            Some(seconds) => builder.timeout(time::<W>(seconds)).open(),
            None => builder.open(),
        };
        play.know(id, group.group());
        let member = Self { groups: self.and_around(id), ..self.clone() };
        for program in children {
            member.spawn(0, program);
        }
        let owned = Owned { dropping: Dropping::new(play, id), group };
        match end {
            End::Drop => drop(owned),
            End::Keep => kept.push(owned),
            End::Leak => {
                play.tell(|reference| reference.leaking(id));
                let Owned { mut dropping, group } = owned;
                dropping.done = true;
                std::mem::forget(group);
            }
            End::Join => {
                let Owned { dropping, group } = owned;
                let joined = Box::pin(AssertUnwindSafe(group.join()).catch_unwind());
                play.joined(id, &outcome(Joining { dropping, joined }.await));
            }
        }
    }

    fn open(&self, has_body: bool, deadline: Option<u8>) -> GroupId {
        let at = deadline.map(|seconds| self.play.now() + time::<W>(seconds));
        self.play.tell(|reference| reference.open(self.id, has_body, at))
    }

    fn spawner(&self) -> W::Spawner {
        if self.id.is_none() { self.play.world.outermost() } else { self.play.world.inner() }
    }
}

fn time<W: World>(seconds: u8) -> Duration {
    W::SECOND * seconds.into()
}

fn nth<T>(all: &[T], number: u8) -> Option<usize> {
    usize::from(number).checked_rem(all.len())
}

fn answer(error: &JoinError) -> Answer {
    match () {
        () if error.is_failed() => Answer::Failed,
        () if error.is_panicked() => Answer::Panicked,
        () if error.is_lost() => Answer::Lost,
        () => Answer::Cancelled,
    }
}

pub fn failure_of(failure: &Failure<FailureId>) -> FailureId {
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
            CancelReason::Lost => Reason::Lost,
            _ => Reason::Failed,
        });
    }
    Outcome::Failures(error.failures().map(|(_, failure)| failure_of(failure)).collect())
}

fn panic_of(payload: &(dyn Any + Send)) -> FailureId {
    *payload.downcast_ref().expect("panics carry a failure")
}

/// The future of a member. It reports its polls and its end.
struct Watched<W: World> {
    // Dropped before `end`, which reports that the member is destroyed.
    future: Boxed<Result>,
    end: Ended<W>,
}

struct Ended<W: World> {
    play: Play<W>,
    id: MemberId,
    group: GroupId,
}

impl<W: World> Watched<W> {
    fn new(member: Member<W>, id: MemberId, program: Program) -> Self {
        let (play, group) = (member.play.clone(), member.groups[0]);
        play.tell(|reference| reference.made(id));
        Self { future: member.run(program), end: Ended { play, id, group } }
    }
}

impl<W: World> Future for Watched<W> {
    type Output = Result;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result> {
        let this = &mut *self;
        let Ended { play, id, .. } = &this.end;
        play.tell(|reference| reference.poll_begins(*id));
        let poll = catch_unwind(AssertUnwindSafe(|| this.future.as_mut().poll(cx)));
        let returned = match &poll {
            Ok(Poll::Pending) => None,
            Ok(Poll::Ready(Ok(()))) => Some(Returned::Value),
            Ok(Poll::Ready(Err(failure))) => Some(Returned::Error(*failure)),
            Err(payload) => Some(Returned::Panic(panic_of(&**payload))),
        };
        play.tell(|reference| {
            if let Some(returned) = returned {
                reference.returns(*id, returned);
            }
            reference.poll_ends(*id);
        });
        poll.unwrap_or_else(|payload| resume_unwind(payload))
    }
}

impl<W: World> Drop for Ended<W> {
    fn drop(&mut self) {
        // The code that drops a member must hold nothing that this needs.
        let _reason = self.play.group(self.group).and_then(|group| group.reason());
        self.play.ended(self.id);
    }
}

/// Reports that the owner of a group is about to be dropped, unless the group was joined.
struct Dropping<W: World> {
    play: Play<W>,
    id: GroupId,
    done: bool,
}

impl<W: World> Dropping<W> {
    fn new(play: &Play<W>, id: GroupId) -> Self {
        Self { play: play.clone(), id, done: false }
    }
}

impl<W: World> Drop for Dropping<W> {
    fn drop(&mut self) {
        if !self.done {
            self.play.tell(|reference| reference.dropping(self.id));
        }
    }
}

/// A free-standing group.
struct Owned<W: World> {
    // Dropped first, so that the drop is reported before it happens.
    dropping: Dropping<W>,
    group: TaskGroup<W::Spawner, FailureId>,
}

/// A group that is being joined, or a scope.
struct Joining<W: World> {
    // Dropped first, so that the drop is reported before it happens.
    dropping: Dropping<W>,
    joined: Boxed<Joined>,
}

impl<W: World> Future for Joining<W> {
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
