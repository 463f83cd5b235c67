//! A peer that stays: it logs in again whenever its link to the broker is gone.

mod back_off;

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use simopen_protocol::control::{Action, Reply};
use simopen_protocol::identity::PeerId;
use tokio::sync::{Notify, broadcast, mpsc, oneshot, watch};
use tracing::{info, warn};

use self::back_off::BackOff;
use crate::config::PeerConfig;
use crate::error::{ConnectError, LoginError, RequestError};
use crate::news::News;
use crate::peer::{Incoming, LinkError, Peer, Step, Whom};
use crate::peer_link::PeerLink;

/// A peer that logs in again whenever its link to the broker is gone, by any of the broker's
/// addresses, after waits that grow and differ from peer to peer. Links to other devices do not
/// notice. It ends with [`Resident::stop`], or when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Resident {
    config: PeerConfig,
    standing: watch::Receiver<Standing>,
    hurry: Arc<Notify>,
    stops: mpsc::Sender<oneshot::Sender<()>>,
}

/// How a [`Resident`] stands with its broker.
#[derive(Debug, Clone)]
pub enum Standing {
    /// It is logging in.
    Connecting,
    /// It is logged in.
    Online(Peer),
    /// It was logged out or not let in, and tries again later.
    Waiting {
        /// When.
        until: Instant,
        /// Why it is not online, in words.
        why: String,
    },
    /// It was stopped.
    Ended,
}

impl Resident {
    /// Begins to log in, on the current tokio runtime.
    #[must_use]
    pub fn start(config: PeerConfig) -> Self {
        let (stops, stopping) = mpsc::channel(1);
        let (standing_sender, standing) = watch::channel(Standing::Connecting);
        let hurry = Arc::new(Notify::new());
        let task = Task {
            config: config.clone(),
            standing: standing_sender,
            hurry: Arc::clone(&hurry),
            stopping,
        };
        tokio::spawn(task.run());
        Self { config, standing, hurry, stops }
    }

    /// How it stands, now and from now on.
    #[must_use]
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// The logged-in peer, if it is online now.
    #[must_use]
    pub fn peer(&self) -> Option<Peer> {
        match &*self.standing.borrow() {
            Standing::Online(peer) => Some(peer.clone()),
            Standing::Connecting | Standing::Waiting { .. } | Standing::Ended => None,
        }
    }

    /// Its number at the broker, if it is online now.
    #[must_use]
    pub fn id(&self) -> Option<PeerId> {
        self.peer().map(|peer| peer.id())
    }

    /// Waits until it is online. `None` when it was stopped.
    pub async fn online(&self) -> Option<Peer> {
        let mut standing = self.standing.clone();
        loop {
            match &*standing.borrow_and_update() {
                Standing::Online(peer) => return Some(peer.clone()),
                Standing::Ended => return None,
                Standing::Connecting | Standing::Waiting { .. } => {}
            }
            standing.changed().await.ok()?;
        }
    }

    /// Logs in now where it waits for its turn: somebody wants something of the broker.
    pub fn hurry(&self) {
        self.hurry.notify_waiters();
    }

    /// Waits until it has ended.
    pub async fn closed(&self) {
        // Its task ends by saying so.
        let _ = self.standing.clone().wait_for(|now| matches!(now, Standing::Ended)).await;
    }

    /// What the broker tells from now on, over all logins.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<News> {
        self.config.news.subscribe()
    }

    /// Asks the broker for something that is no connection.
    ///
    /// # Errors
    ///
    /// [`RequestError`] when it refuses, is silent, or when there is no link to it now.
    pub async fn request(&self, action: Action) -> Result<Reply, RequestError> {
        self.peer().ok_or(RequestError::LinkLost)?.request(action).await
    }

    /// The link to another user's device, as [`Peer::link_to`] gives it. A link that stands is
    /// found without the broker.
    ///
    /// # Errors
    ///
    /// [`LinkError`] when there is none and none can be opened.
    pub async fn link_to(
        &self,
        whom: &Whom,
        told: &mut (dyn FnMut(Step<'_>) + Send),
    ) -> Result<PeerLink, LinkError> {
        let links = self.config.links.as_ref().ok_or(LinkError::NotJoined)?;
        if let Some(link) = links.to(&whom.user, whom.device.as_ref()) {
            told(Step::Reused);
            return Ok(link);
        }
        let peer = self.peer().ok_or(ConnectError::LinkLost)?;
        peer.link_to(whom, told).await
    }

    /// Logs out and ends. Links to other devices stay.
    pub async fn stop(&self) {
        let (done, ended) = oneshot::channel();
        if self.stops.send(done).await.is_ok() {
            // It has ended, one way or another.
            let _ = ended.await;
        }
    }
}

struct Task {
    config: PeerConfig,
    standing: watch::Sender<Standing>,
    hurry: Arc<Notify>,
    stopping: mpsc::Receiver<oneshot::Sender<()>>,
}

/// What ended a time online.
enum End {
    Lost { asked: Option<Duration> },
    Stopped(Option<oneshot::Sender<()>>),
}

impl Task {
    async fn run(mut self) {
        let mut back_off = BackOff::default();
        let stopped = loop {
            self.standing.send_replace(Standing::Connecting);
            let (why, asked) = match self.log_in().await {
                Err(stopped) => break stopped,
                Ok(Err(error)) => (error.to_string(), None),
                Ok(Ok((peer, incoming))) => {
                    info!(peer = %peer.id(), "logged in");
                    let since = Instant::now();
                    match self.stay(peer, incoming).await {
                        End::Stopped(stopped) => break stopped,
                        End::Lost { asked } => {
                            back_off.was_online(since.elapsed());
                            ("the link to the broker is gone".to_owned(), asked)
                        }
                    }
                }
            };
            let wait = match asked {
                Some(within) => back_off.restart(within),
                None => back_off.next(),
            };
            warn!(%why, wait = wait.as_secs_f64(), "not logged in");
            let mut hurried = pin!(self.hurry.notified());
            // Whoever sees it wait can hurry it from then on.
            hurried.as_mut().enable();
            self.standing.send_replace(Standing::Waiting { until: Instant::now() + wait, why });
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = hurried => {}
                stopped = self.stopping.recv() => break stopped,
            }
        };
        self.standing.send_replace(Standing::Ended);
        if let Some(stopped) = stopped {
            // Whoever waits for it may have gone away.
            let _ = stopped.send(());
        }
    }

    async fn log_in(
        &mut self,
    ) -> Result<Result<(Peer, Incoming), LoginError>, Option<oneshot::Sender<()>>> {
        tokio::select! {
            done = Peer::login(self.config.clone()) => Ok(done),
            stopped = self.stopping.recv() => Err(stopped),
        }
    }

    /// Is online until something ends it. `incoming` keeps the peer reachable.
    async fn stay(&mut self, peer: Peer, incoming: Incoming) -> End {
        self.standing.send_replace(Standing::Online(peer.clone()));
        let _reachable = incoming;
        tokio::select! {
            () = peer.lost() => End::Lost { asked: peer.restarting() },
            stopped = self.stopping.recv() => {
                peer.logout().await;
                End::Stopped(stopped)
            }
        }
    }
}
