//! Smoltcp, fed one packet for one socket at a time.
//!
//! Each connection has a socket set of its own, so that a packet is offered to one socket only
//! and a poll looks at one socket only; the host finds it. Checksums are left to the host: it
//! verifies what comes in and writes each packet that leaves anew.

use simopen_packet::{SeqNumber, TcpFlags, Timestamp};
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::HardwareAddress;

/// Largest packet, in bytes.
pub(super) const MTU: usize = 1500;

/// The interface that all sockets of a host share, and room for one packet.
pub(super) struct Engine {
    pub(super) interface: Interface,
    scratch: Vec<u8>,
    edited: Vec<u8>,
}

/// What is changed in a segment before smoltcp reads it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Edit {
    pub(super) sequence: Option<SeqNumber>,
    pub(super) acknowledgment: Option<SeqNumber>,
    pub(super) flags: Option<TcpFlags>,
    pub(super) window: Option<u16>,
}

impl Edit {
    /// Whether nothing is changed.
    const fn is_none(self) -> bool {
        self.sequence.is_none()
            && self.acknowledgment.is_none()
            && self.flags.is_none()
            && self.window.is_none()
    }

    /// Changes the fixed part of a TCP header. Nobody looks at the checksum afterwards.
    fn apply(self, header: &mut [u8; 20]) {
        if let Some(SeqNumber(sequence)) = self.sequence {
            header[4..8].copy_from_slice(&sequence.to_be_bytes());
        }
        if let Some(SeqNumber(acknowledgment)) = self.acknowledgment {
            header[8..12].copy_from_slice(&acknowledgment.to_be_bytes());
        }
        if let Some(TcpFlags(flags)) = self.flags {
            header[13] = flags;
        }
        if let Some(window) = self.window {
            header[14..16].copy_from_slice(&window.to_be_bytes());
        }
    }
}

impl Engine {
    pub(super) fn new(seed: u64, now: Timestamp) -> Self {
        let mut scratch = Vec::with_capacity(MTU);
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut wire = Wire { inbound: None, outbound: &mut scratch };
        let mut interface = Interface::new(config, &mut wire, instant(now));
        // Which addresses the host has is the host's business: a socket whose address was taken
        // away falls silent and is not closed.
        interface.set_any_ip(true);
        Self { interface, scratch, edited: Vec::with_capacity(MTU) }
    }

    /// Gives the socket a packet whose IP header is so long; what it answers at once, if anything.
    pub(super) fn feed(
        &mut self,
        sockets: &mut SocketSet<'static>,
        packet: &[u8],
        header: u16,
        edit: Edit,
        now: Timestamp,
    ) -> Option<&[u8]> {
        let packet = if edit.is_none() {
            packet
        } else {
            self.edited.clear();
            self.edited.extend_from_slice(packet);
            let segment = self.edited.get_mut(usize::from(header)..)?;
            edit.apply(segment.first_chunk_mut()?);
            &self.edited
        };
        self.scratch.clear();
        let mut wire = Wire { inbound: Some(packet), outbound: &mut self.scratch };
        self.interface.poll_ingress_single(instant(now), &mut wire, sockets);
        self.written()
    }

    /// The next packet that the socket wants to send, if any.
    pub(super) fn draw(
        &mut self,
        sockets: &mut SocketSet<'static>,
        now: Timestamp,
    ) -> Option<&[u8]> {
        self.scratch.clear();
        let mut wire = Wire { inbound: None, outbound: &mut self.scratch };
        self.interface.poll_egress(instant(now), &mut wire, sockets);
        self.written()
    }

    /// When the socket wants to be drawn from.
    pub(super) fn due(
        &mut self,
        sockets: &SocketSet<'static>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let due = self.interface.poll_at(instant(now), sockets)?;
        let micros = u64::try_from(due.total_micros()).unwrap_or(0);
        Some(Timestamp::from_nanos(micros.saturating_mul(1_000)).max(now))
    }

    fn written(&self) -> Option<&[u8]> {
        (!self.scratch.is_empty()).then_some(&*self.scratch)
    }
}

/// Smoltcp counts microseconds.
pub(super) fn instant(now: Timestamp) -> Instant {
    Instant::from_micros(i64::try_from(now.as_nanos() / 1_000).unwrap_or(i64::MAX))
}

/// One packet in, one packet out.
struct Wire<'a> {
    inbound: Option<&'a [u8]>,
    outbound: &'a mut Vec<u8>,
}

struct Arriving<'a>(&'a [u8]);

struct Leaving<'a>(&'a mut Vec<u8>);

impl Device for Wire<'_> {
    type RxToken<'b>
        = Arriving<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = Leaving<'b>
    where
        Self: 'b;

    fn receive(&mut self, _: Instant) -> Option<(Arriving<'_>, Leaving<'_>)> {
        Some((Arriving(self.inbound.take()?), Leaving(self.outbound)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Leaving<'_>> {
        Some(Leaving(self.outbound))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU;
        capabilities.checksum = ChecksumCapabilities::ignored();
        capabilities
    }
}

impl RxToken for Arriving<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

impl TxToken for Leaving<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        self.0.clear();
        self.0.resize(len, 0);
        write(self.0)
    }
}
