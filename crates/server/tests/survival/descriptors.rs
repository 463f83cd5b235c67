//! A broker with few descriptors, all of which somebody uses up.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, setrlimit};
use simopen_benches::attack::{Attack, Attacker};
use simopen_benches::client::{Client, dial};
use simopen_benches::stand::{Crowd, Prepared};
use simopen_peer::Credentials;
use simopen_protocol::control::PublicKey;
use simopen_server::authority::Authority;
use simopen_server::figures::{Exposition, ReadinessWatch, router};
use simopen_server::wall_clock::WallClock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::honest::{HONEST, assert_within_bound, block_on, in_time, requests};

/// By this argument this program is the broker.
const BROKER: &str = "broker-of-few-descriptors";

/// The figure of connections that it could not accept.
const FAILED: &str = r#"simopen_connections_refused_total{reason="accept-failed"}"#;

/// How many it has.
const DESCRIPTORS: u64 = 128;

/// Connections that want one each.
const CONNECTIONS: usize = 400;

/// How long health may take meanwhile. Nobody is dropped for being late in that time, so that the
/// answer does not wait for descriptors to come back by themselves.
const HEALTH: Duration = Duration::from_secs(5);

pub(crate) fn used_up() {
    let directory =
        std::env::temp_dir().join(format!("simopen-descriptors-{}", std::process::id()));
    let broker = Broker::start(&directory);
    block_on(async {
        let login = Client::logged_in(broker.address, &broker.prepared.devices[0], Some(HONEST));
        let (mut standing, _) = in_time("a login before it", login).await.unwrap();
        assert_eq!(broker.failed_accepts().await, 0, "before it");
        let attacker = Attacker::start(Attack::Silent, broker.address, CONNECTIONS).unwrap();
        let first = in_time("descriptors are used up", async {
            loop {
                match broker.failed_accepts().await {
                    0 => {}
                    failed => break failed,
                }
            }
        })
        .await;
        let mut slowest = Duration::ZERO;
        for _ in 0..4 {
            let begun = Instant::now();
            assert!(get(broker.health, "/healthz").await.is_some(), "health answers meanwhile");
            slowest = slowest.max(begun.elapsed());
            assert_within_bound("the link that stands", &requests(&mut standing, 20).await);
        }
        let last = broker.failed_accepts().await;
        println!("  accepting failed {last} times, health took {slowest:?} at most");
        assert!(slowest < HEALTH, "health took {slowest:?}");
        assert!(last > first, "they were used up all the while");
        drop(attacker);
        let login = Client::logged_in(broker.address, &broker.prepared.devices[1], Some(HONEST));
        in_time("a login afterwards", login).await.unwrap();
        assert_within_bound("the link that stands", &requests(&mut standing, 20).await);
    });
    drop(broker);
    std::fs::remove_dir_all(directory).unwrap();
}

/// The broker's process.
struct Broker {
    child: Child,
    address: SocketAddr,
    health: SocketAddr,
    prepared: Prepared,
}

impl Broker {
    /// What it has to know reaches it through a directory: the authority, and the devices' keys.
    fn start(directory: &Path) -> Self {
        std::fs::create_dir_all(directory).unwrap();
        let now = WallClock::default().seconds();
        let authority = Authority::open(directory, now).unwrap();
        let prepared = Prepared::by(authority, Crowd::couples(1)).unwrap();
        let hex = |device: &Credentials| {
            device.key.public().unwrap().0.iter().fold(String::new(), |mut hex, byte| {
                write!(hex, "{byte:02x}").unwrap();
                hex
            })
        };
        let mut child = Command::new("/proc/self/exe")
            .arg(BROKER)
            .arg(directory)
            .args(prepared.devices.iter().map(hex))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let (address, health) = line.trim().split_once(' ').unwrap();
        let (address, health) = (address.parse().unwrap(), health.parse().unwrap());
        Self { child, address, health, prepared }
    }

    /// How often it could not accept a connection.
    async fn failed_accepts(&self) -> u64 {
        let metrics = get(self.health, "/metrics").await.expect("it is well");
        let mut lines = metrics.lines();
        let value = lines.find_map(|line| line.strip_prefix(FAILED)).expect("the figure is there");
        value.trim().parse().unwrap()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What that path says, where it is well.
async fn get(at: SocketAddr, path: &str) -> Option<String> {
    let mut answer = String::new();
    let mut stream = dial(at, Some(HONEST)).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    in_time(path, stream.read_to_string(&mut answer)).await.unwrap();
    answer.starts_with("HTTP/1.1 200").then_some(answer)
}

/// Becomes that broker, where the arguments say so.
pub(crate) fn be_a_broker(arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let arguments: Vec<OsString> = arguments.collect();
    let [first, directory, keys @ ..] = arguments.as_slice() else {
        return None;
    };
    if first != BROKER {
        return None;
    }
    setrlimit(Resource::RLIMIT_NOFILE, DESCRIPTORS, DESCRIPTORS).unwrap();
    let authority = Authority::open(Path::new(directory), WallClock::default().seconds()).unwrap();
    let key = |hex: &OsString| {
        let hex = hex.to_str().unwrap();
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        PublicKey((0..hex.len()).step_by(2).map(byte).collect())
    };
    let keys = keys.iter().map(key).collect();
    let prepared = Prepared::of_keys(authority, keys, 2).unwrap();
    let stand = prepared.start(|builder| builder).unwrap();
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{} {}", stand.address, listener.local_addr().unwrap());
        std::io::stdout().flush().unwrap();
        let exposition = Arc::new(Exposition::new());
        let router = router(stand.desk.clone(), exposition, &ReadinessWatch::new());
        axum::serve(listener, router).await.unwrap();
    });
    Some(ExitCode::SUCCESS)
}
