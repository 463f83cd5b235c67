//! One side of a session with all that came out of it.

use std::net::SocketAddr;
use std::time::Duration;

use simopen_packet::{
    Entropy, MAX_SYN_LEN, SeqNumber, Syn, SynAck, SynOptions, TcpBuilder, TcpFlags, Timestamp, Ttl,
};
use simopen_protocol::cause::Cause;
use simopen_protocol::control::{
    Accepted, Action, Connect, ConnectionRequest, Destination, Meeting, Outcome, OutcomeState,
    SynBytes,
};
use simopen_protocol::greeting::Greetings;
use simopen_protocol::identity::{PeerId, SessionId, UserId};
use simopen_protocol::technique::{Carriage, SynOwner, Technique};
use simopen_protocol::token::Token;
use simopen_traversal::{
    Attempt, AttemptConfig, AttemptOutcome, Command, DialOutcome, Failure, FromBroker, SynTemplate,
    What,
};

pub(crate) const SIMULTANEOUS: Technique = Technique::SimultaneousOpen;
pub(crate) const KERNEL: Technique = Technique::ForgedSynAck(SynOwner::Kernel);
pub(crate) const USERSPACE: Technique = Technique::ForgedSynAck(SynOwner::Userspace);
pub(crate) const DIRECT: Technique = Technique::Direct;
pub(crate) const LOW_TTL: Technique = Technique::SimultaneousOpenLowTtl;
pub(crate) const PUNCH: Technique = Technique::PunchAndListen;
pub(crate) const RELAY: Technique = Technique::Relay(Carriage::Any);
pub(crate) const SESSION: SessionId = SessionId(41);
pub(crate) const LOCAL: &str = "10.0.0.2:40000";
pub(crate) const OBSERVED: &str = "198.51.100.7:40000";
pub(crate) const REMOTE: &str = "203.0.113.9:52000";

/// The round trips of this side and of the other.
pub(crate) const OWN_TRIP: Duration = Duration::from_millis(20);
pub(crate) const PEER_TRIP: Duration = Duration::from_millis(60);

pub(crate) fn endpoint(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(crate) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(crate) fn at(milliseconds: u64) -> Timestamp {
    Timestamp::ZERO + ms(milliseconds)
}

pub(crate) fn greetings() -> Greetings {
    Greetings { own: Token::from_random([1; 32]), peer: Token::from_random([2; 32]) }
}

pub(crate) fn config(technique: Technique) -> AttemptConfig {
    AttemptConfig {
        technique,
        local: endpoint(LOCAL),
        observed: endpoint(OBSERVED),
        broker: "192.0.2.1".parse().unwrap(),
        gateway: Some("198.51.100.1".parse().unwrap()),
        round_trip: OWN_TRIP,
        kernel_ttl: None,
        low_ttl: Ttl(2),
        syn: SynTemplate { window_scale: Some(10), ..SynTemplate::default() },
        start_skew: Duration::ZERO,
    }
}

pub(crate) fn request(technique: Technique, from: &str) -> ConnectionRequest {
    ConnectionRequest {
        session: SESSION,
        peer: PeerId(7),
        user: UserId::new("alice").unwrap(),
        technique,
        device: None,
        certificate: None,
        destination: if technique.meets_at_relay() {
            meeting(&[RELAY_AT])
        } else {
            Destination::Endpoint(endpoint(from))
        },
        round_trip: PEER_TRIP,
        greetings: greetings(),
    }
}

/// Where the broker says that its relay is.
pub(crate) const RELAY_AT: &str = "192.0.2.1:443";

pub(crate) fn meeting(relay: &[&str]) -> Destination {
    Destination::Meeting(Meeting {
        relay: relay.iter().map(|at| at.parse().unwrap()).collect(),
        value: Token::from_random([9; 32]),
    })
}

/// The acknowledgement that names a relay.
pub(crate) fn acceptance_at(relay: &[&str]) -> FromBroker {
    let FromBroker::Accepted(accepted) = acceptance(REMOTE) else { panic!() };
    FromBroker::Accepted(Box::new(Accepted { destination: meeting(relay), ..*accepted }))
}

pub(crate) fn acceptance(by: &str) -> FromBroker {
    FromBroker::Accepted(Box::new(Accepted {
        session: SESSION,
        peer: PeerId(8),
        device: None,
        certificate: None,
        destination: Destination::Endpoint(endpoint(by)),
        round_trip: PEER_TRIP,
        greetings: greetings(),
        private: None,
    }))
}

/// The other side's endpoint in its own network.
pub(crate) const PRIVATE: &str = "10.0.0.77:52100";

/// The acceptance of a peer that the broker observes where it observes this one.
pub(crate) fn acceptance_beside(private: &str) -> FromBroker {
    let observed = SocketAddr::new(endpoint(OBSERVED).ip(), 52_000);
    let FromBroker::Accepted(accepted) = acceptance(REMOTE) else { panic!() };
    FromBroker::Accepted(Box::new(Accepted {
        device: None,
        certificate: None,
        destination: Destination::Endpoint(observed),
        private: Some(endpoint(private)),
        ..*accepted
    }))
}

#[derive(Clone)]
pub(crate) struct Side {
    pub(crate) attempt: Attempt,
    pub(crate) now: Timestamp,
    pub(crate) messages: Vec<Action>,
    pub(crate) commands: Vec<Command>,
    pub(crate) events: Vec<What>,
    /// The SYN that was emitted first.
    pub(crate) own: Option<Syn>,
}

impl Side {
    pub(crate) fn new(attempt: Attempt) -> Self {
        let mut side = Self {
            attempt,
            now: Timestamp::ZERO,
            messages: Vec::new(),
            commands: Vec::new(),
            events: Vec::new(),
            own: None,
        };
        side.drain();
        side
    }

    pub(crate) fn originator(technique: Technique) -> Self {
        let bob = UserId::new("bob").unwrap();
        Self::new(Attempt::originate(config(technique), bob, entropy(), Timestamp::ZERO))
    }

    pub(crate) fn responder(technique: Technique) -> Self {
        Self::asked_by(technique, REMOTE)
    }

    pub(crate) fn asked_by(technique: Technique, remote: &str) -> Self {
        let request = request(technique, remote);
        Self::new(Attempt::respond(config(technique), &request, entropy(), Timestamp::ZERO))
    }

    /// Both roles, each as far as its first SYN; 40 ms have passed.
    pub(crate) fn both_opening(technique: Technique) -> [Self; 2] {
        let mut originator = Self::originator(technique);
        originator.pass(ms(40));
        originator.hear(&acceptance(REMOTE));
        let mut responder = Self::responder(technique);
        responder.pass(ms(40));
        [originator, responder].map(|mut side| {
            side.capture_syn(1);
            side
        })
    }

    /// The kernel's SYN, where the technique leaves it to the kernel.
    pub(crate) fn capture_syn(&mut self, timestamp: u32) {
        if self.own.is_none() {
            self.attempt.handle_syn(&kernel_syn(LOCAL, REMOTE, timestamp), self.now);
            self.drain();
        }
    }

    pub(crate) fn hear(&mut self, message: &FromBroker) {
        self.attempt.handle_message(message, self.now);
        self.drain();
    }

    pub(crate) fn hear_of_peer(&mut self, state: OutcomeState) {
        self.hear(&FromBroker::PeerOutcome(state));
    }

    pub(crate) fn packet(&mut self, packet: &[u8]) {
        self.attempt.handle_packet(packet, self.now);
        self.drain();
    }

    pub(crate) fn dialled(&mut self, outcome: DialOutcome) {
        self.attempt.handle_outcome(outcome, self.now);
        self.drain();
    }

    /// Lets time pass, stopping at every deadline.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some((due, _)) = self.attempt.poll_timeout()
            && due <= end
        {
            self.now = due.max(self.now);
            self.attempt.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    /// Fires every deadline until the attempt has ended.
    pub(crate) fn finish(&mut self) -> AttemptOutcome {
        for _ in 0..1000 {
            if let Some(outcome) = self.attempt.outcome() {
                assert_eq!(self.attempt.poll_timeout(), None);
                return outcome;
            }
            let (due, _) = self.attempt.poll_timeout().expect("something is always awaited");
            self.now = self.now.max(due);
            self.attempt.handle_timeout(self.now);
            self.drain();
        }
        panic!("the attempt goes on and on: {:?}", self.attempt);
    }

    pub(crate) fn failure(&self) -> Option<Failure> {
        match self.attempt.outcome()? {
            AttemptOutcome::Failed(failure) => Some(failure),
            AttemptOutcome::Confirmed => None,
        }
    }

    /// The outcomes that were reported to the broker.
    pub(crate) fn reported(&self) -> Vec<OutcomeState> {
        let reported = |message: &Action| {
            let Action::Outcome(Outcome { session: SESSION, state }) = message else {
                return None;
            };
            Some(*state)
        };
        self.messages.iter().filter_map(reported).collect()
    }

    pub(crate) fn emitted(&self) -> Vec<Syn> {
        let emitted = |command: &Command| {
            let Command::Emit(syn) = command else { return None };
            Some(*syn)
        };
        self.commands.iter().filter_map(emitted).collect()
    }

    pub(crate) fn committed(&self) -> Option<SynBytes> {
        let Some(Action::Connect(Connect { syn, .. })) = self.messages.first() else {
            return None;
        };
        syn.clone()
    }

    /// The answer of the other side to this side's own SYN.
    pub(crate) fn answer(&self) -> SynAck {
        SynAck {
            source: endpoint(REMOTE),
            destination: endpoint(LOCAL),
            sequence: SeqNumber(900),
            acknowledgment: self.own.unwrap().sequence + 1,
            window: 64_240,
            ttl: Ttl(60),
            ece: false,
            options: SynOptions::new(Some(1460), Some(7), true, None),
        }
    }

    pub(crate) fn drain(&mut self) {
        while let Some(message) = self.attempt.poll_message() {
            self.messages.push(message);
        }
        while let Some(command) = self.attempt.poll_command() {
            self.commands.push(command);
        }
        while let Some(event) = self.attempt.poll_event() {
            self.events.push(event.what);
        }
        self.own = self.own.or(self.emitted().first().copied());
    }

    pub(crate) fn clear(&mut self) {
        self.messages.clear();
        self.commands.clear();
        self.events.clear();
    }

    /// Everything that can be seen of it.
    pub(crate) fn view(&self) -> String {
        format!("{:?} {:?} {:?} {:?}", self.attempt, self.messages, self.commands, self.events)
    }

    #[track_caller]
    pub(crate) fn assert_failed(&self, cause: Cause) {
        let failed = self.failure().map(|failure| failure.cause);
        assert_eq!(failed, Some(cause), "{:?}", self.events);
    }
}

pub(crate) fn entropy() -> Entropy {
    Entropy::new([3; 32])
}

/// A SYN as an ordinary socket sends it.
pub(crate) fn kernel_syn(source: &str, destination: &str, timestamp: u32) -> Vec<u8> {
    let timestamps = simopen_packet::Timestamps { value: timestamp, echo: 0 };
    let syn = Syn {
        source: endpoint(source),
        destination: endpoint(destination),
        sequence: SeqNumber(5000),
        window: 64_240,
        ttl: Ttl(64),
        ecn_setup: false,
        options: SynOptions::new(Some(1460), Some(7), true, Some(timestamps)),
    };
    let mut buffer = [0; MAX_SYN_LEN];
    let length = syn.emit(&mut buffer).unwrap();
    buffer[..length].to_vec()
}

pub(crate) fn bytes(answer: &SynAck) -> Vec<u8> {
    let mut buffer = [0; MAX_SYN_LEN];
    let length = answer.emit(&mut buffer).unwrap();
    buffer[..length].to_vec()
}

/// A segment from the other side to this one, unless the ends say otherwise.
pub(crate) fn segment(
    [source, destination]: [SocketAddr; 2],
    flags: TcpFlags,
    acknowledgment: SeqNumber,
    payload: &[u8],
) -> Vec<u8> {
    let header = TcpBuilder {
        source,
        destination,
        ttl: Ttl(60),
        sequence: SeqNumber(900),
        acknowledgment,
        flags,
        window: 1000,
    };
    let mut buffer = vec![0; 200 + payload.len()];
    let length = header.emit(&[], payload, &mut buffer).unwrap();
    buffer.truncate(length);
    buffer
}
