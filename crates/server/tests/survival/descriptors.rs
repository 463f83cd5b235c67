//! A broker with few descriptors, all of which somebody uses up.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;

use nix::sys::resource::{Resource, setrlimit};
use simopen_benches::attack::{Attack, Attacker};
use simopen_benches::client::{Client, dial};
use simopen_benches::stand::Prepared;
use simopen_protocol::control::PublicKey;
use simopen_server::authority::Authority;
use simopen_server::figures::{Exposition, ReadinessWatch, router};
use simopen_server::wall_clock::WallClock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::honest::{HONEST, block_on, in_time};

/// By this argument this program is the broker.
const BROKER: &str = "broker-of-few-descriptors";

/// How many it has.
const DESCRIPTORS: u64 = 128;

/// Connections that want one each.
const CONNECTIONS: usize = 400;

pub(crate) fn used_up() {
    let directory =
        std::env::temp_dir().join(format!("simopen-descriptors-{}", std::process::id()));
    let broker = Broker::start(&directory);
    block_on(async {
        assert!(is_healthy(broker.health).await, "before it");
        let attacker = Attacker::start(Attack::Silent, broker.address, CONNECTIONS).unwrap();
        for _ in 0..10 {
            assert!(
                in_time("an answer", is_healthy(broker.health)).await,
                "health answers meanwhile"
            );
        }
        drop(attacker);
        let login = Client::logged_in(broker.address, &broker.prepared.devices[0], Some(HONEST));
        in_time("a login afterwards", login).await.unwrap();
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
        let prepared = Prepared::by(authority, 1).unwrap();
        let key = prepared.devices[0].key.public().unwrap();
        let hex = key.0.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        });
        let mut child = Command::new("/proc/self/exe")
            .arg(BROKER)
            .arg(directory)
            .arg(hex)
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
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn is_healthy(at: SocketAddr) -> bool {
    let mut answer = String::new();
    let mut stream = dial(at, Some(HONEST)).await.unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    in_time("health", stream.read_to_string(&mut answer)).await.unwrap();
    answer.starts_with("HTTP/1.1 200")
}

/// Becomes that broker, where the arguments say so.
pub(crate) fn be_a_broker(arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let arguments: Vec<OsString> = arguments.collect();
    let [first, directory, key] = arguments.as_slice() else {
        return None;
    };
    if first != BROKER {
        return None;
    }
    setrlimit(Resource::RLIMIT_NOFILE, DESCRIPTORS, DESCRIPTORS).unwrap();
    let authority = Authority::open(Path::new(directory), WallClock::default().seconds()).unwrap();
    let hex = key.to_str().unwrap();
    let key = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
    let prepared = Prepared::of_keys(authority, vec![PublicKey(key.collect())]).unwrap();
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
