//! A broker with its authority and its relay, and devices that join it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use simopen_broker::directory::{Change, Directory};
use simopen_broker::{AdminError, AdminReply, AdminRequest};
use simopen_device::socket::listener_saving_syn;
use simopen_peer::carriage::Carriage;
use simopen_peer::{
    Credentials, DeviceKey, LinkError, Links, MemoryPins, NewLinks, Offered, PeerConfig, PeerLink,
    Pins, Resident, Step, Whom, join,
};
use simopen_protocol::address::HostPort;
use simopen_protocol::identity::{BrokerName, CommunityName, DeviceName, UserId};
use simopen_protocol::invitation::Invitation;
use simopen_protocol::technique::{self, Technique};
use simopen_server::authority::Authority;
use simopen_server::store::{Store, StoreError};
use simopen_server::{broker, relay};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, split};
use tokio::time::timeout;

/// Long enough for a machine that is busy; nothing here takes long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Where a broker's directory outlives it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept(Arc<Mutex<Directory>>);

impl Store for Kept {
    fn load(&mut self) -> Result<Directory, StoreError> {
        Ok(self.0.lock().unwrap().clone())
    }

    fn append(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let mut directory = self.0.lock().unwrap();
        changes.iter().for_each(|change| directory.apply(change));
        Ok(())
    }
}

pub(crate) struct House {
    pub(crate) broker: broker::Handle,
    pub(crate) authority: Authority,
    pub(crate) address: SocketAddr,
    pub(crate) kept: Kept,
}

impl House {
    pub(crate) fn open() -> Self {
        let authority = Authority::ephemeral(now()).unwrap();
        Self::open_with(authority, Kept::default(), loopback(), |builder| builder)
    }

    pub(crate) fn open_with(
        authority: Authority,
        kept: Kept,
        address: SocketAddr,
        more: impl FnOnce(broker::Builder) -> broker::Builder,
    ) -> Self {
        let listener = listener_saving_syn(address).unwrap();
        let address = listener.local_addr().unwrap();
        let relay = relay::Builder::new().start().unwrap();
        let builder = broker::Builder::new(Directory::default())
            .listen(listener)
            .store(kept.clone())
            .name(name("home"))
            .authority(authority.clone())
            .relay(vec![address.into()], relay);
        let broker = more(builder).start().unwrap();
        Self { broker, authority, address, kept }
    }

    pub(crate) async fn admin(&self, request: AdminRequest) -> Result<AdminReply, AdminError> {
        self.broker.desk().admin(request).await.unwrap()
    }

    pub(crate) async fn invite(&self, user: &str, community: &str) -> Invitation {
        let communities = vec![name::<CommunityName>(community)];
        let added = self.admin(AdminRequest::AddUser { user: name(user), communities }).await;
        assert!(matches!(added, Ok(AdminReply::Done) | Err(AdminError::Exists)), "{added:?}");
        let lifetime = Duration::from_secs(600);
        let invited = self.admin(AdminRequest::Invite { user: name(user), lifetime }).await;
        let Ok(AdminReply::Invited { secret, until }) = invited else { panic!("{invited:?}") };
        Invitation {
            broker: name::<BrokerName>("home"),
            addresses: vec![self.address.into()],
            authority: self.authority.fingerprint(),
            secret,
            until,
        }
    }

    pub(crate) async fn join(&self, user: &str, device: &str) -> Credentials {
        self.join_in("friends", user, device).await
    }

    pub(crate) async fn join_in(&self, community: &str, user: &str, device: &str) -> Credentials {
        let invitation = self.invite(user, community).await;
        let key = DeviceKey::generate().unwrap();
        join(&invitation, &name(device), &key, &Carriage::default()).await.unwrap()
    }

    /// A device that has joined, is online, and says back what it hears.
    pub(crate) async fn device(&self, user: &str) -> Device {
        let credentials = self.join(user, "desk").await;
        Device::online(self.address.into(), credentials, Arc::new(MemoryPins::default())).await
    }
}

/// A device that is online.
pub(crate) struct Device {
    pub(crate) resident: Resident,
    pub(crate) links: Links,
}

impl Device {
    pub(crate) async fn online(
        broker: HostPort,
        credentials: Credentials,
        pins: Arc<dyn Pins>,
    ) -> Self {
        let device = Self::start(config(broker, credentials, pins));
        timeout(PATIENCE, device.resident.online()).await.unwrap().unwrap();
        device
    }

    pub(crate) fn start((config, new): (PeerConfig, NewLinks)) -> Self {
        let links = config.links.clone().unwrap();
        tokio::spawn(serve(new));
        Self { resident: Resident::start(config), links }
    }

    pub(crate) async fn link(&self, user: &str) -> Result<PeerLink, LinkError> {
        self.link_by_steps(user).await.0
    }

    /// The link, and the steps that led to it.
    pub(crate) async fn link_by_steps(
        &self,
        user: &str,
    ) -> (Result<PeerLink, LinkError>, Vec<String>) {
        let mut steps = Vec::new();
        let (whom, mut told) = (whom(user), |step: Step<'_>| steps.push(format!("{step:?}")));
        let linked = timeout(PATIENCE, self.resident.link_to(&whom, &mut told)).await.unwrap();
        (linked, steps)
    }

    /// What comes back when this is said to a user.
    pub(crate) async fn echo(&self, user: &str, words: &str) -> String {
        let link = self.link(user).await.unwrap();
        let mut channel = timeout(PATIENCE, link.open("echo")).await.unwrap().unwrap();
        channel.write_all(words.as_bytes()).await.unwrap();
        channel.shutdown().await.unwrap();
        let mut heard = String::new();
        timeout(PATIENCE, channel.read_to_string(&mut heard)).await.unwrap().unwrap();
        heard
    }
}

pub(crate) fn config(
    broker: HostPort,
    credentials: Credentials,
    pins: Arc<dyn Pins>,
) -> (PeerConfig, NewLinks) {
    let (links, new) = Links::new(pins);
    let config = PeerConfig {
        // Nobody may dial on loopback but a relay.
        techniques: vec![Technique::Relay(technique::Carriage::Any)],
        ..PeerConfig::joined(vec![broker], credentials, links)
    };
    (config, new)
}

async fn serve(mut new: NewLinks) {
    while let Some(link) = new.next().await {
        tokio::spawn(async move {
            while let Some(offered) = link.accept().await {
                tokio::spawn(say_back(offered));
            }
        });
    }
}

async fn say_back(offered: Offered) {
    let (mut from, mut to) = split(offered.accept());
    // The other side may be gone.
    let _ = copy(&mut from, &mut to).await;
    let _ = to.shutdown().await;
}

fn whom(user: &str) -> Whom {
    Whom { user: name::<UserId>(user), device: None }
}

pub(crate) fn device_name(text: &str) -> DeviceName {
    name(text)
}

pub(crate) fn name<N: std::str::FromStr>(text: &str) -> N
where
    N::Err: std::fmt::Debug,
{
    text.parse().unwrap()
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub(crate) fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}
