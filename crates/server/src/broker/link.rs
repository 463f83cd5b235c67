//! One accepted connection: a task that reads frames and one that writes them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use simopen_broker::{LinkId, PathEstimate};
use simopen_device::socket::tcp_info;
use simopen_protocol::frame::{self, Decoder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Messages that wait for a slow peer before its link is closed.
const QUEUE: usize = 256;

/// What comes in from the network.
pub(super) enum Arrival {
    Accepted(TcpStream),
    Frame { link: LinkId, body: Vec<u8>, path: PathEstimate },
    TooLong(LinkId),
    Closed(LinkId),
}

/// The broker's end of a link.
pub(super) struct Link {
    frames: mpsc::Sender<Vec<u8>>,
    limit: Arc<AtomicUsize>,
    reader: JoinHandle<()>,
}

impl Link {
    pub(super) fn spawn(id: LinkId, stream: TcpStream, arrivals: mpsc::Sender<Arrival>) -> Self {
        // Answers are small and wanted at once; an error only costs latency.
        let _ = stream.set_nodelay(true);
        let (read, write) = stream.into_split();
        let (frames, queue) = mpsc::channel(QUEUE);
        let limit = Arc::new(AtomicUsize::new(frame::BEFORE_LOGIN));
        let reader = tokio::spawn(receive(id, read, Arc::clone(&limit), arrivals));
        tokio::spawn(send(write, queue));
        Self { frames, limit, reader }
    }

    /// Queues a message; `false` where the peer is too slow or gone.
    pub(super) fn send(&self, body: &[u8]) -> bool {
        let mut wire = Vec::with_capacity(body.len() + 4);
        frame::encode(body, &mut wire);
        self.frames.try_send(wire).is_ok()
    }

    pub(super) fn allow_large_frames(&self) {
        self.limit.store(frame::TO_BROKER, Ordering::Relaxed);
    }
}

impl Drop for Link {
    /// What was queued is still written; nothing more is read.
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn receive(
    link: LinkId,
    mut stream: OwnedReadHalf,
    limit: Arc<AtomicUsize>,
    arrivals: mpsc::Sender<Arrival>,
) {
    let mut decoder = Decoder::new(frame::BEFORE_LOGIN);
    let mut buffer = vec![0; 4096];
    let last = loop {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => break Arrival::Closed(link),
            Ok(length) => decoder.push(&buffer[..length]),
        }
        decoder.set_limit(limit.load(Ordering::Relaxed));
        match deliver(link, &mut decoder, &stream, &arrivals).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(_) => break Arrival::TooLong(link),
        }
    };
    // The actor may be gone; then nobody cares.
    let _ = arrivals.send(last).await;
}

/// Hands on all complete frames. `false` where nobody listens any more.
async fn deliver(
    link: LinkId,
    decoder: &mut Decoder,
    stream: &OwnedReadHalf,
    arrivals: &mpsc::Sender<Arrival>,
) -> Result<bool, frame::FrameError> {
    while let Some(body) = decoder.poll_frame()? {
        let path = path(stream.as_ref()).unwrap_or_default();
        if arrivals.send(Arrival::Frame { link, body, path }).await.is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn path(stream: &TcpStream) -> io::Result<PathEstimate> {
    Ok(PathEstimate { round_trip: tcp_info(stream)?.min_rtt })
}

async fn send(mut stream: OwnedWriteHalf, mut queue: mpsc::Receiver<Vec<u8>>) {
    while let Some(frame) = queue.recv().await {
        if stream.write_all(&frame).await.is_err() {
            return;
        }
    }
    // The peer may have closed first.
    let _ = stream.shutdown().await;
}
