//! The same random packets through each preset as a machine and as a kernel with nftables: what
//! leaves the two must be the same, but for what stands in the table of known differences.
//!
//! `SIMOPEN_DIFFERENTIAL_SEQUENCES` says how many sequences a preset gets (500 if it is not set),
//! `SIMOPEN_DIFFERENTIAL_SEED` where they begin: the sequences of seed 1 and of seed 2 differ in
//! one.

use std::net::IpAddr;
use std::time::Duration;

use simopen_nat::{MiddleboxSpec, Preset, Side};
use simopen_netns_tests::differential::{
    Campaign, HELD_SYN, KernelBox, KnownDifference, MachineBox, OPENED_ENDPOINT, Outcome,
    PacketBox, Place, UNANSWERED_RESET, known_differences,
};
use simopen_netns_tests::requires_programs;

const V4: &str = "203.0.113.1";
const V6: &str = "2001:db8::1";
/// Of a hundred sequences, as many may differ by the meeting of two random ports: only of low ones
/// there are few enough.
const CHANCES: u32 = 2;

/// Compares one preset, and one with its axes turned, under the address outside.
fn compare(name: &str, spec: &MiddleboxSpec, external: &str) {
    if !requires_programs(&["nft"]) {
        return;
    }
    let mut campaign = Campaign::new(spec, address(external)).expect("both boxes");
    let summary = campaign.run(number("SEQUENCES", 500) as u32, number("SEED", 1));
    assert!(
        summary.surprises.is_empty(),
        "{name}: the machine and the kernel differ ({} of {} sequences by known differences)\n{}\
         To draw one again: SIMOPEN_DIFFERENTIAL_SEQUENCES=1 SIMOPEN_DIFFERENTIAL_SEED=<its seed>",
        summary.known,
        summary.sequences,
        summary.surprises.iter().map(ToString::to_string).collect::<String>()
    );
    assert!(summary.chances * 100 <= summary.sequences.max(100) * CHANCES, "{name}: {summary:?}");
    assert!(summary.passed > summary.packets / 4, "{name}: hardly anything passed: {summary:?}");
}

fn compare_preset(name: &str, external: &str) {
    let preset = Preset::named(name).expect("a preset of that name");
    compare(name, &preset.spec, external);
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn number(name: &str, otherwise: u64) -> u64 {
    let value = std::env::var(format!("SIMOPEN_DIFFERENTIAL_{name}"));
    value.map_or(otherwise, |text| text.parse().expect("a number"))
}

fn known(name: &str) -> KnownDifference {
    known_differences().into_iter().find(|known| known.name == name).expect("it is in the table")
}

#[test]
fn without_a_box_the_kernel_passes_what_the_machine_passes() {
    compare_preset("no-box", V4);
    compare_preset("no-box", V6);
}

#[test]
fn a_kernel_is_the_silent_stateful_firewall_that_the_machine_is() {
    compare_preset("silent-stateful-firewall", V4);
    compare_preset("silent-stateful-firewall", V6);
}

#[test]
fn a_kernel_is_the_syn_ack_only_firewall_that_the_machine_is() {
    compare_preset("syn-ack-only-firewall", V4);
}

#[test]
fn a_kernel_rejects_by_reset_what_the_machine_rejects() {
    compare_preset("rst-answering", V4);
    compare_preset("rst-answering", V6);
}

#[test]
fn a_kernel_rejects_by_icmp_what_the_machine_rejects() {
    compare_preset("icmp-answering", V4);
    compare_preset("icmp-answering", V6);
}

#[test]
fn a_kernel_masquerades_silently_as_the_machine_does() {
    compare_preset("linux-masquerade-drop-input", V4);
}

#[test]
fn a_kernel_masquerades_with_an_open_input_as_the_machine_does() {
    compare_preset("linux-masquerade-open-input", V4);
}

#[test]
fn a_kernel_masquerades_to_random_ports_as_the_machine_does() {
    compare_preset("linux-masquerade-fully-random", V4);
}

#[test]
fn a_kernel_translates_into_port_blocks_as_the_machine_does() {
    compare_preset("cgn-port-block", V4);
}

#[test]
fn a_kernel_is_the_rfc6092_firewall_that_the_machine_is() {
    compare_preset("ipv6-stateful-rfc6092", V6);
}

#[test]
fn a_kernel_lets_out_to_proxies_only_as_the_machine_does() {
    compare_preset("egress-http-proxy-only", V4);
}

#[test]
fn an_unanswered_reset_still_deletes_in_the_kernel_what_the_machine_keeps() {
    if !requires_programs(&["nft"]) {
        return;
    }
    let spec = MiddleboxSpec::ipv6_stateful_rfc6092();
    let mut campaign = Campaign::as_specified(&spec, address(V6)).expect("both boxes");
    let sequence = known(UNANSWERED_RESET).sequence;

    let Outcome::Differed(found) = campaign.try_sequence(&sequence) else {
        panic!("no difference any more")
    };

    assert_eq!(found.step + 1, sequence.steps.len());
    assert_eq!((found.machine.len(), found.kernel.len()), (1, 0));
}

#[test]
fn an_opened_endpoint_still_outlives_its_connections_in_the_kernel() {
    if !requires_programs(&["nft"]) {
        return;
    }
    let spec = MiddleboxSpec::ipv6_stateful_rfc6092();
    let mut campaign = Campaign::new(&spec, address(V6)).expect("both boxes");
    let sequence = known(OPENED_ENDPOINT).sequence;

    let Outcome::Differed(found) = campaign.try_sequence(&sequence) else {
        panic!("no difference any more")
    };

    assert_eq!(found.step + 1, sequence.steps.len());
    assert_eq!((found.machine.len(), found.kernel.len()), (0, 1));
}

#[test]
fn a_held_syn_is_still_answered_by_the_machine_alone() {
    if !requires_programs(&["nft"]) {
        return;
    }
    let spec = MiddleboxSpec::ipv6_stateful_rfc6092();
    let place = Place::new(0, address(V6));
    let mut kernel = KernelBox::new(&spec, address(V6)).expect("a router");
    let mut machine = MachineBox::new(spec, &place, [0; 32]);
    let sequence = known(HELD_SYN).sequence;
    let inside = place.inside(0, sequence.inside_port);
    let syn = sequence.steps[0].bytes(&place, inside, inside);

    assert!(kernel.pass(Side::Outside, syn.clone()).is_empty());
    assert!(!kernel.ruleset().text.contains("reject"), "the kernel has nothing to answer with");
    assert!(machine.pass(Side::Outside, syn).is_empty());
    assert_eq!(machine.wait(Duration::from_secs(6)).len(), 1);
}

#[test]
fn connections_that_were_forgotten_let_nothing_in_any_more() {
    if !requires_programs(&["nft"]) {
        return;
    }
    let spec = MiddleboxSpec::silent_stateful_firewall();
    let place = Place::new(0, address(V4));
    let mut kernel = KernelBox::new(&spec, address(V4)).expect("a router");
    let sequence = known(UNANSWERED_RESET).sequence;
    let inside = place.inside(0, sequence.inside_port);
    let [syn, reset, _] = [0, 1, 2].map(|nth| sequence.steps[nth].bytes(&place, inside, inside));

    assert_eq!(kernel.pass(Side::Inside, syn.clone()).len(), 1);
    kernel.forget_connections().expect("they are forgotten");
    assert!(kernel.pass(Side::Outside, reset.clone()).is_empty());

    assert_eq!(kernel.pass(Side::Inside, syn).len(), 1);
    assert_eq!(kernel.pass(Side::Outside, reset).len(), 1);
}

#[test]
fn endpoints_that_were_forgotten_let_nothing_in_any_more() {
    if !requires_programs(&["nft"]) {
        return;
    }
    let spec = MiddleboxSpec::ipv6_stateful_rfc6092();
    let place = Place::new(0, address(V6));
    let mut kernel = KernelBox::new(&spec, address(V6)).expect("a router");
    let sequence = known(OPENED_ENDPOINT).sequence;
    let inside = place.inside(0, sequence.inside_port);
    let [dialled, _, stranger] =
        [0, 1, 2].map(|nth| sequence.steps[nth].bytes(&place, inside, inside));
    assert_eq!(kernel.pass(Side::Inside, dialled).len(), 1);

    kernel.forget_connections().expect("they are forgotten");

    assert!(kernel.pass(Side::Outside, stranger).is_empty());
}
