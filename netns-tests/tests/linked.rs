//! Devices that have joined link to each other through boxes, directly and encrypted, on kernels.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
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
    Channel, DeviceKey, Links, MemoryPins, NewLinks, PeerConfig, PeerLink, Resident, Standing,
    Whom, join,
};
use simopen_protocol::invitation::Invitation;
use simopen_protocol::technique::{SynOwner, Technique};
use simopen_scenario::participants::consent;
use simopen_scenario::seed::entropy_of;
use simopen_scenario::star::Star;
use simopen_server::authority::Authority;
use simopen_server::broker::{Builder, Desk, Handle};
use simopen_server::store::Sqlite;
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
    let (_handle, invitations) = on(&topology, 2, move || house_of_two(broker));
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

#[test]
fn no_direct_link_notices_that_the_broker_is_killed_and_comes_back() {
    let firewall = MiddleboxSpec::syn_ack_only_firewall;
    for (boxes, technique) in [
        (MiddleboxSpec::rfc5382_compliant(), Technique::SimultaneousOpen),
        (firewall(), Technique::ForgedSynAck(SynOwner::Kernel)),
        (firewall(), Technique::ForgedSynAck(SynOwner::Userspace)),
    ] {
        goes_on_without_a_broker(boxes, technique);
    }
}

/// Links two devices by that technique under a broker that is a process, and keeps one channel
/// between them over its death by kill -9 and its return.
fn goes_on_without_a_broker(boxes: MiddleboxSpec, technique: Technique) {
    if !requires() {
        return;
    }
    let scratch = std::env::temp_dir().join(format!("simopen-linked-{}", std::process::id()));
    let topology = build(boxes);
    let address = topology.layout().address(HOSTS[2]).expect("the broker has an address");
    let start = |users: &'static str| {
        let (directory, at) = (scratch.clone(), SocketAddr::new(address, PORT));
        on(&topology, 2, move || async move { Killable::start(&directory, at, users) })
    };
    let (broker, invitations) = start("ab");
    let [for_a, for_b] = invitations.try_into().expect("one for each");
    let bob = on(&topology, 1, move || device(for_b, technique));
    let (alice, link, mut channel) = on(&topology, 0, move || async move {
        let alice = device(for_a, technique).await;
        let bob = Whom { user: "b".parse().expect("a name"), device: None };
        let link = alice.0.link_to(&bob, &mut |_| ()).await.expect("they link");
        let mut channel = link.open("echo").await.expect("the other side answers");
        assert_eq!(ask(&mut channel, b"before").await, b"before");
        (alice, link, channel)
    });
    assert_eq!(link.technique(), technique);
    let logins = [&alice.0, &bob.0].map(|resident| resident.id().expect("it is online"));
    broker.kill();
    for (place, resident) in [&alice.0, &bob.0].into_iter().enumerate() {
        let mut standing = resident.standing();
        let is_away = |it: &Standing| !matches!(it, Standing::Online(_));
        on(&topology, place, move || async move {
            standing.wait_for(is_away).await.map(drop).expect("it runs");
        });
    }
    channel = on(&topology, 0, move || async move {
        assert_eq!(ask(&mut channel, b"without a broker").await, b"without a broker");
        channel
    });
    let (_broker, _) = start("");
    for (place, resident) in [&alice.0, &bob.0].into_iter().enumerate() {
        let (mut standing, before) = (resident.standing(), logins[place]);
        on(&topology, place, move || async move {
            let is_new = |it: &Standing| matches!(it, Standing::Online(it) if it.id() != before);
            standing.wait_for(is_new).await.map(drop).expect("it comes back");
        });
    }
    let links = alice.1.clone();
    on(&topology, 0, move || async move {
        assert_eq!(ask(&mut channel, b"and with it").await, b"and with it");
        // The other side answers one channel at a time.
        channel.shutdown().await.expect("the channel stands");
        assert_eq!(channel.read(&mut [0]).await.expect("it ends as it should"), 0);
        assert_eq!(echo(&link, "on another channel").await, "on another channel");
        drop((alice, bob));
    });
    assert_eq!(links.all().len(), 1, "nothing was opened anew");
    std::fs::remove_dir_all(&scratch).expect("it is there");
}

/// In the environment of a broker's process: its directory, its address, and whom it has to invite,
/// a letter each.
const BROKER: [&str; 3] = ["SIMOPEN_TEST_BROKER", "SIMOPEN_TEST_ADDRESS", "SIMOPEN_TEST_USERS"];

/// A broker in a process of its own, in the namespace of whoever starts it. It does not outlive this.
struct Killable(Child);

impl Killable {
    /// Starts it, and gives its invitations.
    fn start(directory: &Path, at: SocketAddr, users: &str) -> (Self, Vec<Invitation>) {
        std::fs::create_dir_all(directory).expect("there is room");
        let own = std::env::current_exe().expect("the test knows its own program");
        let values = [directory.as_os_str(), at.to_string().as_ref(), users.as_ref()]
            .map(std::ffi::OsStr::to_owned);
        let mut child = Command::new(own)
            .args(["--exact", "a_broker_for_another_test", "--nocapture", "--test-threads=1"])
            .envs(BROKER.into_iter().zip(values))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the own program can be started");
        let out = child.stdout.take().expect("it is piped");
        let broker = Self(child);
        let mut lines = BufReader::new(out).lines().map(|line| line.expect("it is text"));
        let ready = lines.find_map(|line| line.split_once("ready:").map(|it| it.1.to_owned()));
        let ready = ready.expect("a broker that starts says so");
        let invitations = ready.split_whitespace().map(|it| it.parse().expect("an invitation"));
        (broker, invitations.collect())
    }

    /// kill -9.
    fn kill(mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("it can be waited for");
    }
}

impl Drop for Killable {
    fn drop(&mut self) {
        // It may be dead.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// In a child this is a broker until it is killed, or the test that started it is gone.
#[test]
fn a_broker_for_another_test() {
    let [Some(directory), Some(at), Some(users)] = BROKER.map(std::env::var_os) else {
        return;
    };
    let text = |value: OsString| value.into_string().expect("it is text");
    let (directory, at, users) = (Path::new(&directory), text(at), text(users));
    let at: SocketAddr = at.parse().expect("an address");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let authority = Authority::open(directory, now()).expect("a key can be kept");
        let store = Sqlite::open(directory.join("directory.sqlite")).expect("it can be kept");
        let broker = house(at, &authority, |builder| builder.store(store));
        let mut invitations = Vec::new();
        for user in users.chars() {
            let invitation = invite(&broker.desk(), &user.to_string(), at, &authority).await;
            invitations.push(invitation.reveal());
        }
        println!("ready:{}", invitations.join(" "));
        let wait = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let ended = tokio::task::spawn_blocking(wait).await.expect("it waits");
        ended.expect("a pipe can be read");
        broker.stop().await;
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

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_secs()
}

/// A broker that forges.
fn house(
    address: SocketAddr,
    authority: &Authority,
    more: impl FnOnce(Builder) -> Builder,
) -> Handle {
    let builder = Builder::new(Directory::default())
        .listen(listener_saving_syn(address).expect("the port is free"))
        .authority(authority.clone())
        .consent(consent(true, address.ip()));
    more(builder).start().expect("it starts")
}

/// The same, and an invitation for a device of each user.
async fn house_of_two(address: SocketAddr) -> (Handle, [Invitation; 2]) {
    let authority = Authority::ephemeral(now()).expect("a key can be made");
    let broker = house(address, &authority, |builder| builder);
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

/// What comes back on a channel that stays open.
async fn ask(channel: &mut Channel, words: &[u8]) -> Vec<u8> {
    channel.write_all(words).await.expect("the channel stands");
    let mut heard = vec![0; words.len()];
    channel.read_exact(&mut heard).await.expect("the channel stands");
    heard
}

async fn echo(link: &PeerLink, words: &str) -> String {
    let mut channel = link.open("echo").await.expect("the other side answers");
    channel.write_all(words.as_bytes()).await.expect("the channel stands");
    channel.shutdown().await.expect("the channel stands");
    let mut heard = String::new();
    channel.read_to_string(&mut heard).await.expect("the channel stands");
    heard
}
