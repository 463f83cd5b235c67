//! A broker's certificate authority: who it says a key belongs to.
//!
//! One ECDSA P-256 key, which signs certificates for the broker itself, for devices (90 days), for
//! both sides of a session (10 minutes) and for a relay that runs apart. Nothing is revoked by a
//! list: the broker's directory decides over each login, and a session's certificate is short-lived.

mod files;
mod public_key;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType,
    date_time_ymd,
};
use rustls::crypto::ring::sign::any_ecdsa_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use simopen_broker::directory::{Device, Standing};
use simopen_protocol::certificate_name::{self, SessionSide};
use simopen_protocol::control::{Certificate, PublicKey};
use simopen_protocol::identity::{DeviceName, SessionId, UserId};
use thiserror::Error;

use self::public_key::DeviceKey;
use crate::store::{Store, StoreError};

/// How long a device's certificate is good.
pub const DEVICE_LIFETIME: Duration = Duration::from_secs(90 * DAY);
/// How long a session's certificate is good.
pub const SESSION_LIFETIME: Duration = Duration::from_secs(600);
/// How long the broker's own certificate is good; a new one is made when a third is left.
pub const SERVER_LIFETIME: Duration = Duration::from_secs(30 * DAY);
/// How long a relay's certificate is good.
pub const RELAY_LIFETIME: Duration = DEVICE_LIFETIME;

const DAY: u64 = 24 * 3600;
/// How long the authority itself is good: longer than anybody keeps a data directory.
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(50 * 365 * DAY);
/// How far behind the clock of a verifier may be.
const ALLOWANCE: Duration = Duration::from_secs(300);

/// A certificate authority. Clones share one key.
#[derive(Clone)]
pub struct Authority(Arc<Signer>);

struct Signer {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

/// Whom a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject<'a> {
    /// The user.
    pub user: &'a UserId,
    /// The user's device.
    pub device: &'a DeviceName,
    /// The device's key.
    pub key: &'a PublicKey,
}

impl Authority {
    /// A new one, which nothing keeps: for tests, and for directories in memory.
    ///
    /// # Errors
    ///
    /// [`AuthorityError::Signing`] where the operating system gives no random bytes.
    pub fn ephemeral(now: u64) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = parameters_of_authority(&key, now).self_signed(&key)?.der().clone();
        Ok(Self::of(key, certificate))
    }

    /// The one in this directory (`authority.pem`, which its owner alone can read); a new one where
    /// there is none.
    ///
    /// # Errors
    ///
    /// [`AuthorityError`] where the file cannot be read or written, is damaged, or can be read by
    /// others.
    pub fn open(directory: &Path, now: u64) -> Result<Self, AuthorityError> {
        if let Some((key, certificate)) = files::load(directory)? {
            return Ok(Self::of(key, certificate));
        }
        let authority = Self::ephemeral(now)?;
        files::save(directory, authority.0.issuer.key(), &authority.0.certificate)?;
        Ok(authority)
    }

    /// As [`Authority::open`], but beside a store: where devices of it have joined, their
    /// certificates are of an authority that must not be replaced by a new one.
    ///
    /// # Errors
    ///
    /// As [`Authority::open`], and [`AuthorityError::Missing`] where the file is not there and the
    /// store has devices in good standing.
    pub fn open_beside(
        store: &mut impl Store,
        directory: &Path,
        now: u64,
    ) -> Result<Self, AuthorityError> {
        if files::load(directory)?.is_none() {
            let kept = store.load()?;
            let is_good = |device: &&Device| device.standing == Standing::Good;
            let devices = kept.devices().filter(is_good).count();
            if devices > 0 {
                return Err(AuthorityError::Missing { path: files::path(directory), devices });
            }
        }
        Self::open(directory, now)
    }

    fn of(key: KeyPair, certificate: CertificateDer<'static>) -> Self {
        // Only the name and the key of an issuer show in what it signs.
        let issuer = Issuer::new(parameters_of_authority(&key, 0), key);
        Self(Arc::new(Signer { issuer, certificate }))
    }

    /// Its own certificate.
    #[must_use]
    pub fn certificate(&self) -> Certificate {
        Certificate(self.0.certificate.to_vec())
    }

    /// The SHA-256 of its own certificate, as invitations name it.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(&self.0.certificate).into()
    }

    /// A certificate for a device: with it the device logs in.
    ///
    /// # Errors
    ///
    /// [`AuthorityError::Key`] where the key is none on P-256.
    pub fn issue_device(
        &self,
        subject: Subject<'_>,
        now: u64,
    ) -> Result<Certificate, AuthorityError> {
        let name = certificate_name::of_device(subject.user, subject.device);
        let mut parameters = leaf(&[name], subject.user.as_str(), now, DEVICE_LIFETIME)?;
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(&parameters, &DeviceKey::parse(subject.key)?)
    }

    /// A certificate for one side of one session.
    ///
    /// # Errors
    ///
    /// [`AuthorityError::Key`] where the key is none on P-256.
    pub fn issue_session(
        &self,
        subject: Subject<'_>,
        side: SessionSide,
        session: SessionId,
        now: u64,
    ) -> Result<Certificate, AuthorityError> {
        let names = [
            certificate_name::of_session(session, side),
            certificate_name::of_device(subject.user, subject.device),
        ];
        let mut parameters = leaf(&names, subject.user.as_str(), now, SESSION_LIFETIME)?;
        parameters.extended_key_usages = vec![match side {
            SessionSide::Originator => ExtendedKeyUsagePurpose::ClientAuth,
            SessionSide::Responder => ExtendedKeyUsagePurpose::ServerAuth,
        }];
        self.sign(&parameters, &DeviceKey::parse(subject.key)?)
    }

    /// A certificate for a relay that runs apart, which it shows to the broker that dials it.
    ///
    /// # Errors
    ///
    /// [`AuthorityError::Key`] where the key is none on P-256.
    pub fn issue_relay(&self, key: &PublicKey, now: u64) -> Result<Certificate, AuthorityError> {
        let names = [certificate_name::RELAY.to_owned()];
        let mut parameters = leaf(&names, "relay", now, RELAY_LIFETIME)?;
        parameters.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(&parameters, &DeviceKey::parse(key)?)
    }

    /// A new key and certificate by which the broker shows who it is.
    ///
    /// # Errors
    ///
    /// [`AuthorityError::Signing`] where the operating system gives no random bytes.
    pub fn issue_broker(&self, now: u64) -> Result<CertifiedKey, AuthorityError> {
        let names = [certificate_name::BROKER.to_owned()];
        let mut parameters = leaf(&names, "broker", now, SERVER_LIFETIME)?;
        // A broker is the client where it dials a relay that runs apart.
        parameters.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = self.sign(&parameters, &key)?;
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let signing = any_ecdsa_type(&private).map_err(|_| rcgen::Error::CouldNotParseKeyPair)?;
        let chain = vec![certificate.0.into(), self.0.certificate.clone()];
        Ok(CertifiedKey::new(chain, signing))
    }

    fn sign(
        &self,
        parameters: &CertificateParams,
        key: &impl PublicKeyData,
    ) -> Result<Certificate, AuthorityError> {
        let signed = parameters.signed_by(key, &self.0.issuer)?;
        Ok(Certificate(signed.der().to_vec()))
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Authority(…)")
    }
}

/// Whether a key is of the kind that is certified: on the curve P-256.
#[must_use]
pub fn is_device_key(key: &PublicKey) -> bool {
    DeviceKey::parse(key).is_ok()
}

/// Of an authority nothing depends on the name of its broker, which may change.
fn parameters_of_authority(key: &KeyPair, now: u64) -> CertificateParams {
    let digest: [u8; 32] = Sha256::digest(key.subject_public_key_info()).into();
    let short: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = common_name(&format!("simopen authority {short}"));
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    good_for(&mut parameters, now, AUTHORITY_LIFETIME);
    parameters
}

fn leaf(
    names: &[String],
    common: &str,
    now: u64,
    lifetime: Duration,
) -> Result<CertificateParams, AuthorityError> {
    let mut parameters = CertificateParams::default();
    parameters.subject_alt_names = names
        .iter()
        .map(|name| Ok(SanType::DnsName(name.as_str().try_into()?)))
        .collect::<Result<_, rcgen::Error>>()?;
    parameters.distinguished_name = common_name(common);
    parameters.use_authority_key_identifier_extension = true;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    good_for(&mut parameters, now, lifetime);
    Ok(parameters)
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// Good from `now`, or a little before. Beyond the year 9999, which X.509 cannot say, its first day.
fn good_for(parameters: &mut CertificateParams, now: u64, lifetime: Duration) {
    const YEAR_9999: u64 = 253_370_764_800;
    let moment =
        |seconds: u64| date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds.min(YEAR_9999));
    parameters.not_before = moment(now.saturating_sub(ALLOWANCE.as_secs()));
    parameters.not_after = moment(now.saturating_add(lifetime.as_secs()));
}

/// Why there is no authority, or no certificate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// Its file cannot be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// Its file holds no key or no certificate, or the two do not belong together.
    #[error(
        "{} is damaged: {why}; restore it from a backup. Without it every device has to join again",
        path.display()
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Its file is not there, and devices have joined by it.
    #[error(
        "{} is missing, and {devices} devices have joined by its certificates: restore it from a \
         backup. To begin anew, move the store away too: then every device has to join again",
        path.display()
    )]
    Missing {
        /// Which file.
        path: PathBuf,
        /// How many devices would be left outside.
        devices: usize,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Others may read the key.
    #[error("{} can be read by others (mode {mode:03o}): chmod 600 it", path.display())]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A device's key is of a kind that is not taken.
    #[error("the key is no public key on the curve P-256 (DER of a SubjectPublicKeyInfo)")]
    Key,
    /// A certificate could not be made.
    #[error("a certificate could not be made: {0}")]
    Signing(#[from] rcgen::Error),
}
