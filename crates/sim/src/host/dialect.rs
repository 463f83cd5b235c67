//! How a connection reads on the wire, where that differs from what smoltcp writes.
//!
//! Smoltcp knows one initial sequence number, no scaling of windows below 64 KiB, and a clock for
//! timestamps that is the same for all sockets. The wire has what the SYN said.

use simopen_packet::{
    Packet, SeqNumber, TcpBuilder, TcpFlags, TcpSegment, Timestamp, Timestamps, Ttl, option_kind,
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
    pub(super) recent: Option<u32>,
}

impl Clock {
    /// A clock that shows `value` at `now`.
    pub(super) const fn showing(value: u32, now: Timestamp) -> Self {
        Self { ahead: value.wrapping_sub(ticks(now)), recent: None }
    }

    /// The same clock beside a value of the other side.
    pub(super) const fn echoing(self, recent: u32) -> Self {
        Self { recent: Some(recent), ..self }
    }

    /// What the clock shows.
    pub(super) const fn at(self, now: Timestamp) -> u32 {
        self.ahead.wrapping_add(ticks(now))
    }

    pub(super) const fn option(self, now: Timestamp) -> Timestamps {
        let echo = match self.recent {
            Some(recent) => recent,
            None => 0,
        };
        Timestamps { value: self.at(now), echo }
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
            // Rounded up: a shift above 13 would turn a buffer that is empty into one that is full.
            window: segment.window.div_ceil(1 << self.window_scale),
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
        let length = self.options(blocks(segment.options), now, &mut options);
        header.emit(&options[..length], segment.payload, into).ok()
    }

    /// Writes an acknowledgment that carries nothing else but what came twice.
    pub(super) fn acknowledge(
        &self,
        [local, remote]: [SocketAddr; 2],
        ttl: Ttl,
        twice: Option<[SeqNumber; 2]>,
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
        let mut block = [0; 8];
        if let Some([start, end]) = twice {
            block[..4].copy_from_slice(&start.0.to_be_bytes());
            block[4..].copy_from_slice(&end.0.to_be_bytes());
        }
        let mut options = [0; 40];
        let blocks = if twice.is_some() { &block[..] } else { &[] };
        let length = self.options(blocks, now, &mut options);
        header.emit(&options[..length], &[], into).ok()
    }

    /// The options of a segment that is no SYN, laid out as Linux does: timestamps, then blocks
    /// that were taken out of order.
    fn options(&self, blocks: &[u8], now: Timestamp, into: &mut [u8; 40]) -> usize {
        let mut at = 0;
        if let Some(clock) = self.timestamps {
            let Timestamps { value, echo } = clock.option(now);
            into[..4].copy_from_slice(&[1, 1, option_kind::TIMESTAMPS, 10]);
            into[4..8].copy_from_slice(&value.to_be_bytes());
            into[8..12].copy_from_slice(&echo.to_be_bytes());
            at = 12;
        }
        let end = at + 4 + blocks.len();
        if let Some(room) = into.get_mut(at..end)
            && self.sack
            && !blocks.is_empty()
        {
            room[..4].copy_from_slice(&[1, 1, SACK, blocks.len() as u8 + 2]);
            room[4..].copy_from_slice(blocks);
            at = end;
        }
        at
    }
}

/// Selective acknowledgment (RFC 2018 §3).
const SACK: u8 = 5;

/// The blocks among the options of smoltcp.
fn blocks(options: &[u8]) -> &[u8] {
    // Smoltcp writes them first, or behind nothing.
    match *options {
        [SACK, length, ref rest @ ..] => {
            rest.get(..usize::from(length).saturating_sub(2)).unwrap_or(&[])
        }
        _ => &[],
    }
}
