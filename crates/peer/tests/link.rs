//! A control link that breaks ends an attempt that is not established yet.
#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

use std::net::SocketAddr;
use std::time::Duration;

use simopen_packet::Ttl;
use simopen_peer::{ConnectError, Peer, PeerConfig};
use simopen_protocol::cause::Cause;
use simopen_protocol::control::{Action, LoggedIn, Message, Observed, Reply, Response};
use simopen_protocol::frame::{self, Decoder};
use simopen_protocol::identity::{PeerId, UserId};
use simopen_protocol::technique::Technique;
use simopen_protocol::token::Token;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Answers logins and probes, and closes the link that asks for a connection.
async fn serve(mut stream: TcpStream, remote: SocketAddr) {
    let mut decoder = Decoder::new(frame::TO_BROKER);
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(length) => decoder.push(&buffer[..length]),
        }
        while let Some(body) = decoder.poll_frame().unwrap() {
            let Message::Request(request) = Message::parse(&body).unwrap() else { return };
            let probe_secret = Token::from_random([3; 32]);
            let reply = if let Action::Login(_) = request.action {
                Reply::LoggedIn(LoggedIn {
                    peer: PeerId(1),
                    probe_secret,
                    alive: None,
                    online: vec![],
                })
            } else if let Action::Probe(_) = request.action {
                Reply::Observed(Observed { endpoint: remote, ttl: Ttl(64) })
            } else {
                return;
            };
            let response = Message::Response(Response { head: request.head(), result: Ok(reply) });
            let mut wire = Vec::new();
            frame::encode(&response.to_bytes(), &mut wire);
            stream.write_all(&wire).await.unwrap();
        }
    }
}

#[tokio::test]
async fn an_attempt_ends_with_its_link_and_waits_for_no_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let broker = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, remote)) = listener.accept().await {
            tokio::spawn(serve(stream, remote));
        }
    });
    let secret = Token::from_random([1; 32]);
    let login_timeout = Duration::from_secs(10);
    let config =
        PeerConfig { login_timeout, ..PeerConfig::new(broker, UserId::new("a").unwrap(), secret) };
    let (peer, _incoming) = Peer::login(config).await.unwrap();
    let error = peer.connect(&UserId::new("b").unwrap(), Technique::Direct).await.unwrap_err();
    let ConnectError::Failed(failure) = error else { panic!("{error}") };
    assert_eq!(failure.cause, Cause::LinkLost);
}
