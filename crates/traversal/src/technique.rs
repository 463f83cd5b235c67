//! The techniques, each a small machine that the attempt drives.

mod direct;
mod forged_syn_ack;
mod punch_and_listen;
mod relay;
mod simultaneous_open;

use alloc::collections::VecDeque;
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;

use simopen_packet::{Entropy, SeqNumber, Syn, SynAck, Timestamp, Ttl};
use simopen_protocol::cause::Cause;
use simopen_protocol::control::{Accept, Action, SynBytes, SynReport};
use simopen_protocol::identity::SessionId;
use simopen_protocol::technique::{SynOwner, Technique};

use self::direct::Direct;
pub use self::forged_syn_ack::SynTemplate;
use self::forged_syn_ack::{KernelSyn, UserspaceSyn};
use self::punch_and_listen::PunchAndListen;
use self::relay::Relay;
use self::simultaneous_open::SimultaneousOpen;
use crate::attempt::{AttemptConfig, Event, Role, Timer, What};
use crate::command::{Command, Handshake};

/// The retransmission timeout before any round trip is known (RFC 6298 §2.1).
pub(crate) const INITIAL_RTO: Duration = Duration::from_secs(1);

/// The longest round trip that is believed. The other side's is what it let the broker measure, and
/// every wait here follows from it.
const LONGEST_ROUND_TRIP: Duration = Duration::from_secs(10);

/// What both sides know once a session exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    /// What is dialled: the other side's endpoint as the broker observed it, or its private one.
    /// Unspecified where both meet at a relay: then nobody dials the other side.
    pub(crate) remote: SocketAddr,
    /// The other side's round trip to the broker.
    pub(crate) peer_round_trip: Duration,
}

impl Session {
    pub(crate) fn new(id: SessionId, remote: SocketAddr, peer_round_trip: Duration) -> Self {
        Self { id, remote, peer_round_trip: peer_round_trip.min(LONGEST_ROUND_TRIP) }
    }

    pub(crate) fn at_relay(id: SessionId, peer_round_trip: Duration) -> Self {
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Self::new(id, nowhere, peer_round_trip)
    }
}

/// When the opening begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Start {
    Now,
    At(Timestamp),
}

/// What a packet at the swallowed port means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    /// The SYN-ACK for our SYN.
    SynAck(SynAck),
    /// An RST that acknowledges our SYN.
    Reset,
}

/// What leaves the attempt.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Outbox {
    pub(crate) messages: VecDeque<Action>,
    pub(crate) commands: VecDeque<Command>,
    pub(crate) events: VecDeque<Event>,
}

impl Outbox {
    pub(crate) fn accept(&mut self, session: &Session, local: SocketAddr, syn: Option<SynBytes>) {
        self.messages.push_back(Action::Accept(Accept {
            session: session.id,
            port: local.port(),
            syn,
            private: None,
        }));
    }

    /// Accepts, and offers the own endpoint to a peer that may be beside this one.
    pub(crate) fn accept_in_private_too(&mut self, session: &Session, local: SocketAddr) {
        self.messages.push_back(Action::Accept(Accept {
            session: session.id,
            port: local.port(),
            syn: None,
            private: Some(local.ip()),
        }));
    }

    /// Dials as any program does, where the two ends answer each other.
    pub(crate) fn dial(&mut self, config: &AttemptConfig, session: &Session, ttl: Option<Ttl>) {
        self.commands.push_back(Command::Dial {
            local: config.local,
            remote: session.remote,
            ttl,
            handshake: Handshake::EndToEnd,
        });
    }

    pub(crate) fn report(&mut self, session: &Session, syn: SynBytes) {
        self.messages.push_back(Action::Syn(SynReport { session: session.id, syn }));
    }

    pub(crate) fn event(&mut self, at: Timestamp, what: What) {
        self.events.push_back(Event { at, what });
    }
}

/// The state of the one technique that an attempt uses.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Opener {
    Direct(Direct),
    SimultaneousOpen(SimultaneousOpen),
    PunchAndListen(PunchAndListen),
    KernelSyn(KernelSyn),
    UserspaceSyn(UserspaceSyn),
    Relay(Relay),
}

impl Opener {
    /// `None` for a technique that this version does not know.
    pub(crate) fn new(config: &AttemptConfig, role: Role, entropy: Entropy) -> Option<Self> {
        Some(match config.technique {
            Technique::Direct => Self::Direct(Direct::new(role)),
            Technique::SimultaneousOpen => Self::SimultaneousOpen(SimultaneousOpen::new(None)),
            Technique::SimultaneousOpenLowTtl => {
                Self::SimultaneousOpen(SimultaneousOpen::new(Some(config.low_ttl)))
            }
            Technique::PunchAndListen => Self::PunchAndListen(PunchAndListen::new(role)),
            Technique::ForgedSynAck(owner) => match owner {
                SynOwner::Kernel => Self::KernelSyn(KernelSyn::new(role)),
                SynOwner::Userspace => Self::UserspaceSyn(UserspaceSyn::new(config, role, entropy)),
            },
            Technique::Relay(carriage) => Self::Relay(Relay::new(carriage)),
            // A technique of a newer protocol.
            _ => return None,
        })
    }

    /// Whether this side waits for a connection instead of dialling.
    pub(crate) const fn listens(&self) -> bool {
        match self {
            Self::Direct(opener) => opener.listens(),
            Self::PunchAndListen(opener) => opener.listens(),
            Self::SimultaneousOpen(_)
            | Self::KernelSyn(_)
            | Self::UserspaceSyn(_)
            | Self::Relay(_) => false,
        }
    }

    /// Whether both sides dial a relay, and not each other.
    pub(crate) const fn meets(&self) -> bool {
        matches!(self, Self::Relay(_))
    }

    /// What it means that nothing has come of the dial in time.
    pub(crate) const fn silence(&self) -> Cause {
        if self.meets() { Cause::RelayUnreachable } else { Cause::NoAnswer }
    }

    /// What it means that the connection stands and has ended or stayed silent: a relay holds it
    /// until the other side is there.
    pub(crate) const fn not_greeted(&self) -> Cause {
        if self.meets() { Cause::NotPaired } else { Cause::NotConfirmed }
    }

    /// Whether each side's SYNs decide, and not the originator's alone.
    pub(crate) const fn both_dial(&self) -> bool {
        match self {
            Self::Direct(_) | Self::PunchAndListen(_) => false,
            Self::SimultaneousOpen(_)
            | Self::KernelSyn(_)
            | Self::UserspaceSyn(_)
            | Self::Relay(_) => true,
        }
    }

    /// Whether the other side can be reached at its private endpoint, where it shares the own
    /// network.
    pub(crate) const fn dials_private(&self) -> bool {
        matches!(self, Self::Direct(opener) if !opener.listens())
    }

    /// The SYN to which an originator commits in its request.
    pub(crate) fn commit(&mut self, out: &mut Outbox) -> Option<SynBytes> {
        match self {
            Self::UserspaceSyn(opener) => Some(opener.commit(out)),
            Self::Direct(_)
            | Self::SimultaneousOpen(_)
            | Self::PunchAndListen(_)
            | Self::KernelSyn(_)
            | Self::Relay(_) => None,
        }
    }

    /// A responder has been asked; may accept at once, and says when to start.
    pub(crate) fn respond(
        &mut self,
        config: &AttemptConfig,
        session: &Session,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Start {
        match self {
            Self::Direct(_) => Direct::respond(config, session, out),
            Self::SimultaneousOpen(_) => {
                return SimultaneousOpen::respond(config, session, now, out);
            }
            Self::UserspaceSyn(opener) => opener.hold(out),
            Self::Relay(_) => Relay::respond(session, out),
            Self::PunchAndListen(_) | Self::KernelSyn(_) => {}
        }
        Start::Now
    }

    /// The moment has come. Returns the SYN that left by this very call.
    pub(crate) fn start(
        &mut self,
        config: &AttemptConfig,
        session: &Session,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Option<SeqNumber> {
        match self {
            Self::Direct(opener) => opener.start(config, session, out),
            Self::SimultaneousOpen(opener) => opener.start(config, session, now, out),
            Self::PunchAndListen(opener) => opener.start(config, session, now, out),
            Self::KernelSyn(_) => KernelSyn::start(config, session, out),
            Self::Relay(opener) => opener.start(out),
            Self::UserspaceSyn(opener) => return Some(opener.start(session, now, out)),
        }
        None
    }

    /// The kernel's SYN was captured, first or retransmitted.
    pub(crate) fn syn(
        &mut self,
        syn: SynBytes,
        config: &AttemptConfig,
        session: &Session,
        out: &mut Outbox,
    ) {
        match self {
            Self::KernelSyn(opener) => opener.syn(syn, config, session, out),
            Self::PunchAndListen(opener) => opener.punched(config, session, out),
            Self::Direct(_)
            | Self::SimultaneousOpen(_)
            | Self::UserspaceSyn(_)
            | Self::Relay(_) => {}
        }
    }

    /// Something arrived at the swallowed port.
    pub(crate) fn packet(&self, packet: &[u8], session: &Session) -> Option<(Syn, Answer)> {
        match self {
            Self::UserspaceSyn(opener) => opener.packet(packet, session),
            Self::Direct(_)
            | Self::SimultaneousOpen(_)
            | Self::PunchAndListen(_)
            | Self::KernelSyn(_)
            | Self::Relay(_) => None,
        }
    }

    /// When the technique has something to do next, and what.
    pub(crate) fn next_step(&self) -> Option<(Timestamp, Timer)> {
        match self {
            Self::SimultaneousOpen(opener) => opener.raise_at().map(|at| (at, Timer::RaiseTtl)),
            Self::PunchAndListen(opener) => opener.listen_at().map(|at| (at, Timer::Listen)),
            Self::UserspaceSyn(opener) => {
                opener.retransmission().map(|at| (at, Timer::Retransmission))
            }
            Self::Direct(_) | Self::KernelSyn(_) | Self::Relay(_) => None,
        }
    }

    /// Does it. Returns the SYN that left by this very call.
    pub(crate) fn step(
        &mut self,
        config: &AttemptConfig,
        session: &Session,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Option<SeqNumber> {
        match self {
            Self::SimultaneousOpen(opener) => opener.raise(out),
            Self::PunchAndListen(opener) => opener.punched(config, session, out),
            Self::UserspaceSyn(opener) => return Some(opener.retransmit(session, now, out)),
            Self::Direct(_) | Self::KernelSyn(_) | Self::Relay(_) => {}
        }
        None
    }

    /// The opening is over: nothing is done any more.
    pub(crate) const fn stop(&mut self) {
        match self {
            Self::SimultaneousOpen(opener) => opener.stop(),
            Self::PunchAndListen(opener) => opener.stop(),
            Self::UserspaceSyn(opener) => opener.stop(),
            Self::Direct(_) | Self::KernelSyn(_) | Self::Relay(_) => {}
        }
    }
}

/// Whether a cause is a definite answer, after which nothing is waited for. A relay that closes does
/// so because of the other side, which may say why.
pub(crate) fn is_definite(cause: Cause) -> bool {
    cause != Cause::NoAnswer && cause != Cause::NotPaired
}
