//! Every preset that nftables can express is classified as itself where a kernel turns it.

use simopen_lab::LabError;
use simopen_lab::classify_kernel::KernelBench;
use simopen_nat::{MiddleboxSpec, PRESETS, PortAllocation};
use simopen_netns_tests::requires_programs;
use simopen_scenario::classify::{classify, compare};
use simopen_scenario::star::IpVersion;

/// How many presets nftables can express.
const EXPRESSIBLE: usize = 11;

#[test]
fn every_preset_that_nftables_has_is_classified_as_itself() {
    if !requires_programs(&["nft"]) {
        return;
    }
    let (mut complaints, mut classified) = (Vec::new(), 0);
    for ip in [IpVersion::V4, IpVersion::V6] {
        let mut bench = KernelBench::build(ip).expect("a kernel router");
        let is_for_v6 = |name: &str| name.starts_with("ipv6");
        for preset in
            PRESETS.iter().filter(|preset| is_for_v6(preset.name) == (ip == IpVersion::V6))
        {
            let ruleset = match bench.load(&preset.spec) {
                Ok(ruleset) => ruleset,
                Err(LabError::NotExpressible(_)) => continue,
                Err(error) => panic!("{}: {error}", preset.name),
            };
            classified += 1;
            let found = classify(&mut bench);
            assert!(bench.fault().is_none());
            for difference in compare(&found, &ruleset.router) {
                complaints.push(format!("{}: {difference:?}", preset.name));
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert_eq!(classified, EXPRESSIBLE);
}

#[test]
fn a_kernel_that_is_another_box_is_found_out() {
    if !requires_programs(&["nft"]) {
        return;
    }
    let mut bench = KernelBench::build(IpVersion::V4).expect("a kernel router");
    let said = [
        (MiddleboxSpec::rst_answering(), MiddleboxSpec::icmp_answering(), "unsolicited"),
        (MiddleboxSpec::no_box(), MiddleboxSpec::silent_stateful_firewall(), "role"),
        (
            MiddleboxSpec::linux_masquerade_fully_random(),
            MiddleboxSpec::linux_masquerade_drop_input(),
            "port-allocation",
        ),
        (
            MiddleboxSpec::cgn_port_block(),
            MiddleboxSpec::cgn_port_block()
                .with_port_allocation(PortAllocation::Block { size: 512 }),
            "port-allocation",
        ),
    ];
    for (is, shall_be, axis) in said {
        bench.load(&is).expect("a box that Linux can be");
        let differences = compare(&classify(&mut bench), &shall_be);
        assert!(bench.fault().is_none());
        assert!(differences.iter().any(|found| found.axis == axis), "{axis}: {differences:?}");
    }
}
