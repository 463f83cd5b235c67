//! What the command lines of `simopen broker` and `simopen relay` have alike.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use simopen_scenario::file::FileError;

use crate::output;
use crate::settings::Source;

#[derive(Debug, Args)]
pub(crate) struct ServiceArguments {
    /// Read everything else from a file (docs/operating.md); flags go before it.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Say whether the configuration is right, and end: 0 if it is, 2 if not.
    #[arg(long, requires = "config")]
    pub(crate) check_config: bool,

    /// How the log is written.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) log: LogFormat,
}

/// How a service writes its log to standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Default)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl ServiceArguments {
    /// What the file says, or what is usual without one; nothing where it was only to be checked,
    /// and is right.
    pub(crate) fn configuration<File: Default>(
        &self,
        read: impl FnOnce(&Source) -> Result<File, FileError>,
    ) -> Result<Option<File>> {
        let file = match &self.config {
            Some(path) => read(&Source::read(path)?)?,
            None => File::default(),
        };
        if self.check_config {
            output::print("the configuration is right\n")?;
            return Ok(None);
        }
        Ok(Some(file))
    }
}
