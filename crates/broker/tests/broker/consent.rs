//! Every rule of consent, broken once.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use simopen_broker::consent::{
    ConsentPolicy, MAX_FORGED, PROOF_LIFETIME, SESSION_LIFETIME, Violation,
};
use simopen_broker::{Forging, LinkOrigin, What};
use simopen_protocol::cause::Cause;
use simopen_protocol::control::{Action, OutcomeState, SynBytes, SynReport};
use simopen_protocol::technique::Technique;

use crate::desk::{
    Desk, KERNEL, Member, PROBE_SEQUENCE, USERSPACE, accepted, bytes, endpoint, ms, syn, word,
};

/// Alice's public endpoint is this; then both do everything that a proper session takes.
fn session_from(policy: ConsentPolicy, public: &str) -> Desk {
    let mut desk = Desk::with_policy(policy);
    let alice = desk.proven("alice", "10.0.1.2:4000", public);
    let bob = desk.proven("bob", "10.0.2.2:5000", "203.0.113.9:52000");
    let (session, _) = desk.session([&alice, &bob], KERNEL);
    desk.report(&alice, session, &alice.syn(bob.public)).unwrap();
    let both = [alice, bob].map(|member| desk.outcomes(member.link));
    if desk.forged.is_empty() {
        let told = [OutcomeState::Failed(Cause::ConsentRefused)];
        assert_eq!(both, [told, told], "both sides learn it: {public}");
    }
    desk
}

fn dangerous() -> ConsentPolicy {
    let own = vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
    ConsentPolicy { forging: Forging::Dangerous, own, networks: Vec::new() }
}

#[test]
fn forging_off_refuses_the_request_itself() {
    let mut desk = Desk::with(Forging::Off);
    let [alice, bob] = desk.alice_and_bob();
    for technique in [KERNEL, USERSPACE] {
        let (_, answer) = desk.connect(&alice, "bob", technique, None);
        assert_eq!(word(answer.unwrap()), "forging-off");
    }
    assert!(desk.request_for(&bob).is_none());
    assert!(desk.forged.is_empty());
}

#[test]
fn forging_off_leaves_what_needs_no_forging() {
    let mut desk = Desk::with(Forging::Off);
    let [alice, bob] = desk.alice_and_bob();
    let (_, answer) = desk.session([&alice, &bob], Technique::SimultaneousOpen);
    assert_eq!(accepted(answer).destination.endpoint().unwrap(), bob.public);
}

#[test]
fn withheld_judges_and_counts_and_sends_nothing() {
    for technique in [KERNEL, USERSPACE] {
        let mut desk = Desk::with(Forging::Withheld);
        desk.both_reported(technique);
        desk.pass(ms(20));
        assert!(desk.forged.is_empty());
        assert_eq!((desk.broker.stats().forged, desk.broker.stats().withheld), (0, 2));
        let withheld = |event: &&simopen_broker::Event| matches!(event.what, What::Withheld(_));
        assert_eq!(desk.events.iter().filter(withheld).count(), 2);
    }
}

#[test]
fn an_address_that_nobody_may_name_is_refused_by_its_rule() {
    for (public, violation) in [
        ("192.0.2.1:41000", Violation::OwnAddress),
        ("[::ffff:192.0.2.1]:41000", Violation::OwnAddress),
        ("127.0.0.1:41000", Violation::Loopback),
        ("[::ffff:127.0.0.1]:41000", Violation::Loopback),
        ("0.0.0.0:41000", Violation::Loopback),
        ("224.0.0.5:41000", Violation::Multicast),
        ("255.255.255.255:41000", Violation::Multicast),
        ("169.254.7.7:41000", Violation::LinkLocal),
        ("[::ffff:169.254.7.7]:41000", Violation::LinkLocal),
        ("10.9.9.9:41000", Violation::Private),
        ("172.16.0.1:41000", Violation::Private),
        ("192.168.0.1:41000", Violation::Private),
        ("100.64.0.1:41000", Violation::Private),
        ("[::ffff:192.168.0.1]:41000", Violation::Private),
        ("198.51.100.7:1023", Violation::LowPort),
        ("198.51.100.7:0", Violation::LowPort),
    ] {
        session_from(dangerous(), public).assert_refused(violation);
    }
}

#[test]
fn an_ipv6_address_that_nobody_may_name_is_refused_by_its_rule() {
    for (public, violation) in [
        ("[2001:db8::1]:41000", Violation::OwnAddress),
        ("[::1]:41000", Violation::Loopback),
        ("[::]:41000", Violation::Loopback),
        ("[ff02::1]:41000", Violation::Multicast),
        ("[fe80::7]:41000", Violation::LinkLocal),
        ("[fd00::7]:41000", Violation::Private),
        ("[2001:db8::7]:1023", Violation::LowPort),
    ] {
        let mut desk = Desk::with_policy(dangerous());
        let alice = desk.proven("alice", "[fd01::2]:4000", public);
        let bob = desk.proven("bob", "[fd02::2]:5000", "[2001:db8::9]:52000");
        let (session, _) = desk.session([&alice, &bob], KERNEL);
        desk.report(&alice, session, &alice.syn(bob.public)).unwrap();
        desk.assert_refused(violation);
    }
}

#[test]
fn a_private_address_is_allowed_where_the_broker_stands_in_its_network() {
    let network = |text: &str, length| (text.parse::<IpAddr>().unwrap(), length);
    for (networks, forged) in [
        (vec![network("10.9.0.0", 16)], 2),
        (vec![network("10.9.9.9", 32)], 2),
        (vec![network("10.8.0.0", 16)], 0),
        (vec![network("10.9.9.8", 32)], 0),
        (vec![network("fd00::", 8)], 0),
    ] {
        let desk = session_from(ConsentPolicy { networks, ..dangerous() }, "10.9.9.9:41000");
        assert_eq!(desk.forged.len(), forged);
    }
}

#[test]
fn the_same_endpoint_on_both_sides_is_refused() {
    let mut desk = Desk::new();
    let alice = desk.proven("alice", "10.0.1.2:4000", "203.0.113.9:52000");
    let bob = desk.proven("bob", "10.0.2.2:5000", "203.0.113.9:52000");
    let (session, _) = desk.session([&alice, &bob], KERNEL);
    desk.report(&alice, session, &alice.syn(bob.public)).unwrap();
    desk.assert_refused(Violation::SameEndpoint);
}

#[test]
fn the_same_endpoint_written_as_an_ipv4_mapped_address_is_refused() {
    let mut desk = Desk::new();
    let alice = desk.proven("alice", "10.0.1.2:4000", "[::ffff:203.0.113.9]:52000");
    let bob = desk.proven("bob", "10.0.2.2:5000", "203.0.113.9:52000");
    let (session, _) = desk.session([&alice, &bob], KERNEL);
    desk.report(&alice, session, &alice.syn(endpoint("203.0.113.9:52000"))).unwrap();
    desk.assert_refused(Violation::SameEndpoint);
}

#[test]
fn a_proof_is_good_for_thirty_seconds_and_no_longer() {
    for (late, forged) in [(Duration::ZERO, 2), (Duration::from_nanos(1), 0)] {
        let mut desk = Desk::new();
        let alice = desk.proven("alice", "10.0.1.2:4000", "198.51.100.7:41000");
        desk.pass(Duration::from_secs(20));
        let bob = desk.proven("bob", "10.0.2.2:5000", "203.0.113.9:52000");
        let (session, _) = desk.session([&alice, &bob], KERNEL);
        desk.pass(PROOF_LIFETIME - Duration::from_secs(20) + late);
        desk.report(&alice, session, &alice.syn(bob.public)).unwrap();
        assert_eq!(desk.forged.len(), forged);
    }
}

#[test]
fn a_responder_whose_proof_has_run_out_gets_nothing() {
    let mut desk = Desk::new();
    let bob = desk.proven("bob", "10.0.2.2:5000", "203.0.113.9:52000");
    desk.pass(Duration::from_secs(20));
    let alice = desk.proven("alice", "10.0.1.2:4000", "198.51.100.7:41000");
    let (session, _) = desk.session([&alice, &bob], KERNEL);
    desk.pass(Duration::from_secs(11));
    desk.report(&alice, session, &alice.syn(bob.public)).unwrap();
    desk.assert_refused(Violation::DestinationNotProven);
    for member in [&alice, &bob] {
        assert_eq!(desk.outcomes(member.link), [OutcomeState::Failed(Cause::NotProven)]);
    }
}

#[test]
fn an_originator_whose_proof_has_run_out_is_no_source() {
    let mut desk = Desk::new();
    let alice = desk.proven("alice", "10.0.1.2:4000", "198.51.100.7:41000");
    desk.pass(Duration::from_secs(20));
    let bob = desk.proven("bob", "10.0.2.2:5000", "203.0.113.9:52000");
    let (session, _) = desk.session([&alice, &bob], KERNEL);
    desk.pass(Duration::from_secs(11));
    desk.report(&alice, session, &alice.syn(bob.public)).unwrap();
    desk.assert_refused(Violation::SourceNotProven);
}

#[test]
fn an_old_proof_is_no_ground_for_a_new_request() {
    let mut desk = Desk::new();
    let [alice, _] = desk.alice_and_bob();
    desk.pass(PROOF_LIFETIME + Duration::from_nanos(1));
    for technique in [KERNEL, USERSPACE, Technique::SimultaneousOpen] {
        let (_, answer) = desk.connect(&alice, "bob", technique, None);
        assert_eq!(word(answer.unwrap()), "not-proven");
    }
}

#[test]
fn a_packet_that_is_due_after_the_sessions_end_does_not_leave() {
    let mut desk = Desk::new();
    desk.both_reported(USERSPACE);
    desk.stall(SESSION_LIFETIME + ms(1));
    desk.assert_refused(Violation::SessionExpired);
}

#[test]
fn a_report_for_an_expired_session_is_for_no_session() {
    let mut desk = Desk::new();
    let ([alice, bob], session) = desk.both_reported(KERNEL);
    assert_eq!(desk.forged.len(), 2);
    desk.pass(SESSION_LIFETIME + ms(1));
    let again = desk.report(&alice, session, &alice.syn(bob.public));
    assert_eq!(word(again), "unknown-session");
    assert_eq!(desk.forged.len(), 2);
}

#[test]
fn nothing_leaves_for_a_session_that_one_side_has_ended() {
    for (who, state) in [
        (0, OutcomeState::Failed(Cause::NoAnswer)),
        (1, OutcomeState::Failed(Cause::LocalError)),
        (0, OutcomeState::Confirmed),
    ] {
        let mut desk = Desk::new();
        let (members, session) = desk.both_reported(USERSPACE);
        desk.outcome(&members[who], session, state).unwrap();
        desk.pass(ms(20));
        desk.assert_refused(Violation::Withdrawn);
    }
}

#[test]
fn bytes_that_are_no_syn_are_refused_in_every_request_that_carries_one() {
    let mut desk = Desk::new();
    let [alice, bob] = desk.alice_and_bob();
    let junk = SynBytes(vec![0x45; 40]);
    let connect = simopen_protocol::control::Connect {
        device: None,
        to: crate::desk::user("bob"),
        technique: USERSPACE,
        port: 4000,
        syn: Some(junk.clone()),
    };
    let answer = desk.ask(alice.link, Action::Connect(connect)).unwrap();
    assert_eq!(word(answer), "consent-refused");
    desk.connect(&alice, "bob", USERSPACE, Some(&alice.committed()));
    let session = desk.request_for(&bob).unwrap().session;
    let accept = simopen_protocol::control::Accept {
        session,
        port: 5000,
        syn: Some(junk.clone()),
        private: None,
    };
    assert_eq!(word(desk.ask(bob.link, Action::Accept(accept)).unwrap()), "consent-refused");
    let report = Action::Syn(SynReport { session, syn: junk });
    assert_eq!(word(desk.ask(alice.link, report).unwrap()), "consent-refused");
    desk.pass(ms(20));
    desk.assert_refused(Violation::NotASyn);
    assert_eq!(desk.violations(Violation::NotASyn), 3);
}

#[test]
fn a_syn_ack_is_no_syn() {
    let mut desk = Desk::new();
    let [alice, bob] = desk.alice_and_bob();
    let (session, _) = desk.session([&alice, &bob], KERNEL);
    let mut packet = bytes(&alice.syn(bob.public));
    packet.0[33] |= 0x10;
    let answer = desk.ask(alice.link, Action::Syn(SynReport { session, syn: packet })).unwrap();
    assert_eq!(word(answer), "consent-refused");
    desk.assert_refused(Violation::NotASyn);
}

#[test]
fn a_committed_syn_for_a_victim_is_refused() {
    let mut desk = Desk::new();
    let [alice, bob] = desk.alice_and_bob();
    for destination in ["233.252.0.1:80", "203.0.113.9:52000", "198.18.0.9:8080"] {
        let syn = alice.syn(endpoint(destination));
        let (_, answer) = desk.connect(&alice, "bob", USERSPACE, Some(&syn));
        assert_eq!(word(answer.unwrap()), "consent-refused");
    }
    assert!(desk.request_for(&bob).is_none(), "nobody is asked");
    desk.assert_refused(Violation::SynMismatch);
    assert_eq!(desk.violations(Violation::SynMismatch), 3);
}

#[test]
fn an_acceptance_with_a_syn_for_a_victim_is_refused() {
    let mut desk = Desk::new();
    let [alice, bob] = desk.alice_and_bob();
    desk.connect(&alice, "bob", USERSPACE, Some(&alice.committed()));
    let request = desk.request_for(&bob).unwrap();
    let astray = bob.syn(endpoint("198.18.0.9:8080"));
    assert_eq!(word(desk.accept(&bob, request.session, Some(&astray))), "consent-refused");
    desk.pass(ms(20));
    desk.assert_refused(Violation::SynMismatch);
    desk.accept(&bob, request.session, Some(&bob.syn(alice.public))).unwrap();
    desk.pass(ms(20));
    assert_eq!(desk.forged.len(), 2, "the proper one is still accepted");
}

#[test]
fn a_report_with_another_port_or_destination_is_refused() {
    let mut desk = Desk::new();
    let [alice, bob] = desk.alice_and_bob();
    let (session, _) = desk.session([&alice, &bob], KERNEL);
    let mut other_port = alice.syn(bob.public);
    other_port.source.set_port(4001);
    let mut other_destination = alice.syn(bob.public);
    other_destination.destination.set_port(52_001);
    for syn in [other_port, other_destination, alice.syn(endpoint("0.0.0.0:0"))] {
        assert_eq!(word(desk.report(&alice, session, &syn)), "consent-refused");
    }
    desk.assert_refused(Violation::SynMismatch);
    assert_eq!(desk.violations(Violation::SynMismatch), 3);
}

#[test]
fn a_changed_syn_is_refused() {
    for change in 0..5 {
        let mut desk = Desk::new();
        let ([alice, bob], session) = desk.both_reported(USERSPACE);
        let mut changed = alice.syn(bob.public);
        match change {
            0 => changed.sequence += 1,
            1 => changed.options.mss = Some(536),
            2 => changed.options.window_scale = None,
            3 => changed.options.sack_permitted = false,
            _ => changed.options.timestamps = None,
        }
        assert_eq!(word(desk.report(&alice, session, &changed)), "consent-refused");
        desk.assert_refused(Violation::ChangedSyn);
    }
}

#[test]
fn one_packet_for_each_report_and_two_repeats_at_most() {
    let mut desk = Desk::new();
    let ([alice, bob], session) = desk.both_reported(KERNEL);
    assert_eq!(desk.forged.len(), 2);
    for (report, to_alice) in [(2, 2), (3, 3), (4, 3), (5, 3)] {
        desk.pass(Duration::from_secs(1));
        desk.report(&alice, session, &alice.syn(bob.public)).unwrap();
        let towards_alice =
            desk.forged.iter().filter(|forged| forged.consent.destination == alice.public);
        assert_eq!(towards_alice.count(), to_alice, "report {report}");
    }
    assert_eq!(desk.forged.len(), 1 + usize::from(MAX_FORGED));
    assert_eq!(desk.violations(Violation::TooManyRepeats), 2);
}

#[test]
fn reports_before_the_acceptance_give_no_more_packets() {
    let mut desk = Desk::new();
    let [alice, bob] = desk.alice_and_bob();
    desk.connect(&alice, "bob", USERSPACE, Some(&alice.committed()));
    let request = desk.request_for(&bob).unwrap();
    for _ in 0..300 {
        desk.report(&alice, request.session, &alice.committed()).unwrap();
    }
    assert!(desk.forged.is_empty());
    desk.accept(&bob, request.session, Some(&bob.syn(alice.public))).unwrap();
    desk.pass(ms(20));
    assert_eq!(desk.forged.len(), 2);
}

#[test]
fn an_originator_cannot_accept_for_the_other_side() {
    let mut desk = Desk::new();
    let [alice, bob] = desk.alice_and_bob();
    let carol = desk.proven("carol", "10.0.3.2:6000", "198.51.100.8:61000");
    desk.connect(&alice, "bob", USERSPACE, Some(&alice.committed()));
    let session = desk.request_for(&bob).unwrap().session;
    for intruder in [&alice, &carol] {
        let syn = intruder.syn(alice.public);
        assert_eq!(word(desk.accept(intruder, session, Some(&syn))), "unknown-session");
        assert_eq!(word(desk.report(&carol, session, &carol.syn(alice.public))), "unknown-session");
    }
    assert_eq!(word(desk.report(&bob, session, &bob.syn(alice.public))), "unknown-session");
    desk.pass(ms(20));
    assert!(desk.forged.is_empty());
}

#[test]
fn a_peer_cannot_be_both_sides_of_a_session() {
    let mut desk = Desk::new();
    let alice = desk.proven("alice", "10.0.1.2:4000", "198.51.100.7:41000");
    let (_, answer) = desk.connect(&alice, "alice", KERNEL, None);
    assert_eq!(word(answer.unwrap()), "unknown-peer");
}

#[test]
fn a_session_is_accepted_once() {
    let mut desk = Desk::new();
    let ([alice, bob], session) = desk.both_reported(USERSPACE);
    let again = desk.accept(&bob, session, Some(&bob.syn(alice.public)));
    assert_eq!(word(again), "unknown-session");
    desk.pass(ms(20));
    assert_eq!(desk.forged.len(), 2);
}

#[test]
fn the_proof_of_another_port_is_no_proof() {
    let mut desk = Desk::new();
    let [mut alice, mut bob] = desk.alice_and_bob();
    alice.local.set_port(4001);
    let (_, answer) = desk.connect(&alice, "bob", KERNEL, None);
    assert_eq!(word(answer.unwrap()), "not-proven");
    alice.local.set_port(4000);
    desk.connect(&alice, "bob", KERNEL, None);
    let session = desk.request_for(&bob).unwrap().session;
    bob.local.set_port(5001);
    assert_eq!(word(desk.accept(&bob, session, Some(&bob.syn(alice.public)))), "not-proven");
    assert!(desk.forged.is_empty());
}

/// What a request for forging is answered from the port that the member has probed.
fn answer_to_forging(desk: &mut Desk, member: &Member) -> String {
    let (_, answer) = desk.connect(member, "bob", KERNEL, None);
    word(answer.unwrap())
}

#[test]
fn a_probe_with_another_sequence_number_is_proxied_or_rewritten() {
    let mut desk = Desk::new();
    let alice = desk.member("alice", "10.0.1.2:4000", "198.51.100.7:41000");
    let bob = desk.proven("bob", "10.0.2.2:5000", "203.0.113.9:52000");
    desk.prove(&alice, Some(PROBE_SEQUENCE + 1)).unwrap();
    assert_eq!(answer_to_forging(&mut desk, &alice), "proxied-or-rewritten");
    let (_, answer) = desk.session([&alice, &bob], Technique::SimultaneousOpen);
    assert_eq!(
        accepted(answer).destination.endpoint().unwrap(),
        bob.public,
        "where nothing is forged, it is observed"
    );
}

#[test]
fn a_connection_through_a_proxy_allows_one_guess_at_its_sequence_number() {
    let mut desk = Desk::new();
    let alice = desk.member("alice", "10.0.1.2:4000", "198.51.100.7:41000");
    desk.proven("bob", "10.0.2.2:5000", "203.0.113.9:52000");
    let link = desk.link_from(alice.public);
    for guess in [PROBE_SEQUENCE - 1, PROBE_SEQUENCE, PROBE_SEQUENCE + 1] {
        desk.probe_on(link, &alice, Some(guess)).unwrap();
        assert_eq!(answer_to_forging(&mut desk, &alice), "proxied-or-rewritten");
    }
    desk.probe_on(link, &alice, None).unwrap();
    assert_eq!(answer_to_forging(&mut desk, &alice), "not-proven");
}

#[test]
fn a_connection_proves_its_endpoint_once() {
    let mut desk = Desk::new();
    let alice = desk.member("alice", "10.0.1.2:4000", "198.51.100.7:41000");
    desk.proven("bob", "10.0.2.2:5000", "203.0.113.9:52000");
    let link = desk.link_from(alice.public);
    desk.probe_on(link, &alice, Some(PROBE_SEQUENCE)).unwrap();
    desk.probe_on(link, &alice, Some(PROBE_SEQUENCE)).unwrap();
    assert_eq!(
        answer_to_forging(&mut desk, &alice),
        "proxied-or-rewritten",
        "an old connection does not renew its proof"
    );
}

#[test]
fn a_probe_whose_saved_syn_is_of_somebody_else_proves_nothing() {
    let mut desk = Desk::new();
    let alice = desk.member("alice", "10.0.1.2:4000", "198.51.100.7:41000");
    desk.proven("bob", "10.0.2.2:5000", "203.0.113.9:52000");
    let to = endpoint("192.0.2.1:443");
    let foreign = syn(endpoint("198.51.100.8:41000"), to, PROBE_SEQUENCE);
    for saved in [Some(foreign), None] {
        let link = desk.accept_link(LinkOrigin { remote: alice.public, syn: saved, key: None });
        desk.probe_on(link, &alice, Some(PROBE_SEQUENCE)).unwrap();
        assert_eq!(answer_to_forging(&mut desk, &alice), "proxied-or-rewritten");
    }
}

#[test]
fn a_syn_that_somebody_else_read_proves_as_well_and_only_before_the_probe() {
    for (first, cause) in [(true, None), (false, Some("proxied-or-rewritten"))] {
        let mut desk = Desk::new();
        let alice = desk.member("alice", "10.0.1.2:4000", "198.51.100.7:41000");
        let bob = desk.proven("bob", "10.0.2.2:5000", "203.0.113.9:52000");
        let saved = syn(alice.public, endpoint("192.0.2.1:443"), PROBE_SEQUENCE);
        let link = desk.accept_link(LinkOrigin { remote: alice.public, syn: None, key: None });
        if !first {
            desk.probe_on(link, &alice, Some(PROBE_SEQUENCE)).unwrap();
        }
        desk.broker.handle_syn(link, saved);
        desk.probe_on(link, &alice, Some(PROBE_SEQUENCE)).unwrap();
        let Some(cause) = cause else {
            let (session, _) = desk.session([&alice, &bob], KERNEL);
            desk.report(&alice, session, &alice.syn(bob.public)).unwrap();
            let towards_alice =
                desk.forged.iter().find(|it| it.consent.destination == alice.public);
            assert_eq!(towards_alice.unwrap().consent.proven_by[0], link, "and it is the evidence");
            continue;
        };
        assert_eq!(answer_to_forging(&mut desk, &alice), cause);
    }
}

#[test]
fn a_listener_for_both_families_shows_an_ipv4_peer_as_what_it_is() {
    let mut desk = Desk::new();
    let alice = desk.member("alice", "10.0.1.2:4000", "198.51.100.7:41000");
    let bob = desk.proven("bob", "10.0.2.2:5000", "203.0.113.9:52000");
    let saved = syn(alice.public, endpoint("192.0.2.1:443"), PROBE_SEQUENCE);
    let remote: SocketAddr = endpoint("[::ffff:198.51.100.7]:41000");
    let link = desk.accept_link(LinkOrigin { remote, syn: Some(saved), key: None });
    desk.probe_on(link, &alice, Some(PROBE_SEQUENCE)).unwrap();
    let (session, _) = desk.session([&alice, &bob], KERNEL);
    desk.report(&alice, session, &alice.syn(bob.public)).unwrap();
    assert_eq!(desk.forged.len(), 2);
}

#[test]
fn an_unverified_probe_is_good_for_simultaneous_open_and_not_for_forging() {
    let mut desk = Desk::new();
    let alice = desk.member("alice", "10.0.1.2:4000", "198.51.100.7:41000");
    let bob = desk.proven("bob", "10.0.2.2:5000", "203.0.113.9:52000");
    desk.prove(&alice, None).unwrap();
    for technique in [KERNEL, USERSPACE] {
        let (_, answer) = desk.connect(&alice, "bob", technique, None);
        assert_eq!(word(answer.unwrap()), "not-proven");
    }
    let (_, answer) = desk.session([&alice, &bob], Technique::SimultaneousOpen);
    assert_eq!(accepted(answer).destination.endpoint().unwrap(), bob.public);
    assert!(desk.forged.is_empty());
}

#[test]
fn reports_in_a_session_without_forging_forge_nothing() {
    let mut desk = Desk::new();
    let [alice, bob] = desk.alice_and_bob();
    let (session, _) = desk.session([&alice, &bob], Technique::SimultaneousOpen);
    desk.report(&alice, session, &alice.syn(bob.public)).unwrap();
    desk.report(&bob, session, &bob.syn(alice.public)).unwrap();
    desk.pass(ms(100));
    assert!(desk.forged.is_empty());
}
