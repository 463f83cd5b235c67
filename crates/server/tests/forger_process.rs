//! What a confined forger can still do, and that it ends with its broker: each by processes, which
//! this program becomes when it is started with an argument.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use simopen_device::capability::{Capabilities, Capability};
use simopen_device::raw::RawSender;
use simopen_device::rights::MessageSocket;
use simopen_device::socket::cookie;
use simopen_server::forger::{Spawn, confinement};
use socket2::{Domain, Socket, Type};

/// SIGSYS of Linux on the architectures that the filter knows.
const BAD_SYSTEM_CALL: i32 = 31;

/// What a forger that somebody has taken over would like to do.
const FORBIDDEN: [&str; 8] =
    ["open", "connect", "listen", "execute", "write", "thread", "another-sender", "read-option"];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["attempt", what, confined] => attempt(what, *confined == "confined"),
        ["broker"] => be_a_broker(),
        // The harness' own arguments, as a filter, mean nothing here.
        _ => test(),
    }
    ExitCode::SUCCESS
}

fn test() {
    if !requires() {
        return;
    }
    for what in FORBIDDEN {
        let free = become_one_that(what, "free");
        assert!(free.success(), "{what}: a process that is not confined can do it: {free}");
        let confined = become_one_that(what, "confined");
        assert_eq!(confined.signal(), Some(BAD_SYSTEM_CALL), "{what}: {confined}");
        println!("test a_confined_forger_dies_of_{what} ... ok");
    }
    let control = become_one_that("its-work", "confined");
    assert!(control.success(), "its own work is left to it: {control}");
    println!("test a_confined_forger_can_do_its_work ... ok");
    a_forger_ends_with_its_broker();
    println!("test a_forger_ends_with_its_broker_whatever_ends_that ... ok");
}

fn become_one_that(attempts: &str, how: &str) -> ExitStatus {
    Command::new("/proc/self/exe")
        .args(["attempt", attempts, how])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap()
}

fn attempt(what: &str, confined: bool) {
    let (channel, other) = MessageSocket::pair().unwrap();
    let (own, another) = (RawSender::new_v4().unwrap(), RawSender::new_v4().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let reachable = listener.local_addr().unwrap();
    other.send(b"asked", &[]).unwrap();
    if confined {
        confinement::confine(&channel, &[&own]).unwrap();
    }
    match what {
        "open" => {
            drop(File::open("/etc/hostname").or_else(|_| File::open("/proc/version")).unwrap());
        }
        "connect" => socket.connect(&reachable.into()).unwrap(),
        "listen" => drop(UdpSocket::bind("127.0.0.1:0").unwrap()),
        "execute" => drop(Command::new("true").status().unwrap()),
        "write" => {
            std::io::stdout().write_all(b"x").and_then(|()| std::io::stdout().flush()).unwrap();
        }
        "thread" => std::thread::spawn(|| ()).join().unwrap(),
        // Refused as no packet where it is not confined, which is no death.
        "another-sender" => drop(another.send(&packet())),
        "read-option" => drop(socket.recv_buffer_size().unwrap()),
        "its-work" => {
            assert_eq!(channel.receive(&mut [0; 16]).unwrap().unwrap().length, 5);
            channel.send(b"answered", &[]).unwrap();
            cookie(&socket).unwrap();
            let _ = own.send(&packet());
        }
        unknown => panic!("{unknown}"),
    }
}

/// A packet from and to loopback, which nobody waits for.
fn packet() -> Vec<u8> {
    use simopen_packet::{SeqNumber, SynAck, SynOptions, Ttl};
    let answer = SynAck {
        source: "127.0.0.1:9".parse().unwrap(),
        destination: "127.0.0.1:9".parse().unwrap(),
        sequence: SeqNumber(1),
        acknowledgment: SeqNumber(2),
        window: 0,
        ttl: Ttl::DEFAULT,
        ece: false,
        options: SynOptions::default(),
    };
    let mut buffer = [0; 128];
    let length = answer.emit(&mut buffer).unwrap();
    buffer[..length].to_vec()
}

/// Starts a forger, says which process it is, and waits for its own end.
fn be_a_broker() {
    let forger = Spawn::program(env!("CARGO_BIN_EXE_simopen-forger")).start().unwrap();
    println!("{}", forger.process_id());
    loop {
        std::thread::park();
    }
}

fn a_forger_ends_with_its_broker() {
    let mut broker = Command::new("/proc/self/exe")
        .arg("broker")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(broker.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let forger: u32 = line.trim().parse().unwrap();
    assert!(runs(forger), "it is there while its broker is");
    // SIGKILL: the broker can do nothing any more.
    broker.kill().unwrap();
    broker.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while runs(forger) {
        assert!(Instant::now() < deadline, "it outlived its broker");
        std::thread::yield_now();
    }
}

/// Whether a process runs. One that has ended stays until somebody waits for it, which is init's.
fn runs(process: u32) -> bool {
    fs::read_to_string(format!("/proc/{process}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
}

fn requires() -> bool {
    let present = Capabilities::probe().has(Capability::RawSocket);
    if !present {
        let _ = writeln!(std::io::stderr(), "NOT RUN: needs a raw IP socket: run as root");
    }
    let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(present || !in_ci, "CI=true forbids tests that cannot run");
    present
}
