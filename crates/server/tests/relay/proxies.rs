//! Real proxies between the peers and the relay; each that lets pass beside one that does not.

use simopen_netns_tests::{LoopbackProxy, Rule};
use simopen_peer::carriage::{
    Carriage, CarriageError, Errand, Login, NoProxy, Proxy, ProxyWords, Way,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::support::{PATIENCE, Place, ends_without_a_byte, exchange, tokens};

/// The way through this proxy, as nobody.
fn through(proxy: &LoopbackProxy) -> Carriage {
    carriage(proxy, None)
}

/// The way through this proxy, as `alice`.
fn as_alice(proxy: &LoopbackProxy, password: &str) -> Carriage {
    carriage(proxy, Some(Login { user: "alice".to_owned(), password: password.to_owned() }))
}

fn carriage(proxy: &LoopbackProxy, login: Option<Login>) -> Carriage {
    let proxy = Proxy { address: proxy.address().into(), login };
    Carriage { proxy: Some(proxy), no_proxy: NoProxy::default() }
}

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
    let Some(squid) = LoopbackProxy::squid(Rule::All) else { return };
    let mut place = Place::start();
    meets(&place, &through(&squid), Way::Configured).await;
    links(&mut place, &through(&squid), Way::Connect).await;
    assert!(squid.said().contains("CONNECT"), "{}", squid.said());
    let unknown = place.meet(&through(&squid), tokens(9)[0], Way::Connect).await.unwrap();
    ends_without_a_byte(unknown).await;
}

#[tokio::test]
async fn through_squid_with_a_login_who_logs_in_meets_and_who_does_not_hears_why() {
    let Some(squid) = LoopbackProxy::squid(Rule::Login) else { return };
    let place = Place::start();
    meets(&place, &as_alice(&squid, "word"), Way::Configured).await;
    for carriage in [through(&squid), as_alice(&squid, "wrong")] {
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
    let Some(squid) = LoopbackProxy::squid(Rule::NoConnect) else { return };
    let mut place = Place::start();
    let words = refusal(&place, &through(&squid), Way::Connect).await;
    assert_eq!((words.status, words.reason.as_str()), (403, "Forbidden"));
    assert!(words.text.contains("Access Denied"), "{words}");
    meets(&place, &through(&squid), Way::Configured).await;
    links(&mut place, &through(&squid), Way::Configured).await;
}

#[tokio::test]
async fn a_login_goes_with_exchanges_too() {
    let Some(squid) = LoopbackProxy::squid(Rule::LoginNoConnect) else { return };
    let place = Place::start();
    meets(&place, &as_alice(&squid, "word"), Way::Configured).await;
    assert_eq!(refusal(&place, &through(&squid), Way::Configured).await.status, 407);
}

#[tokio::test]
async fn through_squid_that_forbids_everything_nobody_meets() {
    let Some(squid) = LoopbackProxy::squid(Rule::Nothing) else { return };
    let place = Place::start();
    for way in [Way::Configured, Way::Connect, Way::Http] {
        assert_eq!(refusal(&place, &through(&squid), way).await.status, 403);
    }
    let mut around = through(&squid);
    let Ok(no_proxy) = "127.0.0.0/8".parse();
    around.no_proxy = no_proxy;
    meets(&place, &around, Way::Configured).await;
}

#[tokio::test]
async fn through_tinyproxy_by_connect_two_meet() {
    let Some(tinyproxy) = LoopbackProxy::tinyproxy(None) else { return };
    let mut place = Place::start();
    meets(&place, &through(&tinyproxy), Way::Connect).await;
    links(&mut place, &through(&tinyproxy), Way::Configured).await;
}

#[tokio::test]
async fn through_tinyproxy_that_forbids_connect_two_meet_inside_bodies() {
    let Some(tinyproxy) = LoopbackProxy::tinyproxy(Some(1)) else { return };
    let mut place = Place::start();
    assert_eq!(refusal(&place, &through(&tinyproxy), Way::Connect).await.status, 403);
    meets(&place, &through(&tinyproxy), Way::Configured).await;
    links(&mut place, &through(&tinyproxy), Way::Configured).await;
}
