//! Capture that looks on, by a packet socket with a filter.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use socket2::{Domain, Socket, Type};

use super::{CapturedPacket, Direction, SynCapture};
use crate::error::{Context, DeviceError};
use crate::filter::{self, Selection};
use crate::interface::Interface;
use crate::syscall;

/// Sees the selected packets of one interface, or of all, while they go their way.
///
/// It sees inbound packets that the host's firewall then drops, not outbound ones that it drops
/// before they leave. On the loopback interface a packet is seen twice, once each way.
#[derive(Debug)]
pub struct PacketSocketCapture {
    socket: Socket,
}

impl PacketSocketCapture {
    /// Opens a capture in the calling thread's namespace; `interface` `None` means all.
    ///
    /// From its return on no selected packet is missed, and no other was ever let in.
    ///
    /// # Errors
    ///
    /// Fails without CAP_NET_RAW.
    pub fn open(selection: &Selection, interface: Option<&Interface>) -> Result<Self, DeviceError> {
        let kind = Type::DGRAM.nonblocking().cloexec();
        // Protocol 0 receives nothing before the bind, so the filter is there first.
        let socket = Socket::new_raw(Domain::PACKET, kind, None);
        let socket = socket.on("socket AF_PACKET", selection.local_port)?;
        let program = filter::select(selection).to_filter();
        socket.attach_filter(&program).on("setsockopt SO_ATTACH_FILTER", selection.local_port)?;
        // ETH_P_ALL: ETH_P_IP never shows what this host sends.
        let index = interface.map_or(0, Interface::index);
        let object = interface.map_or("all interfaces", Interface::name);
        syscall::bind_packet(&socket, index).on("bind AF_PACKET", object)?;
        Ok(Self { socket })
    }
}

impl SynCapture for PacketSocketCapture {
    fn poll_packet(&mut self, buffer: &mut [u8]) -> io::Result<Option<CapturedPacket>> {
        match syscall::receive_packet(&self.socket, buffer) {
            Ok(received) => Ok(Some(CapturedPacket {
                length: received.length.min(buffer.len()),
                direction: if received.packet_type == libc::PACKET_OUTGOING {
                    Direction::Outgoing
                } else {
                    Direction::Incoming
                },
            })),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for PacketSocketCapture {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for PacketSocketCapture {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}
