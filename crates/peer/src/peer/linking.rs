//! From an opened connection to an encrypted link, by one way after the other.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use simopen_device::DeviceError;
use simopen_device::capture::PacketSocketCapture;
use simopen_device::filter::{Scope, Selection};
use simopen_device::handover;
use simopen_device::raw::RawSender;
use simopen_protocol::cause::Cause;
use simopen_protocol::control::{ConnectionRequest, KeyFingerprint, PublicKey};
use simopen_protocol::identity::{DeviceName, UserId};
use simopen_protocol::technique::{SynOwner, Technique};
use thiserror::Error;
use tracing::{debug, info, warn};

use super::{Connection, Peer};
use crate::config::Identity;
use crate::error::ConnectError;
use crate::key_words::key_words;
use crate::links::Links;
use crate::peer_link::{Opened, PeerLink, Remote};
use crate::pins::Pins;
use crate::tls::{Ends, Shown, secure};

/// How long the two sides may take to show each other who they are.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// Whom to reach.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Whom {
    /// The user.
    pub user: UserId,
    /// Which of the user's devices; without it the one that logged in last.
    pub device: Option<DeviceName>,
}

/// One step on the way to a link. May grow.
#[derive(Debug)]
#[non_exhaustive]
pub enum Step<'a> {
    /// A link to that device stands already.
    Reused,
    /// This technique is not tried, for this reason.
    Skipped(Technique, &'a str),
    /// This technique is tried.
    Trying(Technique),
    /// It did not lead to a link.
    Failed(Technique, &'a LinkError),
    /// It did.
    Opened(Technique),
}

impl Peer {
    /// The link to another user's device: the one that stands, else one that is opened by the first
    /// of [`crate::PeerConfig::techniques`] that leads there. `told` hears of each step.
    ///
    /// # Errors
    ///
    /// [`LinkError`] of the last technique that was tried, or of the first whose failure says that
    /// no other will do better.
    pub async fn link_to(
        &self,
        whom: &Whom,
        told: &mut (dyn FnMut(Step<'_>) + Send),
    ) -> Result<PeerLink, LinkError> {
        let links = self.config.links.as_ref().ok_or(LinkError::NotJoined)?;
        let _turn = links.turn_to(&whom.user).await;
        if let Some(link) = links.to(&whom.user, whom.device.as_ref()) {
            told(Step::Reused);
            return Ok(link);
        }
        let mut last = LinkError::NoWay;
        for technique in self.config.techniques.iter().copied() {
            if let Some(why) = self.obstacle(technique, &last).await {
                told(Step::Skipped(technique, &why));
                continue;
            }
            told(Step::Trying(technique));
            match self.link_by(links, whom, technique).await {
                Ok(link) => {
                    told(Step::Opened(technique));
                    return Ok(link);
                }
                Err(error) => {
                    told(Step::Failed(technique, &error));
                    if error.is_final() {
                        return Err(error);
                    }
                    last = error;
                }
            }
        }
        Err(last)
    }

    async fn link_by(
        &self,
        links: &Links,
        whom: &Whom,
        technique: Technique,
    ) -> Result<PeerLink, LinkError> {
        let connection = self.connect_to(&whom.user, whom.device.as_ref(), technique).await?;
        self.secure_link(links, &whom.user, technique, connection).await
    }

    /// Makes a link of a connection that another peer asked for.
    pub(super) async fn accept_link(
        &self,
        links: &Links,
        request: &ConnectionRequest,
        connection: Result<Connection, ConnectError>,
    ) {
        let connection = match connection {
            Ok(connection) => connection,
            Err(error) => {
                info!(user = %request.user, technique = %request.technique, %error, "not connected");
                return;
            }
        };
        let secured = self.secure_link(links, &request.user, request.technique, connection).await;
        if let Err(error) = secured {
            info!(user = %request.user, technique = %request.technique, %error, "no link");
        }
    }

    async fn secure_link(
        &self,
        links: &Links,
        user: &UserId,
        technique: Technique,
        connection: Connection,
    ) -> Result<PeerLink, LinkError> {
        let Identity::Device(credentials) = &self.config.identity else {
            return Err(LinkError::NotJoined);
        };
        let introduction = connection.introduction.ok_or(LinkError::NoCertificate)?;
        let (Some(device), Some(certificate)) = (introduction.device, introduction.certificate)
        else {
            return Err(LinkError::NoCertificate);
        };
        let (session, role) = (connection.session, connection.role);
        let ends = Ends { session, role, certificate: &certificate, user, device: &device };
        let credentials = credentials.now();
        let securing = secure(connection.stream, &credentials, &ends);
        let Shown { stream, key } = tokio::time::timeout(HANDSHAKE_TIME, securing)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(LinkError::NotAuthentic)?;
        let kept = pinned(links.pins(), user, &device, &key).await.map_err(LinkError::Pins)?;
        if kept != key {
            let (pinned, shown) = (kept.fingerprint(), key.fingerprint());
            warn!(%user, %device, %pinned, %shown, "refused: another key than the pinned one");
            return Err(LinkError::KeyChanged { user: user.clone(), device, pinned, shown });
        }
        let remote = Remote { peer: introduction.peer, user: user.clone(), device, key };
        debug!(%user, device = %remote.device, %technique, "linked");
        let link = PeerLink::start(stream, Opened { remote, technique, role }, connection.route);
        links.add(&link);
        Ok(link)
    }

    /// Why a technique is not tried.
    async fn obstacle(&self, technique: Technique, last: &LinkError) -> Option<String> {
        if self.ports.is_none() && !technique.meets_at_relay() {
            return Some(ConnectError::BehindProxy.to_string());
        }
        if technique == Technique::Direct && last.cause() == Some(Cause::NoAnswer) {
            return Some("nothing answers a SYN there".to_owned());
        }
        let Technique::ForgedSynAck(owner) = technique else {
            return None;
        };
        if last.cause() == Some(Cause::ForgingOff) {
            return Some(Cause::ForgingOff.sentence().to_owned());
        }
        // On another thread: the kernel takes its time to close a packet socket.
        let tried = tokio::task::spawn_blocking(move || obstacle_to_forging(owner)).await;
        tried.unwrap_or_else(|error| Some(error.to_string()))
    }
}

/// The key that is kept of this device; where it is another one than this, that was told. On another
/// thread: pins may be in files.
async fn pinned(
    pins: &Arc<dyn Pins>,
    user: &UserId,
    device: &DeviceName,
    key: &PublicKey,
) -> io::Result<PublicKey> {
    let (pins, user) = (Arc::clone(pins), user.clone());
    let (device, key) = (device.clone(), key.clone());
    let asked = tokio::task::spawn_blocking(move || {
        let kept = pins.keep(&user, &device, &key)?;
        if kept != key {
            pins.refused(&user, &device, &key);
        }
        Ok(kept)
    });
    asked.await.map_err(io::Error::other)?
}

/// Why nothing is forged for this peer.
fn obstacle_to_forging(owner: SynOwner) -> Option<String> {
    let lacks = |error: DeviceError| error.to_string();
    let selection = Selection { local_port: 1, remote: None, scope: Scope::OwnSyns };
    if let Err(error) = PacketSocketCapture::open(&selection, None) {
        return Some(lacks(error));
    }
    match owner {
        SynOwner::Kernel => None,
        SynOwner::Userspace => {
            RawSender::new_v4().err().map(lacks).or_else(|| handover::probe().err().map(lacks))
        }
    }
}

/// What keeps a link from being opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The peer has logged in without a certificate, so nothing can be encrypted.
    #[error("this peer has no certificate: links to other devices need a device that has joined")]
    NotJoined,
    /// Every technique was skipped.
    #[error("no way to open a connection can be tried here")]
    NoWay,
    /// No connection came about.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The broker gave no certificate for the session, or the other side has no device name.
    #[error("the broker gave no certificate for this connection: both sides have to log in by TLS")]
    NoCertificate,
    /// The other end did not show that it is who the broker named, or this side could not.
    #[error("the other end has not shown who it is: {0}")]
    NotAuthentic(#[source] io::Error),
    /// The other end shows another key than at first contact.
    #[error(
        "WARNING: {user}/{device} shows another key than the pinned one. Either that device was set \
         up anew, or somebody stands between, who may have the broker. Ask its user to read out the \
         words that `simopen peers` shows there for this device. Pinned is: {}. Shown was: {}. Only \
         if these last ones are read out: simopen peers --accept {user}/{device}",
        key_words(*pinned), key_words(*shown)
    )]
    KeyChanged {
        /// Whose device it should be.
        user: UserId,
        /// What that user calls it.
        device: DeviceName,
        /// The key of the first contact.
        pinned: KeyFingerprint,
        /// The key that was shown now.
        shown: KeyFingerprint,
    },
    /// The pins cannot be read or written.
    #[error("the pinned keys cannot be read or kept: {0}")]
    Pins(#[source] io::Error),
}

impl LinkError {
    /// The cause with which the attempt ended, where one was made.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        match self {
            Self::Connect(error) => error.failure().map(|failure| failure.cause),
            Self::NotJoined
            | Self::NoWay
            | Self::NoCertificate
            | Self::NotAuthentic(_)
            | Self::KeyChanged { .. }
            | Self::Pins(_) => None,
        }
    }

    /// Whether no other technique will do better.
    fn is_final(&self) -> bool {
        match self {
            Self::Connect(ConnectError::LinkLost)
            | Self::NotJoined
            | Self::NoCertificate
            | Self::KeyChanged { .. }
            | Self::Pins(_) => true,
            Self::Connect(ConnectError::Failed(_)) => {
                let hopeless = [Cause::UnknownPeer, Cause::Revoked, Cause::LinkLost];
                self.cause().is_some_and(|cause| hopeless.contains(&cause))
            }
            Self::Connect(
                ConnectError::ProxyRefused { .. }
                | ConnectError::Device(_)
                | ConnectError::BehindProxy,
            )
            | Self::NoWay
            | Self::NotAuthentic(_) => false,
        }
    }
}
