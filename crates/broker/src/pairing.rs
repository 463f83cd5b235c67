//! What a relay is asked to do (seed 001 ¶177).

use simopen_protocol::control::Proxy;
use simopen_protocol::identity::SessionId;

/// Something for the relay. May grow.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PairingOrder {
    /// Two values will be presented. Answered by [`crate::Broker::handle_pairing_opened`] or
    /// [`crate::Broker::handle_pairing_failed`].
    Open(Proxy),
    /// The pair is to end, whether its two sides have come or not. Not answered.
    End(SessionId),
}
