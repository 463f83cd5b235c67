//! `simopen sim run`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use simopen_sim::Stack;

#[derive(Debug, Args)]
pub(crate) struct SimRunArguments {
    /// The scenario, as docs/scenario-files.md describes it.
    #[arg(value_name = "FILE.toml")]
    file: PathBuf,

    /// Whose TCP the hosts have: linux or smoltcp.
    #[arg(long, value_name = "STACK", default_value_t = Stack::Linux)]
    host: Stack,
}

pub(crate) fn run(_: &SimRunArguments) -> Result<ExitCode> {
    bail!("nothing can be run in virtual time by this version")
}
