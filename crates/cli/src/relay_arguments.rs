//! The command line of `simopen relay`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::broker_arguments::LogFormat;

#[derive(Debug, Args)]
pub(crate) struct RelayArguments {
    /// Where the relay keeps its key. Without it: $STATE_DIRECTORY, /var/lib/simopen-relay for root,
    /// else $XDG_DATA_HOME/simopen-relay.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,

    /// Read everything else from a file (docs/operating.md); flags go before it.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Say whether the configuration is right, and end: 0 if it is, 2 if not.
    #[arg(long, requires = "config")]
    pub(crate) check_config: bool,

    /// Join by this invitation, if this has not joined yet; `-` reads it from standard input. The
    /// variable SIMOPEN_RELAY_INVITATION does the same, and lists of processes do not show it.
    #[arg(long, value_name = "LINE")]
    pub(crate) invitation: Option<String>,

    /// Listen for peers here instead of on port 7443 of all addresses; several times for several.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Vec<SocketAddr>,

    /// Listen for the broker here instead of on port 7444 of all addresses.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) control: Option<SocketAddr>,

    /// Print one JSON object a line: joined, ready, draining.
    #[arg(long)]
    pub(crate) json: bool,

    /// How the log is written.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) log: LogFormat,
}
