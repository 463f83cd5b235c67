//! TLS as the broker speaks it: 1.3 only, with the authority's certificates on both sides.
//!
//! A client may come without a certificate, for joining; one that it shows has to be the
//! authority's and in time. There are no tickets and no session cache: a link lives for months, and
//! what is resumed would not have been judged again.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ParsedCertificate, ResolvesServerCert,
    WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use simopen_protocol::control::PublicKey;
use thiserror::Error;

use crate::authority::{Authority, AuthorityError, SERVER_LIFETIME};
use crate::wall_clock::WallClock;

/// What a listener needs to speak TLS; it renews the certificate that it shows.
#[derive(Clone)]
pub struct Tls {
    authority: Authority,
    shown: Arc<Shown>,
    config: Arc<ServerConfig>,
}

impl Tls {
    /// With a certificate of this authority.
    ///
    /// # Errors
    ///
    /// [`TlsError`] where no certificate can be made.
    pub fn new(authority: Authority, clock: WallClock) -> Result<Self, TlsError> {
        let now = clock.seconds();
        let shown = Arc::new(Shown(RwLock::new(Certified {
            key: Arc::new(authority.issue_broker(now)?),
            issued: now,
        })));
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_details(Arc::clone(&provider), Arc::new(clock))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier(&authority, provider)?)
            .with_cert_resolver(Arc::clone(&shown) as Arc<dyn ResolvesServerCert>);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { authority, shown, config: Arc::new(config) })
    }

    /// For each connection that is accepted.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// The authority whose certificates are shown and asked for.
    #[must_use]
    pub const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Shows a new certificate from now on where less than a third of the old one's time is left, or
    /// where the clock has gone back before it. Connections that stand are not touched.
    ///
    /// # Errors
    ///
    /// [`TlsError`] where no certificate can be made; the old one is shown on.
    pub fn renew(&self, now: u64) -> Result<Renewal, TlsError> {
        if self.shown.is_fresh(now) {
            return Ok(Renewal::NotYet);
        }
        let key = Arc::new(self.authority.issue_broker(now)?);
        *self.shown.0.write().unwrap_or_else(PoisonError::into_inner) =
            Certified { key, issued: now };
        Ok(Renewal::Done)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Tls(…)")
    }
}

/// Whether a certificate was renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// It is good for long enough.
    NotYet,
    /// A new one is shown.
    Done,
}

/// The key by whose certificate the other end has shown who it is.
#[must_use]
pub fn key_of_client(connection: &ServerConnection) -> Option<PublicKey> {
    key_of(connection.peer_certificates()?.first()?)
}

/// The key that a certificate is for.
#[must_use]
pub fn key_of(certificate: &CertificateDer<'_>) -> Option<PublicKey> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    Some(PublicKey(parsed.subject_public_key_info().to_vec()))
}

fn verifier(
    authority: &Authority,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().0.into())?;
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .build()
        .map_err(|_| TlsError::Verifier)
}

/// The certificate that is shown at present.
struct Shown(RwLock<Certified>);

struct Certified {
    key: Arc<CertifiedKey>,
    issued: u64,
}

impl Shown {
    fn is_fresh(&self, now: u64) -> bool {
        let shown = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let age = now.checked_sub(shown.issued);
        age.is_some_and(|age| age < SERVER_LIFETIME.as_secs() / 3 * 2)
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Shown(…)")
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let shown = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&shown.key))
    }
}

/// Why TLS cannot be spoken.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// There is no certificate.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The library refuses the settings.
    #[error("TLS cannot be set up: {0}")]
    Settings(#[from] rustls::Error),
    /// The library refuses the authority.
    #[error("the authority's certificate cannot be used to verify others")]
    Verifier,
}
