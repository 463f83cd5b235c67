//! The report of a population.

use proptest::prelude::*;
use simopen_protocol::technique::Technique;
use simopen_scenario::population::{BY_COST, DEFAULT, Frame, Population, Survey, Tally, Tried};
use simopen_scenario::report::population;
use simopen_scenario::seed::nth_seed;

use crate::structure::elements;

/// A survey of 400 pairs in which each technique joins those that the next one joins too, and every
/// name and word is followed by `text`.
fn survey(text: &str, order: &[Technique]) -> Survey {
    let mut drawn = Population::from_toml(DEFAULT.0, DEFAULT.1).unwrap();
    drawn.name.push_str(text);
    drawn.source.push_str(text);
    drawn.description = Some(text.to_owned());
    for kind in &mut drawn.boxes {
        kind.of.name.push_str(text);
    }
    let mut tally = Tally::new(&BY_COST);
    for nth in 0..400_u64 {
        let joined = |place: u64| nth % 8 <= place;
        let tried = [0, 1, 2, 3, 4, 5]
            .map(|place| Tried { joined: joined(place), established_ms: Some(150.0) });
        tally.add(drawn.draw(nth_seed(1, nth)), &tried);
    }
    tally.add_violation(text.to_owned());
    let command = format!("simopen sim population {text}");
    let frame = Frame { order, seed: 1, stack: "linux", command: &command, complete: false };
    Survey::of(&drawn, tally, &frame).unwrap()
}

#[test]
fn page_and_picture_are_well_formed_and_fetch_and_execute_nothing() {
    let survey = survey("", &BY_COST);
    let (page, picture) = (population::page(&survey), population::chart(&survey));
    for text in [&page, &picture] {
        let found = elements(text);
        for harmful in ["script", "link", "iframe", "img", "image", "object", "use"] {
            assert!(!found.contains_key(harmful), "{harmful}");
        }
        assert!(!text.contains("url(") && !text.contains("@import"));
    }
    assert_eq!(elements(&page)["svg"], 1);
    assert!(page.contains("Incomplete."));
}

#[test]
fn the_table_tells_what_each_technique_joins_alone_and_adds() {
    let table = population::text(&survey("", &BY_COST));
    let row = |name: &str| {
        let line = table.lines().find(|line| line.trim_start().starts_with(name));
        line.unwrap_or_else(|| panic!("{name}:\n{table}")).to_owned()
    };
    // One pair of eight is joined by the first already, and one more by each of the others.
    assert!(row("direct ").contains("12.5 % (9.6 to 16.1)"), "{table}");
    assert!(row("forged-syn-ack/userspace").contains("75.0 % (70.5 to 79.0)"), "{table}");
    assert!(row("forged-syn-ack/userspace").ends_with("12.5 % (9.6 to 16.1)"), "{table}");
    assert!(row("only a relay").ends_with("25.0 % (21.0 to 29.5)"), "{table}");
    assert!(row("100 pairs only a relay").ends_with("because"), "{table}");
    assert!(table.contains("shares: Ford, Srisuresh and Kegel"), "{table}");
}

#[test]
fn a_technique_beside_the_order_is_told_of_alone() {
    let survey = survey("", &BY_COST[1..3]);
    let table = population::text(&survey);
    let line = table.lines().find(|line| line.contains("  direct ")).unwrap();
    assert!(line.ends_with(" –"), "{table}");
    assert_eq!(population::chart(&survey).matches("class=\"row\"").count(), 7);
}

proptest! {
    #[test]
    fn a_hostile_name_does_no_harm(
        text in prop_oneof![any::<String>(), Just("</style><script>".to_owned()), Just("\u{1b}[2J\u{0}".to_owned())],
    ) {
        let survey = survey(&text, &BY_COST);
        prop_assert!(!elements(&population::page(&survey)).contains_key("script"));
        prop_assert!(!elements(&population::chart(&survey)).contains_key("script"));
        let is_tame = !population::text(&survey).contains('\u{1b}');
        prop_assert!(is_tame);
    }
}
