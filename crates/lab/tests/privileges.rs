//! What the README says that each technique needs of a peer: with it the technique connects,
//! without it it does not.

use std::io::Write;
use std::sync::Mutex;

use simopen_device::capability::{Capabilities, Privilege};
use simopen_lab::attempt::{AttemptSpec, run_valid};
use simopen_lab::cancel::Cancel;
use simopen_lab::demo::syn_dropping_nat;
use simopen_lab::result::AttemptResult;
use simopen_nat::MiddleboxSpec;
use simopen_protocol::cause::Cause;
use simopen_protocol::technique::{SynOwner, Technique};

const KERNEL: Technique = Technique::ForgedSynAck(SynOwner::Kernel);
const USERSPACE: Technique = Technique::ForgedSynAck(SynOwner::Userspace);

/// One after the other: they measure time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Makes the attempt with peers that have these capabilities and no other. `None` where this
/// machine cannot make it.
fn attempt(
    technique: Technique,
    middlebox: MiddleboxSpec,
    privileges: &[Privilege],
) -> Option<AttemptResult> {
    let missing = Capabilities::probe().missing().next().cloned();
    if let Some(missing) = missing {
        // Not by eprintln!, which the harness hides in a test that passes.
        let _ = writeln!(std::io::stderr(), "NOT RUN: needs {missing}");
        assert!(std::env::var_os("CI").is_none_or(|value| value != "true"), "needs {missing}");
        return None;
    }
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut spec = AttemptSpec::new(technique);
    spec.topology.boxes = [Some(middlebox), Some(middlebox)];
    spec.topology.privileges = Some(privileges.to_vec());
    Some(run_valid(&spec, &Cancel::never()).expect("the experiment can be made"))
}

fn cause(result: &AttemptResult) -> Option<Cause> {
    result.failures.iter().flatten().map(|failure| failure.cause).next()
}

#[test]
fn simultaneous_open_needs_no_privilege() {
    let admitting = MiddleboxSpec::ei_mapping_apd_filtering();
    let Some(result) = attempt(Technique::SimultaneousOpen, admitting, &[]) else { return };
    assert_eq!(result.direct, Some(true), "{:#?}", result.timeline);
}

#[test]
fn forging_for_a_kernels_syn_needs_the_right_to_capture_it() {
    let Some(result) = attempt(KERNEL, syn_dropping_nat(), &[Privilege::NetRaw]) else { return };
    assert_eq!(result.direct, Some(true), "{:#?}", result.timeline);

    let Some(result) = attempt(KERNEL, syn_dropping_nat(), &[]) else { return };
    assert_eq!(cause(&result), Some(Cause::NotProven), "{:#?}", result.timeline);
}

#[test]
fn forging_for_an_own_syn_needs_the_right_to_install_the_connection_too() {
    let both = [Privilege::NetRaw, Privilege::NetAdmin];
    let Some(result) = attempt(USERSPACE, syn_dropping_nat(), &both) else { return };
    assert_eq!(result.direct, Some(true), "{:#?}", result.timeline);

    let Some(result) = attempt(USERSPACE, syn_dropping_nat(), &[Privilege::NetRaw]) else { return };
    assert_eq!(cause(&result), Some(Cause::LocalError), "{:#?}", result.timeline);
}
