//! Links between devices, over the relay.

use std::io;
use std::sync::{Arc, Mutex};

use simopen_broker::AdminRequest;
use simopen_peer::key_words::key_words;
use simopen_peer::{DeviceKey, LinkError, MemoryPins, Pins};
use simopen_protocol::cause::Cause;
use simopen_protocol::control::PublicKey;
use simopen_protocol::identity::{DeviceName, UserId};
use simopen_protocol::technique::{Carriage, SynOwner, Technique};
use tokio::time::timeout;

use crate::house::{Device, House, PATIENCE, config, name};

/// Pins that remember what was refused.
#[derive(Default)]
struct Noted {
    pins: MemoryPins,
    refused: Mutex<Vec<PublicKey>>,
}

impl Pins for Noted {
    fn keep(&self, user: &UserId, device: &DeviceName, key: &PublicKey) -> io::Result<PublicKey> {
        self.pins.keep(user, device, key)
    }

    fn refused(&self, _user: &UserId, _device: &DeviceName, key: &PublicKey) {
        self.refused.lock().unwrap().push(key.clone());
    }
}

#[tokio::test]
async fn two_devices_link_know_each_other_and_use_the_one_link_for_everything() {
    let house = House::open();
    let (alice, bob) = (house.device("alice").await, house.device("bob").await);
    assert_eq!(alice.echo("bob", "are you there?").await, "are you there?");
    let ours = alice.links.all();
    assert_eq!(ours.len(), 1);
    assert_eq!(ours[0].remote().user.as_str(), "bob");
    assert_eq!(ours[0].remote().device.as_str(), "desk");
    assert_eq!(Some(ours[0].remote().peer), bob.resident.id());
    // Bob goes back by the link that alice has opened.
    assert_eq!(bob.echo("alice", "I am").await, "I am");
    let (link, steps) = alice.link_by_steps("bob").await;
    link.unwrap();
    assert_eq!(steps, ["Reused"]);
    assert_eq!((alice.links.all().len(), bob.links.all().len()), (1, 1));
}

#[tokio::test]
async fn each_step_on_the_way_is_told() {
    let house = House::open();
    let alice = house.device("alice").await;
    let _bob = house.device("bob").await;
    let (link, steps) = alice.link_by_steps("bob").await;
    link.unwrap();
    assert_eq!(steps, ["Trying(Relay(Any))", "Opened(Relay(Any))"]);
}

#[tokio::test]
async fn what_cannot_be_direct_goes_by_the_relay_at_last() {
    let house = House::open();
    let _bob = house.device("bob").await;
    let pins = Arc::new(MemoryPins::default());
    let (mut config, links) = config(house.address.into(), house.join("alice", "desk").await, pins);
    config.techniques = vec![
        Technique::ForgedSynAck(SynOwner::Kernel),
        Technique::ForgedSynAck(SynOwner::Userspace),
        Technique::SimultaneousOpen,
        Technique::Relay(Carriage::Any),
        Technique::Direct,
    ];
    let alice = Device::start((config, links));
    timeout(PATIENCE, alice.resident.online()).await.unwrap().unwrap();
    let (link, steps) = alice.link_by_steps("bob").await;
    assert_eq!(link.unwrap().technique(), Technique::Relay(Carriage::Any));
    // The broker does not forge, or this program may not capture; nobody dials on loopback.
    let of_forging = steps.iter().filter(|step| step.contains("ForgedSynAck"));
    assert!(of_forging.clone().any(|step| step.starts_with("Skipped")), "{steps:?}");
    let rest: Vec<&String> = steps.iter().filter(|step| !step.contains("ForgedSynAck")).collect();
    assert_eq!(rest.len(), 4, "{steps:?}");
    assert_eq!(rest[0], "Trying(SimultaneousOpen)");
    assert!(rest[1].starts_with("Failed(SimultaneousOpen, "), "{steps:?}");
    assert_eq!((&**rest[2], &**rest[3]), ("Trying(Relay(Any))", "Opened(Relay(Any))"));
}

#[tokio::test]
async fn many_ask_for_the_same_link_and_get_one() {
    let house = House::open();
    let alice = Arc::new(house.device("alice").await);
    let bob = house.device("bob").await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let alice = Arc::clone(&alice);
        asking.spawn(async move { alice.link("bob").await.unwrap() });
    }
    while let Some(asked) = timeout(PATIENCE, asking.join_next()).await.unwrap() {
        asked.unwrap();
    }
    // Bob's side has it too, by the time that he says something back.
    alice.echo("bob", "x").await;
    assert_eq!((alice.links.all().len(), bob.links.all().len()), (1, 1));
}

#[tokio::test]
async fn a_device_that_links_again_and_again_keeps_only_its_newest_links() {
    let house = House::open();
    let bob = house.device("bob").await;
    let credentials = house.join("alice", "desk").await;
    let mut all = Vec::new();
    for _ in 0..20 {
        let (credentials, pins) = (credentials.clone(), Arc::new(MemoryPins::default()));
        let alice = Device::online(house.address.into(), credentials, pins).await;
        alice.echo("bob", "x").await;
        all.push(alice);
    }
    assert_eq!(bob.links.all().len(), 16);
    let first = all[0].links.all();
    for link in first {
        timeout(PATIENCE, link.closed()).await.unwrap();
    }
    assert_eq!(all[19].echo("bob", "the newest stands").await, "the newest stands");
}

#[tokio::test]
async fn who_shares_no_community_or_is_not_there_is_not_reached_and_not_told_apart() {
    let house = House::open();
    let alice = house.device("alice").await;
    house.join_in("strangers", "carol", "desk").await;
    for user in ["carol", "nobody"] {
        let error = alice.link(user).await.unwrap_err();
        assert_eq!(error.cause(), Some(Cause::UnknownPeer), "{user}");
    }
}

#[tokio::test]
async fn another_key_than_the_pinned_one_is_refused_with_a_warning_by_who_asks() {
    let house = House::open();
    let bob = house.device("bob").await;
    let pins = Arc::new(Noted::default());
    let other = DeviceKey::generate().unwrap().public().unwrap();
    pins.keep(&name("bob"), &name("desk"), &other).unwrap();
    let credentials = house.join("alice", "desk").await;
    let alice = Device::online(house.address.into(), credentials, pins.clone()).await;
    let error = alice.link("bob").await.unwrap_err();
    let LinkError::KeyChanged { pinned, shown, .. } = &error else { panic!("{error}") };
    assert_eq!(*pinned, other.fingerprint());
    assert_ne!(shown, pinned);
    let said = error.to_string();
    assert!(said.starts_with("WARNING: bob/desk shows another key than the pinned one"), "{said}");
    for key in [pinned, shown] {
        assert!(said.contains(&key_words(*key)), "{said}");
    }
    let refused = pins.refused.lock().unwrap().clone();
    assert_eq!(refused.iter().map(PublicKey::fingerprint).collect::<Vec<_>>(), [*shown]);
    assert!(alice.links.all().is_empty());
    for link in bob.links.all() {
        timeout(PATIENCE, link.closed()).await.unwrap();
    }
}

#[tokio::test]
async fn another_key_than_the_pinned_one_is_refused_by_who_is_asked() {
    let house = House::open();
    let pins = Arc::new(Noted::default());
    let other = DeviceKey::generate().unwrap().public().unwrap();
    pins.keep(&name("alice"), &name("desk"), &other).unwrap();
    let credentials = house.join("bob", "desk").await;
    let bob = Device::online(house.address.into(), credentials, pins.clone()).await;
    let alice = house.device("alice").await;
    // In TLS 1.3 the client may be done before the server has judged it.
    if let Ok(link) = alice.link("bob").await {
        timeout(PATIENCE, link.closed()).await.unwrap();
    }
    assert!(bob.links.all().is_empty());
    assert_eq!(pins.refused.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_user_who_is_revoked_loses_links_and_others_close_theirs() {
    let house = House::open();
    let (alice, bob) = (house.device("alice").await, house.device("bob").await);
    let carol = house.device("carol").await;
    alice.echo("bob", "x").await;
    alice.echo("carol", "x").await;
    let (to_bob, to_carol) =
        (alice.links.to(&name("bob"), None), alice.links.to(&name("carol"), None));
    house.admin(AdminRequest::RevokeUser(name("bob"))).await.unwrap();
    timeout(PATIENCE, to_bob.unwrap().closed()).await.unwrap();
    for link in bob.links.all() {
        timeout(PATIENCE, link.closed()).await.unwrap();
    }
    assert!(!to_carol.unwrap().is_closed(), "nobody else is concerned");
    assert_eq!(carol.echo("alice", "still here").await, "still here");
}
