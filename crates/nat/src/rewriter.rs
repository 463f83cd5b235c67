//! What a box changes in TCP segments beside their endpoints: sequence numbers, timestamps, options.
//!
//! Nothing is kept for a connection. The numbers by which it is shifted follow from its endpoints
//! under a secret key, so the shift of one side is there before its first segment and after a
//! timer, and nobody outside can foresee it (as RFC 6528 makes initial sequence numbers).

use alloc::vec::Vec;

use rand_chacha::ChaCha20Rng;
use simopen_packet::{Layout, Packet, SegmentEdit, SeqNumber, TcpFlags, Transport};

use crate::endpoint::{Endpoint, Flow, Side};
use crate::flow_index::FlowHasher;
use crate::session::Session;
use crate::spec::{IsnRewriting, OptionRewriting, Rewriting, SynProxy, TimestampRewriting};

/// Kinds of TCP options.
mod kind {
    pub(super) const NO_OPERATION: u8 = 1;
    pub(super) const MSS: u8 = 2;
    pub(super) const WINDOW_SCALE: u8 = 3;
    pub(super) const SACK_PERMITTED: u8 = 4;
    pub(super) const SACK: u8 = 5;
    pub(super) const TIMESTAMPS: u8 = 8;
}

/// The rewriting of one box.
#[derive(Clone, Debug)]
pub(crate) struct Rewriter {
    spec: Rewriting,
    hasher: FlowHasher,
    /// The packet that is on its way through the box, as it came.
    as_came: Option<Vec<u8>>,
}

/// What is added to the numbers of each side on their way through the box.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Shifts {
    sequence: [u32; 2],
    timestamp: [u32; 2],
}

impl Rewriter {
    /// A rewriter with a fresh key.
    pub(crate) fn new(spec: Rewriting, generator: &mut ChaCha20Rng) -> Self {
        Self { spec, hasher: FlowHasher::drawn(generator), as_came: None }
    }

    /// Whether it changes anything.
    pub(crate) fn is_active(&self) -> bool {
        self.spec != Rewriting::NONE
    }

    /// The shifts of a session.
    pub(crate) fn shifts(&self, session: &Session) -> Shifts {
        let (inside, remote) = (session.inside(), session.remote());
        let shift = |side, near, remote| self.hasher.hash(&Flow { side, near, remote }).0.max(1);
        let both = |one: Endpoint, other: Endpoint| {
            [shift(Side::Inside, one, other), shift(Side::Outside, one, other)]
        };
        let is_modulated =
            self.spec.isn != IsnRewriting::Kept && session.tracking.is_known_from_its_syn();
        let is_shifted = self.spec.timestamps == TimestampRewriting::Rewritten;
        Shifts {
            sequence: if is_modulated { both(inside, remote) } else { [0; 2] },
            timestamp: if is_shifted { both(remote, inside) } else { [0; 2] },
        }
    }

    /// Whether the box makes handshakes itself.
    pub(crate) const fn syn_proxy(&self) -> SynProxy {
        self.spec.syn_proxy
    }

    /// The number with which the box answers the inside host's SYN.
    pub(crate) fn own_isn(&self, flow: &Flow) -> SeqNumber {
        let ends = Flow { side: Side::Outside, near: flow.remote, remote: flow.near };
        SeqNumber(self.hasher.hash(&ends).0)
    }

    /// Keeps a packet as it came.
    pub(crate) fn keep_as_came(&mut self, packet: Vec<u8>) {
        self.as_came = Some(packet);
    }

    /// Gives back the packet as it came, if one is on its way.
    pub(crate) const fn take_as_came(&mut self) -> Option<Vec<u8>> {
        self.as_came.take()
    }

    /// Brings what a segment acknowledges to the numbers of the side that is to read it. It then
    /// carries each side's numbers as that side counts, which is how they are tracked.
    pub(crate) fn acknowledge(&self, from: Side, layout: Layout, bytes: &mut [u8], shifts: Shifts) {
        let shift = shifts.sequence[from.other() as usize];
        if shift == 0 {
            return;
        }
        let has_ack = Packet::parse(bytes)
            .is_ok_and(|packet| packet.tcp().is_some_and(|tcp| tcp.flags.contains(TcpFlags::ACK)));
        layout.edit_segment(bytes, |segment| {
            if has_ack {
                segment.acknowledgment = SeqNumber(segment.acknowledgment.0.wrapping_sub(shift));
            }
            segment.for_each_option(|option| match (option, self.spec.isn) {
                ([kind::SACK, _, blocks @ ..], IsnRewriting::ModulatedSackRepaired) => {
                    blocks.as_chunks_mut().0.iter_mut().for_each(|edge| subtract(edge, shift));
                }
                // Tracking must not believe them.
                (option @ [kind::SACK, ..], IsnRewriting::ModulatedSackBroken) => strip(option),
                (_, _) => {}
            });
        });
    }

    /// Makes everything else of a segment as the other side is to see it. `as_came` is the same
    /// segment as it came.
    pub(crate) fn finish(
        &self,
        from: Side,
        layout: Layout,
        bytes: &mut [u8],
        shifts: Shifts,
        as_came: &[u8],
    ) {
        let Ok(Packet { transport: Transport::Tcp(came), .. }) = Packet::parse(as_came) else {
            return;
        };
        let [own, other] = [from, from.other()].map(|side| side as usize);
        layout.edit_segment(bytes, |segment| {
            segment.sequence += shifts.sequence[own];
            if self.spec.isn == IsnRewriting::ModulatedSackBroken
                && came.options.len() == segment.options.len()
            {
                segment.options.copy_from_slice(came.options);
            }
            let echo_shift =
                if came.flags.contains(TcpFlags::ACK) { shifts.timestamp[other] } else { 0 };
            let is_syn = came.flags.contains(TcpFlags::SYN);
            self.edit_options(segment, is_syn, [shifts.timestamp[own], echo_shift]);
        });
    }

    fn edit_options(
        &self,
        segment: &mut SegmentEdit<'_>,
        is_syn: bool,
        [shift, echo_shift]: [u32; 2],
    ) {
        segment.for_each_option(|option| {
            if self.strips(option[0]) {
                return strip(option);
            }
            match option {
                [kind::TIMESTAMPS, 10, v0, v1, v2, v3, e0, e1, e2, e3] => {
                    let value = u32::from_be_bytes([*v0, *v1, *v2, *v3]).wrapping_add(shift);
                    [*v0, *v1, *v2, *v3] = value.to_be_bytes();
                    let echo = u32::from_be_bytes([*e0, *e1, *e2, *e3]).wrapping_sub(echo_shift);
                    [*e0, *e1, *e2, *e3] = echo.to_be_bytes();
                }
                [kind::MSS, 4, high, low] if is_syn => {
                    let mss = u16::from_be_bytes([*high, *low]);
                    [*high, *low] = self.spec.mss.map_or(mss, |most| mss.min(most)).to_be_bytes();
                }
                _ => {}
            }
        });
    }

    const fn strips(&self, option: u8) -> bool {
        let is_stripped_by_rule = match self.spec.options {
            OptionRewriting::Kept => false,
            OptionRewriting::UnknownStripped => !matches!(
                option,
                kind::MSS
                    | kind::WINDOW_SCALE
                    | kind::SACK_PERMITTED
                    | kind::SACK
                    | kind::TIMESTAMPS
            ),
            OptionRewriting::AllButMssStripped => option != kind::MSS,
        };
        let is_timestamps = option == kind::TIMESTAMPS;
        is_stripped_by_rule
            || (is_timestamps && matches!(self.spec.timestamps, TimestampRewriting::Stripped))
    }
}

impl Shifts {
    /// Those of a connection whose handshakes the box made: the remote side's numbers alone are
    /// shifted, and there are no timestamps.
    pub(crate) const fn of_joined(shift: u32) -> Self {
        Self { sequence: [0, shift], timestamp: [0; 2] }
    }

    /// What is added to the sequence numbers of a side.
    pub(crate) const fn sequence_of(&self, sender: Side) -> u32 {
        self.sequence[sender as usize]
    }
}

fn subtract(number: &mut [u8; 4], shift: u32) {
    *number = u32::from_be_bytes(*number).wrapping_sub(shift).to_be_bytes();
}

fn strip(option: &mut [u8]) {
    option.fill(kind::NO_OPERATION);
}
