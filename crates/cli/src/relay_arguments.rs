//! The command line of `simopen relay`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use simopen_protocol::identity::DeviceName;

use crate::service_arguments::ServiceArguments;

#[derive(Debug, Args)]
pub(crate) struct RelayArguments {
    /// Where the relay keeps its key. Without it: $STATE_DIRECTORY, /var/lib/simopen-relay for root,
    /// else $XDG_DATA_HOME/simopen-relay.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) service: ServiceArguments,

    /// Join by this invitation, if this has not joined yet; `-` reads it from standard input. The
    /// variable SIMOPEN_RELAY_INVITATION does the same, and lists of processes do not show it.
    #[arg(long, value_name = "LINE")]
    pub(crate) invitation: Option<String>,

    /// What this relay is called at its broker, as in `relay/NAME`; counts when it joins. Without it:
    /// this machine's name.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<DeviceName>,

    /// Listen for peers here instead of on port 7443 of all addresses; several times for several.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Vec<SocketAddr>,

    /// Listen for the broker here instead of on port 7444 of all addresses.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) control: Option<SocketAddr>,

    /// Print one JSON object a line: joined, ready, draining.
    #[arg(long)]
    pub(crate) json: bool,
}
