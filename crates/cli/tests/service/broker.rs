//! `simopen broker` and `simopen admin`.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use nix::sys::signal::Signal;
use serde_json::Value;
use simopen_device::capability::{Capabilities, Capability};
use simopen_protocol::invitation::Invitation;

use crate::running::{Running, SIMOPEN, Scratch, admin, broker, got, text};

#[test]
fn a_broker_without_configuration_invites_its_first_user_by_one_line() {
    let scratch = Scratch::new();
    let mut broker = Running::start(&scratch, &[]);
    let invited = broker.next();
    assert_eq!((&invited["event"], &invited["user"]), (&"invitation".into(), &"owner".into()));
    let invitation: Invitation = invited["line"].as_str().unwrap().parse().unwrap();
    let listens: SocketAddr = broker.endpoint("listen");
    assert_eq!(invitation.addresses, [listens.into()]);
    let authority: String = invitation.authority.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(broker.ready["authority"], authority.as_str());
    assert_eq!(broker.end(), Some(0));
}

#[test]
fn once_a_device_has_joined_nobody_is_invited_at_the_start() {
    let scratch = Scratch::new();
    let mut broker = Running::start(&scratch, &[]);
    let unused = broker.next()["line"].as_str().unwrap().to_owned();
    assert_eq!(broker.end(), Some(0));
    let mut broker = Running::start(&scratch, &[]);
    let line = broker.next()["line"].as_str().unwrap().to_owned();
    assert_ne!(line, unused);
    device(&scratch.0.join("home"), &["join", &line, "--device", "laptop"]);
    assert_eq!(broker.told(&["devices"])["devices"][0]["device"], "laptop");
    // The line is used up.
    let again = device_output(&scratch.0.join("elsewhere"), &["join", &line, "--device", "x"]);
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    assert_eq!(broker.end(), Some(0));
    let mut broker = Running::start(&scratch, &[]);
    broker.signal(Signal::SIGTERM);
    assert_eq!(broker.next()["event"], "draining");
}

#[test]
fn an_authority_that_is_missing_beside_its_devices_is_not_replaced() {
    let scratch = Scratch::new();
    let mut broker = Running::start(&scratch, &[]);
    let line = broker.next()["line"].as_str().unwrap().to_owned();
    let data = broker.data.clone();
    let authority = data.join("authority.pem");
    assert_eq!(broker.end(), Some(0));
    // The control: without a device nothing is lost.
    fs::remove_file(&authority).unwrap();
    let mut broker = Running::start(&scratch, &[]);
    assert_ne!(broker.next()["line"].as_str().unwrap(), line);
    let invited = broker.told(&["invite", "owner"])["invited"]["line"].clone();
    device(&scratch.0.join("home"), &["join", invited.as_str().unwrap(), "--device", "laptop"]);
    assert_eq!(broker.end(), Some(0));
    fs::rename(&authority, scratch.0.join("elsewhere")).unwrap();
    let refused = self::broker(&["--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(text(&refused.stderr).contains("authority.pem is missing"), "{refused:?}");
    assert!(!authority.exists());
    fs::rename(scratch.0.join("elsewhere"), &authority).unwrap();
    assert_eq!(Running::start(&scratch, &[]).end(), Some(0));
}

/// A command of a device, which has to succeed.
fn device(home: &Path, arguments: &[&str]) {
    let output = device_output(home, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

fn device_output(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(SIMOPEN);
    command.args(arguments).arg("--home").arg(home).stdin(Stdio::null());
    command.output().unwrap()
}

#[test]
fn people_are_told_what_to_type() {
    let scratch = Scratch::new();
    let data = scratch.0.join("data");
    let mut command = Command::new(SIMOPEN);
    command.args(["broker", "--listen", "127.0.0.1:0", "--data"]).arg(&data);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let found = lines.map_while(Result::ok).find(|line| line.contains("simopen join '"));
    let _ = child.kill();
    let _ = child.wait();
    let line = found.unwrap();
    line.trim()
        .trim_start_matches("simopen join '")
        .trim_end_matches('\'')
        .parse::<Invitation>()
        .unwrap();
}

#[test]
fn users_communities_and_invitations_outlive_the_broker() {
    let scratch = Scratch::new();
    let broker = Running::start(&scratch, &["--no-invitation", "--name", "office"]);
    let done = serde_json::json!({ "done": {} });
    assert_eq!(broker.told(&["user", "add", "alice", "--community", "work"]), done);
    assert_eq!(broker.told(&["community", "add", "club", "alice"]), done);
    assert_eq!(broker.told(&["user", "add", "bob"]), done);
    assert_eq!(broker.told(&["revoke", "bob"]), done);
    assert_eq!(broker.end(), Some(0));
    let broker = Running::start(&scratch, &["--no-invitation"]);
    let users = broker.told(&["user", "list"])["users"].clone();
    assert_eq!(users[0]["user"], "alice");
    assert_eq!(users[0]["communities"], serde_json::json!(["club", "work"]));
    assert_eq!((&users[1]["user"], &users[1]["revoked"]), (&"bob".into(), &true.into()));
    let table = text(&broker.admin(&["community", "list"]).stdout);
    assert_eq!(table, "COMMUNITY  MEMBERS\nclub       alice\nwork       alice\n");
    let told = broker.told(&["community", "list"]);
    assert_eq!(
        told["communities"][0],
        serde_json::json!({ "community": "club", "members": ["alice"] })
    );
    let invited = broker.told(&["invite", "carol", "--community", "work", "--for", "1h"]);
    let line = invited["invited"]["line"].as_str().unwrap();
    assert!(line.parse::<Invitation>().is_ok(), "{line}");
    let relay = broker.told(&["relay-invite"]);
    assert!(relay["invited"]["line"].as_str().unwrap().parse::<Invitation>().is_ok());
    for empty in [["devices"], ["peers"], ["sessions"], ["teams"]] {
        assert_eq!(broker.told(&empty)[empty[0]], serde_json::json!([]), "{empty:?}");
    }
    let stats = broker.told(&["stats"])["stats"].clone();
    let users = stats.as_array().unwrap().iter().find(|count| count["name"] == "simopen_users");
    assert_eq!(users.unwrap()["value"], 3);
}

#[test]
fn what_a_broker_refuses_is_told_with_exit_code_1_and_an_absent_one_with_2() {
    let scratch = Scratch::new();
    let broker = Running::start(&scratch, &["--no-invitation"]);
    for (arguments, says) in [
        (&["invite", "nobody"][..], "no such user"),
        (&["revoke", "nobody/laptop"], "no such"),
        (&["user", "add", "relay"], "kept for relays"),
        (&["rendezvous"], "not allowed by the configuration"),
    ] {
        let output = broker.admin(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(text(&output.stderr).contains(says), "{arguments:?}: {output:?}");
    }
    let output = admin(&scratch.0.join("elsewhere"), &["peers"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("no broker listens there"), "{output:?}");
    let output = admin(&scratch.0.join("elsewhere"), &["peers", "--json"]);
    assert_eq!(output.status.code(), Some(2));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["error"]["word"], "no-answer");
}

#[test]
fn a_rendezvous_is_made_where_it_is_allowed() {
    let scratch = Scratch::new();
    let config = scratch.file("simopen.toml", "rendezvous = true\n");
    let config = config.to_str().unwrap();
    let broker = Running::start(&scratch, &["--no-invitation", "--config", config]);
    let told = broker.told(&["rendezvous"]);
    let hosts = told["rendezvous"]["hosts"].as_array().unwrap().clone();
    assert_eq!(hosts.len(), 2);
    assert!(hosts[0].as_str().unwrap().ends_with(".rendezvous:443"));
    let shown = text(&broker.admin(&["rendezvous"]).stdout);
    assert!(shown.contains("no end-to-end encryption"), "{shown}");
}

#[test]
fn a_second_broker_on_the_same_data_is_refused_and_one_that_was_killed_leaves_nothing_in_the_way() {
    let scratch = Scratch::new();
    let first = Running::start(&scratch, &["--no-invitation"]);
    let data = first.data.to_str().unwrap().to_owned();
    let second = broker(&["--listen", "127.0.0.1:0", "--data", &data]);
    assert_eq!(second.status.code(), Some(2));
    assert!(text(&second.stderr).contains("another process"), "{second:?}");
    first.signal(Signal::SIGKILL);
    drop(first);
    assert!(Path::new(&data).join("admin.sock").exists());
    let third = Running::start(&scratch, &["--no-invitation"]);
    third.told(&["peers"]);
}

#[test]
fn the_store_of_a_running_broker_is_backed_up_as_the_page_says_and_restored() {
    let scratch = Scratch::new();
    let broker = Running::start(&scratch, &["--no-invitation"]);
    broker.told(&["user", "add", "alice"]);
    let backup = |data: &Path| {
        let mut command = Command::new("sqlite3");
        command.current_dir(data).args(["broker.sqlite", ".backup 'copy.sqlite'"]);
        command.stdin(Stdio::null()).output()
    };
    let Ok(made) = backup(&broker.data) else {
        let _ = writeln!(std::io::stderr(), "NOT RUN: needs sqlite3: apt-get install sqlite3");
        assert!(std::env::var_os("CI").is_none_or(|value| value != "true"), "CI=true forbids it");
        return;
    };
    assert!(made.status.success() && made.stderr.is_empty(), "{made:?}");
    broker.told(&["user", "add", "bob"]);
    let data = broker.data.clone();
    broker.end();
    fs::rename(data.join("copy.sqlite"), data.join("broker.sqlite")).unwrap();
    let broker = Running::start(&scratch, &["--no-invitation"]);
    let users = broker.told(&["user", "list"])["users"].as_array().unwrap().clone();
    let names: Vec<&Value> = users.iter().map(|user| &user["user"]).collect();
    assert_eq!(names, ["alice"]);
}

#[test]
fn a_wrong_configuration_is_refused_with_its_place_and_a_right_one_is_called_right() {
    let scratch = Scratch::new();
    for (content, says) in [
        ("name = \"home\"\nlisten-on = []\n", "simopen.toml:2:1: found unknown field `listen-on`"),
        ("[forging]\nown = [\"192.0.2.1\"]\n", "simopen.toml:2:7: found `own`, which does nothing"),
        ("[limits]\nlinks = 0\n", "simopen.toml:2:9: found 0 for `links`"),
        ("name = \n", "simopen.toml:1:"),
    ] {
        let path = scratch.file("simopen.toml", content);
        for check in [&["--check-config"][..], &[]] {
            let config = ["--config", path.to_str().unwrap()];
            let output = broker(&[&config, check].concat());
            assert_eq!(output.status.code(), Some(2), "{output:?}");
            assert!(text(&output.stderr).contains(says), "{output:?}");
        }
    }
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples/simopen.toml");
    let output = broker(&["--config", example, "--check-config"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let output = broker(&["--check-config"]);
    assert_eq!(output.status.code(), Some(2), "there is nothing to check: {output:?}");
    assert!(text(&output.stderr).contains("--config"), "{output:?}");
    let output = broker(&["--config", "/nonexistent.toml"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn metrics_and_probes_answer_on_a_listener_of_their_own() {
    let scratch = Scratch::new();
    let config = scratch.file("simopen.toml", "[metrics]\nlisten = \"127.0.0.1:0\"\n");
    let config = config.to_str().unwrap();
    let broker = Running::start(&scratch, &["--no-invitation", "--config", config]);
    broker.told(&["user", "add", "alice"]);
    let at: SocketAddr = broker.endpoint("metrics");
    let metrics = got(at, "/metrics");
    assert!(metrics.contains("\nsimopen_users 1\n"), "{metrics}");
    assert!(metrics.contains("\nsimopen_persist_seconds_count 1\n"), "{metrics}");
    assert!(got(at, "/healthz").starts_with("HTTP/1.1 200 "));
    assert!(got(at, "/readyz").starts_with("HTTP/1.1 200 "));
    // The control: the port of devices answers no probe.
    let listens: SocketAddr = broker.endpoint("listen");
    assert!(!got(listens, "/healthz").contains(" 200 "));
}

#[test]
fn ctrl_c_ends_a_broker_with_0_too() {
    let scratch = Scratch::new();
    let mut broker = Running::start(&scratch, &["--no-invitation"]);
    broker.signal(Signal::SIGINT);
    assert_eq!(broker.next()["event"], "draining");
    assert_eq!(broker.child.wait().unwrap().code(), Some(0));
    assert!(!broker.data.join("admin.sock").exists());
}

#[test]
fn who_cannot_start_says_once_why_and_what_to_do() {
    let scratch = Scratch::new();
    let first = Running::start(&scratch, &["--no-invitation"]);
    let taken = first.endpoint("listen").to_string();
    let data = scratch.0.join("other");
    let output = broker(&["--listen", &taken, "--data", data.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(said.contains("another program listens there"), "{said}");
    assert_eq!(said.matches("os error").count(), 1, "{said}");
    let file = scratch.file("no-directory", "");
    let output = broker(&["--listen", "127.0.0.1:0", "--data", file.to_str().unwrap()]);
    assert_eq!(text(&output.stderr).matches("os error").count(), 1, "{output:?}");
}

#[test]
fn an_operator_is_answered_while_the_broker_drains() {
    let scratch = Scratch::new();
    let config = scratch.file("simopen.toml", "rendezvous = true\n");
    let config = config.to_str().unwrap();
    let mut broker = Running::start(&scratch, &["--no-invitation", "--config", config]);
    let hosts = broker.told(&["rendezvous"])["rendezvous"]["hosts"].clone();
    let pair: Vec<TcpStream> = hosts
        .as_array()
        .unwrap()
        .iter()
        .map(|host| {
            let host = host.as_str().unwrap();
            let mut stream = TcpStream::connect(broker.endpoint("listen")).unwrap();
            write!(stream, "CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
            stream
        })
        .collect();
    // Both are joined when both are answered.
    for stream in &pair {
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        assert!(line.starts_with("HTTP/1.1 200"), "{line}");
    }
    broker.signal(Signal::SIGTERM);
    assert_eq!(broker.next()["event"], "draining");
    assert_eq!(broker.told(&["peers"])["peers"], serde_json::json!([]));
    drop(pair);
    assert_eq!(broker.child.wait().unwrap().code(), Some(0));
}

#[test]
fn no_secret_is_logged_however_much_is() {
    let scratch = Scratch::new();
    let mut broker = Running::start(&scratch, &["--log", "json"]);
    let first: Invitation = broker.next()["line"].as_str().unwrap().parse().unwrap();
    let second = broker.told(&["invite", "owner"])["invited"]["line"].as_str().unwrap().to_owned();
    let second: Invitation = second.parse().unwrap();
    // A device that joins and logs in says its secret, and shows its certificate.
    let home = scratch.0.join("home");
    device(&home, &["join", &first.reveal(), "--device", "laptop"]);
    device(&home, &["status"]);
    let broker_data = broker.data.clone();
    broker.end();
    let log = fs::read_to_string(scratch.0.join("broker-log")).unwrap();
    let told: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    for event in ["joined", "logged in", "logged out"] {
        let fields = |line: &&Value| line["fields"]["message"] == event && line["level"] == "INFO";
        let of: Vec<&Value> = told.iter().filter(fields).map(|line| &line["fields"]).collect();
        assert_eq!(of.len(), 1, "{event}: {log}");
        assert_eq!((&of[0]["user"], &of[0]["device"]), (&"owner".into(), &"laptop".into()));
    }
    for secret in [first.secret, second.secret] {
        assert!(!log.contains(&secret.reveal()), "{log}");
    }
    let key = fs::read_to_string(broker_data.join("authority.pem")).unwrap();
    let key = key.lines().nth(1).unwrap();
    assert!(!log.contains(key), "{log}");
}

#[test]
fn forging_is_a_process_of_its_own_and_the_broker_has_no_capability_left() {
    if !Capabilities::probe().has(Capability::RawSocket) {
        let _ = writeln!(std::io::stderr(), "NOT RUN: needs a raw IP socket: run as root");
        assert!(std::env::var_os("CI").is_none_or(|value| value != "true"), "CI=true forbids it");
        return;
    }
    let scratch = Scratch::new();
    let config = scratch.file("simopen.toml", "[forging]\ndangerous = true\n");
    let config = config.to_str().unwrap();
    let broker = Running::start(&scratch, &["--no-invitation", "--config", config]);
    let number = broker.child.id();
    let status = fs::read_to_string(format!("/proc/{number}/status")).unwrap();
    assert!(status.contains("CapEff:\t0000000000000000"), "{status}");
    let children = format!("/proc/{number}/task/{number}/children");
    let children = fs::read_to_string(children).unwrap();
    let forger: u32 = children.trim().parse().unwrap();
    let words = fs::read(format!("/proc/{forger}/cmdline")).unwrap();
    assert!(text(&words).contains("forger"), "{}", text(&words));
    assert_eq!(broker.end(), Some(0));
    // The control: without the word there is none.
    let broker = Running::start(&scratch, &["--no-invitation"]);
    let number = broker.child.id();
    let children = format!("/proc/{number}/task/{number}/children");
    assert_eq!(fs::read_to_string(children).unwrap(), "");
}

#[test]
fn without_a_network_devices_reach_a_broker_on_the_same_machine() {
    let scratch = Scratch::new();
    let program = format!(
        "ip link set lo up && exec {SIMOPEN} broker --json --no-invitation --data {}",
        scratch.0.join("data").display()
    );
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", &program]).stdout(Stdio::piped()).stderr(Stdio::null());
    if !Capabilities::probe().has(Capability::NetworkNamespace) {
        let _ = writeln!(std::io::stderr(), "NOT RUN: needs network namespaces: run as root");
        assert!(std::env::var_os("CI").is_none_or(|value| value != "true"), "CI=true forbids it");
        return;
    }
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let _ = child.kill();
    let _ = child.wait();
    let ready: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(ready["listen"], serde_json::json!(["0.0.0.0:7443", "[::]:7443"]));
    assert_eq!(ready["addresses"], serde_json::json!(["127.0.0.1:7443", "[::1]:7443"]));
}
