//! What becomes of one accepted connection.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper::body::Bytes;
use simopen_device::socket::saved_syn;
use simopen_protocol::token::TOKEN_LEN;
use simopen_relay::Presented;
use tokio::io::{AsyncReadExt, DuplexStream};
use tokio::net::TcpStream;
use tracing::debug;

use super::http;
use super::{Carried, ClearText, Incoming, Kind, Newcomer, Shared, SynReader, count};

/// What the first byte of a connection begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    /// A TLS record of a handshake (RFC 8446 §5.1).
    Tls,
    /// A frame, whose length is below 2^24.
    Frame,
    /// A value, whose first bit is set.
    Value,
    /// An HTTP request: methods are letters (RFC 9110 §9).
    Http,
    Nothing,
}

impl First {
    const fn of(byte: u8) -> Self {
        match byte {
            0x16 => Self::Tls,
            0x00 => Self::Frame,
            0x80.. => Self::Value,
            b'A'..=b'Z' | b'a'..=b'z' => Self::Http,
            _ => Self::Nothing,
        }
    }
}

/// Sniffs a connection and hands it on.
pub(super) async fn welcome(
    stream: TcpStream,
    remote: SocketAddr,
    mut newcomer: Newcomer,
    shared: Arc<Shared>,
) {
    let mut byte = [0];
    let peeked = tokio::select! {
        peeked = stream.peek(&mut byte) => peeked,
        () = newcomer.dismissed() => return,
    };
    if !matches!(peeked, Ok(1)) {
        return;
    }
    match First::of(byte[0]) {
        First::Tls => control(stream, Kind::Tls, remote, newcomer, &shared).await,
        First::Frame => control(stream, Kind::Clear, remote, newcomer, &shared).await,
        First::Value => value(stream, newcomer, &shared).await,
        First::Http => http::serve(stream, remote, newcomer, shared).await,
        First::Nothing => count(&shared.counters.not_understood),
    }
}

/// Sniffs what a carrier brings; only control links come so.
pub(super) async fn welcome_carried(
    mut stream: DuplexStream,
    remote: SocketAddr,
    mut newcomer: Newcomer,
    shared: &Shared,
) {
    let mut byte = [0];
    let read = tokio::select! {
        read = stream.read(&mut byte) => read,
        () = newcomer.dismissed() => return,
    };
    if !matches!(read, Ok(1)) {
        return;
    }
    let stream = Carried::http_after(Bytes::copy_from_slice(&byte), stream);
    let kind = match First::of(byte[0]) {
        First::Tls => Kind::Tls,
        First::Frame => Kind::Clear,
        First::Value | First::Http | First::Nothing => {
            count(&shared.counters.not_understood);
            return;
        }
    };
    hand_on(Incoming { stream, kind, remote, syn: None, newcomer }, shared).await;
}

async fn control(
    stream: TcpStream,
    kind: Kind,
    remote: SocketAddr,
    newcomer: Newcomer,
    shared: &Shared,
) {
    // Kept by the kernel only where the listener asked for it.
    let syn = match shared.syn_reader {
        SynReader::Front => saved_syn(&stream).ok().flatten(),
        SynReader::Later => None,
    };
    hand_on(Incoming { stream: stream.into(), kind, remote, syn, newcomer }, shared).await;
}

async fn hand_on(incoming: Incoming, shared: &Shared) {
    let is_taken = match incoming.kind {
        Kind::Tls => true,
        Kind::Clear => shared.clear == ClearText::Taken,
    };
    match &shared.control {
        // The service may have ended; then the connection closes.
        Some(control) if is_taken => drop(control.send(incoming).await),
        Some(_) | None => {
            debug!(remote = %incoming.remote, kind = ?incoming.kind, "not taken here");
            count(&shared.counters.not_understood);
        }
    }
}

async fn value(mut stream: TcpStream, mut newcomer: Newcomer, shared: &Shared) {
    let Some(relay) = &shared.relay else {
        count(&shared.counters.not_understood);
        return;
    };
    let mut value = [0; TOKEN_LEN];
    let read = tokio::select! {
        read = stream.read_exact(&mut value) => read,
        () = newcomer.dismissed() => return,
    };
    if read.is_err() {
        return;
    }
    if let Some(claim) = relay.claim(&Presented::Value(value), newcomer.accepted()) {
        claim.attach(stream.into());
    }
}
