//! The way through an HTTP proxy, by environment and flags.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::broker::Broker;
use crate::program::{Device, Ran, Running};

fn free_port() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

fn run_behind(device: &Device, proxy: SocketAddr, arguments: &[&str]) -> Ran {
    let mut command = device.command(arguments);
    command.env("HTTPS_PROXY", format!("http://{proxy}"));
    Running::spawn(command).end()
}

#[test]
fn a_proxy_of_the_environment_is_used_unless_a_flag_says_otherwise() {
    let broker = Broker::start("home");
    broker.add("alice", &["club"]);
    let device = Device::of(&broker, "alice", "laptop");
    // Nobody is there: whoever goes that way does not arrive.
    let dead = free_port();
    let lost = run_behind(&device, dead, &["status"]);
    assert_eq!(lost.code, 1, "{}", lost.err);
    assert!(lost.err.contains(&dead.to_string()), "the proxy is named: {}", lost.err);
    run_behind(&device, dead, &["status", "--proxy", "none"]).worked();
    run_behind(&device, dead, &["status", "--no-proxy", "127.0.0.1"]).worked();
    let bad = device.run(&["status", "--proxy", "socks5://127.0.0.1:1"]);
    assert_eq!(bad.code, 2, "{}", bad.err);
}

#[test]
fn everything_goes_through_a_real_proxy() {
    let Some(proxy) = Tinyproxy::start() else { return };
    let broker = Broker::start("home");
    let [alice, bob] = ["alice", "bob"].map(|user| {
        broker.add(user, &["club"]);
        let device = Device::new();
        let line = broker.invite(user).reveal();
        run_behind(&device, proxy.address, &["join", &line, "--device", "laptop"]).worked();
        device
    });
    let mut listen = bob.command(&["listen"]);
    listen.env("HTTPS_PROXY", format!("http://{}", proxy.address));
    let mut listener = Running::spawn(listen);
    listener.wait_for_line("leads to");
    listener.say(b"hello from bob");
    let connected = run_behind(&alice, proxy.address, &["connect", "bob"]).worked();
    assert_eq!(connected.out, b"hello from bob");
    assert!(connected.err.contains("by relay"), "{}", connected.err);
    listener.end().worked();
    let log = fs::read_to_string(proxy.folder.join("log")).unwrap();
    // Twice to join, twice to log in, twice to the relay.
    assert!(log.matches("CONNECT 127.0.0.1:").count() >= 6, "{log}");
}

/// A proxy of this test's own. It ends with the test.
struct Tinyproxy {
    address: SocketAddr,
    folder: PathBuf,
    running: Option<Running>,
}

impl Tinyproxy {
    /// `None` where it is not installed.
    fn start() -> Option<Self> {
        let quiet = || Stdio::null();
        let asked = Command::new("tinyproxy").arg("-v").stdout(quiet()).stderr(quiet()).status();
        if asked.is_err() {
            // Not by a print macro: the harness keeps what those say in a test that passes.
            let _ = writeln!(
                std::io::stderr(),
                "NOT RUN: needs the program tinyproxy: run scripts/install-test-programs"
            );
            let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
            assert!(!in_ci, "CI=true forbids tests that cannot run");
            return None;
        }
        let address = free_port();
        let folder = std::env::temp_dir().join(format!("simopen-proxy-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        let config = format!(
            "Port {}\nListen 127.0.0.1\nTimeout 600\nLogLevel Connect\nLogFile \"{}\"\n",
            address.port(),
            folder.join("log").display()
        );
        fs::write(folder.join("config"), config).unwrap();
        let mut command = Command::new("tinyproxy");
        command.arg("-d").arg("-c").arg(folder.join("config"));
        let running = Some(Running::spawn(command));
        let begun = std::time::Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(begun.elapsed().as_secs() < 30, "tinyproxy does not listen");
            std::thread::yield_now();
        }
        Some(Self { address, folder, running })
    }
}

impl Drop for Tinyproxy {
    fn drop(&mut self) {
        self.running = None;
        let _ = fs::remove_dir_all(&self.folder);
    }
}
