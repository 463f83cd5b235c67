//! What the README says that each technique needs of a peer: with these capabilities alone it
//! connects, without them it does not.

use simopen_device::capability::Privilege::{self, NetAdmin, NetRaw};
use simopen_nat::{InboundBareSyn, MiddleboxSpec};
use simopen_netns_tests::{Cell, Expected, requires, run_all};
use simopen_protocol::cause::Cause;
use simopen_protocol::technique::{SynOwner, Technique};

const KERNEL: Technique = Technique::ForgedSynAck(SynOwner::Kernel);
const USERSPACE: Technique = Technique::ForgedSynAck(SynOwner::Userspace);

fn with(
    privileges: &[Privilege],
    technique: Technique,
    inbound: InboundBareSyn,
    expected: Expected,
) -> Cell {
    let middlebox = MiddleboxSpec::ei_mapping_apd_filtering().with_inbound_bare_syn(inbound);
    let mut cell = Cell::new(&format!("peers with {privileges:?}"), middlebox, technique, expected);
    cell.attempt.privileges = Some(privileges.to_vec());
    cell
}

#[test]
fn each_technique_needs_what_the_readme_says_and_no_more() {
    if !requires() {
        return;
    }
    let (admits, drops) = (InboundBareSyn::Admitted, InboundBareSyn::Dropped);
    let forged = Expected::ConnectsByForgery;
    drop(run_all(vec![
        with(&[], Technique::SimultaneousOpen, admits, Expected::Connects),
        with(&[NetRaw], KERNEL, drops, forged),
        with(&[], KERNEL, drops, Expected::Fails(Cause::NotProven)),
        with(&[NetRaw, NetAdmin], USERSPACE, drops, forged),
        with(&[NetRaw], USERSPACE, drops, Expected::Fails(Cause::LocalError)),
    ]));
}
