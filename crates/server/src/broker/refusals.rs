//! What the service itself refused, by reason; what the machine refuses it counts itself.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Why the service refused something. May grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// There are as many links as are allowed.
    TooManyLinks,
    /// A connection began with TLS, and this broker has no certificate.
    UnknownOpening,
    /// A client certificate that has run out.
    CertificateExpired,
    /// A client certificate of another authority, or a damaged one.
    CertificateForeign,
    /// TLS could not be agreed upon for another reason.
    TlsFailed,
    /// A frame was longer than is taken.
    FrameTooLong,
    /// A frame held no proper document.
    Malformed,
    /// A key was asked to be certified that is none on P-256.
    UnknownKey,
    /// A peer did not read what was sent to it.
    ReaderTooSlow,
    /// The store did not keep a change.
    StorageFailed,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::TooManyLinks,
        Self::UnknownOpening,
        Self::CertificateExpired,
        Self::CertificateForeign,
        Self::TlsFailed,
        Self::FrameTooLong,
        Self::Malformed,
        Self::UnknownKey,
        Self::ReaderTooSlow,
        Self::StorageFailed,
    ];

    /// The one word, as figures name it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::TooManyLinks => "too-many-links",
            Self::UnknownOpening => "unknown-opening",
            Self::CertificateExpired => "certificate-expired",
            Self::CertificateForeign => "certificate-foreign",
            Self::TlsFailed => "tls-failed",
            Self::FrameTooLong => "frame-too-long",
            Self::Malformed => "malformed",
            Self::UnknownKey => "unknown-key",
            Self::ReaderTooSlow => "reader-too-slow",
            Self::StorageFailed => "storage-failed",
        }
    }
}

/// Counts.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<BTreeMap<Refusal, u64>>);

impl Refusals {
    pub(super) fn count(&self, refusal: Refusal) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(refusal).or_default() += 1;
    }

    pub(super) fn counted(&self) -> BTreeMap<Refusal, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
