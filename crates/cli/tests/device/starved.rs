//! A manager that has no descriptor left.

use std::fs;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::broker::Broker;
use crate::program::{Device, requires};

/// How long a process may take to rest so often.
const PATIENCE: Duration = Duration::from_secs(20);
/// More often than waking up once explains.
const RESTS: u64 = 20;

#[test]
fn a_manager_without_descriptors_rests_and_takes_commands_again() {
    if !requires(&["prlimit"]) {
        return;
    }
    let broker = Broker::start("home");
    broker.add("alice", &["club"]);
    let device = Device::of(&broker, "alice", "laptop");
    let manager = device.manage(1);
    let limit = |soft: u32| {
        let (pid, files) = (manager.id().to_string(), format!("--nofile={soft}:"));
        let set = Command::new("prlimit").args(["--pid", &pid, &files]).status().unwrap();
        assert!(set.success());
    };
    limit(3);
    // No command runs whose end would give a descriptor back; this one cannot be taken.
    let waiting = UnixStream::connect(device.home().join("manager.sock")).unwrap();
    let (before, begun) = (rests(manager.id()), Instant::now());
    while rests(manager.id()) < before + RESTS {
        assert!(begun.elapsed() < PATIENCE, "it tries without a rest");
        std::thread::yield_now();
    }
    limit(1024);
    drop(waiting);
    let status = device.run(&["status", "--json"]).worked();
    assert_eq!(status.json()["manager"], true, "{}", status.text());
    manager.terminate().worked();
}

/// How often it gave its processor away because it had nothing to do (proc(5)).
fn rests(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.unwrap().trim().parse().unwrap()
}
