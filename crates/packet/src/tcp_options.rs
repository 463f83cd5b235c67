//! The options of a SYN or SYN-ACK.

use core::fmt;

use crate::error::{EmitError, Layer, ParseError};

/// The longest that options can be: the data offset counts to 60 bytes, 20 of which are fixed.
pub(crate) const MAX_OPTIONS_LEN: usize = 40;

/// Option kinds as IANA assigned them.
pub mod option_kind {
    /// End of options (RFC 9293 §3.2).
    pub const END: u8 = 0;
    /// No operation, used for alignment (RFC 9293 §3.2).
    pub const NO_OPERATION: u8 = 1;
    /// Maximum segment size (RFC 9293 §3.7.1).
    pub const MSS: u8 = 2;
    /// Window scale (RFC 7323 §2).
    pub const WINDOW_SCALE: u8 = 3;
    /// Selective acknowledgment permitted (RFC 2018 §2).
    pub const SACK_PERMITTED: u8 = 4;
    /// Timestamps (RFC 7323 §3).
    pub const TIMESTAMPS: u8 = 8;
    /// MD5 signature (RFC 2385).
    pub const MD5_SIGNATURE: u8 = 19;
    /// Authentication option (RFC 5925).
    pub const AUTHENTICATION: u8 = 29;
}

/// The timestamps option (RFC 7323 §3.2), in ticks of each sender's own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timestamps {
    /// TSval, the sender's clock.
    pub value: u32,
    /// TSecr, the clock value that is echoed; zero in an initial SYN.
    pub echo: u32,
}

/// The options of a SYN or SYN-ACK.
///
/// Those that a forged SYN-ACK may carry are taken apart; all others are kept as they came, so
/// that what is read and written again says the same. Padding is not kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SynOptions {
    /// Maximum segment size in bytes.
    pub mss: Option<u16>,
    /// Window scale as a shift count; it should not, but may exceed 14 (RFC 7323 §2.3).
    pub window_scale: Option<u8>,
    /// Whether selective acknowledgments are permitted.
    pub sack_permitted: bool,
    /// Timestamps.
    pub timestamps: Option<Timestamps>,
    unknown: Unknown,
}

/// Options that are not taken apart, one after the other, zero behind the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Unknown {
    length: u8,
    bytes: [u8; MAX_OPTIONS_LEN],
}

impl SynOptions {
    /// Makes options without any that are not taken apart.
    #[inline]
    #[must_use]
    pub const fn new(
        mss: Option<u16>,
        window_scale: Option<u8>,
        sack_permitted: bool,
        timestamps: Option<Timestamps>,
    ) -> Self {
        Self { mss, window_scale, sack_permitted, timestamps, unknown: Unknown::EMPTY }
    }

    /// Reads the options of a TCP header, padding included. Of a repeated known option the last
    /// one counts, as in Linux.
    ///
    /// # Errors
    ///
    /// Fails if an option reaches past the end or has a length that its kind does not admit, or
    /// if `bytes` are longer than 40.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        if bytes.len() > MAX_OPTIONS_LEN {
            return Err(ParseError::Length { layer: Layer::TcpOptions, claimed: bytes.len() });
        }
        let mut options = Self::default();
        let mut rest = bytes;
        while let [kind, tail @ ..] = rest {
            match *kind {
                option_kind::END => break,
                option_kind::NO_OPERATION => {
                    rest = tail;
                    continue;
                }
                _ => {}
            }
            let offset = bytes.len() - rest.len();
            let wrong = ParseError::Option { kind: *kind, offset };
            let Some(&length) = tail.first() else {
                return Err(wrong);
            };
            if length < 2 {
                return Err(wrong);
            }
            let Some((option, next)) = rest.split_at_checked(usize::from(length)) else {
                return Err(wrong);
            };
            if !options.take(option) {
                return Err(wrong);
            }
            rest = next;
        }
        Ok(options)
    }

    /// Takes one option in; returns whether it was well-formed.
    #[inline]
    fn take(&mut self, option: &[u8]) -> bool {
        match *option {
            [option_kind::MSS, 4, a, b] => self.mss = Some(u16::from_be_bytes([a, b])),
            [option_kind::WINDOW_SCALE, 3, shift] => self.window_scale = Some(shift),
            [option_kind::SACK_PERMITTED, 2] => self.sack_permitted = true,
            [option_kind::TIMESTAMPS, 10, v0, v1, v2, v3, e0, e1, e2, e3] => {
                self.timestamps = Some(Timestamps {
                    value: u32::from_be_bytes([v0, v1, v2, v3]),
                    echo: u32::from_be_bytes([e0, e1, e2, e3]),
                });
            }
            [
                option_kind::MSS
                | option_kind::WINDOW_SCALE
                | option_kind::SACK_PERMITTED
                | option_kind::TIMESTAMPS,
                ..,
            ] => {
                return false;
            }
            _ => return self.unknown.push(option),
        }
        true
    }

    /// Writes the options, padded to a multiple of four, and returns their length in bytes.
    ///
    /// The known ones come first, in the order in which Linux writes them and aligned as RFC 7323
    /// appendix A recommends where there is room for that; then the others as they came.
    ///
    /// # Errors
    ///
    /// Fails if the options take more than 40 bytes or more than `buffer` has.
    #[inline]
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, EmitError> {
        let mut room = [0; MAX_OPTIONS_LEN];
        let length = self.fill(&mut room)?;
        let given = buffer.len();
        let Some(into) = buffer.get_mut(..length) else {
            return Err(EmitError::Buffer { needed: length, given });
        };
        into.copy_from_slice(&room[..length]);
        Ok(length)
    }

    /// As [`SynOptions::emit`], into a buffer that is long enough and zeroed.
    #[inline]
    pub(crate) fn fill(&self, room: &mut [u8; MAX_OPTIONS_LEN]) -> Result<usize, EmitError> {
        let unknown = self.unknown.as_slice();
        let aligned = self.aligned_len() + unknown.len() <= MAX_OPTIONS_LEN;
        let compact_len = self.compact_len() + unknown.len();
        if !aligned && compact_len > MAX_OPTIONS_LEN {
            return Err(EmitError::Options { length: compact_len });
        }
        let mut writer = Writer { room, at: 0 };
        if let Some(mss) = self.mss {
            let [a, b] = mss.to_be_bytes();
            writer.put([option_kind::MSS, 4, a, b]);
        }
        if self.sack_permitted {
            writer.put([option_kind::SACK_PERMITTED, 2]);
        }
        if let Some(Timestamps { value, echo }) = self.timestamps {
            if aligned && !self.sack_permitted {
                writer.put([option_kind::NO_OPERATION; 2]);
            }
            let [v0, v1, v2, v3] = value.to_be_bytes();
            let [e0, e1, e2, e3] = echo.to_be_bytes();
            writer.put([option_kind::TIMESTAMPS, 10, v0, v1, v2, v3, e0, e1, e2, e3]);
        } else if aligned && self.sack_permitted {
            writer.put([option_kind::NO_OPERATION; 2]);
        }
        if let Some(shift) = self.window_scale {
            if aligned {
                writer.put([option_kind::NO_OPERATION]);
            }
            writer.put([option_kind::WINDOW_SCALE, 3, shift]);
        }
        writer.put_slice(unknown);
        // The room is zeroed, and zero is the end-of-options option.
        Ok(writer.at.next_multiple_of(4))
    }

    #[inline]
    fn compact_len(&self) -> usize {
        usize::from(self.mss.is_some()) * 4
            + usize::from(self.sack_permitted) * 2
            + usize::from(self.timestamps.is_some()) * 10
            + usize::from(self.window_scale.is_some()) * 3
    }

    #[inline]
    fn aligned_len(&self) -> usize {
        let sack_and_timestamps = match (self.sack_permitted, self.timestamps) {
            (_, Some(_)) => 12,
            (true, None) => 4,
            (false, None) => 0,
        };
        usize::from(self.mss.is_some()) * 4
            + sack_and_timestamps
            + usize::from(self.window_scale.is_some()) * 4
    }

    /// Returns the options that are not taken apart, each as its kind and its data.
    pub fn unknown(&self) -> impl Iterator<Item = (u8, &[u8])> {
        let mut rest = self.unknown.as_slice();
        core::iter::from_fn(move || {
            let [kind, length, ..] = *rest else {
                return None;
            };
            let (option, next) = rest.split_at_checked(usize::from(length))?;
            rest = next;
            Some((kind, option.get(2..)?))
        })
    }

    /// Returns whether an option of this kind is there.
    #[inline]
    #[must_use]
    pub fn has(&self, kind: u8) -> bool {
        match kind {
            option_kind::MSS => self.mss.is_some(),
            option_kind::WINDOW_SCALE => self.window_scale.is_some(),
            option_kind::SACK_PERMITTED => self.sack_permitted,
            option_kind::TIMESTAMPS => self.timestamps.is_some(),
            _ => self.unknown().any(|(unknown, _)| unknown == kind),
        }
    }

    /// Returns the same options without those that are not taken apart.
    #[inline]
    #[must_use]
    pub fn without_unknown(self) -> Self {
        Self { unknown: Unknown::EMPTY, ..self }
    }
}

impl Unknown {
    const EMPTY: Self = Self { length: 0, bytes: [0; MAX_OPTIONS_LEN] };

    /// Keeps one more option; returns whether there was room.
    fn push(&mut self, option: &[u8]) -> bool {
        let start = usize::from(self.length);
        let Some(into) = self.bytes.get_mut(start..start + option.len()) else {
            return false;
        };
        into.copy_from_slice(option);
        self.length += option.len() as u8;
        true
    }

    #[inline]
    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

impl Default for Unknown {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// Writes behind what it wrote; whoever uses it has counted before.
struct Writer<'a> {
    room: &'a mut [u8; MAX_OPTIONS_LEN],
    at: usize,
}

impl Writer<'_> {
    #[inline]
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        self.put_slice(&bytes);
    }

    #[inline]
    fn put_slice(&mut self, bytes: &[u8]) {
        if let Some(into) = self.room.get_mut(self.at..self.at + bytes.len()) {
            into.copy_from_slice(bytes);
            self.at += bytes.len();
        }
    }
}

impl fmt::Display for SynOptions {
    /// Prints what is there, each with a space in front: ` mss 1460 wscale 7 sack ts 1/0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(mss) = self.mss {
            write!(f, " mss {mss}")?;
        }
        if let Some(shift) = self.window_scale {
            write!(f, " wscale {shift}")?;
        }
        if self.sack_permitted {
            f.write_str(" sack")?;
        }
        if let Some(Timestamps { value, echo }) = self.timestamps {
            write!(f, " ts {value}/{echo}")?;
        }
        for (kind, _) in self.unknown() {
            write!(f, " option {kind}")?;
        }
        Ok(())
    }
}
