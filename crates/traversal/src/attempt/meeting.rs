//! Where two sides meet at a relay, and which relay a peer may be sent to.

use core::time::Duration;

use simopen_protocol::control::{Destination, Meeting};
use simopen_protocol::identity::SessionId;

use super::Attempt;
use crate::consent::TargetConsent;
use crate::technique::{Opener, Session};

impl Attempt {
    /// The relay that both sides dial and what this one presents there, once the broker has named
    /// it. Addresses that a peer does not dial have been left out.
    #[must_use]
    pub const fn meeting(&self) -> Option<&Meeting> {
        self.meeting.as_ref()
    }

    /// What this peer may be brought to dial: asked by a world that found out which addresses a
    /// relay's name stands for.
    #[must_use]
    pub const fn consent(&self) -> &TargetConsent {
        &self.consent
    }

    /// The local port that the broker is told.
    pub(super) fn port(&self) -> u16 {
        let meets = self.opener.as_ref().is_some_and(Opener::meets);
        if meets { 0 } else { self.config.local.port() }
    }

    /// The session that leads there. `None` where that is no destination for the technique.
    pub(super) fn session_towards(
        &mut self,
        destination: &Destination,
        id: SessionId,
        peer_round_trip: Duration,
    ) -> Option<Session> {
        let meets = self.opener.as_ref().is_some_and(Opener::meets);
        match destination {
            Destination::Endpoint(remote) if !meets => {
                Some(Session::new(id, *remote, peer_round_trip))
            }
            Destination::Meeting(meeting) if meets => {
                let mut meeting = meeting.clone();
                meeting.relay.retain(|relay| {
                    let is_allowed = |relay| self.consent.allow_relay(relay).is_ok();
                    relay.endpoint().is_none_or(is_allowed)
                });
                self.meeting = Some(meeting);
                Some(Session::at_relay(id, peer_round_trip))
            }
            Destination::Endpoint(_) | Destination::Meeting(_) => None,
        }
    }
}
