//! The member of a group in which something happened.

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// The name of a group or a child, or a path of them.
pub(crate) type Name = Arc<str>;

/// A path that is longer, in bytes, loses its outer half.
const LONGEST_PATH: usize = 1024;

/// The member of a group in which something happened.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "smol")] {
/// # use taskgroup::{Smol, TaskGroup};
/// # smol::block_on(async {
/// let group = TaskGroup::builder::<&str>(Smol).name("server").open();
/// group.child().name("reader").launch(async { Err::<(), _>("disk full") });
/// let error = group.join().await.unwrap_err();
/// let origin = error.origin().unwrap();
/// assert_eq!((origin.child(), origin.name()), (Some(1), Some("reader")));
/// assert!(origin.to_string().starts_with("server/reader, spawned at "));
/// # });
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    pub(crate) group: &'static Location<'static>,
    pub(crate) child: Option<(u64, &'static Location<'static>)>,
    pub(crate) name: Option<Name>,
    /// The names of the groups and members around it, and its own, if any of them has a name.
    pub(crate) path: Option<Name>,
}

impl Origin {
    /// Returns whether it is the body of a scope and not a child.
    pub fn is_body(&self) -> bool {
        self.child.is_none()
    }

    /// Returns the child's number in its group, counted from 1 in the order of spawning.
    ///
    /// Background children and clean-ups are counted, too, and so is the child in which a free-standing group watches a deadline.
    pub fn child(&self) -> Option<u64> {
        self.child.map(|(id, _)| id)
    }

    /// Returns the child's own name, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Returns the names of the groups and children around it, and its own, outermost first, with `/` in between.
    ///
    /// A child without a name appears with its number, as `#3`. Groups without a name, and bodies, do not appear. Names are
    /// cut after 64 characters. A path of more than a thousand bytes loses its outer half, and begins with `…/`. It is `None`
    /// if none of them has a name.
    pub fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// Returns where the child was spawned, or where the scope of the body was opened.
    pub fn location(&self) -> &'static Location<'static> {
        self.child.map_or(self.group, |(_, location)| location)
    }

    /// Returns where the group was opened.
    pub fn group_location(&self) -> &'static Location<'static> {
        self.group
    }
}

impl Origin {
    /// The member as the subject of a sentence, with the comma that ends the location.
    pub(crate) fn subject(&self) -> impl fmt::Display {
        Subject(self)
    }
}

struct Subject<'a>(&'a Origin);

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = self.0.is_body() && self.0.path.is_none();
        write!(f, "{}{}", self.0, if plain { "" } else { "," })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.child, &self.path) {
            (Some((_, location)), Some(path)) => write!(f, "{path}, spawned at {location}"),
            (Some((id, location)), None) => write!(f, "child {id}, spawned at {location}"),
            (None, Some(path)) => write!(f, "the body of {path}, opened at {}", self.group),
            (None, None) => write!(f, "the body of the scope at {}", self.group),
        }
    }
}

/// In words, because a program whose `main` returns a [`GroupError`](crate::GroupError) prints this.
impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Origin").field(&format_args!("{self}")).finish()
    }
}

/// One more step of a path: a group's or a child's name, or a child's number where others have names.
pub(crate) fn step(around: Option<&Name>, name: Option<&Name>, child: Option<u64>) -> Option<Name> {
    let own = match (name, child) {
        (Some(name), _) => sane(name),
        (None, Some(id)) if around.is_some() => format!("#{id}"),
        _ => return around.cloned(),
    };
    Some(around.map_or_else(|| own.clone(), |around| format!("{}/{own}", inner(around))).into())
}

/// The part of a path that is kept when it is extended: otherwise a deep tree would hold the square of its depth.
fn inner(path: &str) -> Cow<'_, str> {
    let cut = path.len().checked_sub(LONGEST_PATH / 2).filter(|_| path.len() > LONGEST_PATH);
    match cut.and_then(|cut| path.bytes().skip(cut).position(|byte| byte == b'/').map(|at| cut + at)) {
        Some(slash) => format!("…{}", &path[slash..]).into(),
        None => path.into(),
    }
}

/// The part of a name that is shown: in one line, and short enough to be read.
pub(crate) fn sane(name: &str) -> String {
    shorten(name, 64)
}

/// The part of a text that is shown, with at most so many characters.
pub(crate) fn shorten(text: &str, longest: usize) -> String {
    let mut shown: String = text.chars().take(longest).flat_map(escape).collect();
    if text.chars().nth(longest).is_some() {
        shown.push('…');
    }
    shown
}

fn escape(c: char) -> impl Iterator<Item = char> {
    let hidden = c.is_control() || turns(c);
    let (plain, escaped) = if hidden { (None, Some(c.escape_default())) } else { (Some(c), None) };
    plain.into_iter().chain(escaped.into_iter().flatten())
}

/// Whether it breaks the line or turns its direction.
fn turns(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
