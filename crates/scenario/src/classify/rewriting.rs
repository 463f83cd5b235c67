//! What the box changes in segments beside their endpoints.

use simopen_nat::{IsnRewriting, OptionRewriting, SynProxy, TimestampRewriting};
use simopen_packet::{SynOptions, TcpFlags};

use super::axis::Axis;
use super::classification::Classification;
use super::connection::Connection;
use super::probe::{Crossed, Probe, Segment};
use super::reading::Reading;

/// The largest MSS that can be said, so that every clamp is seen.
const LARGEST_MSS: u16 = u16::MAX;
/// The clock of the SYN's timestamp.
const CLOCK: u32 = 0x0102_0304;
/// An option for experiments (RFC 6994).
const EXPERIMENT: u8 = 253;
/// MSS, SACK permitted, timestamps, window scale 7, an experiment, and padding.
const OPTIONS: [u8; 28] = [
    2, 4, 0xff, 0xff, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 3, 3, 7, EXPERIMENT, 4, 0xf9, 0x89, 1,
    1, 1, 1, 1,
];

/// Reads everything that a SYN tells, and what happens to SACK blocks.
pub(super) fn rewriting(probe: &mut Probe<'_>, found: &mut Classification) {
    let Some(opened) = open(probe) else { return };
    let proxy = if opened.is_proxied() { SynProxy::On } else { SynProxy::Off };
    found.is(Axis::SynProxy, proxy);
    if opened.is_proxied() {
        // The SYN that leaves is the box's own.
        for axis in [Axis::Mss, Axis::Options, Axis::Timestamps, Axis::Isn] {
            found.masked(axis, Axis::SynProxy);
        }
        return;
    }
    if let Some(syn) = send_syn(probe) {
        options(&syn, found);
    }
    isn(probe, &opened, found);
}

fn open(probe: &mut Probe<'_>) -> Option<Connection> {
    probe.restart();
    let (inside, remote) = (probe.inside(0, 4000), probe.remote(0, 0)?);
    probe.open(inside, remote)
}

fn send_syn(probe: &mut Probe<'_>) -> Option<Crossed> {
    probe.restart();
    let (inside, remote) = (probe.inside(0, 4000), probe.remote(0, 0)?);
    probe.pass(&Segment::syn(inside, remote, 1).with_options(&OPTIONS))
}

fn options(syn: &Crossed, found: &mut Classification) {
    let Ok(options) = SynOptions::parse(&syn.options) else { return };
    let kept = match (options.has(EXPERIMENT), options.window_scale) {
        (true, _) => OptionRewriting::Kept,
        (false, Some(_)) => OptionRewriting::UnknownStripped,
        (false, None) => OptionRewriting::AllButMssStripped,
    };
    found.is(Axis::Options, kept);
    match options.timestamps {
        Some(timestamps) if timestamps.value == CLOCK => {
            found.is(Axis::Timestamps, TimestampRewriting::Kept);
        }
        Some(_) => found.is(Axis::Timestamps, TimestampRewriting::Rewritten),
        None if kept == OptionRewriting::AllButMssStripped => {
            found.masked(Axis::Timestamps, Axis::Options);
        }
        None => found.is(Axis::Timestamps, TimestampRewriting::Stripped),
    }
    found.is(Axis::Mss, options.mss.filter(|mss| *mss < LARGEST_MSS));
}

fn isn(probe: &mut Probe<'_>, opened: &Connection, found: &mut Classification) {
    if opened.shift_outside() == 0 {
        return found.is(Axis::Isn, IsnRewriting::Kept);
    }
    probe.restart();
    let Some(connection) = probe.establish(opened.inside, opened.remote) else { return };
    // The host has bytes 11 to 20, and 1 to 10 are missing.
    let block = connection.out(TcpFlags::ACK, 1, 11).acknowledgment;
    let options = sack(block, block.wrapping_add(10));
    let acknowledgement = connection.out(TcpFlags::ACK, 1, 1).with_options(&options);
    let Some(crossed) = probe.pass(&acknowledgement) else { return };
    let outside = block.wrapping_sub(connection.shift_inside());
    let repaired = sack(outside, outside.wrapping_add(10));
    let both = [IsnRewriting::ModulatedSackRepaired, IsnRewriting::ModulatedSackBroken];
    let [whole, broken] = both;
    found.note(
        Axis::Isn,
        if crossed.options == repaired {
            Reading::is(whole)
        } else if crossed.options == options {
            Reading::is(broken)
        } else {
            Reading::one_of(both)
        },
    );
}

/// The option with one block (RFC 2018 §3).
fn sack(left: u32, right: u32) -> [u8; 12] {
    let mut option = [1, 1, 5, 10, 0, 0, 0, 0, 0, 0, 0, 0];
    option[4..8].copy_from_slice(&left.to_be_bytes());
    option[8..].copy_from_slice(&right.to_be_bytes());
    option
}
