//! Holds `docs/protocol.md` against the code: its examples are documents that are written as they
//! stand there, and every word that is said on a control link has its place on the page.

use std::fs;
use std::path::Path;

use simopen_protocol::cause::Cause;
use simopen_protocol::control::Message;
use simopen_protocol::technique::Technique;

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol.md");
    fs::read_to_string(path).expect("the page is part of the repository")
}

/// The lines of all blocks of XML.
fn examples(page: &str) -> Vec<&str> {
    let blocks = page.split("```xml\n").skip(1);
    let lines = blocks.flat_map(|block| block.split("```").next().unwrap_or_default().lines());
    lines.filter(|line| line.starts_with("<PB") && !line.starts_with("<PBPeer")).collect()
}

#[test]
fn every_example_is_a_document_that_is_written_as_it_stands() {
    let page = page();
    let (mut whole, mut cut) = (0, 0);
    for example in examples(&page) {
        if example.contains('…') {
            cut += 1;
            continue;
        }
        whole += 1;
        let message = Message::parse(example.as_bytes());
        let message = message.unwrap_or_else(|error| panic!("{error}: {example}"));
        let written = String::from_utf8(message.to_bytes()).expect("XML is UTF-8");
        assert_eq!(written, example);
    }
    assert!(whole >= 30 && cut <= 12, "{whole} whole examples and {cut} cut ones");
}

#[test]
fn every_action_notification_cause_and_technique_stands_on_the_page() {
    let page = page();
    let encoder = include_str!("../src/control/encode.rs");
    let actions = include_str!("../src/control.rs");
    let quoted = |text: &'static str, before: &'static str| {
        let rest = text.split(before).skip(1);
        rest.filter_map(|rest| rest.split('"').next()).collect::<Vec<_>>()
    };
    let elements = quoted(encoder, "Element::new(\"");
    let names = quoted(actions, "=> \"");
    assert!(elements.len() > 10 && names.len() > 15, "{elements:?} {names:?}");
    let causes = Cause::ALL.iter().map(|cause| cause.word());
    let techniques = Technique::ALL.iter().chain(&Technique::BY_RELAY).map(|one| one.name());
    // A broker and a relay that run apart talk in a section of their own.
    let words = elements.into_iter().chain(names).chain(causes).chain(techniques);
    for word in words.filter(|word| !word.starts_with("Proxy")) {
        assert!(page.contains(word), "{word} is not on the page");
    }
}
