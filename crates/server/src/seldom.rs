//! Telling seldom what may happen often.

use std::time::Duration;

use tokio::time::Instant;

/// How long is silence after something was told.
const SILENCE: Duration = Duration::from_secs(60);

/// Lets the first of many be told, then one a minute.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    told: Option<Instant>,
    untold: u64,
}

impl Seldom {
    /// It has happened. Where it is to be told: how often it happened since it was told last, this
    /// time included.
    pub(crate) fn happened(&mut self) -> Option<u64> {
        self.untold += 1;
        if self.told.is_some_and(|told| told.elapsed() < SILENCE) {
            return None;
        }
        self.told = Some(Instant::now());
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_is_told_and_then_one_a_minute_with_a_count() {
        let mut seldom = Seldom::default();
        assert_eq!(seldom.happened(), Some(1));
        for _ in 0..99 {
            assert_eq!(seldom.happened(), None);
        }
        advance(SILENCE).await;
        assert_eq!(seldom.happened(), Some(100));
        assert_eq!(seldom.happened(), None);
    }
}
