//! A client in another language, written from docs/protocol.md alone: a test of that page.

use std::process::Command;

use crate::broker::Broker;
use crate::program::{Device, Ran, Running, requires};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples/client.py");

fn client(invitation: &str, peer: &str, text: &str) -> Ran {
    let mut command = Command::new("python3");
    command.args([SCRIPT, invitation, peer, text]);
    Running::spawn(command).end()
}

#[test]
fn a_script_of_the_standard_library_joins_leaves_a_note_and_talks_through_the_relay() {
    if !requires(&["python3"]) {
        return;
    }
    let broker = Broker::start("home");
    broker.add("bob", &["club"]);
    broker.add("snake", &["club"]);
    broker.add("eve", &["elsewhere"]);
    let bob = Device::of(&broker, "bob", "desk");
    let mut listener = bob.start(&["listen"]);
    listener.wait_for_line("leads to");
    listener.say(b"hello, script");

    // What it is told at its login holds a note with every letter that a document can hold.
    bob.run(&["note", "send", "snake", "\t<tabs> & \"lines\"\r\n\u{9f}\u{fffd}"]).worked();
    let invitation = broker.invite("snake").reveal();
    let ran = client(&invitation, "bob", "hello from a script").worked();
    assert_eq!(ran.text(), "hello, script");
    let heard = listener.end().worked();
    assert_eq!(heard.text(), "hello from a script");
    let notes = bob.run(&["note", "list", "--json"]).worked();
    assert!(notes.text().contains("hello from a script"), "{}", notes.text());

    // The controls: an invitation is good once, and a stranger reaches nobody.
    let again = client(&invitation, "bob", "again");
    assert_eq!((again.code, again.err.trim()), (1, "Join: not-invited"));
    let stranger = client(&broker.invite("eve").reveal(), "bob", "from outside");
    assert_eq!((stranger.code, stranger.err.trim()), (1, "NoteSend: unknown-user"));
}
