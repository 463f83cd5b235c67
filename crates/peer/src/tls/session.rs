//! Between two peers, on an opened connection: both show the certificate that the broker gave them
//! for this session.

use std::io;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
};
use simopen_protocol::certificate_name::{self, SessionSide};
use simopen_protocol::control::{Certificate, PublicKey};
use simopen_protocol::identity::{DeviceName, SessionId, UserId};
use simopen_traversal::Role;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::{dns, provider, roots};
use crate::credentials::{Credentials, der};

/// Who stands at the two ends, as the broker said.
#[derive(Debug, Clone)]
pub(crate) struct Ends<'a> {
    pub(crate) session: SessionId,
    /// Which side this one is; the originator is the TLS client, whoever dialled.
    pub(crate) role: Role,
    /// This side's certificate of the session.
    pub(crate) certificate: &'a Certificate,
    pub(crate) user: &'a UserId,
    pub(crate) device: &'a DeviceName,
}

/// What the other side has shown.
#[derive(Debug)]
pub(crate) struct Shown<S> {
    pub(crate) stream: TlsStream<S>,
    /// The key that it has proven to have.
    pub(crate) key: PublicKey,
}

/// Speaks TLS over the connection, and checks the chain, the session, the side, the user and the
/// device of the other end.
///
/// # Errors
///
/// What rustls says, wrapped, where something is not as it should be.
pub(crate) async fn secure<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    own: &Credentials,
    ends: &Ends<'_>,
) -> io::Result<Shown<S>> {
    let stream: TlsStream<S> = match ends.role {
        Role::Originator => {
            let name = certificate_name::of_session(ends.session, SessionSide::Responder);
            let config = originator(own, ends).map_err(io::Error::other)?;
            let name = dns(&name).map_err(io::Error::other)?;
            TlsConnector::from(config).connect(name, stream).await?.into()
        }
        Role::Responder => {
            let config = responder(own, ends).map_err(io::Error::other)?;
            TlsAcceptor::from(config).accept(stream).await?.into()
        }
    };
    let (_, connection) = stream.get_ref();
    let shown = connection.peer_certificates().and_then(<[_]>::first);
    let shown = shown.ok_or_else(|| io::Error::other("the other side shows no certificate"))?;
    let shown = ParsedCertificate::try_from(shown).map_err(io::Error::other)?;
    let device = dns(&certificate_name::of_device(ends.user, ends.device));
    device.and_then(|name| verify_server_name(&shown, &name)).map_err(io::Error::other)?;
    let key = PublicKey(shown.subject_public_key_info().to_vec());
    Ok(Shown { stream, key })
}

fn originator(own: &Credentials, ends: &Ends<'_>) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots(&own.authority)?)
        .with_client_auth_cert(vec![der(ends.certificate)], own.key.to_private())?;
    config.resumption = Resumption::disabled();
    // The name is the session's, not a host's.
    config.enable_sni = false;
    Ok(Arc::new(config))
}

fn responder(own: &Credentials, ends: &Ends<'_>) -> Result<Arc<ServerConfig>, rustls::Error> {
    let chain = WebPkiClientVerifier::builder_with_provider(roots(&own.authority)?, provider())
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let name = dns(&certificate_name::of_session(ends.session, SessionSide::Originator))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(Named { chain, name }))
        .with_single_cert(vec![der(ends.certificate)], own.key.to_private())?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// A chain up to the authority, and one name. rustls itself asks clients for no name.
#[derive(Debug)]
struct Named {
    chain: Arc<dyn ClientCertVerifier>,
    name: ServerName<'static>,
}

impl ClientCertVerifier for Named {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, &self.name)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests;
