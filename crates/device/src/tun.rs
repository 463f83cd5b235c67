//! TUN devices: one side is a network interface, the other is read and written here.
//!
//! Packets are whole IP packets, never longer than the MTU, with complete checksums (no offload is
//! asked for). A write runs the receiver's network stack in the calling thread; under load most of
//! the time goes there, and [`Receive::Coalesced`] lets that stack take many segments at once. What
//! does not fit into the queue the kernel drops in silence: see [`Tun::dropped`].

mod coalesce;

use std::fs::{File, OpenOptions};
use std::io::{self, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;

use self::coalesce::{HEADER_LEN, Run};
use crate::error::{Context, DeviceError};
use crate::interface::Interface;
use crate::syscall;

/// The node by which TUN devices are made.
const NODE: &str = "/dev/net/tun";

/// A TUN device, nonblocking; it disappears with this value.
#[derive(Debug)]
pub struct Tun {
    file: File,
    interface: Interface,
    receive: Receive,
}

impl Tun {
    /// Creates a device in the calling thread's namespace, silent and still down.
    ///
    /// Give it addresses and bring it up through [`interface`](Self::interface).
    ///
    /// # Errors
    ///
    /// Fails without CAP_NET_ADMIN in the namespace, without write permission on /dev/net/tun,
    /// and where the name is taken or longer than 15 bytes.
    pub fn open(config: &TunConfig) -> Result<Self, DeviceError> {
        if config.name.len() >= libc::IFNAMSIZ {
            let source = io::Error::from_raw_os_error(libc::ENAMETOOLONG);
            return Err(DeviceError::system("open TUN", &config.name, source));
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(NODE)
            .on("open TUN", &config.name)?;
        let with_header = match config.receive {
            Receive::Single => 0,
            Receive::Coalesced => libc::IFF_VNET_HDR,
        };
        let flags = libc::IFF_TUN | libc::IFF_NO_PI | with_header;
        let name = syscall::attach_tun(&file, &config.name, flags).on("open TUN", &config.name)?;
        let interface = Interface::find(&name)?;
        interface.set_queue_len(config.queue_len)?;
        interface.set_mtu(config.mtu)?;
        interface.quieten()?;
        Ok(Self { file, interface, receive: config.receive })
    }

    /// Returns the device seen as a network interface.
    #[must_use]
    pub const fn interface(&self) -> &Interface {
        &self.interface
    }

    /// Returns the name that the kernel gave the device.
    #[must_use]
    pub fn name(&self) -> &str {
        self.interface.name()
    }

    /// Reads one packet that the namespace sent and returns its length in bytes.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where there is none.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.receive {
            Receive::Single => (&self.file).read(buffer),
            Receive::Coalesced => {
                // Nobody asked for offloads, so the header says nothing.
                let mut header = [0; HEADER_LEN];
                let parts = &mut [IoSliceMut::new(&mut header), IoSliceMut::new(buffer)];
                Ok((&self.file).read_vectored(parts)?.saturating_sub(HEADER_LEN))
            }
        }
    }

    /// Hands one packet to the namespace.
    ///
    /// # Errors
    ///
    /// Fails with EIO while the interface is down, with EINVAL on what is no IP packet.
    pub fn write(&self, packet: &[u8]) -> io::Result<()> {
        match self.receive {
            Receive::Single => (&self.file).write(packet).map(drop),
            Receive::Coalesced => Run::of(packet).write(&self.file),
        }
    }

    /// Hands packets to the namespace, in their order, and returns how many times its network
    /// stack ran for them: with [`Receive::Coalesced`] once for segments that follow each other in
    /// one TCP stream.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write), at the first that fails; the rest is not written.
    pub fn write_all<'p>(&self, packets: impl IntoIterator<Item = &'p [u8]>) -> io::Result<usize> {
        let mut packets = packets.into_iter();
        let mut times = 0;
        if self.receive == Receive::Single {
            for packet in packets {
                self.write(packet)?;
                times += 1;
            }
            return Ok(times);
        }
        let Some(first) = packets.next() else { return Ok(0) };
        let mut run = Run::of(first);
        for packet in packets {
            if !run.takes(packet) {
                run.write(&self.file)?;
                times += 1;
                run = Run::of(packet);
            }
        }
        run.write(&self.file)?;
        Ok(times + 1)
    }

    /// Returns how many packets the kernel dropped because the queue was full, from any thread.
    ///
    /// # Errors
    ///
    /// Fails where the interface is gone.
    pub fn dropped(&self) -> io::Result<u64> {
        self.interface.transmit_dropped()
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl AsRawFd for Tun {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

/// What a TUN device shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunConfig {
    /// Interface name, at most 15 bytes; `%d` stands for the first free number.
    pub name: String,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// Length of the queue towards the reader in packets.
    pub queue_len: u32,
    /// How the namespace takes what is written.
    pub receive: Receive,
}

/// How a namespace takes what is written into its device. Complete: it will not grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Receive {
    /// Packet by packet, as it was sent.
    #[default]
    Single,
    /// Segments of one TCP stream that are written together arrive as one, as behind a network
    /// card with generic receive offload. The stack works once for all of them and acknowledges
    /// less often; packet sockets in the namespace see packets longer than the MTU.
    Coalesced,
}

impl TunConfig {
    /// Describes a device of that name with an MTU of 1500 and a queue of 10,000 packets: the
    /// kernel's own 500 lose 2 to 5 % under load.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), mtu: 1500, queue_len: 10_000, receive: Receive::Single }
    }
}
