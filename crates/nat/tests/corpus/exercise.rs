//! What the fuzz target `nat_middlebox` does with its bytes.
//!
//! The first byte chooses a preset, the next ones turn its axes. Then come packets, each after four
//! bytes: in the first, the side in the lowest bit, and whether the box starts anew before in the
//! next; a wait in seconds in the second, the length in the other two.

use std::time::Duration;

use simopen_nat::{MAX_ANSWER_LEN, Middlebox, PRESETS, Side, Verdict};
use simopen_packet::{Entropy, Packet, Timestamp};

use crate::axes::{AXES, turned};

/// Sends what the bytes say through a box and checks what holds for every box.
pub(crate) fn exercise(bytes: &[u8]) {
    let Some((choice, mut rest)) = bytes.split_first() else { return };
    let Some((axes, tail)) = rest.split_first_chunk::<AXES>() else { return };
    rest = tail;
    let spec = turned(PRESETS[usize::from(*choice) % PRESETS.len()].spec, *axes);
    let external = [203, 0, 113, 1].into();
    let mut now = Timestamp::ZERO;
    let mut middlebox = Middlebox::new(spec, external, Entropy::new([1; 32]), now);
    while let Some((&[side, wait, high, low], tail)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([high, low])).min(tail.len());
        let (packet, tail) = tail.split_at(length);
        rest = tail;
        now += Duration::from_secs(wait.into());
        if side & 2 != 0 {
            middlebox.reboot(now);
        }
        let side = if side & 1 == 0 { Side::Inside } else { Side::Outside };
        pass(&mut middlebox, side, packet, now);
        drain(&mut middlebox, now);
    }
    let end = now + Duration::from_secs(1_000_000);
    middlebox.handle_timeout(end);
    drain(&mut middlebox, end);
    assert!(middlebox.is_idle(), "state is left after all timers ran out");
}

fn pass(middlebox: &mut Middlebox, side: Side, packet: &[u8], now: Timestamp) {
    middlebox.handle_timeout(now);
    let mut rewritten = packet.to_vec();
    let verdict = middlebox.handle_packet(side, &mut rewritten, now);
    if !matches!(verdict, Verdict::Forward | Verdict::Hairpin) {
        assert_eq!(rewritten, packet, "what is not forwarded is not touched");
    } else if Packet::verify_checksums(packet).is_ok() {
        assert_eq!(Packet::verify_checksums(&rewritten), Ok(()));
    }
}

fn drain(middlebox: &mut Middlebox, now: Timestamp) {
    let mut buffer = [0; MAX_ANSWER_LEN];
    while let Some((_, length)) = middlebox.poll_transmit(&mut buffer) {
        assert_eq!(Packet::verify_checksums(&buffer[..length]), Ok(()));
    }
    while let Some(entry) = middlebox.poll_journal() {
        assert!(!entry.to_string().is_empty());
    }
    assert!(middlebox.poll_timeout().is_none_or(|(deadline, _)| deadline > now));
}
