//! How a broker's orders reach a relay.

use simopen_broker::PairingOrder;
use simopen_protocol::identity::SessionId;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::debug;

use crate::relay;

/// Where pairs are joined. What comes of an order is told by the channel whose other end
/// [`super::Builder::pairings`] is given.
pub trait Pairings: Send {
    /// Begins to do it; it must not block.
    fn order(&mut self, order: PairingOrder);
}

/// What a relay has to say. May grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PairingAnswer {
    /// It knows the two values.
    Opened(SessionId),
    /// It does not take them, or cannot be asked.
    Failed(SessionId),
    /// The pair is no more, whether its two sides have met or not.
    Ended(SessionId),
    /// The relay that has the pairs was revoked, and is not spoken with any more.
    Left,
}

/// The relay of this process.
pub(super) struct Here {
    relay: relay::Handle,
    answers: UnboundedSender<PairingAnswer>,
}

impl Here {
    pub(super) fn new(relay: relay::Handle) -> (Self, UnboundedReceiver<PairingAnswer>) {
        let (answers, answered) = unbounded_channel();
        relay.tell_ended(answers.clone());
        (Self { relay, answers }, answered)
    }
}

impl Pairings for Here {
    fn order(&mut self, order: PairingOrder) {
        if let PairingOrder::Open(proxy) = &order {
            let answer = match self.relay.open(proxy) {
                Ok(()) => PairingAnswer::Opened(proxy.session),
                Err(error) => {
                    debug!(session = %proxy.session, %error, "the relay took no pair");
                    PairingAnswer::Failed(proxy.session)
                }
            };
            // The broker listens as long as it gives orders.
            let _ = self.answers.send(answer);
        } else if let PairingOrder::End(session) = order {
            self.relay.end(session);
        }
    }
}
