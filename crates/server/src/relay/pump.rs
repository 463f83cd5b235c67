//! Moving bytes between the two sides of a pair.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::body::Bytes;
use simopen_device::socket::shut_down_writing;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest};
use tokio::net::TcpStream;

use super::pipes::Pipes;
use crate::front::Carried;

/// Bytes that one direction holds where they cannot be spliced.
const COPY: usize = 8 * 1024;

/// One side of a pair.
pub(super) enum Side {
    /// A socket, and what was read from it before.
    Tcp(Bytes, TcpStream),
    /// Inside bodies of HTTP.
    Carried(Carried),
}

impl From<Carried> for Side {
    fn from(stream: Carried) -> Self {
        match stream.into_tcp() {
            Ok((first, stream)) => Self::Tcp(first, stream),
            Err(stream) => Self::Carried(stream),
        }
    }
}

/// With what bytes are moved, and how many there were.
#[derive(Debug, Default)]
pub(super) struct Means {
    pipes: Pipes,
    moved: AtomicU64,
}

impl Means {
    /// Bytes that reached the other side, of all pairs.
    pub(super) fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    fn count(&self, length: usize) {
        self.moved.fetch_add(length as u64, Ordering::Relaxed);
    }
}

/// Moves bytes both ways until both sides have ended; says when the first has, and how many bytes
/// went each way.
///
/// # Errors
///
/// What broke; both sides are closed then.
pub(super) async fn pump(
    sides: [Side; 2],
    means: &Means,
    half_closed: impl Fn(),
) -> io::Result<[u64; 2]> {
    match sides {
        [Side::Tcp(first, originator), Side::Tcp(second, responder)] => {
            let (up, down) = tokio::try_join!(
                after(splice(first, &originator, &responder, means), &half_closed),
                after(splice(second, &responder, &originator, means), &half_closed),
            )?;
            Ok([up, down])
        }
        [originator, responder] => {
            let (from_originator, to_originator) = originator.split();
            let (from_responder, to_responder) = responder.split();
            let (up, down) = tokio::try_join!(
                after(copy(from_originator, to_responder, means), &half_closed),
                after(copy(from_responder, to_originator, means), &half_closed),
            )?;
            Ok([up, down])
        }
    }
}

async fn after(
    moved: impl Future<Output = io::Result<u64>>,
    half_closed: &impl Fn(),
) -> io::Result<u64> {
    let moved = moved.await?;
    half_closed();
    Ok(moved)
}

/// One direction between two sockets: a pipe is held only while there is something in it.
///
/// Where it cannot be read any more the pair is over, and that is the error. Where it cannot be
/// written any more this direction is over, and what still comes the other way is delivered.
async fn splice(first: Bytes, from: &TcpStream, to: &TcpStream, means: &Means) -> io::Result<u64> {
    let pipes = &means.pipes;
    let mut moved = 0;
    if write_all(to, &first).await.is_err() {
        return Ok(moved);
    }
    moved += first.len() as u64;
    means.count(first.len());
    drop(first);
    loop {
        from.readable().await?;
        let mut pipe = pipes.take()?;
        let filled = from.try_io(Interest::READABLE, || pipe.fill(from));
        match filled {
            Ok(0) => {
                pipes.put(pipe);
                // What went before is in the socket, which sends it before its FIN. The other end
                // may have closed already.
                let _ = shut_down_writing(to);
                return Ok(moved);
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                pipes.put(pipe);
                continue;
            }
            Err(error) => return Err(error),
        }
        while pipe.held() > 0 {
            match to.try_io(Interest::WRITABLE, || pipe.drain(to)) {
                Ok(length) => {
                    moved += length as u64;
                    means.count(length);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => to.writable().await?,
                Err(_) => return Ok(moved),
            }
        }
        pipes.put(pipe);
    }
}

async fn write_all(to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        to.writable().await?;
        match to.try_write(bytes) {
            Ok(length) => bytes = bytes.get(length..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// One direction where at least one side goes inside bodies of HTTP; ends as [`splice`] does.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    means: &Means,
) -> io::Result<u64> {
    let mut buffer = vec![0; COPY];
    let mut moved = 0;
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            // The other end may have closed already.
            let _ = to.shutdown().await;
            return Ok(moved);
        }
        let bytes = buffer.get(..length).unwrap_or_default();
        if to.write_all(bytes).await.is_err() || to.flush().await.is_err() {
            return Ok(moved);
        }
        moved += length as u64;
        means.count(length);
    }
}

type Halves = (Box<dyn AsyncRead + Send + Unpin>, Box<dyn AsyncWrite + Send + Unpin>);

impl Side {
    fn split(self) -> Halves {
        let stream = match self {
            Self::Tcp(first, stream) => Carried::tcp_after(first, stream),
            Self::Carried(stream) => stream,
        };
        let (read, write) = tokio::io::split(stream);
        (Box::new(read), Box::new(write))
    }
}
