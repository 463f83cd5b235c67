//! One link's task: it reads frames and hands on what they say, and writes what waits for it.
//!
//! An idle link holds no buffer: bytes are read into the stack of the moment, and queues give their
//! memory back when they are empty.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use simopen_broker::directory::RELAY;
use simopen_broker::{LinkId, PathEstimate};
use simopen_device::socket::tcp_info;
use simopen_protocol::control::{
    Action, ControlError, Message, PublicKey, Reply, Request, Response, TransactionId,
};
use simopen_protocol::frame::{self, Decoder};
use simopen_protocol::identity::DeviceName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::{Sleep, sleep};

use super::Service;
use super::actor::Arrival;
use super::outbox::{AT_ONCE, Course, Outbox, Outgoing};
use super::refusals::Refusal;
use super::signing::{Named, Unsigned};
use super::wire::Wire;
use crate::authority::is_device_key;
use crate::front::{Newcomer, Witness};

/// Bytes that are read at a time.
const PIECE: usize = 4096;
/// How long a link that is being closed may take to read what it was sent.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Joins of one link that are not answered yet, of which keys are remembered.
const JOINS: usize = 8;

/// The broker's end of a link.
pub(super) struct Link {
    id: LinkId,
    wire: Wire,
    outbox: Arc<Outbox>,
    service: Arc<Service>,
    decoder: Decoder,
    /// Holds its seat until it has shown who it is; over when it has to go.
    newcomer: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Told as soon as it has.
    witness: Option<Witness>,
    /// Whether anything is read from it.
    listens: bool,
    writing: Option<Writing>,
    wants_flush: bool,
    last_words: Option<Pin<Box<Sleep>>>,
    joins: Vec<Join>,
}

/// Frames that are written at once.
struct Writing {
    frames: Vec<Arc<[u8]>>,
    /// Bytes of them that are written.
    written: usize,
    /// Whether the last of them is a page.
    is_page: bool,
}

/// A key that wants to join.
struct Join {
    id: TransactionId,
    device: DeviceName,
    key: PublicKey,
}

/// What a turn of the task came to.
enum Step {
    Frame(Vec<u8>),
    TooLong,
    PageWritten,
    /// Nothing more comes; what waits is still written.
    Finished,
    Closed,
}

impl Link {
    pub(super) fn new(
        id: LinkId,
        wire: Wire,
        outbox: Arc<Outbox>,
        service: Arc<Service>,
        mut newcomer: Newcomer,
    ) -> Self {
        let witness = newcomer.witness();
        Self {
            id,
            wire,
            outbox,
            service,
            decoder: Decoder::new(frame::BEFORE_LOGIN),
            newcomer: Some(Box::pin(async move { newcomer.dismissed().await })),
            witness: Some(witness),
            listens: true,
            writing: None,
            wants_flush: false,
            last_words: None,
            joins: Vec::new(),
        }
    }

    /// Until the connection ends.
    pub(super) async fn run(mut self, arrivals: mpsc::Sender<Arrival>) {
        loop {
            let arrival = match poll_fn(|context| self.poll_step(context)).await {
                Step::Frame(body) => self.read(&body),
                Step::TooLong => {
                    self.service.refusals.count(Refusal::FrameTooLong);
                    // Nothing after it can be read.
                    self.listens = false;
                    let error = ControlError::UnknownRoot;
                    Arrival::Malformed { link: self.id, error: Box::new(error) }
                }
                Step::PageWritten => Arrival::PageWritten(self.id),
                Step::Finished => {
                    self.listens = false;
                    Arrival::Closed(self.id)
                }
                Step::Closed => break,
            };
            if let Some(proven) = self.proven(&arrival).await
                && arrivals.send(proven).await.is_err()
            {
                return;
            }
            if matches!(arrival, Arrival::Request { .. } | Arrival::Malformed { .. }) {
                self.outbox.set_off();
            }
            if arrivals.send(arrival).await.is_err() {
                return;
            }
        }
        // The actor may be gone; then nobody cares.
        let _ = arrivals.send(Arrival::Closed(self.id)).await;
    }

    fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        loop {
            let turn = self.outbox.poll(context);
            self.decoder.set_limit(turn.limit);
            if turn.course == Course::Gone || self.is_expelled(turn.is_newcomer, context) {
                return Poll::Ready(Step::Closed);
            }
            match self.poll_write(context) {
                Poll::Ready(Ok(Some(step))) => return Poll::Ready(step),
                Poll::Ready(Err(_)) => return Poll::Ready(Step::Closed),
                Poll::Ready(Ok(None)) if turn.course == Course::Closing => {
                    // The peer may have closed first.
                    return Pin::new(&mut self.wire).poll_shutdown(context).map(|_| Step::Closed);
                }
                Poll::Pending if turn.course == Course::Closing => {
                    let last = self.last_words.get_or_insert_with(|| Box::pin(sleep(LAST_WORDS)));
                    return last.as_mut().poll(context).map(|()| Step::Closed);
                }
                Poll::Ready(Ok(None)) | Poll::Pending => {}
            }
            if !turn.may_read || !self.listens {
                return Poll::Pending;
            }
            match self.decoder.poll_frame() {
                Ok(Some(body)) => return Poll::Ready(Step::Frame(body)),
                Ok(None) => {}
                Err(_) => return Poll::Ready(Step::TooLong),
            }
            match ready!(self.poll_read(context)) {
                Ok(0) => return Poll::Ready(Step::Finished),
                Ok(_) => {}
                Err(_) => return Poll::Ready(Step::Closed),
            }
        }
    }

    fn is_expelled(&mut self, is_newcomer: bool, context: &mut Context<'_>) -> bool {
        if !is_newcomer {
            self.newcomer = None;
            if let Some(witness) = self.witness.take() {
                witness.known();
            }
        }
        // The front counts those that have to go.
        self.newcomer.as_mut().is_some_and(|newcomer| newcomer.as_mut().poll(context).is_ready())
    }

    /// Writes what waits. Ready with nothing where all of it is on its way.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Option<Step>>> {
        loop {
            if let Some(writing) = &mut self.writing {
                ready!(writing.poll(&mut self.wire, context))?;
                self.wants_flush = true;
                let is_page = writing.is_page;
                self.writing = None;
                if is_page {
                    return Poll::Ready(Ok(Some(Step::PageWritten)));
                }
            }
            let taken = self.outbox.take();
            if taken.is_empty() {
                break;
            }
            self.writing = Some(self.prepare(taken));
        }
        if self.wants_flush {
            ready!(Pin::new(&mut self.wire).poll_flush(context))?;
            self.wants_flush = false;
        }
        Poll::Ready(Ok(None))
    }

    fn prepare(&mut self, taken: Vec<Outgoing>) -> Writing {
        let is_page = matches!(taken.last(), Some(Outgoing::Page(_)));
        let frames = taken.into_iter().map(|outgoing| match outgoing {
            Outgoing::Frame(frame) | Outgoing::Page(frame) => frame,
            Outgoing::Unsigned(unsigned) => encode(&self.sign(*unsigned)),
        });
        Writing { frames: frames.collect(), written: 0, is_page }
    }

    fn sign(&mut self, mut unsigned: Unsigned) -> Message {
        if unsigned.device.is_none() {
            unsigned.device = self.joined(&unsigned.message);
        }
        unsigned.sign(
            self.service.tls.as_ref().map(crate::tls::Tls::authority),
            self.service.wall.seconds(),
        )
    }

    /// The device that a response has made a user's.
    fn joined(&mut self, message: &Message) -> Option<Named> {
        let Message::Response(Response { head, result: Ok(Reply::Joined(joined)) }) = message
        else {
            return None;
        };
        let id = head.id()?;
        let place = self.joins.iter().position(|join| join.id == id)?;
        let join = self.joins.swap_remove(place);
        Some(Named {
            user: joined.user.clone(),
            device: join.device,
            key: join.key,
            is_relay: joined.user.as_str() == RELAY,
        })
    }

    /// Zero where nothing more comes.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut piece = [MaybeUninit::uninit(); PIECE];
        let mut buffer = ReadBuf::uninit(&mut piece);
        ready!(Pin::new(&mut self.wire).poll_read(context, &mut buffer))?;
        self.decoder.push(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }

    fn read(&mut self, body: &[u8]) -> Arrival {
        let link = self.id;
        let request = match Message::parse(body) {
            Ok(Message::Request(request)) => self.look_at(request),
            Ok(Message::Response(_) | Message::Notification(_)) => Err(ControlError::UnknownRoot),
            Err(error) => Err(error),
        };
        match request {
            Ok(request) => Arrival::Request { link, request: Box::new(request), path: self.path() },
            Err(error) => {
                self.service.refusals.count(Refusal::Malformed);
                Arrival::Malformed { link, error: Box::new(error) }
            }
        }
    }

    /// A key that cannot be certified never reaches the machine; of the others it is remembered
    /// which one the certificate will be for.
    fn look_at(&mut self, request: Request) -> Result<Request, ControlError> {
        let Action::Join(join) = &request.action else {
            return Ok(request);
        };
        let is_pending = self.joins.iter().any(|pending| pending.id == request.id);
        if is_pending || !is_device_key(&join.key) {
            self.service.refusals.count(Refusal::UnknownKey);
            let head = request.head();
            return Err(ControlError::Missing { element: "PBReq", what: "Key", head });
        }
        if self.joins.len() == JOINS {
            self.joins.remove(0);
        }
        let (device, key) = (join.device.clone(), join.key.clone());
        self.joins.push(Join { id: request.id, device, key });
        Ok(request)
    }

    /// Where there is a forger, it is the one that reads the connection's SYN.
    async fn proven(&mut self, arrival: &Arrival) -> Option<Arrival> {
        let (Arrival::Request { link, request, .. }, Some(desk)) = (arrival, &self.service.forger)
        else {
            return None;
        };
        let (syn, socket) = desk.evidence(request, self.wire.socket()).await?;
        Some(Arrival::Proven { link: *link, syn: Box::new(syn), socket })
    }

    fn path(&self) -> PathEstimate {
        let measured = self.wire.socket().and_then(|socket| tcp_info(socket).ok());
        measured
            .map_or_else(PathEstimate::default, |info| PathEstimate { round_trip: info.min_rtt })
    }
}

impl Writing {
    /// Until all of it is written.
    fn poll(&mut self, wire: &mut Wire, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let all: usize = self.frames.iter().map(|frame| frame.len()).sum();
        while self.written < all {
            let mut slices = [IoSlice::new(&[]); AT_ONCE];
            for (slice, frame) in slices.iter_mut().zip(&self.frames) {
                *slice = IoSlice::new(frame);
            }
            let mut rest = &mut slices[..self.frames.len()];
            IoSlice::advance_slices(&mut rest, self.written);
            self.written += ready!(Pin::new(&mut *wire).poll_write_vectored(context, rest))?;
        }
        Poll::Ready(Ok(()))
    }
}

/// A message as a frame that any number of links can write.
pub(super) fn encode(message: &Message) -> Arc<[u8]> {
    let body = message.to_bytes();
    let mut wire = Vec::with_capacity(body.len() + 4);
    frame::encode(&body, &mut wire);
    wire.into()
}
