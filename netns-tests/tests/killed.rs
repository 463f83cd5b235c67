//! A process that is killed in the middle of an attempt leaves nothing either: there is nothing
//! that only a program could take down.

use std::env;
use std::path::PathBuf;
use std::process::{self, Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use simopen_lab::attempt;
use simopen_lab::cancel::Cancel;
use simopen_lab::matrix::{self, How, MatrixSpec};
use simopen_nat::MiddleboxSpec;
use simopen_netns_tests::{
    Cell, Expected, MachineTraces, is_dialling, namespaces_of, processes_with, requires, wait_for,
    wait_until_restored,
};
use simopen_protocol::technique::{SynOwner, Technique};
use simopen_scenario::boxes::NamedBox;
use simopen_scenario::cell::Way;
use simopen_scenario::conditions::Conditions;

/// In the environment of a child, which makes attempts until it is killed.
const MARK: &str = "SIMOPEN_TEST_TO_BE_KILLED";

/// What a child does, and the namespaces that it has meanwhile: its own and one for each host, of
/// one topology or of two.
const CHILDREN: [(&str, usize); 2] =
    [("one_process_makes_attempt_after_attempt", 4), ("one_process_runs_a_matrix", 7)];

/// Attempts after which a child ends that nobody kills.
const AT_MOST: usize = 10;

#[test]
fn a_process_killed_in_the_middle_of_an_attempt_leaves_nothing_behind() {
    if !requires() {
        return;
    }
    let signals = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGKILL];
    for (signal, (child, expected)) in
        signals.into_iter().flat_map(|signal| CHILDREN.map(|child| (signal, child)))
    {
        let before = MachineTraces::now();
        let mark = format!("{}-{signal}-{child}", process::id());
        let mut child = Killed::start(child, &mark);
        let process = child.process();
        let namespaces = wait_for(|| is_dialling(&process).then(|| namespaces_of(&process)));
        assert_eq!(namespaces.map_or(0, |found| found.len()), expected, "{mark}");

        kill(Pid::from_raw(child.0.id().cast_signed()), signal).expect("the child is ours");
        let status = child.0.wait().expect("the child can be waited for");

        assert!(!status.success(), "{signal}");
        let variable = format!("{MARK}={mark}");
        assert_eq!(processes_with(&variable), Vec::<PathBuf>::new(), "{signal}");
        wait_until_restored(&before, MachineTraces::now, signal.as_str());
    }
}

/// In a child this goes on until it is killed.
#[test]
fn one_process_makes_attempt_after_attempt() {
    if !requires() {
        return;
    }
    let boxes = MiddleboxSpec::syn_ack_only_firewall();
    let cell = |technique| Cell::new("firewall, SYN dropped", boxes, technique, Expected::Connects);
    if env::var_os(MARK).is_some() {
        let spec = cell(Technique::SimultaneousOpen).attempt;
        for _ in 0..AT_MOST {
            let result = attempt::run(&spec, &Cancel::never()).expect("it can be made");
            assert!(!result.connected());
        }
        return;
    }
    for owner in [SynOwner::Kernel, SynOwner::Userspace] {
        let spec = cell(Technique::ForgedSynAck(owner)).attempt;
        let result = attempt::run_valid(&spec, &Cancel::never()).expect("it can be made");
        assert!(result.connected(), "{:?}", result.cause());
    }
}

/// In a child this goes on until it is killed.
#[test]
fn one_process_runs_a_matrix() {
    if env::var_os(MARK).is_none() || !requires() {
        return;
    }
    let spec = MatrixSpec {
        boxes: vec![NamedBox::preset("syn-ack-only-firewall").expect("a preset has that name")],
        ways: vec![Way::Own(Technique::SimultaneousOpen)],
        runs: 2 * u32::try_from(AT_MOST).expect("it is small"),
        seed: 1,
        conditions: Conditions::with_leg(Duration::from_millis(10)),
        how: How { jobs: 2, ..How::new("a test") },
    };
    let results = matrix::run(&spec, &Cancel::never(), &|_| {}).expect("it can be made");
    assert_eq!(results.surprises().count(), 0);
}

/// A child that does not outlive the test.
struct Killed(Child);

impl Killed {
    fn start(test: &str, mark: &str) -> Self {
        let own = env::current_exe().expect("the test knows its own program");
        let child = Command::new(own)
            .args(["--exact", test])
            .env(MARK, mark)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.expect("the own program can be started"))
    }

    fn process(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.0.id()))
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        // It is dead already, unless the test has failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
