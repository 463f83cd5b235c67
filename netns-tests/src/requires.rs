//! Tests that lack a privilege or a program say so loudly, and fail where `CI=true`.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use simopen_device::capability::{Capabilities, Requirement};

/// Says whether attempts on real kernels can be made here; where not, says why.
///
/// # Panics
///
/// Where `CI=true` and something is missing.
#[must_use]
pub fn requires() -> bool {
    static PRESENT: OnceLock<Capabilities> = OnceLock::new();
    let present = PRESENT.get_or_init(Capabilities::probe);
    all_there(&present.missing().map(Requirement::to_string).collect::<Vec<_>>())
}

/// Says whether attempts can be made here and these programs are installed; where not, says why.
///
/// # Panics
///
/// Where `CI=true` and something is missing.
#[must_use]
pub fn requires_programs(programs: &[&str]) -> bool {
    let missing: Vec<String> = programs
        .iter()
        .filter(|program| !is_installed(program))
        .map(|program| install(program))
        .collect();
    all_there(&missing) && requires()
}

/// Says that a test cannot run here for want of this program.
///
/// # Panics
///
/// Where `CI=true`.
pub fn not_run(program: &str) {
    all_there(&[install(program)]);
}

fn install(program: &str) -> String {
    format!("the program {program}: run scripts/install-test-programs")
}

fn is_installed(program: &str) -> bool {
    let quiet = || Stdio::null();
    Command::new(program).arg("--version").stdout(quiet()).stderr(quiet()).status().is_ok()
}

fn all_there(missing: &[String]) -> bool {
    if !missing.is_empty() {
        // Not by a print macro: the harness keeps what those say in a test that passes. If
        // nobody reads it any more, nothing is lost. One line, because lines are counted.
        let _ = writeln!(std::io::stderr(), "NOT RUN: needs {}", missing.join("; "));
    }
    let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(missing.is_empty() || !in_ci, "CI=true forbids tests that cannot run");
    missing.is_empty()
}
