//! `simopen sim matrix`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use simopen_sim::Stack;

use crate::matrix::{OutputArguments, PlanArguments};

#[derive(Debug, Args)]
pub(crate) struct SimMatrixArguments {
    #[command(flatten)]
    plan: PlanArguments,

    /// Whose TCP the hosts have: linux or smoltcp.
    #[arg(long, value_name = "STACK", default_value_t = Stack::Linux)]
    host: Stack,

    #[command(flatten)]
    output: OutputArguments,
}

pub(crate) fn run(_: &SimMatrixArguments) -> Result<ExitCode> {
    bail!("nothing can be run in virtual time by this version")
}
