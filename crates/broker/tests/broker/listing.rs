//! What a peer is told after its login: everything once, in pages of bounded size, and no further
//! page before the one before was written.

use std::collections::BTreeSet;

use simopen_broker::directory::{Change, Directory, KeptNote, User};
use simopen_broker::{BrokerConfig, Transmit};
use simopen_packet::Entropy;
use simopen_protocol::control::{
    Action, Login, Message, Notification, PAGE, Reachable, Reply, Request, TransactionId,
};
use simopen_protocol::frame::TO_PEER;
use simopen_protocol::identity::{NoteId, PeerId, UserId};

use crate::desk::{Desk, endpoint, secret, user};

/// So many users in two communities, which have `alice` and every tenth in common.
fn crowd(users: usize) -> Directory {
    let mut directory = Directory::default();
    let mut add = |name: &str, communities: &[&str]| {
        let communities = communities.iter().map(|name| name.parse().unwrap()).collect();
        directory.insert(user(name), User { secret: Some(secret(name)), communities });
    };
    add("alice", &["left", "right"]);
    for number in 0..users {
        let communities: &[&str] = match number % 10 {
            0 => &["left", "right"],
            1..5 => &["left"],
            _ => &["right"],
        };
        add(&format!("user-{number}"), communities);
    }
    add("stranger", &["elsewhere"]);
    directory
}

fn log_in(desk: &mut Desk, name: &str) -> simopen_broker::LinkId {
    let link = desk.link_from(endpoint("198.51.100.7:30000"));
    desk.log_in(name, link).unwrap();
    link
}

#[test]
fn everything_is_told_once_and_the_end_is_told() {
    let mut desk = Desk::with_config(BrokerConfig::default(), crowd(1000));
    for number in (0..1000).step_by(2) {
        log_in(&mut desk, &format!("user-{number}"));
    }
    log_in(&mut desk, "stranger");
    let link = desk.link_from(endpoint("198.51.100.7:30000"));
    let online = desk.log_in("alice", link).unwrap().online;
    assert_eq!(online.len(), PAGE);
    let mut seen: Vec<PeerId> = online.iter().map(|presence| presence.peer).collect();
    let mut members: Vec<UserId> = Vec::new();
    let documents = desk.notifications(link);
    assert!(documents.len() > 5);
    for document in &documents {
        let Notification::Several(lines) = document else { panic!("{document:?}") };
        assert!(lines.len() <= PAGE);
        for line in lines {
            if let Notification::Presence(presence) = line {
                seen.push(presence.peer);
            } else if let Notification::Member(member) = line {
                members.push(member.user.clone());
            } else {
                assert_eq!(line, &Notification::Listed);
            }
        }
    }
    assert_eq!((seen.len(), seen.iter().collect::<BTreeSet<_>>().len()), (500, 500));
    // One line for each membership, the own two among them.
    assert_eq!(members.len(), 1000 + 100 + 2);
    let Some(Notification::Several(last)) = documents.last() else { panic!() };
    assert_eq!(last.last(), Some(&Notification::Listed));
    let ends = documents.iter().filter(
        |one| matches!(one, Notification::Several(lines) if lines.contains(&Notification::Listed)),
    );
    assert_eq!(ends.count(), 1);
}

#[test]
fn a_page_waits_for_the_one_before() {
    let directory = crowd(1000);
    let mut broker =
        simopen_broker::Broker::new(BrokerConfig::default(), directory, Entropy::new([1; 32]));
    let now = simopen_packet::Timestamp::ZERO;
    let link = simopen_broker::LinkId(1);
    let remote = endpoint("198.51.100.7:30000");
    broker.handle_link(link, simopen_broker::LinkOrigin { remote, syn: None, key: None }, now);
    let login =
        Login { user: user("alice"), secret: Some(secret("alice")), reachable: Reachable::Yes };
    broker.handle_request(link, Request::new(TransactionId(1), Action::Login(login)), now);
    let mut pages = 0;
    loop {
        let mut out = std::iter::from_fn(|| broker.poll_transmit()).collect::<Vec<_>>();
        if pages == 0 {
            let response = out.remove(0);
            assert!(matches!(response, Transmit::Message(_, Message::Response(_))));
        }
        match &out[..] {
            [Transmit::Page(..)] => {
                pages += 1;
                broker.handle_page_sent(link, now);
            }
            [Transmit::Message(..)] => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(pages, 5, "1102 memberships in pages of 199");
    broker.handle_page_sent(link, now);
    assert_eq!(broker.poll_transmit(), None, "nothing after the end");
}

#[test]
fn pages_of_long_notes_fit_into_a_frame_whatever_they_say() {
    let mut directory = crowd(10);
    for number in 0..200 {
        directory.apply(&Change::Note(KeptNote {
            id: NoteId(number + 1),
            from: user("user-1"),
            team: None,
            sent: 1,
            subject: "\"".repeat(256),
            text: "&\"<'>".repeat(3276),
            recipients: [user("alice")].into(),
        }));
    }
    let mut desk = Desk::with_config(BrokerConfig::default(), directory);
    let link = log_in(&mut desk, "alice");
    let mut notes = 0;
    for document in desk.notifications(link) {
        let alone = std::slice::from_ref(&document);
        let lines = if let Notification::Several(lines) = &document { lines } else { alone };
        notes += lines.iter().filter(|line| matches!(line, Notification::Note(_))).count();
        assert!(Message::Notification(document).to_bytes().len() <= TO_PEER / 2);
    }
    assert_eq!(notes, 200);
}

#[test]
fn what_changes_between_two_pages_is_told_as_ever_and_the_list_goes_on() {
    let mut desk = Desk::with_config(BrokerConfig::default(), crowd(600));
    let link = desk.link_from(endpoint("198.51.100.7:30000"));
    let login =
        Login { user: user("alice"), secret: Some(secret("alice")), reachable: Reachable::Yes };
    let request = Request::new(TransactionId(77), Action::Login(login));
    desk.broker.handle_request(link, request, desk.now);
    let Some(Transmit::Message(_, Message::Response(response))) = desk.broker.poll_transmit()
    else {
        panic!()
    };
    assert!(matches!(response.result, Ok(Reply::LoggedIn(_))));
    let Some(Transmit::Page(..)) = desk.broker.poll_transmit() else { panic!() };
    let other = log_in(&mut desk, "user-1");
    assert_eq!(desk.notifications(link).len(), 1, "the presence, and no page before it is asked");
    desk.close(other);
    desk.notifications(link);
    desk.broker.handle_page_sent(link, desk.now);
    desk.drain();
    let lines = desk.lines(link);
    let is_presence = |line: &&Notification| matches!(line, Notification::Presence(_));
    assert_eq!(lines.iter().filter(is_presence).count(), 0, "who has gone is not listed");
    assert_eq!(lines.last(), Some(&Notification::Listed));
}
