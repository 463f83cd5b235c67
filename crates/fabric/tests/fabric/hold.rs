//! A network that stands still, and what is told the packets that wait in it.

use std::hash::{DefaultHasher, Hash, Hasher};

use simopen_packet::Packet;

use super::*;

/// The open star standing still, with one SYN for `b` after the other before the link to it.
fn standing(sequences: &[u32]) -> (Fabric, [PortId; 3]) {
    let (mut fabric, ports) = open_star(SourceValidation::Off);
    fabric.stand_still();
    for sequence in sequences.iter().copied() {
        send(&mut fabric, ports[0], Segment { sequence, ..Segment::syn(A, B) }, ms(1.0));
    }
    (fabric, ports)
}

fn waiting(fabric: &Fabric) -> Vec<u32> {
    fabric.held().map(|held| held.summary().unwrap().tcp.unwrap().sequence.0).collect()
}

fn arrived(fabric: &mut Fabric) -> Vec<(PortId, u32, Timestamp)> {
    let read = |out: &Delivery| {
        let packet = Packet::parse(out.packet.as_slice()).unwrap();
        (out.port, packet.tcp().unwrap().sequence.0, out.due)
    };
    drain(fabric).iter().map(read).collect()
}

#[test]
fn packets_wait_behind_the_router_and_time_does_not_matter_to_them() {
    let (mut fabric, _) = standing(&[1, 2]);
    assert_eq!(fabric.poll_timeout(), None);
    fabric.handle_timeout(ms(1e6));
    assert_eq!((waiting(&fabric), drain(&mut fabric).len()), (vec![1, 2], 0));
}

#[test]
fn any_packet_may_be_the_next_to_arrive_and_takes_no_time() {
    let (mut fabric, [_, b, _]) = standing(&[1, 2, 3]);
    fabric.deliver_held(1, ms(1.0));
    assert_eq!(arrived(&mut fabric), [(b, 2, ms(1.0))]);
    assert_eq!(waiting(&fabric), [1, 3]);
}

#[test]
fn a_dropped_packet_is_journalled_as_lost_and_a_copied_one_arrives_twice() {
    let (mut fabric, [_, b, _]) = standing(&[1, 2]);
    events(&mut fabric);
    fabric.drop_held(0, ms(1.0));
    assert_eq!(drops(&mut fabric), [DropReason::Lost]);
    fabric.copy_held(0);
    fabric.deliver_held(0, ms(1.0));
    fabric.deliver_held(0, ms(2.0));
    assert_eq!(arrived(&mut fabric), [(b, 2, ms(1.0)), (b, 2, ms(2.0))]);
}

#[test]
fn when_time_goes_on_the_links_take_what_they_took_and_the_waiting_leave() {
    let (mut fabric, [a, b, _]) = standing(&[1]);
    fabric.go_on(ms(50.0));
    send(&mut fabric, a, Segment { sequence: 2, ..Segment::syn(A, B) }, ms(50.0));
    fabric.handle_timeout(ms(100.0));
    assert_eq!(arrived(&mut fabric), [(b, 1, ms(55.0)), (b, 2, ms(60.0))]);
    assert_eq!(fabric.held().len(), 0);
}

#[test]
fn a_place_where_nothing_waits_means_nothing() {
    let (mut fabric, _) = standing(&[1]);
    fabric.deliver_held(1, ms(1.0));
    fabric.drop_held(1, ms(1.0));
    fabric.copy_held(1);
    assert_eq!(waiting(&fabric), [1]);
}

#[test]
fn no_buffer_is_lost_while_packets_wait() {
    let (mut fabric, _) = standing(&[1, 2]);
    fabric.copy_held(0);
    let count = fabric.buffers();
    assert_eq!((count.in_flight, count.made), (3, count.idle + 3));
}

fn hash(fabric: &Fabric) -> u64 {
    let mut hasher = DefaultHasher::new();
    fabric.hash(&mut hasher);
    hasher.finish()
}

#[test]
fn networks_hash_alike_whatever_the_order_in_which_commuting_packets_came() {
    let after = |order: [u32; 2]| {
        let (mut fabric, star) =
            natted_star(SourceValidation::Off, MiddleboxSpec::linux_masquerade_drop_input());
        fabric.stand_still();
        for place in order {
            let (port, syn) = match place {
                0 => (star.ports[0], Segment::syn(A_INSIDE, B)),
                _ => (star.ports[1], Segment::syn(B_INSIDE, A)),
            };
            send(&mut fabric, port, syn, ms(1.0));
        }
        drain(&mut fabric);
        fabric
    };
    let [mut one, mut other] = [after([0, 1]), after([1, 0])];
    assert_eq!(hash(&one), hash(&other));
    one.deliver_held(0, ms(1.0));
    assert_ne!(hash(&one), hash(&other));
    other.deliver_held(1, ms(1.0));
    assert_eq!(hash(&one), hash(&other));
    one.copy_held(0);
    assert_ne!(hash(&one), hash(&other));
}
