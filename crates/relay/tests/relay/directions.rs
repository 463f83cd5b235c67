//! Values that come as the digests of two directions.

use simopen_protocol::carrier::Direction;
use simopen_relay::{Presented, Refusal};

use crate::bench::{Bench, joined, refused, token, value};

fn digest(session: u64, side: u8, direction: Direction) -> Presented {
    Presented::Digest(direction, direction.digest(&token(session, side)))
}

#[test]
fn a_side_is_there_when_both_directions_have_come() {
    let mut bench = Bench::new();
    bench.open(7);
    bench.present(1, value(7, 0));
    bench.present(2, digest(7, 1, Direction::Down));
    assert_eq!(bench.came(), []);
    bench.present_on(2, digest(7, 1, Direction::Up));
    assert_eq!(bench.came(), [joined(7, 1, 2)]);
}

#[test]
fn each_direction_is_good_once_and_a_value_is_not_good_beside_its_digests() {
    let mut bench = Bench::new();
    bench.open(7);
    bench.present(1, digest(7, 0, Direction::Up));
    bench.present(2, digest(7, 0, Direction::Up));
    bench.present(3, value(7, 0));
    assert_eq!(bench.came(), [refused(2), refused(3)]);
    assert_eq!(bench.relay.stats().refused(Refusal::Used), 1);
    assert_eq!(bench.relay.stats().refused(Refusal::Mixed), 1);
}

#[test]
fn directions_of_two_carriers_do_not_make_a_side() {
    let mut bench = Bench::new();
    bench.open(7);
    bench.present(1, digest(7, 0, Direction::Up));
    bench.present(2, digest(7, 0, Direction::Down));
    bench.present(3, value(7, 1));
    assert_eq!(bench.came(), [refused(2)]);
}

#[test]
fn a_digest_is_good_in_its_own_direction_only() {
    let mut bench = Bench::new();
    bench.open(7);
    let up = Direction::Up.digest(&token(7, 0));
    bench.present(1, Presented::Digest(Direction::Down, up));
    bench.present(2, Presented::Value(up));
    assert_eq!(bench.came(), [refused(1), refused(2)]);
}
