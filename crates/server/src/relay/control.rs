//! The link between a broker and a relay that runs apart (seed 001 ¶177): the broker's `Proxy` and
//! `ProxyEnd` requests, and the relay's `ProxyEnd` when a pair is no more; each is answered.
//!
//! Whoever holds this link decides who meets. It takes any stream, and has to be given one on which
//! both ends have shown who they are: TLS with certificates of the broker's authority.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use simopen_broker::PairingOrder;
use simopen_protocol::cause::Cause;
use simopen_protocol::control::{
    Action, ErrorName, KeyFingerprint, Message, Reply, Request, Response, TransactionId,
};
use simopen_protocol::frame::{self, Decoder};
use simopen_protocol::identity::SessionId;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};
use tracing::{info, warn};

use super::Handle;
use super::orders::{Order, Orders};
use crate::broker::{PairingAnswer, Pairings};

/// How often the relay is asked whether it is there.
const ALIVE: Duration = Duration::from_secs(10);

/// How long anything may take that one end waits for: a dial, an answer, a write.
const ANSWER: Duration = Duration::from_secs(10);

/// How long a relay that was revoked may take to end its pairs before it is left.
const PARTING: Duration = Duration::from_millis(500);

/// Bytes that wait for a relay that is slow to read; beyond, orders wait.
const UNWRITTEN: usize = 64 * 1024;

/// The shortest and the longest pause before a relay that was lost is dialled again.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];

/// The relay's end: does what the broker orders, and tells of pairs that are no more, until the link
/// ends.
///
/// # Errors
///
/// Where the link breaks, and where a notification comes.
pub async fn serve<S>(stream: S, relay: &Handle) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Wire { mut reading, mut writing } = Wire::new(stream);
    let (hearer, mut gone) = unbounded_channel();
    relay.tell_ended(hearer);
    let mut ids = (1..=u32::MAX).cycle().map(TransactionId);
    loop {
        tokio::select! {
            message = reading.receive() => match message? {
                Message::Request(request) => {
                    writing.add(&response(&request, obey(relay, &request.action)));
                }
                // It has heard of a pair that is no more.
                Message::Response(_) => continue,
                Message::Notification(_) => {
                    return Err(io::Error::other("the broker sent a notification"));
                }
            },
            Some(answer) = gone.recv() => {
                if let (PairingAnswer::Ended(session), Some(id)) = (answer, ids.next()) {
                    writing.add(&request(id, Action::ProxyEnd(session)));
                }
            }
        }
        timeout(ANSWER, writing.write()).await??;
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
    Err(unknown())
}

/// The broker's end: gives orders to a relay that it dials, and dials again when it is lost. An
/// order to open that the relay cannot hear fails at once; one to end is kept until it has heard it.
#[derive(Debug)]
pub struct Remote {
    orders: Arc<Orders>,
    answers: UnboundedSender<PairingAnswer>,
}

impl Remote {
    /// Dials by that function, which tells by which key the relay has shown who it is, and gives what [`crate::broker::Builder::pairings`] takes.
    pub fn start<D, F, S>(dial: D) -> (Self, UnboundedReceiver<PairingAnswer>)
    where
        D: FnMut() -> F + Send + 'static,
        F: Future<Output = io::Result<(S, KeyFingerprint)>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let orders = Arc::new(Orders::default());
        let (answers, answered) = unbounded_channel();
        let task = Task {
            orders: Arc::clone(&orders),
            answers: answers.clone(),
            next: 0,
            asked: BTreeMap::new(),
        };
        tokio::spawn(task.run(dial));
        (Self { orders, answers }, answered)
    }
}

impl Pairings for Remote {
    fn order(&mut self, order: PairingOrder) {
        if let Some(session) = self.orders.give(order) {
            // The broker listens as long as it gives orders.
            let _ = self.answers.send(PairingAnswer::Failed(session));
        }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.orders.end();
    }
}

struct Task {
    orders: Arc<Orders>,
    answers: UnboundedSender<PairingAnswer>,
    next: u32,
    /// Asked on this link, and not answered yet.
    asked: BTreeMap<TransactionId, Asked>,
}

struct Asked {
    what: Question,
    until: Instant,
}

#[derive(Clone, Copy)]
enum Question {
    Open(SessionId),
    End(SessionId),
    Alive,
}

/// Why a link is no more.
enum Lost {
    /// It broke, or the relay does not answer.
    Broke(io::Error),
    /// The relay was revoked.
    Revoked,
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
        F: Future<Output = io::Result<(S, KeyFingerprint)>>,
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let [shortest, longest] = PAUSES;
        let mut pause = shortest;
        loop {
            let dialled = tokio::select! {
                dialled = timeout(ANSWER, dial()) => dialled.unwrap_or_else(|_| Err(silent())),
                () = self.refuse_all() => return,
            };
            let lost = match dialled {
                Ok((stream, key)) => {
                    info!("linked to the relay");
                    pause = shortest;
                    self.link(Wire::new(stream), key).await
                }
                Err(error) => Lost::Broke(error),
            };
            self.unlinked();
            match lost {
                Lost::BrokerEnded => return,
                Lost::Broke(error) => warn!(%error, "no link to the relay, trying again"),
                Lost::Revoked => {
                    warn!("the relay was revoked, and is left");
                    self.orders.forget_endings();
                    self.answer(PairingAnswer::Left);
                }
            }
            tokio::select! {
                () = sleep(pause) => pause = (pause * 2).min(longest),
                () = self.refuse_all() => return,
            }
        }
    }

    /// Answers orders while nobody can be asked; returns when the broker has ended.
    async fn refuse_all(&self) {
        while let Some(session) = self.orders.opening().await {
            self.answer(PairingAnswer::Failed(session));
        }
    }

    /// What was asked on a link that is no more: pairs have failed, and ends are asked again.
    fn unlinked(&mut self) {
        for asked in std::mem::take(&mut self.asked).into_values() {
            match asked.what {
                Question::Open(session) => self.answer(PairingAnswer::Failed(session)),
                Question::End(session) => self.orders.give_back([session]),
                Question::Alive => {}
            }
        }
    }

    /// Reads and writes at the same time, so that neither waits for the other.
    async fn link<S>(&mut self, mut wire: Wire<S>, key: KeyFingerprint) -> Lost
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut alive = interval(ALIVE);
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let Wire { reading, writing } = &mut wire;
            let oldest = self.asked.values().map(|asked| asked.until).next();
            let has_room = writing.has_room();
            let done = tokio::select! {
                message = reading.receive() => message.map(|message| self.heard(message, writing)),
                written = writing.write(), if writing.has_any() => written,
                order = self.orders.next(has_room) => match order {
                    Order::Open(proxy) => {
                        let id = self.ask(Question::Open(proxy.session));
                        writing.add(&request(id, Action::Proxy(proxy)));
                        Ok(())
                    }
                    Order::End(session) => {
                        self.say_end(writing, session);
                        Ok(())
                    }
                    Order::Leave(relay, pairs) if relay == key => {
                        self.part(wire, pairs).await;
                        return Lost::Revoked;
                    }
                    Order::Leave(..) => Ok(()),
                    Order::Over => {
                        // Whether the relay hears it or not, the broker goes.
                        let _ = timeout(ANSWER, writing.write()).await;
                        return Lost::BrokerEnded;
                    }
                },
                _ = alive.tick() => {
                    let id = self.ask(Question::Alive);
                    writing.add(&request(id, Action::Ping));
                    Ok(())
                }
                () = until(oldest) => Err(silent()),
            };
            if let Err(error) = done {
                return error.into();
            }
        }
    }

    /// A relay that was revoked may be honest all the same, and end its pairs.
    async fn part<S>(&mut self, Wire { mut reading, mut writing }: Wire<S>, pairs: Vec<SessionId>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.unlinked();
        for session in pairs {
            self.say_end(&mut writing, session);
        }
        let parting = async {
            while !self.asked.is_empty() {
                tokio::select! {
                    message = reading.receive() => self.heard(message?, &mut writing),
                    written = writing.write(), if writing.has_any() => written?,
                }
            }
            Ok::<_, io::Error>(())
        };
        // Whatever it does, it is left.
        let _ = timeout(PARTING, parting).await;
    }

    fn say_end<S: AsyncWrite>(&mut self, writing: &mut Writing<S>, session: SessionId) {
        let id = self.ask(Question::End(session));
        writing.add(&request(id, Action::ProxyEnd(session)));
    }

    fn heard<S: AsyncWrite>(&mut self, message: Message, writing: &mut Writing<S>) {
        match message {
            Message::Response(response) => {
                self.answered(response.head.id(), response.result.is_ok());
            }
            Message::Request(request) => {
                let result = if let Action::ProxyEnd(session) = request.action {
                    self.answer(PairingAnswer::Ended(session));
                    Ok(Reply::Done)
                } else {
                    Err(unknown())
                };
                writing.add(&response(&request, result));
            }
            Message::Notification(_) => {}
        }
    }

    fn ask(&mut self, what: Question) -> TransactionId {
        self.next = self.next.wrapping_add(1);
        let id = TransactionId(self.next);
        self.asked.insert(id, Asked { what, until: Instant::now() + ANSWER });
        id
    }

    fn answered(&mut self, id: Option<TransactionId>, is_done: bool) {
        let asked = id.and_then(|id| self.asked.remove(&id));
        if let Some(Asked { what: Question::Open(session), .. }) = asked {
            let answer = if is_done { PairingAnswer::Opened } else { PairingAnswer::Failed };
            self.answer(answer(session));
        }
    }

    fn answer(&self, answer: PairingAnswer) {
        // The broker may have ended.
        let _ = self.answers.send(answer);
    }
}

fn request(id: TransactionId, action: Action) -> Message {
    Message::Request(Request::new(id, action))
}

fn response(request: &Request, result: Result<Reply, ErrorName>) -> Message {
    Message::Response(Response { head: request.head(), result })
}

/// What is answered to a request that this end does not take.
fn unknown() -> ErrorName {
    ErrorName("unknown-action".into())
}

fn silent() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the relay does not answer")
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// A framed stream.
struct Wire<S> {
    reading: Reading<S>,
    writing: Writing<S>,
}

struct Reading<S> {
    read: ReadHalf<S>,
    decoder: Decoder,
}

struct Writing<S> {
    write: WriteHalf<S>,
    /// Not yet taken by the stream.
    bytes: VecDeque<u8>,
    is_flushed: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    fn new(stream: S) -> Self {
        let (read, write) = split(stream);
        Self {
            reading: Reading { read, decoder: Decoder::new(frame::BEFORE_LOGIN) },
            writing: Writing { write, bytes: VecDeque::new(), is_flushed: true },
        }
    }
}

impl<S: AsyncWrite> Writing<S> {
    fn add(&mut self, message: &Message) {
        let mut bytes = Vec::new();
        frame::encode(&message.to_bytes(), &mut bytes);
        self.bytes.extend(bytes);
        self.is_flushed = false;
    }

    fn has_any(&self) -> bool {
        !self.is_flushed
    }

    fn has_room(&self) -> bool {
        self.bytes.len() < UNWRITTEN
    }

    /// Writes what was added. May be dropped and called again.
    async fn write(&mut self) -> io::Result<()> {
        while !self.bytes.is_empty() {
            match self.write.write(self.bytes.as_slices().0).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                length => drop(self.bytes.drain(..length)),
            }
        }
        self.write.flush().await?;
        self.is_flushed = true;
        Ok(())
    }
}

impl<S: AsyncRead> Reading<S> {
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
