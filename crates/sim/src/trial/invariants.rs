//! What must never happen, checked in every run.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use simopen_broker::consent::{MAX_FORGED, PROOF_LIFETIME, SESSION_LIFETIME};
use simopen_broker::{ConsentRecord, Event, Forged, Party, What};
use simopen_fabric::PacketKind;
use simopen_nat::{IsnRewriting, OptionRewriting, Rewriting, SynProxy, TimestampRewriting};
use simopen_packet::SynAck;
use simopen_protocol::technique::Technique;
use simopen_scenario::evidence::Evidence;
use simopen_scenario::network::Layout;
use simopen_traversal::consent::{MAX_SYNS, MAX_TARGETS};

use super::{Trial, Violation};
use crate::host::Synchronized;
use crate::peer::{Connection, End, Peer};
use crate::world::World;

/// Both sides of a confirmed connection mean the same one.
pub(super) fn agreed(
    trial: &Trial,
    world: &mut World,
    connections: &[Connection; 2],
    violations: &mut Vec<Violation>,
) {
    let ends = [0, 1].map(|place| world.host(place).sequence_numbers(connections[place].socket));
    let [Some(a), Some(b)] = ends else {
        // It was reset in the moment in which it was confirmed; then no bytes come through.
        return;
    };
    let mut check = |holds: bool, rule: &'static str| {
        if !holds {
            violations.push(Violation { rule, words: format!("{a:?} and {b:?}") });
        }
    };
    check(meets(trial, world, [&a, &b]), "each side's remote is the other's observed endpoint");
    let kept = Kept::by(&world.layout);
    let same_numbers = a.own == b.peer && b.own == a.peer;
    check(same_numbers || !kept.sequence, "both know the same sequence numbers");
    let scales = match (a.window_scale, b.window_scale) {
        (Some([own, peer]), Some([others_own, others_peer])) => {
            own == others_peer && peer == others_own
        }
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    check(scales || !kept.options, "both scale windows alike");
    check(a.sack == b.sack || !kept.options, "both know selective acknowledgments or none does");
    let timestamps = a.timestamps == b.timestamps;
    check(timestamps || !kept.options, "both send timestamps or none does");
}

/// Whether each side is connected to where the other one is, as seen from there.
fn meets(trial: &Trial, world: &World, [a, b]: [&Synchronized; 2]) -> bool {
    let [Some(port_a), Some(port_b)] = world.peers.each_ref().map(Peer::port) else {
        return false;
    };
    let own = a.local == port_a.local && b.local == port_b.local;
    // A responder that listens takes whom its box shows it, once they greet.
    if matches!(trial.technique, Technique::Direct | Technique::PunchAndListen) {
        own && [port_b.observed, port_b.local].contains(&a.remote)
    } else {
        own && a.remote == port_b.observed && b.remote == port_a.observed
    }
}

/// What no box of a network changes.
struct Kept {
    sequence: bool,
    options: bool,
}

impl Kept {
    fn by(layout: &Layout) -> Self {
        let all = |keeps: fn(&Rewriting) -> bool| {
            layout.boxes.iter().all(|placed| keeps(&placed.spec.rewriting))
        };
        Self {
            sequence: all(|box_| box_.isn == IsnRewriting::Kept && box_.syn_proxy == SynProxy::Off),
            options: all(|box_| {
                box_.options != OptionRewriting::AllButMssStripped
                    && box_.timestamps != TimestampRewriting::Stripped
                    && box_.syn_proxy == SynProxy::Off
            }),
        }
    }
}

/// The originator is confirmed by what the responder says once it is confirmed itself. The other
/// way round the last word may be lost.
pub(super) fn one_sided(ends: [Option<&End>; 2], violations: &mut Vec<Violation>) {
    if let [Some(End::Connected(..)), responder] = ends {
        violations.push(Violation {
            rule: "an originator is confirmed only by a responder that is",
            words: format!("the responder ended with {responder:?}"),
        });
    }
}

/// Where nothing is lost the last word is not lost either.
pub(super) fn one_sided_without_loss(ends: [Option<&End>; 2], violations: &mut Vec<Violation>) {
    if let [originator, Some(End::Connected(..))] = ends {
        violations.push(Violation {
            rule: "where nothing is lost, a responder is confirmed only with its originator",
            words: format!("the originator ended with {originator:?}"),
        });
    }
}

/// No packet left in another's name that was not consented to.
pub(super) fn consented(
    trial: &Trial,
    forged: &[Forged],
    events: &[Event],
    violations: &mut Vec<Violation>,
) {
    let mut sent = [0_u8; 2];
    for packet in forged {
        let consent = &packet.consent;
        let towards = match consent.towards {
            Party::Originator => 0,
            Party::Responder => 1,
        };
        sent[towards] += 1;
        let written = SynAck::parse(packet.packet()).is_ok_and(|written| {
            (written.source, written.destination) == (consent.source, consent.destination)
                && (written.sequence, written.acknowledgment)
                    == (consent.sequence, consent.acknowledgment)
        });
        let is_proven = |endpoint| proven(endpoint, consent, events);
        let rules = [
            (trial.forging, "nothing is forged where forging is withheld"),
            (written, "a forged packet says what was consented to"),
            (accepted(consent, events), "both sides agreed to the session of a forged packet"),
            (is_proven(consent.source), "the source of a forged packet was proven"),
            (is_proven(consent.destination), "the destination of a forged packet was proven"),
            (sent[towards] <= MAX_FORGED, "each side is sent few forged packets"),
        ];
        for (_, rule) in rules.into_iter().filter(|(holds, _)| !holds) {
            violations.push(Violation { rule, words: format!("{consent:?}") });
        }
    }
}

fn accepted(consent: &ConsentRecord, events: &[Event]) -> bool {
    let mut before = events.iter().take_while(|event| event.at <= consent.at);
    let asked = before.clone().any(|event| {
        matches!(event.what, What::Asked { session, .. } if session == consent.session)
            && consent.at - event.at <= SESSION_LIFETIME
    });
    asked
        && before.any(
            |event| matches!(event.what, What::Accepted { session } if session == consent.session),
        )
}

fn proven(endpoint: SocketAddr, consent: &ConsentRecord, events: &[Event]) -> bool {
    let mut before = events.iter().take_while(|event| event.at <= consent.at);
    before.any(|event| {
        matches!(event.what, What::Proven { endpoint: shown, .. } if shown == endpoint)
            && consent.at - event.at <= PROOF_LIFETIME
    })
}

/// Neither side sent more SYNs, or to more targets, than an attempt may.
pub(super) fn bounded(evidence: &Evidence<'_>, violations: &mut Vec<Violation>) {
    for host in &evidence.hosts()[..2] {
        let packets = evidence.packets().iter();
        let own =
            packets.filter(|packet| packet.kind == PacketKind::BareSyn && packet.from == *host);
        let mut targets = BTreeSet::new();
        let mut syns = 0;
        for packet in own {
            syns += 1;
            targets.insert(packet.first.destination);
        }
        if syns > usize::from(MAX_SYNS) || targets.len() > usize::from(MAX_TARGETS) {
            violations.push(Violation {
                rule: "an attempt sends few SYNs to few targets",
                words: format!("{host} sent {syns} to {targets:?}"),
            });
        }
    }
}
