//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).

use core::net::IpAddr;

/// A running one's complement sum over bytes in network order.
///
/// The sum is kept in the byte order of the machine (RFC 1071 §2 B: the sum does not care) and
/// turned once at the end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Checksum(u64);

impl Checksum {
    /// Starts with the pseudo-header of TCP or ICMPv6 (RFC 9293 §3.1, RFC 8200 §8.1).
    ///
    /// `length` is that of the transport header and its payload, in bytes.
    #[inline]
    #[must_use]
    pub fn of_pseudo_header(
        source: IpAddr,
        destination: IpAddr,
        protocol: u8,
        length: usize,
    ) -> Self {
        // Protocol and length are 16- or 32-bit fields in network order; as a sum of 16-bit
        // words both forms are the same, and no segment is longer than 65,535 bytes.
        let tail = u64::from(u16::from(protocol).to_be()) + u64::from((length as u16).to_be());
        Self(tail).with_address(source).with_address(destination)
    }

    #[inline]
    fn with_address(self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self(self.0 + u64::from(u32::from_ne_bytes(v4.octets()))),
            IpAddr::V6(v6) => self.with(&v6.octets()),
        }
    }

    /// Adds `bytes`; an odd last byte is padded with zero, so only the last call may be odd.
    #[inline]
    #[must_use]
    pub fn with(self, bytes: &[u8]) -> Self {
        // Sixty-four bits hold the carries of 2^32 words of 32 bits, far more than a packet has.
        let mut sum = self.0;
        let (words, rest) = bytes.as_chunks::<4>();
        for word in words {
            sum += u64::from(u32::from_ne_bytes(*word));
        }
        sum += match *rest {
            [a] => u64::from(u16::from_ne_bytes([a, 0])),
            [a, b] => u64::from(u16::from_ne_bytes([a, b])),
            [a, b, c] => {
                u64::from(u16::from_ne_bytes([a, b])) + u64::from(u16::from_ne_bytes([c, 0]))
            }
            _ => 0,
        };
        Self(sum)
    }

    /// Returns the checksum as it stands in a header, in network order.
    #[inline]
    #[must_use]
    pub fn finish(self) -> [u8; 2] {
        (!fold(self.0)).to_ne_bytes()
    }

    /// Returns whether the sum over data that includes its checksum says that nothing changed.
    #[inline]
    #[must_use]
    pub fn is_intact(self) -> bool {
        fold(self.0) == 0xffff
    }
}

/// What a rewriting adds to a one's complement sum (RFC 1624 §3, equation 3).
///
/// Collects words that change; then [`ChecksumChange::apply`] brings any checksum over them up
/// to date.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChecksumChange(u32);

impl ChecksumChange {
    /// Notes that the bytes `old` become `new`, both at the same even offset.
    ///
    /// The slices have the same even length. A change holds 2^15 words, far more than a header.
    #[inline(always)]
    pub fn replace(&mut self, old: &[u8], new: &[u8]) {
        for word in old.as_chunks::<2>().0 {
            self.0 += u32::from(!u16::from_ne_bytes(*word));
        }
        for word in new.as_chunks::<2>().0 {
            self.0 += u32::from(u16::from_ne_bytes(*word));
        }
    }

    /// Returns both changes together.
    #[inline]
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// Returns what the header's `checksum` becomes.
    #[inline(always)]
    #[must_use]
    pub fn apply(self, checksum: [u8; 2]) -> [u8; 2] {
        let sum = self.0 + u32::from(!u16::from_ne_bytes(checksum));
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        (!(sum as u16)).to_ne_bytes()
    }
}

#[inline]
const fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}
