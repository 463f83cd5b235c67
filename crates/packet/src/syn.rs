//! The initial SYN of a connection, and the SYN-ACK forged from two of them.

use core::{fmt, net::SocketAddr};

use crate::{
    error::{EmitError, ParseError},
    ip::{IPV6_HEADER_LEN, Packet, Ttl},
    sequence::SeqNumber,
    tcp::{TCP_HEADER_LEN, TcpBuilder, TcpFlags, TcpSegment},
    tcp_options::{MAX_OPTIONS_LEN, SynOptions, Timestamps, option_kind},
};

/// The longest packet in bytes that [`Syn::emit`] and [`SynAck::emit`] write: an IPv6 header and
/// a TCP header full of options.
pub const MAX_SYN_LEN: usize = IPV6_HEADER_LEN + TCP_HEADER_LEN + MAX_OPTIONS_LEN;

/// The largest shift count of window scale (RFC 7323 §2.3).
const MAX_WINDOW_SCALE: u8 = 14;

const ECN_SETUP: TcpFlags = TcpFlags(TcpFlags::ECE.0 | TcpFlags::CWR.0);

/// An initial SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Syn {
    /// Source address and port.
    pub source: SocketAddr,
    /// Destination address and port, of the same family.
    pub destination: SocketAddr,
    /// Initial sequence number.
    pub sequence: SeqNumber,
    /// Receive window in bytes; a SYN's window is never scaled (RFC 7323 §2.2).
    pub window: u16,
    /// Time to live or hop limit.
    pub ttl: Ttl,
    /// Whether the sender asks for ECN: ECE and CWR both set (RFC 3168 §6.1.1).
    pub ecn_setup: bool,
    /// Options.
    pub options: SynOptions,
}

/// A SYN-ACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SynAck {
    /// Source address and port.
    pub source: SocketAddr,
    /// Destination address and port, of the same family.
    pub destination: SocketAddr,
    /// Initial sequence number of the sender.
    pub sequence: SeqNumber,
    /// The answered initial sequence number, plus one.
    pub acknowledgment: SeqNumber,
    /// Receive window in bytes, unscaled.
    pub window: u16,
    /// Time to live or hop limit.
    pub ttl: Ttl,
    /// Whether the sender agrees to ECN: ECE without CWR (RFC 3168 §6.1.1).
    pub ece: bool,
    /// Options.
    pub options: SynOptions,
}

impl Syn {
    /// Reads the IP packet of a SYN. Data in it are not kept: they come again after the
    /// connection is open.
    ///
    /// # Errors
    ///
    /// Fails if the bytes are no packet, or the packet is no initial SYN. Checksums are not
    /// looked at, see [`Packet::verify_checksums`].
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Self, SynError> {
        Self::from_packet(&Packet::parse(bytes)?)
    }

    /// Takes the SYN out of a packet.
    ///
    /// # Errors
    ///
    /// Fails if `packet` is no initial SYN or if its options are broken.
    #[inline]
    pub fn from_packet(packet: &Packet<'_>) -> Result<Self, SynError> {
        let segment = packet.tcp().ok_or(SynError::NotTcp)?;
        if !segment.flags.is_bare_syn() || segment.flags.contains(TcpFlags::FIN) {
            return Err(SynError::Flags(segment.flags));
        }
        let (source, destination) = endpoints(packet, segment);
        Ok(Self {
            source,
            destination,
            sequence: segment.sequence,
            window: segment.window,
            ttl: packet.ip.ttl,
            ecn_setup: segment.flags.contains(ECN_SETUP),
            options: SynOptions::parse(segment.options)?,
        })
    }

    /// Writes the whole IP packet with its checksums and returns its length in bytes, which is
    /// [`MAX_SYN_LEN`] at most.
    ///
    /// # Errors
    ///
    /// Fails as [`TcpBuilder::emit`] and [`SynOptions::emit`] do.
    #[inline]
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, EmitError> {
        let ecn = if self.ecn_setup { ECN_SETUP } else { TcpFlags::default() };
        let header = TcpBuilder {
            source: self.source,
            destination: self.destination,
            ttl: self.ttl,
            sequence: self.sequence,
            acknowledgment: SeqNumber(0),
            flags: TcpFlags::SYN | ecn,
            window: self.window,
        };
        emit(&header, &self.options, buffer)
    }
}

impl SynAck {
    /// Forges the SYN-ACK with which the sender of `own` would have answered the SYN `answered`,
    /// had it listened (seed 001 ¶172-173), from `source` to `destination`: the two SYNs carry
    /// the endpoints as their senders see them, a NAT may show others to the world.
    ///
    /// The maximum segment size is that of `own`. Window scale, SACK and timestamps are there
    /// only if both SYNs carry them (RFC 7323 §1.3, RFC 2018 §2); TSval is that of `own`, TSecr
    /// the TSval of `answered`, else its sender resets (RFC 9293 §3.10.7.3). Nothing else is
    /// copied: Multipath TCP and Fast Open fall back by that. ECE is set if both ask for ECN.
    /// Data in the answered SYN are not acknowledged.
    ///
    /// The packet starts with [`Ttl::DEFAULT`], as the TTL of `own` may be a low one on purpose.
    ///
    /// # Errors
    ///
    /// Fails if either SYN is signed, since nobody else can sign the answer, or if `source` and
    /// `destination` are of different families.
    ///
    /// # Examples
    ///
    /// See the [crate root](crate).
    #[inline]
    pub fn forge(
        own: &Syn,
        answered: &Syn,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> Result<Self, ForgeError> {
        refuse_signed(&own.options)?;
        refuse_signed(&answered.options)?;
        if source.is_ipv4() != destination.is_ipv4() {
            return Err(ForgeError::MixedFamilies);
        }
        Ok(Self {
            source,
            destination,
            sequence: own.sequence,
            acknowledgment: answered.sequence + 1,
            window: own.window,
            ttl: Ttl::DEFAULT,
            ece: own.ecn_setup && answered.ecn_setup,
            options: agreed(&own.options, &answered.options),
        })
    }

    /// Reads the IP packet of a SYN-ACK.
    ///
    /// # Errors
    ///
    /// Fails if the bytes are no packet, or the packet is no SYN-ACK. Checksums are not looked
    /// at, see [`Packet::verify_checksums`].
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Self, SynError> {
        Self::from_packet(&Packet::parse(bytes)?)
    }

    /// Takes the SYN-ACK out of a packet.
    ///
    /// # Errors
    ///
    /// Fails if `packet` is no SYN-ACK or if its options are broken.
    #[inline]
    pub fn from_packet(packet: &Packet<'_>) -> Result<Self, SynError> {
        let segment = packet.tcp().ok_or(SynError::NotTcp)?;
        if !segment.flags.is_syn_ack() || segment.flags.contains(TcpFlags::FIN) {
            return Err(SynError::Flags(segment.flags));
        }
        let (source, destination) = endpoints(packet, segment);
        Ok(Self {
            source,
            destination,
            sequence: segment.sequence,
            acknowledgment: segment.acknowledgment,
            window: segment.window,
            ttl: packet.ip.ttl,
            ece: segment.flags.0 & ECN_SETUP.0 == TcpFlags::ECE.0,
            options: SynOptions::parse(segment.options)?,
        })
    }

    /// Writes the whole IP packet with its checksums and returns its length in bytes, which is
    /// [`MAX_SYN_LEN`] at most.
    ///
    /// # Errors
    ///
    /// Fails as [`TcpBuilder::emit`] and [`SynOptions::emit`] do.
    #[inline]
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, EmitError> {
        let ecn = if self.ece { TcpFlags::ECE } else { TcpFlags::default() };
        let header = TcpBuilder {
            source: self.source,
            destination: self.destination,
            ttl: self.ttl,
            sequence: self.sequence,
            acknowledgment: self.acknowledgment,
            flags: TcpFlags::SYN | TcpFlags::ACK | ecn,
            window: self.window,
        };
        emit(&header, &self.options, buffer)
    }
}

#[inline]
fn endpoints(packet: &Packet<'_>, segment: &TcpSegment<'_>) -> (SocketAddr, SocketAddr) {
    (
        SocketAddr::new(packet.ip.source, segment.source_port),
        SocketAddr::new(packet.ip.destination, segment.destination_port),
    )
}

#[inline]
fn emit(header: &TcpBuilder, options: &SynOptions, buffer: &mut [u8]) -> Result<usize, EmitError> {
    let mut room = [0; MAX_OPTIONS_LEN];
    let length = options.fill(&mut room)?;
    header.emit(&room[..length], &[], buffer)
}

#[inline]
fn refuse_signed(options: &SynOptions) -> Result<(), ForgeError> {
    if options.has(option_kind::MD5_SIGNATURE) {
        return Err(ForgeError::TcpMd5);
    }
    if options.has(option_kind::AUTHENTICATION) {
        return Err(ForgeError::TcpAo);
    }
    Ok(())
}

/// What the sender of `own` would offer back to the sender of `answered`.
#[inline]
fn agreed(own: &SynOptions, answered: &SynOptions) -> SynOptions {
    // RFC 7323 §2.3: a larger count is to be taken for 14 by whoever reads it.
    let window_scale = own
        .window_scale
        .filter(|_| answered.window_scale.is_some())
        .map(|shift| shift.min(MAX_WINDOW_SCALE));
    let timestamps = own
        .timestamps
        .zip(answered.timestamps)
        .map(|(own, answered)| Timestamps { value: own.value, echo: answered.value });
    let sack_permitted = own.sack_permitted && answered.sack_permitted;
    SynOptions::new(own.mss, window_scale, sack_permitted, timestamps)
}

/// Why a packet is no SYN or no SYN-ACK.
///
/// May grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SynError {
    /// The bytes are no packet, or the options are broken.
    Parse(ParseError),
    /// The packet carries no whole TCP segment.
    NotTcp,
    /// The control bits are others than asked for.
    Flags(TcpFlags),
}

impl From<ParseError> for SynError {
    fn from(error: ParseError) -> Self {
        Self::Parse(error)
    }
}

impl fmt::Display for SynError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parse(error) => error.fmt(f),
            Self::NotTcp => f.write_str("packet carries no whole TCP segment"),
            Self::Flags(flags) => write!(f, "TCP segment has the wrong control bits: {flags}"),
        }
    }
}

impl core::error::Error for SynError {}

/// Why no SYN-ACK can be forged from two SYNs.
///
/// May grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ForgeError {
    /// A SYN carries the MD5 signature option (RFC 2385).
    TcpMd5,
    /// A SYN carries the TCP authentication option (RFC 5925).
    TcpAo,
    /// One endpoint is IPv4, the other IPv6.
    MixedFamilies,
}

impl fmt::Display for ForgeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TcpMd5 => "a SYN is signed with TCP-MD5, so its answer cannot be forged",
            Self::TcpAo => "a SYN is signed with TCP-AO, so its answer cannot be forged",
            Self::MixedFamilies => "source and destination are of different families",
        })
    }
}

impl core::error::Error for ForgeError {}
