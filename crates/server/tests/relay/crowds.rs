//! Many connections that name one carrier.

use std::time::Duration;

use simopen_peer::carriage::{Carriage, Errand, Way};
use simopen_protocol::carrier::CarrierId;
use simopen_server::front;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{PATIENCE, Place, converse};

/// More than a carrier has places for.
const CROWD: usize = 40;

/// A path of a bounded request of a link's carrier.
fn path() -> String {
    use simopen_protocol::carrier::{Errand, ExchangePath, Extent};
    let carrier = CarrierId([7; 32]);
    ExchangePath { errand: Errand::Link, carrier, extent: Extent::Bounded, offset: 0 }.to_string()
}

/// Asks once, and hears the head of the answer.
async fn ask(place: &Place) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(place.endpoint()).await.unwrap();
    let request = format!("GET {} HTTP/1.1\r\nHost: relay\r\n\r\n", path());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    (stream, head)
}

#[tokio::test]
async fn connections_of_a_carrier_that_nobody_knows_keep_their_seats_and_go_in_time() {
    let time = Duration::from_secs(2);
    let limits = front::Limits { newcomer_time: time, ..front::Limits::default() };
    let mut place = Place::with(limits);
    let carriage = Carriage::default();
    let address = place.address();
    let dialled = carriage.dial(&address, &Errand::Link, Way::Http, |_| true);
    let mut link = timeout(PATIENCE, dialled).await.expect("it is reached").unwrap();
    link.write_all(&[0x16]).await.unwrap();
    let incoming = timeout(PATIENCE, place.control.recv()).await.expect("it comes").unwrap();
    incoming.newcomer.witness().known();
    drop(incoming.newcomer);
    let mut far = incoming.stream;
    assert_eq!(far.read_u8().await.unwrap(), 0x16);

    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        crowd.push(ask(&place).await.0);
    }
    for mut stream in crowd {
        // Nothing is asked of them, and they could rest for a minute.
        let mut rest = Vec::new();
        let end = timeout(Duration::from_secs(30), stream.read_to_end(&mut rest)).await;
        // It may be reset.
        let _ = end.expect("it is closed in time");
        assert!(rest.len() <= 1, "{rest:?}");
    }
    let emptied = async {
        while place.front.stats().newcomers > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, emptied).await.expect("their seats are free");
    assert!(place.front.stats().late > 0);
    // Who was known goes on although its connections are older than any of those.
    converse(far, link).await;
}

#[tokio::test]
async fn a_carrier_has_few_connections_and_what_comes_beyond_is_served_and_closed() {
    let place = Place::start();
    let mut resting = Vec::new();
    let mut closed = 0;
    for _ in 0..CROWD {
        let (mut stream, head) = ask(&place).await;
        if head.contains("connection: close") {
            let mut rest = Vec::new();
            let end = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
            end.expect("it is closed").unwrap();
            closed += 1;
        } else {
            resting.push(stream);
        }
    }
    assert_eq!((resting.len(), closed), (8, CROWD - 8));
    // Who goes makes room.
    drop(resting.pop());
    let room = async { while ask(&place).await.1.contains("connection: close") {} };
    timeout(PATIENCE, room).await.expect("there is room");
}
