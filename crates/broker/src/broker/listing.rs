//! The pages of what a peer is told after its login.

use alloc::vec::Vec;

use simopen_protocol::control::{
    Member, Message, Notification, PAGE, Presence, Reachable, Share, ShareId,
};
use simopen_protocol::identity::{CommunityName, PeerId, UserId};

use super::{Broker, Transmit};
use crate::listing::{Listing, Page, Room};

impl Broker {
    /// Those of the first page of presences, which stand in the response to the login.
    pub(super) fn first_presences(&self, asker: PeerId, user: &UserId) -> (Vec<Presence>, Listing) {
        let mut presences = Vec::new();
        let mut last = None;
        let mut lines = self.presences_after(asker, user, None);
        while presences.len() < PAGE
            && let Some((place, presence)) = lines.next()
        {
            presences.push(presence);
            last = Some(place);
        }
        (presences, Listing::Presences(last))
    }

    /// Begins to tell everything from the start, as after a login.
    pub(super) fn list_again(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        // A page that is on its way is followed by the first one of the new list.
        if peer.listing.replace(Listing::START).is_none() {
            self.next_page(id);
        }
    }

    /// The next page, if there is one to come.
    pub(super) fn next_page(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let Some(mut listing) = peer.listing.take() else {
            return;
        };
        let (link, user) = (peer.link, peer.user.clone());
        let mut page = Page::new(self.config.limits.page_bytes);
        let mut next = Some(());
        while next.is_some() {
            match self.fill(id, &user, &mut listing, &mut page) {
                Room::Full => break,
                Room::Left => next = advance(&mut listing),
            }
        }
        if next.is_some() {
            let message = Message::Notification(page.finish());
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.listing = Some(listing);
            }
            self.transmits.push_back(Transmit::Page(link, message));
        } else {
            page.push(Notification::Listed);
            let message = Message::Notification(page.finish());
            self.transmits.push_back(Transmit::Message(link, message));
        }
    }

    /// Fills a page from one list; full, where the list goes on.
    fn fill(&self, id: PeerId, user: &UserId, listing: &mut Listing, page: &mut Page) -> Room {
        match listing {
            Listing::Presences(after) => {
                let lines = self.presences_after(id, user, after.as_ref());
                let lines = lines.map(|(place, line)| (place, Notification::Presence(line)));
                copy(lines, page, after)
            }
            Listing::Members(after) => copy(self.members_after(user, after.as_ref()), page, after),
            Listing::Teams(after) => {
                let teams = self.directory.teams_of_after(user, after.as_ref());
                let lines = teams.filter_map(|team| {
                    Some((team.clone(), Notification::Team(self.team_as_told(team)?)))
                });
                copy(lines, page, after)
            }
            Listing::Shares(after) => {
                copy(self.shares_after(id, user, after.as_ref()), page, after)
            }
            Listing::Notes(after) => {
                let notes = self.directory.notes_of_after(user, *after);
                let lines =
                    notes.map(|note| (note.id, Notification::Note(Self::note_as_told(note))));
                copy(lines, page, after)
            }
        }
    }

    /// The reachable peers of the communities of a user but the asking one, each once.
    fn presences_after<'a>(
        &'a self,
        asker: PeerId,
        user: &'a UserId,
        after: Option<&(CommunityName, UserId, PeerId)>,
    ) -> impl Iterator<Item = ((CommunityName, UserId, PeerId), Presence)> + 'a {
        let start = after.map(|(community, member, _)| (community.clone(), member.clone()));
        let told = after.cloned();
        let members = self.directory.companions_from(user, start);
        let in_an_earlier_one = move |community: &CommunityName, member: &UserId| {
            let mut earlier =
                self.directory.communities_of(user).take_while(|one| *one < community);
            earlier.any(|one| self.directory.is_member(one, member))
        };
        members
            .filter(move |(community, member)| {
                self.online.contains_key(*member) && !in_an_earlier_one(community, member)
            })
            .flat_map(move |(community, member)| {
                self.peers_of(member).map(move |peer| (community.clone(), member.clone(), peer))
            })
            .filter(move |place| told.as_ref().is_none_or(|told| place > told))
            .filter_map(move |place| {
                let id = place.2;
                let peer = self.peers.get(&id)?;
                let is_told = id != asker && peer.reachable == Reachable::Yes;
                is_told.then(|| (place, Self::presence(id, peer, true)))
            })
    }

    fn members_after<'a>(
        &'a self,
        user: &'a UserId,
        after: Option<&(CommunityName, UserId)>,
    ) -> impl Iterator<Item = ((CommunityName, UserId), Notification)> + 'a {
        let told = after.cloned();
        let members = self.directory.companions_from(user, told.clone());
        members
            .map(|(community, member)| (community.clone(), member.clone()))
            .filter(move |place| told.as_ref().is_none_or(|told| place > told))
            .map(|place| {
                let (community, user) = place.clone();
                (place, Notification::Member(Member { community, user, is_member: true }))
            })
    }

    fn shares_after<'a>(
        &'a self,
        asker: PeerId,
        user: &'a UserId,
        after: Option<&(ShareId, PeerId)>,
    ) -> impl Iterator<Item = ((ShareId, PeerId), Notification)> + 'a {
        let told = after.cloned();
        let first_team = after.map(|(share, _)| share.team.clone());
        let teams = self.directory.teams_of(user);
        let teams =
            teams.filter(move |team| first_team.as_ref().is_none_or(|first| *team >= first));
        teams
            .flat_map(|team| self.shares_of_team(team))
            .filter(move |place| told.as_ref().is_none_or(|told| place > told))
            .filter_map(move |place| {
                let share: Share = self.share_as_told(&place.0, place.1)?;
                (place.1 != asker).then_some((place, Notification::AddShare(share)))
            })
    }
}

/// Copies lines to a page while there is room, and remembers the last one.
fn copy<Place>(
    lines: impl Iterator<Item = (Place, Notification)>,
    page: &mut Page,
    last: &mut Option<Place>,
) -> Room {
    for (place, line) in lines {
        if page.room_for(&line) == Room::Full {
            return Room::Full;
        }
        page.push(line);
        *last = Some(place);
    }
    Room::Left
}

/// The next list; nothing after the last one.
fn advance(listing: &mut Listing) -> Option<()> {
    *listing = match listing {
        Listing::Presences(_) => Listing::Members(None),
        Listing::Members(_) => Listing::Teams(None),
        Listing::Teams(_) => Listing::Shares(None),
        Listing::Shares(_) => Listing::Notes(None),
        Listing::Notes(_) => return None,
    };
    Some(())
}
