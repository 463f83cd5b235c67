//! Becoming a user's device.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use simopen_protocol::token::Token;

use crate::broker::{Broker, now};
use crate::program::Device;

#[test]
fn a_device_joins_by_the_line_and_says_what_to_do_next() {
    let broker = Broker::start("home");
    broker.add("alice", &["club"]);
    let device = Device::new();
    let line = broker.invite("alice").reveal();
    let ran = device.run(&["join", &line, "--device", "laptop"]).worked();
    assert!(ran.text().starts_with("joined home as alice/laptop"), "{}", ran.text());
    assert!(ran.text().contains("simopen peer"), "{}", ran.text());
    let key = device.home().join("brokers/home/device.key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let status = device.run(&["status", "--json"]).worked().json();
    assert_eq!(status["brokers"][0]["user"], "alice");
    assert_eq!(status["brokers"][0]["link"]["state"], "up");
    assert_eq!(status["manager"], false);
    let log = device.run(&["log"]).worked();
    assert!(log.text().contains("joined as alice/laptop"), "{}", log.text());
}

#[test]
fn a_line_on_standard_input_is_read_and_never_shown() {
    let broker = Broker::start("home");
    broker.add("alice", &["club"]);
    let device = Device::new();
    let invitation = broker.invite("alice");
    let line = format!("{}\n", invitation.reveal());
    let arguments = ["join", "-", "--device", "laptop", "--json"];
    let joined = device.run_with(&arguments, line.as_bytes()).worked();
    assert_eq!(joined.json()["device"], "laptop");
    let secret = invitation.secret.reveal();
    assert!(!joined.text().contains(&secret) && !joined.err.contains(&secret));
}

#[test]
fn a_line_that_is_damaged_or_expired_is_found_before_anybody_is_dialled() {
    let broker = Broker::start("home");
    broker.add("alice", &["club"]);
    let device = Device::new();
    let mut invitation = broker.invite("alice");
    let line = invitation.reveal();
    let damaged = device.run(&["join", &line[..line.len() - 30]]);
    assert_eq!(damaged.code, 2, "{}", damaged.err);
    assert!(damaged.err.contains("copy the whole line"), "{}", damaged.err);
    invitation.until = now() - 1;
    let expired = device.run(&["join", &invitation.reveal()]);
    assert_eq!(expired.code, 2, "{}", expired.err);
    assert!(expired.err.contains("was good until"), "{}", expired.err);
    // The secret was not said to anybody: the line is still good.
    device.run(&["join", &line, "--device", "laptop"]).worked();
}

#[test]
fn an_invitation_is_good_once_and_says_so() {
    let broker = Broker::start("home");
    broker.add("alice", &["club"]);
    let line = broker.invite("alice").reveal();
    Device::new().run(&["join", &line, "--device", "first"]).worked();
    let second = Device::new();
    let refused = second.run(&["join", &line, "--device", "second"]);
    assert_eq!(refused.code, 1, "{}", refused.err);
    assert!(refused.err.contains("good once"), "{}", refused.err);
    assert_eq!(second.run(&["status"]).code, 2, "nothing was joined");
}

#[test]
fn an_invitation_of_a_relay_makes_no_device() {
    let broker = Broker::start("home");
    let line = broker.invite_relay().reveal();
    let device = Device::new();
    let refused = device.run(&["join", &line, "--device", "laptop"]);
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert!(refused.err.contains("revoke relay/laptop"), "{}", refused.err);
    assert_eq!(device.run(&["status"]).code, 2, "nothing was joined");
}

#[test]
fn a_broker_with_another_authority_is_not_told_the_secret() {
    let broker = Broker::start("home");
    broker.add("alice", &["club"]);
    let mut invitation = broker.invite("alice");
    let good = invitation.reveal();
    invitation.authority = [7; 32];
    let device = Device::new();
    let refused = device.run(&["join", &invitation.reveal(), "--device", "laptop"]);
    assert_eq!(refused.code, 1, "{}", refused.err);
    device.run(&["join", &good, "--device", "laptop"]).worked();
}

#[test]
fn a_wrong_secret_is_refused() {
    let broker = Broker::start("home");
    broker.add("alice", &["club"]);
    let mut invitation = broker.invite("alice");
    invitation.secret = Token::from_random([9; 32]);
    let refused = Device::new().run(&["join", &invitation.reveal(), "--device", "laptop"]);
    assert_eq!(refused.code, 1, "{}", refused.err);
}

#[test]
fn a_broker_is_joined_once_unless_under_another_name_or_anew() {
    let broker = Broker::start("home");
    broker.add("alice", &["club"]);
    let device = Device::of(&broker, "alice", "laptop");
    let line = broker.invite("alice").reveal();
    let again = device.run(&["join", &line, "--device", "second"]);
    assert_eq!(again.code, 2, "{}", again.err);
    assert!(again.err.contains("already as alice/laptop"), "{}", again.err);
    device.run(&["join", &line, "--device", "second", "--as", "work"]).worked();
    let status = device.run(&["status", "--json"]).worked().json();
    assert_eq!(status["brokers"].as_array().unwrap().len(), 2);
    let line = broker.invite("alice").reveal();
    device.run(&["join", &line, "--device", "third", "--replace"]).worked();
    let status = device.run(&["status", "--json", "--broker", "home"]).worked().json();
    assert_eq!(status["brokers"][0]["device"], "third");
}

#[test]
fn a_name_that_no_directory_can_have_is_refused_and_the_line_stays_good() {
    let broker = Broker::start("home");
    broker.add("alice", &["club"]);
    let device = Device::new();
    let line = broker.invite("alice").reveal();
    for option in ["--as", "--device"] {
        let refused = device.run(&["join", &line, option, ".."]);
        assert_eq!(refused.code, 2, "{}", refused.err);
        assert!(refused.err.contains("neither '.' nor '..'"), "{}", refused.err);
    }
    device.run(&["join", &line, "--device", "laptop"]).worked();
}

#[test]
fn a_device_that_has_joined_nothing_is_told_how() {
    let device = Device::new();
    for arguments in [&["status"][..], &["peer"], &["connect", "bob"], &["listen"], &["peers"]] {
        let ran = device.run(arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains("simopen join"), "{arguments:?}: {}", ran.err);
    }
    device.run(&["log"]).worked();
    assert!(!device.home().exists(), "asking makes nothing");
}

#[test]
fn programs_are_told_what_went_wrong_as_json() {
    let broker = Broker::start("home");
    broker.add("alice", &["club"]);
    let alice = Device::of(&broker, "alice", "laptop");
    let second = Device::new();
    let line = broker.invite("alice").reveal();
    let taken = second.run(&["join", &line, "--device", "laptop", "--json"]);
    let unknown = alice.run(&["note", "send", "bob@shop", "x", "--json"]);
    let unmet = alice.run(&["peers", "--verify", "bob", "--json"]);
    for (ran, code, kind) in
        [(taken, 1, "failed"), (unknown, 2, "not-tried"), (unmet, 2, "not-tried")]
    {
        assert_eq!(ran.code, code, "{}", ran.err);
        let said: Value = serde_json::from_str(&ran.err).unwrap();
        assert_eq!(said["kind"], kind);
        assert!(said["why"].is_string(), "{said}");
    }
}

#[test]
fn nothing_is_wrong_where_nobody_reads_the_end_of_what_is_printed() {
    let device = Device::new();
    for arguments in [&["completions", "bash"][..], &["log"]] {
        let mut command = device.command(arguments);
        // Its reader is gone before it begins.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = command.stdout(writer).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success() && said.is_empty(), "{arguments:?}: {said}");
    }
}
