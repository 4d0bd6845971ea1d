//! How a group comes to its end: failures on the way, the outcome, and owners that leave without it.

use std::any::Any;
use std::panic::Location;
use std::sync::Arc;
use std::task;

use crate::child::context::{self, Withheld};
use crate::error::{CancelReason, Name, Origin, step};
use crate::outcome::{Entry, Outcome, Raw};
use crate::state::State;
use crate::state::effects::Effects;
use crate::state::member::{BODY, Key, Kind};
use crate::unwind::{catch, drop_quietly};

/// What its owner learns of a group.
pub(crate) enum Conclusion {
    /// Something is left.
    NotYet,
    /// The owner asks again in a later poll, which has been requested.
    Withheld,
    Over(Outcome, Option<CancelReason>),
}

impl Conclusion {
    /// Asks once more if something was left.
    #[inline]
    pub(crate) fn or_else(self, f: impl FnOnce() -> Self) -> Self {
        match self {
            Self::NotYet => f(),
            known => known,
        }
    }
}

impl State {
    /// Returns which member this is, for a report.
    pub(crate) fn origin(&self, key: Key) -> Origin {
        let table = self.lock();
        match table.slots.get(key as usize).filter(|_| key != BODY) {
            Some(slot) => self.origin_of_child(slot.member.id(), slot.location, slot.member.name().cloned()),
            None => Origin { group: self.config.location, child: None, name: None, path: self.path.clone() },
        }
    }

    pub(crate) fn origin_of_child(
        &self,
        id: u64,
        location: &'static Location<'static>,
        name: Option<Name>,
    ) -> Origin {
        let path = step(self.path.as_ref(), name.as_ref(), Some(id));
        Origin { group: self.config.location, child: Some((id, location)), name, path }
    }

    pub(crate) fn record(self: &Arc<Self>, key: Key, failure: Raw) {
        if self.is_observed() {
            self.observe_failure(key, &failure);
        }
        let mut effects = Effects::default();
        self.record_into(failure, self.origin(key), &mut effects);
        effects.run();
    }

    /// Records a failure.
    ///
    /// The failure first gets its place in the order, and cancels the group if the policy says so. Then the hook sees
    /// it, and then it is kept. The first two are one step, so that the reason of the cancel is the primary failure.
    pub(crate) fn record_into(self: &Arc<Self>, failure: Raw, origin: Origin, effects: &mut Effects) {
        let verdict = self.config.policy.on(failure.event(&origin));
        let mut table = self.lock();
        let number = table.outcome.number();
        if verdict.cancel {
            self.cancel_locked(&mut table, failure.reason(origin.clone()), effects);
        }
        drop(table);
        let (failure, hook_panic) = self.show(&origin, failure);
        let bound = self.config.keep;
        let mut table = self.lock();
        let not_kept = if verdict.keep {
            table.outcome.keep(number, origin.clone(), failure, bound)
        } else {
            Some(Entry { number, origin: origin.clone(), failure })
        };
        let nor_kept = hook_panic.and_then(|payload| {
            let number = table.outcome.number();
            table.outcome.keep(number, origin, Raw::Panic(payload), bound)
        });
        drop(table);
        drop_quietly(not_kept);
        drop_quietly(nor_kept);
    }

    /// Lets the hook see a failure, if there is one, and returns the failure and the panic of the hook.
    fn show(&self, origin: &Origin, failure: Raw) -> (Raw, Option<Box<dyn Any + Send>>) {
        match self.config.on_failure() {
            Some(hook) => hook(origin, failure),
            None => (failure, None),
        }
    }

    /// Drops the value of the body, because the group has ended and failed. A panic of its destructor is one more failure.
    pub(crate) fn drop_value<T>(&self, value: T, outcome: &mut Outcome) {
        let Err(payload) = catch(|| drop(value)) else { return };
        let origin = self.origin(BODY);
        let (failure, hook_panic) = self.show(&origin, Raw::Panic(payload));
        for failure in std::iter::once(failure).chain(hook_panic.map(Raw::Panic)) {
            let number = outcome.number();
            drop_quietly(outcome.keep(number, origin.clone(), failure, self.config.keep));
        }
    }

    pub(crate) fn location(&self) -> &'static Location<'static> {
        self.config.location
    }

    /// Gives the outcome to the owner, if nothing is left and the owner may go on.
    ///
    /// The group may be cancelled because the member that awaits it is cut. That member was marked before the group
    /// was, so it is not too early to look here. In that case the outcome stays for [`abandon`](Self::abandon).
    pub(crate) fn conclude(self: &Arc<Self>, withheld: &mut Withheld, cx: &task::Context<'_>) -> Conclusion {
        // One read for both questions: a member that was cut before the last child left is found cut here.
        let seen = self.word.look();
        if !seen.is_clear() {
            return Conclusion::NotYet;
        }
        if seen.is_cancelled() && context::is_cut() && withheld.again(cx) {
            return Conclusion::Withheld;
        }
        self.finish()
    }

    /// Concludes, and ends the background children once nothing else is left.
    ///
    /// For an owner who will be told of whatever leaves from now on. A background child may come when nothing else is there.
    /// Nobody is told of that, and it does not end by itself. But it is found here: the owner was told of what left before it.
    pub(crate) fn wind_up(self: &Arc<Self>, withheld: &mut Withheld, cx: &task::Context<'_>) -> Conclusion {
        self.conclude(withheld, cx).or_else(|| {
            self.end_background();
            self.conclude(withheld, cx)
        })
    }

    /// Closes the group permanently and takes the outcome, if nothing is left.
    fn finish(self: &Arc<Self>) -> Conclusion {
        let mut table = self.lock();
        if !self.word.finish(&mut table.locked) {
            return Conclusion::NotYet;
        }
        let (outcome, reason) = (std::mem::take(&mut table.outcome), table.reason.as_deref().cloned());
        let turned_away = table.limit.as_mut().map(|limit| {
            let mut effects = Effects::default();
            limit.turn_away(&mut effects);
            effects
        });
        drop(table);
        #[cfg(feature = "tracing")]
        if self.is_observed() {
            self.trace_end();
        }
        self.signal().forget_owner();
        turned_away.into_iter().for_each(Effects::run);
        if self.parent.is_some() {
            self.settle_now();
        }
        Conclusion::Over(outcome, reason)
    }

    /// Records a failure of a child that may not be counted any more.
    pub(crate) fn record_late(self: &Arc<Self>, failure: Raw, origin: Origin) {
        let mut effects = Effects::default();
        let held = self.hold_open();
        self.record_into(failure, origin, &mut effects);
        if held {
            self.release(&mut self.lock(), &mut effects);
        } else {
            effects.settle(self);
        }
        effects.run();
    }

    /// Counts something until the caller has recorded a failure and calls [`release`](Self::release). Returns `false` if the
    /// group has ended already.
    ///
    /// Otherwise the group could end after it was cancelled because of the failure, and before that is kept. Its owner
    /// would be told that all went well.
    pub(crate) fn hold_open(&self) -> bool {
        let mut table = self.lock();
        let seen = self.word.look();
        if !seen.is_finished() {
            seen.check_room(Kind::Body);
            self.word.enter(&mut table.locked, Kind::Body);
        }
        !seen.is_finished()
    }

    /// Cancels everything, because the owner leaves, and notes that nobody will read the outcome.
    ///
    /// That is one step. Once the group is cancelled, another thread may settle it, which has to hand the failures outwards:
    /// after that, the group around may end.
    ///
    /// Returns how many children lived.
    pub(crate) fn forsake(self: &Arc<Self>) -> usize {
        self.signal().forget_owner();
        let mut effects = Effects::default();
        let mut table = self.lock();
        let live = self.word.look().children();
        table.abandoned = true;
        self.cancel_locked(&mut table, CancelReason::ScopeDropped, &mut effects);
        drop(table);
        effects.run();
        live
    }

    /// Handles an owner that leaves without joining. It has [forsaken](Self::forsake) the group, when so many children lived.
    pub(crate) fn abandon(self: &Arc<Self>, live: usize) {
        if let Some(hook) = self.config.on_abandoned().filter(|_| live > 0 && self.parent.is_none()) {
            drop_quietly(catch(|| hook(live)));
        }
        self.settle_now();
    }
}
