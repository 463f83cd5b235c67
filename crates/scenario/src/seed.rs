//! Seeds: one number from which all chance of a run follows.

use simopen_packet::Entropy;

/// The entropy of a network that is made from a seed: four numbers of SplitMix64.
#[must_use]
pub fn entropy_of(seed: u64) -> Entropy {
    let mut bytes = [0; 32];
    let mut state = seed;
    for chunk in bytes.chunks_exact_mut(8) {
        state = state.wrapping_add(GAMMA);
        chunk.copy_from_slice(&mixed(state).to_be_bytes());
    }
    Entropy::new(bytes)
}

/// The number at the place `nth`, from 0, of the stream of SplitMix64 that begins with `seed`: the
/// seed of one of many runs that share a seed.
#[must_use]
pub const fn nth_seed(seed: u64, nth: u64) -> u64 {
    mixed(seed.wrapping_add(nth.wrapping_add(1).wrapping_mul(GAMMA)))
}

/// How far SplitMix64 steps from one number to the next.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's finalizer.
const fn mixed(state: u64) -> u64 {
    let state = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ state >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ state >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_of_seed_zero_is_that_of_the_published_generator() {
        let bytes = entropy_of(0).into_bytes();
        assert_eq!(bytes[..8], 0xe220_a839_7b1d_cdaf_u64.to_be_bytes());
        assert_ne!(bytes, entropy_of(1).into_bytes());
    }

    #[test]
    fn the_nth_seed_is_found_without_those_before_it() {
        let bytes = entropy_of(7).into_bytes();
        for (nth, number) in (0..).zip(bytes.chunks_exact(8)) {
            assert_eq!(number, nth_seed(7, nth).to_be_bytes());
        }
    }
}
