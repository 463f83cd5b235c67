//! The broker service.

mod actor;
mod handle;
mod journal;
mod limits;
mod link;
mod opening;
mod outbox;
mod pairings;
mod refusals;
mod sending;
mod signing;
mod wire;

use std::io;
use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::time::Duration;

use simopen_broker::consent::ConsentPolicy;
use simopen_broker::directory::Directory;
use simopen_broker::{Broker, BrokerConfig, Event, Forging, Gauges, Limits, Stats};
use simopen_device::clock::Clock;
use simopen_device::raw::RawSender;
use simopen_packet::Entropy;
use simopen_protocol::address::HostPort;
use simopen_protocol::identity::BrokerName;
use tokio::sync::mpsc;
use tracing::{Instrument, Span};

use self::actor::{Actor, Inputs};
pub use self::handle::{Desk, Handle};
pub use self::limits::ServiceLimits;
use self::outbox::Budget;
use self::pairings::Here;
pub use self::pairings::{PairingAnswer, Pairings};
pub use self::refusals::Refusal;
use self::refusals::Refusals;
use self::sending::{ForgersDesk, Sending};
use crate::authority::Authority;
use crate::error::ServerError;
use crate::forger::{self, Forger};
use crate::front::{self, ClearText, Front, SynReader};
use crate::relay;
use crate::store::{Keeper, Store};
use crate::tls::Tls;
use crate::wall_clock::WallClock;

/// Requests of all links that wait for the actor; beyond, the readers wait.
const QUEUE: usize = 1024;

/// Receives each event, in order, in the broker's task: it must not block.
pub type Observer = Box<dyn FnMut(&Event) + Send>;

/// Figures since the start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Figures {
    /// The broker's.
    pub stats: Stats,
    /// What it holds at this moment.
    pub gauges: Gauges,
    /// What the service refused before the broker heard of it.
    pub refused: std::collections::BTreeMap<Refusal, u64>,
    /// What happened at its listeners.
    pub front: front::Stats,
    /// What the forger refused: proofs and packets.
    pub not_forged: std::collections::BTreeMap<forger::Refusal, u64>,
}

/// What the tasks of one broker share.
struct Service {
    tls: Option<Tls>,
    wall: WallClock,
    limits: ServiceLimits,
    budget: Arc<Budget>,
    refusals: Refusals,
    forger: Option<ForgersDesk>,
    span: Span,
}

/// Collects what a broker needs.
///
/// Without an [authority](Builder::authority) links are in clear text, and users log in with their
/// secrets: for laboratories, tests, and programs that keep all of it on one machine.
pub struct Builder {
    directory: Directory,
    store: Option<Box<dyn Store>>,
    authority: Option<Authority>,
    clear_text: ClearText,
    config: BrokerConfig,
    limits: ServiceLimits,
    listeners: Vec<StdListener>,
    clock: Clock,
    wall: WallClock,
    entropy: Option<Entropy>,
    observer: Option<Observer>,
    pairings: Option<(Box<dyn Pairings>, mpsc::UnboundedReceiver<PairingAnswer>)>,
    relay: Option<relay::Handle>,
    forger: Option<Forger>,
    span: Span,
}

impl Builder {
    /// A broker for these users, which forges nothing and keeps what changes in memory.
    #[must_use]
    pub fn new(directory: Directory) -> Self {
        Self {
            directory,
            store: None,
            authority: None,
            clear_text: ClearText::default(),
            config: BrokerConfig::default(),
            limits: ServiceLimits::default(),
            listeners: Vec::new(),
            clock: Clock::start(),
            wall: WallClock::default(),
            entropy: None,
            observer: None,
            pairings: None,
            relay: None,
            forger: None,
            span: Span::none(),
        }
    }

    /// Where peers connect; one more each time. A listener from
    /// [`simopen_device::socket::listener_saving_syn`] lets them prove endpoints; with any other
    /// nobody can, and nothing is forged.
    #[must_use]
    pub fn listen(mut self, listener: StdListener) -> Self {
        self.listeners.push(listener);
        self
    }

    /// Where the directory is kept. What the store has is added to what [`Builder::new`] was given,
    /// which is kept nowhere.
    #[must_use]
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Some(Box::new(store));
        self
    }

    /// Links are encrypted, and devices show by this authority's certificates who they are.
    #[must_use]
    pub fn authority(mut self, authority: Authority) -> Self {
        self.authority = Some(authority);
        self
    }

    /// Whether links in clear text are taken beside encrypted ones.
    #[must_use]
    pub const fn clear_text(mut self, clear_text: ClearText) -> Self {
        self.clear_text = clear_text;
        self
    }

    /// What the broker calls itself.
    #[must_use]
    pub fn name(mut self, name: BrokerName) -> Self {
        self.config.name = name;
        self
    }

    /// Whether and for whom packets are forged.
    #[must_use]
    pub fn consent(mut self, policy: ConsentPolicy) -> Self {
        self.config.consent = policy;
        self
    }

    /// Who sends forged packets; without it they leave from this process, which is for
    /// laboratories. Start it before anything else, and give up CAP_NET_RAW then.
    #[must_use]
    pub fn forger(mut self, forger: Forger) -> Self {
        self.forger = Some(forger);
        self
    }

    /// How long a peer may be silent before it is asked whether it is still there.
    #[must_use]
    pub const fn alive(mut self, interval: Option<Duration>) -> Self {
        self.config.alive = interval;
        self
    }

    /// How much the broker holds.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// How much the links may take.
    #[must_use]
    pub fn service_limits(mut self, limits: ServiceLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Everything that the broker decides by, at once.
    #[must_use]
    pub fn config(mut self, config: BrokerConfig) -> Self {
        self.config = config;
        self
    }

    /// A relay in this process, which gets what comes for it at the listeners; where peers reach it.
    #[must_use]
    pub fn relay(self, addresses: Vec<HostPort>, relay: relay::Handle) -> Self {
        let (pairings, answers) = Here::new(relay.clone());
        let mut builder = self.pairings(addresses, Box::new(pairings), answers);
        builder.relay = Some(relay);
        builder
    }

    /// A relay of any kind: where peers reach it, who is given the orders, and where the answers
    /// come from.
    #[must_use]
    pub fn pairings(
        mut self,
        addresses: Vec<HostPort>,
        pairings: Box<dyn Pairings>,
        answers: mpsc::UnboundedReceiver<PairingAnswer>,
    ) -> Self {
        self.config.relay = addresses;
        self.pairings = Some((pairings, answers));
        self
    }

    /// A clock that is shared with other parts of the program.
    #[must_use]
    pub const fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// A time of day other than the operating system's.
    #[must_use]
    pub fn wall_clock(mut self, wall: WallClock) -> Self {
        self.wall = wall;
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

    /// The span in which everything is logged.
    #[must_use]
    pub fn span(mut self, span: Span) -> Self {
        self.span = span;
        self
    }

    /// Starts the service on the current tokio runtime. The store is read before this returns.
    ///
    /// # Errors
    ///
    /// [`ServerError`] without a listener, without CAP_NET_RAW where forging is switched on, and
    /// where the store cannot be read.
    pub fn start(mut self) -> Result<Handle, ServerError> {
        let first = self.listeners.first().ok_or(ServerError::NoListener)?;
        let first = first.local_addr().map_err(ServerError::Listener)?;
        let sending = match (self.config.consent.forging, &self.forger) {
            (Forging::Dangerous, Some(_)) => Sending::Forger([].into()),
            (Forging::Dangerous, None) => Sending::Here(RawSender::for_endpoint(first)?),
            (Forging::Off | Forging::Withheld, _) => Sending::Nobody,
        };
        let entropy = match self.entropy.take() {
            Some(entropy) => entropy,
            None => system_entropy().map_err(ServerError::Entropy)?,
        };
        let (keeper, kept) = self.load()?;
        let (pairings, answers) = match self.pairings.take() {
            Some((pairings, answers)) => (Some(pairings), answers),
            None => (None, mpsc::unbounded_channel().1),
        };
        let authority = self.authority.take();
        let tls = authority.map(|authority| Tls::new(authority, self.wall.clone())).transpose()?;
        let service = Arc::new(Service {
            tls,
            wall: self.wall,
            limits: self.limits.clone(),
            budget: Arc::new(Budget::new(self.limits.waiting_of_link, self.limits.waiting)),
            refusals: Refusals::default(),
            forger: self.forger.take().map(ForgersDesk::new),
            span: self.span,
        });
        let (sender, arrivals) = mpsc::channel(QUEUE);
        let (front, control) = Front::new()
            .limits(self.limits.front)
            .clear_text(if service.tls.is_some() { self.clear_text } else { ClearText::Taken })
            .syn_reader(if service.forger.is_some() { SynReader::Later } else { SynReader::Front })
            .control();
        let front = match &self.relay {
            Some(relay) => front.relay(relay.clone()),
            None => front,
        };
        let front = front.start(self.listeners).map_err(ServerError::Listener)?;
        let front = Arc::new(front);
        let take = opening::take(control, Arc::clone(&service), sender.clone());
        tokio::spawn(take.instrument(service.span.clone()));
        let mut machine = Broker::new(self.config, self.directory, entropy);
        machine.handle_wall_clock(service.wall.seconds(), self.clock.now());
        let (commands, commanded) = mpsc::channel(16);
        let span = service.span.clone();
        let actor = Actor {
            machine,
            service: Arc::clone(&service),
            sending,
            clock: self.clock,
            observer: self.observer,
            keeper,
            pairings,
            sender,
            front: Arc::downgrade(&front),
            desk: actor::Desk::default(),
        };
        let inputs = Inputs { commands: commanded, arrivals, kept, pairings: answers };
        let task = tokio::spawn(actor.run(inputs).instrument(span));
        Ok(Handle::new(front, self.relay, commands, task))
    }

    /// Reads the store, and starts the thread that writes it.
    #[expect(clippy::type_complexity, reason = "said once, and taken apart at once")]
    fn load(
        &mut self,
    ) -> Result<
        (Option<Keeper>, mpsc::UnboundedReceiver<(simopen_broker::PersistId, bool)>),
        ServerError,
    > {
        let Some(mut store) = self.store.take() else {
            return Ok((None, mpsc::unbounded_channel().1));
        };
        for change in store.load()?.changes() {
            self.directory.apply(&change);
        }
        let (keeper, kept) = Keeper::start(store)?;
        Ok((Some(keeper), kept))
    }
}

fn system_entropy() -> io::Result<Entropy> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(Entropy::new(bytes))
}
