//! By what a device shows whose it is: its key, its certificate, and the authority of its broker.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use simopen_protocol::control::{Certificate, PublicKey};
use simopen_protocol::identity::{BrokerName, DeviceName, UserId};
use thiserror::Error;

/// What a device has once it has joined a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// What the broker calls itself.
    pub broker: BrokerName,
    /// Whose device this is.
    pub user: UserId,
    /// What that user calls it.
    pub device: DeviceName,
    /// The broker's certificate authority.
    pub authority: Certificate,
    /// The device's certificate.
    pub certificate: Certificate,
    /// The device's private key.
    pub key: DeviceKey,
}

/// A private key as DER of PKCS#8 (RFC 5958). It is never printed, and never leaves the device.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceKey(pub Vec<u8>);

impl DeviceKey {
    /// A new key: ECDSA on P-256.
    ///
    /// # Errors
    ///
    /// [`KeyError`] where the operating system gives no random bytes.
    pub fn generate() -> Result<Self, KeyError> {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(KeyError::new)?;
        Ok(Self(pair.serialize_der()))
    }

    /// The public part, by which others know this device.
    ///
    /// # Errors
    ///
    /// [`KeyError`] where the bytes are no key on P-256.
    pub fn public(&self) -> Result<PublicKey, KeyError> {
        let der = PrivatePkcs8KeyDer::from(self.0.as_slice());
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256)
            .map_err(KeyError::new)?;
        Ok(PublicKey(pair.subject_public_key_info()))
    }

    pub(crate) fn to_private(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.0.clone()))
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DeviceKey(…)")
    }
}

/// A device's credentials, whose certificate is replaced from time to time. Clones are the same.
#[derive(Debug, Clone)]
pub struct CurrentCredentials {
    current: Arc<RwLock<Arc<Credentials>>>,
}

impl CurrentCredentials {
    /// These, until they are renewed.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        Self { current: Arc::new(RwLock::new(Arc::new(credentials))) }
    }

    /// Those that are good now.
    #[must_use]
    pub fn now(&self) -> Arc<Credentials> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes another certificate for the same key.
    pub fn renew(&self, certificate: Certificate) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(Credentials { certificate, ..Credentials::clone(&current) });
    }
}

pub(crate) fn der(certificate: &Certificate) -> CertificateDer<'static> {
    CertificateDer::from(certificate.0.clone())
}

/// What keeps a device key from being made or read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the device's key cannot be used: {0}")]
pub struct KeyError(String);

impl KeyError {
    fn new(error: impl fmt::Display) -> Self {
        Self(error.to_string())
    }
}
