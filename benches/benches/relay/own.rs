//! This project's relay, in a process of its own that runs on one thread.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use simopen_protocol::control::Proxy;
use simopen_protocol::identity::SessionId;
use simopen_protocol::token::Token;
use simopen_server::relay;

use crate::forwarder::Forwarder;
use crate::is_joined;

/// Idle pairs over which memory is divided.
const IDLE: u64 = 1000;
/// Pairs whose pairing is timed, and how often.
const PAIRINGS: u64 = 4000;
const PAIRING_ROUNDS: u64 = 5;
/// Pairs that are made at once.
const AT_ONCE: u64 = 50;

/// The relay's process: for each number that comes in, opens that pairing.
pub(crate) fn serve() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = relay::Builder::new().listen(listener).start().unwrap();
        println!("{}", relay.local_addrs()[0]);
        let (ended, end) = tokio::sync::oneshot::channel::<()>();
        thread::spawn(move || {
            for line in std::io::stdin().lines() {
                let session = line.unwrap().parse().unwrap();
                let proxy = Proxy { session: SessionId(session), values: values(session) };
                relay.open(&proxy).unwrap();
                println!("ok");
            }
            drop(ended);
        });
        // Its end is the end of whoever started this.
        let _ = end.await;
    });
}

fn values(session: u64) -> [Token; 2] {
    [1, 2].map(|side| {
        let mut bytes = [side; 32];
        bytes[8..16].copy_from_slice(&session.to_be_bytes());
        Token::from_random(bytes)
    })
}

/// A relay's process, and the line by which it is told of pairings.
struct Own {
    at: SocketAddr,
    next: u64,
    process: Option<Child>,
    said: BufReader<std::process::ChildStdout>,
    told: std::process::ChildStdin,
}

impl Own {
    fn start() -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap());
        let told = process.stdin.take().unwrap();
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        Self { at: line.trim().parse().unwrap(), next: 0, process: Some(process), said, told }
    }

    fn open(&mut self) -> u64 {
        self.next += 1;
        self.told.write_all(format!("{}\n", self.next).as_bytes()).unwrap();
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        self.next
    }

    /// Bytes of its memory that no file backs (proc(5)).
    fn memory(&self) -> u64 {
        let process = self.process.as_ref().unwrap().id();
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn meet(at: SocketAddr, session: u64) -> (TcpStream, TcpStream) {
    let [first, second] = values(session).map(|value| {
        let mut stream = TcpStream::connect(at).unwrap();
        // No TIME-WAIT afterwards: there are fewer ports than connections here.
        socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        stream.write_all(value.as_bytes()).unwrap();
        stream
    });
    (first, second)
}

pub(crate) fn start() -> Result<Forwarder, String> {
    let mut own = Own::start();
    let process = own.process.take().unwrap();
    let own = Mutex::new(own);
    let pair = move || {
        let mut own = own.lock().unwrap();
        let session = own.open();
        let (mut writer, mut reader) = meet(own.at, session);
        is_joined(&mut writer, &mut reader);
        (writer, reader)
    };
    Ok(Forwarder::new("simopen", vec![process], Box::new(pair)))
}

/// Memory of idle pairs.
pub(crate) fn memory() {
    let mut own = Own::start();
    let hold = |own: &mut Own, count: u64| -> Vec<_> {
        (0..count)
            .map(|_| {
                let session = own.open();
                let (mut writer, mut reader) = meet(own.at, session);
                is_joined(&mut writer, &mut reader);
                (writer, reader)
            })
            .collect()
    };
    let _first = hold(&mut own, 10);
    let before = own.memory();
    let _idle = hold(&mut own, IDLE);
    let grown = own.memory().saturating_sub(before);
    println!("memory of an idle pair, of {IDLE}: {} bytes in user space", grown / IDLE);
}

/// Pairings a second: both sides connect, present their values, and a byte goes through.
pub(crate) fn pairings() {
    let mut rates = Vec::new();
    let mut own = Own::start();
    for _ in 0..PAIRING_ROUNDS {
        let first = own.next + 1;
        for _ in 0..PAIRINGS {
            own.open();
        }
        let next = Arc::new(Mutex::new(first));
        let (at, end) = (own.at, own.next);
        let began = Instant::now();
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let next = Arc::clone(&next);
                thread::spawn(move || {
                    loop {
                        let from = {
                            let mut next = next.lock().unwrap();
                            let from = *next;
                            *next += AT_ONCE;
                            from
                        };
                        if from > end {
                            return;
                        }
                        let mut pairs: Vec<_> = (from..(from + AT_ONCE).min(end + 1))
                            .map(|session| meet(at, session))
                            .collect();
                        for (writer, _) in &mut pairs {
                            writer.write_all(b"!").unwrap();
                        }
                        for (_, reader) in &mut pairs {
                            reader.read_exact(&mut [0]).unwrap();
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        rates.push(PAIRINGS as f64 / began.elapsed().as_secs_f64());
    }
    println!("pairings a second, clear, relay on one thread: {}", crate::spread(rates.into_iter()));
}
