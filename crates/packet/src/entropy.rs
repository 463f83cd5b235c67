//! The one source of randomness that a machine is given.

/// Thirty-two bytes that key a machine's ChaCha20 generator.
///
/// They come from the operating system in production and from the seed of the run in a
/// simulation. Whoever knows them can foretell sequence numbers and ports, therefore there is
/// neither `Debug` nor `Copy`.
#[derive(Clone)]
pub struct Entropy([u8; 32]);

impl Entropy {
    /// Takes over 32 bytes that nobody else uses.
    #[inline]
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Gives the bytes to the generator that they key.
    #[inline]
    #[must_use]
    pub const fn into_bytes(self) -> [u8; 32] {
        self.0
    }
}
