//! Turns the machine of a link: one task that reads, one that writes, and whoever holds channels.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use simopen_protocol::control::{ErrorName, TransactionId};
use simopen_protocol::peer_frame::{ChannelNumber, PeerDecoder};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::OpenError;
use super::channel::{Channel, Offered};
use crate::multiplexer::{Event, Multiplexer, ReadEnd, Violation};
use crate::peer::Route;

/// How long the other side may be silent before it is asked whether it is there.
const SILENCE: Duration = Duration::from_secs(20);
/// How often it is asked before the link is given up.
const ASKED: u32 = 2;
/// Bytes that are read at a time, and after which frames are written.
const BATCH: usize = 64 * 1024;
/// How long closing in good order may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// What tasks and channels share.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// There is something to write.
    work: Notify,
    closed: watch::Sender<bool>,
}

#[derive(Debug)]
struct State {
    machine: Multiplexer,
    readers: BTreeMap<ChannelNumber, Waker>,
    writers: BTreeMap<ChannelNumber, Waker>,
    opening: BTreeMap<ChannelNumber, oneshot::Sender<Result<(), ErrorName>>>,
    /// Who waits until what was sent before has arrived.
    settling: BTreeMap<TransactionId, oneshot::Sender<()>>,
    /// Both are gone once the link has closed.
    offered: Option<mpsc::UnboundedSender<Offered>>,
    heard: Option<mpsc::Sender<Vec<u8>>>,
}

impl Shared {
    pub(super) fn new(
        offered: mpsc::UnboundedSender<Offered>,
        heard: mpsc::Sender<Vec<u8>>,
    ) -> Self {
        let state = State {
            machine: Multiplexer::default(),
            readers: BTreeMap::new(),
            writers: BTreeMap::new(),
            opening: BTreeMap::new(),
            settling: BTreeMap::new(),
            offered: Some(offered),
            heard: Some(heard),
        };
        Self { state: Mutex::new(state), work: Notify::new(), closed: watch::Sender::new(false) }
    }

    pub(super) fn open(
        &self,
        service: &str,
    ) -> Result<(ChannelNumber, oneshot::Receiver<Result<(), ErrorName>>), OpenError> {
        let mut state = self.state();
        if self.is_closed() {
            return Err(OpenError::LinkClosed);
        }
        let number = state.machine.open(service).ok_or(OpenError::TooMany)?;
        let (answered, answer) = oneshot::channel();
        state.opening.insert(number, answered);
        self.work.notify_one();
        Ok((number, answer))
    }

    /// Asks the other side for an answer to everything before. Frames keep their order.
    pub(super) fn settle(&self) -> Result<oneshot::Receiver<()>, OpenError> {
        let mut state = self.state();
        if self.is_closed() {
            return Err(OpenError::LinkClosed);
        }
        let id = state.machine.ping();
        let (answered, answer) = oneshot::channel();
        state.settling.insert(id, answered);
        self.work.notify_one();
        Ok(answer)
    }

    pub(super) fn accept(&self, channel: ChannelNumber) {
        self.state().machine.accept(channel);
        self.work.notify_one();
    }

    pub(super) fn refuse(&self, channel: ChannelNumber, why: &str) {
        self.state().machine.refuse(channel, why);
        self.work.notify_one();
    }

    pub(super) fn break_off(&self, channel: ChannelNumber) {
        self.state().machine.break_off(channel);
    }

    pub(super) fn abandon(&self, channel: ChannelNumber) {
        let mut state = self.state();
        state.machine.abandon(channel);
        state.opening.remove(&channel);
        state.readers.remove(&channel);
        state.writers.remove(&channel);
        self.work.notify_one();
    }

    pub(super) fn say(&self, message: &[u8]) -> Result<(), OpenError> {
        if self.is_closed() {
            return Err(OpenError::LinkClosed);
        }
        let has_room = self.state().machine.instant(message.to_vec());
        self.work.notify_one();
        if has_room { Ok(()) } else { Err(OpenError::Unread) }
    }

    pub(super) fn poll_read(
        &self,
        channel: ChannelNumber,
        buffer: &mut [u8],
        context: &Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        match state.machine.read(channel, buffer) {
            Ok(length) => {
                // The other side may have to be told to go on.
                self.work.notify_one();
                Poll::Ready(Ok(length))
            }
            Err(ReadEnd::Finished) => Poll::Ready(Ok(0)),
            Err(ReadEnd::Broken) => Poll::Ready(Err(broken_there())),
            Err(ReadEnd::Empty) if self.is_closed() => {
                Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
            }
            Err(ReadEnd::Empty) => {
                state.readers.insert(channel, context.waker().clone());
                Poll::Pending
            }
        }
    }

    pub(super) fn poll_write(
        &self,
        channel: ChannelNumber,
        bytes: &[u8],
        context: &Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        if self.is_closed() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        match state.machine.write(channel, bytes) {
            None if state.machine.is_broken(channel) => Poll::Ready(Err(broken_there())),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Some(0) => {
                state.writers.insert(channel, context.waker().clone());
                Poll::Pending
            }
            Some(taken) => {
                self.work.notify_one();
                Poll::Ready(Ok(taken))
            }
        }
    }

    pub(super) fn poll_finish(
        &self,
        channel: ChannelNumber,
        context: &Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.state();
        state.machine.finish(channel);
        if state.machine.is_broken(channel) {
            return Poll::Ready(Err(broken_there()));
        }
        if state.machine.is_finished(channel) {
            return Poll::Ready(Ok(()));
        }
        if self.is_closed() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        state.writers.insert(channel, context.waker().clone());
        self.work.notify_one();
        Poll::Pending
    }

    pub(super) fn close(&self) {
        let mut state = self.state();
        self.closed.send_replace(true);
        state.offered = None;
        state.heard = None;
        // Whoever waits learns it by its sender's end.
        state.opening.clear();
        state.settling.clear();
        let wakers = std::mem::take(&mut state.readers).into_values();
        let wakers: Vec<Waker> =
            wakers.chain(std::mem::take(&mut state.writers).into_values()).collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(super) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    pub(super) async fn closed(&self) {
        // The sender lives as long as this.
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands frames to the machine, and what became true to whoever waits for it.
    fn handle(self: &Arc<Self>, decoder: &mut PeerDecoder) -> Result<(), Broken> {
        let mut state = self.state();
        while let Some(frame) = decoder.poll_frame()? {
            state.machine.handle_frame(frame)?;
        }
        let offers = state.tell();
        let offered = state.offered.clone();
        drop(state);
        for (channel, service) in offers {
            let offer = Offered::new(service, Channel::new(Arc::clone(self), channel));
            // Where nobody takes offers, dropping it refuses.
            let _ = offered.as_ref().map(|offered| offered.send(offer));
        }
        self.work.notify_one();
        Ok(())
    }

    /// Frames to write, as bytes.
    fn gather(&self) -> Vec<u8> {
        let mut state = self.state();
        let mut bytes = Vec::new();
        while bytes.len() < BATCH
            && let Some(frame) = state.machine.poll_frame()
        {
            frame.encode(&mut bytes);
        }
        // Sending makes room and nothing else.
        state.tell();
        bytes
    }
}

impl State {
    /// Hands what became true to whoever waits for it, and returns what the other side offers: who
    /// refuses one needs this state himself.
    fn tell(&mut self) -> Vec<(ChannelNumber, String)> {
        let mut offers = Vec::new();
        while let Some(event) = self.machine.poll_event() {
            match event {
                Event::Opened(channel) => self.answered(channel, Ok(())),
                Event::Refused(channel, name) => self.answered(channel, Err(name)),
                Event::Offered(channel, service) => offers.push((channel, service)),
                Event::Readable(channel) => wake(&mut self.readers, channel),
                Event::Writable(channel) => wake(&mut self.writers, channel),
                Event::Answered(id) => {
                    let waiting = self.settling.remove(&id);
                    // Whoever asked may have gone away.
                    let _ = waiting.map(|waiting| waiting.send(()));
                }
                Event::Instant(text) => {
                    if let Some(heard) = &self.heard
                        && heard.try_send(text).is_err()
                    {
                        debug!("an instant message was thrown away: nobody takes them");
                    }
                }
            }
        }
        offers
    }

    fn answered(&mut self, channel: ChannelNumber, answer: Result<(), ErrorName>) {
        if let Some(answered) = self.opening.remove(&channel) {
            // Whoever asked may have gone away; then the channel goes too.
            let _ = answered.send(answer);
        }
    }
}

fn broken_there() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "it broke at the other side")
}

fn wake(waiting: &mut BTreeMap<ChannelNumber, Waker>, channel: ChannelNumber) {
    if let Some(waker) = waiting.remove(&channel) {
        waker.wake();
    }
}

/// Reads and writes until the link has closed, from whichever side.
pub(super) async fn drive<S>(stream: S, shared: Arc<Shared>, route: Option<Route>)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    // A flow that goes by a TUN route needs its owner for as long as it lives.
    let _route = route;
    let (reader, mut writer) = tokio::io::split(stream);
    tokio::select! {
        ended = read(reader, &shared) => match ended {
            Err(Broken::Violation(violation)) => warn!(%violation, "a link to a peer is closed"),
            Err(error) => debug!(%error, "a link to a peer has closed"),
            Ok(()) => debug!("a link to a peer has closed"),
        },
        ended = write(&mut writer, &shared) => debug!(?ended, "a link to a peer has closed"),
        () = shared.closed() => {}
    }
    shared.close();
    // The other side may be gone, or not reading.
    let _ = timeout(FAREWELL, writer.shutdown()).await;
}

async fn read<S: AsyncRead>(mut stream: ReadHalf<S>, shared: &Arc<Shared>) -> Result<(), Broken> {
    let mut decoder = PeerDecoder::default();
    let mut buffer = vec![0; BATCH];
    let mut asked = 0;
    loop {
        match timeout(SILENCE, stream.read(&mut buffer)).await {
            Ok(Ok(0)) => return Ok(()),
            Ok(Ok(length)) => {
                asked = 0;
                decoder.push(&buffer[..length]);
                shared.handle(&mut decoder)?;
            }
            Ok(Err(error)) => return Err(Broken::Io(error)),
            Err(_) if asked == ASKED => return Err(Broken::Io(io::ErrorKind::TimedOut.into())),
            Err(_) => {
                asked += 1;
                shared.state().machine.ping();
                shared.work.notify_one();
            }
        }
    }
}

async fn write<S: AsyncWrite>(stream: &mut WriteHalf<S>, shared: &Arc<Shared>) -> io::Result<()> {
    loop {
        let bytes = shared.gather();
        if bytes.is_empty() {
            stream.flush().await?;
            shared.work.notified().await;
        } else {
            stream.write_all(&bytes).await?;
        }
    }
}

/// Why a link ended that the other side has not closed in good order.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Frame(#[from] simopen_protocol::peer_frame::PeerFrameError),
    #[error(transparent)]
    Violation(#[from] Violation),
}
