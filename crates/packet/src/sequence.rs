//! TCP sequence numbers and their arithmetic modulo 2^32.

use core::{
    fmt,
    ops::{Add, AddAssign, Sub},
};

/// A sequence number of TCP.
///
/// It compares by RFC 9293 §3.4 only: one number precedes another if the way forward to it is
/// shorter than 2^31. That is no total order, therefore `Ord` is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SeqNumber(pub u32);

impl SeqNumber {
    /// Returns whether `self` < `other` in sequence space.
    #[inline]
    #[must_use]
    pub const fn precedes(self, other: Self) -> bool {
        let ahead = other.0.wrapping_sub(self.0);
        ahead != 0 && ahead < 1 << 31
    }

    /// Returns whether `self` ≤ `other` in sequence space.
    #[inline]
    #[must_use]
    pub const fn at_or_precedes(self, other: Self) -> bool {
        other.0.wrapping_sub(self.0) < 1 << 31
    }

    /// Returns the octets from `earlier` forward to `self`, modulo 2^32.
    #[inline]
    #[must_use]
    pub const fn distance_from(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// Returns the one that lies further ahead.
    #[inline]
    #[must_use]
    pub const fn max(self, other: Self) -> Self {
        if self.precedes(other) { other } else { self }
    }
}

impl Add<u32> for SeqNumber {
    type Output = Self;

    #[inline]
    fn add(self, octets: u32) -> Self {
        Self(self.0.wrapping_add(octets))
    }
}

impl AddAssign<u32> for SeqNumber {
    #[inline]
    fn add_assign(&mut self, octets: u32) {
        *self = *self + octets;
    }
}

impl Sub<u32> for SeqNumber {
    type Output = Self;

    #[inline]
    fn sub(self, octets: u32) -> Self {
        Self(self.0.wrapping_sub(octets))
    }
}

impl fmt::Display for SeqNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_survives_the_wrap_at_two_to_the_thirty_two() {
        let before = SeqNumber(u32::MAX);
        let after = before + 2;

        assert_eq!(after, SeqNumber(1));
        assert!(before.precedes(after));
        assert!(!after.precedes(before));
        assert_eq!(after.distance_from(before), 2);
        assert_eq!(before.max(after), after);
        assert_eq!(after.max(before), after);
    }

    #[test]
    fn a_number_is_at_itself_and_does_not_precede_itself() {
        let number = SeqNumber(7);

        assert!(number.at_or_precedes(number));
        assert!(!number.precedes(number));
    }

    #[test]
    fn half_the_space_ahead_is_behind() {
        assert!(SeqNumber(0).precedes(SeqNumber((1 << 31) - 1)));
        assert!(!SeqNumber(0).precedes(SeqNumber(1 << 31)));
    }
}
