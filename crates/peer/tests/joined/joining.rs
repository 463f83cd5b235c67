//! Who gets in, and whom a device takes for its broker.

use std::sync::Arc;

use simopen_peer::carriage::Carriage;
use simopen_peer::{DeviceKey, Identity, JoinError, LoginError, MemoryPins, News, Peer, join};
use simopen_protocol::control::Notification;
use simopen_protocol::token::Token;
use simopen_server::authority::Authority;
use tokio::time::timeout;

use crate::house::{House, PATIENCE, config, device_name, now};

fn pins() -> Arc<MemoryPins> {
    Arc::new(MemoryPins::default())
}

#[tokio::test]
async fn a_device_that_has_joined_logs_in_and_is_told_who_is_there() {
    let house = House::open();
    let bob = house.device("bob").await;
    let alice = house.join("alice", "phone").await;
    let (config, _links) = config(house.address.into(), alice, pins());
    let mut news = config.news.subscribe();
    let (peer, _incoming) = Peer::login(config).await.unwrap();
    assert_eq!(news.recv().await.unwrap(), News::Online(peer.id()));
    let mut online = Vec::new();
    loop {
        let News::Told(told) = timeout(PATIENCE, news.recv()).await.unwrap().unwrap() else {
            panic!("only what is told comes here");
        };
        if let Notification::Presence(presence) = &*told {
            online.push(presence.peer);
        }
        if *told == Notification::Listed {
            break;
        }
    }
    assert_eq!(online, [bob.resident.id().unwrap()]);
    timeout(PATIENCE, peer.ready()).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_invitation_is_good_once() {
    let house = House::open();
    let invitation = house.invite("alice", "friends").await;
    let carriage = Carriage::default();
    let (name, key) = (device_name("phone"), DeviceKey::generate().unwrap());
    let joined = join(&invitation, &name, &key, &carriage).await.unwrap();
    assert_eq!(joined.user.as_str(), "alice");
    let (name, key) = (device_name("desk"), DeviceKey::generate().unwrap());
    let again = join(&invitation, &name, &key, &carriage).await;
    assert!(matches!(again, Err(JoinError::Refused(_))));
}

#[tokio::test]
async fn the_secret_of_an_invitation_is_said_to_nobody_but_who_shows_its_authority() {
    let house = House::open();
    let mut invitation = house.invite("alice", "friends").await;
    let meant = invitation.authority;
    invitation.authority = Authority::ephemeral(now()).unwrap().fingerprint();
    let (key, device) = (DeviceKey::generate().unwrap(), device_name("phone"));
    let error = join(&invitation, &device, &key, &Carriage::default()).await.unwrap_err();
    assert!(matches!(error, JoinError::NotAuthentic { .. }), "{error}");
    // Nobody has heard it, so it is still good.
    invitation.authority = meant;
    assert!(join(&invitation, &device, &key, &Carriage::default()).await.is_ok());
}

#[tokio::test]
async fn a_broker_of_another_authority_is_not_logged_in_to() {
    let house = House::open();
    let mut alice = house.join("alice", "phone").await;
    alice.authority = Authority::ephemeral(now()).unwrap().certificate();
    let (config, _links) = config(house.address.into(), alice, pins());
    let error = Peer::login(config).await.unwrap_err();
    assert!(matches!(error, LoginError::NotAuthentic { .. }), "{error}");
}

#[tokio::test]
async fn a_device_logs_in_as_nobody_but_its_user_and_not_by_a_secret() {
    let house = House::open();
    let alice = house.join("alice", "phone").await;
    house.join("bob", "desk").await;
    let (config, _links) = config(house.address.into(), alice, pins());
    let mut as_bob = config.clone();
    as_bob.user = "bob".parse().unwrap();
    let refused = Peer::login(as_bob).await.unwrap_err();
    assert!(
        matches!(&refused, LoginError::Refused(word) if word == "not-authenticated"),
        "{refused}"
    );
    let mut by_secret = config.clone();
    by_secret.identity = Identity::Secret(Token::from_random([1; 32]));
    assert!(Peer::login(by_secret).await.is_err(), "there is no plain text here");
    assert!(Peer::login(config).await.is_ok());
}

#[tokio::test]
async fn the_next_address_is_tried_where_one_does_not_answer() {
    let house = House::open();
    let alice = house.join("alice", "phone").await;
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (mut config, _links) = config(gone.into(), alice, pins());
    config.brokers.push(house.address.into());
    assert!(Peer::login(config).await.is_ok());
}
