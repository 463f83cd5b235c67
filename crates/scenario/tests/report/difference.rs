//! The first step by which a failed run differs from one that worked.

use simopen_scenario::report::difference::first;
use simopen_scenario::run::{Fate, LadderPacket, RunRecord};

use crate::fixture;

fn run(ladder: Vec<LadderPacket>) -> RunRecord {
    let preset = &simopen_nat::PRESETS[0];
    let named = simopen_scenario::boxes::NamedBox { name: "box".to_owned(), spec: preset.spec };
    let run = fixture::matrix(&[named], "").cells[0].runs[0].clone();
    RunRecord { ladder, ..run }
}

fn packet(from: &str, sent_ms: f64, to: &str, label: &str) -> LadderPacket {
    LadderPacket {
        from: from.to_owned(),
        sent_ms,
        to: to.to_owned(),
        ended_ms: sent_ms + 5.0,
        label: label.to_owned(),
        fate: Fate::Delivered,
        forged: false,
    }
}

#[test]
fn the_step_is_the_earliest_whose_fate_differs() {
    let worked = run(vec![packet("a", 10.0, "b", "SYN"), packet("b", 10.0, "a", "SYN")]);
    let mut dropped = packet("b", 10.1, "box-a", "SYN");
    dropped.fate = Fate::Dropped("filtered by endpoint".to_owned());
    let failed = run(vec![dropped, packet("a", 10.0, "b", "SYN")]);
    let found = first(&failed, &worked).unwrap();
    assert_eq!(found.packet, Some(0));
    assert_eq!(
        found.words,
        "in the run that worked b sent SYN and a received it; here b sent SYN and it ended at \
         box-a (filtered by endpoint) at 15.1 ms"
    );
}

#[test]
fn a_packet_that_was_never_sent_is_a_step() {
    let worked = run(vec![packet("a", 10.0, "b", "SYN"), packet("b", 15.0, "a", "SYN|ACK")]);
    let failed = run(vec![packet("a", 10.0, "b", "SYN")]);
    let found = first(&failed, &worked).unwrap();
    assert_eq!(found.packet, None);
    assert!(found.words.ends_with("here it never sent that"), "{}", found.words);
}

#[test]
fn two_reasons_to_drop_a_packet_at_one_place_are_no_step() {
    let dropped = |why: &str| LadderPacket {
        fate: Fate::Dropped(why.to_owned()),
        ..packet("b", 10.0, "box-a", "SYN")
    };
    let worked = run(vec![dropped("no mapping")]);
    let failed = run(vec![dropped("filtered"), packet("box-a", 15.0, "b", "RST|ACK")]);
    assert_eq!(first(&failed, &worked).unwrap().packet, Some(1));
}

#[test]
fn runs_that_differ_only_in_times_and_sizes_do_not_differ() {
    let worked = run(vec![packet("a", 10.0, "b", "ACK 32 bytes"), packet("b", 9.0, "a", "SYN")]);
    let failed = run(vec![packet("b", 11.0, "a", "SYN"), packet("a", 10.0, "b", "ACK 48 bytes")]);
    assert_eq!(first(&failed, &worked), None);
}
