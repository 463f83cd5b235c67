//! How long an attempt waits for what: every figure follows from measured round trips and from
//! the retransmission timer of RFC 6298.

use core::time::Duration;

use simopen_packet::Timestamp;

use crate::technique::INITIAL_RTO;

/// What a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Timer {
    /// The broker's acknowledgement.
    Acceptance,
    /// The agreed moment to dial.
    Moment,
    /// The next own SYN.
    Retransmission,
    /// The moment to raise the TTL, before the kernel sends its SYN again.
    RaiseTtl,
    /// The moment to listen, once the SYN that opens the own box is out.
    Listen,
    /// An answer to the SYNs.
    Answer,
    /// The other side's greeting.
    Greeting,
    /// The other side's report, after this side has given up.
    PeerReport,
}

/// What a busy machine may add to a turn-round.
pub(crate) const TURN_ROUND: Duration = Duration::from_millis(50);

/// What a private endpoint gets before the observed one is dialled (RFC 8305 §5).
pub(super) const HEAD_START: Duration = Duration::from_millis(250);

/// The SYNs that must have gone unanswered before a silence means anything.
const SYNS_BEFORE_VERDICT: u8 = 2;

/// The longest time that the second SYN gets: what a kernel waited before its first retransmission
/// under RFC 1122 §4.2.3.1. A world that was held up for longer waits no longer for that.
const LONGEST_GAP: Duration = Duration::from_secs(3);

/// How long a relay knows a value (seed 001 ¶177).
const VALUE_LIFETIME: Duration = Duration::from_secs(30);

/// The round trips from which the waits follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Patience {
    own: Duration,
    peer: Duration,
}

impl Patience {
    /// Until the other side's round trip is known it is taken for as long as the own.
    pub(super) const fn new(own: Duration) -> Self {
        Self { own, peer: own }
    }

    pub(super) const fn learn_peer(&mut self, peer: Duration) {
        self.peer = peer;
    }

    /// A round trip between the two, which is no longer than the way through the broker, taken
    /// twice because the broker may stand between.
    fn both(self) -> Duration {
        (self.own + self.peer) * 2 + TURN_ROUND
    }

    /// For the acknowledgement: the request goes to the other side and back, which may lose one
    /// packet on each of its four legs.
    pub(super) fn signalling(self) -> Duration {
        self.both() + INITIAL_RTO * 4
    }

    /// For the opening, before a SYN was seen: as long as three unanswered SYNs take.
    pub(super) fn without_syns(self) -> Duration {
        self.both() + INITIAL_RTO * 3
    }

    /// For one side that listens: the acceptance goes to the other side, which has its own patience,
    /// tries a private endpoint first, and reports.
    pub(super) fn listening(self) -> Duration {
        self.both() * 2 + HEAD_START + self.private_greeting() + INITIAL_RTO * 4
    }

    /// For the dial to a relay, which may go through a proxy that dials it in its turn.
    pub(super) fn reaching_relay(self) -> Duration {
        (self.both() * 2 + INITIAL_RTO * 4).min(VALUE_LIFETIME)
    }

    /// For the first bytes through a relay: the other side may only have begun, and has as long to
    /// reach it. A relay that has heard nothing by the end of its values' life has closed.
    pub(super) fn joining(self) -> Duration {
        (self.signalling() + self.reaching_relay()).min(VALUE_LIFETIME) + self.both()
    }

    /// For the greeting at a private endpoint.
    pub(super) fn private_greeting(self) -> Duration {
        HEAD_START + self.both()
    }

    /// For the first bytes: two of them may be lost (RFC 6298 doubles 1 s to 2 s).
    pub(super) fn greeting(self) -> Duration {
        self.both() + INITIAL_RTO * 3
    }

    /// For the other side's own verdict, which may have started a retransmission later.
    pub(super) fn peer_report(self) -> Duration {
        self.both() + INITIAL_RTO * 2
    }
}

/// The own SYNs of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct SynClock {
    sent: u8,
    previous: Timestamp,
    gap: Duration,
}

impl SynClock {
    /// Counts one SYN and returns its number.
    pub(super) fn count(&mut self, now: Timestamp) -> u8 {
        self.gap = (now - self.previous).min(LONGEST_GAP);
        self.previous = now;
        self.sent = self.sent.saturating_add(1);
        self.sent
    }

    pub(super) const fn sent(self) -> u8 {
        self.sent
    }

    /// When silence becomes a verdict: the second SYN gets as long as the first one had, and the
    /// way there and back. Set by the second SYN alone.
    pub(super) fn verdict(self, patience: &Patience) -> Option<Timestamp> {
        (self.sent == SYNS_BEFORE_VERDICT).then(|| self.previous + self.gap + patience.both())
    }
}
