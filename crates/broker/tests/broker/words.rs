//! Every word with which a request is refused stands in the table of `docs/protocol.md`.

use std::fs;
use std::path::Path;

#[test]
fn every_word_of_a_refusal_stands_on_the_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("../../docs/protocol.md")).unwrap();
    let mut words = 0;
    for entry in fs::read_dir(root.join("src/broker")).unwrap() {
        let source = fs::read_to_string(entry.unwrap().path()).unwrap();
        for rest in source.split("refusal(\"").skip(1) {
            let word = rest.split('"').next().unwrap();
            assert!(page.contains(&format!("`{word}`")), "{word} is not on the page");
            words += 1;
        }
    }
    assert!(words > 30, "only {words} refusals were found");
}
