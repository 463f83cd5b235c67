//! `simopen log`.

use std::process::ExitCode;

use anyhow::Result;
use simopen_peer::home::{Entry, Event};

use crate::moment::in_utc;
use crate::peer_arguments::LogArguments;
use crate::{output, surroundings};

pub(crate) fn run(arguments: &LogArguments) -> Result<ExitCode> {
    let entries = match surroundings::found_home(&arguments.home)? {
        Some(home) => home.log().entries()?,
        None => Vec::new(),
    };
    let passed_over = arguments.last.map_or(0, |last| entries.len().saturating_sub(last));
    let mut text = String::new();
    for entry in &entries[passed_over..] {
        text.push_str(&if arguments.json { serde_json::to_string(entry)? } else { line(entry) });
        text.push('\n');
    }
    if entries.is_empty() && !arguments.json {
        text.push_str("nothing has happened on this device yet\n");
    }
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// One entry as a line for a person.
pub(crate) fn line(entry: &Entry) -> String {
    let words = printable(&in_words(&entry.event));
    format!("{}  {:<12}  {words}", in_utc(entry.at), entry.broker)
}

fn in_words(event: &Event) -> String {
    match event {
        Event::Joined { user, device } => format!("joined as {user}/{device}"),
        Event::LoggedIn { peer } => format!("logged in under number {peer}"),
        Event::LinkLost { why } => format!("not logged in: {why}"),
        Event::Renewed => "got a new certificate for this device".to_owned(),
        Event::Connected { peer, service, technique, milliseconds } => {
            format!("connected to {peer} ({service}) by {technique} after {milliseconds} ms")
        }
        Event::NotConnected { peer, why } => format!("not connected to {peer}: {why}"),
        Event::Accepted { peer, service } => format!("{peer} came to {service}"),
        Event::Declined { peer, service } => {
            format!("{peer} asked for {service}, which nobody offers")
        }
        Event::Pinned { peer, key } => {
            format!("met {peer} for the first time, key {}", beginning(key))
        }
        Event::KeyChanged { peer, key } => {
            format!("REFUSED {peer}: it showed another key than before, {}", beginning(key))
        }
        Event::KeyAccepted { peer, key } => {
            format!("accepted the other key of {peer}, {}", beginning(key))
        }
        Event::NoteReceived { note, from, subject } => {
            format!("note {note} from {from}{}", about(subject))
        }
        Event::NoteSent { note, to, subject } => {
            format!("sent note {note} to {to}{}", about(subject))
        }
        Event::NoteDeleted { note } => format!("note {note} was deleted"),
        Event::Team { what, team, member } => {
            let member = member.as_ref().map(|member| format!(" {member}")).unwrap_or_default();
            format!("team {team}: {what}{member}")
        }
        Event::Share { what, share, team } => format!("share {share} with team {team}: {what}"),
        Event::Revoked { peer } => format!("{peer} was revoked; links to it were closed"),
        // One of a newer version.
        other => format!("{other:?}"),
    }
}

/// Enough of a fingerprint to tell it from another; `simopen peers` shows what is to be compared.
fn beginning(fingerprint: &str) -> String {
    fingerprint.chars().take(16).chain(['…']).collect()
}

fn about(subject: &str) -> String {
    if subject.is_empty() { String::new() } else { format!(": {subject}") }
}

/// A stranger's text without what a terminal would obey.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_one_line_whatever_a_stranger_wrote() {
        let subject = "\u{1b}[2Jhello\nworld".to_owned();
        let event = Event::NoteReceived { note: 3, from: "bob".to_owned(), subject };
        let text = line(&Entry { at: 0, broker: "home".to_owned(), event });
        assert!(text.starts_with("1970-01-01 00:00:00Z  home"), "{text}");
        assert!(text.ends_with("note 3 from bob: \u{fffd}[2Jhello\u{fffd}world"), "{text}");
    }
}
