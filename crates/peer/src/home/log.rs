//! What happened on this device (seed 001 ¶122), in a bounded file.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::{HomeError, files};

/// When the file is this long it becomes the old one, and the one before is forgotten.
const MAX_LOG_BYTES: u64 = 1024 * 1024;

/// What happened on this device: one JSON object a line, in two files of at most about 1 MiB.
#[derive(Debug, Clone)]
pub struct DeviceLog {
    path: PathBuf,
    old: PathBuf,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Seconds since 1970 (UTC).
    pub at: u64,
    /// At which broker.
    pub broker: String,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What may happen on a device. May grow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// This device became a user's.
    Joined {
        /// Whose.
        user: String,
        /// What it is called.
        device: String,
    },
    /// The link to the broker stands.
    LoggedIn {
        /// This device's number.
        peer: u64,
    },
    /// The link to the broker is gone, or could not be made.
    LinkLost {
        /// Why.
        why: String,
    },
    /// The device's certificate was renewed.
    Renewed,
    /// A connection to another peer stands.
    Connected {
        /// With whom.
        peer: String,
        /// What for.
        service: String,
        /// By which technique.
        technique: String,
        /// How long it took, in milliseconds.
        milliseconds: u64,
    },
    /// A connection to another peer could not be made.
    NotConnected {
        /// With whom.
        peer: String,
        /// Why.
        why: String,
    },
    /// Another peer came to a service of this device.
    Accepted {
        /// Who.
        peer: String,
        /// To what.
        service: String,
    },
    /// Another peer asked for a service that nobody offers here.
    Declined {
        /// Who.
        peer: String,
        /// For what.
        service: String,
    },
    /// A device was met for the first time, and its key is kept.
    Pinned {
        /// Whose device.
        peer: String,
        /// The SHA-256 of its key, in hexadecimal.
        key: String,
    },
    /// A device came with another key than the one that is kept. It was refused.
    KeyChanged {
        /// Whose device.
        peer: String,
        /// The SHA-256 of the key that it showed.
        key: String,
    },
    /// The other key was accepted here.
    KeyAccepted {
        /// Whose device.
        peer: String,
        /// The SHA-256 of its key.
        key: String,
    },
    /// A note came.
    NoteReceived {
        /// Its number.
        note: u64,
        /// From whom.
        from: String,
        /// What it is about.
        subject: String,
    },
    /// A note was sent.
    NoteSent {
        /// Its number.
        note: u64,
        /// To whom.
        to: String,
        /// What it is about.
        subject: String,
    },
    /// A note was deleted here or on another device of this user.
    NoteDeleted {
        /// Its number.
        note: u64,
    },
    /// A team was made, changed or deleted from here.
    Team {
        /// What was done.
        what: String,
        /// Which team.
        team: String,
        /// Who was added or removed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        member: Option<String>,
    },
    /// Something was shared, or is no longer.
    Share {
        /// What was done.
        what: String,
        /// What.
        share: String,
        /// With whom.
        team: String,
    },
    /// Somebody else's device was revoked, and links to it closed.
    Revoked {
        /// Whose.
        peer: String,
    },
}

impl DeviceLog {
    pub(super) fn at(home: &Path) -> Self {
        Self { path: home.join("log.jsonl"), old: home.join("log.old.jsonl") }
    }

    /// Adds an entry, now. One that cannot be written is lost, and that is logged: nothing else
    /// fails by it.
    pub fn add(&self, broker: &impl ToString, event: Event) {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.keep(&Entry { at, broker: broker.to_string(), event });
    }

    /// Adds an entry.
    pub(crate) fn keep(&self, entry: &Entry) {
        if let Err(error) = self.append(entry) {
            warn!(%error, path = %self.path.display(), "the device's log cannot be written");
        }
    }

    /// All entries that are left, oldest first. Lines that cannot be read are passed over.
    ///
    /// # Errors
    ///
    /// [`HomeError`] when a file is there and cannot be read.
    pub fn entries(&self) -> Result<Vec<Entry>, HomeError> {
        let mut entries = Vec::new();
        for path in [&self.old, &self.path] {
            let bytes = files::read(path)?.unwrap_or_default();
            let lines = bytes.split(|byte| *byte == b'\n');
            entries.extend(lines.filter_map(|line| serde_json::from_slice::<Entry>(line).ok()));
        }
        Ok(entries)
    }

    fn append(&self, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        let length = fs::metadata(&self.path).map_or(0, |metadata| metadata.len());
        if length >= MAX_LOG_BYTES {
            fs::rename(&self.path, &self.old)?;
        }
        // One write of a whole line: several processes may add.
        OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?.write_all(&line)
    }
}
