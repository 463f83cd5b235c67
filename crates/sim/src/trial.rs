//! One attempt in a network, in virtual time, and what came of it.

mod conduct;
mod invariants;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use simopen_broker::arrival::ArrivalConfig;
use simopen_protocol::technique::Technique;
use simopen_scenario::cell::{Cell, Way};
use simopen_scenario::incident::Incident;
use simopen_scenario::network::Network;
use simopen_scenario::proxies::Proxies;
use simopen_scenario::run::RunRecord;

use self::conduct::conduct;
use crate::explore::walk::Walk;
use crate::stack::Stack;

/// Bytes each way, before the broker is cut off and after.
const BYTES: [usize; 2] = [4 * 1024, 1024];

/// How long a login may take: three SYNs are sent in it.
const LOGIN: Duration = Duration::from_secs(4);

/// What is tried between two hosts of a network.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The way to open the connection.
    pub technique: Technique,
    /// Whether the broker sends its forged packets. Without, it judges and logs them only.
    pub forging: bool,
    /// The numbers of originator, responder and broker among the hosts of the network.
    pub hosts: [usize; 3],
    /// One way from originator to responder.
    pub leg: Duration,
    /// How much later than agreed originator and responder send their first SYN.
    pub start_skew: [Duration; 2],
    /// How slow originator and responder are themselves.
    pub slowness: [Slowness; 2],
    /// What the broker allows for in the timing of forged packets.
    pub arrival: ArrivalConfig,
    /// Whether the broker measures how far its peers are.
    pub measures_paths: bool,
    /// Whose TCP the hosts have.
    pub stack: Stack,
    /// Whether ICMP time-exceeded is kept away from sockets that dial with a low TTL.
    pub icmp_shield: bool,
    /// What carries control documents.
    pub carriage: Carriage,
    /// Which HTTP proxies the peers are set up to use; their hosts stand in the network.
    pub proxies: Proxies,
    /// How long a login may take.
    pub login_timeout: Duration,
    /// Bytes that go each way, and are compared, once the connection is confirmed.
    pub bytes: usize,
    /// Bytes that go each way after the broker has been cut off.
    pub bytes_after_cut: usize,
    /// What happens to the network meanwhile, in the order of time.
    pub meanwhile: Vec<Incident>,
    /// When, since the request, a connection that was proven direct has to carry bytes once more.
    pub hold: Option<Duration>,
    /// How much is told of it.
    pub detail: Detail,
}

impl Trial {
    /// A technique between the first two hosts, with the third as broker: legs of 10 ms, all
    /// packets between real hosts, 4 KiB and then 1 KiB each way.
    #[must_use]
    pub const fn new(technique: Technique) -> Self {
        Self {
            technique,
            forging: true,
            hosts: [0, 1, 2],
            leg: Duration::from_millis(10),
            start_skew: [Duration::ZERO; 2],
            slowness: [Slowness { to_hear: Duration::ZERO, to_send: Duration::ZERO }; 2],
            arrival: ArrivalConfig::USUAL,
            measures_paths: true,
            stack: Stack::Linux,
            icmp_shield: true,
            carriage: Carriage::Bytes,
            proxies: Proxies::for_technique(technique),
            login_timeout: LOGIN,
            bytes: BYTES[0],
            bytes_after_cut: BYTES[1],
            meanwhile: Vec::new(),
            hold: None,
            detail: Detail::Record,
        }
    }

    /// What a cell of a matrix tries, in its star. `None` where that is somebody else's program:
    /// the hosts here run none.
    #[must_use]
    pub fn of_cell(cell: &Cell) -> Option<Self> {
        let Way::Own(technique) = cell.way else { return None };
        let conditions = &cell.conditions;
        Some(Self {
            forging: cell.forging,
            leg: conditions.leg,
            start_skew: [conditions.skew_a, conditions.skew_b],
            login_timeout: conditions.login_timeout(),
            ..Self::new(technique)
        })
    }

    /// Makes the attempt. All chance that is not the network's own follows from `seed` too: the
    /// same network and seed give the same run.
    ///
    /// # Panics
    ///
    /// If the network lacks one of the three hosts, or one of them has no address.
    #[must_use]
    pub fn make(&self, network: Network, seed: u64) -> Run {
        conduct(self, network, seed, None)
    }

    /// Makes the attempt, in which `walk` says what arrives next once it was asked for. Where the
    /// rest is known the run is not made to its end, and tells of its beginning only.
    pub(crate) fn make_along(&self, network: Network, seed: u64, walk: &Rc<RefCell<Walk>>) -> Run {
        conduct(self, network, seed, Some(walk))
    }
}

/// How slow a peer is that has other things to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Slowness {
    /// How long what the broker says waits until it is read.
    pub to_hear: Duration,
    /// How long a SYN of its own making, which it says has left, waits until it leaves.
    pub to_send: Duration,
}

/// What carries control documents. Complete: it will not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Carriage {
    /// The bytes of TCP connections through the network, as everything else.
    #[default]
    Bytes,
    /// Ordered streams beside the network. Connections to the broker are still opened through it,
    /// so that boxes see them and endpoints are proven, but documents go from machine to machine,
    /// unencoded, one leg later.
    Streams,
}

/// How much is told of a run. Complete: it will not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Detail {
    /// Whether it connected, and the times of its phases; no journal is kept.
    Outcome,
    /// All of the record but its timeline and its ladder.
    #[default]
    Record,
    /// Timeline and ladder too.
    Timeline,
    /// And every packet, message, command and event as a line of [`Run::trace`].
    Trace,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// The same as every world tells.
    pub record: RunRecord,
    /// Whether a connection that was held still carried bytes; `None` where none was.
    pub held: Option<bool>,
    /// What must never happen and did.
    pub violations: Vec<Violation>,
    /// What happened, line by line, where [`Detail::Trace`] was asked for.
    pub trace: Vec<String>,
}

/// Something that must never happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which rule was broken, in one clause.
    pub rule: &'static str,
    /// By whom and how.
    pub words: String,
}
