//! Tests that need a privilege say so loudly where it is missing, and fail where `CI=true`.

use std::sync::OnceLock;

use simopen_device::capability::{Capabilities, Capability};

/// Says whether the test can run; where not, prints why.
#[must_use]
pub(crate) fn requires(needed: &[Capability]) -> bool {
    static PRESENT: OnceLock<Capabilities> = OnceLock::new();
    let present = PRESENT.get_or_init(Capabilities::probe);
    let missing: Vec<_> = present.missing().filter(|it| needed.contains(&it.capability)).collect();
    for requirement in &missing {
        eprintln!("NOT RUN: needs {requirement}");
    }
    let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(missing.is_empty() || !in_ci, "CI=true forbids tests that cannot run");
    missing.is_empty()
}
