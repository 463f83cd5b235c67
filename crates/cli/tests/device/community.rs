//! Who sees whom, teams, shares.

use simopen_broker::AdminRequest;

use crate::broker::Broker;
use crate::program::Device;

#[test]
fn members_and_their_devices_are_told_and_only_those_of_common_communities() {
    let broker = Broker::start("home");
    broker.add("alice", &["club", "firm"]);
    broker.add("bob", &["club"]);
    broker.add("carol", &["firm"]);
    broker.add("eve", &["elsewhere"]);
    let alice = Device::of(&broker, "alice", "laptop");
    let bob = Device::of(&broker, "bob", "desk");
    let eve = Device::of(&broker, "eve", "desk");
    let managers = [&bob, &eve].map(|device| device.manage(1));
    let shown = alice.run(&["status"]).worked();
    assert!(shown.text().contains("* bob                       desk"), "{}", shown.text());
    let own = "* alice                     laptop (this device)";
    assert!(shown.text().contains(own), "{}", shown.text());
    assert!(shown.text().contains("  carol                     -"), "{}", shown.text());
    let status = alice.run(&["status", "--json"]).worked().json();
    let communities = status["brokers"][0]["communities"].as_array().unwrap();
    assert_eq!(communities.len(), 2);
    assert_eq!(communities[0]["community"], "club");
    for (device, others) in [(&alice, &["eve"][..]), (&bob, &["carol", "eve"]), (&eve, &["bob"])] {
        let known = device.run(&["status", "--json"]).worked();
        for other in others {
            assert!(!known.text().contains(other), "{other} in {}", known.text());
        }
    }
    for manager in managers {
        manager.terminate().worked();
    }
}

#[test]
fn somebody_of_another_community_is_answered_for_like_somebody_who_does_not_exist() {
    let broker = Broker::start("home");
    broker.add("alice", &["club"]);
    broker.add("eve", &["elsewhere"]);
    let alice = Device::of(&broker, "alice", "laptop");
    let eve = Device::of(&broker, "eve", "desk");
    let manager = eve.manage(1);
    for command in [&["connect", "NAME"][..], &["note", "send", "NAME", "hello"]] {
        let said = |name: &str| {
            let arguments: Vec<&str> =
                command.iter().map(|word| if *word == "NAME" { name } else { word }).collect();
            let ran = alice.run(&arguments);
            assert_eq!(ran.code, 1, "{arguments:?}: {}", ran.err);
            // How long something took is no answer.
            ran.err.replace(name, "NAME")
        };
        assert_eq!(said("eve"), said("nobody"));
    }
    manager.terminate().worked();
}

#[test]
fn teams_are_made_changed_and_deleted_by_their_owner_alone() {
    let broker = Broker::start("home");
    for name in ["alice", "bob", "carol"] {
        broker.add(name, &["club"]);
    }
    broker.add("eve", &["elsewhere"]);
    let alice = Device::of(&broker, "alice", "laptop");
    let bob = Device::of(&broker, "bob", "laptop");
    alice.run(&["team", "create", "crew"]).worked();
    alice.run(&["team", "add", "crew", "bob"]).worked();
    assert_eq!(alice.run(&["team", "create", "crew"]).code, 1, "the name is taken");
    assert_eq!(alice.run(&["team", "add", "crew", "eve"]).code, 1, "no team crosses communities");
    assert_eq!(bob.run(&["team", "add", "crew", "carol"]).code, 1, "bob does not own it");
    assert_eq!(bob.run(&["team", "delete", "crew"]).code, 1, "bob does not own it");
    let teams = bob.run(&["team", "list"]).worked();
    assert!(teams.text().contains("club/crew@home"), "{}", teams.text());
    assert!(teams.text().contains("alice, bob  (owner alice)"), "{}", teams.text());
    bob.run(&["team", "remove", "crew", "bob"]).worked();
    assert!(bob.run(&["team", "list"]).worked().text().starts_with("you are in no team"));
    alice.run(&["team", "delete", "crew"]).worked();
    assert!(alice.run(&["team", "list"]).worked().text().starts_with("you are in no team"));
}

#[test]
fn a_team_is_named_with_its_community_where_there_are_two() {
    let broker = Broker::start("home");
    broker.add("alice", &["club", "firm"]);
    let alice = Device::of(&broker, "alice", "laptop");
    let unclear = alice.run(&["team", "create", "crew"]);
    assert_eq!(unclear.code, 2, "{}", unclear.err);
    assert!(unclear.err.contains("club/crew"), "{}", unclear.err);
    alice.run(&["team", "create", "club/crew"]).worked();
    alice.run(&["team", "create", "firm/crew@home"]).worked();
    assert_eq!(alice.run(&["team", "delete", "crew"]).code, 2, "which of the two?");
    alice.run(&["team", "delete", "firm/crew"]).worked();
    alice.run(&["team", "delete", "crew"]).worked();
}

#[test]
fn a_share_lasts_as_long_as_its_device_is_logged_in_and_comes_back_with_it() {
    let broker = Broker::start("home");
    broker.add("alice", &["club"]);
    broker.add("bob", &["club"]);
    let alice = Device::of(&broker, "alice", "laptop");
    let bob = Device::of(&broker, "bob", "desk");
    alice.run(&["team", "create", "crew"]).worked();
    alice.run(&["team", "add", "crew", "bob"]).worked();
    let alone = bob.run(&["share", "add", "photos", "crew"]);
    assert_eq!(alone.code, 2, "{}", alone.err);
    assert!(alone.err.contains("simopen peer"), "{}", alone.err);
    let nothing = "nothing is shared with you now\n";
    for _ in 0..2 {
        let manager = bob.manage(1);
        if alice.run(&["share", "list"]).worked().text() == nothing {
            bob.run(&["share", "add", "photos", "crew"]).worked();
        }
        let shares = alice.run(&["share", "list"]).worked();
        assert!(shares.text().contains("photos"), "{}", shares.text());
        assert!(shares.text().contains("on bob/desk"), "{}", shares.text());
        assert_eq!(bob.run(&["share", "list"]).worked().text(), shares.text());
        manager.terminate().worked();
        assert_eq!(alice.run(&["share", "list"]).worked().text(), nothing);
    }
    let manager = bob.manage(1);
    bob.run(&["share", "drop", "photos", "crew"]).worked();
    assert_eq!(alice.run(&["share", "list"]).worked().text(), nothing);
    manager.terminate().worked();
}

#[test]
fn a_revoked_user_is_logged_out_and_not_let_in_again() {
    let broker = Broker::start("home");
    broker.add("alice", &["club"]);
    broker.add("bob", &["club"]);
    let alice = Device::of(&broker, "alice", "laptop");
    let bob = Device::of(&broker, "bob", "desk");
    let mut manager = bob.manage(1);
    bob.run(&["status"]).worked();
    broker.admin(AdminRequest::RevokeUser("bob".parse().unwrap()));
    manager.wait_for_output("not logged in");
    let status = bob.run(&["status"]);
    assert_eq!(status.code, 1, "{}", status.text());
    manager.terminate();
    let alone = bob.run(&["note", "send", "alice", "hello"]);
    assert_eq!(alone.code, 1, "{}", alone.err);
    let seen = alice.run(&["status"]).worked();
    assert!(!seen.text().contains("* bob"), "{}", seen.text());
    let refused = alice.run(&["connect", "bob"]);
    assert!(refused.err.contains("no such peer"), "{}", refused.err);
}

#[test]
fn the_log_of_others_tells_which_device_was_revoked() {
    let broker = Broker::start("home");
    broker.add("alice", &["club"]);
    broker.add("bob", &["club"]);
    let alice = Device::of(&broker, "alice", "laptop");
    let bob = Device::of(&broker, "bob", "desk");
    let mut manager = alice.manage(1);
    let (user, device) = ("bob".parse().unwrap(), "desk".parse().unwrap());
    broker.admin(AdminRequest::RevokeDevice { user, device });
    manager.wait_for_output("bob/desk was revoked");
    assert_eq!(bob.run(&["status"]).code, 1);
    manager.terminate().worked();
}

/// A device that has joined at two brokers, which both know a bob, and one a carol.
fn joined_twice() -> ([Broker; 2], Device) {
    let [home, work] = ["home", "work"].map(Broker::start);
    for broker in [&home, &work] {
        broker.add("alice", &["club"]);
        broker.add("bob", &["club"]);
    }
    home.add("carol", &["club"]);
    let alice = Device::of(&home, "alice", "laptop");
    alice.join(&work, "alice", "laptop");
    ([home, work], alice)
}

#[test]
fn a_name_is_looked_for_at_all_brokers_that_were_joined() {
    let (_brokers, alice) = joined_twice();
    let unclear = alice.run(&["note", "send", "bob", "hello"]);
    assert_eq!(unclear.code, 2, "{}", unclear.err);
    assert!(unclear.err.contains("bob@home or bob@work"), "{}", unclear.err);
    alice.run(&["note", "send", "bob@work", "hello"]).worked();
    alice.run(&["note", "send", "carol", "hello"]).worked();
    let nobody = alice.run(&["note", "send", "eve", "hello"]);
    assert_eq!(nobody.code, 1, "{}", nobody.err);
    let elsewhere = alice.run(&["note", "send", "bob@shop", "hello"]);
    assert_eq!(elsewhere.code, 2, "{}", elsewhere.err);
    assert!(elsewhere.err.contains("joined are: home, work"), "{}", elsewhere.err);
}

#[test]
fn a_name_is_at_no_broker_on_the_quiet_while_another_that_may_know_it_is_down() {
    let ([_home, work], alice) = joined_twice();
    let manager = alice.manage(2);
    alice.run(&["status"]).worked();
    drop(work);
    // The manager has heard from the other one before: carol is not there, bob is.
    alice.run(&["note", "send", "carol", "hello"]).worked();
    let unclear = alice.run(&["note", "send", "bob", "hello"]);
    assert_eq!(unclear.code, 2, "{}", unclear.err);
    manager.terminate().worked();
    // A command by itself has heard nothing.
    for command in [&["note", "send", "bob", "hello"][..], &["connect", "bob"]] {
        let unclear = alice.run(command);
        assert_eq!(unclear.code, 2, "{}", unclear.err);
        assert!(unclear.err.contains("work cannot be asked"), "{}", unclear.err);
        assert!(unclear.err.contains("write bob@home"), "{}", unclear.err);
    }
    alice.run(&["note", "send", "bob@home", "hello"]).worked();
    let mut listener = alice.start(&["listen"]);
    listener.wait_for_line("not logged in at work");
    listener.wait_for_line("leads to");
}

#[test]
fn nobody_is_shown_online_by_a_broker_that_is_down() {
    let broker = Broker::start("home");
    broker.add("alice", &["club"]);
    broker.add("bob", &["club"]);
    let alice = Device::of(&broker, "alice", "laptop");
    let bob = Device::of(&broker, "bob", "desk");
    let managers = [alice.manage(1), bob.manage(1)];
    let seen = alice.run(&["status"]).worked();
    assert!(seen.text().contains("* bob"), "{}", seen.text());
    drop(broker);
    let lost = alice.run(&["status"]);
    assert_eq!(lost.code, 1, "{}", lost.err);
    assert!(lost.text().contains("  bob ") && !lost.text().contains('*'), "{}", lost.text());
    for manager in managers {
        manager.terminate().worked();
    }
}

#[test]
fn a_broker_that_was_joined_while_the_manager_runs_is_used_at_once() {
    let [home, work] = ["home", "work"].map(Broker::start);
    for broker in [&home, &work] {
        broker.add("alice", &["club"]);
    }
    work.add("bob", &["club"]);
    let alice = Device::of(&home, "alice", "laptop");
    let manager = alice.manage(1);
    let line = work.invite("alice").reveal();
    let joined = alice.run(&["join", &line, "--device", "laptop"]).worked();
    assert!(joined.text().contains("runs already"), "{}", joined.text());
    let status = alice.run(&["status", "--broker", "work", "--json"]).worked().json();
    assert_eq!(status["brokers"][0]["link"]["state"], "up");
    alice.run(&["note", "send", "bob", "hello"]).worked();
    alice.run(&["note", "send", "bob@work", "hello"]).worked();
    manager.terminate().worked();
}
