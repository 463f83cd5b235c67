//! Connections that forged packets open, sent by a process of its own that judges for itself.

use simopen_nat::{InboundBareSyn, MiddleboxSpec};
use simopen_netns_tests::{Cell, Expected, requires, run_all};
use simopen_protocol::cause::Cause;
use simopen_protocol::technique::{SynOwner, Technique};
use simopen_scenario::star::IpVersion;
use simopen_server::forger::{Limits, Policy, Spawn};

const KERNEL: Technique = Technique::ForgedSynAck(SynOwner::Kernel);
const USERSPACE: Technique = Technique::ForgedSynAck(SynOwner::Userspace);

#[test]
fn a_forger_that_judges_for_itself_opens_what_only_forged_packets_open() {
    if !requires() {
        return;
    }
    let by_forger = |spec: MiddleboxSpec, technique, expected, limits, what: &str| {
        let forger = Spawn::program(env!("CARGO_BIN_EXE_test-forger"));
        let forger = forger.policy(Policy { limits, ..Policy::default() });
        Cell::new("SYN dropped", spec, technique, expected).but(
            what,
            |attempt| attempt.trial.forger = Some(forger),
            expected,
        )
    };
    let firewall = MiddleboxSpec::syn_ack_only_firewall;
    let nat = || {
        MiddleboxSpec::linux_masquerade_drop_input().with_inbound_bare_syn(InboundBareSyn::Dropped)
    };
    let (usual, none) = (Limits::default(), Limits { per_second: 0, ..Limits::default() });
    let opens = Expected::ConnectsByForgery;
    let v6 = |cell: Cell| cell.but("IPv6", |it| it.star.ip = IpVersion::V6, opens);
    drop(run_all(vec![
        by_forger(firewall(), KERNEL, opens, usual, "by a forger"),
        by_forger(nat(), KERNEL, opens, usual, "by a forger"),
        by_forger(nat(), USERSPACE, opens, usual, "by a forger"),
        v6(by_forger(firewall(), USERSPACE, opens, usual, "by a forger")),
        by_forger(
            nat(),
            KERNEL,
            Expected::Fails(Cause::NoAnswer),
            none,
            "by a forger that may send none",
        ),
    ]));
}
