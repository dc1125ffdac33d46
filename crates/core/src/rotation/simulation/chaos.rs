//! What goes wrong, and when.

/// What may go wrong; each is a probability in 1/256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Chaos {
    pub(crate) crash: u8,
    pub(crate) stall: u8,
    pub(crate) restart: u8,
    pub(crate) lose_ring: u8,
    pub(crate) lose_key: u8,
    pub(crate) skew: bool,
    /// After so many faults nothing more goes wrong: what has been broken must then heal.
    pub(crate) faults: usize,
}

/// Numbers that look random and are the same for the same seed (SplitMix64): a counter-example can be shown again.
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[7]
    }

    /// True `chances` times in 256.
    pub(super) fn happens(&mut self, chances: u8) -> bool {
        self.byte() < chances
    }

    pub(super) fn pick(&mut self, from: &[usize]) -> Option<usize> {
        let count = u64::try_from(from.len()).ok().filter(|count| *count > 0)?;
        let at = usize::try_from(self.next() % count).ok()?;
        from.get(at).copied()
    }
}
