//! What every report must hold.

use std::collections::BTreeMap;
use std::time::Duration;

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use simopen_nat::PRESETS;
use simopen_scenario::boxes::NamedBox;
use simopen_scenario::report::grid::Grid;
use simopen_scenario::report::text::{self, Colour, Progress, Screen};
use simopen_scenario::report::{bench, html, junit, ladder, svg};
use simopen_scenario::result::{Results, Verdict};

use crate::fixture;

const COMMAND: &str = "simopen lab matrix --seed 7";

fn presets(many: usize) -> Vec<NamedBox> {
    let presets = PRESETS.iter().take(many);
    presets.map(|preset| NamedBox { name: preset.name.to_owned(), spec: preset.spec }).collect()
}

/// How often each element occurs; fails unless the text is well-formed XML.
pub(crate) fn elements(xml: &str) -> BTreeMap<String, usize> {
    let mut reader = Reader::from_str(xml);
    reader.config_mut().enable_all_checks(true);
    let (mut found, mut open) = (BTreeMap::new(), 0);
    loop {
        let element = match reader.read_event().unwrap() {
            Event::Start(tag) => {
                open += 1;
                name(&tag)
            }
            Event::Empty(tag) => name(&tag),
            Event::End(_) => {
                open -= 1;
                continue;
            }
            Event::GeneralRef(entity) => {
                let known = ["amp", "lt", "gt", "quot", "#39"];
                assert!(known.contains(&&*entity), "{entity:?}");
                continue;
            }
            Event::Eof => break,
            Event::Text(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_) => continue,
        };
        *found.entry(element).or_insert(0) += 1;
    }
    assert_eq!(open, 0, "every element is closed");
    found
}

/// The element's name, after a look at its attributes.
fn name(tag: &BytesStart<'_>) -> String {
    for attribute in tag.attributes() {
        attribute.unwrap().normalized_value(XmlVersion::Explicit1_0).unwrap();
    }
    tag.name().as_ref().to_owned()
}

#[test]
fn every_picture_and_page_is_well_formed() {
    let matrix = fixture::matrix(&presets(5), COMMAND);
    let of_bench = fixture::bench(&presets(1)[0]);
    for results in [&matrix, &of_bench] {
        for text in [html::page(results), svg::grid(results), bench::chart(results)] {
            elements(&text);
        }
        elements(&junit::document(results));
    }
    for run in matrix.cells.iter().flat_map(|cell| cell.runs.first()) {
        elements(&ladder::diagram(run, Some(0)));
    }
}

#[test]
fn nothing_is_fetched_and_nothing_is_executed() {
    let page = html::page(&fixture::matrix(&presets(3), COMMAND));
    let elements = elements(&page);
    for harmful in ["script", "link", "iframe", "img", "image", "object", "use"] {
        assert!(!elements.contains_key(harmful), "{harmful}");
    }
    let addresses = page.matches("http").count();
    // The name of XHTML's namespace is no address of anything.
    assert_eq!(
        addresses,
        page.matches("http://www.w3.org/1999/xhtml").count() + page.matches("http-equiv").count()
    );
    assert!(!page.contains("url(") && !page.contains("@import"));
}

#[test]
fn every_cell_is_in_the_page_once_and_the_grid_leads_to_it() {
    let results = fixture::matrix(&presets(4), COMMAND);
    let page = html::page(&results);
    for cell in 0..results.cells.len() {
        assert_eq!(page.matches(&format!(" id=\"c{cell}\"")).count(), 1, "{cell}");
        assert!(page.contains(&format!("href=\"#c{cell}\"")), "{cell}");
    }
}

#[test]
fn the_picture_and_the_terminal_have_a_sign_for_every_cell() {
    let results = fixture::matrix(&presets(6), COMMAND);
    let grid = Grid::of(&results);
    let in_panels: usize = grid.panels.iter().map(|panel| panel.entries.len()).sum();
    assert_eq!(in_panels + grid.controls.len(), results.cells.len());
    let picture = svg::grid(&results);
    let column_titles = grid.panels.len() * grid.boxes.len();
    assert_eq!(elements(&picture)["title"], in_panels + column_titles + 1);
    let screen = Screen { columns: 100, rows: None, colour: Colour::Off };
    let text = text::grid(&grid, &screen);
    let (picture, legend) = text.rsplit_once("\n\n").unwrap();
    let signs = picture.chars().filter(|letter| "●◐○■◧□▲◆▼△◇▽×·".contains(*letter));
    assert_eq!(signs.count(), in_panels);
    assert!(legend.contains("● connects, as predicted"), "{legend}");
}

#[test]
fn the_grid_of_eighteen_boxes_fits_a_hundred_columns() {
    for many in [1, 12, 18] {
        let grid = Grid::of(&fixture::matrix(&presets(many), COMMAND));
        let screen = Screen { columns: 100, rows: None, colour: Colour::Off };
        let widest = text::grid(&grid, &screen).lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(100), "{many} boxes: {widest:?}");
    }
}

#[test]
fn what_is_drawn_again_and_again_fits_the_screen() {
    let grid = Grid::of(&fixture::matrix(&presets(12), COMMAND));
    let elapsed = Duration::from_secs(130);
    let left = Some(Duration::from_secs(340));
    let progress = Progress { done: 312, planned: 1404, elapsed, left };
    for rows in [10, 24, 40, 50, 80] {
        let screen = Screen { columns: 100, rows: Some(rows), colour: Colour::Off };
        let text = text::live(&grid, &progress, &screen);
        assert!(text.lines().count() <= rows, "{rows} rows:\n{text}");
        assert!(text.contains("312 of 1404 runs, 2:10 gone, 5:40 left"), "{text}");
    }
}

#[test]
fn colours_are_added_only_where_they_are_asked_for() {
    let grid = Grid::of(&fixture::matrix(&presets(3), COMMAND));
    let with = |colour| text::grid(&grid, &Screen { columns: 100, rows: None, colour });
    assert!(!with(Colour::Off).contains('\x1b'));
    let coloured = with(Colour::On);
    assert!(coloured.contains("\x1b[32m●\x1b[0m"), "{coloured}");
}

#[test]
fn a_test_case_fails_for_a_surprise_and_is_skipped_for_a_void_cell() {
    let mut results = fixture::matrix(&presets(2), COMMAND);
    for cell in &mut results.cells {
        cell.verdict = Verdict::Agrees;
        cell.explained = None;
    }
    results.cells[0].verdict = Verdict::Surprise { words: "must fail, connected".to_owned() };
    results.cells[1].verdict = Verdict::Void;
    results.cells[2].verdict = Verdict::Surprise { words: "must fail, connected".to_owned() };
    results.cells[2].explained = Some("a kernel's habit".to_owned());
    let text = junit::document(&results);
    let elements = elements(&text);
    assert_eq!(elements["testcase"], results.cells.len());
    assert_eq!((elements["failure"], elements["skipped"]), (1, 1));
    assert!(text.contains("failures=\"1\" errors=\"0\" skipped=\"1\""), "{text}");
}

#[test]
fn surprises_stand_before_everything_else_and_an_interruption_is_said() {
    let mut results = fixture::matrix(&presets(3), COMMAND);
    results.cells[4].verdict = Verdict::Surprise { words: "must fail, connected".to_owned() };
    results.cells[4].success.runs = 3;
    results.cells[4].explained = None;
    results.complete = false;
    let page = html::page(&results);
    let place = |what: &str| page.find(what).unwrap_or_else(|| panic!("{what}"));
    assert!(place("<h2>Surprises</h2>") < place("<h2>What connects where</h2>"));
    assert!(place("must fail, connected") < place("<h2>What connects where</h2>"));
    assert!(page.contains("Incomplete."));
    assert!(text::summary(&results).contains("INCOMPLETE"));
}

#[test]
fn a_page_of_all_presets_stays_small_enough_to_open() {
    let results = fixture::matrix(&presets(18), COMMAND);
    assert!(results.cells.len() > 171 * 6);
    let page = html::page(&results);
    assert!(page.len() < 12 << 20, "{} bytes", page.len());
    assert!(elements(&page)["svg"] <= results.cells.len() * 2 + 3);
}

#[test]
fn a_bench_is_told_beside_theory() {
    let table = bench::table(&fixture::bench(&presets(1)[0]));
    let line = table.lines().find(|line| line.contains("forged-syn-ack/userspace")).unwrap();
    // Four legs and the 5 ms that the broker gives a to send, at legs of 1 ms.
    assert!(line.trim_end().ends_with(" 9"), "{line}");
    assert_eq!(table.lines().count(), 1 + 6 * 4 * 6);
}

#[test]
fn the_same_results_give_the_same_bytes() {
    let results = fixture::matrix(&presets(3), COMMAND);
    let again = Results::from_json(&results.to_json()).unwrap();
    assert_eq!(html::page(&results), html::page(&again));
    assert_eq!(svg::grid(&results), svg::grid(&again));
}
