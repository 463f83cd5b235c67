//! Each rule that holds of every run, broken on purpose: whoever breaks it is found out.

use simopen_broker::{LinkId, LinkOrigin, What};
use simopen_fabric::{FabricEvent, PacketKind};
use simopen_protocol::technique::{SynOwner, Technique};
use simopen_scenario::star::Star;
use simopen_traversal::{Failure, Side};

use super::*;

const FORGED: Technique = Technique::ForgedSynAck(SynOwner::Userspace);

/// A run through two firewalls that is about to begin.
fn ready(trial: &Trial) -> Conductor<'_> {
    let spec = simopen_nat::MiddleboxSpec::silent_stateful_firewall();
    let star = Star { boxes: [Some(spec); 2], ..Star::with_leg(trial.leg) };
    let network = star.network(&entropy_of(1), Timestamp::ZERO).unwrap();
    let mut conductor = Conductor::new(trial, network, 1);
    assert!(conductor.log_in());
    conductor
}

/// The same when it has come to its verdict.
fn decided(trial: &Trial) -> Conductor<'_> {
    let mut conductor = ready(trial);
    conductor.attempt();
    conductor
}

fn rules(violations: &[Violation]) -> Vec<&'static str> {
    violations.iter().map(|violation| violation.rule).collect()
}

/// What is said of what the broker of a sound run forged, had it known other things.
fn objections(trial: &Trial, forget: impl Fn(&What) -> bool) -> Vec<&'static str> {
    let sound = Trial::new(FORGED);
    let conductor = decided(&sound);
    let server = &conductor.world.server;
    assert_eq!(server.forged.len(), 2);
    let mut events = server.events.clone();
    events.retain(|event| !forget(&event.what));
    let mut violations = Vec::new();
    invariants::consented(trial, &server.forged, &events, &mut violations);
    rules(&violations)
}

#[test]
fn a_sound_run_gives_no_cause_for_complaint() {
    let trial = Trial::new(FORGED);
    assert_eq!(objections(&trial, |_| false), Vec::<&str>::new());
    assert_eq!(decided(&trial).finish(1).violations, []);
}

#[test]
fn a_packet_that_was_forged_where_forging_is_withheld_is_found() {
    let withheld = Trial { forging: false, ..Trial::new(FORGED) };
    let found = objections(&withheld, |_| false);
    assert_eq!(found, ["nothing is forged where forging is withheld"; 2]);
}

#[test]
fn a_packet_that_was_forged_before_the_responder_agreed_is_found() {
    let found = objections(&Trial::new(FORGED), |what| matches!(what, What::Accepted { .. }));
    assert_eq!(found, ["both sides agreed to the session of a forged packet"; 2]);
}

#[test]
fn a_packet_that_was_forged_for_an_endpoint_that_nobody_had_shown_is_found() {
    let found = objections(&Trial::new(FORGED), |what| matches!(what, What::Proven { .. }));
    assert!(found.contains(&"the source of a forged packet was proven"), "{found:?}");
    assert!(found.contains(&"the destination of a forged packet was proven"), "{found:?}");
}

#[test]
fn too_many_syns_are_found() {
    let trial = Trial::new(Technique::SimultaneousOpen);
    let conductor = decided(&trial);
    let world = &conductor.world;
    let is_syn = |event: &&FabricEvent| {
        event.packet.is_some_and(|packet| packet.kind == PacketKind::BareSyn)
    };
    let syns: Vec<_> = world.journal.iter().filter(is_syn).copied().collect();
    for (times, expected) in
        [(1, vec![]), (17, vec!["an attempt sends few SYNs to few targets"; 2])]
    {
        let journal = syns.repeat(times);
        let names = ["a", "b", "c"];
        let evidence = Evidence::read(&world.fabric, &journal, &world.layout, names).unwrap();
        let mut violations = Vec::new();
        invariants::bounded(&evidence, &mut violations);
        assert_eq!(rules(&violations), expected);
    }
}

#[test]
fn an_originator_that_is_connected_to_nobody_is_found() {
    let trial = Trial::new(Technique::SimultaneousOpen);
    let conductor = decided(&trial);
    let connected = conductor.world.peers[0].end().unwrap();
    let cause = simopen_protocol::cause::Cause::NoAnswer;
    let failed = End::Failed(Failure { cause, seen_by: Side::Own, syns: 2 });
    for (ends, expected) in [
        ([Some(&failed), Some(connected)], vec![]),
        (
            [Some(connected), Some(&failed)],
            vec!["an originator is confirmed only by a responder that is"],
        ),
    ] {
        let mut violations = Vec::new();
        invariants::one_sided(ends, &mut violations);
        assert_eq!(rules(&violations), expected);
    }
}

#[test]
fn a_byte_that_nobody_sent_is_found() {
    let trial = Trial::new(Technique::SimultaneousOpen);
    let mut conductor = decided(&trial);
    let mut connections = [0, 1].map(|place: usize| match conductor.world.peers[place].end() {
        Some(End::Connected(connection, _)) => connection.clone(),
        Some(End::Failed(_)) | None => panic!("there is no connection"),
    });
    connections[1].rest = vec![0; 8];
    let limit = conductor.world.now() + BYTES_LIMIT;
    assert!(!conductor.both_ways(&connections, 64, true, limit));
    assert_eq!(rules(&conductor.violations), ["bytes come as they were sent"]);
}

#[test]
fn an_attempt_that_goes_on_and_on_is_found() {
    // It waits for answers to its second SYNs.
    let trial = Trial { forging: false, ..Trial::new(FORGED) };
    let mut conductor = ready(&trial);
    conductor.limit = Duration::from_secs(1);
    conductor.attempt();
    assert_eq!(rules(&conductor.violations), ["an attempt ends in bounded time"]);
}

#[test]
fn a_broker_that_holds_something_when_all_have_gone_is_found() {
    let trial = Trial::new(FORGED);
    let mut conductor = decided(&trial);
    let remote = SocketAddr::from(([192, 0, 2, 1], 1));
    let mut machine = machine(&trial, remote.ip(), None, 1);
    machine.handle_link(LinkId(99), LinkOrigin { remote, syn: None, key: None }, Timestamp::ZERO);
    // A service that does not know of the link.
    conductor.world.server = Server::new(machine, &trial);
    let found = conductor.finish(1).violations;
    assert_eq!(rules(&found), ["a broker without links holds nothing"]);
}
