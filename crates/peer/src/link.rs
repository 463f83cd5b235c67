//! The control link: one task that matches responses to requests and hands on notifications.

mod wire;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use simopen_protocol::address::HostPort;
use simopen_protocol::certificate_name;
use simopen_protocol::control::{
    Action, ConnectionRequest, LoggedIn, Login, Message, Notification, Request, Response,
    TransactionId,
};
use simopen_protocol::identity::SessionId;
use simopen_traversal::FromBroker;
use simopen_traversal::signalling::{FIRST, Heard, Signalling, login_answer};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::{debug, info};

pub(crate) use self::wire::Wire;
use crate::carriage::Carriage;
use crate::control_stream::{StraightEnds, dial};
use crate::error::LoginError;
use crate::links::Links;
use crate::news::{News, NewsDesk};

/// Requests that wait to be written before their senders wait.
const QUEUE: usize = 64;

/// Transactions from here on are not those of attempts.
const FIRST_ASKED: u32 = 1 << 31;

/// What the link's task is asked to do.
enum ToLink {
    /// Send a request; what the broker says to it, and to the session that it opens or belongs to,
    /// goes to the attempt.
    Request(Action, mpsc::UnboundedSender<FromBroker>),
    /// Hand on what is said to this session.
    Subscribe(SessionId, mpsc::UnboundedSender<FromBroker>),
    /// Send a request that belongs to no attempt, and hand on the answer.
    Ask(Box<Action>, oneshot::Sender<Response>),
    /// Close the link.
    Close,
}

/// A handle on the link's task. The link closes when the last one is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    orders: mpsc::Sender<ToLink>,
    round_trip: watch::Receiver<Duration>,
    restarting: Arc<OnceLock<Duration>>,
    /// Where it begins and ends, unless a proxy stands between.
    pub(crate) ends: Option<StraightEnds>,
    /// The broker's address, where it was named by one.
    pub(crate) named: Option<IpAddr>,
}

/// What a link is opened with, and whom it tells.
pub(crate) struct Opening {
    pub(crate) carriage: Carriage,
    pub(crate) login: Login,
    /// By what the broker and this device show who they are; plain text without it.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    /// Who hears of connection requests.
    pub(crate) asked: mpsc::Sender<ConnectionRequest>,
    /// Who hears of everything else.
    pub(crate) news: NewsDesk,
    /// What is closed when a device is revoked.
    pub(crate) links: Option<Links>,
}

impl std::fmt::Debug for ToLink {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ToLink")
    }
}

impl Link {
    /// Connects, logs in and starts the task.
    pub(crate) async fn open(
        broker: &HostPort,
        opening: Opening,
    ) -> Result<(Self, LoggedIn), LoginError> {
        let mut stream = dial(broker, &opening.carriage).await?;
        let ends = stream.straight_ends();
        if let Some(config) = opening.tls {
            let not_authentic =
                |source| LoginError::NotAuthentic { broker: broker.clone(), source };
            stream =
                stream.secure(config, certificate_name::BROKER).await.map_err(not_authentic)?;
        }
        let mut wire = Wire::new(stream);
        let request = Request::new(FIRST, Action::Login(opening.login));
        let response = wire.ask(request).await.map_err(|_| LoginError::LinkLost)?;
        let logged_in = login_answer(response).map_err(|name| LoginError::Refused(name.0))?;
        let (orders, order_queue) = mpsc::channel(QUEUE);
        let (measured, round_trip) = watch::channel(wire.round_trip());
        opening.news.tell(News::Online(logged_in.peer));
        for presence in &logged_in.online {
            opening.news.tell(News::Told(Arc::new(Notification::Presence(presence.clone()))));
        }
        let restarting = Arc::new(OnceLock::new());
        let task = Task {
            wire,
            asked: opening.asked,
            measured,
            signalling: Signalling::default(),
            waiting: BTreeMap::new(),
            next: FIRST_ASKED,
            news: opening.news,
            links: opening.links,
            restarting: Arc::clone(&restarting),
            alive: logged_in.alive,
            heard: Instant::now(),
        };
        tokio::spawn(task.run(order_queue));
        let named = broker.endpoint().map(|endpoint| endpoint.ip());
        Ok((Self { orders, round_trip, restarting, ends, named }, logged_in))
    }

    /// Sends a request of an attempt. `false` where the link is gone.
    pub(crate) async fn request(
        &self,
        action: Action,
        attempt: &mpsc::UnboundedSender<FromBroker>,
    ) -> bool {
        self.orders.send(ToLink::Request(action, attempt.clone())).await.is_ok()
    }

    /// Hands on to an attempt what the broker says to its session. `false` where the link is gone.
    pub(crate) async fn subscribe(
        &self,
        session: SessionId,
        attempt: &mpsc::UnboundedSender<FromBroker>,
    ) -> bool {
        self.orders.send(ToLink::Subscribe(session, attempt.clone())).await.is_ok()
    }

    /// Sends a request that belongs to no attempt. `None` where the link is gone.
    pub(crate) async fn ask(&self, action: Action) -> Option<Response> {
        let (reply, response) = oneshot::channel();
        self.orders.send(ToLink::Ask(Box::new(action), reply)).await.ok()?;
        response.await.ok()
    }

    /// Closes the link for all who have a handle on it.
    pub(crate) async fn close(&self) {
        // It may have closed already.
        let _ = self.orders.send(ToLink::Close).await;
    }

    /// Waits until the link is gone.
    pub(crate) async fn lost(&self) {
        let mut measured = self.round_trip.clone();
        while measured.changed().await.is_ok() {}
    }

    /// The measured round trip to the broker.
    pub(crate) fn round_trip(&self) -> Duration {
        *self.round_trip.borrow()
    }

    /// When the broker wants to be tried again, if it said that it goes away.
    pub(crate) fn restarting(&self) -> Option<Duration> {
        self.restarting.get().copied()
    }
}

struct Task {
    wire: Wire,
    asked: mpsc::Sender<ConnectionRequest>,
    measured: watch::Sender<Duration>,
    signalling: Signalling<mpsc::UnboundedSender<FromBroker>>,
    waiting: BTreeMap<TransactionId, oneshot::Sender<Response>>,
    next: u32,
    news: NewsDesk,
    links: Option<Links>,
    restarting: Arc<OnceLock<Duration>>,
    alive: Option<Duration>,
    heard: Instant,
}

/// What comes next on the link.
enum Next {
    Order(Option<ToLink>),
    Message(io::Result<Message>),
    Ping,
}

impl Task {
    async fn run(mut self, mut orders: mpsc::Receiver<ToLink>) {
        // More often than every half of the alive interval, whatever the timers' grain.
        let mut pings = self.alive.map(|alive| pinging(alive * 2 / 5));
        loop {
            let next = tokio::select! {
                order = orders.recv() => Next::Order(order),
                message = self.wire.receive() => Next::Message(message),
                () = tick(&mut pings) => Next::Ping,
            };
            let done = match next {
                Next::Order(None | Some(ToLink::Close)) => break,
                Next::Order(Some(order)) => self.order(order).await,
                Next::Message(Ok(message)) => self.handle(message).await,
                Next::Message(Err(error)) => Err(error),
                Next::Ping => self.ping_or_give_up().await,
            };
            if let Err(error) = done {
                debug!(%error, "the control link is gone");
                break;
            }
            self.measured.send_replace(self.wire.round_trip());
        }
        self.news.tell(News::Offline);
    }

    async fn order(&mut self, order: ToLink) -> io::Result<()> {
        match order {
            ToLink::Subscribe(session, attempt) => {
                self.signalling.retain(|attempt| !attempt.is_closed());
                self.signalling.subscribe(session, attempt);
                Ok(())
            }
            ToLink::Request(action, attempt) => {
                let request = self.signalling.request(action, attempt);
                self.wire.send(request).await
            }
            ToLink::Ask(action, reply) => {
                self.waiting.retain(|_, reply| !reply.is_closed());
                let id = self.transaction();
                self.waiting.insert(id, reply);
                self.wire.send(Request::new(id, *action)).await
            }
            ToLink::Close => Ok(()),
        }
    }

    fn transaction(&mut self) -> TransactionId {
        let id = TransactionId(self.next);
        self.next = self.next.checked_add(1).unwrap_or(FIRST_ASKED);
        id
    }

    async fn handle(&mut self, message: Message) -> io::Result<()> {
        self.heard = Instant::now();
        match message {
            Message::Response(response) => {
                let asked = response.head.id().and_then(|id| self.waiting.remove(&id));
                match asked {
                    // Whoever asked may have gone away.
                    Some(reply) => drop(reply.send(response)),
                    None => self.for_attempt(Message::Response(response)),
                }
            }
            Message::Notification(Notification::Several(all)) => {
                for notification in all {
                    self.notified(notification).await?;
                }
            }
            Message::Notification(notification) => self.notified(notification).await?,
            // A broker asks nothing.
            Message::Request(_) => {}
        }
        Ok(())
    }

    fn for_attempt(&mut self, message: Message) {
        match self.signalling.handle_message(message) {
            // An attempt that has ended needs no answer.
            Heard::ForAttempt(attempt, message) => drop(attempt.send(message)),
            // Nobody listens any more, or too many ask at once: the originator will time out.
            Heard::Asked(request) => drop(self.asked.try_send(request)),
            Heard::Presence(_) | Heard::Nothing => {}
        }
    }

    async fn notified(&mut self, notification: Notification) -> io::Result<()> {
        if let Notification::ConnectionRequest(_) | Notification::PeerOutcome(_) = notification {
            self.for_attempt(Message::Notification(notification));
            return Ok(());
        }
        if notification == Notification::Verify {
            return self.ping().await;
        }
        if let Notification::Revoked { user, device } = &notification
            && let Some(links) = &self.links
        {
            info!(%user, ?device, "revoked: links to it are closed");
            links.revoke(user, device.as_ref());
        }
        if let Notification::Restarting { within } = &notification {
            // Only the first counts; a broker says it once.
            let _ = self.restarting.set(*within);
        }
        self.news.tell(News::Told(Arc::new(notification)));
        Ok(())
    }

    async fn ping(&mut self) -> io::Result<()> {
        let id = self.transaction();
        self.wire.send(Request::new(id, Action::Ping)).await
    }

    /// Shows that this peer lives, and gives up a broker that has answered none of several pings.
    async fn ping_or_give_up(&mut self) -> io::Result<()> {
        if self.alive.is_some_and(|alive| self.heard.elapsed() > 2 * alive) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.ping().await
    }
}

fn pinging(every: Duration) -> Interval {
    let mut pings = interval(every.max(Duration::from_millis(1)));
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings
}

async fn tick(pings: &mut Option<Interval>) {
    match pings {
        Some(pings) => drop(pings.tick().await),
        None => std::future::pending().await,
    }
}
