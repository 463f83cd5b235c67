//! The matrix as a JUnit file, for tools that show tests.

use std::fmt::Write;

use crate::report::grid::{Mark, Standing, title};
use crate::report::markup::Escaped;
use crate::report::words;
use crate::result::{CellResult, Results};

/// One test suite, with a case for each cell: a surprise that nothing explains is a failure, a void
/// or pending cell is skipped.
#[must_use]
pub fn document(results: &Results) -> String {
    let marks: Vec<Mark> = results.cells.iter().map(Mark::of).collect();
    let failures = marks.iter().filter(|mark| mark.standing() == Some(Standing::Surprise)).count();
    let skipped = marks.iter().filter(|mark| mark.standing().is_none()).count();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuites>\n\
         <testsuite name=\"simopen\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" \
         skipped=\"{skipped}\">\n\
         <properties><property name=\"command\" value=\"{}\"/></properties>\n",
        results.cells.len(),
        Escaped(&results.command)
    );
    for (cell, mark) in results.cells.iter().zip(marks) {
        case(&mut text, cell, mark);
    }
    text.push_str("</testsuite>\n</testsuites>\n");
    text
}

fn case(text: &mut String, result: &CellResult, mark: Mark) {
    let way = result.cell.way.to_string();
    let (title, verdict) = (title(&result.cell), words::verdict(result));
    let conditions = words::conditions(&result.cell.conditions);
    let _ = write!(
        text,
        "<testcase classname=\"simopen.{}\" name=\"{} ({conditions})\" time=\"{:.3}\">",
        Escaped(&way),
        Escaped(&title),
        seconds(result)
    );
    let verdict = Escaped(&verdict);
    let _ = match mark.standing() {
        None => write!(text, "<skipped message=\"{verdict}\"/>"),
        Some(Standing::Surprise) => {
            let runs: Vec<String> = result.runs.iter().map(words::outcome).collect();
            write!(
                text,
                "<failure type=\"surprise\" message=\"{verdict}\">{}</failure>",
                Escaped(&runs.join("; "))
            )
        }
        Some(Standing::Explained | Standing::AsPredicted | Standing::Unjudged) => {
            write!(text, "<system-out>{verdict}</system-out>")
        }
    };
    text.push_str("</testcase>\n");
}

/// How long the cell's runs took, as far as their timelines tell.
fn seconds(result: &CellResult) -> f64 {
    let last = result.runs.iter().filter_map(|run| run.timeline.last());
    last.map(|entry| entry.at_ms.max(0.0) / 1e3).sum()
}
