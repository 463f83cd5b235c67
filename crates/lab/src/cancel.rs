//! Breaking an experiment off from outside, so that it cleans up.

use std::future::pending;

use tokio::sync::watch;

/// Tells running experiments to stop.
#[derive(Debug)]
pub struct Canceller(watch::Sender<bool>);

/// Lets an experiment know that it shall stop.
#[derive(Debug, Clone)]
pub struct Cancel(Option<watch::Receiver<bool>>);

impl Canceller {
    /// A canceller and what it cancels.
    #[must_use]
    pub fn new() -> (Self, Cancel) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Cancel(Some(receiver)))
    }

    /// Tells all to stop.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }
}

impl Cancel {
    /// Nobody breaks off.
    #[must_use]
    pub const fn never() -> Self {
        Self(None)
    }

    /// Whether it has been broken off.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.as_ref().is_some_and(|receiver| *receiver.borrow())
    }

    /// Waits until it is broken off; for ever, where nobody can any more.
    pub(crate) async fn cancelled(&mut self) {
        let Some(receiver) = &mut self.0 else {
            return pending().await;
        };
        if receiver.wait_for(|cancelled| *cancelled).await.is_err() {
            pending::<()>().await;
        }
    }
}
