//! Proven ports: a task that keeps some ready and gives them out.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::ClientConfig;
use simopen_device::DeviceError;
use simopen_device::capture::{PacketSocketCapture, SynCapture};
use simopen_device::clock::Clock;
use simopen_device::filter::{Scope, Selection};
use simopen_device::socket::{DialOptions, bind_dialer};
use simopen_packet::{SeqNumber, Syn};
use simopen_protocol::cause::Cause;
use simopen_protocol::certificate_name;
use simopen_protocol::control::{Action, Probe, Reply, Request};
use simopen_protocol::identity::PeerId;
use simopen_protocol::token::Token;
use simopen_traversal::probe::{ProbeCommand, ProbeStock, ProvenPort};
use simopen_traversal::signalling::FIRST;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracing::{debug, warn};

use crate::control_stream::ControlStream;
use crate::link::Wire;
use crate::world::{close_aside, dialled};

/// A proven port and the connection that proved it, which keeps the box's mapping alive.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) proven: ProvenPort,
    pub(crate) probe: ControlStream,
}

/// What a probe needs.
#[derive(Debug, Clone)]
pub(crate) struct Prober {
    pub(crate) address: IpAddr,
    pub(crate) broker: SocketAddr,
    pub(crate) peer: PeerId,
    pub(crate) secret: Token,
    /// As on the control link.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) clock: Clock,
}

/// A handle on the task. It ends when the last one is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Ports {
    wants: mpsc::Sender<oneshot::Sender<Port>>,
    stocked: watch::Receiver<bool>,
}

impl Ports {
    pub(crate) fn spawn(prober: Prober, ready: usize) -> Self {
        let (wants, queue) = mpsc::channel(16);
        let stock = ProbeStock::new(ready.max(1), prober.clock.now());
        let (stocking, stocked) = watch::channel(false);
        let task = Task {
            prober,
            stock,
            stocking,
            probes: JoinSet::new(),
            held: HashMap::new(),
            waiting: Vec::new(),
        };
        tokio::spawn(task.run(queue));
        Self { wants, stocked }
    }

    /// Waits until a port is ready. `None` where the task has ended.
    pub(crate) async fn ready(&self) -> Option<()> {
        self.stocked.clone().wait_for(|stocked| *stocked).await.ok().map(|_| ())
    }

    /// A proven port, as soon as there is one. `None` where the task has ended.
    pub(crate) async fn take(&self) -> Option<Port> {
        let (reply, port) = oneshot::channel();
        self.wants.send(reply).await.ok()?;
        port.await.ok()
    }
}

struct Task {
    prober: Prober,
    stock: ProbeStock,
    stocking: watch::Sender<bool>,
    probes: JoinSet<Result<Port, ProbeError>>,
    held: HashMap<SocketAddr, ControlStream>,
    waiting: Vec<oneshot::Sender<Port>>,
}

impl Task {
    async fn run(mut self, mut wants: mpsc::Receiver<oneshot::Sender<Port>>) {
        loop {
            self.work();
            let deadline = self.stock.poll_timeout().map(|at| self.prober.clock.instant(at));
            tokio::select! {
                want = wants.recv() => match want {
                    Some(reply) => self.waiting.push(reply),
                    None => return,
                },
                Some(done) = self.probes.join_next() => self.probed(done.unwrap_or(Err(ProbeError::Lost))),
                () = sleep_until(deadline) => {}
            }
        }
    }

    fn work(&mut self) {
        let now = self.prober.clock.now();
        self.stock.handle_timeout(now);
        self.waiting.retain(|reply| !reply.is_closed());
        while !self.waiting.is_empty() {
            let Some(proven) = self.stock.take(now) else {
                break;
            };
            let (Some(probe), Some(reply)) = (self.held.remove(&proven.local), self.waiting.pop())
            else {
                continue;
            };
            // Whoever wanted it may have gone away; the port goes with it.
            let _ = reply.send(Port { proven, probe });
        }
        self.stocking.send_replace(self.stock.ready() > 0);
        while let Some(command) = self.stock.poll_command() {
            match command {
                ProbeCommand::Probe => {
                    self.probes.spawn(prove(self.prober.clone()));
                }
                ProbeCommand::Close(local) => drop(self.held.remove(&local)),
            }
        }
    }

    fn probed(&mut self, done: Result<Port, ProbeError>) {
        let now = self.prober.clock.now();
        match done {
            Ok(port) => {
                debug!(local = %port.proven.local, observed = %port.proven.observed, "proven");
                self.held.insert(port.proven.local, port.probe);
                self.stock.handle_proven(port.proven, now);
            }
            Err(error) => {
                warn!(%error, "no port could be proven to the broker");
                self.stock.handle_failed(now);
            }
        }
    }
}

pub(crate) async fn sleep_until(deadline: Option<std::time::Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

#[derive(Debug, thiserror::Error)]
enum ProbeError {
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the broker refused the probe: {0}")]
    Refused(String),
    #[error("the probe was lost")]
    Lost,
}

/// Opens a connection to the broker from a fresh port and names the sequence number of its SYN.
async fn prove(prober: Prober) -> Result<Port, ProbeError> {
    let dialer = bind_dialer(SocketAddr::new(prober.address, 0), &DialOptions::default())?;
    let local = dialer.local_addr();
    // Without the right to capture, the endpoint is observed but not proven.
    let mut capture = capture_of(local, prober.broker);
    let stream = TcpStream::from_std(dialer.connect(prober.broker)?)?;
    dialled(&stream).await?;
    let sequence = capture.as_mut().and_then(first_sequence);
    close_aside(capture);
    let mut stream = ControlStream::from(stream);
    if let Some(config) = prober.tls {
        stream = stream.secure(config, certificate_name::BROKER).await?;
    }
    let mut wire = Wire::new(stream);
    let probe = Probe { peer: prober.peer, secret: prober.secret, port: local.port(), sequence };
    let response = wire.ask(Request::new(FIRST, Action::Probe(probe))).await?;
    match response.result {
        Ok(Reply::Observed(observed)) => {
            let at = prober.clock.now();
            let proven = ProvenPort { local, observed: observed.endpoint, ttl: observed.ttl, at };
            Ok(Port { proven, probe: wire.into_stream() })
        }
        Ok(
            Reply::LoggedIn(_)
            | Reply::Accepted(_)
            | Reply::Joined(_)
            | Reply::Certified(_)
            | Reply::NoteKept(_)
            | Reply::Done,
        ) => Err(ProbeError::Lost),
        Err(name) if name.cause() == Cause::Unspecified => Err(ProbeError::Refused(name.0)),
        Err(name) => Err(ProbeError::Refused(name.cause().sentence().into())),
    }
}

fn capture_of(local: SocketAddr, broker: SocketAddr) -> Option<PacketSocketCapture> {
    let selection =
        Selection { local_port: local.port(), remote: Some(broker), scope: Scope::OwnSyns };
    match PacketSocketCapture::open(&selection, None) {
        Ok(capture) => Some(capture),
        Err(error) => {
            debug!(%error, "own SYNs cannot be captured here");
            None
        }
    }
}

/// The SYN was captured before the connection stood, so it is there now.
fn first_sequence(capture: &mut PacketSocketCapture) -> Option<SeqNumber> {
    let mut buffer = [0; 2048];
    while let Ok(Some(captured)) = capture.poll_packet(&mut buffer) {
        if let Ok(syn) = Syn::parse(buffer.get(..captured.length)?) {
            return Some(syn.sequence);
        }
    }
    None
}
