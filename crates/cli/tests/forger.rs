//! The binary as its own forger.

use std::io::Write;
use std::process::{Command, Stdio};

use simopen_device::capability::{Capabilities, Capability};
use simopen_server::forger::message::{Answer, Request};
use simopen_server::forger::{Refusal, Spawn};

const SIMOPEN: &str = env!("CARGO_BIN_EXE_simopen");

#[test]
fn the_binary_started_by_a_broker_forges_and_by_anybody_else_does_nothing() {
    let by_hand = Command::new(SIMOPEN)
        .arg("forger")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(by_hand.code(), Some(2));
    if !Capabilities::probe().has(Capability::RawSocket) {
        let _ = writeln!(std::io::stderr(), "NOT RUN: needs a raw IP socket: run as root");
        assert!(std::env::var_os("CI").is_none_or(|value| value != "true"), "CI=true forbids it");
        return;
    }
    let forger = Spawn::program(SIMOPEN).argument("forger").start_process().unwrap();
    let answer = forger.ask(&Request::Counts, &[]).unwrap();
    assert!(matches!(answer, Answer::Done(_)), "{answer:?}");
    let answer = forger.ask_bytes(b"", &[std::os::fd::AsFd::as_fd(&std::io::stdin())]).unwrap();
    assert_eq!(answer, Answer::Refused(Refusal::Malformed));
}

#[test]
fn a_forger_says_what_it_lacks() {
    let unknown = Spawn::program(SIMOPEN).argument("forger").argument("nonsense").start();
    let error = unknown.unwrap_err().to_string();
    assert!(error.contains("nonsense"), "{error}");
    let missing = Spawn::program("/nonexistent/forger").start().unwrap_err().to_string();
    assert!(missing.contains("cannot be started"), "{missing}");
}
