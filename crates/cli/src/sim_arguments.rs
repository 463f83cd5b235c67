//! What the simulator's commands ask alike.

use std::num::NonZero;
use std::thread;

use clap::Args;
use simopen_sim::{Carriage, Stack};

/// What stands in a simulated network.
#[derive(Debug, Args)]
pub(crate) struct WorldArguments {
    /// Whose TCP the hosts have: linux or smoltcp.
    #[arg(long, value_name = "STACK", default_value_t = Stack::Linux)]
    pub(crate) host: Stack,

    /// Let control documents go from machine to machine, in order, instead of as TCP's bytes
    /// through the network: faster, and blind for what happens to those bytes.
    #[arg(long)]
    pub(crate) fast: bool,
}

impl WorldArguments {
    pub(crate) const fn carriage(&self) -> Carriage {
        if self.fast { Carriage::Streams } else { Carriage::Bytes }
    }
}

/// How much is done at a time.
#[derive(Debug, Args)]
pub(crate) struct ThreadArguments {
    /// Threads that make runs; as many as there are processors if not given. What comes of it
    /// does not depend on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) jobs: Option<u32>,
}

impl ThreadArguments {
    pub(crate) fn count(&self) -> usize {
        let processors = || thread::available_parallelism().map_or(1, NonZero::get);
        self.jobs.map_or_else(processors, |jobs| jobs as usize)
    }
}
