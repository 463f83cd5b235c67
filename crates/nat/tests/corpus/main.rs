//! Replays the corpus of the fuzz target `nat_middlebox`, so that what it once found stays found.

mod axes;
mod exercise;

use std::fs;
use std::path::Path;

#[test]
fn every_seed_of_the_corpus_is_taken_without_a_panic() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/nat_middlebox");
    let entries = fs::read_dir(&folder).expect("the corpus is part of the repository");
    let mut seeds = 0;
    for entry in entries {
        let path = entry.expect("the folder can be read").path();
        exercise::exercise(&fs::read(&path).expect("the seed can be read"));
        seeds += 1;
    }
    assert!(seeds > 0, "no seed in {}", folder.display());
}
