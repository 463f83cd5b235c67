//! The configuration file of `simopen relay`, option by option (docs/operating.md has the table).

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use simopen_protocol::identity::DeviceName;
use simopen_scenario::file::FileError;
use simopen_server::{front, relay};
use toml::Spanned;

use crate::settings::{MetricsSection, Period, Source, Written, number, period};

/// The whole file. What is left out is as without a file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct RelayFile {
    /// What it is called at its broker.
    pub(crate) name: Option<Written<DeviceName>>,
    /// The data directory.
    pub(crate) data: Option<PathBuf>,
    /// Where it listens for peers.
    pub(crate) listen: Vec<Spanned<Written<SocketAddr>>>,
    /// Where it listens for the broker.
    pub(crate) control: Option<Written<SocketAddr>>,
    /// How long pairs may go on when the relay is told to end.
    pub(crate) drain: Option<Spanned<Written<Period>>>,
    /// Figures and probes.
    pub(crate) metrics: MetricsSection,
    /// How much is held.
    pub(crate) limits: LimitsSection,
}

/// How much is held.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct LimitsSection {
    pairs: Option<Spanned<usize>>,
    newcomers: Option<Spanned<usize>>,
    newcomer_time: Option<Spanned<Written<Period>>>,
    carriers: Option<Spanned<usize>>,
}

impl RelayFile {
    pub(crate) fn read(source: &Source) -> Result<Self, FileError> {
        let file: Self = source.parse()?;
        source.distinct(&file.listen)?;
        source.positive_period(file.drain.as_ref(), "drain")?;
        let limits = &file.limits;
        source.positive(limits.pairs.as_ref(), "pairs")?;
        source.positive(limits.newcomers.as_ref(), "newcomers")?;
        source.positive(limits.carriers.as_ref(), "carriers")?;
        source.positive_period(limits.newcomer_time.as_ref(), "newcomer-time")?;
        Ok(file)
    }

    /// How much the relay holds.
    pub(crate) fn limits(&self) -> relay::Limits {
        let usual = relay::Limits::default();
        relay::Limits { pairs: number(&self.limits.pairs, usual.pairs), ..usual }
    }

    /// How much its listeners hold.
    pub(crate) fn front_limits(&self) -> front::Limits {
        let (set, usual) = (&self.limits, front::Limits::default());
        front::Limits {
            newcomers: number(&set.newcomers, usual.newcomers),
            newcomer_time: period(&set.newcomer_time, usual.newcomer_time),
            carriers: number(&set.carriers, usual.carriers),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_changes_nothing_and_names_every_option() {
        let text = include_str!("../../../docs/examples/simopen-relay.toml");
        let on: String = text
            .lines()
            .map(|line| line.strip_prefix("# ").filter(|rest| rest.contains(" = ")).unwrap_or(line))
            .flat_map(|line| [line, "\n"])
            .collect();
        for text in ["", text, on.as_str()] {
            let file = RelayFile::read(&Source::of(text)).unwrap();
            assert_eq!(file.limits(), relay::Limits::default());
            assert_eq!(file.front_limits(), front::Limits::default());
        }
        assert!(RelayFile::read(&Source::of(&on)).unwrap().metrics.listen.is_some());
    }

    #[test]
    fn a_limit_of_nothing_is_refused() {
        for name in ["pairs = 0", "newcomers = 0", "carriers = 0", "newcomer-time = \"0s\""] {
            let text = format!("[limits]\n{name}\n");
            let error = RelayFile::read(&Source::of(&text)).unwrap_err().to_string();
            assert!(error.starts_with("simopen.toml:2:"), "{error}");
        }
    }

    #[test]
    fn what_a_start_would_refuse_is_refused_before() {
        for (text, place) in [
            ("drain = \"0s\"\n", "1:9: found no time for `drain`"),
            ("listen = [\"[::1]:9\", \"[::1]:9\"]\n", "1:22: found [::1]:9 again"),
            ("name = \"a b\"\n", "1:8: found \"a b\""),
        ] {
            let error = RelayFile::read(&Source::of(text)).unwrap_err().to_string();
            assert!(error.starts_with(&format!("simopen.toml:{place}")), "{error}");
        }
    }

    #[test]
    fn what_is_a_brokers_is_no_option_of_a_relay() {
        let error = RelayFile::read(&Source::of("[forging]\n")).unwrap_err().to_string();
        assert!(error.starts_with("simopen.toml:1:"), "{error}");
    }
}
