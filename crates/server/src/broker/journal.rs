//! What is logged of what happens at the broker: who, in which session, and never a secret.

use simopen_broker::What;
use simopen_protocol::cause::Cause;
use simopen_protocol::identity::DeviceName;
use tracing::field::{DisplayValue, display};
use tracing::{debug, info, warn};

use crate::seldom::Seldom;

/// Writes one line for each event.
#[derive(Default)]
pub(super) struct Journal {
    /// Whoever asks for forgeries that are refused does not fill the log.
    not_forged: Seldom,
}

impl Journal {
    /// At info who comes and goes and what becomes of sessions; at debug the steps between.
    pub(super) fn tell(&mut self, what: &What) {
        match what {
            What::Joined { user, device } => info!(%user, %device, "joined"),
            What::LoggedIn { peer, user, device } => {
                info!(%peer, %user, device = named(device), "logged in");
            }
            What::LoggedOut { peer, user, device } => {
                info!(%peer, %user, device = named(device), "logged out");
            }
            What::Revoked { user, device } => {
                info!(%user, device = named(device), "revoked");
            }
            What::Asked { session, technique, originator, responder } => {
                info!(%session, %technique, %originator, %responder, "session asked for");
            }
            What::Connected { session } => info!(%session, "session connected"),
            What::Ended { session, cause } => {
                info!(%session, cause = cause.map(Cause::word), "session ended");
            }
            What::Forged(consent) => info!(
                session = %consent.session,
                source = %consent.source,
                destination = %consent.destination,
                "forged a SYN-ACK"
            ),
            What::Refused { session, violation, .. } => match self.not_forged.happened() {
                Some(times) => warn!(%session, ?violation, times, "a forged packet was refused"),
                None => debug!(%session, ?violation, "a forged packet was refused"),
            },
            What::EntryRefused { source } => debug!(%source, "a login or a join was refused"),
            What::Vanished { peer } => debug!(%peer, "gone without a word"),
            What::Proven { peer, endpoint } => debug!(%peer, %endpoint, "proved an endpoint"),
            What::Accepted { session } => debug!(%session, "session accepted"),
            What::SynReported { session, by, observation } => {
                debug!(%session, ?by, observation, "a SYN was reported");
            }
            What::Withheld(consent) => {
                debug!(session = %consent.session, "a forged packet was withheld");
            }
            other => debug!(what = ?other, "broker"),
        }
    }
}

fn named(device: &Option<DeviceName>) -> Option<DisplayValue<&DeviceName>> {
    device.as_ref().map(display)
}
