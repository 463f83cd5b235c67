//! A front whose process has no descriptor left accepts again when there are some; alone in its
//! process, because it takes them all.

use std::net::TcpListener;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use simopen_protocol::control::Proxy;
use simopen_protocol::identity::SessionId;
use simopen_protocol::token::Token;
use simopen_server::front::Front;
use simopen_server::relay;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn accepting_goes_on_after_descriptors_were_used_up() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 200.min(hard), hard).unwrap();
    let relay = relay::Builder::new().start().unwrap();
    let front = Front::new().relay(relay.clone());
    let front = front.start(vec![TcpListener::bind("127.0.0.1:0").unwrap()]).unwrap();
    let at = front.local_addrs()[0];

    // Attackers and server share a process, so the one runs out when the other does.
    let mut attackers = Vec::new();
    let used_up = async {
        while front.stats().accept_failed == 0 {
            match TcpStream::connect(at).await {
                Ok(stream) => attackers.push(stream),
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    timeout(PATIENCE, used_up).await.expect("descriptors are used up");
    // The oldest newcomers had to go; that alone made room.
    assert!(front.stats().crowded > 0, "{:?}", front.stats());
    attackers.truncate(attackers.len() / 2);

    let values = [1, 2].map(|byte| Token::from_random([byte; 32]));
    relay.open(&Proxy { session: SessionId(1), values }).unwrap();
    let meet = async {
        let mut a = TcpStream::connect(at).await.unwrap();
        let mut b = TcpStream::connect(at).await.unwrap();
        a.write_all(values[0].as_bytes()).await.unwrap();
        b.write_all(values[1].as_bytes()).await.unwrap();
        a.write_all(b"!").await.unwrap();
        b.read_u8().await.unwrap()
    };
    assert_eq!(timeout(PATIENCE, meet).await.expect("they meet"), b'!');
}
