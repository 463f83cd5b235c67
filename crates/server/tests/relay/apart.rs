//! A broker and a relay apart: orders over a link.

use simopen_broker::PairingOrder;
use simopen_peer::carriage::{Carriage, Way};
use simopen_protocol::control::Proxy;
use simopen_protocol::identity::SessionId;
use simopen_server::broker::{PairingAnswer, Pairings};
use simopen_server::relay::control::{Remote, serve};
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::support::{PATIENCE, Place, converse, ends_without_a_byte, tokens};

/// The other ends of the streams that a broker dials.
type Dialled = mpsc::UnboundedReceiver<DuplexStream>;

fn broker() -> (Remote, mpsc::UnboundedReceiver<PairingAnswer>, Dialled) {
    let (dialled, streams) = mpsc::unbounded_channel();
    let (remote, answers) = Remote::start(move || {
        let (near, far) = duplex(4096);
        let sent = dialled.send(far).map(|()| near);
        async move { sent.map_err(std::io::Error::other) }
    });
    (remote, answers, streams)
}

fn proxy(session: u64) -> Proxy {
    Proxy { session: SessionId(session), values: tokens(session) }
}

async fn next<T>(receiver: &mut mpsc::UnboundedReceiver<T>) -> T {
    timeout(PATIENCE, receiver.recv()).await.expect("it comes").unwrap()
}

#[tokio::test]
async fn a_broker_opens_and_ends_pairs_at_a_relay_that_runs_apart() {
    let place = Place::start();
    let (mut remote, mut answers, mut dialled) = broker();
    let link = next(&mut dialled).await;
    let relay = place.relay.clone();
    tokio::spawn(async move { serve(link, &relay).await });

    remote.order(PairingOrder::Open(proxy(1)));
    assert_eq!(next(&mut answers).await, PairingAnswer::Opened(SessionId(1)));
    // The same number again is no pairing.
    remote.order(PairingOrder::Open(proxy(1)));
    assert_eq!(next(&mut answers).await, PairingAnswer::Failed(SessionId(1)));

    let straight = Carriage::default();
    let values = tokens(1);
    let a = place.meet(&straight, values[0], Way::Straight).await.unwrap();
    let b = place.meet(&straight, values[1], Way::Straight).await.unwrap();
    converse(a, b).await;

    remote.order(PairingOrder::Open(proxy(2)));
    assert_eq!(next(&mut answers).await, PairingAnswer::Opened(SessionId(2)));
    let waiting = place.meet(&straight, tokens(2)[0], Way::Straight).await.unwrap();
    remote.order(PairingOrder::End(SessionId(2)));
    ends_without_a_byte(waiting).await;
}

#[tokio::test]
async fn without_a_link_pairings_fail_at_once_and_what_is_to_end_is_ended_later() {
    let place = Place::start();
    let (mut remote, mut answers, mut dialled) = broker();
    let first = next(&mut dialled).await;
    let values = place.open(1);
    let straight = Carriage::default();
    let a = place.meet(&straight, values[0], Way::Straight).await.unwrap();
    remote.order(PairingOrder::Open(proxy(7)));
    remote.order(PairingOrder::End(SessionId(1)));
    // The relay goes before it has read anything.
    drop(first);
    assert_eq!(next(&mut answers).await, PairingAnswer::Failed(SessionId(7)));
    let second = next(&mut dialled).await;
    let relay = place.relay.clone();
    tokio::spawn(async move { serve(second, &relay).await });
    ends_without_a_byte(a).await;
}

#[tokio::test]
async fn who_is_no_broker_is_not_served() {
    let place = Place::start();
    let (near, mut stranger) = duplex(4096);
    stranger.write_all(b"\x00\x00\x00\x04what").await.unwrap();
    let served = timeout(PATIENCE, serve(near, &place.relay)).await.expect("it ends");
    assert!(served.is_err());
}
