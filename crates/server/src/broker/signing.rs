//! Messages that want a certificate, which the link's task makes.

use simopen_protocol::certificate_name::SessionSide;
use simopen_protocol::control::{Certificate, Message, Notification, PublicKey, Reply, Response};
use simopen_protocol::identity::{DeviceName, UserId};
use tracing::error;

use crate::authority::{Authority, AuthorityError, Subject};

/// A message to a device, without the certificate that belongs into it.
pub(super) struct Unsigned {
    pub(super) message: Message,
    /// `None` for a device that has just joined on this link: its task knows the key.
    pub(super) device: Option<Named>,
}

/// A device as certificates name it.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) user: UserId,
    pub(super) device: DeviceName,
    pub(super) key: PublicKey,
    pub(super) is_relay: bool,
}

impl Named {
    const fn subject(&self) -> Subject<'_> {
        Subject { user: &self.user, device: &self.device, key: &self.key }
    }
}

impl Unsigned {
    /// For the accounts of what waits: a message of this kind with its certificate, in bytes.
    pub(super) const USUAL_LENGTH: usize = 2048;

    /// The message with its certificate. Without one on a link in clear text, or where it cannot be
    /// made, which is logged.
    pub(super) fn sign(self, authority: Option<&Authority>, now: u64) -> Message {
        let mut message = self.message;
        if let (Some(device), Some(authority)) = (&self.device, authority)
            && let Err(error) = fill_in(&mut message, device, authority, now)
        {
            error!(%error, user = %device.user, "no certificate");
        }
        message
    }
}

/// Whether a certificate belongs into a message.
pub(super) const fn wants_certificate(message: &Message) -> bool {
    match message {
        Message::Response(Response { result: Ok(reply), .. }) => match reply {
            Reply::Accepted(_) | Reply::Joined(_) | Reply::Certified(_) => true,
            Reply::LoggedIn(_) | Reply::Observed(_) | Reply::NoteKept(_) | Reply::Done => false,
        },
        Message::Notification(notification) => {
            matches!(notification, Notification::ConnectionRequest(_))
        }
        Message::Response(Response { result: Err(_), .. }) | Message::Request(_) => false,
    }
}

fn fill_in(
    message: &mut Message,
    device: &Named,
    authority: &Authority,
    now: u64,
) -> Result<(), AuthorityError> {
    let subject = device.subject();
    match message {
        Message::Response(Response { result: Ok(Reply::Accepted(accepted)), .. }) => {
            let side = SessionSide::Originator;
            accepted.certificate =
                Some(authority.issue_session(subject, side, accepted.session, now)?);
        }
        Message::Notification(Notification::ConnectionRequest(request)) => {
            let side = SessionSide::Responder;
            request.certificate =
                Some(authority.issue_session(subject, side, request.session, now)?);
        }
        Message::Response(Response { result: Ok(Reply::Joined(joined)), .. }) => {
            joined.authority = Some(authority.certificate());
            joined.certificate = Some(certificate_of(device, authority, now)?);
        }
        Message::Response(Response { result: Ok(Reply::Certified(certificate)), .. }) => {
            *certificate = Some(certificate_of(device, authority, now)?);
        }
        Message::Request(_) | Message::Response(_) | Message::Notification(_) => {}
    }
    Ok(())
}

fn certificate_of(
    device: &Named,
    authority: &Authority,
    now: u64,
) -> Result<Certificate, AuthorityError> {
    if device.is_relay {
        return authority.issue_relay(&device.key, now);
    }
    authority.issue_device(device.subject(), now)
}
