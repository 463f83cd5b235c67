//! One side's attempt, from the request to a confirmed connection or one cause.

mod deadline;
mod event;
mod meeting;

use alloc::boxed::Box;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use simopen_packet::{Entropy, SeqNumber, Syn, Timestamp, Ttl};
use simopen_protocol::cause::Cause;
use simopen_protocol::control::{
    Accepted, Action, Connect, ConnectionRequest, Meeting, Outcome, OutcomeState, SynBytes,
};
use simopen_protocol::greeting::Greetings;
use simopen_protocol::identity::{SessionId, UserId};
use simopen_protocol::technique::Technique;

pub(crate) use self::deadline::TURN_ROUND;
pub use self::deadline::Timer;
use self::deadline::{HEAD_START, Patience, SynClock};
pub use self::event::{AttemptOutcome, Event, Failure, Side, What};
use crate::command::{Command, DialOutcome};
use crate::consent::TargetConsent;
use crate::technique::{Answer, Opener, Outbox, Session, Start, SynTemplate, is_definite};

/// One side's attempt. See the crate's page for the law of driving it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Attempt {
    config: AttemptConfig,
    role: Role,
    opener: Option<Opener>,
    consent: TargetConsent,
    session: Option<Session>,
    /// Where the relay is and what is presented there, if that is the way.
    meeting: Option<Meeting>,
    /// The observed endpoint, while the private one is tried first.
    next_target: Option<SocketAddr>,
    greetings: Option<Greetings>,
    patience: Patience,
    syns: SynClock,
    state: State,
    peer_report: Option<OutcomeState>,
    established_at: Option<Timestamp>,
    out: Outbox,
}

/// What a peer knows before it begins.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AttemptConfig {
    /// The way to open the connection.
    pub technique: Technique,
    /// The local endpoint that was proven to the broker. Where both meet at a relay none needs to
    /// be, and the port says nothing.
    pub local: SocketAddr,
    /// The broker's address, which is never dialled as a target.
    pub broker: IpAddr,
    /// The default gateway, which is never dialled as a target.
    pub gateway: Option<IpAddr>,
    /// The measured round trip to the broker.
    pub round_trip: Duration,
    /// The same endpoint as the broker observed it.
    pub observed: SocketAddr,
    /// TTL of SYNs that a kernel socket makes; `None` leaves the system's.
    pub kernel_ttl: Option<Ttl>,
    /// TTL of SYNs that shall pass the own box and die before the other side's.
    pub low_ttl: Ttl,
    /// What a SYN carries that the peer builds itself.
    pub syn: SynTemplate,
    /// How much later than agreed this side sends its first SYN: zero, but in experiments that
    /// show what a slow peer costs.
    pub start_skew: Duration,
}

/// Which side of the session this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Asked for the connection; speaks first on it.
    Originator,
    /// Was asked.
    Responder,
}

/// What the broker says to this attempt.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FromBroker {
    /// The acknowledgement of the request.
    Accepted(Box<Accepted>),
    /// A request of this attempt was answered with an error.
    Refused(Cause),
    /// What became of the session on the other side.
    PeerOutcome(OutcomeState),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum State {
    AwaitingAcceptance { until: Timestamp },
    AwaitingMoment { at: Timestamp },
    Opening { until: Timestamp },
    Established { until: Timestamp },
    Confirmed,
    GivenUp { failure: Failure, until: Timestamp },
    Failed(Failure),
}

impl Attempt {
    /// Asks for a connection to `to`.
    #[must_use]
    pub fn originate(config: AttemptConfig, to: UserId, entropy: Entropy, now: Timestamp) -> Self {
        let mut attempt = Self::new(config, Role::Originator, entropy);
        let until = now + attempt.patience.signalling();
        attempt.state = State::AwaitingAcceptance { until };
        let Some(opener) = &mut attempt.opener else {
            attempt.settle(Cause::LocalError, Side::Own, now);
            return attempt;
        };
        let syn = opener.commit(&mut attempt.out);
        let connect = Connect {
            to,
            device: None,
            technique: attempt.config.technique,
            port: attempt.port(),
            syn,
        };
        attempt.out.messages.push_back(Action::Connect(connect));
        attempt.out.event(now, What::Requested);
        attempt
    }

    /// Answers a request that the broker passed on.
    #[must_use]
    pub fn respond(
        config: AttemptConfig,
        request: &ConnectionRequest,
        entropy: Entropy,
        now: Timestamp,
    ) -> Self {
        let mut attempt = Self::new(config, Role::Responder, entropy);
        let remote = request.destination.endpoint();
        let session =
            attempt.session_towards(&request.destination, request.session, request.round_trip);
        let Some(session) = session else {
            attempt.settle(Cause::Declined, Side::Own, now);
            return attempt;
        };
        attempt.out.event(now, What::Asked { remote });
        if !attempt.join(session, request.greetings, now) {
            return attempt;
        }
        let Some(opener) = &mut attempt.opener else {
            attempt.settle(Cause::Declined, Side::Own, now);
            return attempt;
        };
        let start = opener.respond(&attempt.config, &session, now, &mut attempt.out);
        attempt.begin(start, now);
        attempt
    }

    fn new(config: AttemptConfig, role: Role, entropy: Entropy) -> Self {
        let opener = Opener::new(&config, role, entropy);
        Self {
            consent: TargetConsent::new(config.broker, config.gateway),
            patience: Patience::new(config.round_trip),
            role,
            opener,
            session: None,
            meeting: None,
            next_target: None,
            greetings: None,
            syns: SynClock::default(),
            state: State::AwaitingMoment { at: Timestamp::ZERO },
            peer_report: None,
            established_at: None,
            out: Outbox::default(),
            config,
        }
    }

    /// Takes what the broker says to this attempt.
    pub fn handle_message(&mut self, message: &FromBroker, now: Timestamp) {
        match message {
            FromBroker::Accepted(accepted) => self.acknowledged(accepted, now),
            FromBroker::Refused(cause) if self.needs_broker() => {
                self.settle(*cause, Side::Own, now);
            }
            FromBroker::Refused(_) => {}
            FromBroker::PeerOutcome(state) => self.peer_reported(*state, now),
        }
    }

    /// Takes a SYN that the kernel made for [`Command::Dial`], first or retransmitted. `packet` is
    /// the whole packet as captured.
    pub fn handle_syn(&mut self, packet: &[u8], now: Timestamp) {
        let (State::Opening { .. }, Some(session)) = (self.state, self.session) else {
            return;
        };
        let Ok(syn) = Syn::parse(packet) else {
            return;
        };
        if syn.source != self.config.local || syn.destination != session.remote {
            return;
        }
        if !self.allow_syn(now) {
            return;
        }
        self.count_syn(syn.sequence, now);
        if let Some(opener) = &mut self.opener {
            opener.syn(SynBytes(packet.to_vec()), &self.config, &session, &mut self.out);
        }
    }

    /// Takes a connection to the port held by [`Command::Listen`] on which the greeting that was
    /// expected came in, and on which the own one was sent. It stood `since` a moment before.
    /// Connections of strangers are the world's to close, and do not concern the attempt.
    pub fn handle_accepted(&mut self, since: Timestamp, now: Timestamp) {
        let listens = self.opener.as_ref().is_some_and(Opener::listens);
        if listens && matches!(self.state, State::AwaitingMoment { .. } | State::Opening { .. }) {
            self.stands(since);
            self.handle_greeting(now);
        }
    }

    /// Takes a packet that arrived at the port held by [`Command::Swallow`].
    pub fn handle_packet(&mut self, packet: &[u8], now: Timestamp) {
        let (State::Opening { .. }, Some(session), Some(opener)) =
            (self.state, self.session, &mut self.opener)
        else {
            return;
        };
        match opener.packet(packet, &session) {
            Some((own, Answer::SynAck(answer))) => {
                opener.stop();
                self.out.event(now, What::SynAckReceived);
                self.out.commands.push_back(Command::Install { own, answer });
            }
            Some((_, Answer::Reset)) => self.settle(Cause::Refused, Side::Own, now),
            None => {}
        }
    }

    /// Takes the end of a dial or an installation.
    pub fn handle_outcome(&mut self, outcome: DialOutcome, now: Timestamp) {
        match outcome.cause() {
            // A port that cannot be held fails before anything is opened.
            Some(Cause::LocalError) if self.needs_broker() => {
                self.target_failed(Cause::LocalError, now);
            }
            Some(cause) if matches!(self.state, State::Opening { .. }) => {
                self.target_failed(cause, now);
            }
            None if matches!(self.state, State::Opening { .. }) => self.stands(now),
            Some(_) | None => {}
        }
    }

    /// The other end presented the greeting that was expected of it.
    pub fn handle_greeting(&mut self, now: Timestamp) {
        let (State::Established { .. }, Some(session)) = (self.state, self.session) else {
            return;
        };
        self.state = State::Confirmed;
        self.report(session.id, OutcomeState::Confirmed);
        self.out.event(now, What::Confirmed);
    }

    /// The other end presented something else.
    pub fn handle_wrong_greeting(&mut self, now: Timestamp) {
        self.not_greeted(Cause::NotConfirmed, now);
    }

    /// The other end closed before it had presented anything, as a relay does to which only one
    /// side came.
    pub fn handle_closed(&mut self, now: Timestamp) {
        self.not_greeted(self.when_not_greeted(), now);
    }

    /// An RST ended the connection before the other end presented anything, as happens where a
    /// forged packet reached an RST-answering box before the SYN that it answers.
    pub fn handle_reset(&mut self, now: Timestamp) {
        let meets = self.opener.as_ref().is_some_and(Opener::meets);
        self.not_greeted(if meets { Cause::NotPaired } else { Cause::Reset }, now);
    }

    fn not_greeted(&mut self, cause: Cause, now: Timestamp) {
        if matches!(self.state, State::Established { .. }) {
            self.target_failed(cause, now);
        }
    }

    fn when_not_greeted(&self) -> Cause {
        self.opener.as_ref().map_or(Cause::NotConfirmed, Opener::not_greeted)
    }

    /// The control link is gone. An established connection does not notice.
    pub fn handle_link_lost(&mut self, now: Timestamp) {
        if self.needs_broker() {
            self.settle(Cause::LinkLost, Side::Own, now);
        }
    }

    /// Does what is due. Early and repeated calls change nothing.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.step(now);
        match self.state {
            State::AwaitingAcceptance { until } if until <= now => {
                self.settle(Cause::SignallingTimeout, Side::Own, now);
            }
            State::AwaitingMoment { at } if at <= now => self.start(now),
            State::Opening { until } if until <= now => {
                let cause = self.opener.as_ref().map_or(Cause::NoAnswer, Opener::silence);
                self.target_failed(cause, now);
            }
            State::Established { until } if until <= now => self.handle_closed(now),
            State::GivenUp { failure, until } if until <= now => self.fail(failure, now),
            State::AwaitingAcceptance { .. }
            | State::AwaitingMoment { .. }
            | State::Opening { .. }
            | State::Established { .. }
            | State::Confirmed
            | State::GivenUp { .. }
            | State::Failed(_) => {}
        }
    }

    /// The next request for the broker.
    pub fn poll_message(&mut self) -> Option<Action> {
        self.out.messages.pop_front()
    }

    /// The next thing that the world shall do.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.out.commands.pop_front()
    }

    /// The next thing that became true.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.out.events.pop_front()
    }

    /// The next deadline and what it is for; `None` once the attempt has ended.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Timestamp, Timer)> {
        let own = match self.state {
            State::AwaitingAcceptance { until } => Some((until, Timer::Acceptance)),
            State::AwaitingMoment { at } => Some((at, Timer::Moment)),
            State::Opening { until } => Some((until, Timer::Answer)),
            State::Established { until } => Some((until, Timer::Greeting)),
            State::GivenUp { until, .. } => Some((until, Timer::PeerReport)),
            State::Confirmed | State::Failed(_) => None,
        };
        let step = match self.state {
            State::Opening { .. } => self.opener.as_ref().and_then(Opener::next_step),
            State::AwaitingAcceptance { .. }
            | State::AwaitingMoment { .. }
            | State::Established { .. }
            | State::GivenUp { .. }
            | State::Confirmed
            | State::Failed(_) => None,
        };
        own.into_iter().chain(step).min_by_key(|(at, _)| *at)
    }

    /// How it ended, once it has.
    #[must_use]
    pub const fn outcome(&self) -> Option<AttemptOutcome> {
        match self.state {
            State::Confirmed => Some(AttemptOutcome::Confirmed),
            State::Failed(failure) => Some(AttemptOutcome::Failed(failure)),
            State::AwaitingAcceptance { .. }
            | State::AwaitingMoment { .. }
            | State::Opening { .. }
            | State::Established { .. }
            | State::GivenUp { .. } => None,
        }
    }

    /// When the kernel said ESTABLISHED.
    #[must_use]
    pub const fn established_at(&self) -> Option<Timestamp> {
        self.established_at
    }

    /// Which side of the session this is.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The session, once the broker has named it.
    #[must_use]
    pub fn session(&self) -> Option<SessionId> {
        self.session.map(|session| session.id)
    }

    /// What the two sides say first, once the broker has given it.
    #[must_use]
    pub const fn greetings(&self) -> Option<Greetings> {
        self.greetings
    }

    fn acknowledged(&mut self, accepted: &Accepted, now: Timestamp) {
        if !matches!(self.state, State::AwaitingAcceptance { .. }) {
            return;
        }
        let remote = accepted.destination.endpoint();
        let session =
            self.session_towards(&accepted.destination, accepted.session, accepted.round_trip);
        let Some(session) = session else {
            self.settle(Cause::LocalError, Side::Own, now);
            return;
        };
        self.out.event(now, What::Acknowledged { remote });
        if self.join(session, accepted.greetings, now) {
            self.prefer_private(accepted.private);
            self.begin(Start::Now, now);
        }
    }

    /// Two peers behind one box reach each other at the private endpoint, whether or not the box
    /// lets them in from inside. What is not allowed is left out: the peers may have like addresses
    /// in networks of their own.
    fn prefer_private(&mut self, private: Option<SocketAddr>) {
        let dials = self.opener.as_ref().is_some_and(Opener::dials_private);
        let (true, Some(session), Some(private)) = (dials, &mut self.session, private) else {
            return;
        };
        let (own, shared) =
            (self.config.local.ip(), self.config.observed.ip() == session.remote.ip());
        if self.consent.allow_private(private, own, shared).is_ok() {
            self.next_target = Some(core::mem::replace(&mut session.remote, private));
        }
    }

    /// Takes a session on, unless its target is one that a peer does not dial.
    fn join(&mut self, session: Session, greetings: Greetings, now: Timestamp) -> bool {
        self.patience.learn_peer(session.peer_round_trip);
        self.session = Some(session);
        self.greetings = Some(greetings);
        let allowed = match &self.meeting {
            Some(meeting) => !meeting.relay.is_empty(),
            None => self.consent.allow_target(session.remote).is_ok(),
        };
        if !allowed {
            self.settle(Cause::ConsentRefused, Side::Own, now);
        }
        allowed
    }

    fn begin(&mut self, start: Start, now: Timestamp) {
        let at = match start {
            Start::Now => now,
            Start::At(at) => at,
        };
        self.state = State::AwaitingMoment { at: at + self.config.start_skew };
        self.handle_timeout(now);
    }

    fn start(&mut self, now: Timestamp) {
        let (Some(session), Some(opener)) = (self.session, &mut self.opener) else {
            return;
        };
        let patience = match self.next_target {
            Some(_) => HEAD_START,
            None if opener.listens() => self.patience.listening(),
            None if opener.meets() => self.patience.reaching_relay(),
            None => self.patience.without_syns(),
        };
        self.state = State::Opening { until: now + patience };
        if let Some(sequence) = opener.start(&self.config, &session, now, &mut self.out)
            && self.allow_syn(now)
        {
            self.count_syn(sequence, now);
        }
    }

    /// Does the technique's next step, where it is due.
    fn step(&mut self, now: Timestamp) {
        let next = self.opener.as_ref().and_then(Opener::next_step);
        let Some((_, timer)) = next.filter(|(at, _)| *at <= now) else {
            return;
        };
        // Asked before a SYN goes out: what is sent cannot be called back.
        if matches!(self.state, State::Opening { .. })
            && (timer != Timer::Retransmission || self.allow_syn(now))
            && let (Some(session), Some(opener)) = (self.session, &mut self.opener)
            && let Some(sequence) = opener.step(&self.config, &session, now, &mut self.out)
        {
            self.count_syn(sequence, now);
        }
    }

    fn stands(&mut self, since: Timestamp) {
        let patience = match self.next_target {
            Some(_) => self.patience.private_greeting(),
            None if self.meeting.is_some() => self.patience.joining(),
            None => self.patience.greeting(),
        };
        self.established_at = Some(since);
        self.state = State::Established { until: since + patience };
        if let Some(opener) = &mut self.opener {
            opener.stop();
        }
        self.out.event(since, What::Established);
    }

    /// What was dialled is not the other side. The private endpoint was tried first; else it is
    /// this side's verdict.
    fn target_failed(&mut self, cause: Cause, now: Timestamp) {
        match (self.next_target.take(), &mut self.session) {
            (Some(next), Some(session)) => {
                session.remote = next;
                self.established_at = None;
                self.syns = SynClock::default();
                self.start(now);
            }
            _ => self.settle(cause, Side::Own, now),
        }
    }

    /// Whether one more SYN may go out; if not, the attempt has ended.
    fn allow_syn(&mut self, now: Timestamp) -> bool {
        let allowed = self.consent.allow_syn().is_ok();
        if !allowed {
            self.settle(Cause::ConsentRefused, Side::Own, now);
        }
        allowed
    }

    fn count_syn(&mut self, sequence: SeqNumber, now: Timestamp) {
        let number = self.syns.count(now);
        self.out.event(now, What::SynSent { sequence, number });
        if let Some(until) = self.syns.verdict(&self.patience) {
            self.state = State::Opening { until };
        }
    }

    fn peer_reported(&mut self, report: OutcomeState, now: Timestamp) {
        self.peer_report = Some(report);
        let OutcomeState::Failed(cause) = report else {
            return;
        };
        let ends = is_definite(cause) || self.opener.as_ref().is_some_and(Opener::listens);
        match self.state {
            State::GivenUp { failure, .. } => self.fail(failure, now),
            State::AwaitingAcceptance { .. }
            | State::AwaitingMoment { .. }
            | State::Opening { .. }
            | State::Established { .. }
                if ends =>
            {
                self.settle(cause, Side::Peer, now);
            }
            State::AwaitingAcceptance { .. }
            | State::AwaitingMoment { .. }
            | State::Opening { .. }
            | State::Established { .. }
            | State::Confirmed
            | State::Failed(_) => {}
        }
    }

    /// This side's own verdict. A definite one ends the attempt; "no answer" waits for the report of
    /// an other side that dials as well, because it may still be trying.
    fn settle(&mut self, cause: Cause, seen_by: Side, now: Timestamp) {
        let failure = Failure { cause, seen_by, syns: self.syns.sent() };
        if let Some(session) = self.session {
            self.report(session.id, OutcomeState::Failed(cause));
        }
        self.out.commands.push_back(Command::Abandon);
        if let Some(opener) = &mut self.opener {
            opener.stop();
        }
        let both_dial = self.opener.as_ref().is_some_and(Opener::both_dial);
        let waits = both_dial && self.session.is_some() && self.peer_report.is_none();
        if is_definite(cause) || !waits {
            self.fail(failure, now);
        } else {
            self.state = State::GivenUp { failure, until: now + self.patience.peer_report() };
            self.out.event(now, What::GivenUp(cause));
        }
    }

    fn fail(&mut self, mut failure: Failure, now: Timestamp) {
        if let Some(OutcomeState::Failed(cause)) = self.peer_report
            && is_definite(cause)
            && !is_definite(failure.cause)
        {
            failure = Failure { cause, seen_by: Side::Peer, ..failure };
        }
        self.state = State::Failed(failure);
        self.out.event(now, What::Failed(failure));
    }

    fn report(&mut self, session: SessionId, state: OutcomeState) {
        self.out.messages.push_back(Action::Outcome(Outcome { session, state }));
    }

    /// An established connection does not notice what becomes of the broker and of the session
    /// there.
    const fn needs_broker(&self) -> bool {
        match self.state {
            State::AwaitingAcceptance { .. }
            | State::AwaitingMoment { .. }
            | State::Opening { .. } => true,
            State::Established { .. }
            | State::Confirmed
            | State::GivenUp { .. }
            | State::Failed(_) => false,
        }
    }
}
