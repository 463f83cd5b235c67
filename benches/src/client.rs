//! The smallest client of a broker: one link, one request after another.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use simopen_peer::Credentials;
use simopen_protocol::certificate_name;
use simopen_protocol::control::{
    Action, ErrorName, LoggedIn, Login, Message, Notification, Reachable, Reply, Request,
    TransactionId,
};
use simopen_protocol::frame::{self, Decoder};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A link to a broker.
pub struct Client<S = TlsStream<TcpStream>> {
    stream: S,
    decoder: Decoder,
    next: u32,
    told: VecDeque<Notification>,
}

impl Client {
    /// Dials, from that address where there is one, and shakes hands.
    ///
    /// # Errors
    ///
    /// Where that does not come about.
    pub async fn connect(
        broker: SocketAddr,
        credentials: &Credentials,
        from: Option<IpAddr>,
    ) -> io::Result<Self> {
        Self::secured(dial(broker, from).await?, credentials).await
    }

    /// Shakes hands over a connection that stands.
    ///
    /// # Errors
    ///
    /// Where that does not come about.
    pub async fn secured(stream: TcpStream, credentials: &Credentials) -> io::Result<Self> {
        let config = tls(credentials).map_err(io::Error::other)?;
        let name = ServerName::try_from(certificate_name::BROKER).map_err(io::Error::other)?;
        Ok(Self::over(TlsConnector::from(config).connect(name, stream).await?))
    }

    /// Dials, shakes hands and logs in.
    ///
    /// # Errors
    ///
    /// As [`Client::connect`], and where the login is refused.
    pub async fn logged_in(
        broker: SocketAddr,
        credentials: &Credentials,
        from: Option<IpAddr>,
    ) -> io::Result<(Self, LoggedIn)> {
        let mut client = Self::connect(broker, credentials, from).await?;
        let login =
            Login { user: credentials.user.clone(), secret: None, reachable: Reachable::Yes };
        match client.request(Action::Login(login)).await? {
            Ok(Reply::LoggedIn(reply)) => Ok((client, reply)),
            other => Err(io::Error::other(format!("the login: {other:?}"))),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Speaks over a stream that stands.
    pub const fn over(stream: S) -> Self {
        Self { stream, decoder: Decoder::new(frame::TO_PEER), next: 0, told: VecDeque::new() }
    }

    /// Asks, and waits for the answer; what the broker tells meanwhile is kept.
    ///
    /// # Errors
    ///
    /// Where the link ends.
    pub async fn request(&mut self, action: Action) -> io::Result<Result<Reply, ErrorName>> {
        self.ask(action).await?;
        loop {
            match self.read().await? {
                Message::Response(response) => return Ok(response.result),
                Message::Notification(notification) => self.keep(notification),
                Message::Request(_) => return Err(io::Error::other("a broker asks nothing")),
            }
        }
    }

    /// Asks, and does not wait.
    ///
    /// # Errors
    ///
    /// Where the link ends.
    pub async fn ask(&mut self, action: Action) -> io::Result<()> {
        self.next += 1;
        let request = Request::new(TransactionId(self.next), action);
        let body = Message::Request(request).to_bytes();
        let mut wire = Vec::with_capacity(body.len() + 4);
        frame::encode(&body, &mut wire);
        self.stream.write_all(&wire).await?;
        self.stream.flush().await
    }

    /// The next thing that the broker tells.
    ///
    /// # Errors
    ///
    /// Where the link ends.
    pub async fn told(&mut self) -> io::Result<Notification> {
        loop {
            if let Some(notification) = self.told.pop_front() {
                return Ok(notification);
            }
            if let Message::Notification(notification) = self.read().await? {
                self.keep(notification);
            }
        }
    }

    /// Several that came together are told one by one.
    fn keep(&mut self, notification: Notification) {
        if let Notification::Several(all) = notification {
            self.told.extend(all);
        } else {
            self.told.push_back(notification);
        }
    }

    /// The next message of whatever kind.
    ///
    /// # Errors
    ///
    /// Where the link ends.
    pub async fn read(&mut self) -> io::Result<Message> {
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

    /// The stream, for whoever writes what is no message.
    pub const fn stream(&mut self) -> &mut S {
        &mut self.stream
    }
}

/// Dials, from that address where there is one.
///
/// # Errors
///
/// What the system says.
pub async fn dial(to: SocketAddr, from: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(from) = from {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn tls(credentials: &Credentials) -> Result<Arc<ClientConfig>, rustls::Error> {
    let der = |bytes: &[u8]| CertificateDer::from(bytes.to_vec());
    let mut roots = RootCertStore::empty();
    roots.add(der(&credentials.authority.0))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(credentials.key.0.clone()));
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![der(&credentials.certificate.0)], key)?;
    Ok(Arc::new(config))
}
