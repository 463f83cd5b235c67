//! What a broker survives: each attack with honest traffic beside it, one after another.
//!
//! Without the test harness: attackers are this program in processes of their own, and what uses up
//! descriptors or time must not meet another test that does. An argument picks the tests whose names have it
//! in them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![forbid(unsafe_code)]

#[path = "../forger/asking.rs"]
mod asking;
mod bombs;
mod descriptors;
mod forging;
mod guessing;
mod honest;
mod hostile_peer;
#[path = "../forger/packets.rs"]
mod packets;
#[path = "../forger/place.rs"]
mod place;
mod presence;
#[path = "../forger/proving.rs"]
mod proving;
mod revocation;
mod slow;
#[path = "../forger/totals.rs"]
mod totals;

use std::panic::catch_unwind;
use std::process::ExitCode;
use std::time::Instant;

use simopen_benches::attack::{be_attacker, take_all_descriptors};

/// A test and its name.
type Test = (&'static str, fn());

const TESTS: &[Test] = &[
    ("slow_connections_by_the_thousands_leave_room_for_honest_ones", slow::by_the_thousands),
    ("announced_lengths_cost_nothing_and_end_the_link", bombs::lengths),
    ("documents_that_would_grow_are_refused_before_they_do", bombs::documents),
    ("who_guesses_waits_and_nobody_else_does", guessing::from_one_source),
    ("descriptors_that_are_used_up_come_back", descriptors::used_up),
    ("a_revoked_user_loses_links_pairs_and_offers_at_once", revocation::of_a_user),
    ("a_forger_refuses_its_broker_by_reason_and_nobody_notices", forging::of_a_hostile_broker),
    ("a_broker_refuses_hostile_peers_by_rule_and_nobody_notices", forging::of_hostile_peers),
    ("a_peer_that_is_gone_is_asked_before_it_is_announced", presence::of_a_silent_peer),
    ("a_peer_that_was_killed_is_announced_at_once", presence::of_a_killed_peer),
];

fn main() -> ExitCode {
    let arguments = || std::env::args_os().skip(1);
    if let Some(code) = be_attacker(arguments()).or_else(|| descriptors::be_a_broker(arguments())) {
        return code;
    }
    take_all_descriptors();
    let wanted: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    let (mut passed, mut failed) = (0, Vec::new());
    for (name, test) in TESTS {
        if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part.as_str())) {
            continue;
        }
        let begun = Instant::now();
        let outcome = catch_unwind(test);
        let took = begun.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => {
                passed += 1;
                println!("test {name} ... ok <{took:.1} s>");
            }
            Err(_) => {
                println!("test {name} ... FAILED <{took:.1} s>");
                failed.push(*name);
            }
        }
    }
    let word = if failed.is_empty() { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {passed} passed; {} failed; 0 ignored; 0 measured; {} filtered out",
        failed.len(),
        TESTS.len() - passed - failed.len()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(101) }
}
