//! The smallest client: TLS, frames, one request after another.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use simopen_peer::Credentials;
use simopen_protocol::certificate_name;
use simopen_protocol::control::{
    Action, ErrorName, LoggedIn, Login, Message, Notification, Reachable, Reply, Request,
    TransactionId,
};
use simopen_protocol::frame::{self, Decoder};
use simopen_server::authority::Authority;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What an answer takes at most on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Client {
    pub(crate) stream: TlsStream<TcpStream>,
    decoder: Decoder,
    next: u32,
    pub(crate) told: VecDeque<Notification>,
}

impl Client {
    /// Shakes hands by the certificate of these credentials.
    pub(crate) async fn connect(at: SocketAddr, own: &Credentials) -> io::Result<Self> {
        let roots = roots(&own.authority.0);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.key.0.clone()));
        let chain = vec![CertificateDer::from(own.certificate.0.clone())];
        let config = builder().with_root_certificates(roots);
        Self::over(at, config.with_client_auth_cert(chain, key).unwrap()).await
    }

    /// Shakes hands without a certificate, as who joins does.
    pub(crate) async fn nobody(at: SocketAddr, authority: &Authority) -> io::Result<Self> {
        let config = builder().with_root_certificates(roots(&authority.certificate().0));
        Self::over(at, config.with_no_client_auth()).await
    }

    async fn over(at: SocketAddr, config: ClientConfig) -> io::Result<Self> {
        let stream = TcpStream::connect(at).await?;
        let name = ServerName::try_from(certificate_name::BROKER).unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        let decoder = Decoder::new(frame::TO_PEER);
        Ok(Self { stream, decoder, next: 0, told: VecDeque::new() })
    }

    pub(crate) async fn log_in(at: SocketAddr, own: &Credentials) -> io::Result<(Self, LoggedIn)> {
        let mut client = Self::connect(at, own).await?;
        let login = Login { user: own.user.clone(), secret: None, reachable: Reachable::Yes };
        match client.request(Action::Login(login)).await? {
            Ok(Reply::LoggedIn(reply)) => Ok((client, reply)),
            other => Err(io::Error::other(format!("the login: {other:?}"))),
        }
    }

    pub(crate) async fn request(&mut self, action: Action) -> io::Result<Result<Reply, ErrorName>> {
        self.ask(action).await?;
        self.answer().await
    }

    /// The next answer; what the broker tells meanwhile is kept.
    pub(crate) async fn answer(&mut self) -> io::Result<Result<Reply, ErrorName>> {
        loop {
            match self.read().await? {
                Message::Response(response) => return Ok(response.result),
                Message::Notification(notification) => self.keep(notification),
                Message::Request(_) => return Err(io::Error::other("a broker asks nothing")),
            }
        }
    }

    pub(crate) async fn ask(&mut self, action: Action) -> io::Result<()> {
        self.next += 1;
        let request = Message::Request(Request::new(TransactionId(self.next), action));
        let mut wire = Vec::new();
        frame::encode(&request.to_bytes(), &mut wire);
        self.write(&wire).await
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// The first notification that is wanted; others are passed over.
    pub(crate) async fn told(
        &mut self,
        is_wanted: impl Fn(&Notification) -> bool,
    ) -> io::Result<Notification> {
        loop {
            while let Some(notification) = self.told.pop_front() {
                if is_wanted(&notification) {
                    return Ok(notification);
                }
            }
            if let Message::Notification(notification) = self.read().await? {
                self.keep(notification);
            }
        }
    }

    fn keep(&mut self, notification: Notification) {
        if let Notification::Several(all) = notification {
            self.told.extend(all);
        } else {
            self.told.push_back(notification);
        }
    }

    pub(crate) async fn read(&mut self) -> io::Result<Message> {
        let late = || io::Error::from(io::ErrorKind::TimedOut);
        timeout(PATIENCE, self.read_now()).await.map_err(|_| late())?
    }

    async fn read_now(&mut self) -> io::Result<Message> {
        let mut piece = [0; 4096];
        loop {
            if let Some(body) = self.decoder.poll_frame().map_err(io::Error::other)? {
                return Message::parse(&body).map_err(io::Error::other);
            }
            match self.stream.read(&mut piece).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => self.decoder.push(&piece[..length]),
            }
        }
    }

    /// Returns when the broker has closed the link.
    pub(crate) async fn closed(&mut self) {
        while self.read().await.is_ok() {}
    }
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
}

fn roots(authority: &[u8]) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority.to_vec())).unwrap();
    roots
}
