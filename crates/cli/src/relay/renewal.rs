//! Another certificate for the relay, in time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use simopen_server::relay::authentication::Door;
use simopen_server::wall_clock::WallClock;

use super::joining::Joined;

/// Renews a relay's certificate when it is time; links that stand are not touched.
pub(super) struct Renewal {
    pub(super) joined: Joined,
    /// Whoever comes after the renewal is shown the new certificate.
    pub(super) door: Arc<Mutex<Door>>,
    pub(super) clock: WallClock,
    pub(super) pace: Pace,
}

/// How long it is waited.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// At most, before the clock is looked at again: it may have been set.
    pub(super) look_again: Duration,
    /// After the broker was asked.
    pub(super) try_again: Duration,
}

impl Pace {
    /// Every hour, and every ten minutes in the 30 days in which it is time.
    pub(super) const USUAL: Self =
        Self { look_again: Duration::from_secs(3600), try_again: Duration::from_secs(600) };
}

impl Renewal {
    /// Goes on as long as the relay.
    pub(super) async fn run(mut self) {
        loop {
            let rest = self.joined.due_in(&self.clock);
            if !rest.is_zero() {
                tokio::time::sleep(rest.min(self.pace.look_again)).await;
                continue;
            }
            match self.renew().await {
                Ok(()) => tracing::info!("the relay's certificate was renewed"),
                Err(error) => tracing::warn!(
                    error = format!("{error:#}"),
                    again_in = ?self.pace.try_again,
                    "the relay's certificate was not renewed"
                ),
            }
            tokio::time::sleep(self.pace.try_again).await;
        }
    }

    async fn renew(&mut self) -> Result<()> {
        self.joined.renew().await?;
        let door = self.joined.door(&self.clock)?;
        *self.door.lock().unwrap_or_else(PoisonError::into_inner) = door;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
