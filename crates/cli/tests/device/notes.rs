//! Notes: sent to whoever is not there, and there at the next login.

use crate::broker::Broker;
use crate::program::Device;

#[test]
fn a_note_waits_for_a_member_who_is_not_there_and_stays_until_it_is_deleted() {
    let broker = Broker::start("home");
    broker.add("alice", &["club"]);
    broker.add("bob", &["club"]);
    let alice = Device::of(&broker, "alice", "laptop");
    let [desk, phone] = ["desk", "phone"].map(|name| Device::of(&broker, "bob", name));
    let text = "tea at five\nbring cups";
    let sent =
        alice.run_with(&["note", "send", "bob", "--subject", "tea", "--json"], text.as_bytes());
    let number = sent.worked().json()["note"].as_u64().unwrap();
    for device in [&desk, &phone] {
        let notes = device.run(&["note", "list", "--json"]).worked().json();
        let note = &notes["brokers"][0]["notes"][0];
        assert_eq!(note["note"], number);
        assert_eq!((&note["from"], &note["subject"]), (&"alice".into(), &"tea".into()));
        assert_eq!(note["text"], text);
    }
    let shown = desk.run(&["note", "list"]).worked();
    assert!(shown.text().contains("from alice@home"), "{}", shown.text());
    desk.run(&["note", "delete", &number.to_string()]).worked();
    assert_eq!(phone.run(&["note", "list"]).worked().text(), "you have no notes\n");
    let again = desk.run(&["note", "delete", &number.to_string()]);
    assert_eq!(again.code, 1, "{}", again.err);
}

#[test]
fn a_note_arrives_at_a_manager_that_runs() {
    let broker = Broker::start("home");
    broker.add("alice", &["club"]);
    broker.add("bob", &["club"]);
    let alice = Device::of(&broker, "alice", "laptop");
    let bob = Device::of(&broker, "bob", "desk");
    let mut manager = bob.manage(1);
    alice.run(&["note", "send", "bob", "hello", "-s", "greeting"]).worked();
    let shown = manager.wait_for_output("greeting");
    assert!(shown.contains("from alice"), "{shown}");
    let notes = bob.run(&["note", "list", "--json"]).worked().json();
    let number = notes["brokers"][0]["notes"][0]["note"].as_u64().unwrap();
    bob.run(&["note", "delete", &number.to_string()]).worked();
    assert_eq!(bob.run(&["note", "list"]).worked().text(), "you have no notes\n");
    manager.terminate().worked();
    // The log has it once, also after another login.
    let manager = bob.manage(1);
    let log = bob.run(&["log"]).worked();
    assert_eq!(log.text().matches("from alice").count(), 1, "{}", log.text());
    manager.terminate().worked();
}

#[test]
fn a_note_to_a_team_goes_to_all_members_but_the_sender() {
    let broker = Broker::start("home");
    let people = ["alice", "bob", "carol", "dave"].map(|name| {
        broker.add(name, &["club"]);
        Device::of(&broker, name, "laptop")
    });
    let [alice, bob, carol, dave] = &people;
    alice.run(&["team", "create", "crew"]).worked();
    alice.run(&["team", "add", "crew", "bob", "carol"]).worked();
    bob.run(&["note", "send", "team:crew", "hello all"]).worked();
    for (device, count) in [(alice, 1), (bob, 0), (carol, 1), (dave, 0)] {
        let notes = device.run(&["note", "list", "--json"]).worked().json();
        let notes = notes["brokers"][0]["notes"].as_array().unwrap();
        assert_eq!(notes.len(), count, "{notes:?}");
        assert!(notes.iter().all(|note| note["team"] == "club/crew"), "{notes:?}");
    }
    let refused = dave.run(&["note", "send", "team:crew", "let me in"]);
    assert_eq!(refused.code, 1, "{}", refused.err);
}

#[test]
fn a_note_with_control_characters_is_not_sent_and_one_with_tabs_and_lines_arrives_as_it_is() {
    let broker = Broker::start("home");
    broker.add("alice", &["club"]);
    broker.add("bob", &["club"]);
    let alice = Device::of(&broker, "alice", "laptop");
    let bob = Device::of(&broker, "bob", "desk");
    let refused = alice.run_with(&["note", "send", "bob"], b"a\0b\x1b[31m");
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert!(refused.err.contains("U+0000"), "{}", refused.err);
    let refused = alice.run(&["note", "send", "bob", "hello", "-s", "\u{1b}[31mred"]);
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert!(refused.err.contains("the subject holds") && refused.err.contains("U+001B"));

    let text = "\tone\r\n\ttwo \"three\"";
    alice.run_with(&["note", "send", "bob", "-s", "\ta\tb"], text.as_bytes()).worked();
    let notes = bob.run(&["note", "list", "--json"]).worked().json();
    let notes = notes["brokers"][0]["notes"].as_array().unwrap();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert_eq!((&notes[0]["text"], &notes[0]["subject"]), (&text.into(), &"\ta\tb".into()));
}

#[test]
fn a_note_that_is_too_long_is_not_sent() {
    let broker = Broker::start("home");
    broker.add("alice", &["club"]);
    broker.add("bob", &["club"]);
    let alice = Device::of(&broker, "alice", "laptop");
    let longest = vec![b'x'; 16 * 1024];
    alice.run_with(&["note", "send", "bob"], &longest).worked();
    let longer = vec![b'x'; 16 * 1024 + 1];
    let refused = alice.run_with(&["note", "send", "bob"], &longer);
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert!(refused.err.contains("16384"), "{}", refused.err);
    // The limit splits a letter.
    let letters = "ü".repeat(8200);
    let refused = alice.run_with(&["note", "send", "bob"], letters.as_bytes());
    assert!(refused.err.contains("16384"), "{}", refused.err);
    let none = alice.run_with(&["note", "send", "bob"], b"\xff");
    assert!(none.err.contains("UTF-8"), "{}", none.err);
}

#[test]
fn what_a_broker_refuses_is_said_in_words_with_the_name_that_is_meant() {
    let broker = Broker::start("home");
    broker.add("alice", &["club"]);
    let alice = Device::of(&broker, "alice", "laptop");
    alice.run(&["team", "create", "crew"]).worked();
    for (arguments, words) in [
        (&["team", "add", "crew", "ghost"][..], "ghost: the broker refuses: no such user"),
        (
            &["team", "create", "crew"],
            "the team crew: the broker refuses: the community has a team",
        ),
        (&["team", "remove", "crew", "alice"], "simopen team delete"),
        (&["note", "send", "ghost", "x"], "ghost: the broker refuses: no such user"),
    ] {
        let refused = alice.run(arguments);
        assert_eq!(refused.code, 1, "{}", refused.err);
        assert!(refused.err.contains(words), "{}", refused.err);
    }
    let second = Device::new();
    let line = broker.invite("alice").reveal();
    let taken = second.run(&["join", &line, "--device", "laptop"]);
    assert!(taken.err.contains("another name by --device"), "{}", taken.err);
    second.run(&["join", &line, "--device", "phone"]).worked();
    alice.run(&["note", "send", "alice", "one\ttwo"]).worked();
    let shown = second.run(&["note", "list"]).worked();
    assert!(shown.text().contains("one\ttwo"), "{}", shown.text());
}
