//! Who may be at the ends of the link between a broker and a relay that runs apart: TLS 1.3, with
//! certificates of the broker's authority on both sides.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use simopen_device::socket::{keep_alive, limit_unacknowledged};
use simopen_protocol::address::HostPort;
use simopen_protocol::certificate_name;
use simopen_protocol::control::{Certificate, KeyFingerprint};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::authority::Authority;
use crate::tls::{TlsError, key_of};
use crate::wall_clock::WallClock;

/// After so long without a word the other end is asked whether it is there; after as long again the
/// link is gone.
const IDLE: Duration = Duration::from_secs(20);

/// What a relay has got by joining.
#[derive(Clone)]
pub struct Identity {
    /// Its private key, as DER of PKCS#8.
    pub key: Vec<u8>,
    /// Its certificate.
    pub certificate: Certificate,
    /// Its broker's authority.
    pub authority: Certificate,
}

/// The relay's end: takes links from its broker, and from nobody else.
#[derive(Clone)]
pub struct Door {
    acceptor: TlsAcceptor,
}

impl Door {
    /// Of a relay that has joined.
    ///
    /// # Errors
    ///
    /// [`TlsError`] where its key or its certificates cannot be used.
    pub fn new(identity: &Identity, clock: WallClock) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let roots = Arc::new(roots(&identity.authority)?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
            .build()
            .map_err(|_| TlsError::Verifier)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.clone()));
        let chain = [&identity.certificate, &identity.authority];
        let chain = chain.map(|certificate| certificate.0.clone().into()).to_vec();
        let mut config = ServerConfig::builder_with_details(provider, Arc::new(clock))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Shakes hands. A device of the same authority is no broker: the name in the certificate says.
    ///
    /// # Errors
    ///
    /// Where the other end is not the broker.
    pub async fn admit(&self, stream: TcpStream) -> io::Result<server::TlsStream<TcpStream>> {
        prepare(&stream)?;
        let stream = self.acceptor.accept(stream).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let shown = shown.ok_or_else(|| io::Error::other("it shows no certificate"))?;
        let parsed = ParsedCertificate::try_from(shown).map_err(io::Error::other)?;
        verify_server_name(&parsed, &name(certificate_name::BROKER)?).map_err(io::Error::other)?;
        Ok(stream)
    }
}

/// The broker's end: dials a relay.
#[derive(Clone)]
pub struct Dialler {
    authority: Authority,
    clock: WallClock,
    address: HostPort,
}

impl Dialler {
    /// Of the broker of this authority, for a relay that listens there.
    #[must_use]
    pub const fn new(authority: Authority, clock: WallClock, address: HostPort) -> Self {
        Self { authority, clock, address }
    }

    /// Dials, shakes hands, and tells by which key the relay has shown who it is: whether that one
    /// has been revoked is for the broker to know.
    ///
    /// # Errors
    ///
    /// Where the relay cannot be reached, or is none of this authority.
    pub async fn dial(&self) -> io::Result<(client::TlsStream<TcpStream>, KeyFingerprint)> {
        let config = self.config().map_err(io::Error::other)?;
        let (host, port) = (self.address.host(), self.address.port());
        let stream = TcpStream::connect((host, port)).await?;
        prepare(&stream)?;
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector.connect(name(certificate_name::RELAY)?, stream).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let key = shown.and_then(key_of).ok_or_else(|| io::Error::other("it shows no key"))?;
        Ok((stream, key.fingerprint()))
    }

    /// With a certificate that is made for this link.
    fn config(&self) -> Result<ClientConfig, TlsError> {
        let shown = self.authority.issue_broker(self.clock.seconds())?;
        let provider = Arc::new(ring::default_provider());
        let clock = Arc::new(self.clock.clone());
        let mut config = ClientConfig::builder_with_details(provider, clock)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots(&self.authority.certificate())?)
            .with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(shown)));
        config.resumption = rustls::client::Resumption::disabled();
        Ok(config)
    }
}

/// A link whose other end is gone without a word ends at both ends.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    keep_alive(stream, IDLE)?;
    limit_unacknowledged(stream, 2 * IDLE)
}

fn roots(authority: &Certificate) -> Result<RootCertStore, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority.0.clone()))?;
    Ok(roots)
}

/// A name of [`certificate_name`], which all are DNS names.
fn name(name: &'static str) -> io::Result<ServerName<'static>> {
    ServerName::try_from(name).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
    use simopen_protocol::control::PublicKey;
    use tokio::net::TcpListener;

    use super::*;
    use crate::authority::Subject;

    struct Stand {
        door: Door,
        listener: TcpListener,
        fingerprint: KeyFingerprint,
    }

    impl Stand {
        async fn of(authority: &Authority) -> Self {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
            let public = PublicKey(key.subject_public_key_info());
            let now = WallClock::system().seconds();
            let identity = Identity {
                key: key.serialize_der(),
                certificate: authority.issue_relay(&public, now).unwrap(),
                authority: authority.certificate(),
            };
            Self {
                door: Door::new(&identity, WallClock::system()).unwrap(),
                listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
                fingerprint: public.fingerprint(),
            }
        }

        fn dialler(&self, authority: &Authority) -> Dialler {
            let at = self.listener.local_addr().unwrap();
            Dialler::new(authority.clone(), WallClock::system(), at.into())
        }

        async fn admit(&self) -> io::Result<server::TlsStream<TcpStream>> {
            let (stream, _) = self.listener.accept().await.unwrap();
            self.door.admit(stream).await
        }
    }

    fn authority() -> Authority {
        Authority::ephemeral(WallClock::system().seconds()).unwrap()
    }

    #[tokio::test]
    async fn a_broker_and_its_relay_know_each_other() {
        let authority = authority();
        let stand = Stand::of(&authority).await;
        let dialler = stand.dialler(&authority);
        let (admitted, dialled) = tokio::join!(stand.admit(), dialler.dial());
        let (admitted, dialled) = (admitted.unwrap(), dialled.unwrap());
        assert_eq!(dialled.1, stand.fingerprint);
        for socket in [admitted.get_ref().0, dialled.0.get_ref().0] {
            let socket = socket2::SockRef::from(socket);
            assert!(socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), IDLE);
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(2 * IDLE));
        }
    }

    #[tokio::test]
    async fn another_broker_is_not_admitted() {
        let stand = Stand::of(&authority()).await;
        let dialler = stand.dialler(&authority());
        let (admitted, dialled) = tokio::join!(stand.admit(), dialler.dial());
        assert!(admitted.is_err() && dialled.is_err());
    }

    #[tokio::test]
    async fn a_device_of_the_same_broker_is_not_admitted() {
        let authority = authority();
        let stand = Stand::of(&authority).await;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let subject = Subject {
            user: &"alice".parse().unwrap(),
            device: &"laptop".parse().unwrap(),
            key: &PublicKey(key.subject_public_key_info()),
        };
        let certificate = authority.issue_device(subject, WallClock::system().seconds()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots(&authority.certificate()).unwrap())
            .with_client_auth_cert(
                vec![certificate.0.into()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .unwrap();
        let device = async {
            let stream = TcpStream::connect(stand.listener.local_addr().unwrap()).await.unwrap();
            let connector = TlsConnector::from(Arc::new(config));
            connector.connect(name(certificate_name::RELAY).unwrap(), stream).await
        };
        let (admitted, _) = tokio::join!(stand.admit(), device);
        assert!(admitted.is_err());
    }
}
