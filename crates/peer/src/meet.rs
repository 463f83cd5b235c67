//! The way to a relay, and the value that is presented there.

use simopen_protocol::control::Meeting;
use simopen_protocol::technique;
use simopen_traversal::DialOutcome;
use simopen_traversal::consent::TargetConsent;
use tracing::warn;

use crate::carriage::{Carriage, CarriageError, Carried, Errand, ProxyWords};

/// Why a relay could not be reached.
#[derive(Debug)]
pub(crate) struct Unmet {
    /// In the attempt's terms.
    pub(crate) outcome: DialOutcome,
    /// What the proxy on the way said, where it refused.
    pub(crate) words: Option<ProxyWords>,
}

impl Unmet {
    pub(crate) const fn by(outcome: DialOutcome) -> Self {
        Self { outcome, words: None }
    }
}

/// Goes to the relay and presents the value there. Its addresses are tried in their order.
///
/// # Errors
///
/// How the last of them ended.
pub(crate) async fn meet(
    meeting: Meeting,
    carriage: Carriage,
    way: technique::Carriage,
    consent: TargetConsent,
) -> Result<Carried, Unmet> {
    let errand = Errand::Meet(meeting.value);
    let mut last = Unmet::by(DialOutcome::RelayUnreachable);
    for relay in &meeting.relay {
        let may_dial = |endpoint| {
            let allowed = consent.allow_relay(endpoint);
            if let Err(violation) = &allowed {
                warn!(%endpoint, ?violation, "an address of the relay is not dialled");
            }
            allowed.is_ok()
        };
        match carriage.dial(relay, &errand, way.into(), may_dial).await {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                warn!(%relay, %error, "the relay could not be reached");
                last = error.into();
            }
        }
    }
    Err(last)
}

impl From<CarriageError> for Unmet {
    fn from(error: CarriageError) -> Self {
        match error {
            CarriageError::ProxyRefused(words) => {
                Self { outcome: DialOutcome::ProxyRefused, words: Some(words) }
            }
            CarriageError::Entropy(_) => Self::by(DialOutcome::LocalError),
            CarriageError::Unreachable { .. }
            | CarriageError::ProxyUnreachable { .. }
            | CarriageError::NoAddress(_)
            | CarriageError::NoProxy
            | CarriageError::NotTaken
            | CarriageError::TimedOut(_)
            | CarriageError::Http(_)
            | CarriageError::Broken(_) => Self::by(DialOutcome::RelayUnreachable),
        }
    }
}
