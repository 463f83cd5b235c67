//! Configuration files of services: TOML, of which every complaint names line and column, what was
//! found, what was expected, and the nearest known name.

mod metrics;
mod written;

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use simopen_scenario::file::FileError;
use toml::Spanned;

pub(crate) use self::metrics::MetricsSection;
pub(crate) use self::written::{Network, Period, Written};

/// The longest file, in bytes.
const LONGEST: u64 = 256 * 1024;

/// How long a service lets connections end, where nothing else is said.
const USUAL_DRAIN: Duration = Duration::from_secs(30);

/// A file with its text, by which places in it are found.
pub(crate) struct Source {
    name: String,
    text: String,
}

impl Source {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let length = fs::metadata(path).with_context(|| format!("{name} cannot be read"))?.len();
        anyhow::ensure!(length <= LONGEST, "{name} has {length} bytes; at most {LONGEST} are read");
        let text = fs::read_to_string(path).with_context(|| format!("{name} cannot be read"))?;
        Ok(Self { name, text })
    }

    #[cfg(test)]
    pub(crate) fn of(text: &str) -> Self {
        Self { name: "simopen.toml".to_owned(), text: text.to_owned() }
    }

    /// Reads it as serde describes it.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, FileError> {
        toml::from_str(&self.text).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            FileError::told_by_serde(&self.name, &self.text, &span, error.message())
        })
    }

    /// Complains of something in it.
    pub(crate) fn fault(&self, span: &Range<usize>, found: &str, expected: &str) -> FileError {
        FileError::at(&self.name, &self.text, span, found, expected)
    }

    /// Complains of an option that says nothing where another one is as it is: whoever wrote it
    /// believes that it protects something.
    pub(crate) fn unused<T>(
        &self,
        option: Option<&Spanned<T>>,
        name: &str,
        needs: &str,
    ) -> Result<(), FileError> {
        option.map_or(Ok(()), |value| {
            let found = format!("`{name}`, which does nothing here");
            Err(self.fault(&value.span(), &found, &format!("it with {needs} only")))
        })
    }

    /// Complains of a limit of 0.
    pub(crate) fn positive<N: Copy + Default + PartialEq>(
        &self,
        limit: Option<&Spanned<N>>,
        name: &str,
    ) -> Result<(), FileError> {
        match limit {
            Some(limit) if *limit.as_ref() == N::default() => {
                Err(self.fault(&limit.span(), &format!("0 for `{name}`"), "1 or more"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Complains of a listener that stands there twice: the second would find the port taken.
    pub(crate) fn distinct(
        &self,
        listen: &[Spanned<Written<SocketAddr>>],
    ) -> Result<(), FileError> {
        let mut seen = BTreeSet::new();
        for endpoint in listen {
            let at = endpoint.as_ref().0;
            // Port 0 is another free one each time.
            if at.port() != 0 && !seen.insert(at) {
                return Err(self.fault(&endpoint.span(), &format!("{at} again"), "it once"));
            }
        }
        Ok(())
    }

    /// Complains of a time that is none.
    pub(crate) fn positive_period(
        &self,
        period: Option<&Spanned<Written<Period>>>,
        name: &str,
    ) -> Result<(), FileError> {
        match period {
            Some(period) if period.as_ref().0.0.is_zero() => {
                Err(self.fault(&period.span(), &format!("no time for `{name}`"), "some time"))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// The number that was written, or the usual one.
pub(crate) fn number<N: Copy>(written: &Option<Spanned<N>>, usual: N) -> N {
    written.as_ref().map_or(usual, |number| *number.as_ref())
}

/// The time that was written, or the usual one.
pub(crate) fn period(written: &Option<Spanned<Written<Period>>>, usual: Duration) -> Duration {
    written.as_ref().map_or(usual, |period| period.as_ref().0.0)
}

/// How long a service lets connections end.
pub(crate) fn drain(written: &Option<Spanned<Written<Period>>>) -> Duration {
    period(written, USUAL_DRAIN)
}
