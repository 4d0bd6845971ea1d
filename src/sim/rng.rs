//! The random numbers behind schedules: SplitMix64, so that a seed means the same in every build and on every machine.

#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `n`, which is not zero.
    pub(crate) fn below(&mut self, n: u32) -> u32 {
        // The upper half of a product that is below `n << 32`.
        (((self.next() >> 32) * u64::from(n)) >> 32) as u32
    }
}

/// Spreads every bit of `word` over all of them.
pub(crate) fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
