//! Revocation: everything ends in the call that revokes, whatever the store does.

use simopen_broker::{AdminError, AdminReply, AdminRequest, LinkId};
use simopen_protocol::cause::Cause;
use simopen_protocol::control::{Action, Member, Notification, Reply};
use simopen_protocol::identity::{CommunityName, UserId};
use simopen_protocol::technique::Technique;

use crate::desk::{Desk, Store, USERSPACE, endpoint, user, word};
use crate::entering::{device, invited, key, log_in_by_key};

fn friends() -> CommunityName {
    "friends".parse().unwrap()
}

fn revoked(user: UserId, device: Option<&str>) -> Notification {
    Notification::Revoked { user, device: device.map(|name| name.parse().unwrap()) }
}

fn is_told(desk: &mut Desk, link: LinkId, what: &Notification) -> bool {
    desk.lines(link).contains(what)
}

#[test]
fn a_revoked_user_loses_links_and_sessions_at_once_even_while_the_store_is_at_work() {
    let mut desk = Desk::new();
    let [alice, bob] = desk.alice_and_bob();
    let (session, _) = desk.session([&alice, &bob], USERSPACE);
    desk.store = Store::Waits;
    assert_eq!(desk.try_admin(AdminRequest::RevokeUser(user("bob"))), None, "not acknowledged");
    assert_eq!(desk.closed, [bob.link]);
    assert_eq!(desk.broker.gauges().sessions, 0);
    let told = desk.lines(alice.link);
    assert!(told.contains(&revoked(user("bob"), None)), "{told:?}");
    assert!(is_told(&mut desk, bob.link, &revoked(user("bob"), None)), "the device itself too");
    let link = desk.link_from(bob.public);
    assert_eq!(desk.log_in("bob", link).unwrap_err().0, "revoked");
    assert_eq!(word(desk.outcome(&alice, session, Cause::Revoked.failed())), "unknown-session");
    desk.settle(Store::Keeps);
    assert_eq!(desk.late_answer(), Some(Ok(AdminReply::Done)));
    desk.pass(std::time::Duration::from_secs(60));
    assert!(desk.forged.is_empty(), "nothing leaves in a revoked name");
}

trait Failed {
    fn failed(self) -> simopen_protocol::control::OutcomeState;
}

impl Failed for Cause {
    fn failed(self) -> simopen_protocol::control::OutcomeState {
        simopen_protocol::control::OutcomeState::Failed(self)
    }
}

#[test]
fn one_device_is_revoked_and_the_others_stay() {
    let mut desk = Desk::new();
    let alice = desk.member("alice", "10.0.1.2:4000", "198.51.100.7:41000");
    let [laptop, phone] =
        [("laptop", 1), ("phone", 2)].map(|(name, number)| device(&mut desk, "bob", name, number));
    let request =
        AdminRequest::RevokeDevice { user: user("bob"), device: "laptop".parse().unwrap() };
    desk.notifications(alice.link);
    assert_eq!(desk.admin(request.clone()), Ok(AdminReply::Done));
    assert_eq!(desk.closed, [laptop]);
    for link in [alice.link, phone] {
        assert!(is_told(&mut desk, link, &revoked(user("bob"), Some("laptop"))));
    }
    let (_, answer) = log_in_by_key(&mut desk, "bob", &key(1));
    assert_eq!(word(answer), "revoked");
    assert_eq!(desk.ask(phone, Action::Ping), Some(Ok(Reply::Done)));
    assert_eq!(desk.admin(request), Err(AdminError::UnknownDevice), "once");
}

#[test]
fn strangers_learn_nothing_of_a_revocation() {
    let mut desk = Desk::new();
    let dave = desk.member("dave", "10.0.1.2:4000", "198.51.100.7:41000");
    device(&mut desk, "bob", "laptop", 1);
    desk.admin(AdminRequest::RevokeUser(user("bob"))).unwrap();
    assert_eq!(desk.notifications(dave.link), []);
}

#[test]
fn a_revocation_that_was_not_kept_is_said_to_be_so() {
    let mut desk = Desk::new();
    let bob = desk.member("bob", "10.0.1.2:4000", "198.51.100.7:41000");
    desk.store = Store::Fails;
    let answer = desk.admin(AdminRequest::RevokeUser(user("bob")));
    assert_eq!(answer, Err(AdminError::StorageFailed));
    assert_eq!(desk.closed, [bob.link]);
    let link = desk.link_from(bob.public);
    desk.log_in("bob", link).unwrap();
}

#[test]
fn a_revoked_users_invitations_go_and_the_name_is_not_taken_by_another() {
    let mut desk = Desk::new();
    let secret = invited(&mut desk, "bob");
    desk.admin(AdminRequest::RevokeUser(user("bob"))).unwrap();
    let link = desk.link_from(endpoint("198.51.100.7:1"));
    let device = "laptop".parse().unwrap();
    let join = simopen_protocol::control::Join { device, secret, key: key(1) };
    assert_eq!(word(desk.ask_patiently(link, Action::Join(join))), "not-invited");
    let invite = AdminRequest::Invite { user: user("bob"), lifetime: std::time::Duration::ZERO };
    assert_eq!(desk.admin(invite), Err(AdminError::UnknownUser));
}

#[test]
fn users_who_lose_their_last_community_in_common_lose_sight_of_each_other() {
    let mut desk = Desk::new();
    let [alice, bob] = desk.alice_and_bob();
    desk.connect(&alice, "bob", Technique::SimultaneousOpen, None);
    desk.notifications(alice.link);
    desk.notifications(bob.link);
    let request = AdminRequest::RemoveMember { community: friends(), user: user("bob") };
    desk.admin(request).unwrap();
    let lines = desk.lines(alice.link);
    let member = Member { community: friends(), user: user("bob"), is_member: false };
    assert!(lines.contains(&Notification::Member(member.clone())), "{lines:?}");
    let is_away = |line: &Notification| matches!(line, Notification::Presence(one) if one.user == user("bob") && !one.online);
    assert!(lines.iter().any(is_away), "{lines:?}");
    assert!(desk.lines(bob.link).contains(&Notification::Member(member)));
    assert_eq!(word(desk.last_response(alice.link).unwrap_or(Ok(Reply::Done))), "unknown-peer");
    assert_eq!(desk.broker.gauges().sessions, 0);
}

#[test]
fn a_new_member_is_told_everything_and_everybody_is_told_of_the_new_member() {
    let mut desk = Desk::new();
    let alice = desk.member("alice", "10.0.1.2:4000", "198.51.100.7:41000");
    let dave = desk.member("dave", "10.0.2.2:5000", "203.0.113.9:52000");
    desk.admin(AdminRequest::AddMember { community: friends(), user: user("dave") }).unwrap();
    let member = Member { community: friends(), user: user("dave"), is_member: true };
    let lines = desk.lines(alice.link);
    assert!(lines.contains(&Notification::Member(member)), "{lines:?}");
    let lines = desk.lines(dave.link);
    let is_alice = |line: &Notification| matches!(line, Notification::Presence(one) if one.peer == alice.peer && one.online);
    assert!(lines.iter().any(is_alice), "{lines:?}");
    assert_eq!(lines.last(), Some(&Notification::Listed));
}
