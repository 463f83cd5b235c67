//! Chance that is the same each time: predictions are pure.

/// A stream of numbers that look random (`SplitMix64`; Steele, Lea and Flood 2014).
#[derive(Debug, Clone, Copy)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) const fn new(stream: u64) -> Self {
        Self(stream.wrapping_mul(0xd134_2543_de82_ef95))
    }

    /// From 0 to less than 1.
    pub(super) fn part(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        f64::from(u32::try_from(z >> 32).unwrap_or(u32::MAX)) / 2_f64.powi(32)
    }
}
