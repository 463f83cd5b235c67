//! `simopen status`.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::Result;
use simopen_peer::manager::words::{BrokerStatus, LinkStatus, MemberStatus, Status};

use crate::device_log::printable;
use crate::device_session::show;
use crate::peer_arguments::StatusArguments;

pub(crate) fn run(arguments: &StatusArguments) -> Result<ExitCode> {
    show(&arguments.desk, arguments.broker.as_ref(), Status::clone, in_words)
}

fn in_words(status: &Status) -> String {
    let brokers: Vec<String> = status.brokers.iter().map(broker_in_words).collect();
    let mut text = brokers.join("\n");
    if !status.manager {
        text.push_str(
            "\n`simopen peer` does not run here: this device is not reachable, and each command \
             logs in for itself\n",
        );
    }
    text
}

fn broker_in_words(broker: &BrokerStatus) -> String {
    let mut text = format!("{} at {}\n", broker.name, broker.addresses.join(", "));
    let me = format!("{}/{}", broker.user, broker.device);
    let is_up = matches!(broker.link, LinkStatus::Up { .. });
    let _ = match &broker.link {
        LinkStatus::Up { peer } => writeln!(text, "  logged in as {me}, number {peer}"),
        LinkStatus::Down { why } => writeln!(text, "  {me} is not logged in: {}", printable(why)),
        _ => writeln!(text, "  {me} is in a state that this version does not know"),
    };
    if !is_up && !broker.communities.is_empty() {
        text.push_str("  as it was at the last login; who is online is not known:\n");
    }
    for community in &broker.communities {
        let _ = writeln!(text, "  community {}", community.community);
        for member in &community.members {
            let is_here = member.user == broker.user && is_up;
            let here = is_here.then_some(broker.device.as_str());
            write_member(&mut text, member, here);
        }
    }
    for team in &broker.teams {
        let name = format!("{}/{}", team.community, team.team);
        let _ =
            writeln!(text, "  team {name}  {}  (owner {})", team.members.join(", "), team.owner);
    }
    for share in &broker.shares {
        let device = share.device.as_deref().unwrap_or("?");
        let team = format!("{}/{}", share.community, share.team);
        let _ = writeln!(text, "  share {} for {team}  on {}/{device}", share.share, share.user);
    }
    match broker.notes.len() {
        0 => {}
        1 => text.push_str("  1 note: `simopen note list` shows it\n"),
        many => {
            let _ = writeln!(text, "  {many} notes: `simopen note list` shows them");
        }
    }
    for link in &broker.links {
        let how = if link.relayed { "by" } else { "directly by" };
        let _ = writeln!(text, "  linked to {} {how} {}", link.peer, link.technique);
    }
    text
}

/// `here` is this device, where it is the member's.
fn write_member(text: &mut String, member: &MemberStatus, here: Option<&str>) {
    let others = member.online.iter().map(|online| online.device.as_deref().unwrap_or("?"));
    let here = here.map(|device| format!("{device} (this device)"));
    let devices: Vec<String> = here.into_iter().chain(others.map(str::to_owned)).collect();
    let (mark, says) =
        if devices.is_empty() { (' ', "-".to_owned()) } else { ('*', devices.join(", ")) };
    let _ = writeln!(text, "  {mark} {:<24}  {says}", member.user);
}
