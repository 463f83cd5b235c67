//! The first bytes on an opened connection.

use std::io;

use simopen_protocol::greeting::{self, GREETING_LEN, Greetings};
use simopen_traversal::Role;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::carriage::Carried;

/// Presents this side and hears the other. The originator speaks first, so that no byte of the
/// responder meets a box that has not seen the originator's handshake.
///
/// # Errors
///
/// Fails where the connection breaks; `Ok(None)` where somebody else is at the other end.
pub(crate) async fn greet(
    mut stream: Carried,
    greetings: Greetings,
    role: Role,
) -> io::Result<Option<Carried>> {
    // The greeting is small and waited for; an error only costs latency.
    let _ = stream.tcp().map(|socket| socket.set_nodelay(true));
    let own = greeting::encode(&greetings.own);
    let mut theirs = [0; GREETING_LEN];
    if role == Role::Originator {
        stream.write_all(&own).await?;
    }
    stream.read_exact(&mut theirs).await?;
    if !greeting::presents(&theirs, &greetings.peer) {
        return Ok(None);
    }
    if role == Role::Responder {
        stream.write_all(&own).await?;
    }
    Ok(Some(stream))
}
