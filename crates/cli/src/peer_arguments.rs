//! The command line of what a person uses on a device.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use simopen_peer::manager::{NoteTo, PeerName, TeamPath};
use simopen_protocol::identity::{BrokerName, DeviceName, ShareName, UserId};
use simopen_protocol::technique::Technique;

/// The commands of a device.
#[derive(Debug, Subcommand)]
pub(crate) enum PeerCommand {
    /// Make this machine one of your devices, by an invitation.
    ///
    /// Makes the device's key, which never leaves this machine, and keeps it with what the broker
    /// answers in the state directory. Exits with 0 if the device has joined, 1 if the broker
    /// cannot be reached or refuses, 2 if the line is no invitation or no longer good.
    Join(JoinArguments),
    /// Keep this device logged in and reachable, for all the other commands here.
    ///
    /// Logs in to every broker that was joined, again and again when a link breaks, until it is
    /// told to end (Ctrl-C, SIGTERM). The other commands find it by a socket in the state
    /// directory; without it each logs in for itself.
    Peer(PeerArguments),
    /// Connect standard input and output, or a local port, to a service of another peer.
    ///
    /// The connection is encrypted, and each side has shown the other who it is. Which way it goes
    /// is told on standard error. Exits with 0 if both directions came to their end, 1 if no way
    /// led to the peer or the connection broke, 2 if it could not be tried.
    Connect(ConnectArguments),
    /// Offer a service: standard input and output to whom comes first, or a local port to everybody.
    ///
    /// Only users in a common community can come. Exits with 0 at the end of the connection, 1 if it
    /// broke, 2 if it could not be tried, 130 if it was told to end (Ctrl-C).
    Listen(ListenArguments),
    /// Tell who is there: brokers, communities with their members, teams, shares, links.
    Status(StatusArguments),
    /// Make teams of members of a community, and change them.
    Team {
        #[command(subcommand)]
        command: TeamCommand,
    },
    /// Send notes to members and teams, read them, delete them.
    Note {
        #[command(subcommand)]
        command: NoteCommand,
    },
    /// Tell a team what this device makes available to it.
    Share {
        #[command(subcommand)]
        command: ShareCommand,
    },
    /// Show the keys of this device and of those it has met, as words to compare.
    Peers(PeersArguments),
    /// Tell what happened on this device.
    Log(LogArguments),
}

impl PeerCommand {
    /// Whether it tells programs and not a person what came of it.
    pub(crate) fn is_json(&self) -> bool {
        match self {
            Self::Join(arguments) => arguments.desk.json,
            Self::Peer(arguments) => arguments.json,
            Self::Connect(arguments) => arguments.json,
            Self::Listen(arguments) => arguments.json,
            Self::Status(arguments) => arguments.desk.json,
            Self::Team { command } => command.desk().json,
            Self::Note { command } => command.desk().json,
            Self::Share { command } => command.desk().json,
            Self::Peers(arguments) => arguments.json,
            Self::Log(arguments) => arguments.json,
        }
    }
}

impl TeamCommand {
    const fn desk(&self) -> &DeskArguments {
        match self {
            Self::Create(arguments) | Self::Delete(arguments) => &arguments.desk,
            Self::Add(arguments) | Self::Remove(arguments) => &arguments.of.desk,
            Self::List(desk) => desk,
        }
    }
}

impl NoteCommand {
    const fn desk(&self) -> &DeskArguments {
        match self {
            Self::Send(arguments) => &arguments.desk,
            Self::Delete(arguments) => &arguments.desk,
            Self::List(desk) => desk,
        }
    }
}

impl ShareCommand {
    const fn desk(&self) -> &DeskArguments {
        match self {
            Self::Add(arguments) | Self::Drop(arguments) => &arguments.desk,
            Self::List(desk) => desk,
        }
    }
}

/// Where the device's state is.
#[derive(Debug, Clone, Args)]
pub(crate) struct HomeArguments {
    /// The state directory; otherwise $SIMOPEN_HOME, or simopen below $XDG_STATE_HOME.
    #[arg(long, value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
}

/// Through what the network is reached, where a command logs in for itself.
#[derive(Debug, Clone, Args)]
pub(crate) struct NetworkArguments {
    /// Settings of this device; otherwise simopen.toml in the state directory, where it is there.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// An HTTP proxy, as `http://[USER:PASSWORD@]HOST:PORT`, or none; otherwise the settings, or
    /// $HTTPS_PROXY.
    ///
    /// Everybody on this machine can read a command line: a password belongs into the settings, or
    /// into $HTTPS_PROXY.
    /// Where `simopen peer` runs, it reaches brokers and relays as it was told itself.
    #[arg(long, value_name = "URL")]
    pub(crate) proxy: Option<String>,

    /// Hosts that are reached without the proxy, with commas between; otherwise the settings, or
    /// $NO_PROXY.
    #[arg(long, value_name = "HOSTS")]
    pub(crate) no_proxy: Option<String>,
}

/// What all commands take that log in.
#[derive(Debug, Clone, Args)]
pub(crate) struct SurroundingsArguments {
    #[command(flatten)]
    pub(crate) home: HomeArguments,

    #[command(flatten)]
    pub(crate) network: NetworkArguments,
}

#[derive(Debug, Args)]
pub(crate) struct JoinArguments {
    /// The line that the broker printed, in quotes; '-' reads it from standard input, where other
    /// users of this machine do not see it.
    #[arg(value_name = "INVITATION")]
    pub(crate) invitation: String,

    /// What this device is to be called among yours; otherwise the machine's name.
    #[arg(long, value_name = "NAME")]
    pub(crate) device: Option<DeviceName>,

    /// What the broker is to be called on this device; otherwise as it calls itself.
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) broker: Option<BrokerName>,

    /// Forget a broker of that name that was joined before, its key and the keys met there.
    #[arg(long)]
    pub(crate) replace: bool,

    #[command(flatten)]
    pub(crate) desk: DeskArguments,
}

#[derive(Debug, Args)]
pub(crate) struct PeerArguments {
    /// Print what happens as JSON objects, one a line.
    #[arg(long)]
    pub(crate) json: bool,

    /// Forward each connection to a service to a local port; may be given several times.
    #[arg(long, value_name = "SERVICE=ADDRESS:PORT", value_parser = parse_offer)]
    pub(crate) offer: Vec<(String, SocketAddr)>,

    #[command(flatten)]
    pub(crate) surroundings: SurroundingsArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ConnectArguments {
    /// To whom: USER or USER/DEVICE, with @BROKER behind it where several were joined.
    #[arg(value_name = "NAME")]
    pub(crate) name: PeerName,

    /// Listen on a local port, and connect each connection to it to the peer.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,

    /// To which of the peer's services.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_SERVICE, value_parser = parse_service)]
    pub(crate) service: String,

    /// Try these techniques in this order, with commas between.
    #[arg(long, value_name = "LIST", value_parser = parse_techniques)]
    pub(crate) techniques: Option<Techniques>,

    /// Do not tell which way the connection goes.
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// Tell it as JSON objects, one a line, on standard error.
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) surroundings: SurroundingsArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ListenArguments {
    /// Forward every connection to this local port, instead of the first to standard input and
    /// output.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) to: Option<SocketAddr>,

    /// What the service is called.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_SERVICE, value_parser = parse_service)]
    pub(crate) service: String,

    /// Do not tell who comes.
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// Tell it as JSON objects, one a line, on standard error.
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) surroundings: SurroundingsArguments,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    /// Of this broker alone.
    #[arg(long, value_name = "NAME")]
    pub(crate) broker: Option<BrokerName>,

    #[command(flatten)]
    pub(crate) desk: DeskArguments,
}

/// What all commands take that ask or tell a broker something.
#[derive(Debug, Clone, Args)]
pub(crate) struct DeskArguments {
    /// Print one JSON object; of several users or notes one a line for each.
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) surroundings: SurroundingsArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TeamCommand {
    /// Make a team; you own it and are its first member.
    Create(TeamArguments),
    /// Add members to a team that you own.
    Add(TeamMemberArguments),
    /// Take members out of a team that you own, or leave one.
    Remove(TeamMemberArguments),
    /// Delete a team that you own.
    Delete(TeamArguments),
    /// Tell which teams you are in.
    List(DeskArguments),
}

#[derive(Debug, Args)]
pub(crate) struct TeamArguments {
    /// TEAM or COMMUNITY/TEAM, with @BROKER behind it where several were joined.
    #[arg(value_name = "TEAM")]
    pub(crate) team: TeamPath,

    #[command(flatten)]
    pub(crate) desk: DeskArguments,
}

#[derive(Debug, Args)]
pub(crate) struct TeamMemberArguments {
    #[command(flatten)]
    pub(crate) of: TeamArguments,

    /// Whom.
    #[arg(value_name = "USER", required = true)]
    pub(crate) users: Vec<UserId>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NoteCommand {
    /// Send a note: it is delivered at the next login, and kept until its recipient deletes it.
    Send(NoteSendArguments),
    /// Show your notes.
    List(DeskArguments),
    /// Delete notes of yours.
    Delete(NoteDeleteArguments),
}

#[derive(Debug, Args)]
pub(crate) struct NoteSendArguments {
    /// USER, team:TEAM or team:COMMUNITY/TEAM, with @BROKER behind it where several were joined.
    #[arg(value_name = "TO")]
    pub(crate) to: NoteTo,

    /// What it says; otherwise it is read from standard input.
    #[arg(value_name = "TEXT")]
    pub(crate) text: Option<String>,

    /// What it is about.
    #[arg(long, short, value_name = "TEXT", default_value = "")]
    pub(crate) subject: String,

    #[command(flatten)]
    pub(crate) desk: DeskArguments,
}

#[derive(Debug, Args)]
pub(crate) struct NoteDeleteArguments {
    /// The notes' numbers, from `simopen note list`.
    #[arg(value_name = "NUMBER", required = true)]
    pub(crate) notes: Vec<u64>,

    /// At this broker.
    #[arg(long, value_name = "NAME")]
    pub(crate) broker: Option<BrokerName>,

    #[command(flatten)]
    pub(crate) desk: DeskArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ShareCommand {
    /// Announce something to a team, whenever `simopen peer` runs on this device.
    Add(ShareArguments),
    /// Withdraw it.
    Drop(ShareArguments),
    /// Tell what is shared with you, and by you.
    List(DeskArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ShareArguments {
    /// What it is called.
    #[arg(value_name = "NAME")]
    pub(crate) share: ShareName,

    /// With whom: TEAM or COMMUNITY/TEAM, with @BROKER behind it where several were joined.
    #[arg(value_name = "TEAM")]
    pub(crate) team: TeamPath,

    #[command(flatten)]
    pub(crate) desk: DeskArguments,
}

#[derive(Debug, Args)]
pub(crate) struct PeersArguments {
    /// You have compared the words of USER/DEVICE with those that the device itself shows.
    #[arg(long, value_name = "NAME", conflicts_with = "accept")]
    pub(crate) verify: Option<PeerName>,

    /// USER/DEVICE came with another key, and you know why: take that one from now on.
    #[arg(long, value_name = "NAME")]
    pub(crate) accept: Option<PeerName>,

    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) home: HomeArguments,
}

#[derive(Debug, Args)]
pub(crate) struct LogArguments {
    /// The last so many entries alone.
    #[arg(short = 'n', long, value_name = "NUMBER")]
    pub(crate) last: Option<usize>,

    /// Print JSON objects, one a line.
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) home: HomeArguments,
}

/// The service that is meant where none is named.
const DEFAULT_SERVICE: &str = "default";
/// The longest name of a service, in bytes.
const MAX_SERVICE_BYTES: usize = 64;

/// Techniques in an order.
#[derive(Debug, Clone)]
pub(crate) struct Techniques(pub(crate) Vec<Technique>);

fn parse_techniques(text: &str) -> Result<Techniques, String> {
    Technique::parse_list(text).map(Techniques).map_err(|error| error.to_string())
}

fn parse_service(text: &str) -> Result<String, String> {
    let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    if !text.is_empty() && text.len() <= MAX_SERVICE_BYTES && text.chars().all(is_allowed) {
        return Ok(text.to_owned());
    }
    Err(format!("a service's name is 1 to {MAX_SERVICE_BYTES} letters, digits, '-', '_' or '.'"))
}

fn parse_offer(text: &str) -> Result<(String, SocketAddr), String> {
    let (service, address) =
        text.split_once('=').ok_or("write SERVICE=ADDRESS:PORT, as in ssh=127.0.0.1:22")?;
    let address = address
        .parse()
        .map_err(|_| format!("'{address}' is no ADDRESS:PORT; write 127.0.0.1:22 or [::1]:22"))?;
    Ok((parse_service(service)?, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_names_a_service_and_where_it_is() {
        let offer = parse_offer("ssh=127.0.0.1:22").unwrap();
        assert_eq!(offer, ("ssh".to_owned(), "127.0.0.1:22".parse().unwrap()));
        for text in ["", "ssh", "ssh=22", "=127.0.0.1:22", "s h=127.0.0.1:22"] {
            assert!(parse_offer(text).is_err(), "{text}");
        }
    }
}
