//! The state that a group, its handles and its children share.
//!
//! # Invariants
//!
//! 1. A child is in the count from before its future reaches the spawner until its future and all it captured are
//!    destroyed, its result is delivered, and every group opened in it has ended. So *count zero* means *all gone*.
//! 2. Joining the count and finding the group open are one step ([`Word::enter`]); so are finding the count at
//!    zero and closing for good ([`Word::finish`]). After `join` has returned nothing can start.
//! 3. `CANCELLED` is set under the lock of the table and before the table is walked; a slot is inserted under that
//!    lock and after looking at the reason. So a child is either walked or refused.
//! 4. A group that was opened in a member is *linked*: the member lists it, and does not leave its own table while
//!    it does. The link is cut once, by whoever finds the group ended for good ([`State::settle`]), after its
//!    unread failures were handed outwards.
//! 5. The spawner is not in here: a child owns this state, and a spawner may own the child.
//! 6. Locks are never nested, and nothing of the user's runs under one: see [`Effects`].
//!
//! # Interleavings that matter
//!
//! * *Cancel against spawn.* `enter` before `CANCELLED`, insertion after it: refused in [`State::enter`], the count
//!   given back. Insertion before the walk, `Task` not stored yet: the walk cuts the slot, [`State::store`] drops
//!   the `Task`.
//! * *Cancel against the last child leaving.* Both may find the count at zero with `CANCELLED` set, and both
//!   settle; the second finds no link.
//! * *Join against spawn at zero.* One compare-and-swap decides.
//! * *Inner group ends against its opener being cut.* Both happen under the opener's lock: either the cut sees the
//!   group still listed and leaves the `Task` to the unlinking, or it sees it gone and drops the `Task` itself.

use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use async_task::Task;
use slab::Slab;

use crate::context::Context;
use crate::effects::{Effects, dispose};
use crate::error::{CancelReason, Origin};
use crate::member::{BODY, Key, Member, Slot};
use crate::outcome::{Config, Outcome, Raw};
use crate::signal::Signal;
use crate::unwind::{catch, drop_quietly};

/// Refuses new children. Set by `close` and when the group has ended; never cleared.
const CLOSED: u64 = 1 << 0;
/// Every member is to end. Set once, with the reason, under the lock; never cleared.
const CANCELLED: u64 = 1 << 1;
/// Some living child was cancelled by itself. Kept with `Table::singled`, under the lock.
const SINGLED: u64 = 1 << 2;
/// Somebody waits for the children to end. Set before looking at the count; never cleared.
const WATCHED: u64 = 1 << 3;
/// The owner found the count at zero and took the outcome. Set together with `CLOSED`; never cleared.
const FINISHED: u64 = 1 << 4;
/// One shield in the body, or one group opened there.
const HOLD: u64 = 1 << 8;
/// One child.
const CHILD: u64 = 1 << 32;

/// Flags, holds on the body and living children in one word.
struct Word(AtomicU64);

impl Word {
    fn load(&self) -> u64 {
        // Pairs with the release in `leave`: who sees zero also sees all that the children did.
        self.0.load(Ordering::Acquire)
    }

    /// Joins the count, unless the group is closed or cancelled.
    fn enter(&self) -> Result<(), Refusal> {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            if let Some(refusal) = Refusal::of(word) {
                return Err(refusal);
            }
            // Success reads nothing another thread wrote; the table's lock orders the rest.
            match self.0.compare_exchange_weak(word, word + CHILD, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => word = now,
            }
        }
    }

    /// Gives back `unit`, a child or a hold, and returns the word as it then is.
    fn leave(&self, unit: u64) -> u64 {
        self.0.fetch_sub(unit, Ordering::AcqRel) - unit
    }

    /// Closes for good if nothing is counted.
    fn finish(&self) -> bool {
        let step = |word| (word < HOLD).then_some(word | CLOSED | FINISHED);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, step).is_ok()
    }

    fn set(&self, flag: u64) -> u64 {
        self.0.fetch_or(flag, Ordering::AcqRel)
    }
}

/// Why a group takes no child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Closed,
    Cancelled,
}

impl Refusal {
    fn of(word: u64) -> Option<Self> {
        match word {
            _ if word & FINISHED != 0 => Some(Refusal::Closed),
            _ if word & CANCELLED != 0 => Some(Refusal::Cancelled),
            _ if word & CLOSED != 0 => Some(Refusal::Closed),
            _ => None,
        }
    }
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Returned,
    /// Dropped because it was cancelled.
    Cut,
    /// Dropped by its runtime, unasked.
    Lost,
}

/// What a scope may do with its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFate {
    Poll,
    /// It is cut, and what it opened still lives.
    Hold,
    Drop,
}

/// Names one child among all that a group ever has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    pub(crate) key: Key,
    pub(crate) id: u64,
}

/// The member in which a group was opened.
pub(crate) struct Parent {
    pub(crate) group: Arc<State>,
    pub(crate) key: Key,
    /// The id of the child, as its key may be given to another one when it has left.
    id: u64,
    origin: Origin,
}

pub(crate) struct State {
    word: Word,
    table: Mutex<Table>,
    changed: Signal,
    parent: Option<Parent>,
    config: Config,
}

struct Table {
    slots: Slab<Slot>,
    next_id: u64,
    /// The body; gone from the start in a group without one.
    body: Member,
    reason: Option<CancelReason>,
    /// How many living children were cancelled by themselves.
    singled: usize,
    /// Our place in the list of the member that opened us, while we are in it.
    link: Option<usize>,
    /// Nobody is left who could read the outcome.
    abandoned: bool,
    outcome: Outcome,
}

impl Table {
    /// The member under `key`, with its `Task` if it is a child.
    fn member<R>(&mut self, key: Key, f: impl FnOnce(&mut Member, &mut Option<Task<()>>) -> R) -> Option<R> {
        if key == BODY {
            return Some(f(&mut self.body, &mut None));
        }
        self.slots.get_mut(key as usize).map(|slot| f(&mut slot.member, &mut slot.task))
    }

    fn id(&self, key: Key) -> Option<u64> {
        if key == BODY { Some(0) } else { self.slots.get(key as usize).map(|slot| slot.id) }
    }

    fn slot(&mut self, ticket: Ticket) -> Option<&mut Slot> {
        self.slots.get_mut(ticket.key as usize).filter(|slot| slot.id == ticket.id)
    }
}

impl State {
    /// Opens a group, linked to the member that is current on this thread.
    pub(crate) fn open(config: Config, has_body: bool) -> Arc<Self> {
        let parent = Context::with(|context| (context.group.clone(), context.key));
        let parent = parent.and_then(|(group, key)| {
            let (id, origin) = (group.lock().id(key)?, group.origin(key));
            Some(Parent { group, key, id, origin })
        });
        let state = Self::open_root(config, has_body, parent);
        let Some(parent) = &state.parent else { return state };

        let mut effects = Effects::default();
        let link = parent.group.link(parent.key, &state);
        if link.is_some() {
            state.lock().link = link;
            // A cancel may have come, and found nothing to unlink, in between.
            effects.settle(&state);
        } else {
            effects.cancel(state.clone());
        }
        effects.run();
        state
    }

    /// Opens a group that is linked to nothing, or is about to be linked to `parent`.
    pub(crate) fn open_root(config: Config, has_body: bool, parent: Option<Parent>) -> Arc<Self> {
        Arc::new(Self {
            word: Word(AtomicU64::new(0)),
            table: Mutex::new(Table {
                slots: Slab::new(),
                next_id: 1,
                body: if has_body { Member::default() } else { Member::gone() },
                reason: None,
                singled: 0,
                link: None,
                abandoned: false,
                outcome: Outcome::default(),
            }),
            changed: Signal::new(),
            parent,
            config,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing under the lock unwinds half-way: it runs no foreign code.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- children: in, stored, out ----

    /// Takes a child into the count and the table.
    pub(crate) fn enter(self: &Arc<Self>, location: &'static Location<'static>) -> Result<Ticket, Refusal> {
        self.word.enter()?;
        let mut table = self.lock();
        if table.reason.is_some() {
            drop(table);
            let mut effects = Effects::default();
            self.leave(CHILD, &mut effects);
            effects.run();
            return Err(Refusal::Cancelled);
        }
        let id = table.next_id;
        table.next_id += 1;
        let slot = Slot { id, location, task: None, member: Member::default() };
        let key = Key::try_from(table.slots.insert(slot)).expect("fewer than 2^32 children live at once");
        Ok(Ticket { key, id })
    }

    /// Stores the handle of a child that the spawner has accepted. The child may long have ended.
    pub(crate) fn store(&self, ticket: Ticket, task: Task<()>) {
        let mut refused = Some(task);
        if let Some(slot) = self.lock().slot(ticket) {
            if !slot.member.gone && !slot.member.may_be_dropped() {
                slot.task = refused.take();
            }
        }
        dispose(refused);
    }

    /// Whether a child may be polled: the flag is looked at before a poll, never after.
    pub(crate) fn may_poll(&self, key: Key) -> bool {
        // Pairs with `set` in `cancel_into`. A cancel that is not seen here came after the poll had begun.
        self.word.load() & (CANCELLED | SINGLED) == 0
            || self.lock().member(key, |member, _| !member.cut).unwrap_or(false)
    }

    /// Whether the end of this child is one that was asked for.
    pub(crate) fn is_child_cancelled(&self, key: Key) -> bool {
        self.word.load() & CANCELLED != 0
            || self.lock().member(key, |member, _| member.cancelled).unwrap_or(false)
    }

    /// Takes out a child whose future is destroyed and whose result is delivered.
    pub(crate) fn end(self: &Arc<Self>, key: Key, end: End) {
        let mut effects = Effects::default();
        if end == End::Lost {
            self.lock().outcome.lost += 1;
            self.cancel_into(CancelReason::Lost, &mut effects);
        }
        let mut table = self.lock();
        table.outcome.child_cut |= end == End::Cut;
        let slot = table.slots.get_mut(key as usize).expect("a child has its slot until it ends");
        effects.dispose(slot.task.take());
        let freed = slot.member.end(&mut effects).then(|| self.free(&mut table, key));
        drop(table);
        if freed.is_some() {
            self.leave(CHILD, &mut effects);
        }
        effects.run();
    }

    /// Frees the slot of a child of which nothing is left. It is counted until [`leave`](Self::leave).
    fn free(&self, table: &mut Table, key: Key) -> Slot {
        let slot = table.slots.remove(key as usize);
        if slot.member.singled {
            table.singled -= 1;
            if table.singled == 0 {
                self.word.0.fetch_and(!SINGLED, Ordering::Relaxed);
            }
        }
        slot
    }

    fn leave(self: &Arc<Self>, unit: u64, effects: &mut Effects) {
        let word = self.word.leave(unit);
        if word & WATCHED != 0 && word < CHILD {
            effects.notify(self);
        }
        if word & CANCELLED != 0 && word < HOLD {
            effects.settle(self);
        }
    }

    // ---- cancelling ----

    pub(crate) fn cancel(self: &Arc<Self>, reason: CancelReason) {
        let mut effects = Effects::default();
        self.cancel_into(reason, &mut effects);
        effects.run();
    }

    /// Marks every member as cancelled. The first reason is kept.
    pub(crate) fn cancel_into(self: &Arc<Self>, reason: CancelReason, effects: &mut Effects) {
        let mut table = self.lock();
        if table.reason.is_some() || self.word.load() & FINISHED != 0 {
            return;
        }
        table.reason = Some(reason);
        self.word.set(CANCELLED);
        let Table { slots, body, .. } = &mut *table;
        for (_, slot) in slots {
            slot.member.cancel(&mut slot.task, effects);
        }
        body.cancel(&mut None, effects);
        drop(table);
        effects.notify(self);
        effects.settle(self);
    }

    pub(crate) fn cancel_child(self: &Arc<Self>, ticket: Ticket) {
        let mut effects = Effects::default();
        let mut table = self.lock();
        if let Some(slot) = table.slot(ticket).filter(|slot| !slot.member.cancelled && !slot.member.gone) {
            slot.member.singled = true;
            // Before the `Task` is dropped, so that the wrapper looks at the slot from now on.
            self.word.set(SINGLED);
            slot.member.cancel(&mut slot.task, &mut effects);
            table.singled += 1;
        }
        drop(table);
        effects.run();
    }

    pub(crate) fn close(&self) {
        self.word.set(CLOSED);
    }

    // ---- the body ----

    /// What the scope may do with its body.
    pub(crate) fn body_fate(&self) -> BodyFate {
        if self.word.load() & CANCELLED == 0 {
            return BodyFate::Poll;
        }
        let table = self.lock();
        match (table.body.cut, table.body.holds_groups()) {
            (false, _) => BodyFate::Poll,
            (true, true) => BodyFate::Hold,
            (true, false) => BodyFate::Drop,
        }
    }

    /// The body's future is destroyed; `cut` if it had not ended.
    pub(crate) fn end_body(self: &Arc<Self>, cut: bool) {
        let mut effects = Effects::default();
        let mut table = self.lock();
        table.outcome.body_cut = cut;
        table.body.end(&mut effects);
        drop(table);
        effects.settle(self);
        effects.run();
    }

    // ---- shields ----

    /// Begins a shield in a member and in those that poll it. `None` if one of them is cut already.
    ///
    /// From the task inwards: once the task cannot be cut, a refusal further in leaves nothing half held.
    pub(crate) fn shield(self: &Arc<Self>, key: Key) -> Option<u64> {
        let id = self.lock().id(key)?;
        let chain = self.up_to_task(key, id);
        for (at, (state, key)) in chain.iter().enumerate().rev() {
            let began = state.lock().member(*key, |member, _| !member.cut && member.shield());
            if began != Some(true) {
                let mut effects = Effects::default();
                chain[at + 1..].iter().for_each(|(state, key)| state.unhold(*key, false, &mut effects));
                effects.run();
                return None;
            }
            if *key == BODY {
                state.word.0.fetch_add(HOLD, Ordering::Relaxed);
            }
        }
        Some(id)
    }

    /// Ends a shield. `due` says that no poll of the member is under way that would see to the cut.
    pub(crate) fn unshield(self: &Arc<Self>, key: Key, id: u64, due: bool) {
        let mut effects = Effects::default();
        for (state, key) in self.up_to_task(key, id) {
            state.unhold(key, due, &mut effects);
        }
        effects.run();
    }

    fn unhold(self: &Arc<Self>, key: Key, due: bool, effects: &mut Effects) {
        self.lock().member(key, |member, task| {
            member.unshield(effects);
            if due {
                member.cut_if_due(task, effects);
            }
        });
        if key == BODY {
            self.leave(HOLD, effects);
            effects.notify(self);
        }
    }

    /// The member and those around it in the same task: bodies, up to the child that polls them.
    fn up_to_task(self: &Arc<Self>, key: Key, id: u64) -> Vec<(Arc<State>, Key)> {
        let mut chain = Vec::new();
        let mut next = Some((self, key, id));
        while let Some((state, key, id)) = next {
            if state.lock().id(key) != Some(id) {
                break;
            }
            chain.push((state.clone(), key));
            let parent = state.parent.as_ref().filter(|_| key == BODY);
            next = parent.map(|parent| (&parent.group, parent.key, parent.id));
        }
        chain
    }

    /// After a poll under a shield: cuts the member if the last shield ended, else keeps the waker.
    pub(crate) fn after_shielded_poll(self: &Arc<Self>, key: Key, waker: Waker) {
        let mut effects = Effects::default();
        let mut waker = Some(waker);
        self.lock().member(key, |member, task| {
            member.cut_if_due(task, &mut effects);
            member.keep_waker(waker.take().expect("called once"), &mut effects);
        });
        if key == BODY {
            effects.settle(self);
        }
        effects.run();
    }

    pub(crate) fn is_shielded(&self, key: Key) -> bool {
        self.lock().member(key, |member, _| member.shields() > 0).unwrap_or(false)
    }

    pub(crate) fn is_member_cancelled(&self, key: Key) -> bool {
        self.lock().member(key, |member, _| member.cancelled).unwrap_or(true)
    }

    // ---- groups inside groups ----

    pub(crate) fn parent(&self) -> Option<&Parent> {
        self.parent.as_ref()
    }

    /// Lists a group that was opened in a member. `None` if that member is cut: the group is born cancelled.
    fn link(&self, key: Key, group: &Arc<State>) -> Option<usize> {
        let mut table = self.lock();
        let link = table.member(key, |member, _| member.link(group)).flatten();
        if link.is_some() && key == BODY {
            self.word.0.fetch_add(HOLD, Ordering::Relaxed);
        }
        link
    }

    fn unlink(self: &Arc<Self>, key: Key, link: usize, effects: &mut Effects) {
        let mut table = self.lock();
        let (group, freed) = table
            .member(key, |member, task| {
                let group = member.unlink(link);
                member.release(task, effects);
                (group, member.gone && !member.holds_groups())
            })
            .expect("a member stays in the table while a group is linked to it");
        let slot = (freed && key != BODY).then(|| self.free(&mut table, key));
        drop(table);
        if key == BODY {
            self.leave(HOLD, effects);
            effects.notify(self);
        } else if slot.is_some() {
            self.leave(CHILD, effects);
        }
        drop(group);
    }

    /// If the group has ended for good: hands outwards what nobody read, and cuts the link.
    pub(crate) fn settle(self: &Arc<Self>, effects: &mut Effects) {
        let mut table = self.lock();
        let word = self.word.load();
        let over = word & FINISHED != 0 || (word & CANCELLED != 0 && (table.body.cut || table.body.gone));
        if word >= HOLD || !over {
            return;
        }
        let unread = table.abandoned.then(|| std::mem::take(&mut table.outcome));
        let link = table.link.take();
        drop(table);
        let Some(parent) = &self.parent else { return };
        for (origin, failure) in unread.into_iter().flat_map(|outcome| outcome.outward(&parent.origin)) {
            parent.group.record_into(failure, origin, effects);
        }
        if let Some(link) = link {
            parent.group.unlink(parent.key, link, effects);
        }
    }

    // ---- the outcome ----

    /// Which member this is, for a report.
    pub(crate) fn origin(&self, key: Key) -> Origin {
        let child =
            self.lock().slots.get(key as usize).filter(|_| key != BODY).map(|slot| (slot.id, slot.location));
        Origin::new(self.config.location, child)
    }

    pub(crate) fn record(self: &Arc<Self>, key: Key, failure: Raw) {
        let mut effects = Effects::default();
        self.record_into(failure, self.origin(key), &mut effects);
        effects.run();
    }

    /// Records a failure: its place in the order and the cancel come first, then the hook, then it is kept.
    fn record_into(self: &Arc<Self>, mut failure: Raw, origin: Origin, effects: &mut Effects) {
        let number = self.lock().outcome.number();
        if !self.config.collect {
            self.cancel_into(failure.reason(origin.clone()), effects);
        }
        let mut hook_panic = None;
        if let Some(hook) = &self.config.on_failure {
            (failure, hook_panic) = hook(failure);
        }
        let mut table = self.lock();
        let mut out = table.outcome.keep(number, origin.clone(), failure);
        if let Some(payload) = hook_panic {
            let number = table.outcome.number();
            let second = table.outcome.keep(number, origin, Raw::Panic(payload));
            drop(table);
            drop_quietly(second);
        } else {
            drop(table);
        }
        drop_quietly(out.take());
    }

    pub(crate) fn location(&self) -> &'static Location<'static> {
        self.config.location
    }

    /// Closes for good if nothing is left, and gives the outcome to the owner.
    pub(crate) fn finish(self: &Arc<Self>) -> Option<(Outcome, Option<CancelReason>)> {
        if !self.word.finish() {
            return None;
        }
        let mut effects = Effects::default();
        let mut table = self.lock();
        let report = (std::mem::take(&mut table.outcome), table.reason.clone());
        drop(table);
        effects.notify(self);
        effects.settle(self);
        effects.run();
        Some(report)
    }

    /// The owner goes without having joined: everything is cancelled, nobody will read the outcome.
    pub(crate) fn abandon(self: &Arc<Self>) {
        self.cancel(CancelReason::ScopeDropped);
        let live = self.len();
        if let Some(hook) = self.config.on_abandoned.as_ref().filter(|_| live > 0 && self.parent.is_none()) {
            let _ = catch(|| hook(live));
        }
        self.lock().abandoned = true;
        let mut effects = Effects::default();
        effects.settle(self);
        effects.run();
    }

    // ---- looking, waiting ----

    pub(crate) fn len(&self) -> usize {
        (self.word.load() / CHILD) as usize
    }

    pub(crate) fn refusal(&self) -> Option<Refusal> {
        Refusal::of(self.word.load())
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.word.load() & CANCELLED != 0
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.word.load() & FINISHED != 0
    }

    pub(crate) fn reason(&self) -> Option<CancelReason> {
        self.lock().reason.clone()
    }

    /// Has the signal given when the last child leaves, from now on.
    pub(crate) fn watch(&self) {
        self.word.set(WATCHED);
    }

    pub(crate) fn signal(&self) -> &Signal {
        &self.changed
    }

    /// Wakes whoever waits on this group, to look again.
    pub(crate) fn notify(&self) {
        self.changed.notify();
    }

    pub(crate) fn id_of(&self, key: Key) -> Option<u64> {
        self.lock().id(key)
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // Parents hold one another: drop the chain in a loop, not on the stack.
        let mut next = self.parent.take();
        while let Some(parent) = next {
            next = Arc::into_inner(parent.group).and_then(|mut state| state.parent.take());
        }
    }
}
