//! Real proxies between the peers and the relay; each that lets pass beside one that does not.

use simopen_peer::carriage::{Carriage, CarriageError, Errand, ProxyWords, Way};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::proxy_program::{ProxyProgram, Rule};
use crate::support::{PATIENCE, Place, ends_without_a_byte, exchange, tokens};

/// Two who are set up alike meet.
async fn meets(place: &Place, carriage: &Carriage, way: Way) {
    let values = place.open(1);
    let (a, b) =
        tokio::join!(place.meet(carriage, values[0], way), place.meet(carriage, values[1], way));
    exchange(a.unwrap(), b.unwrap()).await;
    assert_eq!(place.relay.stats().joined, 1);
}

/// A control link through there reaches the broker's side, and carries both ways.
async fn links(place: &mut Place, carriage: &Carriage, way: Way) {
    let address = place.address();
    let dialled = carriage.dial(&address, &Errand::Link, way, |_| true);
    let mut link = timeout(PATIENCE, dialled).await.expect("it is reached").unwrap();
    link.write_all(&[0x16]).await.unwrap();
    let incoming = timeout(PATIENCE, place.control.recv()).await.expect("it comes").unwrap();
    let mut stream = incoming.stream;
    assert_eq!(stream.read_u8().await.unwrap(), 0x16);
    exchange(stream, link).await;
}

async fn refusal(place: &Place, carriage: &Carriage, way: Way) -> ProxyWords {
    match place.meet(carriage, tokens(5)[0], way).await {
        Err(CarriageError::ProxyRefused(words)) => words,
        other => panic!("the proxy should have refused: {other:?}"),
    }
}

#[tokio::test]
async fn through_squid_by_connect_two_meet_and_strangers_do_not() {
    let Some(squid) = ProxyProgram::squid(Rule::All) else { return };
    let mut place = Place::start();
    meets(&place, &squid.carriage(), Way::Configured).await;
    links(&mut place, &squid.carriage(), Way::Connect).await;
    assert!(squid.said().contains("CONNECT"), "{}", squid.said());
    let unknown = place.meet(&squid.carriage(), tokens(9)[0], Way::Connect).await.unwrap();
    ends_without_a_byte(unknown).await;
}

#[tokio::test]
async fn through_squid_with_a_login_who_logs_in_meets_and_who_does_not_hears_why() {
    let Some(squid) = ProxyProgram::squid(Rule::Alice) else { return };
    let place = Place::start();
    meets(&place, &squid.carriage_as_alice("word"), Way::Configured).await;
    for carriage in [squid.carriage(), squid.carriage_as_alice("wrong")] {
        for way in [Way::Configured, Way::Http] {
            let words = refusal(&place, &carriage, way).await;
            assert_eq!(
                (words.status, words.reason.as_str()),
                (407, "Proxy Authentication Required")
            );
            assert!(words.text.contains("Cache Access Denied"), "{words}");
        }
    }
}

#[tokio::test]
async fn through_squid_that_forbids_connect_two_meet_inside_bodies() {
    let Some(squid) = ProxyProgram::squid(Rule::NoConnect) else { return };
    let mut place = Place::start();
    let words = refusal(&place, &squid.carriage(), Way::Connect).await;
    assert_eq!((words.status, words.reason.as_str()), (403, "Forbidden"));
    assert!(words.text.contains("Access Denied"), "{words}");
    meets(&place, &squid.carriage(), Way::Configured).await;
    links(&mut place, &squid.carriage(), Way::Configured).await;
}

#[tokio::test]
async fn a_login_goes_with_exchanges_too() {
    let Some(squid) = ProxyProgram::squid(Rule::AliceNoConnect) else { return };
    let place = Place::start();
    meets(&place, &squid.carriage_as_alice("word"), Way::Configured).await;
    assert_eq!(refusal(&place, &squid.carriage(), Way::Configured).await.status, 407);
}

#[tokio::test]
async fn through_squid_that_forbids_everything_nobody_meets() {
    let Some(squid) = ProxyProgram::squid(Rule::Nothing) else { return };
    let place = Place::start();
    for way in [Way::Configured, Way::Connect, Way::Http] {
        assert_eq!(refusal(&place, &squid.carriage(), way).await.status, 403);
    }
    let mut around = squid.carriage();
    let Ok(no_proxy) = "127.0.0.0/8".parse();
    around.no_proxy = no_proxy;
    meets(&place, &around, Way::Configured).await;
}

#[tokio::test]
async fn through_tinyproxy_by_connect_two_meet() {
    let Some(tinyproxy) = ProxyProgram::tinyproxy(None) else { return };
    let mut place = Place::start();
    meets(&place, &tinyproxy.carriage(), Way::Connect).await;
    links(&mut place, &tinyproxy.carriage(), Way::Configured).await;
}

#[tokio::test]
async fn through_tinyproxy_that_forbids_connect_two_meet_inside_bodies() {
    let Some(tinyproxy) = ProxyProgram::tinyproxy(Some(1)) else { return };
    let mut place = Place::start();
    assert_eq!(refusal(&place, &tinyproxy.carriage(), Way::Connect).await.status, 403);
    meets(&place, &tinyproxy.carriage(), Way::Configured).await;
    links(&mut place, &tinyproxy.carriage(), Way::Configured).await;
}
