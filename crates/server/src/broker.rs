//! The broker service.

mod actor;
mod link;

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};

use simopen_broker::consent::ConsentPolicy;
use simopen_broker::directory::Directory;
use simopen_broker::{Broker, BrokerConfig, Event, Forging, Stats};
use simopen_device::clock::Clock;
use simopen_device::raw::RawSender;
use simopen_packet::Entropy;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use self::actor::{Actor, Command};
use crate::error::ServerError;

/// Receives each event, in order, in the broker's task: it must not block.
pub type Observer = Box<dyn FnMut(&Event) + Send>;

/// Collects what a broker needs.
pub struct Builder {
    directory: Directory,
    config: BrokerConfig,
    listener: Option<StdListener>,
    clock: Clock,
    entropy: Option<Entropy>,
    observer: Option<Observer>,
}

impl Builder {
    /// A broker for these users, which forges nothing.
    #[must_use]
    pub fn new(directory: Directory) -> Self {
        Self {
            directory,
            config: BrokerConfig::default(),
            listener: None,
            clock: Clock::start(),
            entropy: None,
            observer: None,
        }
    }

    /// Where peers connect. A listener from [`simopen_device::socket::listener_saving_syn`] lets them
    /// prove endpoints; with any other nobody can, and nothing is forged.
    #[must_use]
    pub fn listen(mut self, listener: StdListener) -> Self {
        self.listener = Some(listener);
        self
    }

    /// Whether and for whom packets are forged.
    #[must_use]
    pub fn consent(mut self, policy: ConsentPolicy) -> Self {
        self.config.consent = policy;
        self
    }

    /// A clock that is shared with other parts of the program.
    #[must_use]
    pub const fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Entropy other than the operating system's, for a repeatable experiment.
    #[must_use]
    pub const fn entropy(mut self, entropy: Entropy) -> Self {
        self.entropy = Some(entropy);
        self
    }

    /// Who is told of everything that happens.
    #[must_use]
    pub fn observe(mut self, observer: Observer) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Starts the service on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// [`ServerError`] without a listener, and without CAP_NET_RAW where forging is switched on.
    pub fn start(self) -> Result<Handle, ServerError> {
        let listener = self.listener.ok_or(ServerError::NoListener)?;
        listener.set_nonblocking(true).map_err(ServerError::Listener)?;
        let local = listener.local_addr().map_err(ServerError::Listener)?;
        let listener = TcpListener::from_std(listener).map_err(ServerError::Listener)?;
        let raw = match self.config.consent.forging {
            Forging::Dangerous => Some(RawSender::for_endpoint(local)?),
            Forging::Off | Forging::Withheld => None,
        };
        let entropy = match self.entropy {
            Some(entropy) => entropy,
            None => system_entropy().map_err(ServerError::Entropy)?,
        };
        let machine = Broker::new(self.config, self.directory, entropy);
        let (commands, receiver) = mpsc::channel(16);
        let actor = Actor::new(machine, raw, self.clock, self.observer);
        let task = tokio::spawn(actor.run(listener, receiver));
        Ok(Handle { local, commands, task })
    }
}

/// A running broker. Dropping it leaves the broker running; [`Handle::stop`] ends it.
#[derive(Debug)]
pub struct Handle {
    local: SocketAddr,
    commands: mpsc::Sender<Command>,
    task: JoinHandle<()>,
}

impl Handle {
    /// Where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Figures since the start; `None` once it has ended.
    pub async fn stats(&self) -> Option<Stats> {
        let (reply, receiver) = oneshot::channel();
        self.commands.send(Command::Stats(reply)).await.ok()?;
        receiver.await.ok()
    }

    /// Closes all links and waits until that is done.
    pub async fn stop(self) {
        // Either it takes the command or it has ended already.
        let _ = self.commands.send(Command::Stop).await;
        let _ = self.task.await;
    }
}

fn system_entropy() -> io::Result<Entropy> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(Entropy::new(bytes))
}
