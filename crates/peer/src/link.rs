//! The control link: one task that matches responses to requests and hands on notifications.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use simopen_device::socket::tcp_info;
use simopen_protocol::control::{
    Action, ConnectionRequest, ControlError, LoggedIn, Login, Message, Request, Response,
};
use simopen_protocol::frame::{self, Decoder};
use simopen_protocol::identity::SessionId;
use simopen_traversal::FromBroker;
use simopen_traversal::signalling::{FIRST, Heard, Signalling, login_answer};
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
        let request = Request::new(FIRST, Action::Login(login));
        let response = wire.ask(request).await.map_err(|_| LoginError::LinkLost)?;
        let logged_in = login_answer(response).map_err(|name| LoginError::Refused(name.0))?;
        let (orders, order_queue) = mpsc::channel(QUEUE);
        let (measured, round_trip) = watch::channel(wire.round_trip());
        let task = Task { wire, asked, measured, signalling: Signalling::default() };
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

    /// Waits until the link is gone.
    pub(crate) async fn lost(&self) {
        let mut measured = self.round_trip.clone();
        while measured.changed().await.is_ok() {}
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
    signalling: Signalling<mpsc::UnboundedSender<FromBroker>>,
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
                self.signalling.retain(|attempt| !attempt.is_closed());
                self.signalling.subscribe(session, attempt);
                Ok(())
            }
            ToLink::Request(action, attempt) => {
                let request = self.signalling.request(action, attempt);
                self.wire.send(request).await
            }
        }
    }

    fn handle(&mut self, message: Message) {
        match self.signalling.handle_message(message) {
            // An attempt that has ended needs no answer.
            Heard::ForAttempt(attempt, message) => drop(attempt.send(message)),
            // Nobody listens any more, or too many ask at once: the originator will time out.
            Heard::Asked(request) => drop(self.asked.try_send(request)),
            Heard::Presence(presence) => {
                debug!(user = %presence.user, online = presence.online, "presence");
            }
            Heard::Nothing => {}
        }
    }
}
