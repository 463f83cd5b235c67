//! What operators ask, and what they are answered.

use simopen_broker::directory::Standing;
use simopen_broker::{AdminError, AdminReply, AdminRequest};

use crate::desk::{Desk, Store, USERSPACE, user};

fn add(name: &str, communities: &[&str]) -> AdminRequest {
    let communities = communities.iter().map(|name| name.parse().unwrap()).collect();
    AdminRequest::AddUser { user: user(name), communities }
}

#[test]
fn a_user_is_added_once_and_removed_with_everything() {
    let mut desk = Desk::new();
    assert_eq!(desk.admin(add("erin", &["friends", "work"])), Ok(AdminReply::Done));
    assert_eq!(desk.admin(add("erin", &[])), Err(AdminError::Exists));
    assert_eq!(desk.admin(add("relay", &[])), Err(AdminError::Reserved));
    assert!(desk.broker.directory().share_community(&user("erin"), &user("bob")));
    assert_eq!(desk.admin(AdminRequest::RemoveUser(user("erin"))), Ok(AdminReply::Done));
    let again = desk.admin(AdminRequest::RemoveUser(user("erin")));
    assert_eq!(again, Err(AdminError::UnknownUser));
    assert_eq!(desk.broker.directory().standing(&user("erin")), None);
    assert_eq!(desk.kept, *desk.broker.directory());
}

#[test]
fn a_revoked_user_can_be_added_again_and_has_nothing() {
    let mut desk = Desk::new();
    desk.admin(AdminRequest::RevokeUser(user("bob"))).unwrap();
    assert_eq!(desk.broker.directory().standing(&user("bob")), Some(Standing::Revoked));
    desk.admin(add("bob", &[])).unwrap();
    assert_eq!(desk.broker.directory().communities_of(&user("bob")).count(), 0);
}

#[test]
fn what_the_store_does_not_keep_is_not_done() {
    let mut desk = Desk::new();
    desk.store = Store::Fails;
    assert_eq!(desk.admin(add("erin", &["friends"])), Err(AdminError::StorageFailed));
    assert_eq!(desk.broker.directory().standing(&user("erin")), None);
    assert_eq!(desk.broker.stats().persist_failed, 1);
}

#[test]
fn what_is_so_already_needs_no_store() {
    let mut desk = Desk::new();
    desk.store = Store::Fails;
    let community = "friends".parse().unwrap();
    let request = AdminRequest::AddMember { community, user: user("bob") };
    assert_eq!(desk.admin(request), Ok(AdminReply::Done));
}

#[test]
fn lists_show_what_there_is() {
    let mut desk = Desk::new();
    let [alice, bob] = desk.alice_and_bob();
    let (session, _) = desk.session([&alice, &bob], USERSPACE);
    let Ok(AdminReply::Users(users)) = desk.admin(AdminRequest::Users) else { panic!() };
    let online: Vec<_> = users.iter().map(|entry| (entry.user.as_str(), entry.online)).collect();
    assert_eq!(online, [("alice", 1), ("bob", 1), ("carol", 0), ("dave", 0)]);
    let Ok(AdminReply::Peers(peers)) = desk.admin(AdminRequest::Peers) else { panic!() };
    assert_eq!(peers.len(), 2);
    let Ok(AdminReply::Sessions(sessions)) = desk.admin(AdminRequest::Sessions) else { panic!() };
    assert_eq!(sessions.len(), 1);
    assert_eq!((sessions[0].session, &sessions[0].responder), (session, &user("bob")));
    assert_eq!(desk.admin(AdminRequest::Devices(None)), Ok(AdminReply::Devices(Vec::new())));
    assert_eq!(desk.admin(AdminRequest::Teams), Ok(AdminReply::Teams(Vec::new())));
    let Ok(AdminReply::Stats(stats, gauges)) = desk.admin(AdminRequest::Stats) else { panic!() };
    assert_eq!((stats.logins, gauges.peers, gauges.sessions), (2, 2, 1));
}
