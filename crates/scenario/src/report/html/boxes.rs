//! What the boxes are, what a probe saw of them, and the machine.

use std::fmt::Write;

use serde_json::Value;

use crate::report::markup::Escaped;
use crate::report::words;
use crate::result::{BoxCheck, Results};

/// Each box with its axes, and what a probe measured.
pub(super) fn section(text: &mut String, results: &Results) {
    text.push_str(
        "<section>\n<h2>The boxes</h2>\n\
         <p>Before a cell counts, a probe that knows nothing of the specifications finds out from \
         the inside and the outside what each box is.</p>\n",
    );
    for named in &results.boxes {
        let check = results.classification.iter().find(|check| check.name == named.name);
        let seen = match check {
            None => "not probed".to_owned(),
            Some(check) if check.differences.is_empty() => {
                format!("probed {}, as specified", words::counted(check.probes as usize, "time"))
            }
            Some(check) => {
                format!("differs in {}", words::counted(check.differences.len(), "axis"))
            }
        };
        let _ = writeln!(
            text,
            "<details><summary>{}<span class=\"came\">{seen}</span></summary>",
            Escaped(&named.name)
        );
        if let Some(check) = check {
            differences(text, check);
        }
        text.push_str("<dl>\n");
        if let Ok(spec) = serde_json::to_value(named.spec) {
            axes(text, "", &spec);
        }
        text.push_str("</dl></details>\n");
    }
    unseen(text, results);
    text.push_str("</section>\n");
}

/// All axes of a specification, those inside others with a dot between.
fn axes(text: &mut String, name: &str, value: &Value) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                let dot = if name.is_empty() { "" } else { "." };
                axes(text, &format!("{name}{dot}{key}"), inner);
            }
        }
        Value::String(word) => axis(text, name, word),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            axis(text, name, &value.to_string());
        }
    }
}

fn axis(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "<dt>{}</dt><dd>{}</dd>", Escaped(name), Escaped(value));
}

fn differences(text: &mut String, check: &BoxCheck) {
    if check.differences.is_empty() {
        return;
    }
    text.push_str(
        "<table><thead><tr><th>axis</th><th>specified</th><th>measured</th></tr></thead><tbody>\n",
    );
    for found in &check.differences {
        let _ = writeln!(
            text,
            "<tr><td>{}</td><td>{}</td><td>{}</td></tr>",
            Escaped(&found.axis),
            Escaped(&found.specified),
            Escaped(&found.measured)
        );
    }
    text.push_str("</tbody></table>\n");
}

/// What cannot be seen, each reason once with the boxes that it holds for.
fn unseen(text: &mut String, results: &Results) {
    let mut reasons: Vec<((&str, &str), Vec<&str>)> = Vec::new();
    for check in &results.classification {
        for unseen in &check.unseen {
            let reason = (unseen.axis.as_str(), unseen.why.as_str());
            match reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, boxes)) => boxes.push(&check.name),
                None => reasons.push((reason, vec![&check.name])),
            }
        }
    }
    if reasons.is_empty() {
        return;
    }
    text.push_str(
        "<h3>What cannot be seen from outside</h3>\n<table><thead><tr><th>axis</th>\
         <th>why not</th><th>boxes</th></tr></thead><tbody>\n",
    );
    for ((axis, why), boxes) in reasons {
        let all = boxes.len() > 1 && boxes.len() == results.classification.len();
        let boxes = if all { "all".to_owned() } else { boxes.join(", ") };
        let _ = writeln!(
            text,
            "<tr><td>{}</td><td>{}</td><td>{}</td></tr>",
            Escaped(axis),
            Escaped(why),
            Escaped(&boxes)
        );
    }
    text.push_str("</tbody></table>\n");
}

/// How punctual the machine was, and which runs did not count.
pub(super) fn machine(text: &mut String, results: &Results) {
    let mut causes: Vec<(&'static str, usize)> = Vec::new();
    for void in results.cells.iter().flat_map(|cell| &cell.runs).filter_map(|run| run.void.as_ref())
    {
        let cause = words::void_cause(void);
        match causes.iter_mut().find(|(known, _)| *known == cause) {
            Some((_, count)) => *count += 1,
            None => causes.push((cause, 1)),
        }
    }
    if results.machine.is_none() && causes.is_empty() {
        return;
    }
    text.push_str("<section>\n<h2>The machine, and void runs</h2>\n<dl>\n");
    if let Some(note) = &results.machine {
        let lateness = note.lateness;
        axis(text, "kernel", &note.kernel);
        axis(text, "processors", &note.processors.to_string());
        axis(text, "took", &format!("{} s", words::figure(note.took_s)));
        let late = format!(
            "{} µs at the median, {} µs at 99 of 100, {} µs at 999 of 1000, of {}",
            words::figure(lateness.p50_us),
            words::figure(lateness.p99_us),
            words::figure(lateness.p999_us),
            words::counted(usize::try_from(lateness.packets).unwrap_or(usize::MAX), "packet")
        );
        axis(text, "packets left late by", &late);
        axis(text, "longest stall", &format!("{} µs", words::figure(lateness.longest_stall_us)));
        axis(text, "void runs", &note.voided.to_string());
    }
    for (cause, count) in causes {
        axis(text, "void because", &format!("{cause}: {}", words::counted(count, "run")));
    }
    text.push_str(
        "</dl>\n<p class=\"quiet\">A run is void where the machine was too late for it to mean \
         anything, lost a packet itself, or had a box that is not what it says. What came of the \
         run plays no part in that. Void runs are repeated.</p>\n</section>\n",
    );
}
