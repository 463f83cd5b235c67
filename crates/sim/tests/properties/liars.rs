//! Networks whose boxes are not what the network says: what the checks of every run find of it.

use std::time::Duration;

use simopen_nat::{IsnRewriting, MiddleboxSpec, OptionRewriting, Rewriting};
use simopen_packet::Timestamp;
use simopen_protocol::technique::{SynOwner, Technique};
use simopen_scenario::seed::entropy_of;
use simopen_scenario::star::Star;
use simopen_sim::{Run, Trial};

const FORGED: Technique = Technique::ForgedSynAck(SynOwner::Userspace);

/// An attempt of a host behind that box, in a network that says that the box rewrites nothing.
fn through_liar(technique: Technique, rewriting: Rewriting) -> Run {
    let honest = MiddleboxSpec::silent_stateful_firewall();
    let boxes = [honest.with_rewriting(rewriting), honest];
    let star = Star { boxes: boxes.map(Some), ..Star::with_leg(Duration::from_millis(5)) };
    let mut network = star.network(&entropy_of(1), Timestamp::ZERO).unwrap();
    for placed in &mut network.boxes {
        placed.spec = honest;
    }
    Trial::new(technique).make(network, 1)
}

fn rules(run: &Run) -> Vec<&'static str> {
    run.violations.iter().map(|violation| violation.rule).collect()
}

fn kept() -> Rewriting {
    MiddleboxSpec::silent_stateful_firewall().rewriting
}

#[test]
fn a_box_that_keeps_everything_gives_no_cause_for_complaint() {
    for technique in [FORGED, Technique::SimultaneousOpen] {
        assert_eq!(rules(&through_liar(technique, kept())), Vec::<&str>::new());
    }
}

#[test]
fn sequence_numbers_that_differ_are_found() {
    let shifted = Rewriting { isn: IsnRewriting::ModulatedSackRepaired, ..kept() };
    let run = through_liar(Technique::SimultaneousOpen, shifted);
    assert_eq!(rules(&run), ["both know the same sequence numbers"]);
}

#[test]
fn options_that_only_one_side_heard_of_are_found() {
    // The broker tells each side all options of the other; the box of one takes them away.
    let stripped = Rewriting { options: OptionRewriting::AllButMssStripped, ..kept() };
    let run = through_liar(FORGED, stripped);
    assert!(rules(&run).contains(&"both scale windows alike"), "{:?}", run.violations);
}
