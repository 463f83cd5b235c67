//! Bytes both ways at once, every one of them compared.

use std::io;

use simopen_scenario::pattern::Pattern;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const CHUNK: usize = 4 * 1024;

/// Sends `bytes` bytes of the stream that `own` seeds and expects as many of the other's.
///
/// # Errors
///
/// Fails where the connection breaks, and where a byte differs.
pub(crate) async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    bytes: usize,
    own: u64,
    other: u64,
) -> io::Result<()> {
    let (mut read, mut write) = tokio::io::split(stream);
    let send = async {
        let mut pattern = Pattern::new(own);
        let mut left = bytes;
        let mut chunk = Vec::with_capacity(CHUNK);
        while left > 0 {
            chunk.clear();
            pattern.fill(left.min(CHUNK), &mut chunk);
            write.write_all(&chunk).await?;
            left -= chunk.len();
        }
        Ok(())
    };
    let receive = async {
        let mut pattern = Pattern::new(other);
        let mut left = bytes;
        let mut chunk = vec![0; CHUNK];
        while left > 0 {
            let room = left.min(CHUNK);
            read.read_exact(&mut chunk[..room]).await?;
            if !pattern.presents(&chunk[..room]) {
                return Err(io::Error::other("a byte differs from what was sent"));
            }
            left -= room;
        }
        Ok(())
    };
    tokio::try_join!(send, receive).map(|_: ((), ())| ())
}
