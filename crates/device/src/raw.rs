//! Sending whole IP packets, with whatever source they carry.
//!
//! A raw IP socket, never a packet socket: what a packet socket sends passes below this host's
//! connection tracking, and a host firewall that admits "established only" then drops the answer.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use simopen_packet::Packet;
use socket2::{Domain, Protocol, Socket, Type};

use crate::error::{Context, DeviceError, SPOOF_REFUSED};

/// Sends whole packets of one IP version to the destination that each carries.
///
/// The kernel fills in an IPv4 header's checksum, and its identification where that is 0; a TCP
/// checksum it leaves alone.
#[derive(Debug)]
pub struct RawSender {
    socket: Socket,
    is_v4: bool,
}

impl RawSender {
    /// Opens a sender of IPv4 packets in the calling thread's namespace.
    ///
    /// # Errors
    ///
    /// Fails without CAP_NET_RAW.
    pub fn new_v4() -> Result<Self, DeviceError> {
        Self::open(Domain::IPV4, true)
    }

    /// Opens a sender of IPv6 packets in the calling thread's namespace.
    ///
    /// # Errors
    ///
    /// Fails without CAP_NET_RAW.
    pub fn new_v6() -> Result<Self, DeviceError> {
        Self::open(Domain::IPV6, false)
    }

    /// Opens a sender for packets to and from addresses of that kind.
    ///
    /// # Errors
    ///
    /// Fails without CAP_NET_RAW.
    pub fn for_endpoint(endpoint: SocketAddr) -> Result<Self, DeviceError> {
        if endpoint.is_ipv4() { Self::new_v4() } else { Self::new_v6() }
    }

    /// Makes every packet leave through one interface, whatever the routes say.
    ///
    /// # Errors
    ///
    /// Fails where there is no such interface.
    pub fn bind_to_interface(&self, name: &str) -> Result<(), DeviceError> {
        self.socket.bind_device(Some(name.as_bytes())).on("setsockopt SO_BINDTODEVICE", name)
    }

    /// Sends one packet to its own destination.
    ///
    /// # Errors
    ///
    /// `InvalidInput` where it is no packet of this sender's IP version, `WouldBlock` where the
    /// send buffer is full, `PermissionDenied` where this host's own firewall stops it; the
    /// message then says what to do.
    pub fn send(&self, packet: &[u8]) -> io::Result<()> {
        let destination = self.destination(packet)?;
        match self.socket.send_to(packet, &SocketAddr::new(destination, 0).into()) {
            Ok(_) => Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                let message = format!("sendto a raw packet to {destination}: {SPOOF_REFUSED}");
                Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
            }
            Err(error) => Err(error),
        }
    }

    fn open(domain: Domain, is_v4: bool) -> Result<Self, DeviceError> {
        // raw(7): IPPROTO_RAW means that the header is included, for both versions.
        let protocol = Protocol::from(libc::IPPROTO_RAW);
        let kind = Type::RAW.nonblocking().cloexec();
        let version = if is_v4 { "IPv4" } else { "IPv6" };
        let socket =
            Socket::new_raw(domain, kind, Some(protocol)).on("socket SOCK_RAW", version)?;
        Ok(Self { socket, is_v4 })
    }

    fn destination(&self, packet: &[u8]) -> io::Result<IpAddr> {
        let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidInput, what);
        let parsed = Packet::parse(packet).map_err(|error| invalid(error.to_string()))?;
        if parsed.ip.destination.is_ipv4() != self.is_v4 {
            return Err(invalid(format!(
                "{} is not of this sender's version",
                parsed.ip.destination
            )));
        }
        Ok(parsed.ip.destination)
    }
}

impl AsFd for RawSender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for RawSender {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}
