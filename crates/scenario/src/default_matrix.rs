//! What a matrix is made of where nobody says otherwise.

use std::time::Duration;

use simopen_protocol::technique::Technique;

use crate::boxes::NamedBox;
use crate::cell::Way;

/// One leg.
pub const LEG: Duration = Duration::from_millis(5);
/// Runs of a cell that must end one way.
pub const RUNS: u32 = 3;

/// Each kind of behaviour that decides over a technique, once, and why the preset stands for it.
///
/// The other presets behave towards TCP's opening like one of these: `rfc7857-compliant` and
/// `ipv6-stateful-rfc6092` differ from theirs in timers and in the version of IP,
/// `isn-randomizing-asa` in what it does to SACK, `apd-mapping-sequential` and
/// `linux-masquerade-fully-random` in how a new port is found; and out of
/// `egress-http-proxy-only` no peer reaches the broker.
pub const BOXES: [(&str, &str); 12] = [
    ("no-box", "the control in which everything works that needs nothing of a box"),
    ("linux-masquerade-drop-input", "the NAT of most home routers, silent to strangers"),
    ("linux-masquerade-open-input", "the same, whose own stack answers strangers"),
    ("rfc5382-compliant", "what a NAT shall be: every technique but a plain dial works"),
    (
        "ei-mapping-apd-filtering",
        "one public port for all, and only those may answer who were asked",
    ),
    ("apd-mapping-random", "another public port for each destination: nobody can know it"),
    ("syn-ack-only-firewall", "no bare SYN from outside, whatever its own side has sent"),
    ("silent-stateful-firewall", "state without translation, silent to strangers"),
    ("rst-answering", "an RST for strangers: who comes too early kills the attempt"),
    ("icmp-answering", "an ICMP error for strangers, which a kernel takes for advice"),
    ("isn-modulating-pf", "other sequence numbers outside than inside: nothing can be forged"),
    ("cgn-port-block", "a carrier's NAT, with a block of ports for each host"),
];

/// The boxes.
#[must_use]
pub fn boxes() -> Vec<NamedBox> {
    BOXES.iter().filter_map(|(name, _)| NamedBox::preset(name)).collect()
}

/// The ways: all techniques.
#[must_use]
pub fn ways() -> Vec<Way> {
    Technique::WITHOUT_RELAY.map(Way::Own).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_box_of_the_default_matrix_is_a_preset() {
        assert_eq!(boxes().len(), BOXES.len());
    }
}
