//! The axes of a specification, each by its place in the specification's text.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use simopen_nat::MiddleboxSpec;

use super::reading::in_words;

macro_rules! axes {
    ($first:ident = $first_path:literal, $($name:ident = $path:literal,)*) => {
        /// One axis of a specification. May grow, with the specification.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Axis {
            #[doc = concat!("`", $first_path, "`")]
            $first,
            $(#[doc = concat!("`", $path, "`")] $name,)*
        }

        impl Axis {
            /// All axes, in the order of the specification.
            pub const ALL: &[Self] = &[Self::$first, $(Self::$name,)*];

            /// All axes but the kind of box.
            pub(super) const ALL_BUT_ROLE: &[Self] = &[$(Self::$name,)*];

            /// Where it stands in a specification: `udp.mapping` is `mapping` in the table `udp`.
            #[must_use]
            pub const fn path(self) -> &'static str {
                match self {
                    Self::$first => $first_path,
                    $(Self::$name => $path,)*
                }
            }
        }
    };
}

axes! {
    Role = "role",
    Mapping = "mapping",
    Filtering = "filtering",
    PortAllocation = "port-allocation",
    PortOverloading = "port-overloading",
    Hairpin = "hairpin",
    Refresh = "refresh",
    Unsolicited = "unsolicited",
    EarlyPacket = "early-packet",
    InboundBareSyn = "inbound-bare-syn",
    Tracking = "tracking",
    MidStream = "mid-stream",
    InvalidOutbound = "invalid-outbound",
    OnReset = "on-reset",
    OnIcmpError = "on-icmp-error",
    IcmpErrors = "icmp-errors",
    IcmpEcho = "icmp-echo",
    Egress = "egress",
    IdleKiller = "idle-killer",
    PoolAddresses = "pool.addresses",
    PoolPairing = "pool.pairing",
    Isn = "rewriting.isn",
    Timestamps = "rewriting.timestamps",
    Options = "rewriting.options",
    Mss = "rewriting.mss",
    SynProxy = "rewriting.syn-proxy",
    Udp = "udp.policy",
    UdpMapping = "udp.mapping",
    UdpFiltering = "udp.filtering",
    UdpLifetime = "udp.lifetime",
    UdpPortParity = "udp.port-parity",
    LimitPerHost = "limits.per-host",
    LimitTotal = "limits.total",
    WhenFull = "limits.when-full",
    SynSent = "timers.syn-sent",
    SynReceived = "timers.syn-received",
    Established = "timers.established",
    FinWait = "timers.fin-wait",
    CloseWait = "timers.close-wait",
    LastAck = "timers.last-ack",
    TimeWait = "timers.time-wait",
    Close = "timers.close",
    Unacknowledged = "timers.unacknowledged",
    Retransmitting = "timers.retransmitting",
}

impl Axis {
    /// What a specification says of it, as its text does.
    ///
    /// # Panics
    ///
    /// Never: a specification is text of which every axis has a place.
    #[must_use]
    pub fn of(self, spec: &MiddleboxSpec) -> Value {
        let text = serde_json::to_value(spec).expect("a specification is plain data");
        let place = format!("/{}", self.path().replace('.', "/"));
        text.pointer(&place).cloned().expect("every axis has its place in the specification")
    }

    /// What a specification says of it, for a reader.
    #[must_use]
    pub fn says(self, spec: &MiddleboxSpec) -> String {
        in_words(&self.of(spec))
    }

    /// The specification with another value there; `None` if the axis cannot have it.
    #[must_use]
    pub fn turned(self, spec: &MiddleboxSpec, value: Value) -> Option<MiddleboxSpec> {
        let mut text = serde_json::to_value(spec).ok()?;
        *text.pointer_mut(&format!("/{}", self.path().replace('.', "/")))? = value;
        serde_json::from_value(text).ok()
    }

    /// The axis at that place.
    #[must_use]
    pub fn at(path: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|axis| axis.path() == path)
    }
}

impl fmt::Display for Axis {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.path())
    }
}

impl Serialize for Axis {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.path())
    }
}

impl<'de> Deserialize<'de> for Axis {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let path = String::deserialize(from)?;
        Self::at(&path).ok_or_else(|| serde::de::Error::custom(format!("'{path}' is no axis")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The places of all values that are no tables, or tables of one value.
    fn leaves(prefix: &str, value: &Value, found: &mut Vec<String>) {
        const TABLES: [&str; 5] = ["pool", "rewriting", "udp", "limits", "timers"];
        let fields = value.as_object().filter(|_| prefix.is_empty() || TABLES.contains(&prefix));
        let Some(fields) = fields else { return found.push(prefix.to_owned()) };
        for (name, value) in fields {
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            leaves(&path, value, found);
        }
    }

    #[test]
    fn every_field_of_a_specification_is_an_axis() {
        let mut found = Vec::new();
        leaves("", &serde_json::to_value(MiddleboxSpec::no_box()).unwrap(), &mut found);
        found.sort();
        let mut known: Vec<_> = Axis::ALL.iter().map(|axis| axis.path().to_owned()).collect();
        known.sort();
        assert_eq!(found, known);
    }

    #[test]
    fn an_axis_is_turned_in_its_place_only() {
        let spec = MiddleboxSpec::silent_stateful_firewall();
        let turned = Axis::Unsolicited.turned(&spec, "reset".into()).unwrap();
        assert_eq!(turned, MiddleboxSpec::rst_answering());
        assert_eq!(Axis::Unsolicited.turned(&spec, "polite".into()), None);
    }
}
