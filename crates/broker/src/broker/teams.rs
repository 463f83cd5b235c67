//! Teams: made and owned by users, each within one community (seed 001 ¶126).

use simopen_protocol::control::{ErrorName, Notification, Reply, Team, TeamId, TeamMember};
use simopen_protocol::identity::UserId;

use super::changing::Plan;
use super::{Broker, refusal};
use crate::directory::{Change, TeamRecord};

impl Broker {
    pub(super) fn judge_team_create(
        &self,
        owner: &UserId,
        team: &TeamId,
    ) -> Result<Plan<Reply>, ErrorName> {
        if !self.directory.is_member(&team.community, owner) {
            return Err(refusal("unknown-community"));
        }
        if self.directory.team(team).is_some() {
            return Err(refusal("team-exists"));
        }
        let owned =
            |team: &&TeamId| self.directory.team(team).is_some_and(|one| one.owner == *owner);
        if self.directory.teams_of(owner).filter(owned).count() >= self.config.limits.teams_per_user
        {
            return Err(refusal("too-many-teams"));
        }
        done(Change::Team { team: team.clone(), owner: owner.clone() })
    }

    pub(super) fn judge_team_delete(
        &self,
        by: &UserId,
        team: &TeamId,
    ) -> Result<Plan<Reply>, ErrorName> {
        if self.team_with(by, team)?.owner != *by {
            return Err(refusal("not-owner"));
        }
        done(Change::TeamGone(team.clone()))
    }

    pub(super) fn judge_team_add(
        &self,
        by: &UserId,
        TeamMember { team, user }: &TeamMember,
    ) -> Result<Plan<Reply>, ErrorName> {
        let record = self.team_with(by, team)?;
        if record.owner != *by {
            return Err(refusal("not-owner"));
        }
        if !self.directory.is_member(&team.community, user) {
            return Err(refusal("unknown-user"));
        }
        if record.members.contains(user) {
            return Ok(Plan::nothing(Reply::Done));
        }
        if record.members.len() >= self.config.limits.members_per_team {
            return Err(refusal("too-many-members"));
        }
        done(Change::TeamMember { team: team.clone(), user: user.clone() })
    }

    pub(super) fn judge_team_remove(
        &self,
        by: &UserId,
        TeamMember { team, user }: &TeamMember,
    ) -> Result<Plan<Reply>, ErrorName> {
        let record = self.team_with(by, team)?;
        if record.owner != *by && user != by {
            return Err(refusal("not-owner"));
        }
        if !record.members.contains(user) {
            return Err(refusal("unknown-user"));
        }
        if record.owner == *user {
            return Err(refusal("owner-stays"));
        }
        done(Change::TeamMemberGone { team: team.clone(), user: user.clone() })
    }

    /// A team that the asker is in; whether there is another of that name is nobody else's business.
    pub(super) fn team_with(&self, by: &UserId, team: &TeamId) -> Result<&TeamRecord, ErrorName> {
        let record = self.directory.team(team).filter(|record| record.members.contains(by));
        record.ok_or_else(|| refusal("unknown-team"))
    }

    pub(super) fn team_as_told(&self, team: &TeamId) -> Option<Team> {
        let record = self.directory.team(team)?;
        let members = record.members.iter().cloned().collect();
        Some(Team { id: team.clone(), owner: record.owner.clone(), members })
    }

    /// Tells all members how a team is.
    pub(super) fn tell_team(&mut self, team: &TeamId) {
        if let Some(told) = self.team_as_told(team) {
            let notification = Notification::Team(told.clone());
            for member in &told.members {
                self.notify_user(member, &notification);
            }
        }
    }

    pub(super) fn enact_team_gone(&mut self, team: &TeamId) {
        let members = self.directory.team(team).map(|record| record.members.clone());
        self.drop_shares_of_team(team, None);
        self.directory.apply(&Change::TeamGone(team.clone()));
        for member in members.into_iter().flatten() {
            self.notify_user(&member, &Notification::DropTeam(team.clone()));
        }
    }

    pub(super) fn enact_team_member(&mut self, team: &TeamId, user: &UserId) {
        self.directory.apply(&Change::TeamMember { team: team.clone(), user: user.clone() });
        self.tell_team(team);
        self.tell_shares_of_team(team, user);
    }

    pub(super) fn enact_team_member_gone(&mut self, team: &TeamId, user: &UserId) {
        self.drop_shares_of_team(team, Some(user));
        let change = Change::TeamMemberGone { team: team.clone(), user: user.clone() };
        self.directory.apply(&change);
        self.tell_team(team);
        self.notify_user(user, &Notification::DropTeam(team.clone()));
    }
}

fn done(change: Change) -> Result<Plan<Reply>, ErrorName> {
    Ok(Plan { changes: [change].into(), reply: Reply::Done })
}
