//! The program between two kernels behind NAT boxes, in namespaces: which way `connect` takes there.
#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use simopen_device::capability::{Capabilities, Requirement};
use simopen_lab::shell::Standing;
use simopen_scenario::file::Scenario;
use simopen_scenario::network::Executor;

/// Two hosts behind a box each, and the broker beside them. `SYNS` is what becomes of bare SYNs that
/// come from outside on an open mapping.
const NETWORK: &str = r#"
name = "two devices behind boxes"
description = "Which way simopen connect takes."
seed = 1

[networks.home]
prefix = "192.168.1.0/24"

[networks.office]
prefix = "10.0.0.0/24"

[networks.internet]
prefixes = ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"]
forwards-as = "router"
address = "192.0.2.1"
link = { delay = "5ms" }

[hosts.a]
network = "home"
address = "192.168.1.2"

[hosts.b]
network = "office"
address = "10.0.0.2"

[hosts.c]
network = "internet"
address = "192.0.2.2"

[boxes.home-nat]
preset = "ei-mapping-apd-filtering"
inbound-bare-syn = "SYNS"
inside = "home"
outside = "internet"
address = "198.51.100.1"

[boxes.office-nat]
preset = "ei-mapping-apd-filtering"
inbound-bare-syn = "SYNS"
inside = "office"
outside = "internet"
address = "203.0.113.1"

[[attempts]]
from = "a"
to = "b"
ways = ["direct"]
"#;

/// The same three in one network, with nothing between.
const ONE_NETWORK: &str = r#"
name = "two devices in one network"
description = "Which way simopen connect takes."
seed = 1

[networks.home]
prefix = "192.0.2.0/24"
forwards-as = "switch"
link = { delay = "100us" }

[hosts.a]
network = "home"
address = "192.0.2.3"

[hosts.b]
network = "home"
address = "192.0.2.4"

[hosts.c]
network = "home"
address = "192.0.2.2"

[[attempts]]
from = "a"
to = "b"
ways = ["direct"]
"#;

/// Runs the broker, gives out two lines, and ends when it is told to.
const BROKER: &str = r#"
simopen broker --data broker --config simopen.toml --listen 192.0.2.2:7443 --name home --json \
    >c.out 2>c.err &
broker=$!
until grep -q simopen:// c.out; do kill -0 $broker || exit 1; sleep 0.05; done
grep -o 'simopen://[^"]*' c.out >a.line
simopen admin --data broker --json invite bob --community home | grep -o 'simopen://[^"]*' >b.line
read -r word <stop
kill $broker
wait $broker
"#;

/// Listens, and says so.
const LISTENS: &str = r#"
simopen join - --device desk <b.line >b.out 2>&1
simopen listen <answer >heard.b 2>b.err &
listening=$!
until grep -q 'leads to' b.err; do kill -0 $listening || exit 1; sleep 0.05; done
echo ready >b.ready
wait $listening
"#;

/// Connects, and tells the broker to end.
const CONNECTS: &str = r#"
simopen join - --device laptop <a.line >a.out 2>&1
read -r word <b.ready
simopen connect bob <question >heard.a 2>a.err
code=$?
echo stop >stop
exit $code
"#;

/// A directory of this test's own, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, broker: &str) -> Self {
        let path = std::env::temp_dir().join(format!("simopen-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        for fifo in ["a.line", "b.line", "b.ready", "stop"] {
            let made = Command::new("mkfifo").arg(path.join(fifo)).status().unwrap();
            assert!(made.success());
        }
        fs::write(path.join("simopen.toml"), broker).unwrap();
        fs::write(path.join("question"), vec![b'q'; 300_000]).unwrap();
        fs::write(path.join("answer"), vec![b'a'; 200_000]).unwrap();
        Self(path)
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.join(file)).unwrap_or_default()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What `connect` said on standard error, when everything had come through.
fn way_taken(name: &str, network: &str, broker: &str) -> Option<String> {
    if !requires() {
        return None;
    }
    let scratch = Scratch::new(name, broker);
    let scenario = Scenario::from_toml("test", network).unwrap();
    let standing = Standing::build(&scenario, Executor::Model, 1).unwrap();
    let run = |host: &'static str, script: &'static str| {
        standing.run(host, program(&scratch.0, host, script)).unwrap()
    };
    let codes = thread::scope(|scope| {
        let hosts = [("c", BROKER), ("b", LISTENS), ("a", CONNECTS)];
        let running = hosts.map(|(host, script)| scope.spawn(move || run(host, script)));
        running.map(|running| running.join().unwrap().code())
    });
    let said: Vec<String> = ["a.out", "a.err", "b.out", "b.err", "c.out", "c.err"]
        .iter()
        .map(|file| format!("── {file}\n{}", scratch.read(file)))
        .collect();
    assert_eq!(codes, [Some(0); 3], "{}", said.join("\n"));
    assert_eq!(scratch.read("heard.a"), scratch.read("answer"));
    assert_eq!(scratch.read("heard.b"), scratch.read("question"));
    Some(scratch.read("a.err"))
}

/// A script in a host, bounded in time.
fn program(folder: &Path, host: &str, script: &str) -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_simopen"));
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", program.parent().unwrap().display());
    let mut command = Command::new("timeout");
    command
        .args(["60", "sh", "-c", script])
        .current_dir(folder)
        .env("PATH", path)
        .env("SIMOPEN_HOME", folder.join(format!("device-{host}")))
        .env("RUST_BACKTRACE", "0");
    command
}

fn requires() -> bool {
    let present = Capabilities::probe();
    let missing: Vec<String> = present.missing().map(Requirement::to_string).collect();
    if missing.is_empty() {
        return true;
    }
    // Not by a print macro: the harness keeps what those say in a test that passes.
    let _ = writeln!(std::io::stderr(), "NOT RUN: needs {}", missing.join("; "));
    let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!in_ci, "CI=true forbids tests that cannot run");
    false
}

fn behind_boxes(syns: &str) -> String {
    NETWORK.replace("SYNS", syns)
}

#[test]
fn where_nothing_is_between_two_devices_they_connect_directly() {
    let Some(said) = way_taken("one-network", ONE_NETWORK, "") else { return };
    assert!(said.contains("connected to bob/desk directly by "), "{said}");
}

#[test]
fn behind_boxes_that_drop_syns_a_broker_that_forges_connects_directly() {
    let forges = "[forging]\ndangerous = true\n";
    let Some(said) = way_taken("forges", &behind_boxes("dropped"), forges) else { return };
    assert!(said.contains("connected to bob/desk directly by forged-syn-ack/kernel"), "{said}");
}

#[test]
fn behind_the_same_boxes_a_broker_that_does_not_forge_leaves_the_relay() {
    let Some(said) = way_taken("relays", &behind_boxes("dropped"), "") else { return };
    assert!(said.contains("connected to bob/desk by relay"), "{said}");
    assert!(said.contains("simultaneous-open did not lead there"), "{said}");
    assert!(said.contains("direct passed over"), "{said}");
}

#[test]
fn behind_boxes_that_admit_syns_both_dial_at_once() {
    let Some(said) = way_taken("dials", &behind_boxes("admitted"), "") else { return };
    assert!(said.contains("connected to bob/desk directly by simultaneous-open"), "{said}");
}
