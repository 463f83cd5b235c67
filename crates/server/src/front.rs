//! One port for everything: accepts connections and hands each on by its first byte.
//!
//! | first byte | what it is | goes to |
//! | --- | --- | --- |
//! | `0x16` | TLS: a control link or a probe | the broker's service |
//! | `0x00` | a frame in clear text: the same, where clear text is taken at all | the broker's service |
//! | `0x80` and above | a value of 32 bytes | the relay |
//! | a letter | HTTP: a CONNECT that carries a value, or a [carrier](simopen_protocol::carrier) | the relay, or sniffed again |
//!
//! Whoever has not shown who it is has a seat among the [`Newcomer`]s: they are bounded in number,
//! the oldest goes first where they are too many, and none stays for over 10 s. Accepting goes on
//! when descriptors are used up.

mod carrier;
mod http;
mod newcomer;
mod welcome;

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use simopen_device::carried::Carried;
use simopen_device::socket::{keep_alive, send_at_once, set_backlog};
use simopen_packet::Syn;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::warn;

use self::carrier::Carriers;
use self::newcomer::Newcomers;
pub use self::newcomer::{Newcomer, Witness};
use crate::relay;
use crate::seldom::Seldom;

/// How long accepting rests when it fails, as it does when descriptors are used up.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Connections that wait in the kernel to be accepted: what comes at once where many peers return.
const BACKLOG: u16 = 4096;

/// A connection that is idle for so long is asked whether its other end is still there, and breaks
/// after as long again: who lost its power keeps no place for ever, neither a link nor a pair.
const IDLE: Duration = Duration::from_secs(60);

/// Control connections that wait for the broker's service; beyond, further ones wait with theirs.
const QUEUE: usize = 256;

/// Whether a control link may come without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClearText {
    /// It is closed.
    #[default]
    Refused,
    /// It is handed on: for laboratories, tests, and programs that stay on one host.
    Taken,
}

/// Who reads the SYN of a connection, which the kernel gives once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SynReader {
    /// The front.
    #[default]
    Front,
    /// Somebody who is shown the connection later: a forger.
    Later,
}

/// How much a front keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections that have not shown who they are.
    pub newcomers: usize,
    /// How long they may take (seed 001 ¶181).
    pub newcomer_time: Duration,
    /// Carriers over HTTP.
    pub carriers: usize,
}

impl Default for Limits {
    /// 4,096 newcomers for 10 s, 4,096 carriers.
    fn default() -> Self {
        Self { newcomers: 4096, newcomer_time: Duration::from_secs(10), carriers: 4096 }
    }
}

/// How a control connection came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Its first byte begins a TLS record.
    Tls,
    /// Its first byte begins a frame.
    Clear,
}

/// A connection for the broker's service. Nothing of it has been read.
#[derive(Debug)]
pub struct Incoming {
    /// The stream.
    pub stream: Carried,
    /// What begins on it.
    pub kind: Kind,
    /// Where it comes from; for a carrier over HTTP, where its first request came from.
    pub remote: SocketAddr,
    /// Its SYN, where the listener saves them and nothing carries the stream.
    pub syn: Option<Syn>,
    /// Its seat among those who have not shown who they are: close the connection when
    /// [`Newcomer::dismissed`] returns; once it has logged in say so to the seat's
    /// [`Newcomer::witness`], and drop the seat.
    pub newcomer: Newcomer,
}

/// What happened at a front since its start. May grow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Accepted connections.
    pub accepted: u64,
    /// Times that accepting failed.
    pub accept_failed: u64,
    /// Newcomers that others took the place of.
    pub crowded: u64,
    /// Newcomers whose time was over.
    pub late: u64,
    /// First bytes that begin nothing that is taken here.
    pub not_understood: u64,
    /// HTTP requests that lead nowhere.
    pub not_found: u64,
    /// Newcomers at this moment.
    pub newcomers: u64,
    /// Carriers over HTTP at this moment.
    pub carriers: u64,
}

#[derive(Debug, Default)]
struct Counters {
    accepted: AtomicU64,
    accept_failed: AtomicU64,
    not_understood: AtomicU64,
    not_found: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Collects what a front needs.
///
/// ```
/// use simopen_server::front::Front;
/// use simopen_server::relay;
///
/// # fn main() -> std::io::Result<()> {
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// # runtime.block_on(async {
/// let relay = relay::Builder::new().start()?;
/// let (front, mut control) = Front::new().relay(relay.clone()).control();
/// let handle = front.start(vec![std::net::TcpListener::bind("127.0.0.1:0")?])?;
/// # let at = handle.local_addrs()[0];
/// # let _client = tokio::net::TcpStream::connect(at).await?;
/// // while let Some(incoming) = control.recv().await { … }
/// # drop(control);
/// # Ok(()) })
/// # }
/// ```
#[derive(Debug, Default)]
pub struct Front {
    limits: Limits,
    clear: ClearText,
    syn_reader: SynReader,
    relay: Option<relay::Handle>,
    control: Option<mpsc::Sender<Incoming>>,
}

impl Front {
    /// A front that hands on nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How much it keeps.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Whether control links may come without TLS.
    #[must_use]
    pub const fn clear_text(mut self, clear: ClearText) -> Self {
        self.clear = clear;
        self
    }

    /// Who reads the SYNs of control connections.
    #[must_use]
    pub const fn syn_reader(mut self, reader: SynReader) -> Self {
        self.syn_reader = reader;
        self
    }

    /// Where values go.
    #[must_use]
    pub fn relay(mut self, relay: relay::Handle) -> Self {
        self.relay = Some(relay);
        self
    }

    /// Lets control connections come out of the receiver.
    #[must_use]
    pub fn control(mut self) -> (Self, mpsc::Receiver<Incoming>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        self.control = Some(sender);
        (self, receiver)
    }

    /// Accepts from these listeners, on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// Where a listener cannot be handed to the runtime.
    pub fn start(self, listeners: Vec<StdListener>) -> io::Result<Handle> {
        let newcomers = Newcomers::new(self.limits.newcomers, self.limits.newcomer_time);
        let shared = Arc::new(Shared {
            newcomers,
            carriers: Carriers::new(self.limits.carriers),
            clear: self.clear,
            syn_reader: self.syn_reader,
            relay: self.relay,
            control: self.control,
            counters: Counters::default(),
        });
        let mut locals = Vec::new();
        let mut acceptors = Vec::new();
        for listener in listeners {
            listener.set_nonblocking(true)?;
            set_backlog(&listener, BACKLOG)?;
            // What is accepted has both from here. Answers are small and wanted at once.
            keep_alive(&listener, IDLE)?;
            send_at_once(&listener)?;
            locals.push(listener.local_addr()?);
            let listener = TcpListener::from_std(listener)?;
            acceptors.push(tokio::spawn(accept(listener, Arc::clone(&shared))));
        }
        Ok(Handle { shared, locals, acceptors })
    }
}

/// What all connections of a front share.
#[derive(Debug)]
struct Shared {
    newcomers: Newcomers,
    carriers: Carriers,
    clear: ClearText,
    syn_reader: SynReader,
    relay: Option<relay::Handle>,
    control: Option<mpsc::Sender<Incoming>>,
    counters: Counters,
}

/// A running front. It stops accepting when this is dropped; what was accepted stays.
#[derive(Debug)]
pub struct Handle {
    shared: Arc<Shared>,
    locals: Vec<SocketAddr>,
    acceptors: Vec<JoinHandle<()>>,
}

impl Handle {
    /// Where it listens, in the order of the listeners.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.locals
    }

    /// Figures since the start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let counters = &self.shared.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            accepted: read(&counters.accepted),
            accept_failed: read(&counters.accept_failed),
            crowded: self.shared.newcomers.crowded(),
            late: self.shared.newcomers.late(),
            not_understood: read(&counters.not_understood),
            not_found: read(&counters.not_found),
            newcomers: self.shared.newcomers.len() as u64,
            carriers: self.shared.carriers.len() as u64,
        }
    }

    /// Stops accepting, and waits until the listeners are closed.
    pub async fn stop(mut self) {
        for acceptor in self.acceptors.drain(..) {
            acceptor.abort();
            // It was aborted just now.
            let _ = acceptor.await;
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        for acceptor in &self.acceptors {
            acceptor.abort();
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut failures = Seldom::default();
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                count(&shared.counters.accepted);
                accepted(stream, remote, &shared);
            }
            Err(error) => {
                // Without descriptors nobody new gets in before somebody goes: who has been here
                // longest without a word.
                count(&shared.counters.accept_failed);
                shared.newcomers.dismiss_oldest();
                if let Some(times) = failures.happened() {
                    warn!(%error, times, "accepting failed, trying again");
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn accepted(stream: TcpStream, remote: SocketAddr, shared: &Arc<Shared>) {
    let newcomer = shared.newcomers.admit();
    tokio::spawn(welcome::welcome(stream, remote, newcomer, Arc::clone(shared)));
}
