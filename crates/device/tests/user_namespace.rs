//! Rootless operation. Without the test harness, whose threads forbid a new user namespace.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::env;
use std::ffi::OsString;
use std::process::{Command, ExitCode};

use simopen_device::capability::{Capabilities, Capability};
use simopen_device::user_namespace::reexec_in_user_namespace;

/// Says that the process runs inside already.
const INSIDE: &str = "SIMOPEN_TEST_INSIDE";
/// Says that the process shall go inside.
const ENTER: &str = "SIMOPEN_TEST_ENTER";

fn main() -> ExitCode {
    if env::var_os(INSIDE).is_some() {
        return inside();
    }
    if env::var_os(ENTER).is_some() {
        let error = reexec_in_user_namespace(&[OsString::from("argument")], INSIDE).unwrap_err();
        eprintln!("NOT RUN: needs a user namespace: {error}");
        return ExitCode::from(2);
    }
    let own = env::current_exe().unwrap();
    let status = Command::new(own).env(ENTER, "1").status().unwrap();
    let in_ci = env::var_os("CI").is_some_and(|value| value == "true");
    match status.code() {
        Some(0) => println!("test a_process_is_root_in_its_own_user_namespace ... ok"),
        Some(2) if !in_ci => {}
        _ => return ExitCode::FAILURE,
    }
    ExitCode::SUCCESS
}

/// The second start: with its arguments, and with every right over its own namespaces.
fn inside() -> ExitCode {
    assert_eq!(env::args().nth(1).as_deref(), Some("argument"));
    let present = Capabilities::probe();
    for requirement in present.requirements() {
        println!("{requirement}");
    }
    let rights = [
        Capability::NetworkNamespace,
        Capability::PacketSocket,
        Capability::RawSocket,
        Capability::TcpRepair,
    ];
    assert!(rights.iter().all(|right| present.has(*right)));
    ExitCode::SUCCESS
}
