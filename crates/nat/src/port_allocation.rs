//! The outside port of a new mapping.

use alloc::collections::BTreeMap;
use core::net::IpAddr;
use core::ops::RangeInclusive;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::Rng;
use serde::{Deserialize, Serialize};

use crate::endpoint::{Address, Endpoint};
use crate::port_set::PortRange;

/// How the outside port of a new mapping is chosen. May grow.
///
/// A box chooses a port by itself among those of the inside port's kind: 1 to 511, 600 to 1023, or
/// 1024 to 65535 (as Linux does; RFC 4787 §4.2.1 asks for the well-known ones to stay among
/// themselves). Where the chosen one is taken, the next free one above it follows, round from the
/// end of the range to its start.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PortAllocation {
    /// The inside port if it is free, else a random one.
    Preserve,
    /// The inside port if it is free, else the next free one above it.
    PreserveElseNext,
    /// The port of the last mapping plus this step, whoever had that; the first is random.
    Sequential {
        /// The step, in ports.
        step: u16,
    },
    /// A random port.
    Random,
    /// A random port of a block which the inside address keeps as long as it has mappings. The
    /// block is a random one that no other inside address has, as long as there are such.
    RandomInBlock {
        /// Ports of a block; 0 counts as 1.
        size: u16,
    },
    /// The inside port if it lies in the block of the inside address and is free, else a random
    /// one of that block: see [`Self::block_of`].
    Block {
        /// Ports of a block; 0 counts as 1.
        size: u16,
    },
}

/// Whether two mappings may share one outside port (RFC 4787 §4.2.2 calls it port overloading).
/// May grow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PortOverloading {
    /// Each outside port belongs to one mapping.
    Off,
    /// Mappings whose remote scopes differ may share a port; without effect on
    /// endpoint-independent mappings, which have no remote scope.
    ///
    /// Where ports are kept ([`PortAllocation::Preserve`], [`PortAllocation::PreserveElseNext`] and
    /// [`PortAllocation::Block`]), a new mapping first tries the outside endpoint of the latest one
    /// of the same inside endpoint, as Linux does. So the box looks endpoint-independent until two
    /// inside endpoints want the same port towards the same remote scope.
    ByRemote,
}

impl PortAllocation {
    /// The ports from which an inside address gets its own, if they are fixed by the address:
    /// those of [`Self::Block`]. The blocks lie one behind the other from port 1024 on; the lower
    /// 32 bits of the address say which, modulo their number.
    #[must_use]
    pub fn block_of(self, inside: IpAddr) -> Option<RangeInclusive<u16>> {
        let Self::Block { size } = self else { return None };
        let blocks = Blocks::of(size);
        let range = blocks.range(Address::new(inside).low as u32 % blocks.count);
        Some(range.first..=range.last)
    }

    /// Whether a new mapping tries the port of an older one of the same inside endpoint.
    pub(crate) const fn keeps_ports(self) -> bool {
        match self {
            Self::Preserve | Self::PreserveElseNext | Self::Block { .. } => true,
            Self::Sequential { .. } | Self::Random | Self::RandomInBlock { .. } => false,
        }
    }
}

/// For what a port is wanted.
#[derive(Clone, Copy)]
pub(crate) struct Wish {
    /// The inside endpoint.
    pub(crate) inside: Endpoint,
    /// The ports that would do if the allocation does not say otherwise.
    pub(crate) range: PortRange,
}

/// Chooses ports as the specification says, for all protocols of one box.
#[derive(Clone, Debug, Hash)]
pub(crate) struct PortAllocator {
    allocation: PortAllocation,
    /// The port given out last.
    last: Option<u16>,
    /// The block of each inside address that has mappings, and how many.
    blocks: BTreeMap<Address, (u32, u32)>,
}

impl PortAllocator {
    /// An allocator that has given out nothing.
    pub(crate) const fn new(allocation: PortAllocation) -> Self {
        Self { allocation, last: None, blocks: BTreeMap::new() }
    }

    /// Chooses a port, or none if all are taken. `next_free` gives the first free port of a range
    /// from a given one on.
    pub(crate) fn choose(
        &mut self,
        wish: Wish,
        generator: &mut ChaCha20Rng,
        next_free: impl Fn(PortRange, u16) -> Option<u16>,
    ) -> Option<u16> {
        let range = self.range(&wish, generator);
        let kept = wish.inside.port;
        let port = match self.allocation {
            PortAllocation::Preserve | PortAllocation::Block { .. } => {
                let is_free = range.contains(kept) && next_free(range, kept) == Some(kept);
                if is_free { Some(kept) } else { next_free(range, draw(range, generator)) }
            }
            PortAllocation::PreserveElseNext => next_free(range, kept),
            PortAllocation::Random | PortAllocation::RandomInBlock { .. } => {
                next_free(range, draw(range, generator))
            }
            PortAllocation::Sequential { step } => {
                let start = match self.last {
                    Some(last) => range.after(last, step),
                    None => draw(range, generator),
                };
                next_free(range, start)
            }
        }?;
        self.last = Some(port);
        Some(port)
    }

    /// Notes a mapping of an inside address.
    pub(crate) fn note_opened(&mut self, inside: Address) {
        if let Some((_, mappings)) = self.blocks.get_mut(&inside) {
            *mappings += 1;
        }
    }

    /// Notes the end of a mapping of an inside address.
    pub(crate) fn note_closed(&mut self, inside: Address) {
        let Some((_, mappings)) = self.blocks.get_mut(&inside) else { return };
        *mappings -= 1;
        if *mappings == 0 {
            self.blocks.remove(&inside);
        }
    }

    /// Whether no inside address has a block.
    pub(crate) fn is_empty(&self) -> bool {
        self.blocks.values().all(|(_, mappings)| *mappings == 0)
    }

    /// The ports among which one is chosen.
    fn range(&mut self, wish: &Wish, generator: &mut ChaCha20Rng) -> PortRange {
        let inside = wish.inside.address;
        let block = match self.allocation {
            PortAllocation::Block { size } => {
                let blocks = Blocks::of(size);
                blocks.range(inside.low as u32 % blocks.count)
            }
            PortAllocation::RandomInBlock { size } => {
                let blocks = Blocks::of(size);
                blocks.range(self.block(inside, blocks, generator))
            }
            PortAllocation::Preserve
            | PortAllocation::PreserveElseNext
            | PortAllocation::Sequential { .. }
            | PortAllocation::Random => return wish.range,
        };
        block.with_parity_of(wish.range)
    }

    /// The block of an inside address, drawn if it has none.
    fn block(&mut self, inside: Address, blocks: Blocks, generator: &mut ChaCha20Rng) -> u32 {
        // Those that got no port in the end hold no block.
        self.blocks.retain(|_, (_, mappings)| *mappings > 0);
        if let Some((block, _)) = self.blocks.get(&inside) {
            return *block;
        }
        let drawn = below(blocks.count, generator);
        let is_free = |block: &u32| self.blocks.values().all(|(owned, _)| owned != block);
        let mut others = (0..blocks.count).map(|step| (drawn + step) % blocks.count);
        let block = others.find(is_free).unwrap_or(drawn);
        self.blocks.insert(inside, (block, 0));
        block
    }
}

/// The ports from 1024 up in blocks of one size.
#[derive(Clone, Copy)]
struct Blocks {
    size: u16,
    count: u32,
}

impl Blocks {
    fn of(size: u16) -> Self {
        let size = size.clamp(1, u16::MAX - PortRange::FIRST_DYNAMIC + 1);
        Self { size, count: (65_536 - u32::from(PortRange::FIRST_DYNAMIC)) / u32::from(size) }
    }

    const fn range(self, number: u32) -> PortRange {
        let first = PortRange::FIRST_DYNAMIC + number as u16 * self.size;
        PortRange::new(first, first + (self.size - 1))
    }
}

/// Draws a port of a range, each equally likely but for one part in 60,000.
fn draw(range: PortRange, generator: &mut ChaCha20Rng) -> u16 {
    range.at(below(range.len(), generator))
}

/// Draws a number below `bound`.
fn below(bound: u32, generator: &mut ChaCha20Rng) -> u32 {
    ((u64::from(generator.next_u32()) * u64::from(bound)) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::port_set::PortSet;

    /// A box's ports, with some of them taken.
    struct Ports {
        allocator: PortAllocator,
        generator: ChaCha20Rng,
        taken: PortSet,
    }

    impl Ports {
        fn new(allocation: PortAllocation, taken: impl IntoIterator<Item = u16>) -> Self {
            let mut set = PortSet::new();
            taken.into_iter().for_each(|port| set.insert(port));
            let generator = ChaCha20Rng::from_seed([1; 32]);
            Self { allocator: PortAllocator::new(allocation), generator, taken: set }
        }

        /// Gives out a port to host 10.0.0.`host`.
        fn give(&mut self, host: u8, inside_port: u16) -> Option<u16> {
            let inside = Endpoint::new([10, 0, 0, host].into(), inside_port);
            let wish = Wish { inside, range: PortRange::alike(inside_port) };
            let taken = &self.taken;
            let port = self
                .allocator
                .choose(wish, &mut self.generator, |range, start| taken.next_free(range, start))?;
            self.taken.insert(port);
            self.allocator.note_opened(inside.address);
            Some(port)
        }
    }

    #[test]
    fn preserve_keeps_a_free_port_and_else_takes_a_random_one_of_its_kind() {
        let mut ports = Ports::new(PortAllocation::Preserve, []);
        assert_eq!(ports.give(2, 80), Some(80));
        assert!(ports.give(3, 80).is_some_and(|port| (1..512).contains(&port)));
        assert_eq!(ports.give(2, 4000), Some(4000));
        let (second, third) = (ports.give(3, 4000), ports.give(4, 4000));
        assert!(second.is_some_and(|port| port >= 1024 && port != 4001));
        assert_ne!(second, third);
    }

    #[test]
    fn preserve_else_next_takes_the_next_free_port_and_wraps_to_1024() {
        let give = |taken: &[u16], port| {
            Ports::new(PortAllocation::PreserveElseNext, taken.iter().copied()).give(2, port)
        };
        assert_eq!(give(&[], 4000), Some(4000));
        assert_eq!(give(&[4000, 4001], 4000), Some(4002));
        assert_eq!(give(&[65_535, 1024], 65_535), Some(1025));
    }

    #[test]
    fn sequential_ports_lie_one_step_apart_for_whomever_they_are() {
        let mut ports = Ports::new(PortAllocation::Sequential { step: 2 }, []);
        let first = ports.give(2, 4000).expect("a port is free");
        assert_eq!(ports.give(3, 4000), Some(first + 2));
        assert_eq!(ports.give(2, 9000), Some(first + 4));
    }

    #[test]
    fn random_ports_come_from_1024_up_and_differ() {
        let mut ports = Ports::new(PortAllocation::Random, []);
        let (first, second) = (ports.give(2, 4000), ports.give(2, 4000));
        assert!(first.is_some_and(|port| port >= 1024));
        assert_ne!(first, second);
    }

    #[test]
    fn a_random_block_is_kept_by_its_host_and_shared_by_nobody_until_it_is_given_back() {
        let mut ports = Ports::new(PortAllocation::RandomInBlock { size: 32_256 }, []);
        let block = |port: Option<u16>| port.map(|port| (port - 1024) / 32_256);
        let first = block(ports.give(2, 4000));
        assert!((0..20).all(|_| block(ports.give(2, 4000)) == first));
        let second = block(ports.give(3, 4000));
        assert_ne!(first, second);
        (0..21).for_each(|_| ports.allocator.note_closed(Address::new([10, 0, 0, 2].into())));
        assert_eq!(block(ports.give(4, 4000)), first);
    }

    #[test]
    fn a_port_in_the_own_block_is_kept_and_any_other_moved_into_it() {
        let allocation = PortAllocation::Block { size: 1024 };
        let own = allocation.block_of([10, 0, 0, 2].into()).expect("blocks are fixed");
        let other = allocation.block_of([10, 0, 0, 3].into()).expect("blocks are fixed");
        let mut ports = Ports::new(allocation, []);
        assert_eq!(ports.give(2, *own.start() + 5), Some(*own.start() + 5));
        assert!(ports.give(2, *own.start() + 5).is_some_and(|port| own.contains(&port)));
        assert!(ports.give(2, *other.start()).is_some_and(|port| own.contains(&port)));
        assert_eq!(PortAllocation::Random.block_of([10, 0, 0, 2].into()), None);
    }

    #[test]
    fn a_full_block_gives_no_more_ports_though_others_are_free() {
        let mut ports = Ports::new(PortAllocation::Block { size: 2 }, []);
        assert!(ports.give(2, 9).is_some() && ports.give(2, 9).is_some());
        assert_eq!(ports.give(2, 9), None);
        assert!(ports.give(3, 9).is_some());
    }

    #[test]
    fn nothing_is_chosen_where_every_port_is_taken() {
        for allocation in [
            PortAllocation::Preserve,
            PortAllocation::PreserveElseNext,
            PortAllocation::Sequential { step: 7 },
            PortAllocation::Random,
            PortAllocation::RandomInBlock { size: 0 },
            PortAllocation::Block { size: u16::MAX },
        ] {
            assert_eq!(Ports::new(allocation, 1024..=65_535).give(2, 4000), None);
        }
    }
}
