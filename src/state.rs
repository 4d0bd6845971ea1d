//! The state that a group, its handles and its children share.
//!
//! # Invariants
//!
//! 1. A child joins the count before its future reaches the spawner. It leaves the count when its future and all it
//!    captured are destroyed, its result is delivered, and every group opened in it has ended. So *count zero* means
//!    *all gone*.
//! 2. Three things are one step under the lock: a child joins the count, gets a slot, and finds the group open
//!    ([`State::entry`]). Two more are one step: the owner finds the count at zero and closes the group permanently
//!    ([`Word::finish`]). So nothing can start after `join` has returned.
//! 3. Setting `CANCELLED` and walking the table are one step under the lock ([`State::cancel_locked`]). So every child
//!    is either walked or refused. There are two exceptions, which a cancel does not cut: a clean-up, and the child
//!    that watches a deadline, if that deadline outranks the cancel.
//! 4. A group that was opened in a member is *linked*: the member lists it, and the member stays in its own table while
//!    it lists a group. A group is *over* when nothing is counted and it is finished, or cancelled with a body that is
//!    cut or gone. The link is cut by the thread that finds the group over ([`State::settle`]), after that thread has
//!    handed the group's unread failures outwards. So a group may be over before its cut body is destroyed. Until then
//!    such a body may register a clean-up, and the group is linked again ([`State::relink`]). It may also own groups,
//!    which end when it is destroyed. Then the link is not cut but loosened: the member around the group does not wait
//!    for it any more before it is dropped, but is counted as long as it lists the group.
//! 5. The spawner is not part of this state: a child owns the state, and a spawner may own the child.
//! 6. Locks are never nested, with two exceptions: that of the list in `crowd`, and that of those who listen
//!    ([`Signal`]), are taken inside the lock of the table. No user code runs under a lock: see [`Effects`].
//! 7. The `Task` of an ended child is let go by the child itself, or by the thread that hands the child in (see
//!    `crowd`). If the spawner asks for it, the `Task` is first kept for a while, in the yard of [`Table`]; none is
//!    kept once no child lives. The `Task` of a child that returned is detached: the future is gone, and whatever the
//!    spawner has put around it comes to its end. That of a cancelled or lost child is dropped.
//!
//! # Interleavings that matter
//!
//! * *Cancel against spawn.* The child has its slot before the walk, but its `Task` is not stored yet. The walk cuts
//!   the slot, and [`State::store`] drops the `Task`. The `Task` of a child on a pool is usually stored in the same
//!   step in which the child gets its slot (see `entry`). If such a child is cancelled before it is started, its future
//!   is dropped by the thread that would have run it.
//! * *Cancel against the last child leaving.* Both threads may find the count at zero with `CANCELLED` set. Then both
//!   settle, and the second finds no link.
//! * *A cut body registers a clean-up, against the group being settled.* The clean-up is entered before any thread
//!   looks for the link. Either the link is still there, and is not cut before the clean-up has ended; or it has been
//!   taken already, and the group is linked again.
//! * *What a cut body owns ends while the link is being loosened.* Meanwhile the link is not in its place, so whoever
//!   ends it settles nothing. The thread that puts the link back settles once more.
//! * *Join against spawn at zero.* The thread that has the lock first decides.
//! * *A child ends before its `Task` is stored.* Its slot is gone, and [`State::store`] detaches the `Task`.
//! * *Inner group ends against its opener being cut.* Both happen under the opener's lock. Either the cut finds the
//!   group still listed, and leaves the `Task` to the unlinking; or it finds the group gone, and drops the `Task`
//!   itself.

pub(crate) mod background;
pub(crate) mod cancelling;
pub(crate) mod crowd;
pub(crate) mod deadline;
pub(crate) mod effects;
pub(crate) mod elsewhere;
pub(crate) mod entry;
pub(crate) mod facts;
mod kind;
mod leaving;
pub(crate) mod lending;
pub(crate) mod limit;
pub(crate) mod member;
pub(crate) mod nesting;
pub(crate) mod signal;
pub(crate) mod table;
pub(crate) mod ticket;
pub(crate) mod word;

use std::mem::MaybeUninit;
use std::panic::RefUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use async_task::Task;

use crate::error::{CancelReason, Name, Refusal, step};
use crate::group::config::Config;
#[cfg(feature = "tracing")]
use crate::observe::trace::Span;
use crate::state::crowd::{Ended, Turn};
use crate::state::effects::{Effects, detach};
use crate::state::facts::Fact;
use crate::state::limit::Limit;
use crate::state::member::{Key, Kind, Member};
use crate::state::nesting::Parent;
use crate::state::signal::Signal;
use crate::state::table::Table;
use crate::state::ticket::Standing;
use crate::state::word::{Flags, Seen, Word};
#[cfg(taskgroup_loom)]
use crate::sync::kept::{Alive, Mortal};
use crate::sync::lock::{Guard, Lock};
use crate::unwind::drop_quietly;

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Returned,
    /// The future was dropped because the child was cancelled.
    Cut,
    /// The runtime dropped the future by itself.
    Lost,
}

/// What a scope may do with its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFate {
    Poll,
    /// The body is cut, but groups that it opened still live.
    Hold,
    Drop,
}

/// The state of one group.
///
/// The fields are ordered for children on several threads. A thread that spins at the lock must not take the cache line
/// that the holder is writing to. So everything that each child writes lies together, at the end of the table and behind
/// it, with the rest of the table between that and the lock. The flags and `opened`, which children only read, are a cache
/// line away from those fields, and the flags from `ended` and from the reference count in front of this struct, too.
#[repr(C)]
pub(crate) struct State {
    /// Dropped before the other fields.
    #[cfg(taskgroup_loom)]
    alive: Alive,
    pub(crate) config: Config,
    /// The names of the groups around this one, and its own, if any of them has a name.
    pub(crate) path: Option<Name>,
    pub(crate) flags: Flags,
    /// Set if polls are marked, so exactly in observed groups.
    pub(crate) opened: Option<Instant>,
    pub(crate) parent: Option<Box<Parent>>,
    /// How many groups are around this one.
    pub(crate) depth: u32,
    _apart: MaybeUninit<[u64; 3]>,
    pub(crate) ended: Ended,
    changed: Signal,
    pub(crate) table: Lock<Table>,
    pub(crate) word: Word,
}

/// Whoever catches a panic finds the state whole. Hooks and spawners are the user's, and called from many threads anyway.
impl RefUnwindSafe for State {}

#[cfg(taskgroup_loom)]
impl Mortal for State {
    fn alive(&self) -> &Alive {
        &self.alive
    }
}

impl State {
    /// Opens a group that is linked to nothing yet; with a `parent`, the caller links it next.
    pub(crate) fn open_root(config: Config, has_body: bool, parent: Option<Box<Parent>>) -> Arc<Self> {
        let around = parent.as_ref().and_then(|parent| parent.origin.path.as_ref());
        let path = step(around, config.name(), None);
        let observed = config.observe_polls || config.metrics.is_some();
        #[cfg(feature = "tracing")]
        let span = Span::of_group(
            config.location,
            config.name().map(|name| &**name),
            path.as_deref(),
            parent.as_deref(),
        );
        #[cfg(feature = "tracing")]
        let observed = observed || span.is_some();
        let mut body = if has_body { Member::of_kind(Kind::Body) } else { Member::gone() };
        if has_body && observed {
            body.observe();
        }
        // Everything that may panic comes first. The rest is then written once and in its final place.
        let (deadline, limit) = (config.deadline(), config.limit.map(|most| Box::new(Limit::new(most))));
        let depth = parent.as_ref().map_or(0, |parent| parent.group.depth + 1);
        let opened = observed.then(Instant::now);
        let table = Table::new(body, deadline, limit);
        #[cfg(feature = "tracing")]
        let table = table.traced(span);
        Arc::new(Self {
            word: Word::new(),
            _apart: MaybeUninit::uninit(),
            flags: Flags::new(observed),
            ended: Ended::new(),
            path,
            table: Lock::new(table),
            changed: Signal::new(),
            depth,
            opened,
            parent,
            config,
            #[cfg(taskgroup_loom)]
            alive: Alive::new(),
        })
    }

    /// Locks the table, after handing in the children that were put by (see `crowd`).
    ///
    /// That calls schedule functions and wakers. So no other lock may be held, nor anything borrowed that they may look at.
    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_, Table> {
        loop {
            let table = self.table.lock();
            if !self.flags.is_crowded() || self.ended.is_empty() {
                return table;
            }
            let group = table.keeper.clone().expect("a crowd is counted");
            group.hand_in(table, None);
        }
    }

    // ---- children: looked at, out ----

    /// Whether no child may be cut and no poll is marked.
    ///
    /// A wrapper reads the flags before a poll, never after it.
    #[inline]
    pub(crate) fn is_undisturbed(&self) -> bool {
        // Pairs with `cancel` and `single_out`. A cancel that is not seen here came after the poll had begun.
        self.flags.is_undisturbed()
    }

    /// Whether somebody asked this child to end.
    pub(crate) fn is_child_cancelled(&self, key: Key) -> bool {
        self.word.look().is_cancelled()
            || self.lock().member(key, |member, _| member.is(Fact::CANCELLED)).unwrap_or(false)
    }

    /// Takes out a child whose future is destroyed and whose result is delivered.
    pub(crate) fn end(self: &Arc<Self>, standing: Standing, end: End) {
        let key = standing.key();
        // Declared first, so that it is dropped last.
        let _pool;
        let may_wait = end == End::Returned && standing.is_plain();
        let mut table = if may_wait && self.flags.may_put_by(standing.is_on_pool()) {
            match self.turn_of(standing) {
                Turn::Now(table) => table,
                Turn::PutBy => return,
                Turn::WithOthers(table) => return self.hand_in(table, Some(key)),
            }
        } else {
            self.table.lock()
        };
        let slot = table.slots.get_mut(key as usize).expect("a child has its slot until it ends");
        if !slot.member.is_plain() || end == End::Lost {
            drop(table);
            return self.end_with_effects(key, end);
        }
        // The rest of the slot holds nothing that needs dropping. Detaching the `Task` sets nothing off either: it
        // belongs to the very task that is ending here.
        let task = slot.task.take();
        let facts = slot.member.facts;
        std::mem::forget(table.slots.remove(key as usize));
        _pool = table.on_pool.leave(facts);
        if end == End::Cut {
            table.outcome.child_cut = true;
        }
        let seen = self.word.leave(&mut table.locked, Kind::Ordinary);
        if seen.are_few() || self.are_few_on_pool(&table) {
            return self.end_among_few(table, seen, task);
        }
        let task = if table.keeps_ended { task.and_then(|task| table.keep(task)) } else { task };
        drop(table);
        // From here on the group may be gone. If this panics, nothing is left undone.
        task.into_iter().for_each(Task::detach);
    }

    #[cold]
    fn end_with_effects(self: &Arc<Self>, key: Key, end: End) {
        let mut effects = Effects::default();
        if end == End::Lost {
            self.cancel_into(CancelReason::Lost, &mut effects);
        }
        if self.is_observed() {
            self.observe_end(key, end);
        }
        let mut table = self.lock();
        let is_lost = table.is_lost();
        let slot = table.slots.get_mut(key as usize).expect("a child has its slot until it ends");
        let kind = slot.member.kind();
        let cut_with_group = match end {
            End::Returned => false,
            // A lost deadline watcher cuts the members that still live. For those that have returned, the deadline was
            // met.
            End::Lost => kind != Kind::Watch,
            End::Cut if slot.member.is(Fact::SINGLED) => false,
            End::Cut => kind.is_missed(is_lost),
        };
        let task = slot.task.take();
        let facts = slot.member.facts;
        let is_over = slot.member.end(&mut effects);
        effects.give_up(table.on_pool.leave(facts));
        if is_over {
            self.free(&mut table, key, &mut effects);
        } else {
            self.note_few(&mut table, self.word.look(), &mut effects);
        }
        table.outcome.child_cut |= cut_with_group;
        drop(table);
        // From here on the group exists only if the effects hold it.
        match end {
            End::Returned => task.into_iter().for_each(detach),
            End::Cut | End::Lost => drop_quietly(task),
        }
        effects.run();
    }

    /// Frees the slot of a child of which nothing is left.
    ///
    /// As the last step, it takes the child out of the count.
    pub(crate) fn free(self: &Arc<Self>, table: &mut Table, key: Key, effects: &mut Effects) {
        let mut slot = table.slots.remove(key as usize);
        effects.tell_left(slot.member.take_left());
        if let Some(limit) = &mut table.limit {
            limit.leave(&slot.member, &mut table.slots, effects);
        }
        table.background.left(&slot.member);
        if slot.member.is(Fact::SINGLED) {
            table.singled -= 1;
            if table.singled == 0 {
                self.flags.none_singled_out(&mut table.locked);
            }
        }
        let seen = self.word.leave(&mut table.locked, slot.member.kind());
        let seen = self.note_few(table, seen, effects);
        table.shrink();
        if seen.children() == 0 {
            table.clear().into_iter().for_each(|task| effects.detach(Some(task)));
        }
        self.left(slot.member.kind(), seen, table, effects);
    }

    /// Takes a group that was opened in the body out of the count.
    pub(crate) fn release(self: &Arc<Self>, table: &mut Table, effects: &mut Effects) {
        let seen = self.word.leave(&mut table.locked, Kind::Body);
        self.left(Kind::Body, seen, table, effects);
    }

    /// Notifies those who wait for what has just left the count.
    fn left(self: &Arc<Self>, kind: Kind, seen: Seen, table: &mut Table, effects: &mut Effects) {
        if seen.is_clear() {
            effects.let_go(table.keeper.take());
        }
        if kind != Kind::Ordinary || (seen.is_watched() && seen.children() == 0) {
            effects.notify(self);
        }
        self.settle_if_due(seen, effects);
    }

    pub(crate) fn settle_if_due(self: &Arc<Self>, seen: Seen, effects: &mut Effects) {
        // A group that ended well may have been linked again, for a late clean-up.
        if (seen.is_cancelled() || seen.is_finished()) && seen.is_clear() {
            effects.settle(self);
        }
    }

    // ---- the body ----

    /// Returns what the scope may do with its body.
    pub(crate) fn body_fate(&self) -> BodyFate {
        if !self.word.look().is_cancelled() {
            return BodyFate::Poll;
        }
        let table = self.lock();
        match (table.body.is(Fact::CUT), table.body.awaits_groups()) {
            (false, _) => BodyFate::Poll,
            (true, true) => BodyFate::Hold,
            (true, false) => BodyFate::Drop,
        }
    }

    /// Records that the body's future is destroyed; `cut` says that it had not ended.
    pub(crate) fn end_body(self: &Arc<Self>, cut: bool) {
        let mut effects = Effects::default();
        let mut table = self.lock();
        table.outcome.body_cut = cut;
        table.body.end(&mut effects);
        for _ in 0..table.body.count_owned() {
            self.word.enter(&mut table.locked, Kind::Body);
        }
        // By those who wait for the end, or watch the deadline.
        if self.word.look().is_watched() {
            effects.notify(self);
        }
        self.settle_if_due(self.word.look(), &mut effects);
        drop(table);
        effects.run();
    }

    // ---- looking, waiting ----

    pub(crate) fn len(&self) -> usize {
        // Under the lock, because `lock` first takes out the children that were put by.
        let _table = self.lock();
        self.word.look().children()
    }

    pub(crate) fn refusal(&self) -> Option<Refusal> {
        self.word.look().refusal(Kind::Ordinary)
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.word.look().is_cancelled()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.word.look().is_stopping()
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.word.look().is_finished()
    }

    pub(crate) fn reason(&self) -> Option<CancelReason> {
        self.lock().reason.as_deref().cloned()
    }

    /// Makes the group give the signal when the last child leaves, from now on.
    pub(crate) fn watch(&self) {
        if !self.word.look().is_watched() {
            self.word.watch(&mut self.lock().locked);
        }
    }

    pub(crate) fn signal(&self) -> &Signal {
        &self.changed
    }

    /// Wakes all who wait on this group, so that they look again.
    pub(crate) fn notify(&self) {
        self.changed.notify();
    }
}
