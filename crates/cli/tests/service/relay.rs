//! `simopen relay`, apart from its broker.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use simopen_peer::home::{Home, Membership};
use simopen_protocol::control::Certificate;
use simopen_server::authority::{Authority, RELAY_LIFETIME};
use simopen_server::wall_clock::WallClock;

use crate::running::{Running, SIMOPEN, Scratch, got, text};

/// How long a broker may take to find its relay.
const PATIENCE: Duration = Duration::from_secs(30);

/// A relay that joins this broker.
fn invited(scratch: &Scratch, broker: &Running, arguments: &[&str]) -> Running {
    let line = broker.told(&["relay-invite"])["invited"]["line"].as_str().unwrap().to_owned();
    let arguments = [&["--control", "127.0.0.1:0"], arguments].concat();
    Running::service("relay", scratch, &arguments, |command| {
        command.env("SIMOPEN_RELAY_INVITATION", &line);
    })
}

/// A broker whose relay runs apart: where the broker reaches it, and where peers do.
fn with_relay_apart(
    scratch: &Scratch,
    control: SocketAddr,
    peers: SocketAddr,
    arguments: &[&str],
) -> Running {
    let config = format!(
        "rendezvous = true\n[relay]\nrun = \"apart\"\ncontrol = \"{control}\"\naddresses = [\"{peers}\"]\n"
    );
    let config = scratch.file("apart.toml", &config);
    let usual = ["--no-invitation", "--config", config.to_str().unwrap()];
    Running::start(scratch, &[&usual, arguments].concat())
}

#[test]
fn a_relay_that_joined_serves_its_broker_before_and_after_its_own_restart() {
    let scratch = Scratch::new();
    let first = Running::start(&scratch, &["--no-invitation"]);
    let metrics = scratch.file("relay.toml", "[metrics]\nlisten = \"127.0.0.1:0\"\n");
    let relay = invited(&scratch, &first, &["--config", metrics.to_str().unwrap()]);
    assert_eq!(first.told(&["devices"])["devices"][0]["kind"], "relay");
    assert_eq!(first.end(), Some(0));
    let (at, peers) = (relay.endpoint("control"), relay.endpoint("listen"));
    let broker = with_relay_apart(&scratch, at, peers, &[]);
    meet(&broker, peers);
    let metrics = got(relay.endpoint("metrics"), "/metrics");
    assert!(metrics.contains("\nsimopen_relay_bytes_total 6\n"), "{metrics}");
    assert!(metrics.contains("\nsimopen_relay_joined_total 1\n"), "{metrics}");
    assert_eq!(relay.end(), Some(0));
    // It needs no invitation any more, and the broker finds it again.
    let again = ["--control", &at.to_string()];
    let relay = Running::service("relay", &scratch, &again, |_| {});
    meet(&broker, relay.endpoint("listen"));
    // The control: what is no broker gets no word out of it.
    assert!(!got(at, "/").contains("200"));
    assert_eq!(relay.end(), Some(0));
}

#[test]
fn a_relay_that_was_off_for_longer_than_its_certificate_lasts_gets_another() {
    let scratch = Scratch::new();
    let first = Running::start(&scratch, &["--no-invitation"]);
    let relay = invited(&scratch, &first, &[]);
    let at = relay.endpoint("control");
    let (of_broker, of_relay) = (first.data.clone(), relay.data.clone());
    assert_eq!(relay.end(), Some(0));
    let known = first.endpoint("listen").to_string();
    assert_eq!(first.end(), Some(0));
    let outdated = run_out(&of_relay, &of_broker);

    // It is where it was when it invited.
    let broker = with_relay_apart(&scratch, at, at, &["--listen", &known]);
    let relay = Running::service("relay", &scratch, &["--control", &at.to_string()], |_| {});
    meet(&broker, relay.endpoint("listen"));
    assert_ne!(membership(&of_relay).certificate, outdated);
    assert_eq!(relay.end(), Some(0));
}

/// Puts a certificate that has run out in the place of the relay's.
fn run_out(relay: &Path, broker: &Path) -> Certificate {
    let now = WallClock::system().seconds();
    let authority = Authority::open(broker, now).unwrap();
    let membership = membership(relay);
    let key = membership.key.public().unwrap();
    let outdated = authority.issue_relay(&key, now - 2 * RELAY_LIFETIME.as_secs()).unwrap();
    Home::open(relay).unwrap().renew(&membership.name, &outdated.0).unwrap();
    outdated
}

fn membership(relay: &Path) -> Membership {
    Home::open(relay).unwrap().memberships().unwrap().remove(0)
}

#[test]
fn a_relay_that_is_revoked_is_left_at_once() {
    let scratch = Scratch::new();
    let first = Running::start(&scratch, &["--no-invitation"]);
    let relay = invited(&scratch, &first, &[]);
    let devices = first.told(&["devices"]);
    let name = devices["devices"][0]["device"].as_str().expect("a name").to_owned();
    assert_eq!(first.end(), Some(0));
    let (at, peers) = (relay.endpoint("control"), relay.endpoint("listen"));
    let broker = with_relay_apart(&scratch, at, peers, &[]);
    // The control: they speak with each other, and the broker does not lose it by itself.
    meet(&broker, peers);
    meet(&broker, peers);
    let revoked = broker.admin(&["revoke", &format!("relay/{name}")]);
    assert!(revoked.status.success(), "{revoked:?}");
    // Longer than the broker waits before it dials a relay again that it has lost.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(1) {
        let output = broker.admin(&["rendezvous", "--json"]);
        assert!(text(&output.stderr).contains("no relay"), "{output:?}");
    }
    assert_eq!(relay.end(), Some(0));
}

/// Two programs that know nothing of simopen meet at the relay, talk, and part.
fn meet(broker: &Running, peers: SocketAddr) {
    let (one, mut other) = joined(broker, peers);
    drop(one);
    let mut rest = String::new();
    other.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
}

/// Two that have met: what the first says, the other hears.
fn joined(broker: &Running, peers: SocketAddr) -> (TcpStream, BufReader<TcpStream>) {
    let told = rendezvous(broker);
    let hosts = told["rendezvous"]["hosts"].clone();
    let connect = |host: &Value| {
        let host = host.as_str().unwrap();
        let mut stream = TcpStream::connect(peers).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
        stream
    };
    let (mut one, other) = (connect(&hosts[0]), connect(&hosts[1]));
    one.write_all(b"hello\n").unwrap();
    let mut other = BufReader::new(other);
    let mut lines = String::new();
    while !lines.ends_with("hello\n") {
        assert_ne!(other.read_line(&mut lines).unwrap(), 0, "{lines}");
    }
    assert!(lines.starts_with("HTTP/1.1 200 "), "{lines}");
    (one, other)
}

#[test]
fn a_pair_may_end_in_its_time_and_whoever_asks_twice_does_not_wait_for_it() {
    let scratch = Scratch::new();
    let config = scratch.file("simopen.toml", "rendezvous = true\ndrain = \"1h\"\n");
    let config = config.to_str().unwrap();
    let mut broker = Running::start(&scratch, &["--no-invitation", "--config", config]);
    let (mut one, mut other) = joined(&broker, broker.endpoint("listen"));
    broker.signal(Signal::SIGTERM);
    assert_eq!(broker.next()["event"], "draining");
    one.write_all(b"still here\n").unwrap();
    let mut line = String::new();
    other.read_line(&mut line).unwrap();
    assert_eq!(line, "still here\n");
    assert!(TcpStream::connect(broker.endpoint("listen")).is_err());
    broker.signal(Signal::SIGINT);
    assert_eq!(broker.child.wait().unwrap().code(), Some(130));
}

/// As soon as the broker has its relay.
fn rendezvous(broker: &Running) -> Value {
    let began = Instant::now();
    loop {
        let output = broker.admin(&["rendezvous", "--json"]);
        if output.status.success() {
            return serde_json::from_slice(&output.stdout).unwrap();
        }
        assert!(text(&output.stderr).contains("no relay"), "{output:?}");
        assert!(began.elapsed() < PATIENCE, "the broker did not find its relay");
    }
}

#[test]
fn a_relay_without_an_invitation_says_what_it_needs() {
    let scratch = Scratch::new();
    let relay = |arguments: &[&str]| {
        let mut command = Command::new(SIMOPEN);
        command.args(["relay", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--data"]);
        command.arg(scratch.0.join("relay")).args(arguments).stdin(Stdio::null());
        command.output().unwrap()
    };
    let output = relay(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("simopen admin relay-invite"), "{output:?}");
    let config = scratch.file("relay.toml", "[limits]\npeers = 1\n");
    let output = relay(&["--config", config.to_str().unwrap(), "--check-config"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("relay.toml:2:1: found unknown field `peers`"));
}

#[test]
fn a_relay_is_told_to_end_while_it_waits_for_its_invitation() {
    let scratch = Scratch::new();
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut command = Command::new(SIMOPEN);
        command.args(["relay", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"]);
        command.args(["--invitation", "-", "--data"]).arg(scratch.0.join("relay"));
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        // Waiting for the child would close it.
        let _open = child.stdin.take();
        // It catches both signals from the start, and reads standard input then.
        let status = format!("/proc/{}/status", child.id());
        let began = Instant::now();
        while !catches(&fs::read_to_string(&status).unwrap(), signal) {
            assert!(began.elapsed() < PATIENCE, "it does not wait for signals");
        }
        kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}

/// Whether a process has a handler of this signal, by what the kernel tells of it.
fn catches(status: &str, signal: Signal) -> bool {
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:\t")).unwrap();
    u64::from_str_radix(caught, 16).unwrap() >> (signal as i32 - 1) & 1 == 1
}

#[test]
fn relays_on_one_machine_have_names_of_their_own_and_a_revoked_one_joins_anew() {
    let scratch = Scratch::new();
    let broker = Running::start(&scratch, &["--no-invitation"]);
    let invited = || broker.told(&["relay-invite"])["invited"]["line"].as_str().unwrap().to_owned();
    let start = |name: &str, data: &str, line: &str| {
        let mut command = Command::new(SIMOPEN);
        command.args(["relay", "--json", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"]);
        command.args(["--name", name, "--invitation", line, "--data"]).arg(scratch.0.join(data));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    // What it prints first, and what it has said on standard error when it was told to end.
    let told = |mut child: std::process::Child| {
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        (first, text(&child.wait_with_output().unwrap().stderr))
    };
    let (first, _) = told(start("one", "a", &invited()));
    assert!(first.contains(r#""event":"joined""#) && first.contains(r#""name":"one""#), "{first}");
    let second = invited();
    let (first, said) = told(start("one", "b", &second));
    assert_eq!(first, "", "{said}");
    assert!(said.contains("--name"), "{said}");
    // The line is still good under another name.
    let (first, _) = told(start("two", "b", &second));
    assert!(first.contains(r#""name":"two""#), "{first}");
    // Who has joined says that another invitation is not used, and nothing of the one that was.
    let (first, said) = told(start("two", "b", &second));
    assert!(first.contains("ready") && !said.contains("joined already"), "{first}{said}");
    let third = invited();
    for unused in [third.as_str(), "rubbish"] {
        let (first, said) = told(start("two", "b", unused));
        assert!(first.contains("ready") && said.contains("joined already"), "{first}{said}");
    }
    assert!(broker.admin(&["revoke", "relay/two"]).status.success());
    fs::remove_dir_all(scratch.0.join("b")).unwrap();
    let (first, said) = told(start("two", "b", &third));
    assert!(first.contains(r#""name":"two""#), "{first}{said}");
}

#[test]
fn an_invitation_for_a_device_makes_no_relay() {
    let scratch = Scratch::new();
    let mut broker = Running::start(&scratch, &[]);
    let line = broker.next()["line"].as_str().unwrap().to_owned();
    let mut command = Command::new(SIMOPEN);
    command.args(["relay", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--data"]);
    command.arg(scratch.0.join("relay")).args(["--invitation", &line]).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("not for a relay"), "{output:?}");
}
