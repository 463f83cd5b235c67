//! A stream of bytes through a real HTTP proxy, by CONNECT (RFC 9110 §9.3.6).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use simopen_packet::Timestamp;
use simopen_scenario::file::{Scenario, Tunnel};
use simopen_scenario::run::{Outcome, Phases, RunRecord, in_milliseconds};
use simopen_scenario::timeline::Timeline;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::error::LabError;
use crate::exchange::exchange;
use crate::host::Host;
use crate::proxy::{PROXY_PORT, RunningProxy, Tunnels};
use crate::pump::Report;
use crate::topology::Topology;

/// Bytes that go each way.
const BYTES: usize = 64 * 1024;

/// Seeds of the two byte streams.
const STREAMS: [u64; 2] = [0xa, 0xb];

/// How long it may take: two SYNs and more.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest head of an answer.
const LONGEST_HEAD: usize = 8 * 1024;

pub(super) fn make(
    scenario: &Scenario,
    tunnel: &Tunnel,
    topology: &Topology,
    seed: u64,
) -> Result<(RunRecord, Report), LabError> {
    let names =
        [tunnel.from, tunnel.through, tunnel.to].map(|host| scenario.plan.hosts[host].name.clone());
    let host = |place: usize| {
        topology.host(&names[place]).ok_or_else(|| LabError::NoSuchHost(names[place].clone()))
    };
    let proxy = scenario.plan.hosts[tunnel.through].proxy;
    let proxy = proxy.ok_or_else(|| LabError::NoSuchHost(names[1].clone()))?;
    let own = topology.layout().address(&names[1])?;
    let running = RunningProxy::start(proxy, Tunnels::Opened, host(1)?, own)?;
    let through = SocketAddr::new(own, PROXY_PORT);
    let to = SocketAddr::new(topology.layout().address(&names[2])?, tunnel.port);
    serve(host(2)?, to)?;
    let clock = topology.clock();
    let requested = clock.now();
    let asked = host(0)?.spawn(move || async move {
        let mut steps = Vec::new();
        let done = timeout(PATIENCE, ask(through, to, |words| steps.push((clock.now(), words))));
        let done = done.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        (done, steps)
    })?;
    let (done, steps) = asked.wait()?;
    let ended = clock.now();
    drop(running);
    let report = topology.unload()?;
    let mut timeline = Timeline::new(requested, names.each_ref().map(String::as_str));
    timeline.add(requested, &names[0], format!("asks {through} for a connection to {to}"));
    for (at, words) in &steps {
        timeline.add(*at, &names[0], words.clone());
    }
    if let Err(error) = &done {
        timeline.add(ended, "lab", format!("no bytes went both ways: {error}"));
    }
    let record =
        RunRecord { timeline: timeline.finish(ended), ..record(&done, &steps, requested, seed) };
    Ok((record, report))
}

/// No broker and no other host of the lab's own carried the bytes: what went both ways, went by
/// the proxy alone.
fn record(
    done: &io::Result<()>,
    steps: &[(Timestamp, String)],
    requested: Timestamp,
    seed: u64,
) -> RunRecord {
    let at = |step: usize| steps.get(step).map(|(at, _)| in_milliseconds(*at - requested));
    RunRecord {
        seed,
        outcome: match done {
            Ok(()) => Outcome::Connected,
            Err(error) => Outcome::Failed {
                cause: "unspecified".to_owned(),
                words: format!("no bytes went both ways: {error}"),
            },
        },
        direct: done.is_ok().then_some(true),
        phases: Phases { established_ms: at(1), first_byte_ms: at(2), ..Phases::default() },
        legs: None,
        packets_sent: Default::default(),
        mappings: [0; 2],
        delivered: Default::default(),
        void: None,
        timeline: Vec::new(),
        ladder: Vec::new(),
    }
}

/// Answers the first stream that comes to that host with bytes.
fn serve(host: &Host, own: SocketAddr) -> Result<(), LabError> {
    let listening = host.spawn(move || async move {
        let listener = TcpListener::bind(own).await?;
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                // What goes wrong is seen by the side that asked.
                let _ = exchange(&mut stream, BYTES, STREAMS[1], STREAMS[0]).await;
            }
        });
        Ok::<_, io::Error>(())
    })?;
    listening.wait()?.map_err(|source| LabError::System { what: "a port to be reached", source })
}

async fn ask(through: SocketAddr, to: SocketAddr, mut step: impl FnMut(String)) -> io::Result<()> {
    let mut stream = TcpStream::connect(through).await?;
    step("the proxy accepts the connection".to_owned());
    let request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == LONGEST_HEAD {
            return Err(io::Error::other("the proxy's answer has no end"));
        }
        // Byte by byte: what follows the head belongs to the stream.
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head);
    let status = head.lines().next().unwrap_or_default();
    step(format!("the proxy answers: {status}"));
    if status.split(' ').nth(1) != Some("200") {
        return Err(io::Error::other(format!("the proxy answered: {status}")));
    }
    exchange(&mut stream, BYTES, STREAMS[0], STREAMS[1]).await?;
    step(format!("{} KiB went each way, every byte as sent", BYTES / 1024));
    Ok(())
}
