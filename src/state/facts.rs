//! What is known of a member besides its future, in one word, because each child has it in the table, where bytes
//! count.

use crate::state::member::{Kind, Work};

/// The id, the kind, the work, and what has happened to the member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts(u64);

/// One fact that is true or not.
#[derive(Clone, Copy)]
pub(crate) struct Fact(u64);

impl Fact {
    /// Somebody wants the member to end. Never cleared.
    pub(crate) const CANCELLED: Self = Self(1 << 0);
    /// The member is not polled any more. Set when it is cancelled and no shield holds it; never cleared.
    pub(crate) const CUT: Self = Self(1 << 1);
    /// Its future is destroyed. Never cleared.
    pub(crate) const GONE: Self = Self(1 << 2);
    /// The member was cancelled on its own, not along with its group. Set together with `CANCELLED` or never.
    pub(crate) const SINGLED: Self = Self(1 << 3);
    /// The child waits for a place under the limit. Set from the start or never; cleared when it gets one, or is lost.
    pub(crate) const QUEUED: Self = Self(1 << 4);
    /// The child has a place. Never cleared.
    pub(crate) const PLACED: Self = Self(1 << 5);
    /// The group keeps what the child's task looks at (see `OnPool`). Set when the child is entered, or never; never
    /// cleared.
    pub(crate) const ON_POOL: Self = Self(1 << 11);
}

const KIND: u32 = 6;
const KINDS: [Kind; 8] = {
    use Kind::{Background, Body, Cleanup, Ordinary, Watch};
    [Ordinary, Background, Watch, Cleanup, Body, Body, Body, Body]
};
const WORK: u32 = 9;
const WORKS: [Work; 4] = [Work::Future, Work::Blocking, Work::Adopted, Work::Adopted];
/// The lowest bit of the id, which has 52 bits. At a thousand million children a second, they last for fifty days.
const ID: u32 = 12;

impl Facts {
    pub(crate) const fn new(kind: Kind, work: Work) -> Self {
        Self((kind as u64) << KIND | (work as u64) << WORK)
    }

    #[inline]
    pub(crate) fn is(self, fact: Fact) -> bool {
        self.0 & fact.0 != 0
    }

    #[inline]
    pub(crate) fn set(&mut self, fact: Fact) {
        self.0 |= fact.0;
    }

    pub(crate) fn clear(&mut self, fact: Fact) {
        self.0 &= !fact.0;
    }

    /// Whether it is an ordinary child that was neither cancelled by itself nor ever under a limit.
    #[inline]
    pub(crate) fn is_plain(self) -> bool {
        let special = 0b111 << KIND | Fact::SINGLED.0 | Fact::PLACED.0 | Fact::QUEUED.0;
        self.0 & special == 0
    }

    #[inline]
    pub(crate) fn kind(self) -> Kind {
        KINDS[(self.0 >> KIND) as usize % KINDS.len()]
    }

    pub(crate) fn work(self) -> Work {
        WORKS[(self.0 >> WORK) as usize % WORKS.len()]
    }

    #[inline]
    pub(crate) fn id(self) -> u64 {
        self.0 >> ID
    }

    /// Gives the member an id, once.
    #[inline]
    pub(crate) fn identify(&mut self, id: u64) {
        self.0 |= id << ID;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_comes_out() {
        let kinds = [Kind::Ordinary, Kind::Background, Kind::Watch, Kind::Cleanup, Kind::Body];
        for kind in kinds {
            for work in [Work::Future, Work::Blocking, Work::Adopted] {
                let mut facts = Facts::new(kind, work);
                facts.identify((1 << 52) - 1);
                facts.set(Fact::PLACED);
                assert_eq!((facts.kind(), facts.work(), facts.id()), (kind, work, (1 << 52) - 1));
                assert!(facts.is(Fact::PLACED) && !facts.is(Fact::QUEUED) && !facts.is_plain());
            }
        }
    }
}
