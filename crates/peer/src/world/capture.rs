//! Waiting for captured packets on tokio.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use simopen_device::DeviceError;
use simopen_device::capture::{Direction, PacketSocketCapture, SynCapture, TunRouteCapture};
use simopen_device::filter::Selection;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;
use tracing::debug;

/// Room for the longest packet that a capture shows.
const BUFFER: usize = 2048;

/// One of the two ways, with its readiness.
pub(crate) enum Capture {
    PacketSocket(AsyncFd<Polled<PacketSocketCapture>>),
    TunRoute(Box<AsyncFd<Polled<TunRouteCapture>>>),
}

impl Capture {
    pub(crate) fn packet_socket(selection: &Selection) -> Result<Self, DeviceError> {
        let capture = Polled(PacketSocketCapture::open(selection, None)?);
        Ok(Self::PacketSocket(register(capture)?))
    }

    pub(crate) fn tun_route(capture: TunRouteCapture) -> Result<Self, DeviceError> {
        Ok(Self::TunRoute(Box::new(register(Polled(capture))?)))
    }

    /// The next captured packet. Safe to drop and call again.
    pub(crate) async fn next(&mut self) -> (Direction, Vec<u8>) {
        match self {
            Self::PacketSocket(capture) => next(capture).await,
            Self::TunRoute(capture) => next(capture).await,
        }
    }

    /// Keeps a TUN route going in a task of its own; a packet socket just closes.
    pub(crate) fn into_route(self) -> Option<JoinHandle<()>> {
        match self {
            Self::PacketSocket(_) => None,
            Self::TunRoute(mut capture) => Some(tokio::spawn(async move {
                loop {
                    let _ = next(&mut capture).await;
                }
            })),
        }
    }
}

/// Gives a capture the raw descriptor that tokio registers.
pub(crate) struct Polled<C>(C);

impl<C: SynCapture> AsFd for Polled<C> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl<C: SynCapture> AsRawFd for Polled<C> {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

fn register<C: SynCapture>(capture: Polled<C>) -> Result<AsyncFd<Polled<C>>, DeviceError> {
    AsyncFd::register(capture)
        .map_err(|error| DeviceError::system("register", "the capture", error.into()))
}

async fn next<C: SynCapture>(capture: &mut AsyncFd<Polled<C>>) -> (Direction, Vec<u8>) {
    let mut buffer = vec![0; BUFFER];
    loop {
        let Ok(mut ready) = capture.readable_mut().await else {
            return std::future::pending().await;
        };
        match ready.get_inner_mut().0.poll_packet(&mut buffer) {
            Ok(Some(captured)) => {
                buffer.truncate(captured.length);
                return (captured.direction, buffer);
            }
            Ok(None) => ready.clear_ready(),
            Err(error) => {
                debug!(%error, "the capture failed");
                ready.clear_ready();
            }
        }
    }
}
