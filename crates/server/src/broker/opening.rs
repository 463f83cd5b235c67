//! From an accepted connection to a link: what is spoken on it, and by whom.

use std::io;
use std::sync::Arc;

use rustls::{CertificateError, Error as TlsError};
use simopen_broker::LinkOrigin;
use simopen_protocol::control::KeyFingerprint;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tracing::{Instrument, debug};

use super::Service;
use super::actor::Arrival;
use super::refusals::Refusal;
use super::wire::Wire;
use crate::front::{Carried, Incoming, Kind, Newcomer};
use crate::tls::{Tls, key_of_client};

/// A connection on which a link can begin.
pub(super) struct Opened {
    pub(super) wire: Wire,
    pub(super) origin: LinkOrigin,
    pub(super) newcomer: Newcomer,
}

/// Takes what the front hands on, each connection in a task of its own.
pub(super) async fn take(
    mut control: mpsc::Receiver<Incoming>,
    service: Arc<Service>,
    arrivals: mpsc::Sender<Arrival>,
) {
    while let Some(incoming) = control.recv().await {
        let opening = open(incoming, Arc::clone(&service), arrivals.clone());
        tokio::spawn(opening.instrument(service.span.clone()));
    }
}

async fn open(incoming: Incoming, service: Arc<Service>, arrivals: mpsc::Sender<Arrival>) {
    let Incoming { stream, kind, remote, syn, mut newcomer } = incoming;
    let spoken = tokio::select! {
        biased;
        // The front has counted it.
        () = newcomer.dismissed() => return,
        spoken = speak(stream, kind, &service) => spoken,
    };
    match spoken {
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

type Spoken = (Wire, Option<KeyFingerprint>);

/// Shakes hands where it is TLS. Clear text comes only where the front takes it.
async fn speak(stream: Carried, kind: Kind, service: &Service) -> Result<Spoken, Refusal> {
    match (kind, &service.tls) {
        (Kind::Clear, _) => Ok((Wire::Clear(stream), None)),
        (Kind::Tls, Some(tls)) => encrypt(stream, tls).await,
        (Kind::Tls, None) => Err(Refusal::UnknownOpening),
    }
}

async fn encrypt(stream: Carried, tls: &Tls) -> Result<Spoken, Refusal> {
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
