//! A program that is played in some world, and reports everything that happens to the model.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use taskgroup::runtime::{Timed, Timer};
use taskgroup::{CancelReason, Failure, Spawner};

use crate::member::{Member, failure_of};
use crate::program::{Census, Op, Program};
use crate::reference::{Answer, FailureId, GroupId, MemberId, Outcome, Reason, Reference};

/// When whatever is stuck is cut at last, in the program's seconds.
const LAST: u8 = 200;

/// How many children a group takes from outside at most. With more, it might never be empty and so never end.
const INTRUDERS: usize = 20;

/// Where a program is played.
pub trait World: Clone + Send + Sync + Unpin + 'static {
    type Spawner: Spawner + Timed;

    /// How long a second of the program takes.
    const SECOND: Duration;
    /// Whether only one thing happens at a time.
    const IN_ORDER: bool;

    /// The spawner of the outermost group.
    fn outermost(&self) -> Self::Spawner;

    /// The spawner of groups in members. The members own it, so it must not own a runtime that owns them.
    fn inner(&self) -> Self::Spawner {
        self.outermost()
    }

    /// Makes things harder. Called before each operation.
    fn strain(&self) {}
}

pub type Group<W> = taskgroup::Group<<W as World>::Spawner, FailureId>;

/// A program that is being played.
pub struct Play<W: World> {
    pub world: W,
    seen: Arc<(Mutex<Seen<W>>, Condvar)>,
}

impl<W: World> Clone for Play<W> {
    fn clone(&self) -> Self {
        Self { world: self.world.clone(), seen: self.seen.clone() }
    }
}

struct Seen<W: World> {
    reference: Reference,
    census: Census,
    /// The groups. Members know them only by number, so that what members capture keeps no spawner.
    groups: BTreeMap<GroupId, Group<W>>,
    /// The groups that have not refused a child from outside, with the last child that they took, and how many they took.
    open: Vec<(GroupId, Option<MemberId>, usize)>,
}

impl<W: World> Play<W> {
    pub fn new(world: W) -> Self {
        let reference = Reference::new(W::IN_ORDER);
        let (census, groups, open) = (Census::default(), BTreeMap::new(), Vec::new());
        let seen = Mutex::new(Seen { reference, census, groups, open });
        Self { world, seen: Arc::new((seen, Condvar::new())) }
    }

    /// Plays the whole program, beginning with the outermost scope.
    pub fn root(&self, program: Program) -> impl Future<Output = ()> + use<W> {
        let root = Member::outside(self, Vec::new());
        async move { root.scope(Some(LAST), None, program).await }
    }

    /// Spawns a child from outside into each group that has refused none, if the one before has ended.
    pub fn intrude(&self) {
        let (mut open, mut all) = (std::mem::take(&mut self.lock().open), 0);
        open.retain_mut(|(id, last, taken)| {
            if last.is_none_or(|last| self.lock().reference.has_ended(last)) {
                *last = Member::outside(self, vec![*id]).spawn(0, vec![Op::Yield]);
                (*taken, all) = (*taken + 1, all + usize::from(last.is_some()));
            }
            last.is_some() && *taken < INTRUDERS
        });
        let mut seen = self.lock();
        seen.open.extend(open);
        seen.census.from_outside += all;
    }

    /// From now on the runtime may drop whatever it has.
    pub fn tear(&self) {
        self.tell(Reference::tear);
        self.lock().census.torn += 1;
    }

    /// Drops the outermost group, and so its spawner.
    pub fn forget_outermost(&self) {
        let group = self.lock().groups.pop_first();
        drop(group);
    }

    /// Checks that everything is over. If the runtime went away, waits up to `late` for that. Panics if anything was not as
    /// it has to be, and reports what was done.
    pub fn finish(&self, late: Duration) -> Census {
        let (_, ended) = &*self.seen;
        let is_torn = self.lock().census.torn > 0;
        let patience = if is_torn { late } else { Duration::ZERO };
        let waited = ended.wait_timeout_while(self.lock(), patience, |seen| !seen.reference.all_done());
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        self.tell(Reference::over);
        let mut seen = self.lock();
        let (groups, wrong) = (std::mem::take(&mut seen.groups), std::mem::take(&mut seen.reference.wrong));
        let census = seen.census;
        drop(seen);
        drop(groups);
        assert!(wrong.is_empty(), "{wrong:#?}");
        census
    }

    // ---- what members say ----

    pub fn tell<R>(&self, event: impl FnOnce(&mut Reference) -> R) -> R {
        let now = self.now();
        let mut seen = self.lock();
        let Seen { reference, groups, .. } = &mut *seen;
        if W::IN_ORDER {
            // Nothing reports when a deadline passes; it shows in the reason.
            for (id, group) in groups {
                if reference.awaits_deadline(*id) && group.reason() == Some(CancelReason::Deadline) {
                    reference.deadline(*id, now);
                }
            }
            reference.time(now);
        }
        event(reference)
    }

    /// Nothing of a member is left.
    pub fn ended(&self, id: MemberId) {
        self.tell(|reference| reference.ended(id));
        self.seen.1.notify_all();
    }

    pub fn joined(&self, id: GroupId, outcome: &Outcome) {
        let now = self.now();
        self.tell(|reference| reference.joined(id, outcome, now));
        self.lock().census.lost += usize::from(*outcome == Outcome::Cut(Reason::Lost));
    }

    pub fn answered(&self, id: MemberId, answer: Answer) {
        self.tell(|reference| reference.answered(id, answer));
        self.lock().census.lost += usize::from(answer == Answer::Lost);
    }

    pub fn count(&self, op: &Op) {
        self.lock().census.add(op);
    }

    pub fn know(&self, id: GroupId, group: Group<W>) {
        let mut seen = self.lock();
        seen.groups.insert(id, group);
        seen.open.push((id, None, 0));
    }

    /// Returns a group, unless it was forgotten.
    pub fn group(&self, id: GroupId) -> Option<Group<W>> {
        self.lock().groups.get(&id).cloned()
    }

    /// The failure hook of a group.
    pub fn hook(
        &self,
        id: GroupId,
    ) -> impl Fn(&taskgroup::error::Origin, &Failure<FailureId>) + Send + Sync + use<W> {
        let play = self.clone();
        move |_, failure| {
            let failure = failure_of(failure);
            play.tell(|reference| reference.failed(id, failure));
        }
    }

    pub fn now(&self) -> Duration {
        self.world.inner().timer().now()
    }

    fn lock(&self) -> MutexGuard<'_, Seen<W>> {
        self.seen.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
