//! A connection through the box, numbered from zero on both sides.
//!
//! A box may translate endpoints and sequence numbers. The two ends of a connection here each use
//! the numbers that they would know, so that a measurement can speak of the first byte of data.

use std::net::SocketAddr;

use simopen_packet::TcpFlags;

use super::bench::Vantage;
use super::probe::{Arrival, Probe, SYN_ACK, Segment};

/// The initial sequence numbers that both ends choose.
const INSIDE_ISN: u32 = 0x1000_0000;
const REMOTE_ISN: u32 = 0x5000_0000;

/// A connection that was begun from inside.
#[derive(Debug, Clone, Copy)]
pub(super) struct Connection {
    pub(super) inside: SocketAddr,
    /// The inside endpoint as it is seen outside.
    pub(super) external: SocketAddr,
    pub(super) remote: SocketAddr,
    /// The inside end's initial sequence number as it is seen outside.
    inside_isn_outside: u32,
    /// The remote end's initial sequence number as it is seen inside.
    remote_isn_inside: u32,
    /// The box made the handshake inside by itself.
    is_proxied: bool,
}

impl Connection {
    /// A segment from inside; the numbers count from zero, which is the SYN.
    pub(super) const fn out(
        &self,
        flags: TcpFlags,
        sequence: u32,
        acknowledged: u32,
    ) -> Segment<'static> {
        Segment {
            source: self.inside,
            destination: self.remote,
            flags,
            sequence: INSIDE_ISN.wrapping_add(sequence),
            acknowledgment: self.remote_isn_inside.wrapping_add(acknowledged),
            options: &[],
            payload: 0,
        }
    }

    /// A segment from outside; the numbers count from zero, which is the SYN.
    pub(super) const fn back(
        &self,
        flags: TcpFlags,
        sequence: u32,
        acknowledged: u32,
    ) -> Segment<'static> {
        Segment {
            source: self.remote,
            destination: self.external,
            flags,
            sequence: REMOTE_ISN.wrapping_add(sequence),
            acknowledgment: self.inside_isn_outside.wrapping_add(acknowledged),
            options: &[],
            payload: 0,
        }
    }

    /// The SYN-ACK with which the remote end answers.
    pub(super) const fn syn_ack(&self) -> Segment<'static> {
        self.back(SYN_ACK, 0, 1)
    }

    /// The SYN as it is seen outside.
    pub(super) const fn syn_outside(&self) -> Segment<'static> {
        Segment::syn(self.external, self.remote, self.inside_isn_outside)
    }

    /// A SYN from the remote end, as in a simultaneous open.
    pub(super) const fn syn_back(&self) -> Segment<'static> {
        Segment::syn(self.remote, self.external, REMOTE_ISN)
    }

    /// Whether the box made the handshake inside by itself.
    pub(super) const fn is_proxied(&self) -> bool {
        self.is_proxied
    }

    /// By how much the inside end's numbers are another outside.
    pub(super) const fn shift_outside(&self) -> u32 {
        self.inside_isn_outside.wrapping_sub(INSIDE_ISN)
    }

    /// By how much the remote end's numbers are another inside.
    pub(super) const fn shift_inside(&self) -> u32 {
        self.remote_isn_inside.wrapping_sub(REMOTE_ISN)
    }
}

impl Probe<'_> {
    /// Dials from inside until a SYN comes out; `None` if none does.
    pub(super) fn open(&mut self, inside: SocketAddr, remote: SocketAddr) -> Option<Connection> {
        let arrivals = self.tell(&Segment::syn(inside, remote, INSIDE_ISN));
        let mut came: Vec<_> = arrivals.iter().filter_map(Arrival::segment).collect();
        let mut connection = Connection {
            inside,
            external: inside,
            remote,
            inside_isn_outside: INSIDE_ISN,
            remote_isn_inside: REMOTE_ISN,
            is_proxied: false,
        };
        let answer = came.iter().find(|segment| {
            segment.flags == SYN_ACK && segment.destination == inside && segment.source == remote
        });
        if let Some(answer) = answer {
            connection.is_proxied = true;
            connection.remote_isn_inside = answer.sequence;
            let arrivals = self.tell(&connection.out(TcpFlags::ACK, 1, 1));
            came = arrivals.iter().filter_map(Arrival::segment).collect();
        }
        let syn = came.iter().find(|segment| {
            segment.flags == TcpFlags::SYN && matches!(segment.at, Vantage::Outside(_))
        })?;
        connection.external = syn.source;
        connection.inside_isn_outside = syn.sequence;
        Some(connection)
    }

    /// Whether an answer of the remote end comes in: only while the box knows the connection.
    pub(super) fn is_answered(&mut self, connection: &Connection) -> bool {
        let came_in = self.passes(&connection.syn_ack());
        // A box that made the handshake inside keeps the SYN-ACK for itself.
        came_in || (connection.is_proxied && self.passes(&connection.back(TcpFlags::ACK, 1, 1)))
    }

    /// Dials and has the SYN-ACK come in.
    pub(super) fn answered(
        &mut self,
        inside: SocketAddr,
        remote: SocketAddr,
    ) -> Option<Connection> {
        let mut connection = self.open(inside, remote)?;
        if connection.is_proxied {
            // What comes of it stays between the box and the remote end.
            self.tell(&connection.syn_ack());
            return Some(connection);
        }
        connection.remote_isn_inside = self.pass(&connection.syn_ack())?.sequence;
        Some(connection)
    }

    /// Makes a whole handshake.
    pub(super) fn establish(
        &mut self,
        inside: SocketAddr,
        remote: SocketAddr,
    ) -> Option<Connection> {
        let connection = self.answered(inside, remote)?;
        if !connection.is_proxied {
            self.pass(&connection.out(TcpFlags::ACK, 1, 1))?;
        }
        Some(connection)
    }
}
