//! Known middleboxes as data, each with the source of the observation.

use crate::filtering::Filtering;
use crate::mapping::Mapping;
use crate::port_allocation::{PortAllocation, PortOverloading};
use crate::spec::{
    AddressPool, EarlyPacket, Egress, Hairpin, IcmpEcho, IcmpErrors, InboundBareSyn,
    InvalidOutbound, IsnRewriting, Limits, MidStream, MiddleboxSpec, OnIcmpError, OnReset,
    PortParity, Refresh, Rewriting, Role, TcpTimers, TcpTracking, UdpPolicy, UnsolicitedSyn,
};

/// A named specification and where it was observed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Preset {
    /// The name by which scenarios, flags and reports call it.
    pub name: &'static str,
    /// What the box is.
    pub spec: MiddleboxSpec,
    /// Where the behaviour was observed or is prescribed.
    pub source: &'static str,
}

impl Preset {
    /// Finds a preset by its name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name)
    }
}

/// All presets, in the order in which documentation lists them.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "no-box",
        spec: MiddleboxSpec::no_box(),
        source: "a router without filter or translation",
    },
    Preset {
        name: "linux-masquerade-drop-input",
        spec: MiddleboxSpec::linux_masquerade_drop_input(),
        source: "Linux 6.18, nftables masquerade, input policy drop; measured in namespaces",
    },
    Preset {
        name: "linux-masquerade-open-input",
        spec: MiddleboxSpec::linux_masquerade_open_input(),
        source: "Linux 6.18, nftables masquerade, input policy accept, nothing listening; measured \
                 in namespaces",
    },
    Preset {
        name: "linux-masquerade-fully-random",
        spec: MiddleboxSpec::linux_masquerade_fully_random(),
        source: "Linux 6.18, nftables masquerade fully-random, input policy drop; measured in \
                 namespaces",
    },
    Preset {
        name: "rfc5382-compliant",
        spec: MiddleboxSpec::rfc5382_compliant(),
        source: "RFC 5382, REQ-1 to REQ-5, REQ-8 and REQ-10; RFC 4787 for UDP; RFC 5508 for ICMP",
    },
    Preset {
        name: "rfc7857-compliant",
        spec: MiddleboxSpec::rfc7857_compliant(),
        source: "RFC 7857, which updates RFC 4787, 5382 and 5508",
    },
    Preset {
        name: "ei-mapping-apd-filtering",
        spec: MiddleboxSpec::ei_mapping_apd_filtering(),
        source: "RFC 4787 §4.1 and §5 in words; the common home gateway (Guha and Francis, IMC \
                 2005)",
    },
    Preset {
        name: "apd-mapping-sequential",
        spec: MiddleboxSpec::apd_mapping_sequential(),
        source: "RFC 4787 §4.1 in words; the predictable ports of Guha and Francis, IMC 2005",
    },
    Preset {
        name: "apd-mapping-random",
        spec: MiddleboxSpec::apd_mapping_random(),
        source: "RFC 4787 §4.1 in words; the hard case of Ford, Srisuresh and Kegel, 2005",
    },
    Preset {
        name: "syn-ack-only-firewall",
        spec: MiddleboxSpec::syn_ack_only_firewall(),
        source: "seed 001 ¶164: a firewall that admits no bare SYN, only the answer to its own",
    },
    Preset {
        name: "silent-stateful-firewall",
        spec: MiddleboxSpec::silent_stateful_firewall(),
        source: "Linux 6.18, nftables forward chain: established accepted, rest dropped; measured",
    },
    Preset {
        name: "rst-answering",
        spec: MiddleboxSpec::rst_answering(),
        source: "Linux 6.18, nftables forward chain: rest rejected with tcp reset; measured",
    },
    Preset {
        name: "icmp-answering",
        spec: MiddleboxSpec::icmp_answering(),
        source: "Linux 6.18, nftables forward chain: rest rejected as admin-prohibited; measured",
    },
    Preset {
        name: "isn-modulating-pf",
        spec: MiddleboxSpec::isn_modulating_pf(),
        source: "OpenBSD pf.conf(5): nat-to with modulate state, default timeouts; from its manual",
    },
    Preset {
        name: "isn-randomizing-asa",
        spec: MiddleboxSpec::isn_randomizing_asa(),
        source: "Cisco ASA configuration guides: TCP sequence randomization, which breaks SACK; \
                 from its manuals",
    },
    Preset {
        name: "cgn-port-block",
        spec: MiddleboxSpec::cgn_port_block(),
        source: "RFC 6888, REQ-14, and RFC 7422 in words; Linux 6.18, nftables snat to a range of \
                 ports for each inside host",
    },
    Preset {
        name: "ipv6-stateful-rfc6092",
        spec: MiddleboxSpec::ipv6_stateful_rfc6092(),
        source: "RFC 6092 §3.3, REC-31 to REC-37",
    },
    Preset {
        name: "egress-http-proxy-only",
        spec: MiddleboxSpec::egress_http_proxy_only(),
        source: "networks that let out web traffic alone: Linux, nftables forward chain with a \
                 list of destination ports",
    },
];

/// Presets by name.
impl MiddleboxSpec {
    /// `no-box`: passes every packet.
    #[must_use]
    pub const fn no_box() -> Self {
        Self { role: Role::Transparent, ..Self::silent_stateful_firewall() }
    }

    /// `linux-masquerade-drop-input`: keeps the port as long as no other connection to the same
    /// remote endpoint has it, and says nothing to strangers.
    #[must_use]
    pub const fn linux_masquerade_drop_input() -> Self {
        Self {
            role: Role::Nat,
            // To the kernel every connection is translated by itself; a kept port makes that look
            // endpoint-independent until two inside hosts want the same one.
            mapping: Mapping::AddressAndPortDependent,
            filtering: Filtering::AddressAndPortDependent,
            port_allocation: PortAllocation::Preserve,
            port_overloading: PortOverloading::ByRemote,
            hairpin: Hairpin::Off,
            refresh: Refresh::Both,
            unsolicited: UnsolicitedSyn::Dropped,
            early_packet: EarlyPacket::Harmless,
            inbound_bare_syn: InboundBareSyn::Admitted,
            tracking: TcpTracking::Strict,
            mid_stream: MidStream::PickedUp,
            invalid_outbound: InvalidOutbound::LeavesUntranslated,
            on_reset: OnReset::DeletesUnanswered,
            on_icmp_error: OnIcmpError::SessionKept,
            icmp_errors: IcmpErrors::Passed,
            icmp_echo: IcmpEcho::Translated,
            egress: Egress::Everything,
            idle_killer: None,
            pool: AddressPool::SINGLE,
            rewriting: Rewriting::NONE,
            udp: UdpPolicy::LINUX,
            limits: Limits::NONE,
            timers: TcpTimers::LINUX,
        }
    }

    /// `linux-masquerade-open-input`: the same, and the router's own stack answers RST.
    #[must_use]
    pub const fn linux_masquerade_open_input() -> Self {
        Self::linux_masquerade_drop_input().with_unsolicited(UnsolicitedSyn::Reset)
    }

    /// `linux-masquerade-fully-random`: a random port for each connection.
    #[must_use]
    pub const fn linux_masquerade_fully_random() -> Self {
        Self::linux_masquerade_drop_input().with_port_allocation(PortAllocation::Random)
    }

    /// `rfc5382-compliant`: REQ-1 endpoint-independent mapping, REQ-3 endpoint-independent
    /// filtering, REQ-4 six seconds of silence, REQ-5 timers at their minimum, REQ-8 hairpinning
    /// with the outside endpoint as source. UDP after RFC 4787.
    #[must_use]
    pub const fn rfc5382_compliant() -> Self {
        Self {
            role: Role::Nat,
            mapping: Mapping::EndpointIndependent,
            filtering: Filtering::EndpointIndependent,
            port_allocation: PortAllocation::Preserve,
            port_overloading: PortOverloading::Off,
            hairpin: Hairpin::ExternalSource,
            unsolicited: UnsolicitedSyn::HeldThenPortUnreachable,
            inbound_bare_syn: InboundBareSyn::Admitted,
            tracking: TcpTracking::Liberal,
            mid_stream: MidStream::Refused,
            invalid_outbound: InvalidOutbound::Dropped,
            on_reset: OnReset::StartsCloseTimer,
            udp: UdpPolicy::RFC4787,
            timers: TcpTimers::RFC5382,
            ..Self::linux_masquerade_drop_input()
        }
    }

    /// `rfc7857-compliant`: the same with random ports, no port parity, and only packets from
    /// inside prolonging a session.
    #[must_use]
    pub const fn rfc7857_compliant() -> Self {
        Self {
            port_allocation: PortAllocation::Random,
            refresh: Refresh::Outbound,
            udp: UdpPolicy { port_parity: PortParity::Ignored, ..UdpPolicy::RFC4787 },
            ..Self::rfc5382_compliant()
        }
    }

    /// `ei-mapping-apd-filtering`: one outside endpoint for each inside endpoint, port kept, and
    /// only endpoints that were addressed come in; strangers hear nothing.
    #[must_use]
    pub const fn ei_mapping_apd_filtering() -> Self {
        Self {
            mapping: Mapping::EndpointIndependent,
            port_overloading: PortOverloading::Off,
            ..Self::linux_masquerade_drop_input()
        }
    }

    /// `apd-mapping-random`: a random port of its own for each remote endpoint.
    #[must_use]
    pub const fn apd_mapping_random() -> Self {
        Self::ei_mapping_apd_filtering()
            .with_mapping(Mapping::AddressAndPortDependent)
            .with_port_allocation(PortAllocation::Random)
    }

    /// `apd-mapping-sequential`: for each remote endpoint the port after the one given out last.
    #[must_use]
    pub const fn apd_mapping_sequential() -> Self {
        Self::apd_mapping_random().with_port_allocation(PortAllocation::Sequential { step: 1 })
    }

    /// `isn-modulating-pf`: a random port for each connection, sequence numbers modulated both
    /// ways, SACK blocks too.
    #[must_use]
    pub const fn isn_modulating_pf() -> Self {
        Self {
            mid_stream: MidStream::Refused,
            invalid_outbound: InvalidOutbound::Dropped,
            rewriting: Rewriting { isn: IsnRewriting::ModulatedSackRepaired, ..Rewriting::NONE },
            timers: TcpTimers::PF,
            ..Self::apd_mapping_random()
        }
    }

    /// `isn-randomizing-asa`: one outside endpoint for each inside endpoint, sequence numbers
    /// modulated both ways, SACK blocks not, MSS at most 1380.
    #[must_use]
    pub const fn isn_randomizing_asa() -> Self {
        Self {
            mid_stream: MidStream::Refused,
            invalid_outbound: InvalidOutbound::Dropped,
            rewriting: Rewriting {
                isn: IsnRewriting::ModulatedSackBroken,
                mss: Some(1380),
                ..Rewriting::NONE
            },
            ..Self::ei_mapping_apd_filtering()
        }
    }

    /// `cgn-port-block`: each inside host has 1024 ports of its own and keeps those that lie among
    /// them; an inside endpoint has the same outside endpoint towards all, as long as that is free.
    #[must_use]
    pub const fn cgn_port_block() -> Self {
        Self::linux_masquerade_drop_input()
            .with_port_allocation(PortAllocation::Block { size: 1024 })
    }

    /// `silent-stateful-firewall`: no translation; what no inside host asked for is dropped.
    #[must_use]
    pub const fn silent_stateful_firewall() -> Self {
        Self {
            role: Role::Firewall,
            mapping: Mapping::EndpointIndependent,
            port_overloading: PortOverloading::Off,
            ..Self::linux_masquerade_drop_input()
        }
    }

    /// `syn-ack-only-firewall`: the same, and a bare SYN from outside never passes.
    #[must_use]
    pub const fn syn_ack_only_firewall() -> Self {
        Self::silent_stateful_firewall().with_inbound_bare_syn(InboundBareSyn::Dropped)
    }

    /// `rst-answering`: a firewall that rejects with RST.
    #[must_use]
    pub const fn rst_answering() -> Self {
        Self::silent_stateful_firewall().with_unsolicited(UnsolicitedSyn::Reset)
    }

    /// `icmp-answering`: a firewall that rejects with ICMP admin-prohibited.
    #[must_use]
    pub const fn icmp_answering() -> Self {
        Self::silent_stateful_firewall().with_unsolicited(UnsolicitedSyn::AdminProhibited)
    }

    /// `ipv6-stateful-rfc6092`: endpoint-independent filtering (REC-33), ICMP instead of silence
    /// (REC-34), established 2 h 4 min and transitory 4 min (REC-35).
    #[must_use]
    pub const fn ipv6_stateful_rfc6092() -> Self {
        Self { role: Role::Firewall, hairpin: Hairpin::Off, ..Self::rfc5382_compliant() }
    }

    /// `egress-http-proxy-only`: a firewall that opens connections to the ports 80, 443, 3128 and
    /// 8080 only, and no UDP.
    #[must_use]
    pub const fn egress_http_proxy_only() -> Self {
        Self {
            egress: Egress::DenyExcept([80, 443, 3128, 8080]),
            udp: UdpPolicy::BLOCKED,
            icmp_echo: IcmpEcho::Blocked,
            invalid_outbound: InvalidOutbound::Dropped,
            ..Self::silent_stateful_firewall()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_found_by_its_own_name_only() {
        for preset in PRESETS {
            assert_eq!(Preset::named(preset.name), Some(preset));
        }
        assert_eq!(Preset::named("cone"), None);
    }
}
