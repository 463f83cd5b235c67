//! What a peer's accepted connection shows by itself, whatever the broker says of it.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use simopen_device::socket::{self, TcpState};
use simopen_packet::{SeqNumber, Syn};

use super::refusal::Refusal;
use super::totals::Cookie;

/// A connection that a peer opened to this host and that stands.
#[derive(Debug)]
pub(super) struct Evidence {
    pub(super) cookie: Cookie,
    pub(super) own: SocketAddr,
    pub(super) peer: SocketAddr,
}

/// Looks at a connection.
///
/// # Errors
///
/// What it lacks.
pub(super) fn examine(socket: &OwnedFd, namespace: u64) -> Result<Evidence, Refusal> {
    // In a namespace of its own anybody may hold any address, and be both ends of a connection.
    let lives_in = socket::namespace_cookie(socket).map_err(|_| Refusal::NotTcp)?;
    if lives_in != namespace {
        return Err(Refusal::ForeignNamespace);
    }
    let state = socket::tcp_info(socket).map_err(|_| Refusal::NotTcp)?.state;
    if state != TcpState::Established {
        return Err(Refusal::NotEstablished);
    }
    let (own, peer) = socket::endpoints(socket).map_err(|error| {
        let is_tcp = error.kind() != std::io::ErrorKind::InvalidInput;
        if is_tcp { Refusal::NotEstablished } else { Refusal::NotTcp }
    })?;
    let cookie = socket::cookie(socket).map_err(|_| Refusal::NotTcp)?;
    Ok(Evidence { cookie, own, peer })
}

/// Reads the SYN that opened the connection, and compares it with the number that the peer named.
/// The kernel gives it once, so that there is one try, and the broker learns it only where the
/// number is right: it cannot name it in the peer's place.
///
/// # Errors
///
/// What does not agree.
pub(super) fn prove(
    socket: &OwnedFd,
    evidence: &Evidence,
    claimed: SeqNumber,
) -> Result<Vec<u8>, Refusal> {
    let bytes = socket::saved_syn_bytes(&socket.as_fd()).ok().flatten().ok_or(Refusal::NoSyn)?;
    let syn = Syn::parse(&bytes).map_err(|_| Refusal::NoSyn)?;
    if syn.source != evidence.peer || syn.destination != evidence.own {
        return Err(Refusal::SynOfAnother);
    }
    if syn.sequence != claimed {
        return Err(Refusal::NumberDiffers);
    }
    Ok(bytes)
}
