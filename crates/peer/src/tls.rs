//! TLS 1.3 (RFC 8446) towards the broker and between peers. There is no other version and no
//! resumption: each connection shows anew who is at its ends.

mod broker;
mod invited;
mod session;

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use simopen_protocol::control::Certificate;
use thiserror::Error;

use crate::credentials::der;

pub(crate) use self::broker::broker_client;
pub(crate) use self::invited::invited_client;
pub(crate) use self::session::{Ends, Shown, secure};

/// What keeps TLS from being set up with what a device has.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("the device's key or certificates cannot be used: {0}; join the broker anew")]
pub struct CredentialsError(#[from] rustls::Error);

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn roots(authority: &Certificate) -> Result<Arc<RootCertStore>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(der(authority))?;
    Ok(Arc::new(roots))
}

/// A name of [`simopen_protocol::certificate_name`], which all are DNS names.
pub(crate) fn dns(name: &str) -> Result<ServerName<'static>, rustls::Error> {
    let name = ServerName::try_from(name.to_owned());
    name.map_err(|_| rustls::Error::General("a certificate's name is no DNS name".into()))
}
