//! What a box changes in TCP segments beside their endpoints.

use serde::{Deserialize, Serialize};

/// What the box changes in the TCP header. By default: nothing.
///
/// A stripped option is overwritten by no-operations (RFC 9293 §3.1, kind 1), so that no segment
/// changes its length.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Rewriting {
    /// Whether sequence numbers leave as they came.
    pub isn: IsnRewriting,
    /// What happens to the timestamps option (RFC 7323 §3).
    pub timestamps: TimestampRewriting,
    /// Which options are stripped.
    pub options: OptionRewriting,
    /// The largest MSS, in bytes, that a SYN or SYN-ACK may announce; larger ones are lowered.
    pub mss: Option<u16>,
    /// Whether the box makes the handshake with the inside host itself.
    pub syn_proxy: SynProxy,
}

impl Rewriting {
    /// Every segment keeps its numbers and options.
    pub const NONE: Self = Self {
        isn: IsnRewriting::Kept,
        timestamps: TimestampRewriting::Kept,
        options: OptionRewriting::Kept,
        mss: None,
        syn_proxy: SynProxy::Off,
    };
}

/// What happens to sequence numbers. May grow.
///
/// A box that modulates adds a number of its own, which nobody outside of it knows, to the
/// sequence numbers of each side, and takes it off the acknowledgements that come back.
/// Connections that it picked up in their middle keep theirs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum IsnRewriting {
    /// They are kept.
    #[default]
    Kept,
    /// They are modulated, in SACK blocks as well.
    ModulatedSackRepaired,
    /// They are modulated; SACK blocks keep numbers that the other side never sent.
    ModulatedSackBroken,
}

/// What happens to timestamps. May grow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TimestampRewriting {
    /// They are kept.
    #[default]
    Kept,
    /// Each side's are shifted by a secret number, and shifted back in echoes.
    Rewritten,
    /// The option is stripped from every segment.
    Stripped,
}

/// Which TCP options are stripped. May grow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum OptionRewriting {
    /// None.
    #[default]
    Kept,
    /// All but MSS, window scale, SACK permitted, SACK and timestamps.
    UnknownStripped,
    /// All but MSS.
    AllButMssStripped,
}

/// Whether the box makes the handshake with the inside host itself. May grow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SynProxy {
    /// The inside host's SYN leaves.
    #[default]
    Off,
    /// The box answers the inside host's SYN with a SYN-ACK of its own and dials the remote
    /// endpoint only when the handshake inside is complete.
    On,
}
