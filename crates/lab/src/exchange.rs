//! Bytes both ways at once, every one of them compared.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CHUNK: usize = 4 * 1024;

/// Sends `bytes` bytes of the stream that `own` seeds and expects as many of the other's.
///
/// # Errors
///
/// Fails where the connection breaks, and where a byte differs.
pub(crate) async fn exchange(
    stream: &mut TcpStream,
    bytes: usize,
    own: u64,
    other: u64,
) -> io::Result<()> {
    let (mut read, mut write) = stream.split();
    let send = async {
        let mut pattern = Pattern(own);
        let mut left = bytes;
        while left > 0 {
            let chunk = pattern.take(left.min(CHUNK));
            write.write_all(&chunk).await?;
            left -= chunk.len();
        }
        Ok(())
    };
    let receive = async {
        let mut pattern = Pattern(other);
        let mut left = bytes;
        let mut chunk = vec![0; CHUNK];
        while left > 0 {
            let room = left.min(CHUNK);
            read.read_exact(&mut chunk[..room]).await?;
            if chunk[..room] != pattern.take(room)[..] {
                return Err(io::Error::other("a byte differs from what was sent"));
            }
            left -= room;
        }
        Ok(())
    };
    tokio::try_join!(send, receive).map(|_: ((), ())| ())
}

/// A repeatable stream of bytes (SplitMix64), the same whatever the sizes of its chunks, as long
/// as all but the last are multiples of eight.
struct Pattern(u64);

impl Pattern {
    fn take(&mut self, bytes: usize) -> Vec<u8> {
        let mut taken = Vec::with_capacity(bytes + 8);
        while taken.len() < bytes {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.0;
            mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            taken.extend_from_slice(&(mixed ^ mixed >> 31).to_be_bytes());
        }
        taken.truncate(bytes);
        taken
    }
}
