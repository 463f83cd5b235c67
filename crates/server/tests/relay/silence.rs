//! Who is gone without a word, as after a loss of power: the kernel asks whether it is there.

use std::net::{SocketAddr, SocketAddrV4};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{PATIENCE, Place};

#[tokio::test]
async fn both_sides_of_a_pair_are_asked_whether_they_are_there() {
    let place = Place::start();
    let values = place.open(1);
    let mut sides = Vec::new();
    for value in values {
        let mut side = TcpStream::connect(place.endpoint()).await.unwrap();
        side.write_all(value.as_bytes()).await.unwrap();
        sides.push(side);
    }
    sides[0].write_all(b"?").await.unwrap();
    let heard = timeout(PATIENCE, sides[1].read_u8()).await.expect("they are joined");
    assert_eq!(heard.unwrap(), b'?');
    for side in &sides {
        let own = side.local_addr().unwrap();
        assert_eq!(timer(place.endpoint(), own).await, KEEP_ALIVE, "of the relay towards {own}");
        // The control: this end asks nothing.
        assert_eq!(timer(own, place.endpoint()).await, NONE);
    }
}

#[tokio::test]
async fn a_control_link_is_asked_whether_it_is_there() {
    let mut place = Place::start();
    let mut dialled = TcpStream::connect(place.endpoint()).await.unwrap();
    // It begins a frame.
    dialled.write_all(&[0]).await.unwrap();
    let incoming = timeout(PATIENCE, place.control.recv()).await.expect("it is handed on").unwrap();
    let socket = SockRef::from(incoming.stream.tcp().unwrap());
    assert!(socket.keepalive().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(60));
    assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(10));
    assert_eq!(socket.tcp_keepalive_retries().unwrap(), 6);
}

/// Timers of proc_net_tcp in the kernel's documentation.
const NONE: &str = "00";
const KEEP_ALIVE: &str = "02";

/// What the kernel waits for at a socket of this machine, once all is acknowledged that it sent.
async fn timer(local: SocketAddr, remote: SocketAddr) -> String {
    /// As long as something is to be sent again.
    const RETRANSMISSION: &str = "01";
    let (local, remote) = (written(local), written(remote));
    let read = async {
        loop {
            let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
            let rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
            let row = rows.filter(|row| row.len() > 5).find(|row| row[1..3] == [&local, &remote]);
            let timer = row.expect("the socket is there")[5].split(':').next().unwrap().to_owned();
            if timer != RETRANSMISSION {
                return timer;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, read).await.expect("it is acknowledged")
}

/// As /proc/net/tcp has it.
fn written(endpoint: SocketAddr) -> String {
    let SocketAddr::V4(endpoint) = endpoint else { panic!("{endpoint}") };
    let number = |endpoint: SocketAddrV4| u32::from_ne_bytes(endpoint.ip().octets());
    format!("{:08X}:{:04X}", number(endpoint), endpoint.port())
}
