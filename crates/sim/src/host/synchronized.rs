//! What Linux does with a segment for an open connection before its data are looked at.
//!
//! RFC 9293 §3.10.7.4 with the challenges of RFC 5961 and the timestamps of RFC 7323 §5. Smoltcp
//! then gets only segments that it takes.

use simopen_packet::{Packet, SeqNumber, SynOptions, TcpFlags, TcpSegment, Timestamps};
use simopen_traversal::DialOutcome;

use super::connection::{Connection, Turn};
use super::engine::Edit;
use super::handshake::reset;

impl Connection {
    /// A segment came for a connection that is open.
    pub(super) fn handle_synchronized(
        &mut self,
        bytes: &[u8],
        packet: &Packet<'_>,
        segment: &TcpSegment<'_>,
        turn: &mut Turn<'_>,
    ) {
        if self.is_in_time_wait() {
            return self.handle_in_time_wait(segment, turn);
        }
        if !self.is_acceptable(segment, turn) {
            return;
        }
        let flags = segment.flags;
        if flags.contains(TcpFlags::RST) {
            // RFC 5961 §3.2: only an exact one is believed.
            if segment.sequence == self.dialect.taken {
                return self.fail(DialOutcome::LocalError, turn);
            }
            return self.challenge(turn);
        }
        if flags.contains(TcpFlags::SYN) {
            return self.challenge(turn);
        }
        if !flags.contains(TcpFlags::ACK) {
            return;
        }
        if self.dialect.next.precedes(segment.acknowledgment) {
            return self.challenge(turn);
        }
        let end = segment.sequence + segment.segment_len();
        if self.is_dropped()
            && !segment.payload.is_empty()
            && (self.dialect.taken + 1)
                .at_or_precedes(segment.sequence + segment.payload.len() as u32)
        {
            reset(packet, turn);
            return self.forget();
        }
        let new = self.dialect.unacknowledged.precedes(segment.acknowledgment);
        if new || self.dialect.unacknowledged == segment.acknowledgment {
            self.peer_window = segment.window;
            self.echo(segment);
        }
        if new {
            self.dialect.unacknowledged = segment.acknowledgment;
            self.trip.acknowledged(segment.acknowledgment, turn.now);
            self.rearm(turn.now);
        }
        // Smoltcp drops data beside an acknowledgment that is old; Linux takes them.
        let acknowledgment = self.dialect.unacknowledged;
        let inner = self.dialect.inner(acknowledgment);
        let mut edit = Edit {
            acknowledgment: (inner != segment.acknowledgment).then_some(inner),
            ..Edit::default()
        };
        if segment.segment_len() > 0 && end.at_or_precedes(self.dialect.taken) {
            // Smoltcp would answer without reading the acknowledgment.
            self.acknowledge_twice(Some([segment.sequence, end]), turn);
            edit.sequence = Some(self.dialect.taken);
            edit.flags = Some(TcpFlags::ACK);
            return self.process(&bytes[..bytes.len() - segment.payload.len()], packet, edit, turn);
        }
        self.process(bytes, packet, edit, turn);
    }

    /// All that is left of a connection is to acknowledge the other side's FIN once more.
    fn handle_in_time_wait(&mut self, segment: &TcpSegment<'_>, turn: &mut Turn<'_>) {
        if segment.flags.contains(TcpFlags::RST) {
            if segment.sequence == self.dialect.taken {
                self.fail(DialOutcome::LocalError, turn);
            }
        } else if segment.segment_len() > 0 || segment.sequence != self.dialect.taken {
            self.challenge(turn);
        }
    }

    /// Whether timestamp and sequence number are those of the present; answers if they are not.
    fn is_acceptable(&mut self, segment: &TcpSegment<'_>, turn: &mut Turn<'_>) -> bool {
        let reset = segment.flags.contains(TcpFlags::RST);
        if self.is_old(segment) && !reset {
            self.answer_unacceptable(segment, turn);
            return false;
        }
        let end = segment.sequence + segment.segment_len();
        let taken = self.dialect.taken;
        let edge = taken + (u32::from(self.dialect.window) << self.dialect.window_scale);
        if end.precedes(taken) || edge.precedes(segment.sequence) {
            if !reset {
                self.answer_unacceptable(segment, turn);
            }
            return false;
        }
        true
    }

    /// RFC 9293 §3.10.7.4: an acknowledgment, which names what came twice (RFC 2883 §4). Data are
    /// always answered, anything else at most twice a second.
    pub(super) fn answer_unacceptable(&mut self, segment: &TcpSegment<'_>, turn: &mut Turn<'_>) {
        if segment.flags.contains(TcpFlags::SYN) || segment.segment_len() == 0 {
            return self.challenge(turn);
        }
        let end = segment.sequence + segment.segment_len();
        let twice = segment.sequence.precedes(self.dialect.taken).then(|| {
            let taken = self.dialect.taken;
            [segment.sequence, if end.precedes(taken) { end } else { taken }]
        });
        self.acknowledge_twice(twice, turn);
    }

    /// RFC 7323 §5.2: whether the segment is older than what came before it.
    fn is_old(&self, segment: &TcpSegment<'_>) -> bool {
        self.dialect.timestamps.zip(timestamps(segment.options)).is_some_and(|(clock, theirs)| {
            clock.recent.is_some_and(|recent| SeqNumber(theirs.value).precedes(SeqNumber(recent)))
        })
    }

    /// RFC 7323 §4.3: the timestamp to echo is that of the latest segment in order.
    pub(super) fn echo(&mut self, segment: &TcpSegment<'_>) {
        if let Some(clock) = &mut self.dialect.timestamps
            && segment.sequence.at_or_precedes(self.dialect.taken)
            && let Some(theirs) = timestamps(segment.options)
        {
            clock.recent = Some(theirs.value);
        }
    }
}

/// The timestamps of a segment: nearly always they stand where RFC 7323 appendix A wants them.
pub(super) fn timestamps(options: &[u8]) -> Option<Timestamps> {
    if let [1, 1, 8, 10, v0, v1, v2, v3, e0, e1, e2, e3, ..] = *options {
        return Some(Timestamps {
            value: u32::from_be_bytes([v0, v1, v2, v3]),
            echo: u32::from_be_bytes([e0, e1, e2, e3]),
        });
    }
    SynOptions::parse(options).ok()?.timestamps
}
