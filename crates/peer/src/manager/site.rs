//! This device at one broker.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use simopen_protocol::control::{Action, Notification, PublicKey, Reachable, ShareId, TeamId};
use simopen_protocol::identity::{BrokerName, DeviceName, NoteId, PeerId, UserId};
use tokio::sync::{broadcast, watch};
use tracing::{debug, warn};

use super::choice::{Says, When};
use super::device::DeviceConfig;
use super::journal::Journal;
use super::roster::Roster;
use super::services::{Arrival, Services};
use super::words::{BrokerStatus, LinkStatus, PeerLinkStatus, Refusal, ShareStatus};
use crate::config::PeerConfig;
use crate::credentials::Credentials;
use crate::home::{Event, Home, HomeError, Membership};
use crate::links::{Links, NewLinks};
use crate::news::News;
use crate::peer::Whom;
use crate::peer_link::PeerLink;
use crate::pins::Pins;
use crate::resident::{Resident, Standing};

/// How long a broker may take to tell who and what there is.
const LISTING_TIME: Duration = Duration::from_secs(10);

const SHARES_FILE: &str = "shares.json";
/// With this word a channel to a service that nobody offers is refused.
pub(super) const NO_SERVICE: &str = "no-such-service";

/// This device at one broker. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Site {
    pub(super) joined: Membership,
    pub(super) resident: Resident,
    links: Links,
    roster: watch::Receiver<Roster>,
    home: Home,
    stays: Reachable,
}

/// A share that is to be announced whenever this device is logged in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KeptShare {
    community: String,
    team: String,
    share: String,
}

impl Site {
    /// Begins to log in.
    pub(super) fn start(
        home: &Home,
        joined: Membership,
        config: &DeviceConfig,
        surroundings: (Services, Journal),
    ) -> Self {
        let (services, journal) = surroundings;
        let pins =
            SitePins { home: home.clone(), name: joined.name.clone(), journal: journal.clone() };
        let (links, new_links) = Links::new(Arc::new(pins));
        let credentials = Credentials {
            broker: joined.broker.clone(),
            user: joined.user.clone(),
            device: joined.device.clone(),
            authority: joined.authority.clone(),
            certificate: joined.certificate.clone(),
            key: joined.key.clone(),
        };
        let mut peer = PeerConfig::joined(joined.addresses.clone(), credentials, links.clone());
        peer.reachable = config.reachable;
        peer.carriage = config.carriage.clone();
        if let Some(techniques) = &config.techniques {
            peer.techniques.clone_from(techniques);
        }
        let (told, roster) = watch::channel(Roster::default());
        // Before the login, so that nothing is missed.
        let news = peer.news.subscribe();
        let resident = Resident::start(peer);
        let (home, stays) = (home.clone(), config.reachable);
        let site = Self { joined, resident, links, roster, home: home.clone(), stays };
        let reader = Reader {
            name: site.joined.name.clone(),
            home,
            journal: journal.clone(),
            stays,
            seen: BTreeSet::new(),
            told,
            resident: site.resident.clone(),
        };
        tokio::spawn(reader.read(news));
        let door = Door { broker: site.joined.name.clone(), services, journal };
        tokio::spawn(door.answer(new_links));
        site
    }

    /// What the broker has told.
    pub(super) fn roster(&self) -> watch::Ref<'_, Roster> {
        self.roster.borrow()
    }

    /// The links to other devices that stand.
    pub(super) fn all_links(&self) -> Vec<PeerLink> {
        self.links.all()
    }

    /// Whether a link to that user, or to that device, stands.
    pub(super) fn is_linked_to(&self, whom: &Whom) -> bool {
        self.links.to(&whom.user, whom.device.as_ref()).is_some()
    }

    /// Waits until the device is logged in, or cannot be: where it waits for its turn it tries at
    /// once. Gives its number.
    pub(super) async fn online(&self) -> Result<PeerId, Refusal> {
        let mut standing = self.resident.standing();
        // An attempt that is under way, or fails now, is not made again.
        let mut may_hurry = true;
        loop {
            match &*standing.borrow_and_update() {
                Standing::Online(peer) => return Ok(peer.id()),
                Standing::Waiting { .. } if may_hurry => self.resident.hurry(),
                Standing::Waiting { why, .. } => {
                    return Err(Refusal::failed(format!(
                        "not logged in at {}: {why}",
                        self.joined.name
                    )));
                }
                Standing::Ended => return Err(Refusal::failed("this device is logging out")),
                Standing::Connecting => {}
            }
            may_hurry = false;
            if standing.changed().await.is_err() {
                return Err(Refusal::failed("this device is logging out"));
            }
        }
    }

    /// Waits until the broker has told who and what there is.
    pub(super) async fn listed(&self) -> Result<(), Refusal> {
        let login = self.online().await?;
        let mut roster = self.roster.clone();
        let is_listed = |roster: &Roster| roster.is_listed_for(login);
        let listing = tokio::time::timeout(LISTING_TIME, roster.wait_for(is_listed));
        let silent = || {
            let within = LISTING_TIME.as_secs();
            let name = &self.joined.name;
            Refusal::failed(format!(
                "the broker {name} did not tell who is there within {within} s"
            ))
        };
        match listing.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(silent()),
        }
    }

    /// Whether this broker knows something: as it tells now, else as it told before the link broke;
    /// or the other way round.
    pub(super) async fn says(&self, when: When, is_there: impl Fn(&Roster) -> bool) -> Says {
        let has_told = when == When::Before && self.roster().is_listed();
        let listed = if has_told { Ok(()) } else { self.listed().await };
        let roster = self.roster();
        match listed {
            Err(refusal) if !roster.is_listed() => Says::Nothing(refusal.why),
            Ok(()) | Err(_) if is_there(&roster) => Says::Knows,
            Ok(()) | Err(_) => Says::KnowsNot,
        }
    }

    /// Asks the broker for something.
    pub(super) async fn request(
        &self,
        action: Action,
    ) -> Result<simopen_protocol::control::Reply, Refusal> {
        self.online().await?;
        self.resident.request(action).await.map_err(Refusal::failed)
    }

    /// Announces this share whenever the device is logged in, or does so no longer.
    pub(super) async fn keep_share(&self, share: &ShareId, is_kept: bool) -> io::Result<()> {
        let (home, name) = (self.home.clone(), self.joined.name.clone());
        let kept = KeptShare::from(share);
        let keep = move || {
            let mut shares: Vec<KeptShare> =
                home.read_json(&name, SHARES_FILE)?.unwrap_or_default();
            shares.retain(|share| *share != kept);
            if is_kept {
                shares.push(kept);
            }
            home.write_json(&name, SHARES_FILE, &shares)
        };
        beside(keep).await
    }

    /// What this device shares while it is logged in to stay: the broker tells others of it.
    async fn own_shares(&self) -> Vec<ShareStatus> {
        let Some(peer) = self.resident.id().filter(|_| self.stays == Reachable::Yes) else {
            return Vec::new();
        };
        let (home, name) = (self.home.clone(), self.joined.name.clone());
        let kept: Option<Vec<KeptShare>> =
            beside(move || home.read_json(&name, SHARES_FILE)).await.unwrap_or_default();
        let own = |share: KeptShare| ShareStatus {
            share: share.share,
            community: share.community,
            team: share.team,
            user: self.joined.user.to_string(),
            device: Some(self.joined.device.to_string()),
            peer: peer.0,
        };
        kept.unwrap_or_default().into_iter().map(own).collect()
    }

    /// What is known of this broker.
    pub(super) async fn status(&self) -> BrokerStatus {
        let own_shares = self.own_shares().await;
        let link = match &*self.resident.standing().borrow() {
            Standing::Online(peer) => LinkStatus::Up { peer: peer.id().0 },
            Standing::Waiting { why, .. } => LinkStatus::Down { why: why.clone() },
            Standing::Connecting => LinkStatus::Down { why: "logging in".to_owned() },
            Standing::Ended => LinkStatus::Down { why: "logged out".to_owned() },
        };
        let roster = match link {
            LinkStatus::Up { .. } => self.roster.borrow().clone(),
            LinkStatus::Down { .. } => self.roster.borrow().without_presence(),
        };
        let joined = &self.joined;
        BrokerStatus {
            name: joined.name.to_string(),
            addresses: joined.addresses.iter().map(ToString::to_string).collect(),
            user: joined.user.to_string(),
            device: joined.device.to_string(),
            link,
            communities: roster.community_status(),
            teams: roster.team_status(),
            shares: own_shares.into_iter().chain(roster.share_status()).collect(),
            notes: roster.note_status(),
            links: self.links.all().iter().map(link_status).collect(),
        }
    }
}

/// Does what may wait for the disk on a thread that may.
async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, HomeError> + Send + 'static,
) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(io::Error::other)?.map_err(io::Error::other)
}

fn link_status(link: &PeerLink) -> PeerLinkStatus {
    PeerLinkStatus {
        peer: peer_of(link),
        technique: link.technique().to_string(),
        relayed: link.technique().meets_at_relay(),
    }
}

/// The user and the device at the other end.
pub(super) fn peer_of(link: &PeerLink) -> String {
    format!("{}/{}", link.remote().user, link.remote().device)
}

impl From<&ShareId> for KeptShare {
    fn from(share: &ShareId) -> Self {
        Self {
            community: share.team.community.to_string(),
            team: share.team.team.to_string(),
            share: share.name.to_string(),
        }
    }
}

impl KeptShare {
    fn id(&self) -> Option<ShareId> {
        let team =
            TeamId { community: self.community.parse().ok()?, team: self.team.parse().ok()? };
        Some(ShareId { team, name: self.share.parse().ok()? })
    }
}

/// Reads what the broker tells.
struct Reader {
    name: BrokerName,
    home: Home,
    journal: Journal,
    stays: Reachable,
    /// Notes that the log has.
    seen: BTreeSet<NoteId>,
    told: watch::Sender<Roster>,
    resident: Resident,
}

impl Reader {
    async fn read(mut self, mut news: broadcast::Receiver<News>) {
        self.seen = self.logged_notes().await;
        let mut standing = self.resident.standing();
        loop {
            tokio::select! {
                // What was told goes before what became of the link.
                biased;
                heard = news.recv() => match heard {
                    Ok(news) => self.handle(news).await,
                    Err(broadcast::error::RecvError::Lagged(missed)) => {
                        warn!(broker = %self.name, missed, "news were missed");
                    }
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                changed = standing.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let waits = match &*standing.borrow_and_update() {
                        Standing::Waiting { why, .. } => Some(why.clone()),
                        Standing::Connecting | Standing::Online(_) | Standing::Ended => None,
                    };
                    if let Some(why) = waits {
                        self.log_stay(Event::LinkLost { why }).await;
                    }
                },
            }
        }
    }

    async fn handle(&mut self, news: News) {
        match news {
            News::Online(peer) => {
                self.told.send_replace(Roster::of_login(peer));
                self.log_stay(Event::LoggedIn { peer: peer.0 }).await;
            }
            News::Told(notification) => {
                self.log_told(&notification).await;
                self.told.send_modify(|roster| roster.handle(&notification));
                if *notification == Notification::Listed {
                    self.announce_shares().await;
                }
            }
            News::Renewed(certificate) => {
                let (home, name) = (self.home.clone(), self.name.clone());
                match beside(move || home.renew(&name, &certificate.0)).await {
                    Ok(()) => self.journal.add(&self.name, Event::Renewed).await,
                    Err(error) => warn!(%error, "the renewed certificate cannot be kept"),
                }
            }
            News::Offline => debug!(broker = %self.name, "the link is gone"),
        }
    }

    /// Logs what is of interest where a device stays logged in, and noise where a command does not.
    async fn log_stay(&self, event: Event) {
        if self.stays == Reachable::Yes {
            self.journal.add(&self.name, event).await;
        }
    }

    async fn log_told(&mut self, notification: &Notification) {
        match notification {
            Notification::Note(note) if self.seen.insert(note.id) => {
                self.log_stay(Event::NoteReceived {
                    note: note.id.0,
                    from: note.from.to_string(),
                    subject: note.subject.clone(),
                })
                .await;
            }
            Notification::DropNote(note) if self.seen.remove(note) => {
                self.log_stay(Event::NoteDeleted { note: note.0 }).await;
            }
            Notification::Revoked { user, device } => {
                let peer = match device {
                    Some(device) => format!("{user}/{device}"),
                    None => user.to_string(),
                };
                self.log_stay(Event::Revoked { peer }).await;
            }
            Notification::Note(_)
            | Notification::DropNote(_)
            | Notification::ConnectionRequest(_)
            | Notification::Presence(_)
            | Notification::PeerOutcome(_)
            | Notification::Member(_)
            | Notification::Team(_)
            | Notification::DropTeam(_)
            | Notification::AddShare(_)
            | Notification::DropShare(_)
            | Notification::Restarting { .. }
            | Notification::Verify
            | Notification::Listed
            | Notification::Several(_)
            | _ => {}
        }
    }

    /// The broker tells all notes at each login; the log has each once.
    async fn logged_notes(&self) -> BTreeSet<NoteId> {
        let log = self.home.log();
        let entries = beside(move || log.entries()).await.unwrap_or_default();
        let name = self.name.to_string();
        let of_notes = entries.into_iter().filter(|entry| entry.broker == name);
        of_notes
            .filter_map(|entry| {
                let Event::NoteReceived { note, .. } = entry.event else { return None };
                Some(NoteId(note))
            })
            .collect()
    }

    /// A share lasts as long as its peer is logged in; so it is announced at each login.
    async fn announce_shares(&self) {
        if self.stays == Reachable::No {
            return;
        }
        let (home, name) = (self.home.clone(), self.name.clone());
        let read = beside(move || home.read_json::<Vec<KeptShare>>(&name, SHARES_FILE)).await;
        let shares = match read {
            Ok(shares) => shares.unwrap_or_default(),
            Err(error) => {
                warn!(%error, "what this device shares cannot be read");
                return;
            }
        };
        let (resident, name) = (self.resident.clone(), self.name.clone());
        tokio::spawn(async move {
            for share in shares.iter().filter_map(KeptShare::id) {
                let (announced, team) = (share.name.clone(), share.team.team.clone());
                if let Err(error) = resident.request(Action::ShareAdd(share)).await {
                    warn!(broker = %name, share = %announced, %team, %error, "not shared");
                }
            }
        });
    }
}

/// Keys of other devices, in the home and in the journal.
struct SitePins {
    home: Home,
    name: BrokerName,
    journal: Journal,
}

impl Pins for SitePins {
    fn keep(&self, user: &UserId, device: &DeviceName, key: &PublicKey) -> io::Result<PublicKey> {
        let pins = self.home.pins(&self.name);
        if let Some(pin) = pins.find(user, device).map_err(io::Error::other)? {
            return Ok(pin.key);
        }
        let kept = pins.keep(user, device, key).map_err(io::Error::other)?;
        let key = kept.fingerprint().to_string();
        self.journal.add_here(&self.name, Event::Pinned { peer: format!("{user}/{device}"), key });
        Ok(kept)
    }

    fn refused(&self, user: &UserId, device: &DeviceName, key: &PublicKey) {
        if let Err(error) = self.home.pins(&self.name).refuse(user, device, key) {
            warn!(%error, "the other key cannot be kept");
        }
        let event = Event::KeyChanged {
            peer: format!("{user}/{device}"),
            key: key.fingerprint().to_string(),
        };
        self.journal.add_here(&self.name, event);
    }
}

/// Hands channels of other peers to who offers their service.
struct Door {
    broker: BrokerName,
    services: Services,
    journal: Journal,
}

impl Door {
    async fn answer(self, mut links: NewLinks) {
        let door = Arc::new(self);
        while let Some(link) = links.next().await {
            let door = Arc::clone(&door);
            tokio::spawn(async move {
                while let Some(offered) = link.accept().await {
                    door.hand_over(&link, offered).await;
                }
            });
        }
    }

    async fn hand_over(&self, link: &PeerLink, offered: crate::peer_link::Offered) {
        let (peer, service) = (peer_of(link), offered.service().to_owned());
        let arrival = Arrival {
            peer: peer.clone(),
            broker: self.broker.to_string(),
            technique: link.technique().to_string(),
            offered,
        };
        match self.services.hand_over(arrival) {
            Ok(()) => self.journal.add(&self.broker, Event::Accepted { peer, service }).await,
            Err(arrival) => {
                arrival.offered.refuse(NO_SERVICE);
                self.journal.add(&self.broker, Event::Declined { peer, service }).await;
            }
        }
    }
}
