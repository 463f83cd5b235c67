//! The simulator's hosts against the kernel of this machine: the same packet script to both, the
//! answers compared.
//!
//! What is compared of each packet: flags, sequence and acknowledgment numbers from the initial
//! ones on, options with MSS, echoed timestamp and blocks, length, and TTL; and what the program
//! knows of its connection. What is not: absolute sequence numbers, own timestamps, windows,
//! shift counts (they follow `tcp_rmem`), IP identification.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod kernel;
mod script;
mod scripts;
mod simulated;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use simopen_device::namespace::Namespace;
use simopen_device::tun::{Tun, TunConfig};
use simopen_netns_tests::requires;

use self::kernel::Kernel;
use self::script::{Place, Played, Step, play};
use self::simulated::Simulated;

/// How far the times of packets may differ that leave by a timer.
const TOLERANCE: Duration = Duration::from_millis(60);
/// Namespaces that scripts are played in at once.
const HOSTS: usize = 8;
/// How often times are measured before they are called different: this machine may be busy.
const TRIES: u16 = 3;

/// Opens the one device of the calling thread's namespace.
fn device() -> Tun {
    let tun = Tun::open(&TunConfig::named("tun0")).unwrap();
    let interface = tun.interface();
    interface.add_address(local(false), 32).unwrap();
    interface.add_address(local(true), 128).unwrap();
    interface.set_up().unwrap();
    interface.add_default_route_v4().unwrap();
    interface.add_default_route_v6().unwrap();
    tun
}

fn local(v6: bool) -> IpAddr {
    if v6 { IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1]) } else { IpAddr::from([10, 0, 0, 1]) }
}

/// Both ends of script number `number`, each number with a remote address of its own: the kernel
/// keeps what it measured of an address.
fn place(number: u16, v6: bool) -> Place {
    let [high, low] = number.to_be_bytes();
    let remote = if v6 {
        IpAddr::from([0xfd01, 0, 0, 0, 0, 0, 0, number])
    } else {
        IpAddr::from([10, 1, high, low])
    };
    Place {
        local: SocketAddr::new(local(v6), 4000 + number),
        remote: SocketAddr::new(remote, 5000),
    }
}

fn play_to_both(tun: &Tun, script: &[Step], place: Place) -> [Played; 2] {
    let by_kernel = play(script, place, &mut Kernel::new(tun, place));
    [by_kernel, play(script, place, &mut Simulated::new(place))]
}

/// Plays every `HOSTS`-th script from `first` on, and says what differs.
fn differences(tun: &Tun, first: usize) -> Vec<String> {
    let scripts = scripts::all().into_iter().enumerate().skip(first).step_by(HOSTS);
    let mut different = Vec::new();
    for (number, (name, script)) in scripts {
        for v6 in [false, true] {
            let [kernel, simulated] = play_to_both(tun, &script, place(number as u16, v6));
            if kernel.lines != simulated.lines {
                let version = if v6 { 6 } else { 4 };
                let both = beside(&kernel.lines, &simulated.lines);
                different.push(format!("{name} (IPv{version}):\n{both}"));
            }
        }
    }
    different
}

#[test]
fn the_simulated_host_answers_each_script_as_the_kernel_does() {
    if !requires() {
        return;
    }
    // Scripts mostly wait, so many wait beside each other.
    let hosts: Vec<_> = (0..HOSTS)
        .map(|first| Namespace::spawn("host", move || differences(&device(), first)).unwrap())
        .collect();
    let different: Vec<String> = hosts.into_iter().flat_map(|host| host.join().unwrap()).collect();
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// Says how the times of what leaves by itself differ, if they do in every try.
fn difference_in_time(tun: &Tun, number: u16, script: &[Step]) -> Option<[Vec<Duration>; 2]> {
    let mut last = None;
    for again in 0..TRIES {
        let [kernel, simulated] = play_to_both(tun, script, place(number + again, false));
        let alike = |(one, other): (&Duration, &Duration)| one.abs_diff(*other) <= TOLERANCE;
        if kernel.lines == simulated.lines && kernel.times.iter().zip(&simulated.times).all(alike) {
            return None;
        }
        last = Some([kernel.times, simulated.times]);
    }
    last
}

#[test]
fn what_is_not_answered_leaves_again_when_the_kernel_sends_it_again() {
    if !requires() {
        return;
    }
    let hosts = scripts::unanswered().map(|(name, script)| {
        let test = move || difference_in_time(&device(), 1000, &script);
        (name, Namespace::spawn("host", test).unwrap())
    });
    for (name, host) in hosts {
        if let Some([kernel, simulated]) = host.join().unwrap() {
            panic!("{name}: the kernel sends at {kernel:?}, the simulator at {simulated:?}");
        }
    }
}

/// Two transcripts as one: what only the kernel said, what only the simulator said.
fn beside(kernel: &[String], simulated: &[String]) -> String {
    let mut lines = Vec::new();
    let (mut at, mut other) = (0, 0);
    while at < kernel.len() || other < simulated.len() {
        match (kernel.get(at), simulated.get(other)) {
            (Some(one), Some(two)) if one == two => {
                lines.push(format!("           {one}"));
                (at, other) = (at + 1, other + 1);
            }
            (Some(one), _) if one.starts_with(' ') || other >= simulated.len() => {
                lines.push(format!("kernel     {one}"));
                at += 1;
            }
            (_, Some(two)) if two.starts_with(' ') || at >= kernel.len() => {
                lines.push(format!("simulator  {two}"));
                other += 1;
            }
            (Some(one), Some(two)) => {
                lines.push(format!("kernel     {one}"));
                lines.push(format!("simulator  {two}"));
                (at, other) = (at + 1, other + 1);
            }
            (Some(_), None) | (None, Some(_)) | (None, None) => break,
        }
    }
    lines.join("\n")
}
