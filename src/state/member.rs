//! The table's entries: a child or the body, and what delays its end when it is cancelled.
//!
//! A *member* is a child of the group or the scope's body. Cancelling marks it. To *cut* a member is to stop polling
//! it, so that its future can be dropped. What happens after the mark depends on what the member holds:
//!
//! ```text
//! cancelled, nothing held ──────────────────────────────► cut: its Task is dropped
//! cancelled, groups inside ──► cut: not polled again; its Task is dropped when the last of them is gone
//! cancelled, shielded ──► polled on, woken once; cut after the poll in which the last shield ends
//! ```
//!
//! A child that finds no place under the group's limit is *queued*: its wrapper waits for a place, and its future is
//! not polled. It is cancelled like any other child.
//!
//! A child whose future is gone, while groups that it opened still live, stays in the table as *gone*. It is still
//! counted, and so every group around it waits for its grandchildren.

use std::panic::Location;
use std::sync::Arc;
use std::task::Waker;

use async_task::Task;
use slab::Slab;

use crate::error::Name;
use crate::handle::Packet;
use crate::observe::Marks;
#[cfg(feature = "tracing")]
use crate::observe::trace::Span;
use crate::state::State;
use crate::state::effects::Effects;
use crate::state::elsewhere::Elsewhere;
use crate::state::facts::{Fact, Facts};
pub(crate) use crate::state::kind::{Kind, Work};
use crate::state::lending::Loan;
use crate::state::signal::Signal;

/// The index of a child in the table of its group.
pub(crate) type Key = u32;

/// The key that stands for a scope's body.
pub(crate) const BODY: Key = Key::MAX;

/// A child in the table of its group.
pub(crate) struct Slot {
    pub(crate) location: &'static Location<'static>,
    /// `None` while the spawner is making it, and once the child is cut or ends.
    pub(crate) task: Option<Task<()>>,
    pub(crate) member: Member,
}

impl Slot {
    /// To be filled in where it lies. Writing a slot twice takes less time than moving one that was just written part
    /// by part.
    pub(crate) const EMPTY: Self = Self {
        location: Location::caller(),
        task: None,
        member: Member { facts: Facts::new(Kind::Ordinary, Work::Future), hold: None },
    };
}

/// What is known of a child or a body besides its future.
#[derive(Default)]
pub(crate) struct Member {
    pub(crate) facts: Facts,
    hold: Option<Box<Hold>>,
}

/// What keeps a cancelled member in the table, and other things that most children never have.
#[derive(Default)]
struct Hold {
    name: Option<Name>,
    after: Option<Box<After>>,
    shields: u32,
    groups: Slab<Inner>,
    /// How many of `groups` are awaited.
    awaited: usize,
    /// Of a shielded member: the waker of its latest poll, so that a cancel can tell the shielded code, once. Of a
    /// queued child: the waker that is called when it gets a place.
    waker: Option<Waker>,
    told: bool,
    loan: Option<Box<Loan>>,
    elsewhere: Option<Arc<Elsewhere>>,
    /// The member is a clean-up, and its turn has come.
    begun: bool,
    /// The member is a clean-up, and background children stay until it has ended.
    served: bool,
    marks: Option<Box<Marks>>,
    #[cfg(feature = "tracing")]
    span: Span,
}

/// glibc is slower with blocks that are larger than this: a child with a name would take 110 instructions more.
#[cfg(all(target_pointer_width = "64", not(feature = "tracing")))]
const _: () = assert!(size_of::<Hold>() <= 120);

/// Who waits for the member to end. It is rare, and so it has a box of its own.
#[derive(Default)]
struct After {
    /// The clean-up that was registered last waits for this. It is resolved when the future is gone.
    cleanup: Option<Arc<Packet<()>>>,
    /// Given when the child has left the table.
    left: Option<Arc<Signal>>,
}

/// A group that was opened in this member and has not ended.
struct Inner {
    /// Whether the member is not dropped before it has ended. That is so unless the member owns it, or it is
    /// [loosened](Member::loosen).
    awaited: bool,
    /// Whether the group around counts it, if the member is a body. Of what is not awaited, that is so only when the body
    /// is gone.
    counted: bool,
    group: Arc<State>,
    /// The group was opened under a shield, so a cancel from outside does not reach it until the shield ends.
    shielded: bool,
}

impl Member {
    /// Stands for the body in a group that has none.
    pub(crate) fn gone() -> Self {
        let mut gone = Self::of_kind(Kind::Body);
        gone.facts.set(Fact::GONE);
        gone
    }

    #[inline]
    pub(crate) fn is(&self, fact: Fact) -> bool {
        self.facts.is(fact)
    }

    #[inline]
    pub(crate) fn id(&self) -> u64 {
        self.facts.id()
    }

    pub(crate) fn kind(&self) -> Kind {
        self.facts.kind()
    }

    /// Whether nothing but the future has to be dealt with when the member leaves.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.hold.is_none() && self.facts.is_plain()
    }

    #[inline]
    pub(crate) fn of_kind(kind: Kind) -> Self {
        Self::new(kind, Work::Future)
    }

    #[inline]
    pub(crate) fn new(kind: Kind, work: Work) -> Self {
        Self { facts: Facts::new(kind, work), hold: None }
    }

    /// Marks the polls of the member from now on.
    #[cold]
    pub(crate) fn observe(&mut self) {
        self.hold.get_or_insert_default().marks = Some(Box::new(Marks::new()));
    }

    pub(crate) fn marks(&self) -> Option<&Marks> {
        self.hold.as_ref()?.marks.as_deref()
    }

    pub(crate) fn marks_mut(&mut self) -> Option<&mut Marks> {
        self.hold.as_mut()?.marks.as_deref_mut()
    }

    #[cfg(feature = "tracing")]
    pub(crate) fn trace(&mut self, span: Span) {
        self.hold.get_or_insert_default().span = span;
    }

    #[cfg(feature = "tracing")]
    pub(crate) fn span(&self) -> Span {
        self.hold.as_ref().map(|hold| hold.span.clone()).unwrap_or_default()
    }

    /// For a caller that ends the span while it holds no lock.
    #[cfg(feature = "tracing")]
    pub(crate) fn take_span(&mut self) -> Span {
        self.hold.as_mut().map(|hold| std::mem::take(&mut hold.span)).unwrap_or_default()
    }

    pub(crate) fn mark_singled(&mut self) {
        self.marks_mut().into_iter().for_each(Marks::single_out);
    }

    /// Notes that the turn of a clean-up has come.
    pub(crate) fn begin(&mut self) {
        self.hold.get_or_insert_default().begun = true;
    }

    /// Whether a limit applies to it. A queued child could be dropped, and a shielded one must not be.
    pub(crate) fn needs_place(&self) -> bool {
        self.kind() == Kind::Ordinary && self.shields() == 0
    }

    /// Whether background children stay for the clean-ups of this member.
    pub(crate) fn is_served(&self) -> bool {
        match self.kind() {
            Kind::Cleanup => self.hold.as_ref().is_some_and(|hold| hold.served),
            kind => !kind.is_background(),
        }
    }

    /// Notes that background children stay until this clean-up has ended.
    pub(crate) fn serve(&mut self) {
        self.hold.get_or_insert_default().served = true;
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.hold.as_ref().is_some_and(|hold| hold.begun)
    }

    /// Puts the member under a shield from the start.
    pub(crate) fn shielded(mut self) -> Self {
        self.shield();
        self
    }

    pub(crate) fn named(mut self, name: Name) -> Self {
        self.hold.get_or_insert_default().name = Some(name);
        self
    }

    /// Marks the member as running on another runtime than its group's own, if `elsewhere` is set.
    #[inline]
    pub(crate) fn at(self, elsewhere: Option<&Arc<Elsewhere>>) -> Self {
        #[cold]
        fn mark(mut member: Member, elsewhere: Arc<Elsewhere>) -> Member {
            member.hold.get_or_insert_default().elsewhere = Some(elsewhere);
            member
        }
        match elsewhere {
            None => self,
            Some(elsewhere) => mark(self, elsewhere.clone()),
        }
    }

    pub(crate) fn elsewhere(&self) -> Option<&Arc<Elsewhere>> {
        self.hold.as_ref()?.elsewhere.as_ref()
    }

    /// Whether the member's runtime is gone; `at_home` says so for the group's own runtime.
    #[inline]
    pub(crate) fn is_bereft(&self, at_home: bool) -> bool {
        self.elsewhere().map_or(at_home, |elsewhere| elsewhere.is_lost())
    }

    pub(crate) fn name(&self) -> Option<&Name> {
        self.hold.as_ref()?.name.as_ref()
    }

    /// Marks the member as cancelled, and cuts it unless a shield forbids it.
    ///
    /// Returns its `Task` if that is to be dropped now. Does nothing to a member that is gone: what is in it was cancelled then.
    #[must_use = "to drop it is what cancels the child"]
    pub(crate) fn cancel(&mut self, task: &mut Option<Task<()>>, effects: &mut Effects) -> Option<Task<()>> {
        if self.is(Fact::CANCELLED) || self.is(Fact::GONE) {
            return None;
        }
        self.facts.set(Fact::CANCELLED);
        if self.shields() == 0 {
            return self.cut(task, effects);
        }
        let hold = self.hold.as_mut().expect("a shield is held");
        hold.told = hold.waker.is_some();
        effects.wake(hold.waker.take());
        for (_, inner) in &hold.groups {
            // The shield delays the cut, but not the soft signal.
            match inner.shielded {
                true => effects.stop(inner.group.clone()),
                false => effects.cancel(inner.group.clone()),
            }
        }
        None
    }

    /// Cuts a cancelled member whose last shield has ended.
    pub(crate) fn cut_if_due(&mut self, task: &mut Option<Task<()>>, effects: &mut Effects) {
        if self.is(Fact::CANCELLED) && !self.is(Fact::CUT) && self.shields() == 0 {
            let task = self.cut(task, effects);
            effects.dispose(task);
        }
    }

    fn cut(&mut self, task: &mut Option<Task<()>>, effects: &mut Effects) -> Option<Task<()>> {
        self.facts.set(Fact::CUT);
        self.cancel_groups(effects);
        self.release(task, effects)
    }

    /// Marks the future as destroyed and cancels the groups that it opened.
    ///
    /// Returns whether the member may leave the table.
    pub(crate) fn end(&mut self, effects: &mut Effects) -> bool {
        self.facts.set(Fact::GONE);
        self.cancel_groups(effects);
        self.clean_up(effects);
        // The waker of a child that was queued, or is still under a shield. It must not be dropped with the slot,
        // because that happens under the lock.
        effects.forget(self.hold.as_mut().and_then(|hold| hold.waker.take()));
        !self.holds_groups()
    }

    /// Registers a clean-up to begin when the future is gone.
    ///
    /// Returns the clean-up that was to begin first so far; or `None` if the clean-ups have begun already: a group
    /// inside may outlive the future of its host, and register here.
    pub(crate) fn register_cleanup(&mut self, begin: &Arc<Packet<()>>) -> Option<Option<Arc<Packet<()>>>> {
        let told = self.is(Fact::GONE) || (self.kind() == Kind::Body && self.may_be_dropped());
        (!told).then(|| self.after_mut().cleanup.replace(begin.clone()))
    }

    /// Lets the clean-ups begin.
    pub(crate) fn clean_up(&mut self, effects: &mut Effects) {
        effects.resolve(self.after().and_then(|after| after.cleanup.take()));
    }

    fn cancel_groups(&self, effects: &mut Effects) {
        self.groups().for_each(|group| effects.cancel(group.clone()));
    }

    /// Gives up the `Task` of a cut member, once no group inside lives.
    ///
    /// A body has no `Task`: the member that polls the scope drops the body. If that member is cut as well, it polls no more,
    /// and it waits for the clean-ups of the body. So these begin here.
    #[must_use = "to drop it is what cancels the child"]
    pub(crate) fn release(&mut self, task: &mut Option<Task<()>>, effects: &mut Effects) -> Option<Task<()>> {
        if !self.may_be_dropped() {
            return None;
        }
        if self.kind() == Kind::Body {
            self.clean_up(effects);
        }
        task.take()
    }

    pub(crate) fn may_be_dropped(&self) -> bool {
        self.is(Fact::CUT) && !self.awaits_groups()
    }

    /// Whether the member must wait for groups inside it before it is dropped.
    ///
    /// It waits for all groups except those that it owns, or that wait for it to be dropped.
    pub(crate) fn awaits_groups(&self) -> bool {
        self.hold.as_ref().is_some_and(|hold| hold.awaited > 0)
    }

    pub(crate) fn holds_groups(&self) -> bool {
        self.hold.as_ref().is_some_and(|hold| !hold.groups.is_empty())
    }

    /// Registers a group that was opened in this member.
    ///
    /// Returns `None` if the member is cut or gone.
    pub(crate) fn link(&mut self, group: &Arc<State>) -> Option<usize> {
        let lives = !self.is(Fact::CUT) && !self.is(Fact::GONE);
        lives.then(|| self.relink(group))
    }

    /// Registers a group again that was over and no longer is.
    ///
    /// This is done whatever has become of this member.
    pub(crate) fn relink(&mut self, group: &Arc<State>) -> usize {
        let hold = self.hold.get_or_insert_default();
        let awaited = !group.config.owned;
        hold.awaited += usize::from(awaited);
        let counted = awaited || self.facts.is(Fact::GONE);
        hold.groups.insert(Inner { awaited, counted, group: group.clone(), shielded: hold.shields > 0 })
    }

    /// Gives up waiting for a group in which nothing is left but what its cut body owns: that waits for this member to be
    /// dropped, and the body with it. From then on this member owns that group, too.
    ///
    /// Returns whether the group around has counted it, and must not any more.
    pub(crate) fn loosen(&mut self, link: usize) -> bool {
        let gone = self.is(Fact::GONE);
        let hold = self.hold.as_mut().expect("a linked group is held");
        let inner = &mut hold.groups[link];
        hold.awaited -= usize::from(std::mem::take(&mut inner.awaited));
        !gone && std::mem::take(&mut inner.counted)
    }

    /// Whether the group around counts this group, if the member is a body.
    pub(crate) fn counts(&self, link: usize) -> bool {
        self.hold.as_ref().is_some_and(|hold| hold.groups[link].counted)
    }

    /// Counts the groups that have outlived the body although it did not await them. Returns how many there are.
    pub(crate) fn count_owned(&mut self) -> usize {
        let groups = self.hold.iter_mut().flat_map(|hold| hold.groups.iter_mut());
        groups.map(|(_, inner)| usize::from(!std::mem::replace(&mut inner.counted, true))).sum()
    }

    pub(crate) fn unlink(&mut self, link: usize) -> Arc<State> {
        let hold = self.hold.as_mut().expect("a linked group is held");
        let Inner { awaited, group, .. } = hold.groups.remove(link);
        hold.awaited -= usize::from(awaited);
        group
    }

    pub(crate) fn shields(&self) -> u32 {
        self.hold.as_ref().map_or(0, |hold| hold.shields)
    }

    pub(crate) fn shield(&mut self) {
        self.hold.get_or_insert_default().shields += 1;
    }

    pub(crate) fn unshield(&mut self, effects: &mut Effects) {
        let hold = self.hold.as_mut().expect("a shield that ends was begun");
        hold.shields -= 1;
        if hold.shields == 0 {
            effects.forget(hold.waker.take());
            hold.groups.iter_mut().for_each(|(_, inner)| inner.shielded = false);
        }
    }

    /// The groups opened in this member.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &Arc<State>> {
        self.hold.iter().flat_map(|hold| hold.groups.iter()).map(|(_, inner)| &inner.group)
    }

    /// What the member has borrowed of the places of others, and they of its place.
    pub(crate) fn loan(&self) -> Option<&Loan> {
        self.hold.as_ref()?.loan.as_deref()
    }

    pub(crate) fn loan_mut(&mut self) -> &mut Loan {
        self.hold.get_or_insert_default().loan.get_or_insert_default()
    }

    /// What is given when the child has left the table.
    pub(crate) fn left(&mut self) -> &Arc<Signal> {
        self.after_mut().left.get_or_insert_with(|| Arc::new(Signal::new()))
    }

    pub(crate) fn take_left(&mut self) -> Option<Arc<Signal>> {
        self.after()?.left.take()
    }

    fn after(&mut self) -> Option<&mut After> {
        self.hold.as_mut()?.after.as_deref_mut()
    }

    fn after_mut(&mut self) -> &mut After {
        self.hold.get_or_insert_default().after.get_or_insert_default()
    }

    /// Keeps the waker of a queued child.
    pub(crate) fn keep_queued(&mut self, waker: Waker, effects: &mut Effects) {
        effects.forget(self.hold.get_or_insert_default().waker.replace(waker));
    }

    /// Gives a queued child its place and wakes it.
    pub(crate) fn place(&mut self, effects: &mut Effects) {
        self.facts.clear(Fact::QUEUED);
        self.facts.set(Fact::PLACED);
        effects.wake(self.hold.as_mut().and_then(|hold| hold.waker.take()));
    }

    /// Whether this waker has to be kept, as a cancel would have to call it and would not.
    pub(crate) fn lacks_waker(&self, waker: &Waker) -> bool {
        let Some(hold) = self.hold.as_ref().filter(|hold| hold.shields > 0 && !hold.told) else {
            return false;
        };
        !hold.waker.as_ref().is_some_and(|kept| kept.will_wake(waker))
    }

    /// Keeps the waker of a shielded poll.
    ///
    /// If a cancel came while no waker was kept, it calls the waker instead.
    pub(crate) fn keep_waker(&mut self, waker: Waker, effects: &mut Effects) {
        match self.hold.as_mut().filter(|hold| hold.shields > 0) {
            Some(hold) if !self.facts.is(Fact::CANCELLED) => effects.forget(hold.waker.replace(waker)),
            Some(hold) if !hold.told => {
                hold.told = true;
                effects.wake(Some(waker));
            }
            _ => effects.forget(Some(waker)),
        }
    }
}
