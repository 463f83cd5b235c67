//! The SYN proxy: the box answers the inside host in the remote endpoint's name, and dials that
//! endpoint only when the inside host has acknowledged.
//!
//! It offers no option but MSS to either side, and to the inside host a window of zero until the
//! remote endpoint has answered.

use simopen_packet::{
    Packet, SeqNumber, SynOptions, TcpBuilder, TcpFlags, TcpSegment, Timestamp, Ttl,
};

use super::{Middlebox, Verdict};
use crate::endpoint::{Endpoint, Flow, Side};
use crate::handshakes::{Handshake, Phase};
use crate::journal::DropReason;
use crate::spec::SynProxy;

/// IPv6 and TCP headers with the MSS option, in bytes.
const MAX_LEN: usize = 64;
/// The MSS of a SYN without that option, in bytes (RFC 9293 §3.7.1, for IPv4).
const DEFAULT_MSS: u16 = 536;

/// What a segment says, beside its endpoints.
#[derive(Clone, Copy)]
struct Words {
    flags: TcpFlags,
    sequence: SeqNumber,
    acknowledgment: SeqNumber,
    window: u16,
}

impl Middlebox {
    /// Takes a segment of a handshake that the box makes; none if it is to go through.
    pub(super) fn proxy(
        &mut self,
        flow: &Flow,
        bytes: &mut [u8],
        now: Timestamp,
    ) -> Option<Verdict> {
        if self.rewriter.syn_proxy() == SynProxy::Off {
            return None;
        }
        let packet = Packet::parse(bytes).ok()?;
        let segment = packet.tcp()?;
        let words = Words {
            flags: segment.flags,
            sequence: segment.sequence,
            acknowledgment: segment.acknowledgment,
            window: segment.window,
        };
        let is_proxied = match flow.side {
            Side::Inside => {
                let mss = mss(segment);
                self.proxy_outbound(flow, words, mss, now)
            }
            Side::Outside => return self.proxy_inbound(flow, words, bytes, now),
        };
        is_proxied.then(|| self.refuse(flow.side, bytes, DropReason::SynProxied, now))
    }

    /// Whether a segment of the inside host ends here.
    fn proxy_outbound(&mut self, flow: &Flow, words: Words, mss: u16, now: Timestamp) -> bool {
        let ends = (flow.near, flow.remote);
        let handshake = self.handshakes.get(ends);
        match handshake.map(|handshake| (handshake, handshake.phase)) {
            None | Some((_, Phase::Inside)) if words.flags.is_bare_syn() => {
                self.answer_syn(flow, words, mss, now)
            }
            None | Some((_, Phase::Joined(_))) => false,
            // The dialling goes on until the remote endpoint has answered, or its timer ends it.
            Some((_, Phase::Outside)) => true,
            Some((handshake, Phase::Inside)) => {
                let completes = words.flags.contains(TcpFlags::ACK)
                    && !words.flags.contains(TcpFlags::RST)
                    && words.sequence == handshake.inside_isn + 1
                    && words.acknowledgment == handshake.own_isn + 1;
                if words.flags.contains(TcpFlags::RST) {
                    self.handshakes.remove(ends);
                } else if completes {
                    self.dial(flow, handshake, words.window, now);
                }
                true
            }
        }
    }

    /// Answers a SYN of the inside host in the remote endpoint's name, if it may leave at all.
    fn answer_syn(&mut self, flow: &Flow, words: Words, mss: u16, now: Timestamp) -> bool {
        let may_leave = self.spec.egress.permits(flow.remote.port)
            && self.misaddressed(flow).is_none()
            && self.find_live(flow, now).is_none();
        if !may_leave {
            return false;
        }
        let own_isn = self.rewriter.own_isn(flow);
        let phase = Phase::Inside;
        let handshake = Handshake { phase, inside_isn: words.sequence, own_isn, mss };
        let until = now + self.spec.timers.syn_received;
        if self.handshakes.begin((flow.near, flow.remote), handshake, until) {
            let answer = Words {
                flags: TcpFlags::SYN | TcpFlags::ACK,
                sequence: own_isn,
                acknowledgment: words.sequence + 1,
                window: 0,
            };
            self.say_inside(flow, answer, Some(mss));
        }
        true
    }

    /// Dials the remote endpoint with the inside host's own number.
    fn dial(&mut self, flow: &Flow, handshake: Handshake, window: u16, now: Timestamp) {
        let ends = (flow.near, flow.remote);
        let syn = Words {
            flags: TcpFlags::SYN,
            sequence: handshake.inside_isn,
            acknowledgment: SeqNumber(0),
            window,
        };
        if self.say_outside(flow, syn, Some(handshake.mss), now) {
            self.handshakes.enter(ends, Phase::Outside);
        } else {
            self.handshakes.remove(ends);
        }
    }

    /// Takes a segment of the remote endpoint; none if it is to go through.
    fn proxy_inbound(
        &mut self,
        flow: &Flow,
        words: Words,
        bytes: &mut [u8],
        now: Timestamp,
    ) -> Option<Verdict> {
        let id = self.find_live(flow, now)?;
        let inside = self.sessions.get(id).inside();
        let ends = (inside, flow.remote);
        let handshake = self.handshakes.get(ends)?;
        if handshake.phase != Phase::Outside {
            return None;
        }
        let layout = Packet::parse(bytes).ok()?.layout();
        let answers = words.acknowledgment == handshake.inside_isn + 1;
        let is_reset = words.flags.contains(TcpFlags::RST);
        if !answers || !(is_reset || words.flags.is_syn_ack()) {
            return Some(self.refuse(Side::Outside, bytes, DropReason::SynProxied, now));
        }
        let as_came = bytes.to_vec();
        let verdict = self.pass(Side::Outside, bytes, now);
        if verdict != Verdict::Forward {
            return Some(verdict);
        }
        if is_reset {
            // The number that the inside host awaits.
            layout.edit_segment(bytes, |segment| segment.sequence = handshake.own_isn + 1);
            return Some(verdict);
        }
        bytes.copy_from_slice(&as_came);
        self.stats.forwarded -= 1;
        self.join(flow, ends, handshake, words, now);
        Some(self.refuse(Side::Outside, bytes, DropReason::SynProxied, now))
    }

    /// Acknowledges the remote endpoint's SYN-ACK and opens the inside host's window.
    fn join(
        &mut self,
        flow: &Flow,
        ends: (Endpoint, Endpoint),
        handshake: Handshake,
        words: Words,
        now: Timestamp,
    ) {
        let inside = Flow { side: Side::Inside, near: ends.0, remote: flow.remote };
        let next = handshake.inside_isn + 1;
        let shift = handshake.own_isn.0.wrapping_sub(words.sequence.0);
        self.handshakes.enter(ends, Phase::Joined(shift));
        let acknowledgment = Words {
            flags: TcpFlags::ACK,
            sequence: next,
            acknowledgment: words.sequence + 1,
            window: words.window,
        };
        self.say_outside(&inside, acknowledgment, None, now);
        let update =
            Words { sequence: handshake.own_isn + 1, acknowledgment: next, ..acknowledgment };
        self.say_inside(&inside, update, None);
    }

    /// Sends the inside host a segment in the remote endpoint's name.
    fn say_inside(&mut self, flow: &Flow, words: Words, mss: Option<u16>) {
        let (source, destination) = (flow.remote, flow.near);
        self.answers.segment(Side::Inside, &words.between(source, destination), mss);
    }

    /// Sends the remote endpoint a segment in the inside host's name, through this very box.
    fn say_outside(&mut self, flow: &Flow, words: Words, mss: Option<u16>, now: Timestamp) -> bool {
        let option = mss.map(u16::to_be_bytes).map(|[high, low]| [2, 4, high, low]);
        let options = option.as_ref().map_or(&[][..], |option| option);
        let mut bytes = [0; MAX_LEN];
        let Ok(length) = words.between(flow.near, flow.remote).emit(options, &[], &mut bytes)
        else {
            return false;
        };
        let passed = self.pass(Side::Inside, &mut bytes[..length], now) == Verdict::Forward;
        if passed {
            self.stats.forwarded -= 1;
            self.answers.packet(Side::Outside, &bytes[..length]);
        }
        passed
    }
}

impl Words {
    const fn between(self, source: Endpoint, destination: Endpoint) -> TcpBuilder {
        TcpBuilder {
            source: source.to_socket_addr(),
            destination: destination.to_socket_addr(),
            ttl: Ttl::DEFAULT,
            sequence: self.sequence,
            acknowledgment: self.acknowledgment,
            flags: self.flags,
            window: self.window,
        }
    }
}

/// The MSS that a SYN announces.
fn mss(segment: &TcpSegment<'_>) -> u16 {
    let announced = SynOptions::parse(segment.options).ok().and_then(|options| options.mss);
    announced.unwrap_or(DEFAULT_MSS)
}
