//! Which child it is, and of which kind, in words that are moved as whole words. A value that is written in parts and
//! read as a whole a moment later takes longer than most other things that are done for a child.

use std::num::NonZero;

use crate::state::facts::Fact;
use crate::state::member::{BODY, Key, Member};

/// Names one child among all that a group ever has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    standing: Standing,
    /// Never zero, so that a `Result` can say in the place of a ticket why there is none.
    id: NonZero<u64>,
}

impl Ticket {
    /// The id of a group's first child.
    pub(crate) const FIRST: NonZero<u64> = NonZero::<u64>::MIN;

    /// Makes the ticket of this child when it is entered.
    #[inline]
    pub(crate) fn new(key: Key, id: NonZero<u64>, child: &Member) -> Self {
        let flag = |is: bool, flag| if is { flag } else { 0 };
        let flags = flag(child.is(Fact::QUEUED), Standing::QUEUED)
            | flag(child.is_plain(), Standing::PLAIN)
            // An adopted child or a clean-up.
            | flag(child.shields() > 0, Standing::SHIELDED);
        Self { standing: Standing(u64::from(key) | flags), id }
    }

    /// Makes the ticket of a child that is there; `None` for a body.
    pub(crate) fn of(key: Key, child: &Member) -> Option<Self> {
        NonZero::new(child.id()).map(|id| Self::new(key, id, child))
    }

    #[inline]
    pub(crate) fn key(self) -> Key {
        self.standing.key()
    }

    #[inline]
    pub(crate) fn id(self) -> u64 {
        self.id.get()
    }

    /// Whether the child had no place under the limit when the ticket was made.
    #[inline]
    pub(crate) fn is_queued(self) -> bool {
        self.standing.is_queued()
    }

    /// Marks the child as being on the pool that its group keeps.
    #[inline]
    pub(crate) fn on_pool(self) -> Self {
        Self { standing: Standing(self.standing.0 | Standing::ON_POOL), ..self }
    }

    #[inline]
    pub(crate) fn standing(self) -> Standing {
        self.standing
    }
}

/// Which member of its group it is.
///
/// Also says what the wrapper or the scope must look at around a poll.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing(u64);

impl Standing {
    /// A shield holds the member, so its holds are looked at; or the last one has ended in the poll that is under way.
    const SHIELDED: u64 = 1 << 32;
    /// The child may have to wait for a place under the limit.
    const QUEUED: u64 = 1 << 33;
    /// The child was plain when it was entered.
    const PLAIN: u64 = 1 << 34;
    const ON_POOL: u64 = 1 << 35;

    #[inline]
    pub(crate) const fn of_body(shielded: bool) -> Self {
        Self(BODY as u64 | if shielded { Self::SHIELDED } else { 0 })
    }

    #[inline]
    pub(crate) fn key(self) -> Key {
        self.0 as Key
    }

    #[inline]
    pub(crate) fn is_shielded(self) -> bool {
        self.0 & Self::SHIELDED != 0
    }

    #[inline]
    pub(crate) fn is_queued(self) -> bool {
        self.0 & Self::QUEUED != 0
    }

    /// Whether the child's end has no consequences for others.
    ///
    /// That is no longer certain once the group says that children have become entangled.
    #[inline]
    pub(crate) fn is_plain(self) -> bool {
        self.0 & Self::PLAIN != 0
    }

    /// Whether the child is on the pool that its group keeps.
    #[inline]
    pub(crate) fn is_on_pool(self) -> bool {
        self.0 & Self::ON_POOL != 0
    }

    #[inline]
    pub(crate) fn shielded(self) -> Self {
        Self(self.0 | Self::SHIELDED)
    }

    #[inline]
    pub(crate) fn unshielded(self) -> Self {
        Self(self.0 & !Self::SHIELDED)
    }

    pub(crate) fn placed(self) -> Self {
        Self(self.0 & !Self::QUEUED)
    }
}
