//! The command line of what an operator runs.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use simopen_protocol::address::HostPort;
use simopen_protocol::identity::{BrokerName, CommunityName, DeviceName, UserId};

use crate::service_arguments::{LogFormat, ServiceArguments};
use crate::settings::Period;

/// The commands of an operator.
#[derive(Debug, Subcommand)]
pub(crate) enum OperatorCommand {
    /// Run a broker, with the relay inside: devices join it, find each other, and are connected.
    ///
    /// Works without any configuration: makes a data directory with a certificate authority, and
    /// listens on port 7443 of all addresses. While nobody has joined, it prints an invitation for
    /// the first user at each start. Ctrl-C and SIGTERM let connections end; a second Ctrl-C does
    /// not. Exits with 0 when it was told to end, 1 if it broke, 2 if it could not start.
    Broker(BrokerArguments),
    /// Run a relay apart from its broker, which it joins by an invitation.
    ///
    /// The invitation comes from `simopen admin relay-invite`; it is needed once. The broker's
    /// configuration names the relay's address. Exits with 0 when it was told to end, 1 if it
    /// broke, 2 if it could not start.
    Relay(crate::relay_arguments::RelayArguments),
    /// Ask and change a running broker on this machine.
    ///
    /// By a Unix socket in the broker's data directory, which its owner alone can open. Exits with 0
    /// if it is done, 1 if the broker refuses, 2 if no broker answers.
    Admin(AdminArguments),
}

impl OperatorCommand {
    /// How the log is written, of a service.
    pub(crate) const fn log(&self) -> Option<LogFormat> {
        match self {
            Self::Broker(broker) => Some(broker.service.log),
            Self::Relay(relay) => Some(relay.service.log),
            Self::Admin(_) => None,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct BrokerArguments {
    /// Where the broker keeps everything. Without it: $STATE_DIRECTORY, /var/lib/simopen for root,
    /// else $XDG_DATA_HOME/simopen.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) service: ServiceArguments,

    /// Listen here instead of on port 7443 of all addresses; several times for several.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Vec<SocketAddr>,

    /// Where devices reach this broker, for invitations; several times for several, best first.
    /// Without it: the addresses of this machine's interfaces.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) address: Vec<HostPort>,

    /// What the broker calls itself, as in `bob@NAME`. Without it: this machine's name.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<BrokerName>,

    /// Print no invitation for the first user: `simopen admin invite` makes one.
    #[arg(long)]
    pub(crate) no_invitation: bool,

    /// Print one JSON object a line: ready, invitation, draining.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AdminArguments {
    /// The broker's data directory. Without it: as `simopen broker` finds it.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,

    /// Print the broker's answer as one JSON object.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: AdminCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Add, remove and list users.
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Say who is a member of which community: only members of a common one see each other.
    Community {
        #[command(subcommand)]
        command: CommunityCommand,
    },
    /// Make an invitation, by which one device of a user joins once: `simopen join 'LINE'`.
    ///
    /// The line is a secret. With --community the user is made a member of these, and added where
    /// there is no such user.
    Invite {
        /// Whose device.
        user: UserId,
        /// Make the user a member of this community; several times for several.
        #[arg(long, value_name = "NAME")]
        community: Vec<CommunityName>,
        /// How long the line is good: 15min, 24h, 7d; at most 90d.
        #[arg(long = "for", value_name = "DURATION", default_value = "24h")]
        lifetime: Period,
    },
    /// Take a user, or one device, its right to be here: links, relayed connections and sessions end
    /// at once.
    Revoke {
        /// USER, or USER/DEVICE for one device.
        #[arg(value_name = "USER[/DEVICE]", value_parser = parse_whom)]
        whom: Whom,
    },
    /// List the devices that have joined.
    Devices {
        /// Of this user only.
        user: Option<UserId>,
    },
    /// List who is logged in.
    Peers,
    /// List the sessions that are open: attempts to connect two peers.
    Sessions,
    /// List the teams.
    Teams,
    /// Print the figures.
    Stats,
    /// Let two programs meet at the relay that know nothing of simopen; prints both commands.
    ///
    /// THERE IS NO END-TO-END ENCRYPTION: the relay sees what the two send, unless they encrypt it
    /// themselves, as ssh does. The values are visible to everybody on the path, and who presents
    /// one first takes that side's place. Each is good once, for 30 seconds. Off, unless the
    /// configuration says `rendezvous = true`.
    Rendezvous,
    /// Make an invitation by which a relay joins that runs apart: `simopen relay`.
    RelayInvite {
        /// How long the line is good: 15min, 24h, 7d; at most 90d.
        #[arg(long = "for", value_name = "DURATION", default_value = "24h")]
        lifetime: Period,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add a user, or one that was revoked again.
    Add {
        /// Who.
        user: UserId,
        /// Make the user a member of this community; several times for several.
        #[arg(long, value_name = "NAME")]
        community: Vec<CommunityName>,
    },
    /// Revoke a user and forget everything about the name.
    Remove {
        /// Who.
        user: UserId,
    },
    /// List the users.
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CommunityCommand {
    /// Make a user a member; the first member makes the community.
    Add {
        /// Which community.
        community: CommunityName,
        /// Who.
        user: UserId,
    },
    /// Take a user out of a community and its teams.
    Remove {
        /// Which community.
        community: CommunityName,
        /// Who.
        user: UserId,
    },
    /// List the communities with their members.
    List,
}

/// A user, or one device of a user.
#[derive(Debug, Clone)]
pub(crate) struct Whom {
    pub(crate) user: UserId,
    pub(crate) device: Option<DeviceName>,
}

fn parse_whom(text: &str) -> Result<Whom, String> {
    let (user, device) =
        text.split_once('/').map_or((text, None), |(user, device)| (user, Some(device)));
    let device = device.map(DeviceName::new).transpose();
    match (UserId::new(user), device) {
        (Ok(user), Ok(device)) => Ok(Whom { user, device }),
        (Err(error), _) | (_, Err(error)) => Err(error.to_string()),
    }
}
