//! Straight connections: who is joined, how it ends, what is refused.

use std::process::Stdio;
use std::time::Duration;

use simopen_peer::carriage::{Carriage, Way};
use simopen_protocol::identity::SessionId;
use simopen_server::relay::Refusal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{PATIENCE, Place, converse, ends_without_a_byte, tokens};

#[tokio::test]
async fn two_who_present_the_values_of_a_pairing_are_joined() {
    let place = Place::start();
    let values = place.open(1);
    let straight = Carriage::default();
    let a = place.meet(&straight, values[0], Way::Straight).await.unwrap();
    let b = place.meet(&straight, values[1], Way::Straight).await.unwrap();
    converse(a, b).await;
    assert_eq!(place.relay.stats().joined, 1);
}

#[tokio::test]
async fn values_of_two_pairings_join_nobody() {
    let place = Place::start();
    let (first, second) = (place.open(1), place.open(2));
    let straight = Carriage::default();
    let a = place.meet(&straight, first[0], Way::Straight).await.unwrap();
    let _b = place.meet(&straight, second[1], Way::Straight).await.unwrap();
    let unknown = place.meet(&straight, tokens(3)[0], Way::Straight).await.unwrap();
    ends_without_a_byte(unknown).await;
    for session in [1, 2] {
        place.relay.end(SessionId(session));
    }
    ends_without_a_byte(a).await;
    assert_eq!(place.relay.stats().joined, 0);
}

#[tokio::test]
async fn of_three_that_present_the_same_value_at_once_one_wins() {
    let place = Place::start();
    let values = place.open(1);
    let presented = async |value: simopen_protocol::token::Token| {
        let mut stream = TcpStream::connect(place.endpoint()).await.unwrap();
        stream.write_all(value.as_bytes()).await.unwrap();
        stream
    };
    let (first, second, third) =
        tokio::join!(presented(values[0]), presented(values[0]), presented(values[0]));
    let mut other = presented(values[1]).await;
    other.write_all(b"!").await.unwrap();
    let mut won = 0;
    for mut stream in [first, second, third] {
        let mut byte = [0];
        let read = timeout(PATIENCE, stream.read(&mut byte)).await.expect("it is joined or closed");
        won += usize::from(matches!(read, Ok(1)));
    }
    assert_eq!(won, 1);
    assert_eq!(place.relay.stats().refused(Refusal::Used), 2);
}

#[tokio::test]
async fn what_came_before_the_other_side_is_delivered_and_so_is_what_came_before_the_end() {
    let place = Place::start();
    let values = place.open(1);
    let mut early = TcpStream::connect(place.endpoint()).await.unwrap();
    early.write_all(values[0].as_bytes()).await.unwrap();
    early.write_all(b"before anybody was there").await.unwrap();
    drop(early);
    let mut late = TcpStream::connect(place.endpoint()).await.unwrap();
    late.write_all(values[1].as_bytes()).await.unwrap();
    let mut heard = String::new();
    timeout(PATIENCE, late.read_to_string(&mut heard)).await.expect("it ends").unwrap();
    assert_eq!(heard, "before anybody was there");
}

#[tokio::test]
async fn a_slow_reader_holds_its_writer_back_and_loses_nothing() {
    let place = Place::start();
    let values = place.open(1);
    let straight = Carriage::default();
    let mut writer = place.meet(&straight, values[0], Way::Straight).await.unwrap();
    let mut reader = place.meet(&straight, values[1], Way::Straight).await.unwrap();
    // It writes until it is held back: then the kernel's buffers and one pipe are full.
    let piece = vec![7; 256 * 1024];
    let mut written = 0;
    while let Ok(wrote) = timeout(Duration::from_millis(500), writer.write(&piece)).await {
        written += wrote.unwrap();
        assert!(written < 1 << 30, "nothing holds the writer back");
    }
    writer.shutdown().await.unwrap();
    let read = async {
        let mut buffer = vec![0; 256 * 1024];
        let mut all = 0;
        loop {
            match reader.read(&mut buffer).await.unwrap() {
                0 => return all,
                length => all += length,
            }
        }
    };
    assert_eq!(timeout(PATIENCE, read).await.expect("all is read"), written);
}

#[tokio::test]
async fn a_pair_is_ended_by_its_number_at_once() {
    let place = Place::start();
    let values = place.open(1);
    let straight = Carriage::default();
    let mut a = place.meet(&straight, values[0], Way::Straight).await.unwrap();
    let mut b = place.meet(&straight, values[1], Way::Straight).await.unwrap();
    a.write_all(b"!").await.unwrap();
    assert_eq!(b.read_u8().await.unwrap(), b'!');
    place.relay.end(SessionId(1));
    ends_without_a_byte(a).await;
    ends_without_a_byte(b).await;
}

#[tokio::test]
async fn a_relay_that_drains_takes_nothing_new_and_lets_pairs_end() {
    let place = Place::start();
    let values = place.open(1);
    let straight = Carriage::default();
    let a = place.meet(&straight, values[0], Way::Straight).await.unwrap();
    let b = place.meet(&straight, values[1], Way::Straight).await.unwrap();
    let mut a = a;
    let mut b = b;
    a.write_all(b"!").await.unwrap();
    assert_eq!(b.read_u8().await.unwrap(), b'!');
    let drained = tokio::spawn({
        let relay = place.relay.clone();
        async move { relay.drain(PATIENCE).await }
    });
    while place
        .relay
        .open(&simopen_protocol::control::Proxy { session: SessionId(2), values: tokens(2) })
        .is_ok()
    {
        place.relay.end(SessionId(2));
        tokio::task::yield_now().await;
    }
    converse(a, b).await;
    timeout(PATIENCE, drained).await.expect("it has drained").unwrap();
    assert_eq!(place.relay.active(), 0);
}

#[tokio::test]
async fn a_relay_that_may_not_wait_closes_what_is_left() {
    let place = Place::start();
    let values = place.open(1);
    let straight = Carriage::default();
    let mut a = place.meet(&straight, values[0], Way::Straight).await.unwrap();
    let mut b = place.meet(&straight, values[1], Way::Straight).await.unwrap();
    a.write_all(b"!").await.unwrap();
    assert_eq!(b.read_u8().await.unwrap(), b'!');
    place.relay.drain(Duration::ZERO).await;
    ends_without_a_byte(b).await;
}

/// Wherever `curl` is, it is an unmodified client.
#[tokio::test]
async fn curl_meets_a_server_by_connect_at_the_relay_itself() {
    let place = Place::start();
    let values = place.open(1);
    let curl = tokio::process::Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "50", "--proxytunnel", "--proxy"])
        .arg(format!("http://{}", place.endpoint()))
        .arg(format!("http://{}.rendezvous:443/hello", values[0].reveal()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let Ok(curl) = curl else {
        simopen_netns_tests::not_run("curl");
        return;
    };
    // The other side does by hand what an ssh ProxyCommand does.
    let mut server = TcpStream::connect(place.endpoint()).await.unwrap();
    let head = format!("CONNECT {}.rendezvous:443 HTTP/1.1\r\nHost: x\r\n\r\n", values[1].reveal());
    server.write_all(head.as_bytes()).await.unwrap();
    let answer = read_head(&mut server).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let request = read_head(&mut server).await;
    assert!(request.starts_with("GET /hello HTTP/1.1"), "{request}");
    server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nwelcome").await.unwrap();
    let said = timeout(PATIENCE, curl.wait_with_output()).await.expect("curl ends").unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout), "welcome");
}

#[tokio::test]
async fn a_connect_with_an_unknown_value_or_to_any_other_host_is_not_found() {
    let place = Place::start();
    for host in [format!("{}.rendezvous:443", tokens(9)[0].reveal()), "127.0.0.1:22".to_owned()] {
        let mut client = TcpStream::connect(place.endpoint()).await.unwrap();
        let head = format!("CONNECT {host} HTTP/1.1\r\nHost: x\r\n\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        let answer = read_head(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    }
    assert_eq!(place.front.stats().not_found, 2);
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = String::new();
    let read = async {
        while !head.ends_with("\r\n\r\n") {
            head.push(char::from(stream.read_u8().await.unwrap()));
        }
    };
    timeout(PATIENCE, read).await.expect("a head comes");
    head
}
