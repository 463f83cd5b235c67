//! How forged packets leave, and the connections that a forger wants to see first.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use simopen_broker::{Forged, LinkId};
use simopen_device::raw::RawSender;
use simopen_packet::Syn;
use simopen_protocol::control::{Action, Request};
use tokio::net::TcpStream;
use tracing::{debug, error};

use super::Service;
use crate::forger::{Forger, Refusal};

/// A forger and what it refused.
pub(super) struct ForgersDesk {
    forger: Forger,
    refused: Mutex<BTreeMap<Refusal, u64>>,
}

impl ForgersDesk {
    pub(super) fn new(forger: Forger) -> Self {
        Self { forger, refused: Mutex::default() }
    }

    /// Lets it read the SYN of a connection whose peer names that SYN's number. The socket is the
    /// evidence for packets to and from there. `None` where it is no such request or the number is wrong.
    pub(super) async fn evidence(
        &self,
        request: &Request,
        stream: Option<&TcpStream>,
    ) -> Option<(Syn, OwnedFd)> {
        use std::os::fd::AsFd;
        let Action::Probe(probe) = &request.action else {
            return None;
        };
        let (claimed, stream) = (probe.sequence?, stream?);
        // Where descriptors are used up, the endpoint is observed and not proven.
        let socket = stream.as_fd().try_clone_to_owned().ok()?;
        let shown = socket.try_clone().ok()?;
        match self.forger.prove(shown, claimed).await {
            Ok(syn) => Some((syn, socket)),
            Err(refusal) => {
                self.count(refusal);
                debug!(%refusal, "an endpoint was not proven to the forger");
                None
            }
        }
    }

    pub(super) fn refused(&self) -> BTreeMap<Refusal, u64> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self, refusal: Refusal) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        *refused.entry(refusal).or_default() += 1;
    }
}

/// By whom forged packets leave.
pub(super) enum Sending {
    /// Nobody.
    Nobody,
    /// This process: for laboratories.
    Here(RawSender),
    /// A process of its own, which looks at these connections.
    Forger(BTreeMap<LinkId, OwnedFd>),
}

impl Sending {
    /// A connection has proven its endpoint to the forger.
    pub(super) fn keep(&mut self, link: LinkId, socket: OwnedFd) {
        if let Self::Forger(evidence) = self {
            evidence.insert(link, socket);
        }
    }

    /// A connection is gone.
    pub(super) fn forget(&mut self, link: LinkId) {
        if let Self::Forger(evidence) = self {
            evidence.remove(&link);
        }
    }

    pub(super) fn send(&self, forged: &Forged, service: &Arc<Service>) {
        match self {
            Self::Nobody => {}
            Self::Here(raw) => {
                if let Err(error) = raw.send(forged.packet()) {
                    error!(%error, session = %forged.consent.session, "the forged packet was not sent");
                }
            }
            Self::Forger(evidence) => send_by_forger(forged, evidence, service),
        }
    }
}

fn send_by_forger(forged: &Forged, evidence: &BTreeMap<LinkId, OwnedFd>, service: &Arc<Service>) {
    let Some(desk) = &service.forger else {
        return;
    };
    let session = forged.consent.session;
    let copy = |link: LinkId| evidence.get(&link).and_then(|socket| socket.try_clone().ok());
    let [Some(receiver), Some(sender)] = forged.consent.proven_by.map(copy) else {
        desk.count(Refusal::NoConnection);
        error!(%session, "a connection that proved an endpoint is gone; nothing is forged");
        return;
    };
    let sent = desk.forger.forge(session, forged.packet(), receiver, sender);
    let service = Arc::clone(service);
    tokio::spawn(async move {
        if let Err(refusal) = sent.await
            && let Some(desk) = &service.forger
        {
            desk.count(refusal);
            error!(%session, %refusal, "the forger did not send a packet");
        }
    });
}
