//! Becoming a user's device, by an invitation.

use std::io;
use std::time::Duration;

use simopen_protocol::address::HostPort;
use simopen_protocol::certificate_name;
use simopen_protocol::control::{Action, Join, Joined, Reply, Request};
use simopen_protocol::identity::DeviceName;
use simopen_protocol::invitation::Invitation;
use simopen_traversal::signalling::FIRST;
use thiserror::Error;

use crate::broker_words::InWords;
use crate::carriage::{Carriage, CarriageError};
use crate::control_stream::dial;
use crate::credentials::{Credentials, DeviceKey, KeyError};
use crate::link::Wire;
use crate::tls::{CredentialsError, invited_client};

/// How long one address may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Joins the broker of an invitation as a device of this name, with a key that was made on this
/// device, and returns what is to be kept.
///
/// The broker's addresses are tried in order. The invitation's secret is said only to who shows
/// the authority that the invitation names, and is good once: keep `key` before, so that nothing is
/// lost when the answer is.
///
/// # Errors
///
/// [`JoinError`], of the address that was tried last.
pub async fn join(
    invitation: &Invitation,
    device: &DeviceName,
    key: &DeviceKey,
    carriage: &Carriage,
) -> Result<Credentials, JoinError> {
    let ask = Join { device: device.clone(), secret: invitation.secret, key: key.public()? };
    let mut last = JoinError::NoAddress;
    for address in &invitation.addresses {
        let joining = join_at(address, carriage, invitation, &ask);
        let timed_out = || Err(JoinError::TimedOut { broker: address.clone() });
        match tokio::time::timeout(PATIENCE, joining).await.unwrap_or_else(|_| timed_out()) {
            Ok(joined) => return credentials(joined, device, key),
            // It has heard the secret: no other address will say anything else.
            Err(error @ JoinError::Refused(_)) => return Err(error),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn join_at(
    broker: &HostPort,
    carriage: &Carriage,
    invitation: &Invitation,
    ask: &Join,
) -> Result<Joined, JoinError> {
    let not_authentic = |source| JoinError::NotAuthentic { broker: broker.clone(), source };
    let config = invited_client(invitation.authority)?;
    let stream = dial(broker, carriage).await?;
    let stream = stream.secure(config, certificate_name::BROKER).await.map_err(not_authentic)?;
    let mut wire = Wire::new(stream);
    let request = Request::new(FIRST, Action::Join(ask.clone()));
    let response = wire.ask(request).await.map_err(|_| JoinError::LinkLost)?;
    match response.result {
        Ok(Reply::Joined(joined)) => Ok(joined),
        Ok(
            Reply::LoggedIn(_)
            | Reply::Observed(_)
            | Reply::Accepted(_)
            | Reply::Certified(_)
            | Reply::NoteKept(_)
            | Reply::Done,
        ) => Err(JoinError::Incomplete),
        Err(name) => Err(JoinError::Refused(name.0)),
    }
}

fn credentials(
    joined: Joined,
    device: &DeviceName,
    key: &DeviceKey,
) -> Result<Credentials, JoinError> {
    let (Some(authority), Some(certificate)) = (joined.authority, joined.certificate) else {
        return Err(JoinError::Incomplete);
    };
    Ok(Credentials {
        broker: joined.broker,
        user: joined.user,
        device: device.clone(),
        authority,
        certificate,
        key: key.clone(),
    })
}

/// What keeps a device from joining.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The invitation names no address.
    #[error("the invitation names no address of the broker")]
    NoAddress,
    /// The broker cannot be reached, straight or through the proxy.
    #[error("the broker cannot be reached: {0}")]
    Unreachable(#[from] CarriageError),
    /// The other end is not the broker that invited.
    #[error("who answers at {broker} is not the broker that invited: {source}")]
    NotAuthentic {
        /// Where it was sought.
        broker: HostPort,
        /// What TLS says.
        source: io::Error,
    },
    /// The link broke before the answer. The invitation may be used up.
    #[error(
        "the link to the broker broke before it answered; if the device is not known there, ask for another invitation"
    )]
    LinkLost,
    /// The broker said nothing in time.
    #[error("the broker at {broker} did not answer within {} s", PATIENCE.as_secs())]
    TimedOut {
        /// Where it was sought.
        broker: HostPort,
    },
    /// The broker refuses, with this word.
    #[error("the broker refuses: {}", InWords(.0))]
    Refused(String),
    /// The broker's answer lacks something.
    #[error("the broker's answer lacks a certificate; it is not set up for devices to join")]
    Incomplete,
    /// The device's key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}
