//! Devices that have joined link to each other through boxes, directly and encrypted, on kernels.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use simopen_broker::directory::Directory;
use simopen_broker::{AdminReply, AdminRequest};
use simopen_device::clock::Clock;
use simopen_device::socket::listener_saving_syn;
use simopen_lab::host::Host;
use simopen_lab::pump::Packets;
use simopen_lab::topology::{Topology, TopologyOptions};
use simopen_nat::MiddleboxSpec;
use simopen_netns_tests::requires;
use simopen_peer::carriage::Carriage;
use simopen_peer::{
    DeviceKey, Links, MemoryPins, NewLinks, PeerConfig, PeerLink, Resident, Whom, join,
};
use simopen_protocol::invitation::Invitation;
use simopen_protocol::technique::{SynOwner, Technique};
use simopen_scenario::participants::consent;
use simopen_scenario::seed::entropy_of;
use simopen_scenario::star::Star;
use simopen_server::authority::Authority;
use simopen_server::broker::{Builder, Desk, Handle};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, split};

/// The hosts: originator, responder, broker.
const HOSTS: [&str; 3] = ["a", "b", "c"];
const PORT: u16 = 7443;

#[test]
fn a_forged_syn_ack_opens_a_link_between_kernels_that_dial() {
    links_directly(
        MiddleboxSpec::syn_ack_only_firewall(),
        Technique::ForgedSynAck(SynOwner::Kernel),
    );
}

#[test]
fn a_forged_syn_ack_opens_a_link_on_connections_that_were_built_outside_the_kernel() {
    let technique = Technique::ForgedSynAck(SynOwner::Userspace);
    links_directly(MiddleboxSpec::syn_ack_only_firewall(), technique);
}

#[test]
fn a_simultaneous_open_becomes_a_link() {
    links_directly(MiddleboxSpec::rfc5382_compliant(), Technique::SimultaneousOpen);
}

/// Joins two devices, links them by that technique, and says something on the link; and again when
/// the broker is cut off, so that nothing goes through it.
fn links_directly(boxes: MiddleboxSpec, technique: Technique) {
    if !requires() {
        return;
    }
    let topology = build(boxes);
    let address = topology.layout().address(HOSTS[2]).expect("the broker has an address");
    let broker = SocketAddr::new(address, PORT);
    let (_handle, invitations) = on(&topology, 2, move || house(broker));
    let [for_a, for_b] = invitations;
    let _bob = on(&topology, 1, move || device(for_b, technique));
    let (alice, link) = on(&topology, 0, move || async move {
        let (alice, links) = device(for_a, technique).await;
        let bob = Whom { user: "b".parse().expect("a name"), device: None };
        let link = alice.link_to(&bob, &mut |step| println!("{step:?}")).await;
        let link = link.expect("they link");
        assert_eq!(echo(&link, "with a broker").await, "with a broker");
        ((alice, links), link)
    });
    assert_eq!(link.technique(), technique);
    let port = topology.layout().host(HOSTS[2]).expect("the broker's host").port;
    topology.alter(move |fabric, _| fabric.set_port_enabled(port, false)).expect("it is cut off");
    on(&topology, 0, move || async move {
        assert_eq!(echo(&link, "without").await, "without");
        drop(alice);
    });
}

fn build(boxes: MiddleboxSpec) -> Topology {
    let (clock, entropy) = (Clock::start(), entropy_of(0));
    let star =
        Star { boxes: [Some(boxes), Some(boxes)], ..Star::with_leg(Duration::from_millis(10)) };
    let network = star.network(&entropy, clock.now()).expect("it can be planned");
    let options = TopologyOptions::default();
    Topology::build(network, entropy, Packets::Forgotten, &options, clock).expect("it can be built")
}

/// Runs something on a host, to its end.
fn on<T, F>(topology: &Topology, place: usize, job: impl FnOnce() -> F + Send + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let host: &Host = topology.host(HOSTS[place]).expect("there is such a host");
    let spawned = host.spawn(job).expect("the host runs");
    spawned.wait().expect("the job does not panic")
}

/// A broker that forges, and an invitation for a device of each user.
async fn house(address: SocketAddr) -> (Handle, [Invitation; 2]) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_secs();
    let authority = Authority::ephemeral(now).expect("a key can be made");
    let broker = Builder::new(Directory::default())
        .listen(listener_saving_syn(address).expect("the port is free"))
        .authority(authority.clone())
        .consent(consent(true, address.ip()))
        .start()
        .expect("it starts");
    let desk = broker.desk();
    let invitations = [
        invite(&desk, "a", address, &authority).await,
        invite(&desk, "b", address, &authority).await,
    ];
    (broker, invitations)
}

async fn invite(desk: &Desk, user: &str, broker: SocketAddr, authority: &Authority) -> Invitation {
    let user = || user.parse().expect("a name");
    let communities = vec!["experiment".parse().expect("a name")];
    let added = desk.admin(AdminRequest::AddUser { user: user(), communities }).await;
    assert!(matches!(added, Some(Ok(_))), "{added:?}");
    let lifetime = Duration::from_secs(600);
    let invited = desk.admin(AdminRequest::Invite { user: user(), lifetime }).await;
    let Some(Ok(AdminReply::Invited { secret, until })) = invited else { panic!("{invited:?}") };
    Invitation {
        broker: "home".parse().expect("a name"),
        addresses: vec![broker.into()],
        authority: authority.fingerprint(),
        secret,
        until,
    }
}

/// A device that has joined, is online, and says back what it hears.
async fn device(invitation: Invitation, technique: Technique) -> (Resident, Links) {
    let key = DeviceKey::generate().expect("a key can be made");
    let name = "desk".parse().expect("a name");
    let joined = join(&invitation, &name, &key, &Carriage::default()).await.expect("it joins");
    let (links, new) = Links::new(Arc::new(MemoryPins::default()));
    let techniques = vec![technique];
    let config = PeerConfig::joined(invitation.addresses, joined, links.clone());
    let resident = Resident::start(PeerConfig { techniques, ..config });
    tokio::spawn(say_back(new));
    let peer = resident.online().await.expect("it is not stopped");
    peer.ready().await.expect("a port is proven");
    (resident, links)
}

async fn say_back(mut new: NewLinks) {
    while let Some(link) = new.next().await {
        tokio::spawn(async move {
            while let Some(offered) = link.accept().await {
                let (mut from, mut to) = split(offered.accept());
                copy(&mut from, &mut to).await.expect("the channel stands");
                to.shutdown().await.expect("the channel stands");
            }
        });
    }
}

async fn echo(link: &PeerLink, words: &str) -> String {
    let mut channel = link.open("echo").await.expect("the other side answers");
    channel.write_all(words.as_bytes()).await.expect("the channel stands");
    channel.shutdown().await.expect("the channel stands");
    let mut heard = String::new();
    channel.read_to_string(&mut heard).await.expect("the channel stands");
    heard
}
