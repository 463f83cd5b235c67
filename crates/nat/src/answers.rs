//! What the box says in its own name: RSTs and ICMP errors, at once or after a time of silence.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};
use core::net::IpAddr;

use simopen_packet::{IcmpError, Packet, TcpBuilder, Timestamp, error_quoting, reset_answering};

use crate::endpoint::{Endpoint, Side};
use crate::spec::HOLD_TIME;

/// The longest answer, in bytes: an ICMPv6 error fills up to the minimum MTU (RFC 4443 §2.4 (c)).
pub const MAX_ANSWER_LEN: usize = 1280;
/// How many answers wait at most; further ones are not sent.
const MAX_WAITING: usize = 1024;
/// How many SYNs are held at most; further ones are dropped in silence.
const MAX_HELD: usize = 1024;
/// The longest SYN that is held, in bytes: IPv4 and TCP headers with all options.
const MAX_HELD_LEN: usize = 120;

/// Answers on their way out, and SYNs that may yet be answered.
#[derive(Clone, Default)]
pub(crate) struct Answers {
    waiting: VecDeque<(Side, Vec<u8>)>,
    spare: Vec<Vec<u8>>,
    held: VecDeque<HeldSyn>,
    lost: u64,
}

/// A SYN that is answered at `due` unless its connection opens before.
#[derive(Clone, Hash)]
struct HeldSyn {
    due: Timestamp,
    external: Endpoint,
    remote: Endpoint,
    packet: [u8; MAX_HELD_LEN],
    length: usize,
}

impl Hash for Answers {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { waiting, spare: _, held, lost: _ } = self;
        (waiting, held).hash(state);
    }
}

impl Answers {
    /// Queues an RST; false if the packet asks for none or the queue is full.
    pub(crate) fn reset(&mut self, side: Side, packet: &Packet<'_>) -> bool {
        self.queue(side, |buffer| reset_answering(packet, buffer))
    }

    /// Queues an ICMP error; false if the packet must not be answered or the queue is full.
    pub(crate) fn icmp(
        &mut self,
        side: Side,
        error: IcmpError,
        from: IpAddr,
        offending: &[u8],
    ) -> bool {
        // A box whose own address is of the other family speaks from the address that was asked.
        let from = match Packet::parse(offending) {
            Ok(packet) if packet.ip.destination.is_ipv4() != from.is_ipv4() => {
                packet.ip.destination
            }
            Ok(_) | Err(_) => from,
        };
        self.queue(side, |buffer| error_quoting(error, from, offending, buffer))
    }

    /// Queues a segment with no option but MSS; false if the queue is full.
    pub(crate) fn segment(&mut self, side: Side, builder: &TcpBuilder, mss: Option<u16>) -> bool {
        let option = mss.map(u16::to_be_bytes).map(|[high, low]| [2, 4, high, low]);
        let options = option.as_ref().map_or(&[][..], |option| option);
        self.queue(side, |buffer| builder.emit(options, &[], buffer).ok())
    }

    /// Queues a packet as it is; false if the queue is full.
    pub(crate) fn packet(&mut self, side: Side, packet: &[u8]) -> bool {
        self.queue(side, |buffer| {
            buffer.get_mut(..packet.len())?.copy_from_slice(packet);
            Some(packet.len())
        })
    }

    /// How many answers wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The answer at a place of the queue and its side, to be changed.
    pub(crate) fn waiting_at(&mut self, place: usize) -> Option<&mut (Side, Vec<u8>)> {
        self.waiting.get_mut(place)
    }

    /// Counts answers that were lost elsewhere.
    pub(crate) const fn note_lost(&mut self, count: u64) {
        self.lost += count;
    }

    /// Holds a SYN for [`HOLD_TIME`]; one that is held already keeps its time.
    pub(crate) fn hold(
        &mut self,
        external: Endpoint,
        remote: Endpoint,
        packet: &[u8],
        now: Timestamp,
    ) {
        let is_held =
            self.held.iter().any(|held| held.external == external && held.remote == remote);
        let mut copy = [0; MAX_HELD_LEN];
        let Some(room) = copy.get_mut(..packet.len()) else { return };
        if is_held || self.held.len() == MAX_HELD {
            return;
        }
        room.copy_from_slice(packet);
        self.held.push_back(HeldSyn {
            due: now + HOLD_TIME,
            external,
            remote,
            packet: copy,
            length: packet.len(),
        });
    }

    /// Forgets a held SYN whose connection opened.
    pub(crate) fn forget(&mut self, external: Endpoint, remote: Endpoint) {
        self.held.retain(|held| held.external != external || held.remote != remote);
    }

    /// When the next held SYN is answered.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.held.front().map(|held| held.due)
    }

    /// Answers one SYN whose time has come, and says to whom.
    pub(crate) fn answer_held(&mut self, from: IpAddr, now: Timestamp) -> Option<Endpoint> {
        if self.next_due()? > now {
            return None;
        }
        let held = self.held.pop_front()?;
        self.icmp(Side::Outside, IcmpError::PortUnreachable, from, &held.packet[..held.length]);
        Some(held.remote)
    }

    /// Takes the next answer.
    pub(crate) fn poll(&mut self, buffer: &mut [u8]) -> Option<(Side, usize)> {
        let (side, packet) = self.waiting.pop_front()?;
        let length = packet.len();
        let written = buffer.get_mut(..length).map(|room| room.copy_from_slice(&packet));
        self.spare.push(packet);
        if written.is_none() {
            self.lost += 1;
            return None;
        }
        Some((side, length))
    }

    /// How many answers were not sent for want of room.
    pub(crate) const fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.held.is_empty()
    }

    fn queue(&mut self, side: Side, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
        if self.waiting.len() == MAX_WAITING {
            self.lost += 1;
            return false;
        }
        let mut packet = self.spare.pop().unwrap_or_default();
        packet.resize(MAX_ANSWER_LEN, 0);
        let Some(length) = write(&mut packet) else {
            self.spare.push(packet);
            return false;
        };
        packet.truncate(length);
        self.waiting.push_back((side, packet));
        true
    }
}
