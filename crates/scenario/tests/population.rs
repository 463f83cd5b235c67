//! Population files: what the examples say, what is complained of and where, and that no text is
//! worth a panic.

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use simopen_nat::UnsolicitedSyn;
use simopen_scenario::conditions::Conditions;
use simopen_scenario::file::FileError;
use simopen_scenario::population::{LEG, Population};

const EXAMPLES: [&str; 3] =
    ["population-nat-check", "population-cellular", "population-syn-dropping"];

fn example(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples");
    std::fs::read_to_string(folder.join(format!("{name}.toml"))).expect("the example is there")
}

fn population(text: &str) -> Population {
    Population::from_toml("f.toml", text).unwrap_or_else(|error| panic!("{error}"))
}

fn complaint(text: &str) -> FileError {
    Population::from_toml("f.toml", text).expect_err("it must not be read")
}

/// A file with one kind of box, and what else is given.
fn with(more: &str) -> String {
    format!("source = \"none\"\n[[boxes]]\nshare = 1\npreset = \"no-box\"\n{more}")
}

#[test]
fn every_example_is_read_and_its_shares_make_one() {
    for name in EXAMPLES {
        let population = population(&example(name));
        for shares in [
            population.boxes.iter().map(|one| one.share).sum::<f64>(),
            population.paths.iter().map(|one| one.share).sum(),
        ] {
            assert!((shares - 1.0).abs() < 1e-12, "{name}: {shares}");
        }
        assert!(population.description.is_some(), "{name}");
    }
}

#[test]
fn a_box_has_its_share_its_name_and_the_axes_that_are_turned() {
    let population = population(&example("population-nat-check"));
    let told = population.boxes.iter().map(|one| (one.of.name.as_str(), one.share));
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            ("consistent, silent", 0.64),
            ("consistent, answers RST", 0.18),
            ("another port for each destination", 0.18)
        ]
    );
    assert_eq!(population.boxes[1].of.spec.unsolicited, UnsolicitedSyn::Reset);
    assert_eq!(population.paths[1].of.skew_b, Duration::from_millis(60));
    assert_eq!((population.paths[1].share, population.lets_foreign_sources_out), (0.25, 0.25));
}

#[test]
fn what_is_left_out_is_a_quiet_path_and_a_broker_that_may_send_anything() {
    let population = population(&with(""));
    assert_eq!(population.name, "f.toml");
    assert_eq!(population.boxes[0].of.name, "no-box");
    assert_eq!(population.paths[0].of, Conditions::with_leg(LEG));
    assert!(population.lets_foreign_sources_out >= 1.0);
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_the_nearest_known_name() {
    for (text, line, column, told) in [
        (String::new(), 1, 1, "`source`: where the shares come from"),
        ("source = 'x'".to_owned(), 1, 1, "at least one box: [[boxes]]"),
        ("source = 'x'\nboxes = []".to_owned(), 2, 9, "at least one box: [[boxes]]"),
        (with("").replace("share = 1\n", ""), 2, 1, "`share`: how often it is met"),
        (with("").replace("share = 1", "share = 0"), 3, 9, "a share: a number above 0"),
        (with("").replace("share = 1", "share = nan"), 3, 9, "a share: a number above 0"),
        (with("").replace("no-box", "no-bx"), 4, 10, "did you mean `no-box`?"),
        (with("unsolicited = \"reset\""), 2, 1, "`name`: what to call a box"),
        (with("unsolicted = \"reset\""), 5, 1, "did you mean `unsolicited`?"),
        (with("[[boxes]]\nshare = 1\npreset = 'no-box'"), 5, 1, "a name of its own"),
        (with("[broker]\nlets-foreign-source-out = 1"), 6, 1, "`lets-foreign-sources-out`?"),
        (with("[broker]\nlets-foreign-sources-out = 25"), 6, 28, "a probability from 0 to 1"),
        (with("[[paths]]\nloss = 0.1"), 5, 1, "`delay`: one way"),
        (with("[[paths]]\ndelay = '0ms'"), 6, 9, "a delay above zero"),
        (with("[[paths]]\ndelay = '3s'"), 6, 9, "a time of at most 2s"),
        (with("[[paths]]\ndelay = '3ms'\nlos = 0.1"), 7, 1, "did you mean `loss`?"),
        (with("[[path]]\ndelay = '3ms'"), 5, 3, "did you mean `paths`?"),
    ] {
        let error = complaint(&text);
        assert_eq!((error.line, error.column), (line, column), "{error}\n{text}");
        assert!(error.to_string().contains(told), "{error}\n{text}");
    }
}

#[test]
fn there_is_a_bound_for_the_number_of_boxes() {
    let mut text = String::from("source = 'x'\n");
    for number in 0..65 {
        text.push_str(&format!("[[boxes]]\nshare = 1\nname = 'b{number}'\n"));
    }
    assert_eq!(complaint(&text).expected, "at most 64 boxes");
}

proptest! {
    #[test]
    fn no_text_is_worth_a_panic(text in "[ -~\n]{0,200}") {
        let _ = Population::from_toml("f.toml", &text);
    }

    #[test]
    fn an_example_with_bytes_changed_is_complained_of_or_can_be_drawn_from(
        name in prop::sample::select(EXAMPLES.to_vec()),
        edits in prop::collection::vec((any::<prop::sample::Index>(), "[ -~\né\u{0}]{0,6}"), 1..5),
        seed: u64,
    ) {
        let mut text = example(name);
        for (place, insert) in edits {
            let places: Vec<usize> = text.char_indices().map(|(place, _)| place).collect();
            let place = places[place.index(places.len())];
            let end = text[place..].char_indices().nth(3).map_or(text.len(), |(at, _)| place + at);
            text.replace_range(place..end, &insert);
        }
        if let Ok(population) = Population::from_toml("f.toml", &text) {
            let pair = population.draw(seed);
            prop_assert!(pair.boxes.iter().all(|place| *place < population.boxes.len()));
            prop_assert!(!population.conditions(pair).leg.is_zero());
        }
    }
}
