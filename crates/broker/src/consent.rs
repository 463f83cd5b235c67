//! Whether a packet may be sent in another's name.
//!
//! Every rule stands here and nowhere else; `judge` is asked immediately before each packet. What
//! it is not asked about cannot be wrong: a forged packet is written from the two reported SYNs
//! alone and carries no payload and no option but 2, 3, 4 and 8.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use simopen_packet::{Syn, Timestamp};
use simopen_protocol::cause::Cause;

use crate::link::ProbedWay;
use crate::session::{Party, PartyState, Session};

/// Whether this broker sends packets in other names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Forging {
    /// Requests that need it are refused.
    #[default]
    Off,
    /// Everything is judged and logged, and nothing is sent: the control of an experiment.
    Withheld,
    /// Packets with foreign source addresses leave. The word is a warning: switch it on only where
    /// the operator of the network agrees.
    Dangerous,
}

/// How long an endpoint counts as proven.
pub const PROOF_LIFETIME: Duration = Duration::from_secs(30);
/// How long a session may ask for forged packets (seed 001 ¶182 gives pending connections as long).
pub const SESSION_LIFETIME: Duration = Duration::from_secs(30);
/// The most forged packets that one side of a session is sent: one, and two repeats.
pub const MAX_FORGED: u8 = 3;
/// The lowest port that a forged packet names.
pub const LOWEST_PORT: u16 = 1024;

/// What the operator has laid down.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ConsentPolicy {
    /// Whether there is forging at all.
    pub forging: Forging,
    /// The broker's own addresses.
    pub own: Vec<IpAddr>,
    /// Private networks that the broker stands in: address and prefix length.
    pub networks: Vec<(IpAddr, u8)>,
}

impl ConsentPolicy {
    /// Judges where a packet claims to come from and where it goes: the rules that need nothing but
    /// the two endpoints, for whoever judges a second time.
    ///
    /// # Errors
    ///
    /// The rule that forbids one of them.
    pub fn judge_endpoints(
        &self,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> Result<(), Violation> {
        if source == destination {
            return Err(Violation::SameEndpoint);
        }
        allowed(self, destination)?;
        allowed(self, source)
    }
}

/// What is known of the two sides besides the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Standing {
    pub(crate) both_online: bool,
    pub(crate) share_community: bool,
}

/// Judges one packet towards a side of a session. Returns its source and its destination.
///
/// # Errors
///
/// The rule that forbids it.
pub(crate) fn judge(
    policy: &ConsentPolicy,
    session: &Session,
    standing: Standing,
    towards: Party,
    now: Timestamp,
) -> Result<(SocketAddr, SocketAddr), Violation> {
    if policy.forging == Forging::Off {
        return Err(Violation::ForgingOff);
    }
    if !standing.both_online {
        return Err(Violation::NotOnline);
    }
    if !standing.share_community {
        return Err(Violation::NoCommonCommunity);
    }
    if now - session.created > SESSION_LIFETIME {
        return Err(Violation::SessionExpired);
    }
    let (Some(receiver), Some(sender)) = (session.state(towards), session.state(towards.other()))
    else {
        return Err(Violation::NotAccepted);
    };
    if receiver.outcome.is_some() || sender.outcome.is_some() {
        return Err(Violation::Withdrawn);
    }
    proven(receiver, now).map_err(|()| Violation::DestinationNotProven)?;
    proven(sender, now).map_err(|()| Violation::SourceNotProven)?;
    let (source, destination) = (sender.proof.endpoint, receiver.proof.endpoint);
    policy.judge_endpoints(source, destination)?;
    if receiver.syn.is_none() || sender.syn.is_none() || receiver.forged >= receiver.observations {
        return Err(Violation::NoObservation);
    }
    if receiver.forged >= MAX_FORGED {
        return Err(Violation::TooManyRepeats);
    }
    Ok((source, destination))
}

/// Judges a reported SYN: it is of the proven port, for the other side, and always the same one.
/// `other` is the other side's observed endpoint, once the reporter knows it.
///
/// # Errors
///
/// [`Violation::SynMismatch`] or [`Violation::ChangedSyn`].
pub(crate) fn judge_syn(
    party: &PartyState,
    syn: &Syn,
    other: Option<SocketAddr>,
) -> Result<(), Violation> {
    let for_the_other = match other {
        Some(other) => syn.destination == other,
        None => syn.destination.ip().is_unspecified(),
    };
    if syn.source.port() != party.port || !for_the_other {
        return Err(Violation::SynMismatch);
    }
    match party.syn {
        Some(known) if !is_retransmission(&known, syn) => Err(Violation::ChangedSyn),
        Some(_) | None => Ok(()),
    }
}

/// A retransmitted SYN is the same but for its timestamp (RFC 7323 §3.2).
fn is_retransmission(known: &Syn, again: &Syn) -> bool {
    let offered = |syn: &Syn| {
        let options = syn.options;
        (options.mss, options.window_scale, options.sack_permitted, options.timestamps.is_some())
    };
    known.sequence == again.sequence && offered(known) == offered(again)
}

fn proven(party: &PartyState, now: Timestamp) -> Result<(), ()> {
    let proof = party.proof;
    if proof.way == ProbedWay::Verified && now - proof.at <= PROOF_LIFETIME {
        Ok(())
    } else {
        Err(())
    }
}

fn allowed(policy: &ConsentPolicy, endpoint: SocketAddr) -> Result<(), Violation> {
    let address = endpoint.ip().to_canonical();
    if endpoint.port() < LOWEST_PORT {
        return Err(Violation::LowPort);
    }
    if policy.own.iter().any(|own| own.to_canonical() == address) {
        return Err(Violation::OwnAddress);
    }
    let (multicast, link_local, private) = match address {
        IpAddr::V4(address) => (
            address.is_multicast() || address.is_broadcast(),
            address.is_link_local(),
            address.is_private() || is_shared(address.octets()),
        ),
        IpAddr::V6(address) => {
            (address.is_multicast(), address.is_unicast_link_local(), address.is_unique_local())
        }
    };
    if address.is_unspecified() || address.is_loopback() {
        return Err(Violation::Loopback);
    }
    if multicast {
        return Err(Violation::Multicast);
    }
    if link_local {
        return Err(Violation::LinkLocal);
    }
    if private
        && !policy.networks.iter().any(|(network, length)| contains(*network, *length, address))
    {
        return Err(Violation::Private);
    }
    Ok(())
}

/// 100.64.0.0/10, the shared address space of carrier-grade NAT (RFC 6598).
const fn is_shared(octets: [u8; 4]) -> bool {
    octets[0] == 100 && octets[1] & 0xc0 == 64
}

fn contains(network: IpAddr, length: u8, address: IpAddr) -> bool {
    let (network, address, width) = match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            (u128::from(network.to_bits()), u128::from(address.to_bits()), 32)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => (network.to_bits(), address.to_bits(), 128),
        _ => return false,
    };
    let differing =
        (network ^ address).checked_shr(width - u32::from(length).min(width)).unwrap_or(0);
    differing == 0
}

/// The rule that a packet would break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Violation {
    /// Forging is off.
    ForgingOff,
    /// One side is not logged in.
    NotOnline,
    /// The two are in no common community.
    NoCommonCommunity,
    /// The responder has not accepted.
    NotAccepted,
    /// The session is older than [`SESSION_LIFETIME`].
    SessionExpired,
    /// One side has said that the session is over for it.
    Withdrawn,
    /// The receiver's endpoint was not verified within [`PROOF_LIFETIME`].
    DestinationNotProven,
    /// The named sender's endpoint was not verified within [`PROOF_LIFETIME`].
    SourceNotProven,
    /// Source and destination are one endpoint.
    SameEndpoint,
    /// One is an address of the broker.
    OwnAddress,
    /// One is a loopback or unspecified address.
    Loopback,
    /// One is a multicast or broadcast address.
    Multicast,
    /// One is a link-local address.
    LinkLocal,
    /// One is a private address in a network that the broker does not stand in.
    Private,
    /// One is a port below [`LOWEST_PORT`].
    LowPort,
    /// The reported packet is no SYN.
    NotASyn,
    /// The reported SYN is of another port, or for somebody else.
    SynMismatch,
    /// The reported SYN differs from the one reported before.
    ChangedSyn,
    /// No report that has not been answered yet.
    NoObservation,
    /// [`MAX_FORGED`] packets have gone there.
    TooManyRepeats,
}

impl Violation {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::ForgingOff,
        Self::NotOnline,
        Self::NoCommonCommunity,
        Self::NotAccepted,
        Self::SessionExpired,
        Self::Withdrawn,
        Self::DestinationNotProven,
        Self::SourceNotProven,
        Self::SameEndpoint,
        Self::OwnAddress,
        Self::Loopback,
        Self::Multicast,
        Self::LinkLocal,
        Self::Private,
        Self::LowPort,
        Self::NotASyn,
        Self::SynMismatch,
        Self::ChangedSyn,
        Self::NoObservation,
        Self::TooManyRepeats,
    ];

    /// The cause that both sides learn where no later packet of the session could be allowed
    /// either; `None` where the session goes on or ends by itself.
    pub(crate) const fn ends_session(self) -> Option<Cause> {
        match self {
            Self::ForgingOff => Some(Cause::ForgingOff),
            Self::DestinationNotProven | Self::SourceNotProven => Some(Cause::NotProven),
            Self::NoCommonCommunity
            | Self::SameEndpoint
            | Self::OwnAddress
            | Self::Loopback
            | Self::Multicast
            | Self::LinkLocal
            | Self::Private
            | Self::LowPort => Some(Cause::ConsentRefused),
            Self::NotOnline
            | Self::NotAccepted
            | Self::SessionExpired
            | Self::Withdrawn
            | Self::NotASyn
            | Self::SynMismatch
            | Self::ChangedSyn
            | Self::NoObservation
            | Self::TooManyRepeats => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use simopen_packet::{SeqNumber, SynOptions, Ttl};
    use simopen_protocol::greeting::Greetings;
    use simopen_protocol::identity::PeerId;
    use simopen_protocol::technique::{SynOwner, Technique};
    use simopen_protocol::token::Token;

    use super::*;
    use crate::link::{LinkId, Proof};

    const TOGETHER: Standing = Standing { both_online: true, share_community: true };

    fn endpoint(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn party(peer: u64, endpoint: SocketAddr) -> PartyState {
        let proof =
            Proof { link: LinkId(peer), endpoint, way: ProbedWay::Verified, at: Timestamp::ZERO };
        let mut party = PartyState::new(PeerId(peer), 4000, proof);
        party.syn = Some(Syn {
            source: self::endpoint("10.0.0.2:4000"),
            destination: self::endpoint("0.0.0.0:0"),
            sequence: SeqNumber(7),
            window: 1000,
            ttl: Ttl(2),
            ecn_setup: false,
            options: SynOptions::default(),
        });
        party.observations = 1;
        party
    }

    fn proper() -> Session {
        let token = Token::from_random([0; 32]);
        Session {
            technique: Technique::ForgedSynAck(SynOwner::Kernel),
            created: Timestamp::ZERO,
            greetings: Greetings { own: token, peer: token },
            owed: None,
            originator: party(1, endpoint("198.51.100.7:41000")),
            responder: Some(party(2, endpoint("203.0.113.9:52000"))),
            asked: PeerId(2),
            meeting: None,
            expiry: None,
            departures: [None; 2],
        }
    }

    fn policy(forging: Forging) -> ConsentPolicy {
        ConsentPolicy { forging, own: vec![], networks: vec![] }
    }

    fn judged(session: &Session, standing: Standing) -> Result<(), Violation> {
        let policy = policy(Forging::Dangerous);
        judge(&policy, session, standing, Party::Originator, Timestamp::ZERO).map(drop)
    }

    #[test]
    fn a_proper_session_gives_source_and_destination_for_both_sides() {
        let [a, b] = ["198.51.100.7:41000", "203.0.113.9:52000"].map(endpoint);
        for (towards, expected) in [(Party::Originator, (b, a)), (Party::Responder, (a, b))] {
            for forging in [Forging::Dangerous, Forging::Withheld] {
                let policy = policy(forging);
                let judged = judge(&policy, &proper(), TOGETHER, towards, Timestamp::ZERO);
                assert_eq!(judged, Ok(expected));
            }
        }
    }

    #[test]
    fn forging_that_is_off_forbids_everything() {
        let off = policy(Forging::Off);
        let judged = judge(&off, &proper(), TOGETHER, Party::Responder, Timestamp::ZERO);
        assert_eq!(judged, Err(Violation::ForgingOff));
        assert_eq!(ConsentPolicy::default().forging, Forging::Off, "and so it is by default");
    }

    #[test]
    fn both_sides_are_online_and_share_a_community_when_a_packet_leaves() {
        let away = Standing { both_online: false, share_community: true };
        assert_eq!(judged(&proper(), away), Err(Violation::NotOnline));
        let strangers = Standing { both_online: true, share_community: false };
        assert_eq!(judged(&proper(), strangers), Err(Violation::NoCommonCommunity));
    }

    #[test]
    fn a_session_that_was_not_accepted_forges_nothing() {
        let session = Session { responder: None, ..proper() };
        assert_eq!(judged(&session, TOGETHER), Err(Violation::NotAccepted));
    }

    #[test]
    fn an_endpoint_that_was_only_observed_is_neither_destination_nor_source() {
        let mut session = proper();
        session.originator.proof.way = ProbedWay::Unknown;
        assert_eq!(judged(&session, TOGETHER), Err(Violation::DestinationNotProven));
        session.originator.proof.way = ProbedWay::Verified;
        session.responder.as_mut().unwrap().proof.way = ProbedWay::Unknown;
        assert_eq!(judged(&session, TOGETHER), Err(Violation::SourceNotProven));
    }

    #[test]
    fn a_report_is_answered_once() {
        let mut session = proper();
        session.originator.forged = 1;
        assert_eq!(judged(&session, TOGETHER), Err(Violation::NoObservation));
        session.originator = PartyState { syn: None, ..proper().originator };
        assert_eq!(judged(&session, TOGETHER), Err(Violation::NoObservation));
    }
}
