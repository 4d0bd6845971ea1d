//! A snapshot as a tree that can be read.

use std::collections::{HashMap, HashSet};
use std::fmt::{self, Write};
use std::time::Duration;

use super::blame::{Culprit, Suspicion};
use super::{Asked, GroupView, MemberKind, MemberState, MemberView, Snapshot};
use crate::error::{CancelReason, sane, shorten};
use crate::group::Policy;

/// How many culprits are named.
const CULPRITS: usize = 5;
/// How many members that are alike are drawn in one group.
const ALIKE: usize = 3;
/// How many levels of members are drawn.
const LEVELS: usize = 16;
/// How many lines the tree may have.
const LINES: usize = 400;
/// How many characters of a message are shown, and how many of a path: its last ones.
const MESSAGE: usize = 200;
const PATH: usize = 120;

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = self.group();
        writeln!(f, "group {} {}: {}", Label(group), standing(group), Facts(group))?;
        let culprits = self.blame();
        self.name_culprits(f, &culprits)?;
        if self.members.is_empty() {
            return Ok(());
        }
        f.write_char('\n')?;
        writeln!(f, "{}", Label(group))?;
        Tree::new(self, &culprits).draw(f)
    }
}

fn standing(group: GroupView<'_>) -> &'static str {
    match (has_ended(group), group.is_abandoned()) {
        (true, true) => "was dropped by its owner and has ended",
        (true, false) => "has ended",
        (false, true) => "was dropped by its owner and is still open",
        (false, false) => "is still open",
    }
}

/// Nobody joins a group whose owner is gone: it has ended when nothing is left in it.
fn has_ended(group: GroupView<'_>) -> bool {
    group.is_finished() || (group.is_abandoned() && group.members().len() == 0)
}

impl Snapshot {
    fn name_culprits(&self, f: &mut fmt::Formatter<'_>, culprits: &[Culprit<'_>]) -> fmt::Result {
        if culprits.is_empty() {
            return match (self.members.is_empty(), self.group()) {
                (_, group) if has_ended(group) => Ok(()),
                (_, group) if !group.is_awaited() && !group.is_abandoned() => {
                    writeln!(f, "held up by nobody: it ends when its owner joins or drops it")
                }
                (true, _) => writeln!(f, "held up by nobody: it is about to end"),
                (false, _) => writeln!(f, "held up by nobody: what is left ends when the others have"),
            };
        }
        for (nth, culprit) in culprits.iter().take(CULPRITS).enumerate() {
            let held = if nth == 0 { "held up by" } else { "       and" };
            let member = culprit.member;
            write!(f, "{held} {}: {}", Path(member), State(member))?;
            why(f, member)?;
            let may_wait =
                !matches!(culprit.suspicion, Suspicion::NotDropped | Suspicion::Opener | Suspicion::Queued);
            if may_wait && member.may_wait_for_frozen() {
                f.write_str("; does it wait for what a frozen member holds?")?;
            }
            match culprit.alike {
                0 => writeln!(f)?,
                alike => writeln!(f, " … and {} more like it", Number(alike))?,
            }
        }
        match culprits.len().saturating_sub(CULPRITS) {
            0 => Ok(()),
            more => writeln!(f, "       and others, of {more} more sorts"),
        }
    }
}

/// A tree that is being drawn: what is still to come lies on a stack, and `bars` are the lines that lead on downwards.
struct Tree<'a> {
    snapshot: &'a Snapshot,
    /// How many groups and members there are inside of each group, itself included.
    sizes: Vec<(usize, usize)>,
    /// The culprits that are named, and the members around them.
    marked: HashSet<usize>,
    stack: Vec<Item<'a>>,
    bars: Vec<bool>,
}

struct Item<'a> {
    level: usize,
    last: bool,
    what: What<'a>,
}

enum What<'a> {
    Member(MemberView<'a>),
    Group(GroupView<'a>),
    More(usize),
    Deeper(usize, usize),
}

/// A member and the members around it.
fn with_openers(member: MemberView<'_>) -> impl Iterator<Item = MemberView<'_>> {
    std::iter::successors(Some(member), |member| member.group().opener())
}

impl<'a> Tree<'a> {
    fn new(snapshot: &'a Snapshot, culprits: &[Culprit<'_>]) -> Self {
        let mut sizes: Vec<_> = snapshot.groups().map(|group| (1, group.members().len())).collect();
        // A group comes after the one that it is in.
        for at in (1..sizes.len()).rev() {
            let opener = snapshot.groups[at].opener.expect("only the first group has none here");
            let (groups, members) = sizes[at];
            let around = &mut sizes[snapshot.members[opener].group];
            *around = (around.0 + groups, around.1 + members);
        }
        let named = culprits.iter().take(CULPRITS);
        let marked = named.flat_map(|culprit| with_openers(culprit.member)).map(|member| member.at).collect();
        Self { snapshot, sizes, marked, stack: Vec::new(), bars: Vec::new() }
    }

    fn draw(mut self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.open(self.snapshot.group(), 0);
        for line in 0.. {
            let Some(Item { level, last, what }) = self.stack.pop() else { break };
            if line == LINES {
                return writeln!(f, "… and more: the tree is cut after {LINES} lines");
            }
            self.bars.truncate(level);
            for goes_on in &self.bars {
                f.write_str(if *goes_on { "│  " } else { "   " })?;
            }
            f.write_str(if last { "└─ " } else { "├─ " })?;
            self.bars.push(!last);
            match what {
                What::Member(member) => {
                    writeln!(f, "{}", Line(member))?;
                    self.push(level + 1, member.groups().map(What::Group).collect());
                }
                What::Group(group) => {
                    writeln!(f, "group {}: {}", Label(group), Facts(group))?;
                    self.open(group, level + 1);
                }
                What::More(more) => writeln!(f, "… and {} more like it", Number(more))?,
                What::Deeper(groups, members) => {
                    let [of_members, of_groups] =
                        [members, groups].map(|count| if count == 1 { "" } else { "s" });
                    let (groups, members) = (Number(groups), Number(members));
                    writeln!(f, "… {members} member{of_members} in {groups} group{of_groups}, further in")?;
                }
            }
        }
        Ok(())
    }

    /// Has the members of a group drawn next: of each sort a few, and those that lead to culprits.
    fn open(&mut self, group: GroupView<'a>, level: usize) {
        if level >= 2 * LEVELS {
            let (groups, members) = self.sizes[group.at];
            return self.push(level, vec![What::Deeper(groups, members)]);
        }
        let mut seen = HashMap::new();
        let mut is_one_more = |member: &MemberView<'_>| {
            let seen = seen.entry(member.likeness()).or_insert(0);
            *seen += 1;
            *seen > ALIKE && !self.marked.contains(&member.at)
        };
        let mut more = HashMap::new();
        let more_of: Vec<_> = group.members().filter(|member| is_one_more(member)).collect();
        more_of.iter().for_each(|member| *more.entry(member.likeness()).or_insert(0) += 1);
        let mut more_of = more_of.into_iter().peekable();
        let mut items = Vec::new();
        for member in group.members() {
            if more_of.next_if(|next| next.at == member.at).is_none() {
                items.push(What::Member(member));
                continue;
            }
            match more.remove(&member.likeness()) {
                // To draw it takes no more room than to say that there is one.
                Some(1) => items.push(What::Member(member)),
                Some(more) => items.push(What::More(more)),
                None => {}
            }
        }
        self.push(level, items);
    }

    fn push(&mut self, level: usize, items: Vec<What<'a>>) {
        let items = items.into_iter().rev().enumerate();
        self.stack.extend(items.map(|(nth, what)| Item { level, last: nth == 0, what }));
    }
}

/// A group's name, if it has one, and location.
struct Label<'a>(GroupView<'a>);

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = self.0.name() {
            write!(f, "\"{}\" ", sane(name))?;
        }
        write!(f, "at {}", self.0.location())
    }
}

/// What there is to say of a group.
struct Facts<'a>(GroupView<'a>);

impl fmt::Display for Facts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = self.0;
        match group.len() {
            0 => f.write_str("no children")?,
            1 => f.write_str("1 child")?,
            more => write!(f, "{} children", Number(more))?,
        }
        if let (Some(most), Some(taken)) = (group.limit(), group.places_taken()) {
            write!(f, ", {taken} of {most} places taken")?;
        }
        match group.places_kept() {
            None | Some(0) => {}
            Some(kept) => write!(f, ", {kept} of them kept for whoever waited to spawn")?,
        }
        match group.waiting_to_spawn() {
            0 => {}
            1 => f.write_str(", 1 task waits to spawn")?,
            more => write!(f, ", {} tasks wait to spawn", Number(more))?,
        }
        f.write_str(match group.policy() {
            Policy::FailFast => "",
            Policy::Collect => ", collects failures",
            Policy::Supervise => ", supervises",
            Policy::Race => ", a race",
        })?;
        match (group.remaining(), group.deadline()) {
            (Some(Duration::ZERO), _) => f.write_str(", its deadline is over")?,
            (Some(left), _) => write!(f, ", {left:.1?} to its deadline")?,
            (None, Some(at)) => write!(f, ", its deadline at {at:.1?} of its clock")?,
            (None, None) => {}
        }
        if let Some(reason) = group.reason() {
            f.write_str(", cancelled")?;
            ago(f, group.cancelled_for())?;
            write!(f, " ({})", Why(reason))?;
        } else if group.is_finished() {
            // Of the outermost one the line says so before.
            f.write_str(if group.opener().is_some() { ", ended" } else { "" })?;
        } else if group.is_stopping() {
            f.write_str(", asked to stop")?;
        } else if group.is_closed() {
            f.write_str(", closed")?;
        }
        if !has_ended(group) {
            f.write_str(if group.is_awaited() { ", awaited by its owner" } else { ", nobody waits for it" })?;
        }
        group.age().map_or(Ok(()), |age| write!(f, ", open for {age:.1?}"))
    }
}

/// A member as the first lines have it, with all the names around it.
struct Path<'a>(MemberView<'a>);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = self.0.origin();
        let path = origin.path().map(tail);
        match (path, self.0.child()) {
            (Some(path), Some(id)) => write!(f, "{path}, child {id}, {}", Kind(self.0.kind()))?,
            (None, Some(id)) => {
                if let Some(numbers) = numbers(self.0) {
                    write!(f, "{}, ", tail(&numbers))?;
                }
                write!(f, "child {id}, {}", Kind(self.0.kind()))?;
            }
            (Some(path), None) => write!(f, "the body of {path}, opened at ")?,
            (None, None) => f.write_str("the body of the scope at ")?,
        }
        write!(f, "{}", self.0.location())
    }
}

/// A path of numbers, for a member that has no other one: `#34/#1`.
fn numbers(member: MemberView<'_>) -> Option<String> {
    let mut numbers: Vec<_> =
        with_openers(member).take(PATH).filter_map(|member| Some(format!("#{}", member.child()?))).collect();
    numbers.reverse();
    Some(numbers.join("/")).filter(|_| numbers.len() > 1)
}

/// The end of a long path.
fn tail(path: &str) -> String {
    match path.char_indices().rev().nth(PATH) {
        Some((from, c)) => format!("…{}", &path[from + c.len_utf8()..]),
        None => path.to_string(),
    }
}

/// A member as the tree has it.
struct Line<'a>(MemberView<'a>);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let member = self.0;
        match member.child() {
            Some(id) => write!(f, "child {id}")?,
            None => f.write_str("the body")?,
        }
        if let Some(name) = member.name() {
            write!(f, " \"{}\"", sane(name))?;
        }
        if member.child().is_some() {
            write!(f, ", {}{}", Kind(member.kind()), member.location())?;
        }
        write!(f, ": {}", State(member))?;
        if matches!(member.asked(), Some(Asked::Alone | Asked::OthersEnded)) {
            why(f, member)?;
        }
        Ok(())
    }
}

struct Kind(MemberKind);

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            MemberKind::Body | MemberKind::Ordinary => "spawned at ",
            MemberKind::Background => "background, spawned at ",
            MemberKind::Cleanup => "a clean-up, registered at ",
            MemberKind::Blocking => "blocking, spawned at ",
            MemberKind::Adopted => "adopted at ",
            MemberKind::Deadline => "which keeps the deadline, from ",
        })
    }
}

/// What a member is at, and for how long.
struct State<'a>(MemberView<'a>);

impl fmt::Display for State<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let member = self.0;
        let elsewhere = match member.kind() {
            // Its child has gone with the runtime.
            MemberKind::Blocking if member.state() == MemberState::CleaningUp => {
                Some("its runtime is gone, and its work has not returned")
            }
            _ if member.polls() == Some(0) => None,
            MemberKind::Blocking => Some("its work has not returned"),
            MemberKind::Adopted => Some("its task has not ended"),
            _ => None,
        };
        let (state, is_polled) = match (member.state(), elsewhere) {
            (
                MemberState::Active | MemberState::Idle | MemberState::Shielded | MemberState::CleaningUp,
                Some(what),
            ) => (what, false),
            (MemberState::Queued, _) => ("waits for a place under the limit", false),
            (MemberState::Waiting, _) => ("waits for its turn to clean up", false),
            (MemberState::Active, _) => ("running or idle", true),
            (MemberState::Running | MemberState::Idle, _) => ("", true),
            (MemberState::Shielded, _) => ("under a shield", true),
            (MemberState::CleaningUp, _) => ("cleaning up", true),
            (MemberState::Frozen, _) if member.is_in_frozen() && member.groups().len() == 0 => {
                ("cancelled, and frozen with the member that awaits it", false)
            }
            (MemberState::Frozen, _) => {
                ("cancelled, and frozen until the groups opened in it have ended", false)
            }
            (MemberState::Cancelled, _) => ("cancelled, and not gone yet", true),
            (MemberState::Gone, _) => ("gone, and the groups opened in it are not", false),
        };
        f.write_str(state)?;
        if let (Some(running), Some(since), true) = (member.is_running(), member.since(), is_polled) {
            f.write_str(if state.is_empty() { "" } else { ", " })?;
            let what = match (running, member.polls()) {
                (true, _) => "in one poll",
                (false, Some(0)) => "never polled,",
                (false, _) => "idle",
            };
            write!(f, "{what} for {since:.1?}")?;
        }
        match (member.polls(), member.age()) {
            (Some(polls), Some(age)) if member.spins() => {
                write!(f, ", polled {} times in {age:.1?}", Number(polls as usize))
            }
            _ => Ok(()),
        }
    }
}

/// Who asked a member to end.
fn why(f: &mut fmt::Formatter<'_>, member: MemberView<'_>) -> fmt::Result {
    let Some(asked) = member.asked() else { return Ok(()) };
    if asked == Asked::Stopping {
        return why_stop(f, member);
    }
    f.write_str("; asked to end")?;
    ago(f, member.cancelled_for())?;
    match asked {
        Asked::Alone => f.write_str(" by its handle"),
        Asked::OthersEnded => f.write_str(" as the others have ended"),
        Asked::Group(CancelReason::Parent) => match source(member.group()) {
            CancelReason::Parent => f.write_str(" along with what is around its group"),
            reason => write!(f, " along with what is around its group ({})", Why(reason)),
        },
        Asked::Group(reason) => write!(f, " with its group ({})", Why(reason)),
        Asked::Stopping => unreachable!(),
    }
}

/// What was cancelled where a member is only asked to stop: it came later, or it is behind a shield.
fn why_stop(f: &mut fmt::Formatter<'_>, member: MemberView<'_>) -> fmt::Result {
    f.write_str("; asked to stop")?;
    if let Some(reason) = member.group().reason() {
        return write!(f, "; its group was cancelled ({})", Why(reason));
    }
    let Some(host) = with_openers(member).skip(1).find(|host| host.is_cancelled()) else { return Ok(()) };
    f.write_str("; what is around its group was cancelled")?;
    match source(host.group()) {
        CancelReason::Parent => Ok(()),
        reason => write!(f, " ({})", Why(reason)),
    }
}

/// Why the groups around this one were cancelled in the first place, as far as the snapshot goes.
///
/// An opener that was not cancelled before it ended is the reason itself, whatever becomes of its group later.
fn source(group: GroupView<'_>) -> &CancelReason {
    let mut reason = &CancelReason::Parent;
    let mut around = Some(group);
    while let (CancelReason::Parent, Some(group)) = (reason, around) {
        reason = group.reason().unwrap_or(reason);
        around = group.opener().filter(|opener| opener.is_cancelled()).map(MemberView::group);
    }
    reason
}

fn ago(f: &mut fmt::Formatter<'_>, time: Option<Duration>) -> fmt::Result {
    time.map_or(Ok(()), |time| write!(f, " {time:.1?} ago"))
}

/// A reason in one line.
struct Why<'a>(&'a CancelReason);

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            CancelReason::Explicit(message) if message.is_empty() => f.write_str("by hand"),
            CancelReason::Explicit(message) => f.write_str(&shorten(message, MESSAGE)),
            reason => f.write_str(&shorten(&reason.to_string(), MESSAGE)),
        }
    }
}

/// A count that can be read: `9,997`.
struct Number(usize);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (nth, digit) in digits.char_indices() {
            if nth > 0 && (digits.len() - nth) % 3 == 0 {
                f.write_char(',')?;
            }
            f.write_char(digit)?;
        }
        Ok(())
    }
}
