//! Replays the corpora of the fuzz targets `control_stream`, `peer_stream`, `invitation` and
//! `carrier_path`, so that what they once found stays found.

mod exercise;
mod exercise_carrier;
mod exercise_invitation;
mod exercise_peer;

use std::fs;
use std::path::Path;

fn replay(target: &str, exercise: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).expect("the corpus is part of the repository");
    let mut seeds = 0;
    for entry in entries {
        let path = entry.expect("the folder can be read").path();
        exercise(&fs::read(&path).expect("the seed can be read"));
        seeds += 1;
    }
    assert!(seeds >= 8, "only {seeds} seeds");
}

#[test]
fn every_seed_of_the_corpus_is_taken_without_a_panic() {
    replay("control_stream", exercise::exercise);
}

#[test]
fn every_seed_of_a_link_between_peers_is_taken_without_a_panic() {
    replay("peer_stream", exercise_peer::exercise);
}

#[test]
fn every_seed_of_invitations_is_taken_without_a_panic() {
    replay("invitation", exercise_invitation::exercise);
}

#[test]
fn every_seed_of_paths_of_carriers_is_taken_without_a_panic() {
    replay("carrier_path", exercise_carrier::exercise);
}
