//! TUN devices: one side is a network interface, the other is read and written here.
//!
//! Packets are whole IP packets without any prefix, never longer than the MTU, with complete
//! checksums (no offload is asked for). A write runs the receiver's network stack in the calling
//! thread. What does not fit into the queue the kernel drops in silence: see [`Tun::dropped`].

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use tun_tap::{Iface, Mode};

use crate::error::{Context, DeviceError};
use crate::interface::Interface;
use crate::syscall;

/// A TUN device, nonblocking; it disappears with this value.
#[derive(Debug)]
pub struct Tun {
    file: File,
    interface: Interface,
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
        let iface = Iface::without_packet_info(&config.name, Mode::Tun);
        let iface = iface.on("open TUN", &config.name)?;
        iface.set_non_blocking().on("ioctl FIONBIO", &config.name)?;
        let interface = Interface::find(iface.name())?;
        interface.set_queue_len(config.queue_len)?;
        interface.set_mtu(config.mtu)?;
        interface.quieten()?;
        Ok(Self { file: File::from(syscall::into_owned(iface)), interface })
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
        (&self.file).read(buffer)
    }

    /// Hands one packet to the namespace and returns its length in bytes.
    ///
    /// # Errors
    ///
    /// Fails with EIO while the interface is down, with EINVAL on what is no IP packet.
    pub fn write(&self, packet: &[u8]) -> io::Result<usize> {
        (&self.file).write(packet)
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
}

impl TunConfig {
    /// Describes a device of that name with an MTU of 1500 and a queue of 10,000 packets: the
    /// kernel's own 500 lose 2 to 5 % under load.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), mtu: 1500, queue_len: 10_000 }
    }
}
