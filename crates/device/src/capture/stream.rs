//! Waiting for captured packets on tokio.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use simopen_packet::Ttl;
use tokio::io::unix::AsyncFd;

use super::{Direction, PacketSocketCapture, SynCapture, TunRouteCapture};
use crate::error::{Context, DeviceError};
use crate::filter::Selection;

/// Room for the longest packet that a capture shows, in bytes.
const BUFFER: usize = 2048;

/// One of the two ways to capture, with tokio's readiness. Made inside a runtime.
#[derive(Debug)]
pub struct CaptureStream(Way);

#[derive(Debug)]
enum Way {
    PacketSocket(AsyncFd<Owned<PacketSocketCapture>>),
    TunRoute(Box<AsyncFd<Owned<TunRouteCapture>>>),
}

impl CaptureStream {
    /// Opens a packet socket, as [`PacketSocketCapture::open`] does for all interfaces.
    ///
    /// # Errors
    ///
    /// Fails without CAP_NET_RAW.
    pub fn packet_socket(selection: &Selection) -> Result<Self, DeviceError> {
        let capture = Owned(PacketSocketCapture::open(selection, None)?);
        // SAFETY: `Owned` holds the one descriptor from here to its end and neither replaces nor
        // closes it before; `as_raw_fd` gives that descriptor every time.
        let registered = unsafe { AsyncFd::register(capture) };
        Ok(Self(Way::PacketSocket(
            registered.map_err(std::io::Error::from).on("epoll_ctl", "packet socket")?,
        )))
    }

    /// Takes a route that was opened.
    ///
    /// # Errors
    ///
    /// Fails where no more descriptors can be polled.
    pub fn tun_route(capture: TunRouteCapture) -> Result<Self, DeviceError> {
        // SAFETY: `Owned` holds the one descriptor from here to its end and neither replaces nor
        // closes it before; `as_raw_fd` gives that descriptor every time.
        let registered = unsafe { AsyncFd::register(Owned(capture)) };
        Ok(Self(Way::TunRoute(Box::new(
            registered.map_err(std::io::Error::from).on("epoll_ctl", "TUN route")?,
        ))))
    }

    /// Whether packets flow only as long as [`next`](Self::next) is called.
    #[must_use]
    pub const fn stands_in_the_way(&self) -> bool {
        matches!(self.0, Way::TunRoute(_))
    }

    /// Changes the time to live of the bare SYNs that leave from now on, as
    /// [`TunRouteCapture::set_syn_ttl`] does; whoever only looks on changes nothing.
    pub fn set_syn_ttl(&mut self, ttl: Option<Ttl>) {
        if let Way::TunRoute(capture) = &mut self.0 {
            capture.get_mut().0.set_syn_ttl(ttl);
        }
    }

    /// Waits for the next captured packet. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// Fails where the interface is gone.
    pub async fn next(&mut self) -> std::io::Result<(Direction, Vec<u8>)> {
        match &mut self.0 {
            Way::PacketSocket(capture) => next(capture).await,
            Way::TunRoute(capture) => next(capture).await,
        }
    }
}

/// A capture whose descriptor never changes.
#[derive(Debug)]
struct Owned<C>(C);

impl<C: SynCapture> AsFd for Owned<C> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl<C: SynCapture> AsRawFd for Owned<C> {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

async fn next<C: SynCapture>(
    capture: &mut AsyncFd<Owned<C>>,
) -> std::io::Result<(Direction, Vec<u8>)> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let mut ready = capture.readable_mut().await?;
        match ready.get_inner_mut().0.poll_packet(&mut buffer)? {
            Some(captured) => {
                buffer.truncate(captured.length);
                return Ok((captured.direction, buffer));
            }
            None => ready.clear_ready(),
        }
    }
}
