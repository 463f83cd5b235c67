//! A broker and a relay apart: orders over a link.

use std::time::Duration;

use simopen_broker::PairingOrder;
use simopen_peer::carriage::{Carriage, Way};
use simopen_protocol::control::{KeyFingerprint, Proxy};
use simopen_protocol::identity::SessionId;
use simopen_server::broker::{PairingAnswer, Pairings};
use simopen_server::relay::control::{Remote, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::support::{PATIENCE, Place, converse, ends_without_a_byte, tokens};

/// The other ends of the streams that a broker dials.
type Dialled = mpsc::UnboundedReceiver<DuplexStream>;

/// What every relay here shows.
const KEY: KeyFingerprint = KeyFingerprint([7; 32]);

fn broker() -> (Remote, mpsc::UnboundedReceiver<PairingAnswer>, Dialled) {
    let (dialled, streams) = mpsc::unbounded_channel();
    let (remote, answers) = Remote::start(move || {
        let (near, far) = duplex(4096);
        let sent = dialled.send(far).map(|()| (near, KEY));
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
async fn a_broker_opens_and_ends_pairs_at_a_relay_that_runs_apart_and_hears_of_ends() {
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
    assert_eq!(next(&mut answers).await, PairingAnswer::Ended(SessionId(1)));

    remote.order(PairingOrder::Open(proxy(2)));
    assert_eq!(next(&mut answers).await, PairingAnswer::Opened(SessionId(2)));
    let waiting = place.meet(&straight, tokens(2)[0], Way::Straight).await.unwrap();
    remote.order(PairingOrder::End(SessionId(2)));
    ends_without_a_byte(waiting).await;
    assert_eq!(next(&mut answers).await, PairingAnswer::Ended(SessionId(2)));
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
async fn an_end_is_heard_although_more_orders_wait_than_there_is_room_for() {
    let place = Place::start();
    let (mut remote, mut answers, mut dialled) = broker();
    let link = next(&mut dialled).await;
    let straight = Carriage::default();
    let ended = place.meet(&straight, place.open(1)[0], Way::Straight).await.unwrap();
    let kept = place.meet(&straight, place.open(2)[0], Way::Straight).await.unwrap();
    // The link holds little, and nobody reads it yet: at last there is no room.
    let mut session = 10;
    let refused = loop {
        session += 1;
        remote.order(PairingOrder::Open(proxy(session)));
        if let Ok(answer) = answers.try_recv() {
            break answer;
        }
    };
    assert_eq!(refused, PairingAnswer::Failed(SessionId(session)));
    remote.order(PairingOrder::End(SessionId(1)));
    // This one is called off before it was asked for.
    remote.order(PairingOrder::End(SessionId(session - 1)));
    let relay = place.relay.clone();
    tokio::spawn(async move { serve(link, &relay).await });
    ends_without_a_byte(ended).await;
    // The control: nobody ended the other one.
    let other = place.meet(&straight, tokens(2)[1], Way::Straight).await.unwrap();
    converse(kept, other).await;
    let mut opened = 11..session - 1;
    let mut ended = 1..3;
    while !opened.is_empty() || !ended.is_empty() {
        let answer = next(&mut answers).await;
        if let PairingAnswer::Opened(SessionId(session)) = answer {
            assert_eq!(Some(session), opened.next());
        } else if let PairingAnswer::Ended(SessionId(session)) = answer {
            assert_eq!(Some(session), ended.next());
        } else {
            panic!("{answer:?}");
        }
    }
    assert!(answers.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_stops_reading_is_left_and_hears_the_end_when_it_is_back() {
    let place = Place::start();
    let (mut remote, mut answers, mut dialled) = broker();
    let stuck = next(&mut dialled).await;
    let mut asked = Vec::new();
    // More than the link holds.
    for session in 10..1000 {
        remote.order(PairingOrder::Open(proxy(session)));
        asked.push(PairingAnswer::Failed(SessionId(session)));
    }
    remote.order(PairingOrder::End(SessionId(1)));
    let began = Instant::now();
    let back = next(&mut dialled).await;
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    for failed in asked {
        assert_eq!(next(&mut answers).await, failed);
    }
    // Time has to go as it does where sockets are.
    tokio::time::resume();
    let straight = Carriage::default();
    let ended = place.meet(&straight, place.open(1)[0], Way::Straight).await.unwrap();
    let kept = place.meet(&straight, place.open(2)[0], Way::Straight).await.unwrap();
    let relay = place.relay.clone();
    tokio::spawn(async move { serve(back, &relay).await });
    ends_without_a_byte(ended).await;
    // The control: nobody ended the other one.
    let other = place.meet(&straight, tokens(2)[1], Way::Straight).await.unwrap();
    converse(kept, other).await;
    drop(stuck);
}

#[tokio::test]
async fn a_relay_that_is_revoked_ends_its_pairs_and_is_left() {
    let place = Place::start();
    let (mut remote, mut answers, mut dialled) = broker();
    let link = next(&mut dialled).await;
    let relay = place.relay.clone();
    let served = tokio::spawn(async move { serve(link, &relay).await });
    let straight = Carriage::default();
    let mut sides = Vec::new();
    for session in [1, 2] {
        remote.order(PairingOrder::Open(proxy(session)));
        assert_eq!(next(&mut answers).await, PairingAnswer::Opened(SessionId(session)));
        for value in tokens(session) {
            sides.push(place.meet(&straight, value, Way::Straight).await.unwrap());
        }
    }
    for pair in [0, 2] {
        sides[pair].write_all(b"?").await.unwrap();
        let heard = timeout(PATIENCE, sides[pair + 1].read_u8()).await.expect("they met");
        assert_eq!(heard.unwrap(), b'?');
    }

    // The control: somebody else's revocation touches nothing here.
    let pairs = vec![SessionId(1)];
    let other = KeyFingerprint([8; 32]);
    remote.order(PairingOrder::Leave { relay: other, pairs: pairs.clone() });
    remote.order(PairingOrder::Open(proxy(3)));
    assert_eq!(next(&mut answers).await, PairingAnswer::Opened(SessionId(3)));
    assert_eq!(place.relay.active(), 2);

    remote.order(PairingOrder::Leave { relay: KEY, pairs });
    remote.order(PairingOrder::Open(proxy(4)));
    assert_eq!(next(&mut answers).await, PairingAnswer::Left);
    assert_eq!(next(&mut answers).await, PairingAnswer::Failed(SessionId(4)));
    timeout(PATIENCE, served).await.expect("the link is cut").unwrap().unwrap_err();
    let second = sides.split_off(2);
    for side in sides {
        ends_without_a_byte(side).await;
    }
    // The broker did not know of that one.
    let [a, b] = <[_; 2]>::try_from(second).unwrap();
    converse(a, b).await;
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_is_revoked_is_left_although_it_does_not_read() {
    let (mut remote, mut answers, mut dialled) = broker();
    let mut stuck = next(&mut dialled).await;
    // More than the link holds, and than the broker keeps for it.
    for session in 10..2000 {
        remote.order(PairingOrder::Open(proxy(session)));
    }
    let began = Instant::now();
    // All that can be written is written.
    timeout(Duration::from_millis(100), std::future::pending::<()>()).await.unwrap_err();
    remote.order(PairingOrder::Leave { relay: KEY, pairs: vec![SessionId(1)] });
    while next(&mut answers).await != PairingAnswer::Left {}
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    timeout(PATIENCE, stuck.read_to_end(&mut Vec::new())).await.expect("the link is cut").unwrap();
}

#[tokio::test]
async fn who_is_no_broker_is_not_served() {
    let place = Place::start();
    let (near, mut stranger) = duplex(4096);
    stranger.write_all(b"\x00\x00\x00\x04what").await.unwrap();
    let served = timeout(PATIENCE, serve(near, &place.relay)).await.expect("it ends");
    assert!(served.is_err());
}
