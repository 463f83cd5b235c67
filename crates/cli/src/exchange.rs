//! Bytes both ways between two streams, each direction ended by itself.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy, split};

/// Copies both ways until both directions have ended. The end of one is passed on and leaves the
/// other; that of what comes from the stream only where `is_whole` says then that this was all.
///
/// # Errors
///
/// What breaks either direction.
pub(crate) async fn exchange(
    mut input: impl AsyncRead + Unpin,
    mut output: impl AsyncWrite + Unpin,
    stream: impl AsyncRead + AsyncWrite,
    is_whole: impl Fn() -> bool,
) -> io::Result<()> {
    let (mut from_stream, mut to_stream) = split(stream);
    let up = async {
        copy(&mut input, &mut to_stream).await?;
        to_stream.shutdown().await
    };
    let down = async {
        copy(&mut from_stream, &mut output).await?;
        if !is_whole() {
            output.flush().await?;
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        output.shutdown().await
    };
    tokio::try_join!(up, down).map(drop)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;

    #[tokio::test]
    async fn the_end_of_one_direction_leaves_the_other() {
        let (stream, mut far) = duplex(64);
        let (mut typed, input) = duplex(64);
        let (output, mut shown) = duplex(64);
        let copying = tokio::spawn(exchange(input, output, stream, || true));
        typed.write_all(b"question").await.unwrap();
        drop(typed);
        let mut heard = String::new();
        far.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "question");
        far.write_all(b"answer").await.unwrap();
        drop(far);
        let mut said = String::new();
        shown.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "answer");
        copying.await.unwrap().unwrap();
    }
}
