//! A broker in the test's own process, its clock in the test's hand.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use simopen_broker::directory::Directory;
use simopen_broker::{AdminError, AdminReply, AdminRequest};
use simopen_peer::carriage::Carriage;
use simopen_peer::{Credentials, DeviceKey, JoinError};
use simopen_protocol::identity::{BrokerName, CommunityName, DeviceName, UserId};
use simopen_protocol::invitation::Invitation;
use simopen_server::authority::{Authority, Subject};
use simopen_server::broker::{Builder, Handle};
use simopen_server::wall_clock::WallClock;

pub(crate) struct Stand {
    pub(crate) handle: Handle,
    pub(crate) authority: Authority,
    /// What the broker takes for the time of day.
    pub(crate) time: Arc<AtomicU64>,
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

pub(crate) fn device(name: &str) -> DeviceName {
    DeviceName::new(name).unwrap()
}

/// Joins straight, through no proxy.
pub(crate) async fn join(
    invitation: &Invitation,
    called: &DeviceName,
    key: &DeviceKey,
) -> Result<Credentials, JoinError> {
    simopen_peer::join(invitation, called, key, &Carriage::default()).await
}

pub(crate) fn now() -> u64 {
    WallClock::system().seconds()
}

/// On loopback, at a port that is free.
pub(crate) fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

impl Stand {
    pub(crate) fn start() -> Self {
        Self::start_as(|builder| builder)
    }

    pub(crate) fn start_as(but: impl FnOnce(Builder) -> Builder) -> Self {
        let authority = Authority::ephemeral(now()).unwrap();
        let time = Arc::new(AtomicU64::new(now()));
        let told = Arc::clone(&time);
        let clock = WallClock::by(move || told.load(Ordering::Relaxed));
        let builder = Builder::new(Directory::default())
            .listen(TcpListener::bind(loopback()).unwrap())
            .authority(authority.clone())
            .wall_clock(clock);
        Self { handle: but(builder).start().unwrap(), authority, time }
    }

    pub(crate) fn at(&self) -> SocketAddr {
        self.handle.local_addr()
    }

    pub(crate) async fn admin(&self, request: AdminRequest) -> Result<AdminReply, AdminError> {
        self.handle.desk().admin(request).await.unwrap()
    }

    /// Adds a user who is in the one community.
    pub(crate) async fn add(&self, name: &str) {
        let communities = vec![CommunityName::new("home").unwrap()];
        let added = self.admin(AdminRequest::AddUser { user: user(name), communities }).await;
        assert_eq!(added, Ok(AdminReply::Done));
    }

    pub(crate) async fn invite(&self, name: &str, lifetime: Duration) -> Invitation {
        let asked = self.admin(AdminRequest::Invite { user: user(name), lifetime }).await;
        let Ok(AdminReply::Invited { secret, until }) = asked else { panic!("{asked:?}") };
        Invitation {
            broker: BrokerName::new("broker").unwrap(),
            addresses: vec![self.at().into()],
            authority: self.authority.fingerprint(),
            secret,
            until,
        }
    }

    /// Joins as one more device of a user.
    pub(crate) async fn join(&self, name: &str, called: &str) -> Result<Credentials, JoinError> {
        let invitation = self.invite(name, Duration::from_secs(60)).await;
        join(&invitation, &device(called), &DeviceKey::generate().unwrap()).await
    }

    /// Adds a user who has joined with a device.
    pub(crate) async fn joined(&self, name: &str) -> Credentials {
        self.add(name).await;
        self.join(name, "pc").await.unwrap()
    }

    /// The same device with a certificate that was issued then.
    pub(crate) fn certified_at(&self, own: &Credentials, then: u64) -> Credentials {
        let public = own.key.public().unwrap();
        let subject = Subject { user: &own.user, device: &own.device, key: &public };
        let certificate = self.authority.issue_device(subject, then).unwrap();
        Credentials { certificate, ..own.clone() }
    }

    /// Sets the broker's clock on, and returns when the broker has seen it: what it invites for then
    /// lasts from the new time.
    pub(crate) async fn pass(&self, time: Duration) {
        let now = self.time.fetch_add(time.as_secs(), Ordering::Relaxed) + time.as_secs();
        self.add("clock").await;
        while self.invite("clock", Duration::ZERO).await.until < now {
            tokio::task::yield_now().await;
        }
    }

    /// How often the service refused something for this reason.
    pub(crate) async fn refused(&self, reason: simopen_server::broker::Refusal) -> u64 {
        let figures = self.handle.desk().figures().await.unwrap();
        figures.refused.get(&reason).copied().unwrap_or(0)
    }
}
