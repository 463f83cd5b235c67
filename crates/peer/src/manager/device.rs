//! This device at all its brokers.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use simopen_protocol::control::{Action, Reachable, Reply};
use simopen_protocol::identity::BrokerName;
use simopen_protocol::technique::Technique;
use tokio::sync::mpsc;
use tracing::warn;

use super::choice::{Object, Says, When, choose};
use super::deed::Parsed;
use super::journal::Journal;
use super::name::PeerName;
use super::roster::Roster;
use super::services::{Listener, Services};
use super::site::{NO_SERVICE, Site, peer_of};
use super::words::{BrokerStatus, ConnectOrder, Deed, Refusal, Route, Status, Tried};
use crate::carriage::Carriage;
use crate::error::ConnectError;
use crate::home::{Entry, Event, Home, HomeError, Membership};
use crate::peer::{LinkError, Step, Whom};
use crate::peer_link::{Channel, OpenError, PeerLink};

/// How long the other end of a link may take to receive what was written.
const SETTLING_TIME: Duration = Duration::from_secs(30);

/// How a device logs in.
#[derive(Debug, Clone)]
pub struct DeviceConfig {
    /// Whether other peers may ask it for connections. A device that is reachable stays, and its
    /// log tells of its logins.
    pub reachable: Reachable,
    /// By which techniques other peers are reached, in this order; `None` for the usual.
    pub techniques: Option<Vec<Technique>>,
    /// How brokers and relays are reached.
    pub carriage: Carriage,
    /// Who watches what happens.
    pub watcher: Option<mpsc::UnboundedSender<Entry>>,
}

/// This device at all its brokers, logged in from this process. Clones are the same.
#[derive(Debug, Clone)]
pub struct Device {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    home: Home,
    config: DeviceConfig,
    sites: RwLock<Vec<Arc<Site>>>,
    /// Held while the home is looked at.
    looking: tokio::sync::Mutex<()>,
    services: Services,
    journal: Journal,
    numbers: AtomicU64,
}

impl Device {
    /// Begins to log in at these brokers, on the current tokio runtime.
    #[must_use]
    pub fn start(home: &Home, joined: Vec<Membership>, config: &DeviceConfig) -> Self {
        let inner = Inner {
            home: home.clone(),
            config: config.clone(),
            sites: RwLock::default(),
            looking: tokio::sync::Mutex::default(),
            services: Services::default(),
            journal: Journal::new(home.log(), config.watcher.clone()),
            numbers: AtomicU64::new(1),
        };
        let device = Self { inner: Arc::new(inner) };
        for membership in joined {
            device.add(membership);
        }
        device
    }

    /// Begins to log in at brokers that were joined since.
    pub(super) async fn look_again(&self) {
        let _looking = self.inner.looking.lock().await;
        let known: Vec<BrokerName> =
            self.sites().iter().map(|site| site.joined.name.clone()).collect();
        let home = self.inner.home.clone();
        let found = tokio::task::spawn_blocking(move || {
            let mut new = home.brokers()?;
            new.retain(|name| !known.contains(name));
            new.iter().map(|name| home.membership(name)).collect::<Result<Vec<_>, _>>()
        });
        match found.await.map_err(io::Error::other).and_then(|new| new.map_err(io::Error::other)) {
            Ok(new) => new.into_iter().for_each(|membership| self.add(membership)),
            Err(error) => warn!(%error, "what was joined since cannot be read"),
        }
    }

    /// What is known of all brokers, once each has told, or cannot be reached.
    pub async fn status(&self) -> Status {
        // All at once: one that does not answer takes its time.
        let asked: Vec<_> = self.sites().into_iter().map(|site| tokio::spawn(told(site))).collect();
        let mut brokers = Vec::new();
        for broker in asked {
            brokers.extend(broker.await);
        }
        Status { manager: self.stays() == Reachable::Yes, brokers }
    }

    /// Connects to a service of another peer.
    ///
    /// # Errors
    ///
    /// [`Refusal`] with all that was tried.
    pub async fn connect(&self, order: &ConnectOrder) -> Result<(Route, Channel), Refusal> {
        let name: PeerName = order.to.parse().map_err(Refusal::not_tried)?;
        let is_there = |roster: &Roster| roster.knows(&name.user);
        let object = Object { name: name.to_string(), at: &|broker| format!("{name}@{broker}") };
        let site = self.choose(name.broker.as_ref(), is_there, &object).await?;
        let connected = self.connect_at(&site, &name, &order.service).await;
        if let Err(refusal) = &connected {
            let event = Event::NotConnected { peer: name.to_string(), why: refusal.why.clone() };
            self.inner.journal.add(&site.joined.name, event).await;
        }
        connected
    }

    /// Does something that a broker keeps or passes on; gives the number of a note that was sent.
    ///
    /// # Errors
    ///
    /// [`Refusal`] with what the broker says.
    pub async fn act(&self, deed: &Deed) -> Result<Option<u64>, Refusal> {
        let parsed = Parsed::parse(deed)?;
        if self.stays() == Reachable::No && matches!(parsed, Parsed::ShareAdd(..)) {
            return Err(Refusal::not_tried(
                "what is shared lasts as long as this device is logged in: start `simopen peer` first",
            ));
        }
        let is_known = |roster: &Roster| parsed.is_known_to(roster);
        let object = Object { name: parsed.object(), at: &|broker| parsed.at(broker) };
        let site = self.choose(parsed.broker(), is_known, &object).await?;
        site.listed().await?;
        let about = parsed.about();
        let action = parsed.action(&site.roster())?;
        if let Action::ShareDrop(share) = &action {
            site.keep_share(share, false).await.map_err(Refusal::failed)?;
            if self.stays() == Reachable::No {
                return Ok(None);
            }
        }
        let reply = site.request(action.clone()).await;
        let reply = reply
            .map_err(|refusal| Refusal { why: format!("{about}: {}", refusal.why), ..refusal })?;
        if let Action::ShareAdd(share) = &action {
            site.keep_share(share, true).await.map_err(Refusal::failed)?;
        }
        let note = match reply {
            Reply::NoteKept(note) => Some(note.0),
            Reply::LoggedIn(_)
            | Reply::Observed(_)
            | Reply::Accepted(_)
            | Reply::Joined(_)
            | Reply::Certified(_)
            | Reply::Done => None,
        };
        if let Some(event) = event_of(deed, note) {
            self.inner.journal.add(&site.joined.name, event).await;
        }
        Ok(note)
    }

    /// Offers a service at all brokers.
    ///
    /// # Errors
    ///
    /// [`Refusal`] where it is offered already.
    pub fn listen(&self, service: &str) -> Result<Listener, Refusal> {
        self.inner.services.listen(service)
    }

    /// Waits until the device is logged in wherever it can be; gives what keeps it out elsewhere,
    /// where it goes on trying.
    ///
    /// # Errors
    ///
    /// [`Refusal`] where it can be logged in at no broker.
    pub async fn online(&self) -> Result<Vec<Refusal>, Refusal> {
        let mut missing = Vec::new();
        let sites = self.sites();
        for site in &sites {
            missing.extend(site.online().await.err());
        }
        if missing.len() < sites.len() {
            return Ok(missing);
        }
        let reasons: Vec<String> = missing.into_iter().map(|refusal| refusal.why).collect();
        Err(Refusal::failed(reasons.join("; ")))
    }

    /// Waits until the other ends of all links have received what was written to channels that have
    /// ended, as [`PeerLink::settle`] does for one.
    pub async fn settle(&self) {
        let sites = self.sites();
        for link in sites.iter().flat_map(|site| site.all_links()) {
            let _ = tokio::time::timeout(SETTLING_TIME, link.settle()).await;
        }
    }

    /// Logs out everywhere.
    pub async fn stop(&self) {
        for site in self.sites() {
            site.resident.stop().await;
        }
    }

    /// A number for the next stream.
    pub(super) fn next_number(&self) -> u64 {
        self.inner.numbers.fetch_add(1, Ordering::Relaxed)
    }

    fn stays(&self) -> Reachable {
        self.inner.config.reachable
    }

    /// Those of now, by name.
    fn sites(&self) -> Vec<Arc<Site>> {
        self.inner.sites.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, membership: Membership) {
        let Inner { home, config, services, journal, .. } = &*self.inner;
        let site = Site::start(home, membership, config, (services.clone(), journal.clone()));
        let mut sites = self.inner.sites.write().unwrap_or_else(PoisonError::into_inner);
        sites.push(Arc::new(site));
        sites.sort_by(|one, other| one.joined.name.cmp(&other.joined.name));
    }

    async fn connect_at(
        &self,
        site: &Site,
        name: &PeerName,
        service: &str,
    ) -> Result<(Route, Channel), Refusal> {
        let whom = Whom { user: name.user.clone(), device: name.device.clone() };
        let mut way = Way::default();
        let since = Instant::now();
        let link = self.link(site, name, &whom, &mut way).await?;
        let opened = link.open(service).await;
        let (link, opened) = match opened {
            // One that just went away is still among those that stand.
            Err(OpenError::LinkClosed) if way.is_reused => {
                way = Way::default();
                let link = self.link(site, name, &whom, &mut way).await?;
                let opened = link.open(service).await;
                (link, opened)
            }
            Ok(_) | Err(_) => (link, opened),
        };
        let peer = peer_of(&link);
        let channel = opened.map_err(|error| not_opened(&error, &peer, service))?;
        let milliseconds = in_milliseconds(since.elapsed());
        let technique = link.technique().to_string();
        let event = Event::Connected {
            peer: peer.clone(),
            service: service.to_owned(),
            technique: technique.clone(),
            milliseconds,
        };
        self.inner.journal.add(&site.joined.name, event).await;
        let route = Route {
            connection: self.next_number(),
            peer,
            broker: site.joined.name.to_string(),
            service: service.to_owned(),
            technique,
            relayed: link.technique().meets_at_relay(),
            reused: way.is_reused,
            milliseconds,
            tried: way.tried,
        };
        Ok((route, channel))
    }

    async fn link(
        &self,
        site: &Site,
        name: &PeerName,
        whom: &Whom,
        way: &mut Way,
    ) -> Result<PeerLink, Refusal> {
        // A link that stands is found without the broker.
        let online = if site.is_linked_to(whom) { Ok(()) } else { site.online().await.map(drop) };
        let linked = site.resident.link_to(whom, &mut |step| way.handle(&step)).await;
        linked.map_err(|error| match (online, &error) {
            // The link to the broker is gone because of this.
            (Err(offline), LinkError::Connect(ConnectError::LinkLost)) => {
                Refusal::failed(format!("no connection to {name}: {}", offline.why))
            }
            (Ok(()) | Err(_), error) => in_words(error, name, way.tried.clone()),
        })
    }

    /// The one broker that is meant.
    async fn choose(
        &self,
        named: Option<&BrokerName>,
        is_there: impl Fn(&Roster) -> bool,
        object: &Object<'_>,
    ) -> Result<Arc<Site>, Refusal> {
        let sites = self.sites();
        if let Some(name) = named {
            let site = sites.iter().find(|site| site.joined.name == *name);
            return site.cloned().ok_or_else(|| {
                let joined = sites.iter().map(|site| site.joined.name.clone()).collect();
                Refusal::not_tried(HomeError::NotJoined { name: name.clone(), joined })
            });
        }
        if let [site] = sites.as_slice() {
            return Ok(Arc::clone(site));
        }
        let mut all = Vec::new();
        for site in &sites {
            all.push((site.joined.name.clone(), site.says(When::Before, &is_there).await));
        }
        if all.iter().all(|(_, says)| *says != Says::Knows) {
            // It may be new. Whoever has said nothing was asked just now.
            for (site, (_, says)) in sites.iter().zip(&mut all) {
                if *says == Says::KnowsNot {
                    *says = site.says(When::Now, &is_there).await;
                }
            }
        }
        Ok(Arc::clone(&sites[choose(&all, object)?]))
    }
}

/// What is known of one broker, once it has told, or cannot be reached.
async fn told(site: Arc<Site>) -> BrokerStatus {
    // Why it cannot be reached stands in its status.
    let _ = site.listed().await;
    site.status().await
}

/// How the reason begins of what was passed over.
const NOT_TRIED: &str = "not tried: ";

impl Tried {
    /// Whether it was tried at all, and not passed over.
    #[must_use]
    pub fn was_tried(&self) -> bool {
        !self.why.starts_with(NOT_TRIED)
    }
}

/// How a link came about.
#[derive(Debug, Default)]
struct Way {
    is_reused: bool,
    tried: Vec<Tried>,
    since: Option<Instant>,
}

impl Way {
    fn handle(&mut self, step: &Step<'_>) {
        match step {
            Step::Reused => self.is_reused = true,
            Step::Skipped(technique, why) => {
                self.tried.push(Tried {
                    technique: technique.to_string(),
                    why: format!("{NOT_TRIED}{why}"),
                    milliseconds: 0,
                });
            }
            Step::Trying(_) => self.since = Some(Instant::now()),
            Step::Failed(technique, error) => {
                let took = self.since.take().map(|since| since.elapsed()).unwrap_or_default();
                self.tried.push(Tried {
                    technique: technique.to_string(),
                    why: error.to_string(),
                    milliseconds: in_milliseconds(took),
                });
            }
            Step::Opened(_) => {}
        }
    }
}

fn in_milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn in_words(error: &LinkError, name: &PeerName, tried: Vec<Tried>) -> Refusal {
    Refusal::failed(format!("no connection to {name}: {error}")).after(tried)
}

fn not_opened(error: &OpenError, peer: &str, service: &str) -> Refusal {
    match error {
        OpenError::Refused(word) if word == NO_SERVICE => {
            Refusal::failed(format!("{peer} is there, but offers no service '{service}' now"))
        }
        OpenError::Refused(_)
        | OpenError::NoAnswer { .. }
        | OpenError::LinkClosed
        | OpenError::TooMany
        | OpenError::Unread
        | OpenError::TooLong { .. } => Refusal::failed(format!("no connection to {peer}: {error}")),
    }
}

/// What the log has of a deed. A note that was deleted is logged when the broker tells of it.
fn event_of(deed: &Deed, note: Option<u64>) -> Option<Event> {
    let team = |what: &str, team: &String, member: Option<&String>| Event::Team {
        what: what.to_owned(),
        team: team.clone(),
        member: member.cloned(),
    };
    let share = |what: &str, share: &String, team: &String| Event::Share {
        what: what.to_owned(),
        share: share.clone(),
        team: team.clone(),
    };
    Some(match deed {
        Deed::TeamCreate { team: path } => team("created", path, None),
        Deed::TeamDelete { team: path } => team("deleted", path, None),
        Deed::TeamAdd { team: path, user } => team("added", path, Some(user)),
        Deed::TeamRemove { team: path, user } => team("removed", path, Some(user)),
        Deed::NoteSend { to, subject, .. } => {
            Event::NoteSent { note: note?, to: to.clone(), subject: subject.clone() }
        }
        Deed::NoteDelete { note, .. } => Event::NoteDeleted { note: *note },
        Deed::ShareAdd { share: name, team } => share("announced", name, team),
        Deed::ShareDrop { share: name, team } => share("withdrawn", name, team),
    })
}
