//! Reading the packets of one port, above all the SYN that the kernel itself made.
//!
//! Two ways stand behind one trait. [`PacketSocketCapture`] looks on: the packets go their way
//! unchanged. [`TunRouteCapture`] stands in the way: it can lower the TTL of the SYN below the
//! dialling socket, and keeps ICMP errors away from that socket.

mod packet_socket;
mod stream;
mod tun_route;

use std::io;
use std::os::fd::{AsFd, AsRawFd};

pub use packet_socket::PacketSocketCapture;
pub use stream::CaptureStream;
pub use tun_route::{TunRouteCapture, TunRouteConfig};

/// A source of captured packets.
///
/// Its descriptor is readable when [`poll_packet`](Self::poll_packet) shall be called, until that
/// gives `None`.
///
/// ```no_run
/// use simopen_device::capture::{PacketSocketCapture, SynCapture};
/// use simopen_device::filter::{Scope, Selection};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let selection = Selection { local_port: 4000, remote: None, scope: Scope::OwnSyns };
/// // Before the dial, so that its first SYN is seen.
/// let mut capture = PacketSocketCapture::open(&selection, None)?;
/// let mut buffer = [0; 2048];
/// while let Some(captured) = capture.poll_packet(&mut buffer)? {
///     println!("{:?} {:?}", captured.direction, buffer.get(..captured.length));
/// }
/// # Ok(())
/// # }
/// ```
pub trait SynCapture: AsFd + AsRawFd + Send {
    /// Reads the next packet, from its IP header on, into `buffer`; `None` where there is none
    /// now. Never blocks.
    ///
    /// # Errors
    ///
    /// Fails where the interface is gone.
    fn poll_packet(&mut self, buffer: &mut [u8]) -> io::Result<Option<CapturedPacket>>;
}

/// What is known of a captured packet besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapturedPacket {
    /// Bytes in the buffer.
    pub length: usize,
    /// Which way it went.
    pub direction: Direction,
}

/// Which way a packet went, seen from this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// This host sent it.
    Outgoing,
    /// It arrived here.
    Incoming,
}
