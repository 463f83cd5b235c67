//! How far a peer has been told what there was when it logged in.
//!
//! Each page is made when the one before was written, from what is then true; what changes in
//! between is notified as ever. So nothing piles up for a peer that reads slowly, and what it has
//! been told is never out of date.

use alloc::vec::Vec;

use simopen_protocol::control::{Notification, PAGE, ShareId, TeamId};
use simopen_protocol::identity::{CommunityName, NoteId, PeerId, UserId};

/// A place in the lists, in the order in which they are told. Each holds what was told last.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Listing {
    Presences(Option<(CommunityName, UserId, PeerId)>),
    Members(Option<(CommunityName, UserId)>),
    Teams(Option<TeamId>),
    Shares(Option<(ShareId, PeerId)>),
    Notes(Option<NoteId>),
}

impl Listing {
    pub(crate) const START: Self = Self::Presences(None);
}

/// A page while it is filled.
#[derive(Debug)]
pub(crate) struct Page {
    lines: Vec<Notification>,
    bytes: usize,
    limit: usize,
}

/// Whether there is room for one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    Left,
    Full,
}

impl Page {
    pub(crate) const fn new(limit: usize) -> Self {
        Self { lines: Vec::new(), bytes: 0, limit }
    }

    /// Whether another line fits. The first one always does, however long it is.
    pub(crate) fn room_for(&self, line: &Notification) -> Room {
        // One place is kept for the end of the list.
        let is_full = self.lines.len() + 1 >= PAGE
            || (!self.lines.is_empty() && self.bytes + weight(line) > self.limit);
        if is_full { Room::Full } else { Room::Left }
    }

    pub(crate) fn push(&mut self, line: Notification) {
        self.bytes += weight(&line);
        self.lines.push(line);
    }

    /// The page as one notification.
    pub(crate) fn finish(self) -> Notification {
        let mut lines = self.lines.into_iter();
        match (lines.next(), lines.len()) {
            (Some(only), 0) => only,
            (first, _) => Notification::Several(first.into_iter().chain(lines).collect()),
        }
    }
}

/// At most how many bytes a line takes as XML.
fn weight(line: &Notification) -> usize {
    /// Names and numbers with their attributes.
    const USUAL: usize = 512;
    if let Notification::Note(note) = line {
        USUAL + escaped(&note.subject) + escaped(&note.text)
    } else if let Notification::Team(team) = line {
        USUAL + team.members.iter().map(|member| 32 + member.as_str().len()).sum::<usize>()
    } else {
        USUAL
    }
}

/// How long a text is when its special characters are written out: six bytes at most each.
fn escaped(text: &str) -> usize {
    let special = |byte: &u8| matches!(byte, b'<' | b'>' | b'&' | b'\'' | b'"' | 0..0x20);
    text.len() + 5 * text.bytes().filter(special).count()
}
