//! Notes: kept until each recipient has deleted them (seed 001 ¶115, ¶136).

use alloc::collections::BTreeSet;

use rand_chacha::rand_core::Rng;
use simopen_protocol::control::{ErrorName, Note, NoteSend, Notification, Recipient, Reply};
use simopen_protocol::identity::{NoteId, UserId};

use super::changing::Plan;
use super::{Broker, refusal};
use crate::directory::{Change, KeptNote};

/// The bits of a note's number below its second.
const WITHIN_SECOND: u32 = 20;
/// The bits of its second: whatever a clock says, the number fits a signed integer.
const SECOND: u32 = 42;

impl Broker {
    pub(super) fn judge_note_send(
        &mut self,
        from: &UserId,
        note: &NoteSend,
    ) -> Result<Plan<Reply>, ErrorName> {
        let (team, recipients) = match &note.to {
            Recipient::Member(user) => {
                if !self.directory.share_community(from, user) {
                    return Err(refusal("unknown-user"));
                }
                (None, [user.clone()].into())
            }
            Recipient::Team(team) => {
                let record = self.directory.team(team);
                let record = record.filter(|record| record.members.contains(from));
                let record = record.ok_or_else(|| refusal("unknown-team"))?;
                let others = record.members.iter().filter(|member| *member != from);
                (Some(team.clone()), others.cloned().collect::<BTreeSet<_>>())
            }
        };
        if recipients.is_empty() {
            return Err(refusal("no-recipient"));
        }
        let size = note.subject.len() + note.text.len();
        let limits = &self.config.limits;
        let is_full = |user: &UserId| {
            let (notes, bytes) = self.directory.mailbox(user);
            notes >= limits.notes_per_user || bytes + size > limits.note_bytes_per_user
        };
        if recipients.iter().any(is_full) {
            return Err(refusal("mailbox-full"));
        }
        let kept = KeptNote {
            id: self.next_note(),
            from: from.clone(),
            team,
            sent: self.wall,
            subject: note.subject.clone(),
            text: note.text.clone(),
            recipients,
        };
        let reply = Reply::NoteKept(kept.id);
        Ok(Plan { changes: [Change::Note(kept)].into(), reply })
    }

    pub(super) fn judge_note_delete(
        &self,
        by: &UserId,
        id: NoteId,
    ) -> Result<Plan<Reply>, ErrorName> {
        let note = self.directory.note(id).filter(|note| note.recipients.contains(by));
        note.ok_or_else(|| refusal("unknown-note"))?;
        let gone = Change::NoteGone { note: id, recipient: by.clone() };
        Ok(Plan { changes: [gone].into(), reply: Reply::Done })
    }

    pub(super) fn enact_note(&mut self, note: &KeptNote) {
        self.stats.notes += 1;
        self.directory.apply(&Change::Note(note.clone()));
        let told = Notification::Note(Self::note_as_told(note));
        for recipient in &note.recipients {
            self.notify_user(recipient, &told);
        }
    }

    pub(super) fn enact_note_gone(&mut self, id: NoteId, recipient: &UserId) {
        self.directory.apply(&Change::NoteGone { note: id, recipient: recipient.clone() });
        self.notify_user(recipient, &Notification::DropNote(id));
    }

    pub(super) fn note_as_told(note: &KeptNote) -> Note {
        Note {
            id: note.id,
            from: note.from.clone(),
            team: note.team.clone(),
            sent: note.sent,
            subject: note.subject.clone(),
            text: note.text.clone(),
        }
    }

    /// A number above all before, which grows with time. Below the second it is random, so that a
    /// broker that has forgotten a deleted note does not give its number to another.
    fn next_note(&mut self) -> NoteId {
        let random = u64::from(self.generator.next_u32() >> (u32::BITS - WITHIN_SECOND));
        let second = self.wall & ((1 << SECOND) - 1);
        let by_time = second << WITHIN_SECOND | random;
        self.last_note = by_time.max(self.last_note + 1);
        NoteId(self.last_note)
    }
}
