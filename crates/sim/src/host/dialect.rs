//! How a connection reads on the wire, where that differs from what smoltcp writes.
//!
//! Smoltcp knows one initial sequence number, no scaling of windows below 64 KiB, and a clock for
//! timestamps that is the same for all sockets. The wire has what the SYN said.

use simopen_packet::{
    Packet, SeqNumber, SynOptions, TcpBuilder, TcpFlags, TcpSegment, Timestamp, Timestamps, Ttl,
    option_kind,
};
use std::net::SocketAddr;

/// Milliseconds, as Linux counts timestamps since 4.13.
const TICK_NANOS: u64 = 1_000_000;

/// How a connection reads on the wire, and how far it has come there.
#[derive(Clone, Debug)]
pub(super) struct Dialect {
    /// What the wire's sequence numbers are ahead of smoltcp's.
    ahead: u32,
    /// Whether the options leave as smoltcp writes them.
    verbatim: bool,
    /// The shift that the own windows are divided by.
    pub(super) window_scale: u8,
    /// Whether both sides said that they know selective acknowledgments.
    pub(super) sack: bool,
    /// The timestamps of both sides, where agreed.
    pub(super) timestamps: Option<Clock>,
    /// The next sequence number to send.
    pub(super) next: SeqNumber,
    /// The first one that is not acknowledged.
    pub(super) unacknowledged: SeqNumber,
    /// The last acknowledgment that was sent: all that came before it has been taken.
    pub(super) taken: SeqNumber,
    /// The last window that was sent, as it stood in the header.
    pub(super) window: u16,
}

/// The timestamps of both sides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// What the own clock is ahead of the world's, in milliseconds.
    ahead: u32,
    /// The latest value of the other side, which is echoed.
    pub(super) recent: u32,
}

impl Clock {
    /// A clock that shows `value` at `now`.
    pub(super) const fn showing(value: u32, now: Timestamp, recent: u32) -> Self {
        Self { ahead: value.wrapping_sub(ticks(now)), recent }
    }

    /// The same clock beside another value of the other side.
    pub(super) const fn echoing(self, recent: u32) -> Self {
        Self { recent, ..self }
    }

    /// What the clock shows.
    pub(super) const fn at(self, now: Timestamp) -> u32 {
        self.ahead.wrapping_add(ticks(now))
    }

    pub(super) const fn option(self, now: Timestamp) -> Timestamps {
        Timestamps { value: self.at(now), echo: self.recent }
    }
}

const fn ticks(now: Timestamp) -> u32 {
    (now.as_nanos() / TICK_NANOS) as u32
}

impl Dialect {
    /// A connection that reads as smoltcp writes it.
    pub(super) fn verbatim() -> Self {
        Self {
            ahead: 0,
            verbatim: true,
            window_scale: 0,
            sack: false,
            timestamps: None,
            next: SeqNumber(0),
            unacknowledged: SeqNumber(0),
            taken: SeqNumber(0),
            window: 0,
        }
    }

    /// A connection of Linux, whose first sequence number is `initial` on the wire and `inner` in
    /// smoltcp.
    pub(super) fn linux(initial: SeqNumber, inner: SeqNumber, clock: Option<Clock>) -> Self {
        Self {
            ahead: initial.distance_from(inner),
            verbatim: false,
            timestamps: clock,
            next: initial + 1,
            unacknowledged: initial,
            ..Self::verbatim()
        }
    }

    /// What the wire calls a sequence number of smoltcp.
    pub(super) fn outer(&self, inner: SeqNumber) -> SeqNumber {
        inner + self.ahead
    }

    /// What smoltcp calls a sequence number of the wire.
    pub(super) fn inner(&self, wire: SeqNumber) -> SeqNumber {
        wire - self.ahead
    }

    /// Writes a segment of smoltcp as it reads on the wire; returns its length.
    pub(super) fn write(
        &mut self,
        packet: &Packet<'_>,
        segment: &TcpSegment<'_>,
        ttl: Ttl,
        now: Timestamp,
        into: &mut [u8],
    ) -> Option<usize> {
        let header = TcpBuilder {
            source: packet.source_endpoint()?,
            destination: packet.destination_endpoint()?,
            ttl,
            sequence: self.outer(segment.sequence),
            acknowledgment: segment.acknowledgment,
            flags: segment.flags,
            window: segment.window >> self.window_scale,
        };
        self.next = self.next.max(header.sequence + segment.segment_len());
        if segment.flags.contains(TcpFlags::ACK) {
            self.taken = header.acknowledgment;
        }
        self.window = header.window;
        if self.verbatim {
            return header.emit(segment.options, segment.payload, into).ok();
        }
        let mut options = [0; 40];
        let length = self.options(segment.options, now, &mut options);
        header.emit(&options[..length], segment.payload, into).ok()
    }

    /// Writes an acknowledgment that carries nothing else.
    pub(super) fn acknowledge(
        &self,
        [local, remote]: [SocketAddr; 2],
        ttl: Ttl,
        now: Timestamp,
        into: &mut [u8],
    ) -> Option<usize> {
        let header = TcpBuilder {
            source: local,
            destination: remote,
            ttl,
            sequence: self.next,
            acknowledgment: self.taken,
            flags: TcpFlags::ACK,
            window: self.window,
        };
        let mut options = [0; 40];
        let length = self.options(&[], now, &mut options);
        header.emit(&options[..length], &[], into).ok()
    }

    /// The options of a segment that is no SYN, laid out as Linux does: timestamps, then blocks.
    fn options(&self, inner: &[u8], now: Timestamp, into: &mut [u8; 40]) -> usize {
        let mut at = 0;
        if let Some(clock) = self.timestamps {
            let option = SynOptions::new(None, None, false, Some(clock.option(now)));
            at = option.emit(into).unwrap_or(0);
        }
        let read = SynOptions::parse(inner).unwrap_or_default();
        let blocks = read.unknown().find(|(kind, _)| *kind == SACK);
        if let Some((_, blocks)) = blocks.filter(|_| self.sack) {
            let end = at + 4 + blocks.len();
            if let Some(room) = into.get_mut(at..end) {
                let no_operation = option_kind::NO_OPERATION;
                let length = blocks.len() as u8 + 2;
                room[..4].copy_from_slice(&[no_operation, no_operation, SACK, length]);
                room[4..].copy_from_slice(blocks);
                at = end;
            }
        }
        at
    }
}

/// Selective acknowledgment (RFC 2018 §3).
const SACK: u8 = 5;
