//! Teams, shares and notes: who may do what, who is told, and what is kept.

use simopen_broker::{AdminRequest, Limits};
use simopen_protocol::control::{
    Action, ErrorName, NoteSend, Notification, Recipient, Reply, ShareId, TeamId, TeamMember,
};
use simopen_protocol::identity::NoteId;

use crate::desk::{Desk, Member, Store, WALL, user, word};

fn team(name: &str) -> TeamId {
    team_in("friends", name)
}

fn team_in(community: &str, name: &str) -> TeamId {
    TeamId { community: community.parse().unwrap(), team: name.parse().unwrap() }
}

fn member(name: &str, of: &str) -> TeamMember {
    TeamMember { team: team(name), user: user(of) }
}

fn share(team_name: &str, name: &str) -> ShareId {
    ShareId { team: team(team_name), name: name.parse().unwrap() }
}

fn note(to: Recipient, text: &str) -> Action {
    Action::NoteSend(NoteSend { to, subject: "news".into(), text: text.into() })
}

fn to(name: &str) -> Recipient {
    Recipient::Member(user(name))
}

/// alice, bob, carol are friends; dave is a stranger.
fn four(desk: &mut Desk) -> [Member; 4] {
    let four = [("alice", 7), ("bob", 8), ("carol", 9), ("dave", 10)]
        .map(|(name, host)| desk.member(name, "10.0.1.2:4000", &format!("198.51.100.{host}:1")));
    four.iter().for_each(|member| drop(desk.notifications(member.link)));
    four
}

fn ask(desk: &mut Desk, by: &Member, action: Action) -> Result<Reply, ErrorName> {
    desk.ask(by.link, action).unwrap()
}

fn with_team() -> (Desk, [Member; 4]) {
    let mut desk = Desk::new();
    let four = four(&mut desk);
    ask(&mut desk, &four[0], Action::TeamCreate(team("chess"))).unwrap();
    ask(&mut desk, &four[0], Action::TeamAdd(member("chess", "bob"))).unwrap();
    four.iter().for_each(|member| drop(desk.notifications(member.link)));
    (desk, four)
}

fn kept(reply: Result<Reply, ErrorName>) -> NoteId {
    match reply {
        Ok(Reply::NoteKept(id)) => id,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_team_is_told_to_its_members_and_to_nobody_else() {
    let mut desk = Desk::new();
    let [alice, bob, carol, dave] = four(&mut desk);
    ask(&mut desk, &alice, Action::TeamCreate(team("chess"))).unwrap();
    ask(&mut desk, &alice, Action::TeamAdd(member("chess", "bob"))).unwrap();
    let told = desk.lines(bob.link);
    let [Notification::Team(told)] = &told[..] else { panic!("{told:?}") };
    assert_eq!(
        (&told.owner, &told.members[..]),
        (&user("alice"), &[user("alice"), user("bob")][..])
    );
    assert_eq!(desk.lines(alice.link).len(), 2);
    ask(&mut desk, &alice, Action::TeamRemove(member("chess", "bob"))).unwrap();
    assert_eq!(desk.lines(bob.link), [Notification::DropTeam(team("chess"))]);
    ask(&mut desk, &alice, Action::TeamDelete(team("chess"))).unwrap();
    for other in [&bob, &carol, &dave] {
        assert_eq!(desk.lines(other.link), []);
    }
}

#[test]
fn only_the_owner_changes_a_team_and_a_member_may_leave() {
    let (mut desk, [alice, bob, carol, _]) = with_team();
    for (by, action, expected) in [
        (&bob, Action::TeamAdd(member("chess", "carol")), "not-owner"),
        (&bob, Action::TeamRemove(member("chess", "alice")), "not-owner"),
        (&bob, Action::TeamDelete(team("chess")), "not-owner"),
        (&carol, Action::TeamDelete(team("chess")), "unknown-team"),
        (&carol, Action::TeamRemove(member("chess", "carol")), "unknown-team"),
        (&alice, Action::TeamRemove(member("chess", "alice")), "owner-stays"),
        (&alice, Action::TeamRemove(member("chess", "carol")), "unknown-user"),
        (&carol, Action::TeamCreate(team("chess")), "team-exists"),
    ] {
        assert_eq!(word(ask(&mut desk, by, action.clone())), expected, "{action:?}");
    }
    ask(&mut desk, &bob, Action::TeamRemove(member("chess", "bob"))).unwrap();
}

#[test]
fn a_team_never_crosses_communities_and_strangers_are_unknown_like_nobody() {
    let (mut desk, [alice, _, _, dave]) = with_team();
    for name in ["dave", "nobody"] {
        let add = Action::TeamAdd(member("chess", name));
        assert_eq!(word(ask(&mut desk, &alice, add)), "unknown-user");
        assert_eq!(word(ask(&mut desk, &alice, note(to(name), "x"))), "unknown-user");
    }
    for community in ["friends", "nowhere"] {
        let create = Action::TeamCreate(team_in(community, "go"));
        assert_eq!(word(ask(&mut desk, &dave, create)), "unknown-community");
    }
    for name in ["chess", "none"] {
        let send = note(Recipient::Team(team(name)), "x");
        assert_eq!(word(ask(&mut desk, &dave, send)), "unknown-team");
        let announce = Action::ShareAdd(share(name, "music"));
        assert_eq!(word(ask(&mut desk, &dave, announce)), "unknown-team");
    }
}

#[test]
fn a_user_who_leaves_a_community_leaves_its_teams_and_ends_the_own_ones() {
    let (mut desk, [alice, bob, carol, _]) = with_team();
    ask(&mut desk, &bob, Action::TeamCreate(team("go"))).unwrap();
    ask(&mut desk, &bob, Action::TeamAdd(member("go", "carol"))).unwrap();
    desk.lines(carol.link);
    let community = "friends".parse().unwrap();
    desk.admin(AdminRequest::RemoveMember { community, user: user("bob") }).unwrap();
    assert!(desk.lines(carol.link).contains(&Notification::DropTeam(team("go"))));
    let left = |line: &Notification| matches!(line, Notification::Team(told) if told.members == [user("alice")]);
    assert!(desk.lines(alice.link).iter().any(left));
}

#[test]
fn a_share_lasts_as_long_as_its_peer_is_online() {
    let (mut desk, [alice, bob, carol, _]) = with_team();
    assert_eq!(ask(&mut desk, &bob, Action::ShareAdd(share("chess", "games"))), Ok(Reply::Done));
    let told = desk.lines(alice.link);
    let [Notification::AddShare(told)] = &told[..] else { panic!("{told:?}") };
    assert_eq!((told.peer, &told.user), (bob.peer, &user("bob")));
    assert_eq!(desk.lines(bob.link), [], "not the peer that has it");
    ask(&mut desk, &alice, Action::TeamAdd(member("chess", "carol"))).unwrap();
    let announced =
        |line: &Notification| matches!(line, Notification::AddShare(one) if one.peer == bob.peer);
    assert!(desk.lines(carol.link).iter().any(announced), "a new member learns of it");
    desk.lines(alice.link);
    desk.close(bob.link);
    for other in [&alice, &carol] {
        let lines = desk.lines(other.link);
        let dropped = |line: &Notification| matches!(line, Notification::DropShare(one) if one.peer == bob.peer);
        assert!(lines.iter().any(dropped), "{lines:?}");
    }
}

#[test]
fn a_share_is_withdrawn_by_its_peer_or_when_its_user_leaves_the_team() {
    let (mut desk, [alice, bob, ..]) = with_team();
    for name in ["games", "books"] {
        ask(&mut desk, &bob, Action::ShareAdd(share("chess", name))).unwrap();
    }
    let drop_games = Action::ShareDrop(share("chess", "games"));
    assert_eq!(word(ask(&mut desk, &alice, drop_games.clone())), "unknown-share");
    desk.lines(alice.link);
    ask(&mut desk, &bob, drop_games.clone()).unwrap();
    assert_eq!(word(ask(&mut desk, &bob, drop_games)), "unknown-share");
    ask(&mut desk, &bob, Action::TeamRemove(member("chess", "bob"))).unwrap();
    let dropped = |line| {
        let Notification::DropShare(share) = line else { return None };
        Some(share.id.name.as_str().to_owned())
    };
    let dropped: Vec<_> = desk.lines(alice.link).into_iter().filter_map(dropped).collect();
    assert_eq!(dropped, ["games", "books"]);
}

#[test]
fn a_note_is_kept_until_its_recipient_deletes_it() {
    let mut desk = Desk::new();
    let alice = desk.member("alice", "10.0.1.2:4000", "198.51.100.7:1");
    let id = kept(ask(&mut desk, &alice, note(to("bob"), "tea at five")));
    for _ in 0..2 {
        let link = desk.link_from("203.0.113.9:1".parse().unwrap());
        desk.log_in("bob", link).unwrap();
        let lines = desk.lines(link);
        let told = lines.iter().find_map(|line| {
            let Notification::Note(note) = line else { return None };
            Some(note.clone())
        });
        let told = told.expect("it is told at each login");
        assert_eq!((told.id, told.from, told.sent), (id, user("alice"), WALL));
        assert_eq!((told.subject.as_str(), told.text.as_str()), ("news", "tea at five"));
        desk.close(link);
    }
    let bob = desk.member("bob", "10.0.2.2:5000", "203.0.113.9:1");
    assert_eq!(word(ask(&mut desk, &alice, Action::NoteDelete(id))), "unknown-note");
    ask(&mut desk, &bob, Action::NoteDelete(id)).unwrap();
    assert_eq!(desk.lines(bob.link), [Notification::DropNote(id)]);
    assert_eq!(word(ask(&mut desk, &bob, Action::NoteDelete(id))), "unknown-note");
    assert_eq!(desk.broker.gauges().notes, 0);
}

#[test]
fn a_note_to_a_team_reaches_all_but_its_sender_and_each_deletes_it_for_itself() {
    let (mut desk, [alice, bob, carol, _]) = with_team();
    ask(&mut desk, &alice, Action::TeamAdd(member("chess", "carol"))).unwrap();
    four_quiet(&mut desk, [&alice, &bob, &carol]);
    let id = kept(ask(&mut desk, &bob, note(Recipient::Team(team("chess")), "mate")));
    for (member, copies) in [(&alice, 1), (&bob, 0), (&carol, 1)] {
        assert_eq!(desk.lines(member.link).len(), copies);
    }
    ask(&mut desk, &alice, Action::NoteDelete(id)).unwrap();
    assert_eq!(desk.broker.directory().notes_of(&user("carol")).count(), 1);
    ask(&mut desk, &carol, Action::NoteDelete(id)).unwrap();
    assert_eq!(desk.broker.gauges().notes, 0);
}

fn four_quiet(desk: &mut Desk, members: [&Member; 3]) {
    members.iter().for_each(|member| drop(desk.notifications(member.link)));
}

#[test]
fn a_note_is_neither_acknowledged_nor_told_before_it_is_kept() {
    let mut desk = Desk::new();
    let [alice, bob, ..] = four(&mut desk);
    desk.store = Store::Waits;
    assert_eq!(desk.ask(alice.link, note(to("bob"), "x")), None);
    assert_eq!(desk.lines(bob.link), []);
    desk.settle(Store::Fails);
    assert_eq!(word(desk.last_response(alice.link).unwrap()), "storage-failed");
    assert_eq!(desk.lines(bob.link), []);
    assert_eq!(desk.ask(alice.link, note(to("bob"), "x")), None);
    desk.settle(Store::Keeps);
    kept(desk.last_response(alice.link).unwrap());
    assert_eq!(desk.lines(bob.link).len(), 1);
}

#[test]
fn the_numbers_of_notes_grow_whatever_the_clock_does_and_none_is_given_twice() {
    let mut desk = Desk::new();
    let [alice, bob, ..] = four(&mut desk);
    let mut last = 0;
    for wall in [WALL, WALL, WALL - 1000, 0, WALL + 5] {
        desk.broker.handle_wall_clock(wall, desk.now);
        let id = kept(ask(&mut desk, &alice, note(to("bob"), "x")));
        assert!(id.0 > last, "{id:?} after {last}");
        last = id.0;
        ask(&mut desk, &bob, Action::NoteDelete(id)).unwrap();
    }
}

#[test]
fn mailboxes_teams_and_shares_are_bounded() {
    let mut desk = Desk::set_up(|config| {
        config.limits = Limits {
            notes_per_user: 2,
            note_bytes_per_user: 100,
            teams_per_user: 1,
            members_per_team: 2,
            shares_per_peer: 1,
            ..Limits::default()
        };
    });
    let [alice, bob, ..] = four(&mut desk);
    assert_eq!(word(ask(&mut desk, &alice, note(to("bob"), &"x".repeat(97)))), "mailbox-full");
    for _ in 0..2 {
        kept(ask(&mut desk, &alice, note(to("bob"), "x")));
    }
    assert_eq!(word(ask(&mut desk, &alice, note(to("bob"), "x"))), "mailbox-full");
    ask(&mut desk, &alice, Action::TeamCreate(team("chess"))).unwrap();
    assert_eq!(word(ask(&mut desk, &alice, Action::TeamCreate(team("go")))), "too-many-teams");
    ask(&mut desk, &alice, Action::TeamAdd(member("chess", "bob"))).unwrap();
    ask(&mut desk, &alice, Action::TeamAdd(member("chess", "bob"))).unwrap();
    let third = Action::TeamAdd(member("chess", "carol"));
    assert_eq!(word(ask(&mut desk, &alice, third)), "too-many-members");
    ask(&mut desk, &bob, Action::ShareAdd(share("chess", "one"))).unwrap();
    let second = Action::ShareAdd(share("chess", "two"));
    assert_eq!(word(ask(&mut desk, &bob, second)), "too-many-shares");
    let refused = &desk.broker.stats().refused;
    assert_eq!(refused["mailbox-full"], 2);
}

#[test]
fn a_team_of_one_has_nobody_to_write_to() {
    let mut desk = Desk::new();
    let [alice, ..] = four(&mut desk);
    ask(&mut desk, &alice, Action::TeamCreate(team("solo"))).unwrap();
    let send = note(Recipient::Team(team("solo")), "x");
    assert_eq!(word(ask(&mut desk, &alice, send)), "no-recipient");
}
