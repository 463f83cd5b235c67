//! A box in an imagined run: what its axes say of one packet.

use std::time::Duration;

use simopen_nat::{
    EarlyPacket, Filtering, IcmpErrors, InboundBareSyn, InvalidOutbound, IsnRewriting, Mapping,
    MidStream, MiddleboxSpec, OnIcmpError, OptionRewriting, PortOverloading, Role, SynProxy,
    TcpTracking, TimestampRewriting, UnsolicitedSyn,
};

use super::obstacle::Obstacle;
use super::segment::{Endpoint, Icmp, Kind, Sack, Segment};
use super::session::{Followed, Luck, Opened, Session, Side};

/// The peers' ports are drawn from the range of ephemeral ones: no list of services names them.
const PEER_PORT: u16 = 50_000;

/// What becomes of a packet at a box.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fate {
    Passes(Segment),
    Dropped(Obstacle),
    /// Dropped, and its sender hears this.
    Answered(Segment, Obstacle),
}

/// A box before one side.
#[derive(Debug, Clone)]
pub(super) struct Gate<'spec> {
    spec: &'spec MiddleboxSpec,
    /// The outside endpoint that a mapping of its own towards the other side would get.
    towards_peer: Endpoint,
    /// Sessions that may still be opened.
    room: usize,
    mappings: Vec<OpenMapping>,
    sessions: Vec<Session>,
    /// A stranger's SYN keeps its destination port from a mapping towards this endpoint.
    taken: Option<(Endpoint, Duration)>,
    luck: Luck,
    /// Nobody can say what numbers come to: a session began anew in its middle, and with it by how
    /// much they are moved; or a SACK block came that another box had left wrong, and may be answered.
    pub(super) is_doubtful: bool,
}

/// A mapping of the proven port.
#[derive(Debug, Clone, Copy)]
struct OpenMapping {
    own: Endpoint,
    towards: Scope,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Broker,
    Peer(Endpoint),
}

impl<'spec> Gate<'spec> {
    /// A box whose inside host has proven a port; `room` sessions more may be opened.
    pub(super) fn new(
        spec: &'spec MiddleboxSpec,
        towards_peer: Endpoint,
        room: usize,
        luck: Luck,
    ) -> Self {
        let proof = OpenMapping { own: Endpoint::Observed, towards: Scope::Broker };
        Self {
            spec,
            towards_peer,
            room,
            mappings: vec![proof],
            sessions: Vec::new(),
            taken: None,
            luck,
            is_doubtful: false,
        }
    }

    /// A packet of the inside host.
    pub(super) fn outbound(&mut self, segment: Segment, now: Duration) -> Fate {
        if self.spec.role == Role::Transparent {
            return Fate::Passes(segment);
        }
        self.forget(now);
        let remote = segment.destination;
        let Some(place) = self.sessions.iter().position(|session| session.remote == remote) else {
            return self.opens(segment, now);
        };
        let own = self.sessions[place].own;
        match self.sessions[place].follow(self.spec, segment, Side::Inside, now) {
            Followed::Invalid => self.invalid(segment, now),
            Followed::Passes => self.leaves(segment, own),
            Followed::Ends => {
                self.sessions.remove(place);
                self.leaves(segment, own)
            }
        }
    }

    /// A packet from outside for the inside host.
    pub(super) fn inbound(&mut self, segment: Segment, now: Duration) -> Fate {
        if self.spec.role == Role::Transparent {
            return Fate::Passes(segment);
        }
        self.forget(now);
        let (own, remote) = (segment.destination, segment.source);
        let found = self.sessions.iter().position(|one| (one.own, one.remote) == (own, remote));
        if let Kind::Icmp(error) = segment.kind {
            return self.error(found, error, segment);
        }
        let Some(place) = found else {
            return self.stranger(segment, now);
        };
        let answers = !matches!(
            self.spec.unsolicited,
            UnsolicitedSyn::Dropped | UnsolicitedSyn::HeldThenPortUnreachable
        );
        self.is_doubtful |= segment.sack == Some(Sack::Wrong) && answers;
        match self.sessions[place].follow(self.spec, segment, Side::Outside, now) {
            Followed::Invalid => self.answer(segment, Obstacle::Invalid, now),
            // Tracking has seen it all the same.
            Followed::Passes if self.drops(segment) => Fate::Dropped(Obstacle::BareSyn),
            Followed::Passes => self.enters(segment),
            Followed::Ends => {
                self.sessions.remove(place);
                self.enters(segment)
            }
        }
    }

    /// Whether the box answers the inside host's SYNs and dials in its place.
    pub(super) fn dials_by_itself(&self) -> bool {
        self.spec.role != Role::Transparent && self.spec.rewriting.syn_proxy != SynProxy::Off
    }

    /// Whether the timestamps that pass are shifted, so that an echo which somebody else has made
    /// up comes in wrong.
    pub(super) fn shifts_timestamps(&self) -> bool {
        self.spec.role != Role::Transparent
            && self.spec.rewriting.timestamps == TimestampRewriting::Rewritten
            && self.spec.rewriting.options != OptionRewriting::AllButMssStripped
    }

    /// An outbound packet without a session.
    fn opens(&mut self, segment: Segment, now: Duration) -> Fate {
        let opened = match segment.kind {
            Kind::Syn => Opened::BySyn,
            _ if self.spec.tracking == TcpTracking::None => Opened::BySyn,
            Kind::Ack | Kind::Data if self.spec.mid_stream == MidStream::PickedUp => {
                Opened::InTheMiddle
            }
            Kind::SynAck | Kind::Ack | Kind::Data | Kind::Rst { .. } | Kind::Icmp(_) => {
                return self.invalid(segment, now);
            }
        };
        if !self.spec.egress.permits(PEER_PORT) {
            return Fate::Dropped(Obstacle::Egress);
        }
        let Some(own) = self.mapping_towards(segment.destination) else {
            return Fate::Dropped(Obstacle::Limit);
        };
        self.is_doubtful |=
            segment.kind != Kind::Syn && self.spec.rewriting.isn != IsnRewriting::Kept;
        let session = Session::new(self.spec, own, segment, Side::Inside, opened, self.luck, now);
        self.sessions.push(session);
        self.leaves(segment, own)
    }

    /// The outside endpoint of the proven port towards a remote one; none where no session more
    /// may be opened.
    fn mapping_towards(&mut self, remote: Endpoint) -> Option<Endpoint> {
        if self.sessions.len() >= self.room {
            return None;
        }
        if self.spec.role != Role::Nat || self.spec.mapping == Mapping::EndpointIndependent {
            return Some(Endpoint::Observed);
        }
        if let Some(open) = self.mappings.iter().find(|one| self.covers(one.towards, remote)) {
            return Some(open.own);
        }
        let is_taken = self.towards_peer == Endpoint::Observed
            && self.taken.is_some_and(|(by, _)| by == remote);
        let own = if is_taken { Endpoint::OtherPort } else { self.towards_peer };
        self.mappings.push(OpenMapping { own, towards: Scope::Peer(remote) });
        Some(own)
    }

    /// Whether packets to a remote endpoint use the mapping of that scope.
    fn covers(&self, scope: Scope, remote: Endpoint) -> bool {
        match scope {
            Scope::Broker => self.spec.mapping == Mapping::EndpointIndependent,
            Scope::Peer(known) if self.spec.mapping == Mapping::AddressDependent => {
                known.shares_address(remote)
            }
            Scope::Peer(known) => known == remote,
        }
    }

    /// An inbound packet without a session: a SYN may open one, the rest is the box's own.
    fn stranger(&mut self, segment: Segment, now: Duration) -> Fate {
        let may_open = segment.kind == Kind::Syn || self.spec.tracking == TcpTracking::None;
        if !may_open || !self.admits(segment) {
            return self.turn_away(segment, now);
        }
        if self.drops(segment) {
            return Fate::Dropped(Obstacle::BareSyn);
        }
        if self.sessions.iter().any(|session| session.remote == segment.source) {
            return Fate::Dropped(Obstacle::OtherEndpoint);
        }
        if self.sessions.len() >= self.room {
            return Fate::Dropped(Obstacle::Limit);
        }
        let own = segment.destination;
        let (by, opened) = (Side::Outside, Opened::BySyn);
        let session = Session::new(self.spec, own, segment, by, opened, self.luck, now);
        self.sessions.push(session);
        self.enters(segment)
    }

    /// Whether mapping and filtering let a stranger in (RFC 4787 §5).
    fn admits(&self, segment: Segment) -> bool {
        let belongs_to_anybody = self.spec.role != Role::Nat
            || self.spec.mapping == Mapping::EndpointIndependent
            || self.spec.port_overloading == PortOverloading::Off;
        let is_open = self.mappings.iter().any(|one| {
            one.own == segment.destination
                && (belongs_to_anybody || self.covers(one.towards, segment.source))
        });
        let is_known = match self.spec.filtering {
            Filtering::EndpointIndependent => true,
            Filtering::AddressDependent => self.sessions.iter().any(|session| {
                session.own == segment.destination && session.remote.shares_address(segment.source)
            }),
            // The endpoint that was addressed has a session.
            Filtering::AddressAndPortDependent | _ => false,
        };
        is_open && is_known
    }

    fn turn_away(&mut self, segment: Segment, now: Duration) -> Fate {
        let fate = self.answer(segment, Obstacle::Stranger, now);
        let is_reset = matches!(fate, Fate::Answered(Segment { kind: Kind::Rst { .. }, .. }, _));
        if segment.kind == Kind::Syn
            && self.spec.early_packet == EarlyPacket::TakesPort
            && !is_reset
        {
            let until = now + self.spec.timers.syn_received;
            self.taken.get_or_insert((segment.source, until));
        }
        fate
    }

    /// What the sender of a packet hears that the box takes for its own.
    fn answer(&mut self, segment: Segment, obstacle: Obstacle, now: Duration) -> Fate {
        let unreachable = Kind::Icmp(Icmp::Unreachable);
        let answer = match self.spec.unsolicited {
            UnsolicitedSyn::Reset => segment.answered_by_reset(),
            UnsolicitedSyn::PortUnreachable | UnsolicitedSyn::AdminProhibited => {
                Some(segment.returned(unreachable))
            }
            // Six seconds of silence are longer than an attempt.
            UnsolicitedSyn::Dropped | UnsolicitedSyn::HeldThenPortUnreachable | _ => None,
        };
        let Some(answer) = answer else { return Fate::Dropped(obstacle) };
        self.believe(answer, segment.source, Side::Inside, now);
        Fate::Answered(answer, obstacle)
    }

    /// What a firewall rejects with goes through its own tracking, as from the side in whose name
    /// it speaks.
    fn believe(&mut self, answer: Segment, remote: Endpoint, from: Side, now: Duration) {
        if self.spec.role != Role::Firewall || !matches!(answer.kind, Kind::Rst { .. }) {
            return;
        }
        let Some(place) = self.sessions.iter().position(|session| session.remote == remote) else {
            return;
        };
        if self.sessions[place].follow(self.spec, answer, from, now) == Followed::Ends {
            self.sessions.remove(place);
        }
    }

    /// An outbound packet that tracking calls invalid.
    fn invalid(&mut self, segment: Segment, now: Duration) -> Fate {
        match self.spec.invalid_outbound {
            // Without translation it leaves as it should, unless its numbers lack what others got.
            InvalidOutbound::LeavesUntranslated
                if self.spec.role != Role::Nat && self.spec.rewriting.isn == IsnRewriting::Kept =>
            {
                Fate::Passes(segment)
            }
            InvalidOutbound::AnsweredByRouter => {
                let Some(reset) = segment.answered_by_reset() else {
                    return Fate::Dropped(Obstacle::Invalid);
                };
                self.believe(reset, segment.destination, Side::Outside, now);
                Fate::Answered(reset, Obstacle::Invalid)
            }
            InvalidOutbound::LeavesUntranslated | InvalidOutbound::Dropped | _ => {
                Fate::Dropped(Obstacle::Invalid)
            }
        }
    }

    /// An ICMP error that quotes a packet of the inside host.
    fn error(&mut self, session: Option<usize>, error: Icmp, segment: Segment) -> Fate {
        let is_filtered = match self.spec.icmp_errors {
            IcmpErrors::Passed => false,
            IcmpErrors::TimeExceededFiltered => error == Icmp::TimeExceeded,
            IcmpErrors::AllFiltered | _ => true,
        };
        let Some(place) = session.filter(|_| !is_filtered) else {
            return Fate::Dropped(Obstacle::Icmp);
        };
        if self.spec.on_icmp_error == OnIcmpError::SessionDeleted {
            self.sessions.remove(place);
        }
        Fate::Passes(segment)
    }

    fn leaves(&self, segment: Segment, own: Endpoint) -> Fate {
        let source = if self.spec.role == Role::Nat { own } else { segment.source };
        self.enters(Segment { source, ..segment })
    }

    fn enters(&self, mut segment: Segment) -> Fate {
        if self.spec.rewriting.isn == IsnRewriting::ModulatedSackBroken {
            segment.sack = segment.sack.map(|_| Sack::Wrong);
        }
        segment.scales &= self.spec.rewriting.options != OptionRewriting::AllButMssStripped;
        Fate::Passes(segment)
    }

    fn drops(&self, segment: Segment) -> bool {
        segment.kind == Kind::Syn && self.spec.inbound_bare_syn == InboundBareSyn::Dropped
    }

    /// Ends what has run out. A mapping without sessions closes; the proof's lives as long as its
    /// connection.
    fn forget(&mut self, now: Duration) {
        self.sessions.retain(|session| session.until > now);
        self.taken = self.taken.filter(|(_, until)| *until > now);
        let sessions = &self.sessions;
        self.mappings.retain(|one| {
            one.towards == Scope::Broker || sessions.iter().any(|session| session.own == one.own)
        });
    }
}
