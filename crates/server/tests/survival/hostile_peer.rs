//! A device that has joined, and says what no honest one says.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use simopen_benches::client::Client;
use simopen_benches::stand::Stand;
use simopen_device::capture::{PacketSocketCapture, SynCapture};
use simopen_device::filter::{Scope, Selection};
use simopen_device::socket::{DialOptions, bind_dialer};
use simopen_packet::{MAX_SYN_LEN, SeqNumber, Syn, SynOptions, Timestamps, Ttl};
use simopen_peer::Credentials;
use simopen_protocol::control::{
    Accept, Action, Connect, LoggedIn, Notification, Outcome, OutcomeState, Probe, Reply, SynBytes,
    SynReport,
};
use simopen_protocol::identity::SessionId;
use simopen_protocol::technique::{SynOwner, Technique};
use socket2::SockRef;
use tokio::net::TcpStream;

use crate::honest::{in_time, told};

const KERNEL: Technique = Technique::ForgedSynAck(SynOwner::Kernel);

/// Where its control link comes from.
const FROM: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));

/// It is logged in.
pub(crate) struct Member<'a> {
    credentials: &'a Credentials,
    broker: SocketAddr,
    client: Client,
    login: LoggedIn,
}

/// A connection by which it shows an endpoint. What is dropped is reset.
pub(crate) struct Port {
    link: Client,
    pub(crate) endpoint: SocketAddr,
    pub(crate) sequence: SeqNumber,
}

impl Port {
    /// The SYN that a kernel would make from there.
    pub(crate) fn syn(&self, destination: SocketAddr) -> Syn {
        Syn {
            source: self.endpoint,
            destination,
            sequence: self.sequence,
            window: 64_240,
            ttl: Ttl::DEFAULT,
            ecn_setup: false,
            options: SynOptions::new(
                Some(1460),
                Some(7),
                true,
                Some(Timestamps { value: 1, echo: 0 }),
            ),
        }
    }
}

impl<'a> Member<'a> {
    pub(crate) async fn of(stand: &'a Stand, number: usize) -> Self {
        let (broker, credentials) = (stand.address, &stand.devices[number]);
        let login = Client::logged_in(broker, credentials, Some(FROM));
        let (client, login) = in_time("a login", login).await.unwrap();
        Self { credentials, broker, client, login }
    }

    /// Connects from there to the broker, and knows by which SYN.
    pub(crate) async fn port(&self, from: &str) -> Port {
        let endpoint: SocketAddr = from.parse().unwrap();
        let remote = Some(self.broker);
        let selection = Selection { local_port: endpoint.port(), remote, scope: Scope::OwnSyns };
        let mut capture = PacketSocketCapture::open(&selection, None).unwrap();
        let dialled = bind_dialer(endpoint, &DialOptions::default()).unwrap();
        let stream = TcpStream::from_std(dialled.connect(self.broker).unwrap()).unwrap();
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        in_time("a connection", stream.writable()).await.unwrap();
        let mut buffer = [0; 2048];
        let captured = capture.poll_packet(&mut buffer).unwrap().unwrap();
        let sequence = Syn::parse(&buffer[..captured.length]).unwrap().sequence;
        let link = in_time("TLS", Client::secured(stream, self.credentials)).await.unwrap();
        Port { link, endpoint, sequence }
    }

    /// Names a sequence number as that of the SYN. Whether it is right shows when the port is used.
    pub(crate) async fn prove(&self, port: &mut Port, sequence: SeqNumber) {
        let LoggedIn { peer, probe_secret: secret, .. } = self.login;
        let probe = Probe { peer, secret, port: port.endpoint.port(), sequence: Some(sequence) };
        asked(&mut port.link, Action::Probe(probe)).await.unwrap();
    }

    pub(crate) async fn proven(&self, from: &str) -> Port {
        let mut port = self.port(from).await;
        let sequence = port.sequence;
        self.prove(&mut port, sequence).await;
        port
    }

    /// Asks for a connection from that port; nobody accepts it.
    pub(crate) async fn connect(&mut self, port: u16, to: &Self) -> Result<Reply, String> {
        asked(&mut self.client, connect(port, to)).await
    }

    /// A session in which all is said but this side's SYN.
    pub(crate) async fn session(&mut self, port: u16, to: &mut Self, its: &Port) -> SessionId {
        let connect = connect(port, to);
        let accepting = async {
            let is_request = |it: &Notification| matches!(it, Notification::ConnectionRequest(_));
            let request = told(&mut to.client, "the request", is_request).await;
            let Notification::ConnectionRequest(request) = request else { unreachable!() };
            let towards = request.destination.endpoint().unwrap();
            let syn = Some(written(&its.syn(towards)));
            let (session, port) = (request.session, its.endpoint.port());
            let accept = Accept { session, port, syn, private: None };
            asked(&mut to.client, Action::Accept(accept)).await.unwrap();
            session
        };
        let (accepted, session) = tokio::join!(asked(&mut self.client, connect), accepting);
        assert!(matches!(accepted, Ok(Reply::Accepted(_))), "{accepted:?}");
        session
    }

    pub(crate) async fn report(&mut self, session: SessionId, syn: &Syn) -> Result<(), String> {
        self.report_bytes(session, written(syn)).await
    }

    pub(crate) async fn report_bytes(
        &mut self,
        session: SessionId,
        syn: SynBytes,
    ) -> Result<(), String> {
        asked(&mut self.client, Action::Syn(SynReport { session, syn })).await.map(drop)
    }

    pub(crate) async fn confirm(&mut self, session: SessionId) {
        let outcome = Outcome { session, state: OutcomeState::Confirmed };
        asked(&mut self.client, Action::Outcome(outcome)).await.unwrap();
    }
}

fn connect(port: u16, to: &Member<'_>) -> Action {
    let to = to.credentials.user.clone();
    Action::Connect(Connect { to, device: None, technique: KERNEL, port, syn: None })
}

fn written(syn: &Syn) -> SynBytes {
    let mut buffer = [0; MAX_SYN_LEN];
    let length = syn.emit(&mut buffer).unwrap();
    SynBytes(buffer[..length].to_vec())
}

/// The answer, or the word by which it is refused.
async fn asked(link: &mut Client, action: Action) -> Result<Reply, String> {
    in_time("an answer", link.request(action)).await.unwrap().map_err(|error| error.0)
}
