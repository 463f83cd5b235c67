//! However an experiment ends, nothing of it stays. Alone in its process, because it counts threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread;
use std::time::Duration;

use simopen_device::clock::Clock;
use simopen_lab::LabError;
use simopen_lab::attempt::{self, AttemptSpec};
use simopen_lab::cancel::{Cancel, Canceller};
use simopen_lab::matrix::{self, How, MatrixSpec};
use simopen_lab::pump::Packets;
use simopen_lab::topology::{Topology, TopologyOptions};
use simopen_nat::MiddleboxSpec;
use simopen_netns_tests::{
    Cell, Expected, MachineTraces, ProcessTraces, is_dialling, namespaces_of, requires,
    requires_programs, wait_for, wait_until_restored,
};
use simopen_protocol::technique::{SynOwner, Technique};
use simopen_scenario::boxes::NamedBox;
use simopen_scenario::cell::Way;
use simopen_scenario::conditions::Conditions;
use simopen_scenario::network::Executor;
use simopen_scenario::result::Results;
use simopen_scenario::seed::entropy_of;

const THIS_PROCESS: &str = "/proc/self";

#[test]
fn nothing_is_left_behind_whatever_the_end() {
    if !requires() {
        return;
    }
    let endings: [(&str, fn()); 11] = [
        ("success with the kernel's SYN", || succeed(SynOwner::Kernel)),
        ("success with a SYN of one's own", || succeed(SynOwner::Userspace)),
        ("failure", fail),
        ("an experiment that cannot be made", cannot_begin),
        ("a panic in a job on a host", panic_on_a_host),
        ("a panic beside a running topology", panic_beside),
        ("cancellation before the first host stands", cancel_at_once),
        ("cancellation while hosts dial", cancel_while_dialling),
        ("a matrix", || drop(run_matrix(Executor::Model, &Cancel::never()))),
        ("a matrix of kernels", matrix_of_kernels),
        ("a matrix that is cancelled while hosts dial", cancel_matrix),
    ];
    // Whatever the first experiment of a process makes for good is made now.
    succeed(SynOwner::Userspace);
    let now = || (ProcessTraces::now(), MachineTraces::now());
    let before = now();
    for (name, end) in endings {
        end();
        wait_until_restored(&before, now, name);
    }
}

fn spec(technique: Technique) -> AttemptSpec {
    let boxes = MiddleboxSpec::syn_ack_only_firewall();
    Cell::new("firewall, SYN dropped", boxes, technique, Expected::Connects).attempt
}

fn succeed(owner: SynOwner) {
    let result = attempt::run_valid(&spec(Technique::ForgedSynAck(owner)), &Cancel::never());
    assert!(result.expect("it can be made").connected());
}

fn fail() {
    let result = attempt::run_valid(&spec(Technique::SimultaneousOpen), &Cancel::never());
    assert!(!result.expect("it can be made").connected());
}

fn cannot_begin() {
    let mut spec = spec(Technique::SimultaneousOpen);
    spec.captures = Some("/proc/no-directory-can-be-made-here".into());
    let result = attempt::run(&spec, &Cancel::never());
    assert!(matches!(result, Err(LabError::CaptureFile { .. })), "{:?}", result.err());
}

fn panic_on_a_host() {
    let topology = build();
    let ended: Result<(), LabError> = topology.run_on("a", || panic!("on purpose"));
    assert!(matches!(ended, Err(LabError::ThreadEnded(_))), "{ended:?}");
    // The other jobs of the host go on.
    assert_eq!(topology.run_on("a", || 1).expect("the host lives"), 1);
}

fn panic_beside() {
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _topology = build();
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
}

fn cancel_at_once() {
    let (canceller, cancel) = Canceller::new();
    canceller.cancel();
    let result = attempt::run(&spec(Technique::SimultaneousOpen), &cancel);
    assert!(matches!(result, Err(LabError::Cancelled)), "{:?}", result.err());
}

fn cancel_while_dialling() {
    let (canceller, cancel) = Canceller::new();
    let spec = spec(Technique::SimultaneousOpen);
    let attempt = thread::spawn(move || attempt::run(&spec, &cancel));
    let process = Path::new(THIS_PROCESS);
    let dialling = wait_for(|| is_dialling(process).then(|| namespaces_of(process)));
    canceller.cancel();
    let result = attempt.join().expect("the attempt does not panic");
    assert!(matches!(result, Err(LabError::Cancelled)), "{:?}", result.err());
    let namespaces = dialling.expect("the hosts dial").len();
    assert_eq!(namespaces, 4, "the process's own and one for each host");
}

fn run_matrix(executor: Executor, cancel: &Cancel) -> Results {
    let spec = MatrixSpec {
        boxes: vec![NamedBox::preset("syn-ack-only-firewall").expect("a preset has that name")],
        ways: vec![Way::Own(Technique::SimultaneousOpen)],
        runs: 2,
        seed: 1,
        conditions: Conditions::with_leg(Duration::from_millis(10)),
        how: How { executor, jobs: 2, ..How::new("a test") },
    };
    matrix::run(&spec, cancel, &|_| {}).expect("it can be made")
}

fn matrix_of_kernels() {
    if requires_programs(&["nft"]) {
        drop(run_matrix(Executor::Nft, &Cancel::never()));
    }
}

fn cancel_matrix() {
    let (canceller, cancel) = Canceller::new();
    let running = thread::spawn(move || run_matrix(Executor::Model, &cancel));
    let dialling = wait_for(|| is_dialling(Path::new(THIS_PROCESS)).then_some(()));
    canceller.cancel();
    let results = running.join().expect("the matrix does not panic");
    assert!(dialling.is_some() && !results.complete);
}

fn build() -> Topology {
    let spec = spec(Technique::SimultaneousOpen);
    let (clock, entropy) = (Clock::start(), entropy_of(0));
    let network = spec.star.network(&entropy, clock.now()).expect("it can be planned");
    let options = TopologyOptions::default();
    Topology::build(network, entropy, Packets::Forgotten, &options, clock).expect("it can be built")
}
