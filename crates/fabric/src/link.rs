//! Links: what lies between two ends, for each direction apart.

use alloc::{boxed::Box, collections::VecDeque};
use core::{
    hash::{Hash, Hasher},
    time::Duration,
};

use simopen_packet::Timestamp;

use crate::{
    draw::{DrawKey, DrawRoot, FlowKey, FlowTable},
    flight::FlightId,
    graph::{End, LinkId},
};

/// Bytes that may wait before a rated link unless the specification says otherwise: 256 KiB, the
/// bandwidth-delay product of 100 Mbit/s and 20 ms.
pub const DEFAULT_QUEUE: usize = 256 * 1024;

/// One direction of a link.
///
/// A packet that comes to the link first waits for its turn and is serialized (`rate`, `queue`),
/// then it is lost or not (`loss`), and if not it arrives after `delay` and its share of `jitter`.
/// Loss and jitter are drawn for the n-th packet of a flow from (entropy, link, direction, flow,
/// n), where the flow is (source, destination, protocol) as the packet reads on this link; never
/// from the order in which packets of several flows come. The counts are exact while fewer than
/// 32,768 other flows begin between two packets of one flow; beyond that a flow starts over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinkSpec {
    /// Propagation: what each packet takes, whatever its size.
    pub delay: Duration,
    /// Added to `delay`, uniform between zero and this, drawn anew for each packet.
    pub jitter: Duration,
    /// Whether jitter lets a packet overtake an earlier one.
    pub reordering: Reordering,
    /// Probability between 0 and 1 that a packet is lost. It has taken its time on a rated link.
    pub loss: f64,
    /// Bits per second of the IP packet without any link layer; `None` takes no time at all. The
    /// time for one packet is rounded up to the nanosecond.
    pub rate: Option<u64>,
    /// Bytes that may wait or be in serialization; a packet that would exceed it is dropped (tail
    /// drop). It bounds nothing without a `rate`; an idle link takes any packet.
    pub queue: usize,
}

impl LinkSpec {
    /// A link that takes `delay` and does nothing else.
    pub const fn with_delay(delay: Duration) -> Self {
        Self {
            delay,
            jitter: Duration::ZERO,
            reordering: Reordering::BetweenFlows,
            loss: 0.0,
            rate: None,
            queue: DEFAULT_QUEUE,
        }
    }
}

impl Default for LinkSpec {
    /// Takes no time and loses nothing.
    fn default() -> Self {
        Self::with_delay(Duration::ZERO)
    }
}

/// Which packets jitter may put out of order. Links without jitter keep every order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reordering {
    /// Packets of one flow keep their order: one that would overtake its predecessor arrives with
    /// it. Different flows pass each other freely, so no flow's delay depends on another flow.
    #[default]
    BetweenFlows,
    /// Each packet takes what it drew; one flow's packets overtake each other where they follow
    /// more closely than the jitter. [`LinkStats::reordered`] counts them.
    Any,
}

/// What one direction of a link did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LinkStats {
    /// Packets taken, lost ones not counted.
    pub carried: u64,
    /// Packets lost by chance.
    pub lost: u64,
    /// Packets dropped because the queue was full.
    pub queue_full: u64,
    /// Packets that were put to arrive before a packet that came to the link earlier.
    pub reordered: u64,
}

/// One direction of a link: twice the link's number, and one more for the way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LaneId(pub(crate) u32);

impl LaneId {
    pub(crate) fn forth(link: LinkId) -> Self {
        Self(2 * u32::from(link.number()))
    }

    /// The other direction of the same link.
    #[inline]
    pub(crate) fn reverse(self) -> Self {
        Self(self.0 ^ 1)
    }

    #[inline]
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Why a lane did not take a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Down,
    Lost,
    QueueFull,
    /// It waits before the lane.
    Held,
}

/// One direction of one link: packets on their way, in the order of their arrival.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    pub(crate) link: LinkId,
    pub(crate) target: End,
    pub(crate) stats: LinkStats,
    pub(crate) is_up: bool,
    pace: Pace,
    /// Whether packets wait until they are told to go on.
    is_held: bool,
    /// Its pace when time does not stand still, as it does while this is there.
    usual: Option<Box<Pace>>,
    /// Who arrives when, in this order.
    flights: VecDeque<(Timestamp, FlightId)>,
}

impl Lane {
    pub(crate) fn new(
        id: LaneId,
        link: LinkId,
        target: End,
        spec: &LinkSpec,
        root: &DrawRoot,
    ) -> Self {
        let jitter = nanos(spec.jitter);
        let chance = (jitter > 0 || spec.loss > 0.0).then(|| Chance {
            key: root.key(id.0),
            flows: FlowTable::default(),
            loss: spec.loss,
            jitter,
            reordering: spec.reordering,
        });
        Self {
            link,
            target,
            stats: LinkStats::default(),
            is_up: true,
            pace: Pace {
                delay: nanos(spec.delay),
                rate: spec.rate.map(|bits| Rate::new(bits, spec.queue)),
                chance,
            },
            is_held: false,
            usual: None,
            flights: VecDeque::new(),
        }
    }

    /// When the first packet on the lane is due at its end.
    #[inline]
    pub(crate) fn head(&self) -> Option<Timestamp> {
        self.flights.front().map(|(due, _)| *due)
    }

    /// Takes off the first packet and says when it was due.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<(Timestamp, FlightId)> {
        self.flights.pop_front()
    }

    /// What is on its way and when it arrives.
    pub(crate) fn flights(&self) -> impl Iterator<Item = (Timestamp, FlightId)> {
        self.flights.iter().copied()
    }

    /// Hashes what the packets that come later depend on.
    pub(crate) fn hash_past<H: Hasher>(&self, state: &mut H) {
        (self.is_up, self.is_held, &self.pace, &self.usual).hash(state);
    }

    /// Packets on their way.
    pub(crate) fn len(&self) -> usize {
        self.flights.len()
    }

    /// Whether draws are made here, so that [`admit`](Self::admit) wants to know the flow.
    #[inline]
    pub(crate) fn has_chance(&self) -> bool {
        self.pace.chance.is_some()
    }

    /// From now on packets take no time and none is lost; where the lane holds them, they wait.
    pub(crate) fn stand_still(&mut self, holds: bool) {
        let pace = core::mem::take(&mut self.pace);
        self.usual.get_or_insert_with(|| Box::new(pace));
        self.is_held = holds;
    }

    /// Time goes on.
    pub(crate) fn go_on(&mut self) {
        if let Some(usual) = self.usual.take() {
            self.pace = *usual;
        }
        self.is_held = false;
    }

    /// Takes a packet of `len` bytes that came to the lane's start at `at`, or says why not.
    #[inline]
    pub(crate) fn admit(
        &mut self,
        id: FlightId,
        at: Timestamp,
        len: usize,
        flow: Option<FlowKey>,
    ) -> Result<(), Refusal> {
        if !self.is_up || self.is_held {
            return Err(if self.is_up { Refusal::Held } else { Refusal::Down });
        }
        let Pace { delay, rate, chance } = &mut self.pace;
        let mut leaves = at;
        if let Some(rate) = rate {
            let Some(end) = rate.serialize(at, len) else {
                // The draw of this packet is spent all the same: what befalls the next one does
                // not depend on the queue, which other flows fill as well.
                if let (Some(chance), Some(flow)) = (chance, flow) {
                    chance.flows.entry(flow).packets += 1;
                }
                self.stats.queue_full += 1;
                return Err(Refusal::QueueFull);
            };
            leaves = end;
        }
        let mut due = later(leaves, *delay);
        if let (Some(chance), Some(flow)) = (chance, flow) {
            let Some(drawn) = chance.befall(flow, due) else {
                self.stats.lost += 1;
                return Err(Refusal::Lost);
            };
            due = drawn;
        }
        self.stats.carried += 1;
        self.insert(due, id);
        Ok(())
    }

    /// Puts the packet behind all that are due no later. Without jitter that is the end, except
    /// where the world hands in packets in another order than that of their ingress times.
    #[inline]
    fn insert(&mut self, due: Timestamp, id: FlightId) {
        match self.flights.back() {
            Some((last, _)) if *last > due => {
                self.stats.reordered += 1;
                let place = self.flights.partition_point(|(other, _)| *other <= due);
                self.flights.insert(place, (due, id));
            }
            Some(_) | None => self.flights.push_back((due, id)),
        }
    }
}

/// What a lane does to its packets; nothing by default.
#[derive(Clone, Debug, Default)]
struct Pace {
    delay: u64,
    rate: Option<Rate>,
    chance: Option<Chance>,
}

impl Hash for Pace {
    /// Of the past: until when the link is busy, and how many packets each flow had.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.rate.as_ref().map(|rate| rate.busy_until).hash(state);
        self.chance.as_ref().map(|chance| &chance.flows).hash(state);
    }
}

/// Serialization and the queue before it.
#[derive(Clone, Debug)]
struct Rate {
    bits_per_second: u64,
    /// The time that a full queue takes to drain, in nanoseconds.
    queue: u64,
    busy_until: Timestamp,
}

impl Rate {
    fn new(bits_per_second: u64, queue: usize) -> Self {
        let mut rate = Self { bits_per_second, queue: 0, busy_until: Timestamp::ZERO };
        rate.queue = rate.duration(queue);
        rate
    }

    /// When a packet that came at `at` has left, or `None` if the queue has no room for it.
    fn serialize(&mut self, at: Timestamp, bytes: usize) -> Option<Timestamp> {
        let takes = self.duration(bytes);
        let waits = self.busy_until.as_nanos().saturating_sub(at.as_nanos());
        if waits > 0 && waits.saturating_add(takes) > self.queue {
            return None;
        }
        self.busy_until = later(at, waits.saturating_add(takes));
        Some(self.busy_until)
    }

    fn duration(&self, bytes: usize) -> u64 {
        const BIT_NANOS_PER_BYTE: u128 = 8 * 1_000_000_000;
        let nanos = (bytes as u128 * BIT_NANOS_PER_BYTE).div_ceil(self.bits_per_second.into());
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }
}

/// Loss and jitter with what they remember of each flow.
#[derive(Clone, Debug)]
struct Chance {
    key: DrawKey,
    flows: FlowTable,
    loss: f64,
    jitter: u64,
    reordering: Reordering,
}

impl Chance {
    /// When the next packet of `flow`, due at `due` without jitter, arrives; `None` if it is lost.
    fn befall(&mut self, flow: FlowKey, due: Timestamp) -> Option<Timestamp> {
        /// 2^-53, the step between the numbers that 53 random bits make in [0, 1).
        const STEP: f64 = 1.0 / (1u64 << 53) as f64;
        let state = self.flows.entry(flow);
        let draw = self.key.draw(&flow, state.packets);
        state.packets += 1;
        if (draw.loss >> 11) as f64 * STEP < self.loss {
            return None;
        }
        let share = (u128::from(draw.jitter) * (u128::from(self.jitter) + 1)) >> 64;
        let drawn = later(due, share as u64);
        let due = match self.reordering {
            Reordering::BetweenFlows => drawn.max(state.last_due),
            Reordering::Any => drawn,
        };
        state.last_due = due;
        Some(due)
    }
}

/// `at` and `nanos` nanoseconds, at most the end of time.
#[inline]
fn later(at: Timestamp, nanos: u64) -> Timestamp {
    Timestamp::from_nanos(at.as_nanos().saturating_add(nanos))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
