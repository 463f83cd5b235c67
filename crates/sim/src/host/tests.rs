//! Two hosts back to back.

mod wire;

use simopen_traversal::DialOutcome;

use self::wire::{B, Wire, endpoint};
use super::*;

#[test]
fn a_dial_to_a_listener_carries_bytes_both_ways_and_ends_with_both_closed() {
    for stacks in wire::PAIRS {
        let mut wire = Wire::new(stacks);
        wire.hosts[1].listen(endpoint(B, 2000));
        let dialled = wire.dial(0, 1000, 2000);
        wire.run();

        assert_eq!(wire.established(0), [dialled]);
        let accepted = wire.accepted(1);
        assert_eq!(accepted.len(), 1);

        let sent: Vec<u8> = (0..65_536_u32).map(|byte| byte as u8).collect();
        wire.write(0, dialled, &sent);
        wire.write(1, accepted[0], &sent);
        wire.run();
        assert!(wire.received[&(1, accepted[0])] == sent && wire.received[&(0, dialled)] == sent);

        let now = wire.now;
        wire.hosts[0].close(dialled, now);
        wire.run();
        assert!(wire.events[1].contains(&HostEvent::Closed(accepted[0])));
        wire.hosts[1].close(accepted[0], now);
        wire.run();
        assert!(wire.events[0].contains(&HostEvent::Closed(dialled)));
    }
}

#[test]
fn two_dials_that_cross_become_one_connection() {
    for stacks in wire::PAIRS {
        let mut wire = Wire::new(stacks);
        let a = wire.dial(0, 1000, 2000);
        let b = wire.dial(1, 2000, 1000);
        wire.run();

        assert_eq!((wire.established(0), wire.established(1)), (vec![a], vec![b]), "{stacks:?}");
        let [of_a, of_b] =
            [0, 1].map(|side| wire.hosts[side].sequence_numbers([a, b][side]).unwrap());
        assert_eq!((of_a.own, of_a.peer), (of_b.peer, of_b.own));
        wire.write(0, a, b"from a");
        wire.write(1, b, b"from b");
        wire.run();
        assert_eq!(wire.received[&(0, a)], b"from b");
        assert_eq!(wire.received[&(1, b)], b"from a");
    }
}

#[test]
fn a_dial_to_a_closed_port_is_refused() {
    for stacks in wire::PAIRS {
        let mut wire = Wire::new(stacks);
        let dialled = wire.dial(0, 1000, 2000);
        wire.run();

        assert_eq!(wire.events[0], [HostEvent::Failed(dialled, DialOutcome::Refused)]);
    }
}
