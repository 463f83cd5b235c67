//! A middlebox specification as an nftables ruleset and sysctls of a kernel router.
//!
//! The router has two interfaces, [`INSIDE`] and [`OUTSIDE`]. What Linux cannot be told to do is
//! refused by the name of the axis and its value; a value that Linux can only come near to is
//! listed in [`Ruleset::approximations`]. The rest of the ruleset is meant to do, packet for
//! packet, what [`simopen_nat::Middlebox`] does under the same specification.
//!
//! ```
//! use simopen_lab::nft::{Placement, compile};
//! use simopen_nat::MiddleboxSpec;
//!
//! let inside = [("10.0.0.0".parse().unwrap(), 24)];
//! let placement = Placement { external: "203.0.113.1".parse().unwrap(), inside: &inside };
//! let ruleset = compile(&MiddleboxSpec::linux_masquerade_drop_input(), &placement)?;
//! assert!(ruleset.text.contains("masquerade"));
//!
//! let refused = compile(&MiddleboxSpec::ei_mapping_apd_filtering(), &placement).unwrap_err();
//! assert_eq!(refused.axis, "mapping");
//! # Ok::<(), simopen_lab::nft::NotExpressible>(())
//! ```

mod limits_of_linux;
mod outbound;
mod rules;
mod sysctls;
mod translation;

use std::net::IpAddr;

use simopen_nat::MiddleboxSpec;
use thiserror::Error;

/// The router's interface towards its inside.
pub const INSIDE: &str = "inside";
/// The router's interface towards its outside.
pub const OUTSIDE: &str = "outside";

/// A network that lies on the inside of a router: an address and the length of the prefix.
pub type Prefix = (IpAddr, u8);

/// Where a router stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement<'a> {
    /// Its address outside, or the first of a pool.
    pub external: IpAddr,
    /// The networks of its inside; everything else lies outside.
    pub inside: &'a [Prefix],
}

/// What makes a Linux router the box that a specification describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruleset {
    /// Input of `nft -f`; it replaces every rule of the namespace at once.
    pub text: String,
    /// Paths below `/proc/sys` and what is to be written there, after the rules are in place.
    pub sysctls: Vec<(&'static str, String)>,
    /// What the router is: the specification, with the values that Linux has where it only comes
    /// near.
    pub router: MiddleboxSpec,
    /// Where the router does something else than the specification says.
    pub approximations: Vec<Approximation>,
}

impl Ruleset {
    /// Whether it remembers inside endpoints beside conntrack's connections.
    pub(crate) fn remembers_endpoints(&self) -> bool {
        rules::remembers_inside_endpoints(&self.router)
    }
}

/// Input of `nft -f` that forgets the inside endpoints, where a ruleset remembers them.
pub(crate) const FORGET_ENDPOINTS: &str = "flush set inet box opened\n";

/// A value that a Linux router only comes near to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Approximation {
    /// The axis, by its name in a specification file.
    pub axis: &'static str,
    /// What the router does instead.
    pub instead: &'static str,
}

/// A value that no ruleset and no sysctl gives to a Linux router.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("nftables cannot express {axis} = {value}: {why}")]
pub struct NotExpressible {
    /// The axis, by its name in a specification file.
    pub axis: &'static str,
    /// Its value, as it stands in a specification file.
    pub value: String,
    /// Why not.
    pub why: &'static str,
}

/// Compiles a specification for a router that stands there.
///
/// # Errors
///
/// Names the first axis whose value Linux does not have.
pub fn compile(spec: &MiddleboxSpec, placement: &Placement<'_>) -> Result<Ruleset, NotExpressible> {
    limits_of_linux::check(spec, placement)?;
    Ok(Ruleset {
        text: rules::write(spec, placement),
        sysctls: sysctls::of(spec),
        router: limits_of_linux::nearest(spec),
        approximations: limits_of_linux::approximations(spec),
    })
}

#[cfg(test)]
mod tests {
    use simopen_nat::{
        Egress, Hairpin, IcmpErrors, OnReset, PRESETS, Refresh, TcpTracking, UnsolicitedSyn,
    };

    use super::*;

    fn compiled(spec: &MiddleboxSpec) -> Result<Ruleset, NotExpressible> {
        let inside = [("10.0.0.0".parse().unwrap(), 24)];
        compile(spec, &Placement { external: "203.0.113.1".parse().unwrap(), inside: &inside })
    }

    #[test]
    fn presets_are_expressible_or_refused_by_their_first_axis_that_linux_lacks() {
        let refused: Vec<_> = PRESETS
            .iter()
            .filter_map(|preset| Some((preset.name, compiled(&preset.spec).err()?.axis)))
            .collect();
        assert_eq!(
            refused,
            [
                ("rfc5382-compliant", "mapping"),
                ("rfc7857-compliant", "mapping"),
                ("ei-mapping-apd-filtering", "mapping"),
                ("apd-mapping-sequential", "port-overloading"),
                ("apd-mapping-random", "port-overloading"),
                ("isn-modulating-pf", "port-overloading"),
                ("isn-randomizing-asa", "mapping"),
            ]
        );
    }

    #[test]
    fn a_refusal_names_the_value_as_a_specification_file_does() {
        let spec =
            MiddleboxSpec::linux_masquerade_drop_input().with_hairpin(Hairpin::ExternalSource);
        let refusal = compiled(&spec).unwrap_err().to_string();
        assert!(refusal.starts_with("nftables cannot express hairpin = external-source: "));
        let turned = [
            MiddleboxSpec::silent_stateful_firewall().with_tracking(TcpTracking::None),
            MiddleboxSpec::silent_stateful_firewall().with_refresh(Refresh::Outbound),
            MiddleboxSpec::silent_stateful_firewall().with_on_reset(OnReset::Ignored),
        ];
        let axes = turned.map(|spec| compiled(&spec).unwrap_err().axis);
        assert_eq!(axes, ["tracking", "refresh", "on-reset"]);
    }

    #[test]
    fn where_linux_comes_near_it_is_said_how() {
        let ruleset = compiled(&MiddleboxSpec::ipv6_stateful_rfc6092()).unwrap();
        let axes: Vec<_> = ruleset.approximations.iter().map(|near| near.axis).collect();
        assert_eq!(axes, ["on-reset", "unsolicited", "filtering"]);
        assert_eq!(ruleset.router.unsolicited, UnsolicitedSyn::Dropped);
    }

    #[test]
    fn axes_become_rules_and_settings() {
        let spec = MiddleboxSpec::silent_stateful_firewall()
            .with_egress(Egress::DenyExcept([443, 0, 0, 80]))
            .with_icmp_errors(IcmpErrors::TimeExceededFiltered)
            .with_tracking(TcpTracking::Liberal);
        let ruleset = compiled(&spec).unwrap();
        assert!(ruleset.text.contains("th dport != { 443, 80 }"));
        assert!(ruleset.text.contains("icmp type time-exceeded drop"));
        let liberal = ("net/netfilter/nf_conntrack_tcp_be_liberal", "1".to_owned());
        assert!(ruleset.sysctls.contains(&liberal));
    }
}
