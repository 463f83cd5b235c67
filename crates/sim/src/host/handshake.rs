//! What Linux does until a connection is open, where smoltcp does otherwise.
//!
//! While this lasts smoltcp is fed, and drawn from by the shim alone: what leaves is the SYN or
//! SYN-ACK that is kept here, at the times of Linux. The facts are those of Linux 6.18 with 250
//! ticks a second.

use std::time::Duration;

use simopen_packet::{
    MAX_SYN_LEN, Packet, SeqNumber, Syn, SynAck, SynOptions, TcpFlags, TcpSegment, Timestamp,
    reset_answering,
};
use simopen_traversal::DialOutcome;

use super::HostEvent;
use super::connection::{Connection, Origin, Turn};
use super::dialect::{Clock, Dialect};
use super::engine::Edit;
use super::synchronized::timestamps;

/// The shift count that Linux takes from the default `tcp_rmem` of 32 MiB.
pub(crate) const WINDOW_SCALE: u8 = 10;
/// 44 segments of 1460 bytes, 45 of 1440.
const SYN_WINDOW: [u16; 2] = [64_240, 64_800];
/// 45 segments of 1448 bytes, of 1428.
const SYN_ACK_WINDOW: [u16; 2] = [65_160, 64_260];
/// The least segments that a peer may ask for: MTU less the headers.
const MSS: [u16; 2] = [1460, 1440];

/// How long Linux waits after each SYN, in milliseconds: 1 s four times
/// (`tcp_syn_linear_timeouts`) and once more, then doubled (`tcp_syn_retries` 6), each rounded up
/// to the grain of the kernel's timers, which is coarser the longer the time.
const AFTER_SYN: [u64; 11] =
    [1_024, 1_024, 1_024, 1_024, 1_024, 2_016, 4_096, 8_192, 16_128, 32_768, 65_536];
/// The same after each SYN-ACK (`tcp_synack_retries` 5).
const AFTER_SYN_ACK: [u64; 6] = [1_024, 2_016, 4_096, 8_192, 16_128, 32_768];
/// How soon Linux repeats its first SYN when an answer acknowledges something else: two ticks.
const AFTER_NONSENSE: Duration = Duration::from_millis(8);
/// How often Linux answers to one connection what it calls out of window
/// (`tcp_invalid_ratelimit`).
pub(super) const OUT_OF_WINDOW: Duration = Duration::from_millis(500);

/// An opening that is not complete.
pub(super) struct Handshake {
    /// The own SYN, or the one that is answered with.
    own: Syn,
    stage: Stage,
    /// How often what leaves in this stage has left, or was due.
    sent: usize,
    /// The own clock, which speaks until the other side is known to have none.
    clock: Clock,
    /// What it showed with the first SYN or SYN-ACK, and with the last.
    first_value: u32,
    last_value: u32,
    due: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// SYN-SENT.
    Dialling,
    /// SYN-RECEIVED after a SYN that crossed the own.
    Crossed(Syn),
    /// SYN-RECEIVED after a SYN that came to a listener.
    Answering(Syn),
}

impl Handshake {
    /// The own initial sequence number.
    pub(super) const fn sequence(&self) -> SeqNumber {
        self.own.sequence
    }

    pub(super) const fn due(&self) -> Timestamp {
        self.due
    }

    /// How long to wait after each time that something was sent in this stage.
    const fn patience(&self) -> &'static [u64] {
        match self.stage {
            Stage::Dialling => &AFTER_SYN,
            Stage::Crossed(_) | Stage::Answering(_) => &AFTER_SYN_ACK,
        }
    }
}

impl Connection {
    /// Sends the first SYN as Linux does.
    pub(super) fn dial_as_linux(&mut self, chance: u32, turn: &mut Turn<'_>) {
        let drawn = self.draw(turn.engine, turn.now).and_then(|packet| Syn::parse(packet).ok());
        let Some(Syn { sequence, .. }) = drawn else {
            return self.fail(DialOutcome::LocalError, turn);
        };
        let clock = Clock::showing(chance, turn.now);
        self.dialect = Dialect::linux(sequence, sequence, Some(clock));
        self.begin(Stage::Dialling, sequence, clock, turn);
    }

    /// Answers a SYN that came to a listener as Linux does.
    pub(super) fn answer_as_linux(
        &mut self,
        syn: &Syn,
        bytes: &[u8],
        chance: u32,
        turn: &mut Turn<'_>,
    ) {
        self.expect_syn();
        self.feed(turn.engine, bytes, turn.now);
        let drawn = self.draw(turn.engine, turn.now);
        let Some(SynAck { sequence, .. }) = drawn.and_then(|packet| SynAck::parse(packet).ok())
        else {
            return self.fail(DialOutcome::LocalError, turn);
        };
        let clock = Clock::showing(chance, turn.now);
        self.dialect = Dialect::linux(sequence, sequence, Some(clock));
        self.hear(syn, Agreement::Listener);
        self.begin(Stage::Answering(*syn), sequence, clock, turn);
    }

    fn begin(&mut self, stage: Stage, sequence: SeqNumber, clock: Clock, turn: &mut Turn<'_>) {
        let family = usize::from(self.local.is_ipv6());
        let window = match stage {
            Stage::Answering(_) => SYN_ACK_WINDOW[family],
            Stage::Dialling | Stage::Crossed(_) => SYN_WINDOW[family],
        };
        let own = Syn {
            source: self.local,
            destination: self.remote,
            sequence,
            window,
            ttl: self.ttl,
            ecn_setup: false,
            options: SynOptions::new(
                Some(MSS[family]),
                Some(WINDOW_SCALE),
                true,
                Some(clock.option(turn.now)),
            ),
        };
        self.said[0] = Some((sequence, own.options));
        self.handshake = Some(Handshake {
            own,
            stage,
            sent: 0,
            clock,
            first_value: clock.at(turn.now),
            last_value: clock.at(turn.now),
            due: turn.now,
        });
        self.trip.sent(sequence + 1, turn.now);
        self.send_opening(turn);
        self.advance(turn);
    }

    /// The time of the SYN or SYN-ACK has come.
    pub(super) fn repeat_opening(&mut self, turn: &mut Turn<'_>) {
        let Some(handshake) = &self.handshake else {
            return;
        };
        if turn.now < handshake.due {
            return;
        }
        if handshake.sent >= handshake.patience().len() {
            return self.fail(DialOutcome::TimedOut, turn);
        }
        self.trip.repeated();
        self.send_opening(turn);
    }

    /// Sends the SYN or SYN-ACK once more; its turn comes again later.
    fn send_opening(&mut self, turn: &mut Turn<'_>) {
        let Some(handshake) = &mut self.handshake else {
            return;
        };
        let patience = handshake.patience().get(handshake.sent).copied().unwrap_or_default();
        handshake.due = turn.now + Duration::from_millis(patience);
        handshake.sent += 1;
        self.write_opening(turn);
    }

    /// Sends the SYN or SYN-ACK, whatever its turn.
    fn write_opening(&mut self, turn: &mut Turn<'_>) {
        if let Some(handshake) = &mut self.handshake {
            handshake.last_value = handshake.clock.at(turn.now);
        }
        let Some(handshake) = &self.handshake else {
            return;
        };
        let clock = self.dialect.timestamps;
        let [of_syns, of_others] = self.ttls();
        let ttl = match handshake.stage {
            Stage::Dialling => of_syns,
            Stage::Crossed(_) | Stage::Answering(_) => of_others,
        };
        let mut own = Syn { ttl, ..handshake.own };
        own.options.timestamps = Some(clock.unwrap_or(handshake.clock).option(turn.now));
        let mut packet = [0; MAX_SYN_LEN];
        let written = match handshake.stage {
            Stage::Dialling => own.emit(&mut packet),
            Stage::Crossed(answered) => answer(&own, &answered, own.options).emit(&mut packet),
            Stage::Answering(answered) => {
                let offered = &answered.options;
                let options = SynOptions::new(
                    own.options.mss,
                    own.options.window_scale.filter(|_| offered.window_scale.is_some()),
                    offered.sack_permitted,
                    clock.map(|clock| clock.option(turn.now)),
                );
                answer(&own, &answered, options).emit(&mut packet)
            }
        };
        let Ok(length) = written else {
            return;
        };
        let packet = &packet[..length];
        let dialling = handshake.stage == Stage::Dialling;
        if dialling && matches!(self.origin, Origin::Dialled { watched: true, .. }) {
            let packet = packet.to_vec();
            turn.events.push_back(HostEvent::SynSent { socket: self.id, packet });
        }
        turn.outbox.copy(packet);
    }

    /// Takes over what a SYN or SYN-ACK of the other side says.
    fn hear(&mut self, syn: &Syn, agreement: Agreement) {
        let options = &syn.options;
        let offered = options.window_scale.is_some();
        self.dialect.window_scale = match agreement {
            // Linux goes on scaling after a crossed SYN without the option.
            Agreement::Crossed => WINDOW_SCALE,
            Agreement::Answer | Agreement::Listener if offered => WINDOW_SCALE,
            Agreement::Answer | Agreement::Listener => 0,
        };
        self.dialect.sack = options.sack_permitted;
        self.dialect.taken = syn.sequence + 1;
        self.dialect.window = SYN_WINDOW[0] >> self.dialect.window_scale;
        let clock = self.dialect.timestamps;
        self.dialect.timestamps =
            clock.zip(options.timestamps).map(|(clock, theirs)| clock.echoing(theirs.value));
        self.said[1] = Some((syn.sequence, syn.options));
    }

    /// A segment came before the connection was open.
    pub(super) fn handle_opening(
        &mut self,
        bytes: &[u8],
        packet: &Packet<'_>,
        segment: &TcpSegment<'_>,
        turn: &mut Turn<'_>,
    ) {
        let Some(handshake) = &self.handshake else {
            return;
        };
        match handshake.stage {
            Stage::Dialling => self.handle_in_syn_sent(bytes, packet, segment, turn),
            Stage::Crossed(theirs) => self.handle_crossed(bytes, packet, &theirs, segment, turn),
            Stage::Answering(theirs) => {
                self.handle_answering(bytes, packet, &theirs, segment, turn);
            }
        }
    }

    /// RFC 9293 §3.10.7.3, as Linux does it.
    fn handle_in_syn_sent(
        &mut self,
        bytes: &[u8],
        packet: &Packet<'_>,
        segment: &TcpSegment<'_>,
        turn: &mut Turn<'_>,
    ) {
        let Some(handshake) = &mut self.handshake else {
            return;
        };
        let flags = segment.flags;
        if !flags.contains(TcpFlags::ACK) {
            if flags.is_bare_syn() && !flags.contains(TcpFlags::FIN) {
                self.cross(bytes, packet, turn);
            }
            return;
        }
        if segment.acknowledgment != handshake.own.sequence + 1 {
            if handshake.sent == 1 {
                handshake.due = handshake.due.min(turn.now + AFTER_NONSENSE);
            }
            reset(packet, turn);
            return self.advance(turn);
        }
        let first = handshake.first_value;
        if let Some(clock) = self.dialect.timestamps
            && let Ok(options) = SynOptions::parse(segment.options)
            && let Some(theirs) = options.timestamps
            && theirs.echo != 0
            && theirs.echo.wrapping_sub(first) > clock.at(turn.now).wrapping_sub(first)
        {
            return reset(packet, turn);
        }
        if flags.contains(TcpFlags::RST) {
            return self.fail(DialOutcome::Refused, turn);
        }
        let Ok(answer) = SynAck::from_packet(packet) else {
            return;
        };
        self.hear(&as_syn(&answer), Agreement::Answer);
        self.complete(bytes, packet, segment, Edit::default(), turn);
    }

    /// A SYN crossed the own (RFC 9293 §3.5).
    fn cross(&mut self, bytes: &[u8], packet: &Packet<'_>, turn: &mut Turn<'_>) {
        let Ok(theirs) = Syn::from_packet(packet) else {
            return;
        };
        self.feed(turn.engine, bytes, turn.now);
        // Smoltcp's own SYN-ACK, for which this one stands.
        self.draw(turn.engine, turn.now);
        self.hear(&theirs, Agreement::Crossed);
        if let Some(handshake) = &mut self.handshake {
            handshake.stage = Stage::Crossed(theirs);
            handshake.sent = 1;
        }
        self.write_opening(turn);
        self.advance(turn);
    }

    /// SYN-RECEIVED after crossed SYNs: the SYN-ACK of the other side completes the connection
    /// (Linux since 6.12; smoltcp wants a plain ACK), another SYN is challenged.
    fn handle_crossed(
        &mut self,
        bytes: &[u8],
        packet: &Packet<'_>,
        theirs: &Syn,
        segment: &TcpSegment<'_>,
        turn: &mut Turn<'_>,
    ) {
        let flags = segment.flags;
        let expected = theirs.sequence + 1;
        if flags.contains(TcpFlags::RST) {
            if segment.sequence != expected {
                return self.challenge(turn);
            }
            // ECONNRESET, where the first RST in SYN-SENT gives ECONNREFUSED.
            return self.fail(DialOutcome::Refused, turn);
        }
        let acknowledges = self.acknowledges_opening(segment);
        if flags.contains(TcpFlags::SYN) {
            if acknowledges && segment.sequence == theirs.sequence && segment.payload.is_empty() {
                let edit = Edit {
                    sequence: Some(expected),
                    flags: Some(TcpFlags::ACK),
                    window: Some(
                        segment.window >> theirs.options.window_scale.unwrap_or(0).min(14),
                    ),
                    ..Edit::default()
                };
                self.complete(bytes, packet, segment, edit, turn);
                // To Linux the SYN has come twice.
                self.acknowledge_twice(Some([theirs.sequence, expected]), turn);
            } else {
                self.challenge(turn);
            }
            return;
        }
        self.take_acknowledgment(bytes, packet, segment, acknowledges, turn);
    }

    /// SYN-RECEIVED at a listener.
    fn handle_answering(
        &mut self,
        bytes: &[u8],
        packet: &Packet<'_>,
        theirs: &Syn,
        segment: &TcpSegment<'_>,
        turn: &mut Turn<'_>,
    ) {
        let flags = segment.flags;
        if flags.is_bare_syn() && segment.sequence == theirs.sequence {
            if self.may_answer(turn.now) {
                self.trip.repeated();
                self.write_opening(turn);
            }
            return;
        }
        let acknowledges = self.acknowledges_opening(segment);
        if flags.contains(TcpFlags::ACK) && !acknowledges {
            return reset(packet, turn);
        }
        let (start, end) = (segment.sequence, segment.sequence + segment.segment_len());
        let expected = theirs.sequence + 1;
        let edge = expected + u32::from(SYN_ACK_WINDOW[0]);
        let within = start == expected || (expected.precedes(end) && start.precedes(edge));
        if !within || self.echoes_what_was_never_sent(segment) {
            if !flags.contains(TcpFlags::RST) {
                self.answer_unacceptable(segment, turn);
            }
            return;
        }
        if flags.contains(TcpFlags::RST) && start != expected {
            return self.challenge(turn);
        }
        if flags.contains(TcpFlags::RST) || flags.contains(TcpFlags::SYN) {
            reset(packet, turn);
            return self.fail(DialOutcome::Refused, turn);
        }
        self.take_acknowledgment(bytes, packet, segment, acknowledges, turn);
    }

    /// Whether the echoed timestamp is none that a SYN-ACK had (Linux since 6.15).
    fn echoes_what_was_never_sent(&self, segment: &TcpSegment<'_>) -> bool {
        let (Some(handshake), Some(_)) = (&self.handshake, self.dialect.timestamps) else {
            return false;
        };
        let (first, last) = (handshake.first_value, handshake.last_value);
        timestamps(segment.options).is_some_and(|theirs| {
            theirs.echo != 0 && theirs.echo.wrapping_sub(first) > last.wrapping_sub(first)
        })
    }

    /// Whether a segment acknowledges the own SYN.
    fn acknowledges_opening(&self, segment: &TcpSegment<'_>) -> bool {
        segment.flags.contains(TcpFlags::ACK)
            && self
                .handshake
                .as_ref()
                .is_some_and(|handshake| segment.acknowledgment == handshake.own.sequence + 1)
    }

    fn take_acknowledgment(
        &mut self,
        bytes: &[u8],
        packet: &Packet<'_>,
        segment: &TcpSegment<'_>,
        acknowledges: bool,
        turn: &mut Turn<'_>,
    ) {
        if !segment.flags.contains(TcpFlags::ACK) {
            return;
        }
        if !acknowledges {
            return reset(packet, turn);
        }
        self.complete(bytes, packet, segment, Edit::default(), turn);
    }

    /// The other side has acknowledged the own SYN: smoltcp takes over, if it agrees.
    fn complete(
        &mut self,
        bytes: &[u8],
        packet: &Packet<'_>,
        segment: &TcpSegment<'_>,
        edit: Edit,
        turn: &mut Turn<'_>,
    ) {
        self.handshake = None;
        self.trip.acknowledged(segment.acknowledgment, turn.now);
        self.dialect.unacknowledged = segment.acknowledgment;
        self.peer_window = edit.window.unwrap_or(segment.window);
        self.echo(segment);
        self.process(bytes, packet, edit, turn);
    }

    /// Answers with an acknowledgment, unless it did so just now.
    pub(super) fn challenge(&mut self, turn: &mut Turn<'_>) {
        if self.may_answer(turn.now) {
            self.acknowledge(turn);
        }
    }

    /// Whether Linux answers once more what it calls out of window.
    fn may_answer(&mut self, now: Timestamp) -> bool {
        let recently = self.answered_out_of_window.is_some_and(|then| now - then < OUT_OF_WINDOW);
        if !recently {
            self.answered_out_of_window = Some(now);
        }
        !recently
    }
}

/// How a SYN of the other side was met.
#[derive(Clone, Copy)]
enum Agreement {
    /// It answers the own one.
    Answer,
    /// It crossed the own one.
    Crossed,
    /// It came to a listener.
    Listener,
}

/// The SYN-ACK with which the sender of `own` answers.
fn answer(own: &Syn, answered: &Syn, options: SynOptions) -> SynAck {
    SynAck {
        source: own.source,
        destination: own.destination,
        sequence: own.sequence,
        acknowledgment: answered.sequence + 1,
        window: own.window,
        ttl: own.ttl,
        ece: false,
        options,
    }
}

/// What a SYN-ACK says beside that it is one.
pub(super) fn as_syn(answer: &SynAck) -> Syn {
    Syn {
        source: answer.source,
        destination: answer.destination,
        sequence: answer.sequence,
        window: answer.window,
        ttl: answer.ttl,
        ecn_setup: false,
        options: answer.options,
    }
}

/// Answers as a closed port does (RFC 9293 §3.10.7.1).
pub(super) fn reset(packet: &Packet<'_>, turn: &mut Turn<'_>) {
    turn.outbox.write(|into| reset_answering(packet, into));
}
