//! A relay with its front on loopback, and two who meet there.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use simopen_peer::carriage::{Carriage, CarriageError, Carried, Errand, Way};
use simopen_protocol::address::HostPort;
use simopen_protocol::control::Proxy;
use simopen_protocol::identity::SessionId;
use simopen_protocol::token::Token;
use simopen_server::front::{self, ClearText, Front, Incoming};
use simopen_server::relay;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Far more than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A front with a relay behind it, and the control connections that come.
pub(crate) struct Place {
    pub(crate) relay: relay::Handle,
    pub(crate) front: front::Handle,
    pub(crate) control: mpsc::Receiver<Incoming>,
}

impl Place {
    pub(crate) fn start() -> Self {
        Self::with(front::Limits::default())
    }

    pub(crate) fn with(limits: front::Limits) -> Self {
        let relay = relay::Builder::new().start().unwrap();
        let front = Front::new().limits(limits).clear_text(ClearText::Taken).relay(relay.clone());
        let (front, control) = front.control();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let front = front.start(vec![listener]).unwrap();
        Self { relay, front, control }
    }

    pub(crate) fn endpoint(&self) -> SocketAddr {
        self.front.local_addrs()[0]
    }

    pub(crate) fn address(&self) -> HostPort {
        self.endpoint().into()
    }

    /// Announces a pairing.
    pub(crate) fn open(&self, session: u64) -> [Token; 2] {
        let values = tokens(session);
        self.relay.open(&Proxy { session: SessionId(session), values }).unwrap();
        values
    }

    pub(crate) async fn meet(
        &self,
        carriage: &Carriage,
        value: Token,
        way: Way,
    ) -> Result<Carried, CarriageError> {
        let (address, errand) = (self.address(), Errand::Meet(value));
        let dialled = carriage.dial(&address, &errand, way, |_| true);
        timeout(PATIENCE, dialled).await.expect("the relay is reached or not")
    }
}

/// Two values that nobody else has.
pub(crate) fn tokens(session: u64) -> [Token; 2] {
    [1, 2].map(|side| {
        let mut bytes = [side; 32];
        bytes[8..16].copy_from_slice(&session.to_be_bytes());
        Token::from_random(bytes)
    })
}

/// Whether bytes go both ways in order, each way to its end, and the end of one way leaves the other
/// open.
pub(crate) async fn converse<A, B>(mut a: A, mut b: B)
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (question, answer) = words();
    let asking = async {
        a.write_all(&question).await.unwrap();
        a.shutdown().await.unwrap();
        let mut heard = Vec::new();
        a.read_to_end(&mut heard).await.unwrap();
        assert!(heard == answer, "{} of {} bytes came back", heard.len(), answer.len());
    };
    let answering = async {
        let mut heard = Vec::new();
        b.read_to_end(&mut heard).await.unwrap();
        assert!(heard == question, "{} of {} bytes came", heard.len(), question.len());
        b.write_all(&answer).await.unwrap();
        b.shutdown().await.unwrap();
    };
    timeout(PATIENCE, async { tokio::join!(asking, answering) }).await.expect("bytes go both ways");
}

/// Whether bytes go both ways in order. Proxies close a tunnel as a whole when one way has ended, so
/// nothing ends here before all is read.
pub(crate) async fn exchange<A, B>(mut a: A, mut b: B)
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (question, answer) = words();
    let asking = async {
        a.write_all(&question).await.unwrap();
        let mut heard = vec![0; answer.len()];
        a.read_exact(&mut heard).await.unwrap();
        assert!(heard == answer);
        a.shutdown().await.unwrap();
    };
    let answering = async {
        let mut heard = vec![0; question.len()];
        b.read_exact(&mut heard).await.unwrap();
        assert!(heard == question);
        b.write_all(&answer).await.unwrap();
        assert_eq!(b.read(&mut heard).await.unwrap_or(0), 0);
    };
    timeout(PATIENCE, async { tokio::join!(asking, answering) }).await.expect("bytes go both ways");
}

fn words() -> (Vec<u8>, Vec<u8>) {
    let question: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
    let answer = question.iter().rev().copied().collect();
    (question, answer)
}

/// Waits until a stream ends without a byte: nobody was joined.
pub(crate) async fn ends_without_a_byte(mut stream: impl AsyncRead + Unpin) {
    let mut heard = Vec::new();
    let ended = timeout(PATIENCE, stream.read_to_end(&mut heard)).await.expect("it ends");
    // A reset is an end as well.
    assert!(ended.is_err() || heard.is_empty(), "{} bytes came", heard.len());
}
