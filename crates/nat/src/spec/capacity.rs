//! How many addresses and sessions a box has.

use core::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The outside addresses of a NAT: consecutive ones from its external address on. By default: the
/// external address alone.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct AddressPool {
    /// How many there are; 0 counts as 1.
    pub addresses: u8,
    /// Whether an inside host always has the same one.
    pub pairing: Pairing,
}

impl AddressPool {
    /// The external address alone.
    pub const SINGLE: Self = Self { addresses: 1, pairing: Pairing::Paired };

    /// The addresses of a pool that begins with `external`. Those beyond the last address of the
    /// family do not exist.
    pub fn members(self, external: IpAddr) -> impl Iterator<Item = IpAddr> {
        (0..self.addresses.max(1)).map_while(move |offset| match external {
            IpAddr::V4(first) => {
                Some(IpAddr::V4(first.to_bits().checked_add(u32::from(offset))?.into()))
            }
            IpAddr::V6(first) => {
                Some(IpAddr::V6(first.to_bits().checked_add(u128::from(offset))?.into()))
            }
        })
    }
}

impl Default for AddressPool {
    fn default() -> Self {
        Self::SINGLE
    }
}

/// Whether the mappings of one inside address share one outside address (RFC 4787 §4.1, REQ-2).
/// May grow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Pairing {
    /// They do.
    #[default]
    Paired,
    /// Each mapping has a random one.
    Arbitrary,
}

/// How many sessions the box keeps, those of TCP, UDP and ICMP echo together. By default: as many
/// as there are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Limits {
    /// For each inside address.
    pub per_host: Option<u32>,
    /// In all.
    pub total: Option<u32>,
    /// What a session beyond them meets.
    pub when_full: WhenFull,
}

impl Limits {
    /// No limit.
    pub const NONE: Self = Self { per_host: None, total: None, when_full: WhenFull::Refused };
}

/// What a session beyond the limits meets. May grow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum WhenFull {
    /// It is not opened; its packet is dropped.
    #[default]
    Refused,
    /// The session that was opened first, of the same inside address where its limit is the one
    /// that is reached, makes room.
    OldestEvicted,
}
