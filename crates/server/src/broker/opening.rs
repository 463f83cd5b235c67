//! From an accepted connection to a link: what is spoken on it, and by whom.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::{CertificateError, Error as TlsError};
use simopen_broker::LinkOrigin;
use simopen_device::socket::saved_syn;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tracing::{Instrument, debug, warn};

use super::actor::Arrival;
use super::newcomers::Newcomer;
use super::refusals::Refusal;
use super::wire::Wire;
use super::{ClearText, Service};
use crate::tls::{Tls, key_of_client};

/// How long accepting rests when it fails, as it does when descriptors are used up.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The first byte of a TLS record that holds a handshake message (RFC 8446 §5.1).
const HANDSHAKE: u8 = 0x16;
/// The first byte of a frame: no length comes near to filling it.
const FRAME: u8 = 0x00;

/// A connection on which a link can begin.
pub(super) struct Opened {
    pub(super) wire: Wire,
    pub(super) origin: LinkOrigin,
    pub(super) newcomer: Newcomer,
}

/// Accepts in a task of its own, so that a pause after a failure stops nothing else.
pub(super) async fn accept(
    listener: TcpListener,
    service: Arc<Service>,
    arrivals: mpsc::Sender<Arrival>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                let opening = open(stream, remote, Arc::clone(&service), arrivals.clone());
                tokio::spawn(opening.instrument(service.span.clone()));
            }
            Err(error) => {
                service.refusals.count(Refusal::AcceptFailed);
                warn!(%error, "accepting failed, trying again");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn open(
    stream: TcpStream,
    remote: SocketAddr,
    service: Arc<Service>,
    arrivals: mpsc::Sender<Arrival>,
) {
    let mut newcomer = service.newcomers.enter();
    // Answers are small and wanted at once; an error only costs latency.
    let _ = stream.set_nodelay(true);
    let syn = match &service.forger {
        // Whoever reads it uses it up.
        Some(_) => None,
        None => saved_syn(&stream).ok().flatten(),
    };
    let wire = tokio::select! {
        biased;
        why = &mut newcomer => Err(why.into()),
        wire = speak(stream, &service) => wire,
    };
    match wire {
        Ok((wire, key)) => {
            let origin = LinkOrigin { remote, syn, key };
            let opened = Opened { wire, origin, newcomer };
            // The actor may be gone; then nobody cares.
            let _ = arrivals.send(Arrival::Opened(Box::new(opened))).await;
        }
        Err(refusal) => {
            service.refusals.count(refusal);
            debug!(%remote, reason = refusal.word(), "a connection was refused");
        }
    }
}

type Spoken = (Wire, Option<simopen_protocol::control::KeyFingerprint>);

/// Finds out what is spoken on a connection, and shakes hands where it is TLS.
async fn speak(stream: TcpStream, service: &Service) -> Result<Spoken, Refusal> {
    let Some(tls) = &service.tls else {
        return Ok((Wire::Clear(stream), None));
    };
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(1..) => {}
        Ok(0) | Err(_) => return Err(Refusal::UnknownOpening),
    }
    match (first, service.clear_text) {
        ([HANDSHAKE], _) => encrypt(stream, tls).await,
        ([FRAME], ClearText::Taken) => Ok((Wire::Clear(stream), None)),
        ([FRAME], ClearText::Refused) => Err(Refusal::ClearText),
        ([_], _) => Err(Refusal::UnknownOpening),
    }
}

async fn encrypt(stream: TcpStream, tls: &Tls) -> Result<Spoken, Refusal> {
    // In a box of its own: a handshake's state is large, and gone when it is over.
    let handshake = Box::pin(TlsAcceptor::from(tls.config()).accept(stream));
    let stream = handshake.await.map_err(|error| refusal_of(&error))?;
    let key = key_of_client(stream.get_ref().1).map(|key| key.fingerprint());
    Ok((Wire::Tls(Box::new(stream)), key))
}

fn refusal_of(error: &io::Error) -> Refusal {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
    match cause {
        Some(TlsError::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => Refusal::CertificateExpired,
        Some(TlsError::InvalidCertificate(_)) => Refusal::CertificateForeign,
        Some(_) | None => Refusal::TlsFailed,
    }
}
