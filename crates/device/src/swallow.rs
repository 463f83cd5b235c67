//! A port on which the kernel stays silent.
//!
//! Where nothing listens the kernel answers every segment with RST, and a plain listener answers
//! everything but a SYN with RST too. A listener whose filter takes no byte answers nothing. It
//! keeps a peer silent while its own SYN is out and no kernel connection exists yet.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use crate::error::{Context, DeviceError};
use crate::filter;
use crate::socket;

/// A bound port that draws no answer; a live connection on the same port is not disturbed.
///
/// It fails of its purpose only where an unfiltered listener shares the exact address and port:
/// about half of the segments then get answers.
#[derive(Debug)]
pub struct SwallowingPort {
    listener: TcpListener,
    local: SocketAddr,
}

impl SwallowingPort {
    /// Binds the port; the address may be unspecified, the port may be 0 for any free one.
    ///
    /// # Errors
    ///
    /// Fails where a socket without SO_REUSEADDR and SO_REUSEPORT holds the port.
    pub fn bind(local: SocketAddr) -> Result<Self, DeviceError> {
        let socket = socket::reusable(local)?;
        // Before listen, so that no segment ever meets the listener without its filter.
        let filter = filter::swallow_everything().to_filter();
        socket.attach_filter(&filter).on("setsockopt SO_ATTACH_FILTER", local)?;
        socket.bind(&local.into()).on("bind", local)?;
        socket.listen(1).on("listen", local)?;
        let listener = TcpListener::from(socket);
        let local = listener.local_addr().on("getsockname", local)?;
        Ok(Self { listener, local })
    }

    /// Returns the address and port that are held.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl AsFd for SwallowingPort {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl AsRawFd for SwallowingPort {
    fn as_raw_fd(&self) -> RawFd {
        self.listener.as_raw_fd()
    }
}
