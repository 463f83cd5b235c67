//! An imagined run: what each technique sends when, which box it meets in which state, and what
//! the hosts make of what gets through. Boxes, kernels and broker are here as `docs/traversal.md`
//! describes them; none of their code is.

use std::collections::BTreeMap;
use std::time::Duration;

use simopen_fabric::HOST_LINK_DELAY;
use simopen_protocol::technique::{SynOwner, Technique};

use super::chance::Chance;
use super::gate::{Fate, Gate};
use super::host::{Host, Tcp, Told};
use super::obstacle::{Obstacle, Stop};
use super::segment::{Endpoint, Icmp, Kind, Party, Segment};
use crate::conditions::Conditions;

/// The initial retransmission timeout (RFC 6298 §2.1).
const RETRANSMISSION: Duration = Duration::from_secs(1);
/// How much later than that a kernel's timer may end (Linux, 250 ticks a second).
const GRAIN: Duration = Duration::from_millis(32);
/// What a kernel waits at least before it sends again on a connection whose round trip it knows
/// (Linux).
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(200);
/// What the broker leaves an originator between acknowledgement and SYN, and for jitter
/// (`docs/traversal.md`, the arrival law).
const TURN_ROUND: Duration = Duration::from_millis(5);
const ALLOWANCE: Duration = Duration::from_millis(2);
/// What a private endpoint gets before the observed one.
const HEAD_START: Duration = Duration::from_millis(250);
/// What an attempt grants a busy machine.
const GRANTED: Duration = Duration::from_millis(50);
/// How long a host may take to do what it is told.
const BUSY: Duration = Duration::from_millis(1);
/// Forged packets to each side.
const MOST_FORGED: u32 = 3;
/// No run takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// How an imagined run ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) connected: bool,
    /// Nobody can say whether bytes get through: one side takes the other's windows for a
    /// thousandth of what they are, so that they crawl (K42), or takes what it sends for old,
    /// because a box shifts the timestamps of all but the forged SYN-ACK; or a box that moves
    /// numbers has lost by how much.
    pub(super) doubtful: bool,
    pub(super) stop: Option<Stop>,
    /// What established each side; and whether the broker had sent it.
    pub(super) by: [Option<(Kind, bool)>; 2],
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Leaving(Party, Segment),
    Arriving(Party, Segment),
    Received(Party, Segment),
    /// At the broker.
    Asks,
    Accepts,
    Reports(Party),
    Forges(Party),
    /// At a peer.
    Asked,
    Acknowledged,
    Opens(Party),
    Again(Party, u32),
    Repeats(Party, Kind, u32),
    GivesUp(Party, Patience),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// For the broker's acknowledgement.
    Acceptance,
    /// For an answer.
    Answer,
    /// For the greeting.
    Greeting,
}

/// The run.
pub(super) struct Course<'run> {
    technique: Technique,
    conditions: &'run Conditions,
    forging: bool,
    chance: Chance,
    gates: [Gate<'run>; 2],
    hosts: [Host; 2],
    queue: BTreeMap<(Duration, u64), Event>,
    now: Duration,
    counter: u64,
    reports: [u32; 2],
    /// Towards whom the first forged packet is still held back.
    held: [bool; 2],
    forged: [u32; 2],
    acknowledged: bool,
    greeted: [bool; 2],
    ended: bool,
    stop: Option<Stop>,
    by: [Option<(Kind, bool)>; 2],
    /// How late all timers of kernels end, where they end alike, as a share of [`GRAIN`].
    alike: Option<f64>,
}

impl<'run> Course<'run> {
    pub(super) fn new(
        technique: Technique,
        gates: [Gate<'run>; 2],
        forging: bool,
        conditions: &'run Conditions,
        mut chance: Chance,
    ) -> Self {
        let alike = (chance.part() < 0.5).then(|| chance.part());
        Self {
            alike,
            technique,
            conditions,
            forging,
            chance,
            gates,
            hosts: Party::BOTH.map(Host::new),
            queue: BTreeMap::new(),
            now: Duration::ZERO,
            counter: 0,
            reports: [0; 2],
            held: [false; 2],
            forged: [0; 2],
            acknowledged: false,
            greeted: [false; 2],
            ended: false,
            stop: None,
            by: [None; 2],
        }
    }

    /// Imagines it from the request on.
    pub(super) fn run(mut self) -> End {
        if self.is_userspace() {
            // The originator commits to its SYN within the request.
            self.hosts[0].tcp = Tcp::Swallowing { answerable: false };
            self.reports[0] = 1;
        }
        self.say(Event::Asks);
        let patience = self.both_round_trips() + 4 * RETRANSMISSION;
        self.later(patience, Event::GivesUp(Party::A, Patience::Acceptance));
        while !self.ended
            && let Some(((at, _), event)) = self.queue.pop_first()
            && at < LIMIT
        {
            self.now = at;
            self.handle(event);
        }
        let connected = self.greeted == [true; 2];
        let [a, b] = self.hosts;
        let misunderstood = |of: Host, by: Host| of.scales && by.offered == Some(false);
        let crawls = misunderstood(a, b) || misunderstood(b, a);
        let shifted = Party::BOTH.into_iter().any(|party| {
            let is_forged = matches!(self.by[party.index()], Some((_, true)));
            is_forged && self.gates[party.other().index()].shifts_timestamps()
        });
        let is_doubtful = self.gates.iter().any(|gate| gate.is_doubtful);
        let doubtful = connected && (crawls || shifted || is_doubtful);
        End { connected, doubtful, stop: self.stop, by: self.by }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Leaving(from, packet) => self.leave(from, packet),
            Event::Arriving(at, packet) => self.arrive(at, packet),
            Event::Received(at, packet) => self.receive(at, packet),
            Event::Asks => self.say(Event::Asked),
            Event::Accepts => {
                if self.is_userspace() {
                    self.report(Party::B);
                }
                self.say(Event::Acknowledged);
            }
            Event::Reports(by) => self.report(by),
            Event::Forges(towards) => self.forge(towards),
            Event::Asked => self.asked(),
            Event::Acknowledged => {
                self.acknowledged = true;
                let skew = self.conditions.skew_a;
                self.soon(skew, Event::Opens(Party::A));
            }
            Event::Opens(party) => self.open(party),
            Event::Again(party, nth) => self.again(party, nth),
            Event::Repeats(party, kind, nth) => self.repeat(party, kind, nth),
            Event::GivesUp(party, patience) => self.give_up(party, patience),
        }
    }

    const fn is_userspace(&self) -> bool {
        matches!(self.technique, Technique::ForgedSynAck(SynOwner::Userspace))
    }

    const fn is_forged(&self) -> bool {
        matches!(self.technique, Technique::ForgedSynAck(_))
    }

    /// One way between a host and the broker.
    fn to_broker(&self) -> Duration {
        self.conditions.leg + HOST_LINK_DELAY
    }

    /// A round trip to the broker as a peer has measured it: the least that its handshake and its
    /// login took.
    fn round_trip(&mut self) -> Duration {
        let least = self.jitter(4).min(self.jitter(4));
        2 * self.to_broker() + least
    }

    /// What an attempt takes for twice a round trip between the two.
    fn both_round_trips(&self) -> Duration {
        let measured = |gate: &Gate<'_>| {
            // The box answers the SYN to the broker by itself, and that is what the peer measures.
            let way = if gate.dials_by_itself() { HOST_LINK_DELAY } else { self.to_broker() };
            2 * way
        };
        2 * self.gates.iter().map(measured).sum::<Duration>() + GRANTED
    }

    // What the peers do.

    fn asked(&mut self) {
        let skew = self.conditions.skew_b;
        match self.technique {
            Technique::Direct => {
                self.listen(Party::B, skew);
                self.say(Event::Accepts);
            }
            Technique::SimultaneousOpen | Technique::SimultaneousOpenLowTtl => {
                self.say(Event::Accepts);
                // Half of both round trips: the time that its acceptance takes to the other side.
                let wait = (self.round_trip() + self.round_trip()) / 2;
                self.soon(wait + skew, Event::Opens(Party::B));
            }
            Technique::PunchAndListen | Technique::ForgedSynAck(_) | _ => {
                if self.is_userspace() {
                    self.hosts[1].tcp = Tcp::Swallowing { answerable: false };
                }
                self.soon(skew, Event::Opens(Party::B));
            }
        }
    }

    fn open(&mut self, party: Party) {
        let place = party.index();
        if self.technique == Technique::PunchAndListen && party == Party::B {
            let punch = self.hosts[place].segment(Kind::Syn, Endpoint::Observed);
            self.send(party, Segment { low_ttl: true, ..punch });
            self.listen(party, Duration::ZERO);
            // The answers of a listener count from a number of its own.
            self.hosts[place].numbering = 1;
            return self.say(Event::Accepts);
        }
        self.hosts[place].tcp =
            if self.is_userspace() { Tcp::Swallowing { answerable: true } } else { Tcp::Dialling };
        self.again(party, 0);
        match (self.technique, party) {
            (Technique::ForgedSynAck(SynOwner::Kernel), Party::B) => {
                self.reports[1] += 1;
                self.say(Event::Accepts);
            }
            (Technique::ForgedSynAck(SynOwner::Userspace), Party::B) => self.say(Event::Accepts),
            (Technique::ForgedSynAck(SynOwner::Kernel), Party::A) => {
                self.say(Event::Reports(Party::A));
            }
            _ => {}
        }
    }

    /// Waits for the other side, which has its own patience, and tries a private endpoint first.
    fn listen(&mut self, party: Party, late: Duration) {
        self.hosts[party.index()].tcp = Tcp::Listening;
        let patience = 3 * self.both_round_trips() + 2 * HEAD_START + 4 * RETRANSMISSION;
        self.later(late + patience, Event::GivesUp(party, Patience::Answer));
    }

    /// Sends the own SYN for the nth time, as long as nothing has answered it.
    fn again(&mut self, party: Party, nth: u32) {
        let host = self.hosts[party.index()];
        if !matches!(host.tcp, Tcp::Dialling | Tcp::Swallowing { answerable: true }) {
            return;
        }
        let low_ttl = self.is_userspace()
            || (self.technique == Technique::SimultaneousOpenLowTtl && nth == 0);
        let syn = Segment { low_ttl, ..host.segment(Kind::Syn, Endpoint::Observed) };
        // Before its answer a SYN offers scaling.
        self.send(party, Segment { scales: true, ..syn });
        if nth > 0 && self.is_forged() {
            self.say(Event::Reports(party));
        }
        // A peer that sends its own SYNs has a timer of its own, which is no kernel's.
        let hesitation = match self.alike {
            _ if self.is_userspace() => 0.0,
            Some(alike) => alike,
            None => self.chance.part(),
        };
        let wait = RETRANSMISSION + GRAIN.mul_f64(hesitation);
        if nth == 1 {
            let patience = wait + self.both_round_trips();
            self.later(patience, Event::GivesUp(party, Patience::Answer));
        }
        self.later(wait, Event::Again(party, nth + 1));
    }

    fn give_up(&mut self, party: Party, patience: Patience) {
        let tcp = self.hosts[party.index()].tcp;
        let is_open = matches!(tcp, Tcp::Established { .. });
        self.ended |= match patience {
            Patience::Acceptance => !self.acknowledged,
            Patience::Answer => !is_open,
            Patience::Greeting => !self.greeted[party.index()],
        };
    }

    fn established(&mut self, party: Party, by: Segment) {
        let place = party.index();
        self.by[place] = Some((by.kind, by.forged));
        let patience = self.both_round_trips() + 3 * RETRANSMISSION;
        self.later(patience, Event::GivesUp(party, Patience::Greeting));
        if party == Party::A {
            self.greet(party);
        } else if by.kind == Kind::Data {
            self.confirm(party);
        }
    }

    fn confirm(&mut self, party: Party) {
        self.greeted[party.index()] = true;
        self.ended |= self.greeted == [true; 2];
        if party == Party::B {
            self.greet(party);
        }
    }

    fn greet(&mut self, party: Party) {
        self.hosts[party.index()].sent = 1;
        self.repeat(party, Kind::Data, 0);
    }

    /// Sends a SYN-ACK or a greeting again until it has had its effect.
    fn repeat(&mut self, party: Party, kind: Kind, nth: u32) {
        let host = self.hosts[party.index()];
        let (to, first) = match (kind, host.tcp) {
            (Kind::SynAck, Tcp::Crossed) => (Endpoint::Observed, 1),
            (Kind::SynAck, Tcp::Answering { to }) => (to, 1),
            (Kind::Data, Tcp::Established { with }) => (with, 0),
            _ => return,
        };
        if nth >= first {
            self.send(party, host.segment(kind, to));
        }
        self.later(RETRANSMISSION * 2_u32.pow(nth.min(5)), Event::Repeats(party, kind, nth + 1));
    }

    // What the broker does.

    fn report(&mut self, by: Party) {
        let (mine, other) = (by.index(), by.other().index());
        self.reports[mine] += 1;
        if self.reports[other] == 0 {
            return;
        }
        if self.reports[mine] > 1 {
            if !self.held[mine] {
                self.forge(by);
            }
            return;
        }
        self.held = [true; 2];
        let wait = if self.is_userspace() { TURN_ROUND } else { Duration::ZERO };
        let hold = if self.is_userspace() { ALLOWANCE } else { Duration::ZERO };
        self.later(wait, Event::Forges(Party::B));
        self.later(wait + hold, Event::Forges(Party::A));
    }

    fn forge(&mut self, towards: Party) {
        let place = towards.index();
        self.held[place] = false;
        if self.forged[place] == MOST_FORGED {
            return;
        }
        self.forged[place] += 1;
        if !self.forging {
            return self.note(Stop::Withheld);
        }
        if self.conditions.source_validation {
            return self.note(Stop::SourceValidation);
        }
        let packet = Segment { forged: true, ..Segment::new(Kind::SynAck, towards.other()) };
        self.cross(towards, packet);
    }

    // What the network does.

    /// Something said by way of the control connection, which repeats what is lost.
    fn say(&mut self, event: Event) {
        let mut delay = self.to_broker();
        let mut timeout = SHORTEST_TIMEOUT + 2 * self.to_broker();
        while self.is_lost(2) {
            delay += timeout;
            timeout *= 2;
        }
        let jitter = self.jitter(2);
        self.later(delay + jitter, event);
    }

    fn send(&mut self, party: Party, packet: Segment) {
        self.later(HOST_LINK_DELAY, Event::Leaving(party, packet));
    }

    fn leave(&mut self, from: Party, packet: Segment) {
        match self.gates[from.index()].outbound(packet, self.now) {
            Fate::Passes(packet) if packet.low_ttl => {
                let exceeded = packet.returned(Kind::Icmp(Icmp::TimeExceeded));
                self.cross(from, exceeded);
            }
            Fate::Passes(packet) => self.cross(from.other(), packet),
            Fate::Dropped(obstacle) => self.stopped(from, packet, obstacle, false),
            Fate::Answered(answer, obstacle) => {
                self.stopped(from, packet, obstacle, true);
                self.later(HOST_LINK_DELAY, Event::Received(from, answer));
            }
        }
    }

    /// Over two links, by way of the core.
    fn cross(&mut self, to: Party, packet: Segment) {
        if !self.is_lost(2) {
            let delay = self.conditions.leg + self.jitter(2);
            self.later(delay, Event::Arriving(to, packet));
        }
    }

    fn arrive(&mut self, at: Party, packet: Segment) {
        match self.gates[at.index()].inbound(packet, self.now) {
            Fate::Passes(packet) => self.later(HOST_LINK_DELAY, Event::Received(at, packet)),
            Fate::Dropped(obstacle) => self.stopped(at, packet, obstacle, false),
            Fate::Answered(answer, obstacle) => {
                self.stopped(at, packet, obstacle, true);
                self.cross(at.other(), answer);
            }
        }
    }

    fn receive(&mut self, at: Party, packet: Segment) {
        let place = at.index();
        let is_shielded = self.technique == Technique::SimultaneousOpenLowTtl;
        if packet.kind == Kind::Icmp(Icmp::TimeExceeded)
            || matches!(packet.kind, Kind::Icmp(_)) && is_shielded
        {
            // No socket hears it: it is kept away, or there is none.
            return;
        }
        let echo_fits = !(packet.forged && self.gates[place].shifts_timestamps());
        let before = self.hosts[place].tcp;
        let (told, answer) = self.hosts[place].receive(packet, echo_fits);
        if let Some(answer) = answer {
            self.send(at, answer);
            if answer.kind == Kind::SynAck && before != self.hosts[place].tcp {
                self.repeat(at, Kind::SynAck, 0);
            }
        }
        match told {
            Told::Established => self.established(at, packet),
            Told::Greeting => self.confirm(at),
            Told::Ended => self.ended = true,
            Told::Unexpected => self.note(Stop::Host { of: at, packet }),
            Told::Nothing => {}
        }
    }

    fn stopped(&mut self, of: Party, packet: Segment, obstacle: Obstacle, answered: bool) {
        if !matches!(packet.kind, Kind::Icmp(_) | Kind::Rst { .. }) {
            self.note(Stop::Box { of, packet, obstacle, answered });
        }
    }

    /// The first obstacle explains most, but one that is answered explains more.
    fn note(&mut self, stop: Stop) {
        let is_answered =
            |stop: &Stop| matches!(stop, Stop::Box { answered: true, .. } | Stop::Host { .. });
        if self.stop.is_none_or(|known| is_answered(&stop) && !is_answered(&known)) {
            self.stop = Some(stop);
        }
    }

    fn is_lost(&mut self, links: i32) -> bool {
        let loss = self.conditions.loss;
        loss > 0.0 && self.chance.part() > (1.0 - loss).powi(links)
    }

    fn jitter(&mut self, links: u32) -> Duration {
        (0..links).map(|_| self.conditions.jitter.mul_f64(self.chance.part())).sum()
    }

    /// After what a host needs to get to it.
    fn soon(&mut self, delay: Duration, event: Event) {
        let busy = BUSY.mul_f64(self.chance.part());
        self.later(delay + busy, event);
    }

    fn later(&mut self, delay: Duration, event: Event) {
        self.counter += 1;
        self.queue.insert((self.now + delay, self.counter), event);
    }
}
