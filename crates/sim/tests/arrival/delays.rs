//! Distances of every kind: the order of arrival holds by itself or by the broker's holding back.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use simopen_broker::arrival::ArrivalConfig;

use crate::experiment::{Experiment, Report};
use crate::network::{Distances, Nat};
use crate::opening::{KERNEL, USERSPACE, experiment, ms};

const ARRIVAL: ArrivalConfig = ArrivalConfig::USUAL;

/// The first bytes came over without a retransmission.
#[track_caller]
fn assert_in_time(report: &Report, distances: Distances) {
    report.assert_connected();
    let [a, b] = report.established.map(Option::unwrap);
    let first_byte = report.first_byte[1].unwrap();
    assert_eq!(first_byte, a + distances.between_hosts(), "{distances:?}");
    assert!(b + ARRIVAL.jitter <= first_byte, "the responder stands before it is spoken to");
    assert_eq!((report.syns, report.forged), ([1, 1], 2), "{distances:?}");
}

#[test]
fn ten_times_the_distance_on_either_side_changes_nothing_but_the_time() {
    for half_legs in [[5, 50, 5], [50, 5, 5], [5, 5, 50], [50, 50, 5], [5, 50, 50], [50, 5, 50]] {
        let distances = Distances::Star(half_legs.map(ms));
        for boxes in [[Nat::Silent; 2], [Nat::Resetting; 2]] {
            let report = Experiment { distances, ..experiment(USERSPACE, boxes) }.run();
            assert_in_time(&report, distances);
            let [to_a, to_b] = [0, 1].map(|host| distances.to_broker(host));
            let known = to_a + 2 * to_b + ARRIVAL.turn_round;
            let hold = (to_b + ARRIVAL.jitter).saturating_sub(to_a);
            assert_eq!(report.established, [Some(known + hold + to_a), Some(known + to_b)]);
        }
        let report = Experiment { distances, ..experiment(KERNEL, [Nat::Silent; 2]) }.run();
        report.assert_connected();
    }
}

#[test]
fn a_broker_near_one_side_and_far_from_the_other_holds_the_near_sides_packet_back() {
    let far = Distances::Triangle { a_b: ms(20), a_c: ms(5), b_c: ms(60) };
    for boxes in [[Nat::Silent; 2], [Nat::Resetting; 2]] {
        let report = Experiment { distances: far, ..experiment(USERSPACE, boxes) }.run();
        assert_in_time(&report, far);
    }
}

#[test]
fn without_the_hold_the_first_bytes_come_a_retransmission_late() {
    let distances = Distances::Triangle { a_b: ms(20), a_c: ms(5), b_c: ms(60) };
    for boxes in [[Nat::Silent; 2], [Nat::Resetting; 2]] {
        let blind = Experiment { measures_paths: false, distances, ..experiment(USERSPACE, boxes) };
        let report = blind.run();
        report.assert_connected();
        let [a, b] = report.established.map(Option::unwrap);
        assert!(a + distances.between_hosts() < b, "spoken to before it stands");
        // The swallowed bytes again after the initial timeout (K17, K22).
        assert_eq!(report.first_byte[1], Some(a + ms(1000) + distances.between_hosts()));
    }
}

/// Three distances between 1 and 300 ms, and whether each box answers RST.
fn patterns() -> impl Strategy<Value = ([u64; 3], [bool; 2])> {
    (prop::array::uniform3(1..300_u64), prop::array::uniform2(any::<bool>()))
}

#[test]
fn two_hundred_random_delay_patterns_all_connect_in_time() {
    let config = Config { cases: 200, failure_persistence: None, ..Config::default() };
    let generator = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let outcome =
        TestRunner::new_with_rng(config, generator).run(&patterns(), |(delays, reset)| {
            let [a_b, a_c, b_c] = delays.map(ms);
            let distances = Distances::Triangle { a_b, a_c, b_c };
            let boxes = reset.map(|reset| if reset { Nat::Resetting } else { Nat::Silent });
            let report = Experiment { distances, ..experiment(USERSPACE, boxes) }.run();
            assert_in_time(&report, distances);
            Ok(())
        });
    outcome.unwrap();
}
