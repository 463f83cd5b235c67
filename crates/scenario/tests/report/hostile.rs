//! Names come out of files that anybody may have written.

use proptest::prelude::*;
use simopen_nat::MiddleboxSpec;
use simopen_scenario::boxes::NamedBox;
use simopen_scenario::cell::Way;
use simopen_scenario::report::grid::Grid;
use simopen_scenario::report::text::{self, Colour, Screen};
use simopen_scenario::report::{bench, html, junit, ladder, svg};
use simopen_scenario::result::{Results, Verdict};
use simopen_scenario::run::{Fate, Outcome};

use crate::fixture;
use crate::structure::elements;

/// What has done harm elsewhere.
const KNOWN: &[&str] = &[
    "</style><script>alert(1)</script>",
    "\" onload=\"alert(1)",
    "' autofocus onfocus='alert(1)",
    "]]></failure>",
    "--><img src=x>",
    "&lt;&#x3c;&amp",
    "\u{1b}[2J\u{1b}]0;title\u{7}",
    "\u{202e}txt.exe",
    "\u{0}\u{8}\u{fffe}",
    "",
];

/// Anything, and what has done harm elsewhere.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![".{0,40}", proptest::sample::select(KNOWN).prop_map(str::to_owned), any::<String>()]
}

/// Results in which every text that is not ours is this one; the names differ by their ends.
fn results(text: &str) -> Results {
    let spec = MiddleboxSpec::ei_mapping_apd_filtering();
    let boxes = ["1", "2"].map(|end| NamedBox { name: format!("{text}{end}"), spec });
    let mut results = fixture::matrix(&boxes, text);
    let hostile = || text.to_owned();
    for check in &mut results.classification {
        check.unseen[0].why = hostile();
    }
    for cell in &mut results.cells {
        if cell.cell.way == results.ways[0] {
            cell.cell.way = Way::Program(hostile());
        }
        cell.verdict = Verdict::Surprise { words: hostile() };
        if let Some(prediction) = &mut cell.prediction {
            prediction.why = hostile();
        }
        for run in &mut cell.runs {
            run.outcome = Outcome::Failed { cause: hostile(), words: hostile() };
            run.timeline[0].event = hostile();
            run.timeline[1].packet = Some(hostile());
            run.ladder[0].label = hostile();
            run.ladder[1].fate = Fate::Dropped(hostile());
            run.ladder[1].to = hostile();
        }
    }
    results.ways[0] = Way::Program(hostile());
    results
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_text_becomes_markup(text in text()) {
        let (hostile, harmless) = (results(&text), results("harmless"));
        for of in [html::page, svg::grid, bench::chart, junit::document] {
            prop_assert_eq!(elements(&of(&hostile)), elements(&of(&harmless)));
        }
        let diagram = |results: &Results| elements(&ladder::diagram(&results.cells[0].runs[0], None));
        prop_assert_eq!(diagram(&hostile), diagram(&harmless));
    }

    #[test]
    fn no_text_moves_the_cursor_of_a_terminal(text in text()) {
        let results = results(&text);
        let screen = Screen { columns: 100, rows: None, colour: Colour::Off };
        let shown = text::grid(&Grid::of(&results), &screen) + &text::summary(&results)
            + &bench::table(&results);
        prop_assert!(shown.chars().all(|letter| letter == '\n' || !letter.is_control()), "{shown:?}");
    }
}
