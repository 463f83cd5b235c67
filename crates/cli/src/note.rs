//! `simopen note`.

use std::fmt::Write;
use std::io::Read;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde_json::json;
use simopen_peer::manager::NoteTo;
use simopen_peer::manager::words::{Deed, NoteStatus, Status};
use simopen_protocol::control::{MAX_NOTE_BYTES, MAX_SUBJECT_BYTES};

use crate::device_log::printable;
use crate::device_session::{act, show};
use crate::moment::in_utc;
use crate::peer_arguments::{NoteCommand, NoteDeleteArguments, NoteSendArguments};

pub(crate) fn run(command: &NoteCommand) -> Result<ExitCode> {
    match command {
        NoteCommand::Send(arguments) => send(arguments),
        NoteCommand::List(arguments) => show(arguments, None, in_json, in_words),
        NoteCommand::Delete(arguments) => delete(arguments),
    }
}

fn send(arguments: &NoteSendArguments) -> Result<ExitCode> {
    let text = match &arguments.text {
        Some(text) => text.clone(),
        None => {
            let mut bytes = Vec::new();
            // One byte more than there may be, so that too much is seen.
            let limit = MAX_NOTE_BYTES as u64 + 1;
            let read = std::io::stdin().take(limit).read_to_end(&mut bytes);
            read.context("reading the note from standard input")?;
            // Before it is read as text: the limit may have split a letter.
            check_length(bytes.len())?;
            let mut text = String::from_utf8(bytes)
                .context("the note on standard input is no text in UTF-8")?;
            text.truncate(text.trim_end().len());
            text
        }
    };
    check_length(text.len())?;
    if arguments.subject.len() > MAX_SUBJECT_BYTES {
        bail!("the subject is longer than {MAX_SUBJECT_BYTES} bytes");
    }
    let to = arguments.to.to_string();
    let broker = match &arguments.to {
        NoteTo::Member(name) => name.broker.as_ref(),
        NoteTo::Team(team) => team.broker.as_ref(),
    };
    let says = format!("sent to {to}, and kept until it is deleted there");
    let deed = Deed::NoteSend { to, subject: arguments.subject.clone(), text };
    act(&arguments.desk, broker, vec![(deed, says)])
}

fn check_length(bytes: usize) -> Result<()> {
    if bytes > MAX_NOTE_BYTES {
        bail!("the note is longer than {MAX_NOTE_BYTES} bytes; send it in parts");
    }
    Ok(())
}

fn delete(arguments: &NoteDeleteArguments) -> Result<ExitCode> {
    let broker = arguments.broker.as_ref().map(ToString::to_string);
    let deeds = arguments.notes.iter().map(|note| {
        let deed = Deed::NoteDelete { note: *note, broker: broker.clone() };
        (deed, format!("deleted note {note}"))
    });
    act(&arguments.desk, arguments.broker.as_ref(), deeds.collect())
}

fn in_json(status: &Status) -> serde_json::Value {
    let brokers = status.brokers.iter();
    json!({ "brokers": brokers.map(|broker| json!({ "name": broker.name, "notes": broker.notes }))
        .collect::<serde_json::Value>() })
}

fn in_words(status: &Status) -> String {
    let mut text = String::new();
    for broker in &status.brokers {
        for note in &broker.notes {
            write_note(&mut text, &broker.name, note);
        }
    }
    if text.is_empty() {
        text.push_str("you have no notes\n");
    }
    text
}

fn write_note(text: &mut String, broker: &str, note: &NoteStatus) {
    let NoteStatus { note: number, from, team, sent, subject, text: body } = note;
    let to = team.as_ref().map(|team| format!(" to team {team}")).unwrap_or_default();
    let _ = writeln!(text, "note {number}  from {from}@{broker}{to}, {}", in_utc(*sent));
    if !subject.is_empty() {
        let _ = writeln!(text, "  subject: {}", printable(subject));
    }
    for line in body.lines() {
        // A tab is no control character that harms.
        let parts: Vec<String> = line.split('\t').map(printable).collect();
        let _ = writeln!(text, "  {}", parts.join("\t"));
    }
    text.push('\n');
}
