//! Timelines and tables for a person.

use std::fmt::Write;

use simopen_lab::demo::{CaseResult, DemoResult};
use simopen_scenario::run::TimelineEntry;

/// The plan of the network, as it is built.
pub(crate) fn picture(delay_ms: f64) -> String {
    [
        "  a ── NAT box ──┐          ┌── NAT box ── b",
        "                 ├── core ──┤",
        "                 └─── c ────┘",
    ]
    .join("\n")
        + &format!("        any two of a, b and c are one leg = {delay_ms} ms apart\n")
}

/// One attempt: its timeline, and what the journal proves.
pub(crate) fn timeline(case: &CaseResult) -> String {
    let mut text = String::new();
    let name = name(case);
    let _ = writeln!(text, "\n── {name} ── {}\n", case.case.title);
    for entry in &case.result.record.timeline {
        line(&mut text, entry);
    }
    let result = &case.result;
    for (host, counts) in ["a", "b"].iter().zip(&result.record.delivered) {
        let _ = writeln!(
            text,
            "  journal: {host} sent {}; {} reached it, and {}{}",
            counted(counts.syns_sent, "bare SYN"),
            counted(counts.syns, "bare SYN"),
            counted(counts.syn_acks, "SYN-ACK"),
            match (counts.syn_acks, counts.syn_acks_from_broker) {
                (0, _) => String::new(),
                (1, 1) => ", which entered the network at c's port".to_owned(),
                (_, from_broker) =>
                    format!(", {from_broker} of which entered the network at c's port"),
            }
        );
    }
    if let Some(cause) = result.cause() {
        let _ = writeln!(text, "  why: {cause}");
    }
    if result.voided > 0 {
        let runs = counted(result.voided, "run");
        let _ = writeln!(text, "  {runs} before this one did not count: the machine was late");
    }
    let _ = writeln!(text, "  {}", verdict(case));
    text
}

fn counted(count: u32, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

fn line(text: &mut String, entry: &TimelineEntry) {
    let at = entry.at_ms;
    let packet = entry.packet.as_deref().unwrap_or_default();
    let separator = if packet.is_empty() { "" } else { "  " };
    let _ = writeln!(text, "{at:>10.1} ms  {:<6}{}{separator}{packet}", entry.host, entry.event);
}

/// What worked where.
pub(crate) fn table(demo: &DemoResult) -> String {
    let mut text = String::from("\n── what worked where ──\n\n");
    let _ = writeln!(
        text,
        "  {:<26}{:<9}{:<22}{:<12}{:>9}{:>7}   as it must be",
        "technique", "forging", "boxes", "result", "time", "legs"
    );
    for case in &demo.cases {
        let result = &case.result;
        let outcome = match result.record.direct {
            Some(true) => "direct",
            Some(false) => "not direct",
            None => "failed",
        };
        let forging = match (result.technique.needs_forging(), result.forging) {
            (false, _) => "-",
            (true, true) => "on",
            (true, false) => "off",
        };
        let time =
            result.record.phases.established_ms.map_or("-".into(), |time| format!("{time:.1} ms"));
        let legs = result.record.legs.map_or("-".into(), |legs| format!("{legs:.2}"));
        let _ = writeln!(
            text,
            "  {:<26}{forging:<9}{:<22}{outcome:<12}{time:>9}{legs:>7}   {}",
            result.technique.name(),
            case.case.boxes,
            if case.is_as_expected() { "yes" } else { "NO" }
        );
    }
    let lateness = &demo.lateness;
    let _ = writeln!(
        text,
        "\n  packets left late by {} µs at the median, {} µs at p99, {} µs at p99.9; longest stall of the fabric's thread {} µs",
        lateness.p50.as_micros(),
        lateness.p99.as_micros(),
        lateness.p999.as_micros(),
        lateness.max_stall.as_micros()
    );
    text
}

/// One line of progress.
pub(crate) fn progress(case: &CaseResult) -> String {
    format!("  {:<28} {}", name(case), verdict(case))
}

fn name(case: &CaseResult) -> String {
    let control = if case.result.forging { "" } else { ", forging switched off" };
    format!("{}{control} ({})", case.result.technique, case.case.boxes)
}

fn verdict(case: &CaseResult) -> String {
    let result = &case.result;
    let outcome = match (result.connected(), result.record.legs) {
        (true, Some(legs)) => format!("both kernels established after {legs:.2} legs"),
        _ => "no connection".to_owned(),
    };
    let expected = if !result.is_valid() {
        "but the machine was too late for that to mean anything: run it again on a quieter one"
    } else if case.is_as_expected() {
        "as it must be"
    } else if result.connected() == case.case.expected {
        "but the journal does not prove how"
    } else {
        "which it must NOT be"
    };
    format!("{outcome}, {expected}")
}
