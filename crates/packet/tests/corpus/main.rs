//! Replays the corpus of the fuzz target `packet_parse`, so that what it once found stays found.

mod exercise;

use std::{fs, path::Path};

use simopen_packet::{Packet, Transport};

fn seeds() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/packet_parse");
    let entries = fs::read_dir(&folder).expect("the corpus is part of the repository");
    entries
        .map(|entry| {
            let path = entry.expect("the folder can be read").path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            (name.unwrap_or_default(), fs::read(&path).expect("the seed can be read"))
        })
        .collect()
}

#[test]
fn every_seed_of_the_corpus_is_taken_without_a_panic() {
    let seeds = seeds();
    assert!(seeds.len() >= 10, "only {} seeds", seeds.len());
    for (_, bytes) in seeds {
        exercise::exercise(&bytes);
    }
}

#[test]
fn the_corpus_reaches_every_kind_of_transport_in_both_families() {
    let mut reached = [[false; 4]; 2];
    for (_, bytes) in seeds() {
        let Ok(packet) = Packet::parse(&bytes) else {
            continue;
        };
        let kind = match packet.transport {
            Transport::Tcp(_) => 0,
            Transport::Icmp(_) => 1,
            Transport::Other => 2,
            Transport::Fragment => 3,
        };
        reached[usize::from(packet.ip.source.is_ipv6())][kind] = true;
    }

    assert_eq!(reached, [[true; 4]; 2]);
}
