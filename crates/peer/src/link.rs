//! The control link: one task that matches responses to requests and hands on notifications.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use simopen_device::socket::tcp_info;
use simopen_protocol::control::{
    Action, ConnectionRequest, ControlError, ErrorName, LoggedIn, Login, Message, Notification,
    Reply, Request, Response, TransactionId,
};
use simopen_protocol::frame::{self, Decoder};
use simopen_protocol::identity::SessionId;
use simopen_traversal::FromBroker;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tracing::debug;

use crate::error::LoginError;

/// Requests that wait to be written before their senders wait.
const QUEUE: usize = 64;

/// What the link's task is asked to do.
enum ToLink {
    /// Send a request; what the broker says to it, and to the session that it opens or belongs to,
    /// goes to the attempt.
    Request(Action, mpsc::UnboundedSender<FromBroker>),
    /// Hand on what is said to this session.
    Subscribe(SessionId, mpsc::UnboundedSender<FromBroker>),
}

/// A handle on the link's task. The link closes when the last one is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    orders: mpsc::Sender<ToLink>,
    round_trip: watch::Receiver<Duration>,
    pub(crate) local: SocketAddr,
}

impl std::fmt::Debug for ToLink {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ToLink")
    }
}

impl Link {
    /// Connects, logs in and starts the task. Connection requests go to `asked`.
    pub(crate) async fn open(
        broker: SocketAddr,
        login: Login,
        asked: mpsc::Sender<ConnectionRequest>,
    ) -> Result<(Self, LoggedIn), LoginError> {
        let unreachable = |source| LoginError::Unreachable { broker, source };
        let stream = TcpStream::connect(broker).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let local = stream.local_addr().map_err(unreachable)?;
        let mut wire = Wire { stream, decoder: Decoder::new(frame::TO_PEER) };
        let request = Request::new(TransactionId(0), Action::Login(login));
        let response = wire.ask(request).await.map_err(|_| LoginError::LinkLost)?;
        let logged_in = match response.result {
            Ok(Reply::LoggedIn(logged_in)) => logged_in,
            Ok(Reply::Observed(_) | Reply::Accepted(_) | Reply::Done) => {
                return Err(LoginError::Refused("an answer to another question".into()));
            }
            Err(name) => return Err(LoginError::Refused(name.0)),
        };
        let (orders, order_queue) = mpsc::channel(QUEUE);
        let (measured, round_trip) = watch::channel(wire.round_trip());
        let task = Task {
            wire,
            asked,
            measured,
            pending: HashMap::new(),
            sessions: HashMap::new(),
            next: 1,
        };
        tokio::spawn(task.run(order_queue));
        Ok((Self { orders, round_trip, local }, logged_in))
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

    /// The measured round trip to the broker.
    pub(crate) fn round_trip(&self) -> Duration {
        *self.round_trip.borrow()
    }
}

/// A framed stream.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    pub(crate) decoder: Decoder,
}

impl Wire {
    async fn send(&mut self, request: Request) -> io::Result<()> {
        let mut bytes = Vec::new();
        frame::encode(&Message::Request(request).to_bytes(), &mut bytes);
        self.stream.write_all(&bytes).await
    }

    /// Sends one request and waits for its response, passing over anything else.
    pub(crate) async fn ask(&mut self, request: Request) -> io::Result<Response> {
        let id = request.id;
        self.send(request).await?;
        loop {
            if let Message::Response(response) = self.receive().await?
                && response.head.id() == Some(id)
            {
                return Ok(response);
            }
        }
    }

    /// The next message; documents of a newer version are passed over. Safe to drop and call again:
    /// bytes are kept in the decoder.
    async fn receive(&mut self) -> io::Result<Message> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(body) = self.decoder.poll_frame().map_err(io::Error::other)? {
                match Message::parse(&body) {
                    Ok(message) => return Ok(message),
                    Err(ControlError::Document(error)) => return Err(io::Error::other(error)),
                    Err(error) => debug!(%error, "the broker said something unknown"),
                }
                continue;
            }
            match self.stream.read(&mut buffer).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => self.decoder.push(&buffer[..length]),
            }
        }
    }

    fn round_trip(&self) -> Duration {
        tcp_info(&self.stream).map(|info| info.min_rtt).unwrap_or_default()
    }
}

struct Task {
    wire: Wire,
    asked: mpsc::Sender<ConnectionRequest>,
    measured: watch::Sender<Duration>,
    pending: HashMap<TransactionId, mpsc::UnboundedSender<FromBroker>>,
    sessions: HashMap<SessionId, mpsc::UnboundedSender<FromBroker>>,
    next: u32,
}

impl Task {
    async fn run(mut self, mut orders: mpsc::Receiver<ToLink>) {
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => {
                        if let Err(error) = self.order(order).await {
                            debug!(%error, "the control link cannot be written");
                            return;
                        }
                    }
                    None => return,
                },
                message = self.wire.receive() => match message {
                    Ok(message) => self.handle(message),
                    Err(error) => {
                        debug!(%error, "the control link is gone");
                        return;
                    }
                },
            }
            self.measured.send_replace(self.wire.round_trip());
        }
    }

    async fn order(&mut self, order: ToLink) -> io::Result<()> {
        match order {
            ToLink::Subscribe(session, attempt) => {
                self.sessions.retain(|_, attempt| !attempt.is_closed());
                self.sessions.insert(session, attempt);
                Ok(())
            }
            ToLink::Request(action, attempt) => {
                let id = TransactionId(self.next);
                self.next = self.next.wrapping_add(1);
                self.pending.insert(id, attempt);
                self.wire.send(Request::new(id, action)).await
            }
        }
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Response(response) => self.response(response),
            Message::Notification(notification) => self.notification(notification),
            Message::Request(_) => debug!("the broker sent a request"),
        }
    }

    fn response(&mut self, response: Response) {
        let Some(attempt) = response.head.id().and_then(|id| self.pending.remove(&id)) else {
            return;
        };
        let message = match response.result {
            Ok(Reply::Accepted(accepted)) => {
                // Before the attempt learns of it: the next notification may be for it.
                self.sessions.insert(accepted.session, attempt.clone());
                FromBroker::Accepted(accepted)
            }
            Ok(Reply::LoggedIn(_) | Reply::Observed(_) | Reply::Done) => return,
            Err(name) if is_late(&name) => return,
            Err(name) => FromBroker::Refused(name.cause()),
        };
        // An attempt that has ended needs no answer.
        let _ = attempt.send(message);
    }

    fn notification(&mut self, notification: Notification) {
        match notification {
            // Nobody listens any more, or too many ask at once: the originator will time out.
            Notification::ConnectionRequest(request) => drop(self.asked.try_send(request)),
            Notification::PeerOutcome(outcome) => {
                if let Some(attempt) = self.sessions.get(&outcome.session) {
                    let _ = attempt.send(FromBroker::PeerOutcome(outcome.state));
                }
            }
            Notification::Presence(presence) => {
                debug!(user = %presence.user, online = presence.online, "presence");
            }
            _ => debug!("a notification of a newer version"),
        }
    }
}

/// A report that crossed the session's end is no failure of anything.
fn is_late(name: &ErrorName) -> bool {
    name.0 == "unknown-session"
}
