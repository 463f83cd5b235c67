//! Towards the broker, by a device that has joined.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;

use super::{CredentialsError, provider, roots};
use crate::credentials::{Credentials, der};

/// Trusts the broker's own authority and nobody else, and shows the device's certificate.
pub(crate) fn broker_client(
    credentials: &Credentials,
) -> Result<Arc<ClientConfig>, CredentialsError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots(&credentials.authority)?)
        .with_client_auth_cert(vec![der(&credentials.certificate)], credentials.key.to_private())?;
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}
