//! A stock of local ports that are proven to the broker.
//!
//! A forged packet goes only to an endpoint that was proven within the last 30 s: the peer opened
//! a connection to the broker *from the port that it will use* and named the sequence number of
//! that connection's own SYN. A peer that waits for requests therefore keeps a proven port ready
//! and renews it, so that a request costs no extra round trip.

use alloc::collections::VecDeque;
use core::net::SocketAddr;
use core::time::Duration;

use simopen_packet::{Timestamp, Ttl};

/// How long the broker takes an endpoint for proven.
pub const PROOF_LIFETIME: Duration = Duration::from_secs(30);

/// When a port is replaced: early enough that the request which takes it can still be answered.
pub const RENEWAL: Duration = Duration::from_secs(20);

/// How long a failed probe is waited for before the next.
const RETRY: Duration = Duration::from_secs(1);

/// A local endpoint and how it looks from the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProvenPort {
    /// The address and port that sockets here bind to.
    pub local: SocketAddr,
    /// The same as the broker saw it.
    pub observed: SocketAddr,
    /// What was left of the SYN's TTL there.
    pub ttl: Ttl,
    /// When the answer came.
    pub at: Timestamp,
}

/// What the world shall do for the stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProbeCommand {
    /// Proves a fresh port and reports by [`ProbeStock::handle_proven`] or
    /// [`ProbeStock::handle_failed`].
    Probe,
    /// Closes the probe connection of a port that is not used any more.
    Close(SocketAddr),
}

/// Keeps `wanted` proven ports ready.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProbeStock {
    wanted: usize,
    pending: usize,
    not_before: Timestamp,
    ready: VecDeque<ProvenPort>,
    commands: VecDeque<ProbeCommand>,
}

impl ProbeStock {
    /// A stock that wants that many ports ready at any time.
    #[must_use]
    pub fn new(wanted: usize, now: Timestamp) -> Self {
        let mut stock = Self {
            wanted,
            pending: 0,
            not_before: now,
            ready: VecDeque::new(),
            commands: VecDeque::new(),
        };
        stock.handle_timeout(now);
        stock
    }

    /// Takes the freshest port; a new probe begins at once. `None` where none is ready.
    pub fn take(&mut self, now: Timestamp) -> Option<ProvenPort> {
        self.handle_timeout(now);
        let port = self.ready.pop_back();
        self.fill(now);
        port
    }

    /// A probe came through.
    pub fn handle_proven(&mut self, port: ProvenPort, now: Timestamp) {
        self.pending = self.pending.saturating_sub(1);
        self.ready.push_back(port);
        self.handle_timeout(now);
    }

    /// A probe failed; the next follows after a second.
    pub fn handle_failed(&mut self, now: Timestamp) {
        self.pending = self.pending.saturating_sub(1);
        self.not_before = now + RETRY;
        self.handle_timeout(now);
    }

    /// Drops what is too old and orders what is missing.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        while let Some(oldest) = self.ready.front()
            && oldest.at + RENEWAL <= now
        {
            self.commands.push_back(ProbeCommand::Close(oldest.local));
            self.ready.pop_front();
        }
        self.fill(now);
    }

    /// The next thing to do.
    pub fn poll_command(&mut self) -> Option<ProbeCommand> {
        self.commands.pop_front()
    }

    /// When to come back.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let renewal = self.ready.front().map(|oldest| oldest.at + RENEWAL);
        let missing = self.ready.len() + self.pending < self.wanted;
        let retry = missing.then_some(self.not_before);
        renewal.into_iter().chain(retry).min()
    }

    /// How many ports are ready.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    fn fill(&mut self, now: Timestamp) {
        while now >= self.not_before && self.ready.len() + self.pending < self.wanted {
            self.pending += 1;
            self.commands.push_back(ProbeCommand::Probe);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_secs(count)
    }

    fn proven(port: u16, at: Timestamp) -> ProvenPort {
        let local = SocketAddr::from(([10, 0, 0, 2], port));
        ProvenPort { local, observed: local, ttl: Ttl(62), at }
    }

    #[test]
    fn a_taken_port_is_replaced_at_once() {
        let mut stock = ProbeStock::new(1, seconds(0));
        assert_eq!(stock.poll_command(), Some(ProbeCommand::Probe));
        assert_eq!(stock.poll_command(), None);
        stock.handle_proven(proven(4000, seconds(1)), seconds(1));
        assert_eq!(stock.take(seconds(2)), Some(proven(4000, seconds(1))));
        assert_eq!(stock.poll_command(), Some(ProbeCommand::Probe));
    }

    #[test]
    fn a_port_is_renewed_before_its_proof_runs_out() {
        let mut stock = ProbeStock::new(1, seconds(0));
        stock.poll_command();
        let port = proven(4000, seconds(1));
        stock.handle_proven(port, seconds(1));
        let renewal = stock.poll_timeout().unwrap();
        assert!(renewal < port.at + PROOF_LIFETIME);
        stock.handle_timeout(renewal);
        assert_eq!(stock.poll_command(), Some(ProbeCommand::Close(port.local)));
        assert_eq!(stock.poll_command(), Some(ProbeCommand::Probe));
    }

    #[test]
    fn a_failed_probe_is_repeated_after_a_second() {
        let mut stock = ProbeStock::new(1, seconds(0));
        stock.poll_command();
        stock.handle_failed(seconds(1));
        assert_eq!(stock.poll_command(), None);
        assert_eq!(stock.poll_timeout(), Some(seconds(2)));
        stock.handle_timeout(seconds(2));
        assert_eq!(stock.poll_command(), Some(ProbeCommand::Probe));
    }
}
