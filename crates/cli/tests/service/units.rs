//! The example units, as systemd reads them.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::running::{SIMOPEN, Scratch, text};

#[test]
fn the_example_units_are_what_systemd_takes_and_leave_little_open() {
    for name in ["broker", "relay"] {
        examine(name);
    }
}

fn examine(name: &str) {
    let scratch = Scratch::new();
    let unit = match name {
        "broker" => include_str!("../../../../docs/examples/simopen-broker.service"),
        _ => include_str!("../../../../docs/examples/simopen-relay.service"),
    };
    let here = unit.replace("/usr/bin/simopen", SIMOPEN);
    let path = scratch.file(&format!("simopen-{name}.service"), &here);
    let analyze = |arguments: &[&str]| {
        Command::new("systemd-analyze").args(arguments).arg(&path).stdin(Stdio::null()).output()
    };
    let Ok(verified) = analyze(&["verify", "--man=no"]) else {
        let _ =
            writeln!(std::io::stderr(), "NOT RUN: needs systemd-analyze: apt-get install systemd");
        assert!(std::env::var_os("CI").is_none_or(|value| value != "true"), "CI=true forbids it");
        return;
    };
    assert!(verified.status.success() && verified.stderr.is_empty(), "{verified:?}");
    // In tenths: 10 is "safe", 100 "unsafe".
    let exposed = analyze(&["security", "--offline=true", "--no-pager", "--threshold=20"]).unwrap();
    assert!(exposed.status.success(), "{}", text(&exposed.stdout));
    // The control: without its hardening it is found out.
    let open: String =
        here.lines().filter(|line| !line.contains("Protect")).collect::<Vec<_>>().join("\n");
    fs::write(&path, open).unwrap();
    let exposed = analyze(&["security", "--offline=true", "--no-pager", "--threshold=20"]).unwrap();
    assert!(!exposed.status.success());
}
