//! What a run is made from, and the token that says it in one word.

use std::fmt;
use std::str::FromStr;

use crate::sim::order::{Order, Path};
use crate::sim::trace::Id;

/// The version of what tokens mean. It has to be raised whenever the same token would give another run.
const VERSION: &str = "v1";

/// No path that was ever written down is longer.
const LONGEST: usize = 1 << 20;

/// How a run goes.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) order: Kind,
    pub(crate) cut: Option<Cut>,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Random(u64),
    Priority(u64),
    Path(Path),
}

/// Which child is cancelled, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) task: Id,
    /// Counted from 1.
    pub(crate) poll: u32,
    /// After this poll, and not instead of it.
    pub(crate) after: bool,
}

impl Plan {
    pub(crate) fn new(order: Kind) -> Self {
        Self { order, cut: None }
    }

    pub(crate) fn cut(self, cut: Cut) -> Self {
        Self { cut: Some(cut), ..self }
    }

    pub(crate) fn order(&self) -> Order {
        match &self.order {
            Kind::Random(seed) => Order::random(*seed),
            Kind::Priority(seed) => Order::priority(*seed),
            // After a cut there may be less to choose from than there was without it.
            Kind::Path(path) if self.cut.is_some() => Order::Path(path.clone().lenient()),
            Kind::Path(path) => Order::Path(path.clone()),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.order {
            Kind::Random(seed) => write!(f, "{VERSION}.random.{seed:x}")?,
            Kind::Priority(seed) => write!(f, "{VERSION}.priority.{seed:x}")?,
            Kind::Path(path) => {
                write!(f, "{VERSION}.path")?;
                path.choices().try_for_each(|(at, taken)| write!(f, ".{at}:{taken}"))?;
            }
        }
        match self.cut {
            Some(Cut { task, poll, after: false }) => write!(f, ".cut.{task}.{poll}"),
            Some(Cut { task, poll, after: true }) => write!(f, ".cut-after.{task}.{poll}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Plan {
    type Err = String;

    fn from_str(token: &str) -> Result<Self, String> {
        let mut words = token.trim().split('.').peekable();
        match words.next() {
            Some(VERSION) => {}
            Some(other) if is_version(other) => {
                return Err(format!(
                    "the token `{token}` is of version {other}, and tokens here are {VERSION}"
                ));
            }
            _ => return Err(rubbish(token)),
        }
        let order = match words.next() {
            Some("random") => words.next().and_then(seed).map(Kind::Random),
            Some("priority") => words.next().and_then(seed).map(Kind::Priority),
            Some("path") => {
                let mut choices = Vec::new();
                while let Some(choice) = words.next_if(|word| word.contains(':')) {
                    choices.push(point(choice).ok_or_else(|| rubbish(token))?);
                }
                Some(Kind::Path(Path::taking(choices)))
            }
            _ => None,
        };
        let cut = match words.next() {
            None => Some(None),
            Some(word @ ("cut" | "cut-after")) => {
                let mut number = || words.next().and_then(|word| word.parse().ok());
                let place = number().zip(number());
                place.map(|(task, poll)| Some(Cut { task, poll, after: word == "cut-after" }))
            }
            Some(_) => None,
        };
        match (order, cut, words.next()) {
            (Some(order), Some(cut), None) => Ok(Plan { order, cut }),
            _ => Err(rubbish(token)),
        }
    }
}

fn rubbish(token: &str) -> String {
    format!("`{token}` is no token of a run, like `{VERSION}.random.5eed`")
}

fn is_version(word: &str) -> bool {
    word.strip_prefix('v').is_some_and(|number| number.parse::<u32>().is_ok())
}

fn seed(word: &str) -> Option<u64> {
    u64::from_str_radix(word, 16).ok()
}

fn point(word: &str) -> Option<(usize, u32)> {
    let (at, taken) = word.split_once(':')?;
    let at = at.parse().ok().filter(|at| *at < LONGEST)?;
    Some((at, taken.parse().ok()?))
}
