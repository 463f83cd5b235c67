//! The link between a broker and a relay that runs apart (seed 001 ¶177): the broker's `Proxy` and
//! `ProxyEnd` requests, and the relay's responses.
//!
//! Whoever holds this link decides who meets. It takes any stream, and has to be given one on which
//! both ends have shown who they are: TLS with certificates of the broker's authority.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use simopen_broker::PairingOrder;
use simopen_protocol::cause::Cause;
use simopen_protocol::control::{
    Action, ErrorName, Message, Reply, Request, Response, TransactionId,
};
use simopen_protocol::frame::{self, Decoder};
use simopen_protocol::identity::SessionId;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::sync::mpsc::{
    Receiver, Sender, UnboundedReceiver, UnboundedSender, channel, unbounded_channel,
};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{info, warn};

use super::Handle;
use crate::broker::{PairingAnswer, Pairings};

/// Orders that wait to be written; beyond, pairings fail at once.
const QUEUE: usize = 4096;

/// How often the relay is asked whether it is there; it has as long to answer.
const ALIVE: Duration = Duration::from_secs(10);

/// The shortest and the longest pause before a relay that was lost is dialled again.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];

/// The relay's end: does what the broker orders, until the link ends.
///
/// # Errors
///
/// Where the link breaks, and where what comes is no request.
pub async fn serve<S>(stream: S, relay: &Handle) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut wire = Wire::new(stream);
    loop {
        let Message::Request(request) = wire.receive().await? else {
            return Err(io::Error::other("the broker sent something that is no request"));
        };
        let head = request.head();
        let result = obey(relay, &request.action);
        wire.send(&Message::Response(Response { head, result })).await?;
    }
}

fn obey(relay: &Handle, action: &Action) -> Result<Reply, ErrorName> {
    if let Action::Proxy(proxy) = action {
        return relay.open(proxy).map(|()| Reply::Done).map_err(|error| {
            info!(session = %proxy.session, %error, "no pairing");
            Cause::NoRelay.into()
        });
    }
    if let Action::ProxyEnd(session) = action {
        relay.end(*session);
        return Ok(Reply::Done);
    }
    if matches!(action, Action::Ping) {
        return Ok(Reply::Done);
    }
    Err(ErrorName("unknown-action".into()))
}

/// The broker's end: gives orders to a relay that it dials, and dials again when it is lost. An
/// order to open that the relay cannot hear fails at once; one to end is kept until it has heard it.
#[derive(Debug)]
pub struct Remote {
    orders: Sender<PairingOrder>,
    answers: UnboundedSender<PairingAnswer>,
}

impl Remote {
    /// Dials by that function, and gives what [`crate::broker::Builder::pairings`] takes.
    pub fn start<D, F, S>(dial: D) -> (Self, UnboundedReceiver<PairingAnswer>)
    where
        D: FnMut() -> F + Send + 'static,
        F: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (orders, queue) = channel(QUEUE);
        let (answers, answered) = unbounded_channel();
        let task = Task {
            queue,
            answers: answers.clone(),
            next: 0,
            opening: BTreeMap::new(),
            ending: BTreeMap::new(),
        };
        tokio::spawn(task.run(dial));
        (Self { orders, answers }, answered)
    }
}

impl Pairings for Remote {
    fn order(&mut self, order: PairingOrder) {
        if let Err(error) = self.orders.try_send(order)
            && let PairingOrder::Open(proxy) = error.into_inner()
        {
            // The broker listens as long as it gives orders.
            let _ = self.answers.send(PairingAnswer::Failed(proxy.session));
        }
    }
}

struct Task {
    queue: Receiver<PairingOrder>,
    answers: UnboundedSender<PairingAnswer>,
    next: u32,
    /// Asked on this link, and not answered yet.
    opening: BTreeMap<TransactionId, SessionId>,
    /// Not known to have been heard.
    ending: BTreeMap<TransactionId, SessionId>,
}

/// Why a link is no more.
enum Lost {
    /// It broke, or the relay does not answer.
    Broke(io::Error),
    /// The broker has ended.
    BrokerEnded,
}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        Self::Broke(error)
    }
}

impl Task {
    async fn run<D, F, S>(mut self, mut dial: D)
    where
        D: FnMut() -> F,
        F: Future<Output = io::Result<S>>,
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let [shortest, longest] = PAUSES;
        let mut pause = shortest;
        loop {
            let dialled = tokio::select! {
                dialled = dial() => dialled,
                () = self.refuse_all() => return,
            };
            let lost = match dialled {
                Ok(stream) => {
                    info!("linked to the relay");
                    pause = shortest;
                    self.link(Wire::new(stream)).await
                }
                Err(error) => Lost::Broke(error),
            };
            for session in std::mem::take(&mut self.opening).into_values() {
                self.answer(PairingAnswer::Failed(session));
            }
            match lost {
                Lost::BrokerEnded => return,
                Lost::Broke(error) => warn!(%error, "no link to the relay, trying again"),
            }
            tokio::select! {
                () = sleep(pause) => pause = (pause * 2).min(longest),
                () = self.refuse_all() => return,
            }
        }
    }

    /// Answers orders while nobody can be asked; returns when the broker has ended.
    async fn refuse_all(&mut self) {
        while let Some(order) = self.queue.recv().await {
            if let PairingOrder::Open(proxy) = order {
                self.answer(PairingAnswer::Failed(proxy.session));
            } else if let PairingOrder::End(session) = order {
                let id = self.id();
                self.ending.insert(id, session);
            }
        }
    }

    async fn link<S: AsyncRead + AsyncWrite + Unpin>(&mut self, mut wire: Wire<S>) -> Lost {
        for (id, session) in self.ending.clone() {
            if let Err(error) = wire.ask(id, Action::ProxyEnd(session)).await {
                return error.into();
            }
        }
        let mut alive = interval(ALIVE);
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut asked = None;
        loop {
            let done = tokio::select! {
                message = wire.receive() => message.map(|message| {
                    if let Message::Response(response) = message {
                        let id = response.head.id();
                        self.answered(id, response.result.is_ok());
                        asked = asked.filter(|_| id != asked);
                    }
                }),
                order = self.queue.recv() => match order {
                    Some(order) => self.ask(&mut wire, order).await,
                    None => return Lost::BrokerEnded,
                },
                _ = alive.tick() => {
                    if asked.is_some() {
                        return io::Error::other("the relay does not answer").into();
                    }
                    let id = self.id();
                    asked = Some(id);
                    wire.ask(id, Action::Ping).await
                }
            };
            if let Err(error) = done {
                return error.into();
            }
        }
    }

    async fn ask<S>(&mut self, wire: &mut Wire<S>, order: PairingOrder) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let id = self.id();
        if let PairingOrder::Open(proxy) = order {
            self.opening.insert(id, proxy.session);
            wire.ask(id, Action::Proxy(proxy)).await
        } else if let PairingOrder::End(session) = order {
            self.ending.insert(id, session);
            wire.ask(id, Action::ProxyEnd(session)).await
        } else {
            Ok(())
        }
    }

    fn answered(&mut self, id: Option<TransactionId>, is_done: bool) {
        let Some(id) = id else {
            return;
        };
        self.ending.remove(&id);
        if let Some(session) = self.opening.remove(&id) {
            let answer = if is_done { PairingAnswer::Opened } else { PairingAnswer::Failed };
            self.answer(answer(session));
        }
    }

    fn answer(&self, answer: PairingAnswer) {
        // The broker may have ended.
        let _ = self.answers.send(answer);
    }

    fn id(&mut self) -> TransactionId {
        self.next = self.next.wrapping_add(1);
        TransactionId(self.next)
    }
}

/// A framed stream.
struct Wire<S> {
    read: ReadHalf<S>,
    write: WriteHalf<S>,
    decoder: Decoder,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    fn new(stream: S) -> Self {
        let (read, write) = split(stream);
        Self { read, write, decoder: Decoder::new(frame::BEFORE_LOGIN) }
    }

    async fn ask(&mut self, id: TransactionId, action: Action) -> io::Result<()> {
        self.send(&Message::Request(Request::new(id, action))).await
    }

    async fn send(&mut self, message: &Message) -> io::Result<()> {
        let mut bytes = Vec::new();
        frame::encode(&message.to_bytes(), &mut bytes);
        self.write.write_all(&bytes).await?;
        self.write.flush().await
    }

    /// The next message. May be dropped and called again: bytes are kept in the decoder.
    async fn receive(&mut self) -> io::Result<Message> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(body) = self.decoder.poll_frame().map_err(io::Error::other)? {
                return Message::parse(&body).map_err(io::Error::other);
            }
            match self.read.read(&mut buffer).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => self.decoder.push(&buffer[..length]),
            }
        }
    }
}
