//! What the two forged packets of a session are, byte by byte, and when they leave.

use std::time::Duration;

use simopen_broker::{Forged, Party, What};
use simopen_packet::{Packet, SeqNumber, SynAck, SynOptions, Timestamps, Ttl};
use simopen_protocol::cause::Cause;
use simopen_protocol::control::{Action, OutcomeState, SynBytes, SynReport};

use crate::desk::{Desk, KERNEL, Member, USERSPACE, bytes, ms};

/// The SYN-ACK that `from` would have sent to `to` itself.
fn expected(from: &Member, to: &Member) -> SynAck {
    let timestamps = Timestamps { value: from.sequence ^ 0x5555, echo: to.sequence ^ 0x5555 };
    SynAck {
        source: from.public,
        destination: to.public,
        sequence: SeqNumber(from.sequence),
        acknowledgment: SeqNumber(to.sequence) + 1,
        window: 64_240,
        ttl: Ttl::DEFAULT,
        ece: false,
        options: SynOptions::new(Some(1460), Some(7), true, Some(timestamps)),
    }
}

fn parsed(forged: &Forged) -> SynAck {
    Packet::verify_checksums(forged.packet()).unwrap();
    assert!(Packet::parse(forged.packet()).unwrap().tcp().unwrap().payload.is_empty());
    SynAck::parse(forged.packet()).unwrap()
}

#[test]
fn the_two_packets_are_what_the_other_side_would_have_answered() {
    for technique in [KERNEL, USERSPACE] {
        let mut desk = Desk::new();
        let ([alice, bob], _) = desk.both_reported(technique);
        desk.pass(ms(20));
        let forged: Vec<_> = desk.forged.iter().map(parsed).collect();
        assert_eq!(forged, [expected(&alice, &bob), expected(&bob, &alice)]);
    }
}

#[test]
fn each_packet_comes_with_the_record_of_its_consent() {
    let mut desk = Desk::new();
    let ([alice, bob], session) = desk.both_reported(KERNEL);
    for (forged, (towards, from, to)) in desk
        .forged
        .iter()
        .zip([(Party::Responder, &alice, &bob), (Party::Originator, &bob, &alice)])
    {
        let packet = parsed(forged);
        let consent = forged.consent;
        assert_eq!((consent.session, consent.towards, consent.observation), (session, towards, 1));
        assert_eq!((consent.source, consent.destination), (from.public, to.public));
        assert_eq!(
            (consent.sequence, consent.acknowledgment),
            (packet.sequence, packet.acknowledgment)
        );
        assert_eq!(consent.at, desk.now);
    }
    let logged = desk.events.iter().filter_map(|event| {
        let What::Forged(consent) = event.what else { return None };
        Some(consent)
    });
    let sent: Vec<_> = desk.forged.iter().map(|forged| forged.consent).collect();
    assert_eq!(logged.collect::<Vec<_>>(), sent);
    assert_eq!(desk.broker.stats().forged, 2);
}

#[test]
fn no_option_but_the_agreed_ones_is_forged() {
    let mut desk = Desk::new();
    let [alice, bob] = desk.alice_and_bob();
    let mut plain = bob.syn(alice.public);
    plain.options = SynOptions::new(Some(1200), None, true, None);
    desk.connect(&alice, "bob", USERSPACE, Some(&alice.committed()));
    let session = desk.request_for(&bob).unwrap().session;
    desk.accept(&bob, session, Some(&plain)).unwrap();
    desk.pass(ms(20));
    let options: Vec<_> = desk.forged.iter().map(|forged| parsed(forged).options).collect();
    let agreed = |mss| SynOptions::new(Some(mss), None, true, None);
    assert_eq!(options, [agreed(1460), agreed(1200)]);
}

#[test]
fn a_retransmission_is_answered_again_with_its_own_timestamp() {
    let mut desk = Desk::new();
    let ([alice, bob], session) = desk.both_reported(KERNEL);
    desk.pass(Duration::from_secs(1));
    let mut again = alice.syn(bob.public);
    again.options.timestamps = Some(Timestamps { value: 123_456, echo: 0 });
    desk.report(&alice, session, &again).unwrap();
    let [_, _, repeat] = desk.forged.as_slice() else { panic!("{:?}", desk.forged) };
    let mut wanted = expected(&bob, &alice);
    wanted.options.timestamps = Some(Timestamps { value: bob.sequence ^ 0x5555, echo: 123_456 });
    assert_eq!(parsed(repeat), wanted);
    assert_eq!(repeat.consent.observation, 2);
}

#[test]
fn a_retransmission_that_is_reported_while_the_first_packet_is_held_does_not_overtake_it() {
    let mut desk = Desk::new();
    let [alice, bob] = desk.alice_and_bob();
    desk.set_one_way(&alice, ms(1));
    desk.set_one_way(&bob, ms(1500));
    let (session, _) = desk.session([&alice, &bob], USERSPACE);
    desk.pass(ms(1000));
    assert_eq!(desk.forged.len(), 1, "only the responder's packet has left");
    desk.report(&alice, session, &alice.syn(bob.public)).unwrap();
    assert_eq!(desk.forged.len(), 1, "the arrival law holds for repeats too");
    desk.pass(ms(1000));
    assert_eq!(desk.forged.len(), 2);
    assert_eq!(desk.forged[1].consent.destination, alice.public);
}

#[test]
fn with_a_kernels_syns_both_packets_leave_with_the_second_report() {
    let mut desk = Desk::new();
    let ([alice, _], _) = desk.both_reported(KERNEL);
    let left: Vec<_> = desk.forged.iter().map(|forged| forged.consent.at).collect();
    assert_eq!(left, [desk.now, desk.now]);
    assert_eq!(desk.forged[1].consent.destination, alice.public);
}

#[test]
fn with_committed_syns_they_wait_for_the_turn_round_and_the_originators_for_the_longer_way() {
    let mut desk = Desk::new();
    let [alice, bob] = desk.alice_and_bob();
    desk.set_one_way(&alice, ms(5));
    desk.set_one_way(&bob, ms(60));
    desk.session([&alice, &bob], USERSPACE).1.unwrap();
    let accepted = desk.now;
    assert!(desk.forged.is_empty());
    desk.pass(ms(200));
    let left: Vec<_> =
        desk.forged.iter().map(|forged| (forged.consent.towards, forged.consent.at)).collect();
    let (responder, originator) = (accepted + ms(5), accepted + ms(5 + 60 + 2 - 5));
    assert_eq!(left, [(Party::Responder, responder), (Party::Originator, originator)]);
}

/// The SYN with one more option.
fn with_option(syn: &simopen_packet::Syn, option: &[u8]) -> SynBytes {
    let mut packet = bytes(syn).0;
    packet.extend_from_slice(option);
    packet[3] += u8::try_from(option.len()).unwrap();
    packet[32] += u8::try_from(option.len() / 4).unwrap() << 4;
    SynBytes(packet)
}

#[test]
fn signed_syns_cannot_be_forged_and_both_sides_learn_why() {
    let md5 = [[19, 18].as_slice(), &[0xaa; 16], &[1, 1]].concat();
    let ao = [[29, 16].as_slice(), &[0xaa; 14]].concat();
    for (option, cause) in [(md5, Cause::TcpMd5), (ao, Cause::TcpAo)] {
        let mut desk = Desk::new();
        let [alice, bob] = desk.alice_and_bob();
        let (session, _) = desk.session([&alice, &bob], KERNEL);
        let mut plain = alice.syn(bob.public);
        plain.options = SynOptions::new(Some(1460), None, false, None);
        let signed = with_option(&plain, &option);
        desk.ask(alice.link, Action::Syn(SynReport { session, syn: signed })).unwrap().unwrap();
        assert!(desk.forged.is_empty());
        for member in [&alice, &bob] {
            assert_eq!(desk.outcomes(member.link), [OutcomeState::Failed(cause)]);
        }
        let again = desk.report(&alice, session, &plain);
        assert_eq!(again.unwrap_err().0, "unknown-session", "the session is over");
    }
}

#[test]
fn sides_of_different_families_learn_that_nothing_can_be_forged() {
    let mut desk = Desk::new();
    let alice = desk.proven("alice", "[fd01::2]:4000", "[2001:db8::7]:41000");
    let bob = desk.proven("bob", "10.0.2.2:5000", "203.0.113.9:52000");
    desk.connect(&alice, "bob", KERNEL, None);
    let session = desk.request_for(&bob).unwrap().session;
    desk.accept(&bob, session, None).unwrap();
    let mut to_bob = alice.syn(bob.public);
    to_bob.source = crate::desk::endpoint("10.0.1.2:4000");
    desk.report(&alice, session, &to_bob).unwrap();
    let mut to_alice = bob.syn(alice.public);
    to_alice.source = crate::desk::endpoint("[fd02::2]:5000");
    desk.report(&bob, session, &to_alice).unwrap();
    assert!(desk.forged.is_empty());
    for member in [&alice, &bob] {
        let told = [OutcomeState::Failed(Cause::ConsentRefused)];
        assert_eq!(desk.outcomes(member.link), told);
    }
}
