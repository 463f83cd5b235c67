//! Changes of the directory: judged one after the other, kept by the store, and only then in force
//! and acknowledged.
//!
//! One change is with the store at a time, and the next is judged when that one is settled. So
//! nothing is judged by what may never be kept, and what is good once is used once.

use alloc::vec::Vec;

use simopen_packet::Timestamp;
use simopen_protocol::control::{Action, ErrorName, Head, Reply};

use super::{Broker, refusal};
use crate::admin::{AdminError, AdminId, AdminReply, AdminRequest};
use crate::directory::Change;
use crate::event::What;
use crate::link::LinkId;
use crate::persist::{Persist, PersistId};

/// Something that changes the directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    Request(LinkId, Head, Action),
    Admin(AdminId, AdminRequest),
}

/// What the store is asked to keep, and who is answered then.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Flight {
    id: PersistId,
    changes: Vec<Change>,
    by: Asker,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Asker {
    Link(LinkId, Head, Reply),
    Admin(AdminId, AdminRequest, AdminReply),
}

/// What a request comes to, once it is kept.
#[derive(Debug)]
pub(super) struct Plan<Answer> {
    pub(super) changes: Vec<Change>,
    pub(super) reply: Answer,
}

impl<Answer> Plan<Answer> {
    pub(super) const fn nothing(reply: Answer) -> Self {
        Self { changes: Vec::new(), reply }
    }
}

impl Broker {
    /// The store has kept what [`Broker::poll_persist`] gave.
    pub fn handle_persisted(&mut self, id: PersistId, now: Timestamp) {
        let Some(flight) = self.flight.take_if(|flight| flight.id == id) else {
            return;
        };
        self.stats.persisted += 1;
        for change in &flight.changes {
            self.enact(change, now);
        }
        match flight.by {
            Asker::Link(link, head, reply) => {
                self.settle(link);
                self.respond(link, head, Ok(reply));
            }
            Asker::Admin(id, request, reply) => {
                self.unbar(&request);
                self.answers.push_back((id, Ok(reply)));
            }
        }
        self.resume(now);
    }

    /// The store has not kept it, nor ever will: nothing has changed.
    pub fn handle_persist_failed(&mut self, id: PersistId, now: Timestamp) {
        let Some(flight) = self.flight.take_if(|flight| flight.id == id) else {
            return;
        };
        self.stats.persist_failed += 1;
        match flight.by {
            Asker::Link(link, head, _) => {
                self.settle(link);
                self.respond(link, head, Err(refusal("storage-failed")));
            }
            Asker::Admin(id, request, _) => {
                self.unbar(&request);
                self.answers.push_back((id, Err(AdminError::StorageFailed)));
            }
        }
        self.resume(now);
    }

    /// A request that changes the directory: it is answered when its turn has come.
    pub(super) fn submit(
        &mut self,
        link: LinkId,
        head: Head,
        action: Action,
        now: Timestamp,
    ) -> Result<(), ErrorName> {
        let [of_all, of_link] = self.config.limits.waiting;
        let known = self.links.get_mut(&link).ok_or_else(|| refusal("not-logged-in"))?;
        if self.waiting.len() >= of_all || known.waiting >= of_link {
            return Err(refusal("busy"));
        }
        known.waiting += 1;
        self.waiting.push_back(Operation::Request(link, head, action));
        self.resume(now);
        Ok(())
    }

    pub(super) fn submit_admin(&mut self, id: AdminId, request: AdminRequest, now: Timestamp) {
        // An operator's word waits behind no limit of the peers'.
        self.waiting.push_back(Operation::Admin(id, request));
        self.resume(now);
    }

    /// Judges what waits until something is with the store again.
    fn resume(&mut self, now: Timestamp) {
        while self.flight.is_none()
            && let Some(operation) = self.waiting.pop_front()
        {
            match operation {
                Operation::Request(link, head, action) => self.consider(link, head, &action, now),
                Operation::Admin(id, request) => self.consider_admin(id, request, now),
            }
        }
    }

    fn consider(&mut self, link: LinkId, head: Head, action: &Action, now: Timestamp) {
        if !self.links.contains_key(&link) {
            return;
        }
        match self.judge(link, action) {
            Ok(plan) if plan.changes.is_empty() => {
                self.settle(link);
                self.respond(link, head, Ok(plan.reply));
            }
            Ok(plan) => self.keep(plan.changes, Asker::Link(link, head, plan.reply)),
            Err(error) => {
                self.settle(link);
                if matches!(action, Action::Join(_)) {
                    self.refuse_entry(link, head, error, now);
                } else {
                    self.respond(link, head, Err(error));
                }
            }
        }
    }

    fn consider_admin(&mut self, id: AdminId, request: AdminRequest, now: Timestamp) {
        match self.judge_admin(&request) {
            Ok(plan) if plan.changes.is_empty() => self.answers.push_back((id, Ok(plan.reply))),
            Ok(plan) => {
                // Nobody who is revoked waits for the store.
                self.bar(&request, now);
                self.keep(plan.changes, Asker::Admin(id, request, plan.reply));
            }
            Err(error) => {
                self.unbar(&request);
                self.answers.push_back((id, Err(error)));
            }
        }
    }

    fn judge(&mut self, link: LinkId, action: &Action) -> Result<Plan<Reply>, ErrorName> {
        if let Action::Join(join) = action {
            return self.judge_join(join);
        }
        let peer = self.peer_on(link)?;
        let user = self.peers.get(&peer).map(|peer| peer.user.clone());
        let user = user.ok_or_else(|| refusal("not-logged-in"))?;
        match action {
            Action::NoteSend(note) => self.judge_note_send(&user, note),
            Action::NoteDelete(note) => self.judge_note_delete(&user, *note),
            Action::TeamCreate(team) => self.judge_team_create(&user, team),
            Action::TeamDelete(team) => self.judge_team_delete(&user, team),
            Action::TeamAdd(member) => self.judge_team_add(&user, member),
            Action::TeamRemove(member) => self.judge_team_remove(&user, member),
            Action::Join(_)
            | Action::Login(_)
            | Action::Probe(_)
            | Action::Connect(_)
            | Action::Accept(_)
            | Action::Syn(_)
            | Action::Outcome(_)
            | Action::Ping
            | Action::Logout
            | Action::Certificate
            | Action::Proxy(_)
            | Action::ProxyEnd(_)
            | Action::ShareAdd(_)
            | Action::ShareDrop(_)
            | _ => Err(refusal("unknown-action")),
        }
    }

    fn keep(&mut self, changes: Vec<Change>, by: Asker) {
        self.persists += 1;
        let id = PersistId(self.persists);
        self.persist.push_back(Persist { id, changes: changes.clone() });
        self.flight = Some(Flight { id, changes, by });
    }

    /// A request that waited is answered.
    fn settle(&mut self, link: LinkId) {
        if let Some(link) = self.links.get_mut(&link) {
            link.waiting = link.waiting.saturating_sub(1);
        }
    }

    /// A change is kept: it comes into force, and whoever may know of it is told.
    fn enact(&mut self, change: &Change, now: Timestamp) {
        match change {
            Change::Member { community, user } => self.enact_member(community, user),
            Change::MemberGone { community, user } => {
                self.enact_member_gone(community, user, now);
            }
            Change::UserRevoked(user) | Change::UserGone(user) => {
                self.enact_user_gone(user, change, now);
            }
            Change::DeviceRevoked(_) => {
                self.stats.revoked += 1;
                self.directory.apply(change);
            }
            Change::Device(device) => {
                self.stats.joined += 1;
                self.directory.apply(change);
                let (user, device) = (device.user.clone(), device.name.clone());
                self.event(now, What::Joined { user, device });
            }
            Change::Team { team, .. } => {
                self.directory.apply(change);
                self.tell_team(team);
            }
            Change::TeamGone(team) => self.enact_team_gone(team),
            Change::TeamMember { team, user } => self.enact_team_member(team, user),
            Change::TeamMemberGone { team, user } => self.enact_team_member_gone(team, user),
            Change::Note(note) => self.enact_note(note),
            Change::NoteGone { note, recipient } => self.enact_note_gone(*note, recipient),
            Change::User { .. } | Change::Invitation(_) | Change::InvitationGone(_) => {
                self.directory.apply(change);
            }
        }
    }
}
