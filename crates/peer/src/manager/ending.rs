//! How a stream ended, where its own end does not tell.

use tokio::net::unix::OwnedReadHalf;

use super::client::unexpected;
use super::words::{self, Answer, Refusal};

/// Tells how a stream ended.
#[derive(Debug)]
pub struct Ending {
    /// The manager's word; of a stream of this process its own errors tell all.
    manager: Option<OwnedReadHalf>,
}

impl Ending {
    pub(super) const fn at_manager(told: OwnedReadHalf) -> Self {
        Self { manager: Some(told) }
    }

    /// Of a stream whose own errors tell.
    pub(super) const fn by_itself() -> Self {
        Self { manager: None }
    }

    /// Waits for the end of a stream that was copied without an error, and tells whether that was
    /// all there was.
    ///
    /// # Errors
    ///
    /// [`Refusal`] with what broke it.
    pub async fn wait(self) -> Result<(), Refusal> {
        let Some(mut told) = self.manager else {
            return Ok(());
        };
        match words::hear(&mut told).await.map_err(Refusal::failed)? {
            Some(Answer::Done { .. }) => Ok(()),
            Some(answer) => Err(unexpected(answer)),
            None => Err(Refusal::failed("`simopen peer` has ended")),
        }
    }
}
