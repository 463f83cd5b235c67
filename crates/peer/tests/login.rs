//! A broker that does not answer keeps nobody waiting.
#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

use std::time::Duration;

use simopen_peer::{LoginError, Peer, PeerConfig};
use simopen_protocol::identity::UserId;
use simopen_protocol::token::Token;
use tokio::net::TcpListener;

fn config(broker: std::net::SocketAddr) -> PeerConfig {
    let user = UserId::new("alice").unwrap();
    let login_timeout = Duration::from_millis(50);
    PeerConfig { login_timeout, ..PeerConfig::new(broker, user, Token::from_random([1; 32])) }
}

#[tokio::test]
async fn a_broker_that_says_nothing_ends_the_login_in_time_and_is_named() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let broker = silent.local_addr().unwrap();
    let error = Peer::login(config(broker)).await.unwrap_err();
    assert!(matches!(error, LoginError::TimedOut { .. }), "{error}");
    let said = format!("the broker at {broker} did not answer within 0.05 s");
    assert_eq!(error.to_string(), said);
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_named() {
    let broker = {
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
        gone.local_addr().unwrap()
    };
    let error = Peer::login(config(broker)).await.unwrap_err();
    assert!(matches!(error, LoginError::Unreachable { .. }), "{error}");
}
