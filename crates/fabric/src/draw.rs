//! Chance on a link: what befalls the n-th packet of a flow.
//!
//! A draw depends on (entropy, link, direction, flow, n) and on nothing else. Two runs that differ
//! in scheduling, or in what other flows do, therefore lose the same packets of the same flow and
//! delay them alike.

use alloc::collections::BTreeMap;
use core::net::SocketAddr;

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};
use simopen_packet::{Entropy, Timestamp};

/// Flows remembered in each of the two generations of a [`FlowTable`].
///
/// A flow keeps its count as long as it sends at least one packet while this many others begin;
/// 32,768 hold the whole port range of one host within both generations.
const FLOWS_PER_GENERATION: usize = 32_768;

/// Words of the key stream that one packet owns: one block of ChaCha20.
const WORDS_PER_PACKET: u128 = 16;

/// Who speaks to whom, as the packet reads on this very link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FlowKey {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) protocol: u8,
}

/// The two numbers drawn for one packet, each uniform over all of `u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Draw {
    pub(crate) loss: u64,
    pub(crate) jitter: u64,
}

/// The fabric's entropy, from which each lane has a key of its own.
pub(crate) struct DrawRoot(ChaCha20Rng);

impl DrawRoot {
    pub(crate) fn new(entropy: Entropy) -> Self {
        Self(ChaCha20Rng::from_seed(entropy.into_bytes()))
    }

    /// The key of lane number `lane`.
    pub(crate) fn key(&self, lane: u32) -> DrawKey {
        let mut root = self.0.clone();
        root.set_stream(u64::from(lane));
        let mut key = [0; 32];
        root.fill_bytes(&mut key);
        DrawKey { stream: ChaCha20Rng::from_seed(key) }
    }
}

/// The key of all draws in one direction of one link.
#[derive(Clone, Debug)]
pub(crate) struct DrawKey {
    stream: ChaCha20Rng,
}

impl DrawKey {
    /// What befalls packet number `nth` of `flow`.
    pub(crate) fn draw(&self, flow: &FlowKey, nth: u64) -> Draw {
        let mut stream = self.stream.clone();
        stream.set_stream(flow.digest());
        stream.set_word_pos(u128::from(nth) * WORDS_PER_PACKET);
        Draw { loss: stream.next_u64(), jitter: stream.next_u64() }
    }
}

impl FlowKey {
    /// A 64-bit name of the flow: FNV-1a (offset basis and prime of its authors) with a final mix.
    ///
    /// It only selects a stream of the keyed generator, so it needs to spread, not to be secret.
    fn digest(&self) -> u64 {
        let mut digest = 0xcbf2_9ce4_8422_2325;
        let mut absorb = |word: u64| {
            digest = (digest ^ word).wrapping_mul(0x0000_0100_0000_01b3);
            digest ^= digest >> 29;
        };
        for endpoint in [self.source, self.destination] {
            let address = match endpoint {
                SocketAddr::V4(v4) => v4.ip().to_ipv6_mapped().to_bits(),
                SocketAddr::V6(v6) => v6.ip().to_bits(),
            };
            absorb((address >> 64) as u64);
            absorb(address as u64);
            absorb(u64::from(endpoint.port()));
        }
        absorb(u64::from(self.protocol));
        digest
    }
}

/// What is remembered of a flow on one lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct FlowState {
    /// Packets seen so far.
    pub(crate) packets: u64,
    /// When the latest of them is due at the other end.
    pub(crate) last_due: Timestamp,
}

/// The flows of one lane, bounded: when a generation is full, it becomes the elder one, and the
/// elder one before it is forgotten.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct FlowTable {
    younger: BTreeMap<FlowKey, FlowState>,
    elder: BTreeMap<FlowKey, FlowState>,
}

impl FlowTable {
    /// The state of `flow`, new if it is not known.
    pub(crate) fn entry(&mut self, flow: FlowKey) -> &mut FlowState {
        if self.younger.len() >= FLOWS_PER_GENERATION && !self.younger.contains_key(&flow) {
            self.elder = core::mem::take(&mut self.younger);
        }
        let elder = &mut self.elder;
        self.younger.entry(flow).or_insert_with(|| elder.remove(&flow).unwrap_or_default())
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.younger.len() + self.elder.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(port: u16) -> FlowKey {
        FlowKey {
            source: SocketAddr::from(([10, 0, 0, 2], port)),
            destination: SocketAddr::from(([10, 0, 1, 2], 80)),
            protocol: 6,
        }
    }

    #[test]
    fn a_draw_is_the_same_in_whatever_order_it_is_asked_for() {
        let key = DrawRoot::new(Entropy::new([7; 32])).key(3);
        let forward: alloc::vec::Vec<_> = (0..50).map(|n| key.draw(&flow(1), n)).collect();
        let mut backward: alloc::vec::Vec<_> =
            (0..50).rev().map(|n| key.draw(&flow(1), n)).collect();
        backward.reverse();
        assert_eq!(forward, backward);
    }

    #[test]
    fn draws_differ_by_lane_flow_and_number() {
        let root = DrawRoot::new(Entropy::new([7; 32]));
        let draws = [
            root.key(0).draw(&flow(1), 0),
            root.key(1).draw(&flow(1), 0),
            root.key(0).draw(&flow(2), 0),
            root.key(0).draw(&flow(1), 1),
        ];
        for (i, draw) in draws.iter().enumerate() {
            assert!(!draws[..i].contains(draw), "draw {i} repeats an earlier one");
        }
    }

    #[test]
    fn digests_of_neighbouring_ports_never_meet() {
        let mut digests: alloc::vec::Vec<_> = (0..=u16::MAX).map(|p| flow(p).digest()).collect();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), 65_536);
    }

    #[test]
    fn the_table_stays_bounded_and_a_speaking_flow_keeps_its_count() {
        let mut table = FlowTable::default();
        for generation in 0..5u8 {
            for port in 0..30_000 {
                let mut other = flow(port);
                other.protocol = generation;
                table.entry(other);
            }
            table.entry(flow(1)).packets += 1;
        }
        assert_eq!(table.entry(flow(1)).packets, 5);
        assert!(table.len() <= 2 * FLOWS_PER_GENERATION);
    }
}
