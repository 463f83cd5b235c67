//! Streams inside bodies of HTTP, without a proxy.

use simopen_peer::carriage::{Carriage, CarriageError, Errand, Way};
use simopen_server::front::Kind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{PATIENCE, Place, converse, tokens};

#[tokio::test]
async fn two_meet_inside_bodies_of_http() {
    let place = Place::start();
    let values = place.open(1);
    let straight = Carriage::default();
    let (a, b) = tokio::join!(
        place.meet(&straight, values[0], Way::Http),
        place.meet(&straight, values[1], Way::Http)
    );
    converse(a.unwrap(), b.unwrap()).await;
    assert_eq!(place.relay.stats().joined, 1);
}

#[tokio::test]
async fn one_inside_bodies_meets_one_who_came_straight() {
    let place = Place::start();
    let values = place.open(1);
    let straight = Carriage::default();
    let a = place.meet(&straight, values[0], Way::Http).await.unwrap();
    let b = place.meet(&straight, values[1], Way::Straight).await.unwrap();
    converse(a, b).await;
}

#[tokio::test]
async fn an_unknown_value_is_not_taken_inside_bodies_either() {
    let place = Place::start();
    let unknown = place.meet(&Carriage::default(), tokens(9)[0], Way::Http).await;
    assert!(matches!(unknown, Err(CarriageError::NotTaken)), "{unknown:?}");
}

#[tokio::test]
async fn a_value_is_good_once_in_whatever_form() {
    let place = Place::start();
    let values = place.open(1);
    let straight = Carriage::default();
    let _first = place.meet(&straight, values[0], Way::Http).await.unwrap();
    let again = place.meet(&straight, values[0], Way::Http).await;
    assert!(matches!(again, Err(CarriageError::NotTaken)), "{again:?}");
}

#[tokio::test]
async fn a_control_link_inside_bodies_is_sniffed_like_a_connection() {
    let mut place = Place::start();
    let carriage = Carriage::default();
    for (first, kind) in [(0x16, Kind::Tls), (0x00, Kind::Clear)] {
        let address = place.address();
        let dialled = carriage.dial(&address, &Errand::Link, Way::Http, |_| true);
        let mut link = timeout(PATIENCE, dialled).await.expect("it is reached").unwrap();
        link.write_all(&[first]).await.unwrap();
        let incoming = timeout(PATIENCE, place.control.recv()).await.expect("it comes").unwrap();
        assert_eq!(incoming.kind, kind);
        assert!(incoming.stream.socket().is_none());
        let mut stream = incoming.stream;
        assert_eq!(stream.read_u8().await.unwrap(), first);
        converse(stream, link).await;
    }
}

#[tokio::test]
async fn a_straight_control_link_comes_with_its_socket_and_nothing_read() {
    let mut place = Place::start();
    let mut link = TcpStream::connect(place.endpoint()).await.unwrap();
    link.write_all(b"\x16hello").await.unwrap();
    let mut incoming = timeout(PATIENCE, place.control.recv()).await.expect("it comes").unwrap();
    assert!(incoming.stream.socket().is_some());
    assert_eq!(incoming.remote, link.local_addr().unwrap());
    let mut heard = [0; 6];
    incoming.stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"\x16hello");
}

#[tokio::test]
async fn what_is_no_beginning_of_anything_is_closed() {
    let place = Place::start();
    let mut stranger = TcpStream::connect(place.endpoint()).await.unwrap();
    stranger.write_all(b"\x05\x01\x00").await.unwrap();
    crate::support::ends_without_a_byte(stranger).await;
    assert_eq!(place.front.stats().not_understood, 1);
}
