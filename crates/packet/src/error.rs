//! What can be wrong with bytes: small errors that say where, how much was needed, and how much
//! was given.

use core::fmt;

/// The layer at which bytes failed.
///
/// Closed: these are the layers that this crate reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layer {
    /// IPv4 header.
    Ipv4,
    /// IPv6 header.
    Ipv6,
    /// IPv6 extension headers.
    Ipv6Extensions,
    /// TCP header.
    Tcp,
    /// TCP options.
    TcpOptions,
    /// ICMP or ICMPv6 message.
    Icmp,
}

/// Why bytes are no packet.
///
/// May grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ParseError {
    /// The bytes end before the layer does.
    Truncated {
        /// The layer that was read.
        layer: Layer,
        /// Bytes the layer needs from `offset` on.
        needed: usize,
        /// Bytes that were there.
        given: usize,
        /// Where the layer starts, in bytes from the start of what was parsed.
        offset: usize,
    },
    /// The version field says neither 4 nor 6, or there is not even a first byte (then 0).
    Version(u8),
    /// A length field contradicts the header it stands in.
    Length {
        /// The layer that was read.
        layer: Layer,
        /// The length in bytes that the field claims.
        claimed: usize,
    },
    /// The chain of IPv6 extension headers is broken or out of order (RFC 8200 §4.1).
    Extensions,
    /// A TCP option has a length that its kind or the header does not admit.
    Option {
        /// The kind of the option.
        kind: u8,
        /// Where it starts, in bytes from the start of the options.
        offset: usize,
    },
    /// The checksum of the layer does not match.
    Checksum(Layer),
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "IPv4 header",
            Self::Ipv6 => "IPv6 header",
            Self::Ipv6Extensions => "IPv6 extension headers",
            Self::Tcp => "TCP header",
            Self::TcpOptions => "TCP options",
            Self::Icmp => "ICMP message",
        })
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Truncated { layer, needed, given, offset } => {
                write!(f, "{layer} at byte {offset} needs {needed} bytes, {given} are there")
            }
            Self::Version(version) => write!(f, "IP version {version} is neither 4 nor 6"),
            Self::Length { layer, claimed } => {
                write!(f, "{layer} claims an impossible length of {claimed} bytes")
            }
            Self::Extensions => f.write_str("IPv6 extension headers are broken or out of order"),
            Self::Option { kind, offset } => {
                write!(f, "TCP option {kind} at byte {offset} of the options has a wrong length")
            }
            Self::Checksum(layer) => write!(f, "checksum of the {layer} does not match"),
        }
    }
}

impl core::error::Error for ParseError {}

/// Why a packet cannot be written.
///
/// May grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EmitError {
    /// The buffer is shorter than the packet.
    Buffer {
        /// Bytes the packet takes.
        needed: usize,
        /// Bytes the buffer has.
        given: usize,
    },
    /// One address is IPv4, the other IPv6.
    MixedFamilies,
    /// The TCP options are longer than 40 bytes or no multiple of four.
    Options {
        /// Their length in bytes.
        length: usize,
    },
    /// The packet would be longer than the length field of IP can say.
    TooLong {
        /// Bytes the packet would take.
        length: usize,
    },
}

impl fmt::Display for EmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Buffer { needed, given } => {
                write!(f, "packet takes {needed} bytes, the buffer has {given}")
            }
            Self::MixedFamilies => f.write_str("source and destination are of different families"),
            Self::Options { length } => write!(
                f,
                "TCP options of {length} bytes do not fit: at most 40, in multiples of four"
            ),
            Self::TooLong { length } => {
                write!(f, "packet of {length} bytes is longer than IP can carry")
            }
        }
    }
}

impl core::error::Error for EmitError {}
