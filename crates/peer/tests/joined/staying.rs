//! Staying with a broker that goes away and comes back, and with a certificate that ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use simopen_peer::{MemoryPins, News, Peer, Standing};
use simopen_server::authority::{Authority, Subject};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::house::{Device, House, Kept, PATIENCE, config, loopback, now};

/// A way to the broker that can be cut.
struct Way {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Way {
    async fn to(broker: SocketAddr, at: SocketAddr) -> Self {
        let listener = TcpListener::bind(at).await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut carried = JoinSet::new();
            while let Ok((mut from, _)) = listener.accept().await {
                carried.spawn(async move {
                    let mut to = TcpStream::connect(broker).await.unwrap();
                    let _ = copy_bidirectional(&mut from, &mut to).await;
                });
            }
        });
        Self { address, task }
    }

    /// Ends all connections on it.
    async fn cut(self) -> SocketAddr {
        self.task.abort();
        let _ = self.task.await;
        self.address
    }
}

async fn until(
    standing: &mut watch::Receiver<Standing>,
    is_meant: fn(&Standing) -> bool,
) -> Standing {
    let met = timeout(PATIENCE, standing.wait_for(is_meant)).await.unwrap().unwrap();
    met.clone()
}

fn is_waiting(standing: &Standing) -> bool {
    matches!(standing, Standing::Waiting { .. })
}

fn is_online(standing: &Standing) -> bool {
    matches!(standing, Standing::Online(_))
}

#[tokio::test]
async fn links_to_other_devices_do_not_notice_that_the_broker_is_gone() {
    let house = House::open();
    let bob = house.device("bob").await;
    let way = Way::to(house.address, loopback()).await;
    let credentials = house.join("alice", "desk").await;
    let pins = Arc::new(MemoryPins::default());
    let alice = Device::online(way.address.into(), credentials, pins).await;
    alice.echo("bob", "x").await;
    let mut standing = alice.resident.standing();
    let address = way.cut().await;
    until(&mut standing, is_waiting).await;
    assert_eq!(alice.echo("bob", "without a broker").await, "without a broker");
    let _way = Way::to(house.address, address).await;
    until(&mut standing, is_online).await;
    assert_eq!(bob.echo("alice", "on the same link").await, "on the same link");
    assert_eq!(alice.links.all().len(), 1);
}

#[tokio::test]
async fn many_peers_come_back_by_themselves_and_not_all_at_once() {
    let house = House::open();
    let way = Way::to(house.address, loopback()).await;
    let mut devices = Vec::new();
    for number in 0..40 {
        let credentials = house.join("alice", &format!("device{number}")).await;
        let pins = Arc::new(MemoryPins::default());
        devices.push(Device::start(config(way.address.into(), credentials, pins)));
    }
    let mut standings: Vec<_> = devices.iter().map(|device| device.resident.standing()).collect();
    for standing in &mut standings {
        until(standing, is_online).await;
    }
    let address = way.cut().await;
    let mut waits = Vec::new();
    for standing in &mut standings {
        if let Standing::Waiting { until, .. } = until(standing, is_waiting).await {
            waits.push(until);
        }
    }
    waits.sort();
    let spread = waits[waits.len() - 1].duration_since(waits[0]);
    assert!(spread > Duration::from_millis(200), "all within {spread:?}");
    let _way = Way::to(house.address, address).await;
    for standing in &mut standings {
        until(standing, is_online).await;
    }
}

#[tokio::test]
async fn a_broker_that_restarts_is_given_the_time_it_asks_for() {
    let house = House::open();
    let device = house.device("alice").await;
    let mut standing = device.resident.standing();
    let before = Instant::now();
    let (authority, kept, address) = (house.authority.clone(), house.kept.clone(), house.address);
    house.broker.drain(Duration::from_secs(2)).await;
    let Standing::Waiting { until: at, .. } = until(&mut standing, is_waiting).await else {
        panic!("it waits");
    };
    assert!(at >= before + Duration::from_secs(2), "it asked for two seconds");
    let _house = House::open_with(authority, kept, address, |builder| builder);
    until(&mut standing, is_online).await;
}

#[tokio::test]
async fn who_wants_something_does_not_wait_for_the_next_turn() {
    let house = House::open();
    let credentials = house.join("alice", "desk").await;
    let way = Way::to(house.address, loopback()).await;
    let device =
        Device::start(config(way.address.into(), credentials, Arc::new(MemoryPins::default())));
    let mut standing = device.resident.standing();
    until(&mut standing, is_online).await;
    let at = way.cut().await;
    until(&mut standing, is_waiting).await;
    // Each attempt that fails makes the wait longer, at last half a minute at least.
    for _ in 0..8 {
        let Standing::Waiting { until: before, .. } = standing.borrow().clone() else {
            panic!("it waits");
        };
        device.resident.hurry();
        let is_later =
            |now: &Standing| matches!(now, Standing::Waiting { until, .. } if *until != before);
        timeout(PATIENCE, standing.wait_for(is_later)).await.unwrap().unwrap();
    }
    let _way = Way::to(house.address, at).await;
    device.resident.hurry();
    let next_turn = Duration::from_secs(25);
    timeout(next_turn, standing.wait_for(is_online)).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_certificate_is_renewed_without_a_break_and_is_good_for_the_next_login() {
    let authority = Authority::ephemeral(now() - 100 * 24 * 3600).unwrap();
    let house = House::open_with(authority, Kept::default(), loopback(), |builder| builder);
    let mut alice = house.join("alice", "phone").await;
    let key = alice.key.public().unwrap();
    let subject = Subject { user: &alice.user, device: &alice.device, key: &key };
    // Two thirds of its 90 days are over.
    let old = house.authority.issue_device(subject, now() - 80 * 24 * 3600).unwrap();
    alice.certificate = old.clone();
    let pins = Arc::new(MemoryPins::default());
    let (config, _links) = config(house.address.into(), alice, pins);
    let mut news = config.news.subscribe();
    let (peer, _incoming) = Peer::login(config.clone()).await.unwrap();
    let renewed = loop {
        if let News::Renewed(certificate) = timeout(PATIENCE, news.recv()).await.unwrap().unwrap() {
            break certificate;
        }
    };
    assert_ne!(renewed, old);
    timeout(PATIENCE, peer.ready()).await.unwrap().unwrap();
    let asked = peer.request(simopen_protocol::control::Action::Ping).await;
    assert!(asked.is_ok(), "the link is the same");
    peer.logout().await;
    let simopen_peer::Identity::Device(credentials) = &config.identity else { panic!() };
    assert_eq!(credentials.now().certificate, renewed);
    assert!(Peer::login(config).await.is_ok());
}

#[tokio::test]
async fn who_stops_logs_out_and_stays_out() {
    let house = House::open();
    let alice = house.device("alice").await;
    timeout(PATIENCE, alice.resident.stop()).await.unwrap();
    assert!(matches!(*alice.resident.standing().borrow(), Standing::Ended));
    assert!(alice.resident.online().await.is_none());
    let gauges = house.broker.desk().figures().await.unwrap().gauges;
    assert_eq!(gauges.peers, 0, "{gauges:?}");
}
