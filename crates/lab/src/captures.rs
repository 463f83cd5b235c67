//! What a run leaves for other programs: a capture of each port, and what the boxes said.
//!
//! All files are on one clock: the nanoseconds since the topology's own beginning.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use serde::Serialize;
use simopen_fabric::PortId;
use simopen_packet::Timestamp;
use simopen_scenario::evidence::Evidence;
use simopen_scenario::evidence::followed::Followed;
use simopen_scenario::network::Layout;
use simopen_scenario::run::Fate;

use crate::error::LabError;
use crate::pcap::PcapFile;
use crate::pump::{Report, Way};

/// The file that the journal is written to, one JSON object a line.
const JOURNAL: &str = "journal.jsonl";

/// Makes the directory, so that an experiment whose captures cannot be written does not begin.
///
/// # Errors
///
/// [`LabError::CaptureFile`].
pub(crate) fn prepare(directory: &Path) -> Result<(), LabError> {
    fs::create_dir_all(directory)
        .map_err(|source| LabError::CaptureFile { path: directory.to_owned(), source })
}

/// Writes a pcapng file for each port, named as the port, and the journal of boxes and network.
/// Packets of the flow between originator and responder have as their comment what became of them,
/// or where they came from; `hosts` are the names of these two and of the broker.
///
/// # Errors
///
/// [`LabError::CaptureFile`], and [`LabError::NoSuchHost`] where the layout is another network's.
pub fn write(
    directory: &Path,
    report: &Report,
    layout: &Layout,
    hosts: &[String; 3],
) -> Result<(), LabError> {
    prepare(directory)?;
    let evidence = report.evidence(layout, hosts)?;
    let comments = comments(&evidence, layout);
    let mut files: HashMap<PortId, PcapFile> = HashMap::new();
    for packet in &report.packets {
        let file = match files.entry(packet.port) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => {
                let name = report.fabric.name(packet.port);
                new.insert(PcapFile::create(&directory.join(format!("{name}.pcapng")), name)?)
            }
        };
        let comment = comments.get(&(packet.port, packet.way, packet.due));
        file.write(packet, comment.map(String::as_str));
    }
    write_journal(&directory.join(JOURNAL), report)
}

/// What to say of a packet at a port at a moment of the journal.
fn comments(evidence: &Evidence<'_>, layout: &Layout) -> HashMap<(PortId, Way, Timestamp), String> {
    let port =
        |name: &str| layout.hosts.iter().find(|host| host.name == name).map(|host| host.port);
    let mut comments = HashMap::new();
    for packet in evidence.packets() {
        if let Some(from) = port(packet.from) {
            comments.insert((from, Way::Out, packet.sent), fate_of(packet));
        }
        if packet.fate() == Fate::Delivered
            && let Some(to) = port(packet.to)
        {
            let name = if evidence.is_forged(packet) { ", in another's name" } else { "" };
            let words = format!("sent by {}{name} at {}", packet.from, packet.sent);
            comments.insert((to, Way::In, packet.ended), words);
        }
    }
    comments
}

fn fate_of(packet: &Followed<'_>) -> String {
    let passed =
        packet.passed.iter().map(|(place, source)| format!("{place} passes it as {source}"));
    let end = match packet.fate() {
        Fate::Delivered => format!("{} receives it at {}", packet.to, packet.ended),
        Fate::Dropped(why) if packet.to.is_empty() => why,
        Fate::Dropped(why) => format!("{} drops it: {why}", packet.to),
    };
    passed.chain([end]).collect::<Vec<_>>().join("; ")
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct JournalLine<'report> {
    at_ns: u64,
    place: &'report str,
    event: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    packet: Option<String>,
}

fn write_journal(path: &Path, report: &Report) -> Result<(), LabError> {
    let failed = |source| LabError::CaptureFile { path: path.to_owned(), source };
    let mut file = BufWriter::new(File::create(path).map_err(failed)?);
    for event in &report.events {
        let line = JournalLine {
            at_ns: event.at.as_nanos(),
            place: report.fabric.name(event.place),
            event: event.what.to_string(),
            packet: event.packet.map(|packet| packet.to_string()),
        };
        serde_json::to_writer(&mut file, &line)
            .map_err(std::io::Error::other)
            .and_then(|()| file.write_all(b"\n"))
            .map_err(failed)?;
    }
    file.flush().map_err(failed)
}
