//! Who is left, and who waits for whom: each line waits for those below it.

use std::fmt;
use std::sync::Arc;

use crate::error::Origin;
use crate::sim::trace::{Id, SCENARIO};
use crate::sim::world::{Inner, Task};
use crate::state::State;
use crate::state::facts::Fact;
use crate::state::member::Key;

/// The name of a task in a report. The format with `#` leaves out where it was spawned.
pub(crate) enum Name<'a> {
    Scenario,
    Member(&'a Origin),
    /// A task that was started on the simulation and not in a group.
    Task(Id),
}

impl<'a> Name<'a> {
    pub(crate) fn of(id: Id, tasks: &'a [Task]) -> Self {
        match tasks.get(id as usize).and_then(|task| task.origin.as_ref()) {
            _ if id == SCENARIO => Name::Scenario,
            Some(origin) => Name::Member(origin),
            None => Name::Task(id),
        }
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = match self {
            Name::Scenario => return f.write_str("the scenario"),
            Name::Task(id) => return write!(f, "task {id} of no group"),
            Name::Member(origin) => origin,
        };
        match (origin.path(), origin.child()) {
            (Some(path), _) => f.write_str(path)?,
            (None, Some(id)) => write!(f, "child {id}")?,
            (None, None) => f.write_str("the body")?,
        }
        if f.alternate() { Ok(()) } else { write!(f, " ({})", origin.location()) }
    }
}

/// The tasks that are left, in the groups that they are in.
pub(crate) struct Tree(Vec<Node>);

struct Node {
    line: String,
    /// A group, or a member of one. `None` for the scenario and for tasks of no group.
    is: Option<(*const State, Option<Key>)>,
    below: Vec<usize>,
}

impl Tree {
    pub(crate) fn of(world: &Inner) -> Self {
        let scenario = told(&Name::Scenario, &world.tasks[SCENARIO as usize], world);
        let mut tree = Self(vec![Node { line: scenario, is: None, below: Vec::new() }]);
        for (id, task) in world.left() {
            let line = told(&Name::of(id, &world.tasks), task, world);
            let Some((group, ticket)) = &task.child else {
                tree.add(0, None, || line);
                continue;
            };
            let place = tree.group(group);
            let member = tree.add(place, Some((Arc::as_ptr(group), Some(ticket.key()))), String::new);
            // The node may be there already, as the host of a group, with a line that says less.
            tree.0[member].line = line;
        }
        tree
    }

    /// The place of a group, below the member that it was opened in.
    fn group(&mut self, group: &Arc<State>) -> usize {
        let mut around = vec![(group.clone(), None)];
        while let Some(parent) = around.last().and_then(|(group, _)| group.parent()) {
            let parent = (parent.group.clone(), Some(parent.key));
            around.push(parent);
        }
        let mut place = 0;
        for (group, host) in around.into_iter().rev() {
            let at = Arc::as_ptr(&group);
            place = self.add(place, Some((at, None)), || describe(&group));
            if let Some(key) = host {
                place = self.add(place, Some((at, Some(key))), || of_member(&group, key));
            }
        }
        place
    }

    /// The place of a node that may be there already.
    fn add(
        &mut self,
        above: usize,
        is: Option<(*const State, Option<Key>)>,
        line: impl FnOnce() -> String,
    ) -> usize {
        let there = self.0.iter().position(|node| is.is_some() && node.is == is);
        there.unwrap_or_else(|| {
            let place = self.0.len();
            self.0.push(Node { line: line(), is, below: Vec::new() });
            self.0[above].below.push(place);
            place
        })
    }
}

/// What is known of a task.
fn told(name: &Name<'_>, task: &Task, world: &Inner) -> String {
    let mut line = match task.polls {
        0 => format!("{name}: never polled"),
        1 => format!("{name}: polled once"),
        polls => format!("{name}: polled {polls} times"),
    };
    if let Some(by) = task.woken_by {
        line += &format!(", last woken by {:#}", Name::of(by, &world.tasks));
    }
    if let Some((group, ticket)) = &task.child {
        line += flags(group, ticket.key());
    }
    line
}

fn of_member(group: &State, key: Key) -> String {
    format!("{}{}", Name::Member(&group.origin(key)), flags(group, key))
}

fn describe(group: &State) -> String {
    let name = group.config.name().map_or_else(String::new, |name| format!(" {name}"));
    let children = group.len();
    let cancelled = if group.is_cancelled() { ", cancelled" } else { "" };
    format!("the group{name} opened at {}{cancelled}, living children: {children}", group.location())
}

/// What holds a member.
fn flags(group: &State, key: Key) -> &'static str {
    let flags = group.lock().member(key, |member, _| match member {
        _ if member.is(Fact::GONE) => ", ended but for its groups",
        _ if member.is(Fact::CUT) && !member.awaits_groups() => ", cancelled, and not dropped yet",
        _ if member.is(Fact::CUT) => ", frozen until its groups have ended",
        _ if member.is(Fact::CANCELLED) => ", cancelled, under a shield",
        _ if member.is(Fact::QUEUED) => ", queued for a place under the limit",
        _ => "",
    });
    flags.unwrap_or_default()
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut next = vec![(0, 2)];
        while let Some((place, indent)) = next.pop() {
            let Node { line, below, .. } = &self.0[place];
            writeln!(f, "{:indent$}{line}", "")?;
            next.extend(below.iter().rev().map(|below| (*below, indent + 2)));
        }
        Ok(())
    }
}
