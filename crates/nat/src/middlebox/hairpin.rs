//! Hairpinning: a packet from inside to an outside endpoint of the box itself goes out and comes in
//! again, both within the box (RFC 4787 §6).

use core::net::{IpAddr, SocketAddr};

use simopen_packet::{Datagram, Packet, Timestamp};

use super::{Middlebox, Verdict};
use crate::endpoint::{Address, Side};
use crate::journal::DropReason;
use crate::spec::{Hairpin, Role};

/// How many answers to one packet go in again at most: each may bring about another.
const MAX_TURNED_BACK: usize = 8;

impl Middlebox {
    /// Whether a packet from inside is addressed to the box's own outside.
    pub(super) fn turns_back(&self, bytes: &[u8]) -> bool {
        self.spec.hairpin != Hairpin::Off
            && self.spec.role == Role::Nat
            && Packet::parse(bytes).is_ok_and(|packet| self.is_own(packet.ip.destination))
    }

    /// Translates such a packet twice.
    pub(super) fn handle_hairpin(&mut self, packet: &mut [u8], now: Timestamp) -> Verdict {
        let waiting = self.answers.waiting();
        let verdict = self.pass_out_and_in(packet, now);
        self.turn_answers_back(waiting, now);
        verdict
    }

    fn pass_out_and_in(&mut self, packet: &mut [u8], now: Timestamp) -> Verdict {
        let as_came = packet.to_vec();
        match self.pass_rewriting(Side::Inside, packet, now) {
            Verdict::Forward => self.stats.forwarded -= 1,
            // It would come back to the box, which has no inside address to take it for.
            Verdict::Untranslated | Verdict::Hairpin => {
                self.stats.untranslated -= 1;
                return self.refuse(Side::Inside, packet, DropReason::Hairpin, now);
            }
            refused @ Verdict::Drop(_) => return refused,
        }
        let verdict = self.pass_rewriting(Side::Outside, packet, now);
        if verdict != Verdict::Forward {
            packet.copy_from_slice(&as_came);
            return verdict;
        }
        if self.spec.hairpin == Hairpin::InternalSource {
            restore_source(packet, &as_came);
        }
        Verdict::Hairpin
    }

    /// Answers since the given one that the box has addressed to its own outside go in again.
    pub(super) fn turn_answers_back(&mut self, since: usize, now: Timestamp) {
        if self.spec.hairpin == Hairpin::Off || self.spec.role != Role::Nat {
            return;
        }
        for place in since..since + MAX_TURNED_BACK {
            let Some((side, bytes)) = self.answers.waiting_at(place) else { return };
            let is_outward = *side == Side::Outside;
            let mut bytes = core::mem::take(bytes);
            let is_own =
                Packet::parse(&bytes).is_ok_and(|packet| self.is_own(packet.ip.destination));
            let passed = is_outward && is_own && self.pass_back(&mut bytes, now);
            if let Some((side, room)) = self.answers.waiting_at(place) {
                *room = bytes;
                if passed {
                    *side = Side::Inside;
                }
            }
        }
    }

    fn pass_back(&mut self, bytes: &mut [u8], now: Timestamp) -> bool {
        let passed = self.pass_rewriting(Side::Outside, bytes, now) == Verdict::Forward;
        if passed {
            self.stats.forwarded -= 1;
        }
        passed
    }

    fn is_own(&self, address: IpAddr) -> bool {
        self.outside.place_of(Address::new(address)).is_some()
    }
}

/// Gives a packet the source that it came with.
fn restore_source(bytes: &mut [u8], as_came: &[u8]) {
    let Ok(packet) = Packet::parse(as_came) else { return };
    let layout = packet.layout();
    let source = |port| SocketAddr::new(packet.ip.source, port);
    if let Some(segment) = packet.tcp() {
        layout.set_source(bytes, source(segment.source_port));
    } else if let Some(datagram) = Datagram::of(&packet, as_came) {
        layout.set_datagram_source(bytes, source(datagram.source_port));
    } else {
        layout.set_outer_source_addr(bytes, packet.ip.source);
    }
}
