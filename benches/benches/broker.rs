//! What a broker needs for its peers: memory of an idle one, presence for many, logins.
//!
//! `cargo bench -p simopen-benches --bench broker [-- PEERS]`
//!
//! The broker is a process of its own, this same program, with its directory in a file as the daemon
//! has it; the peers are all in the process that measures. Everything is TLS on loopback. PEERS is
//! how many are idle at a time: 19,000 without it, which is what 20,000 descriptors hold.
#![expect(clippy::unwrap_used, reason = "what a bench cannot do ends it")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use simopen_benches::client::Client;
use simopen_benches::latency::Latencies;
use simopen_benches::memory::resident_of;
use simopen_benches::processor::computed_by;
use simopen_broker::directory::{Change, Device, DeviceKind, Directory, Standing};
use simopen_device::socket::listener_saving_syn;
use simopen_peer::{Credentials, DeviceKey};
use simopen_protocol::control::{Action, Notification};
use simopen_protocol::identity::{BrokerName, CommunityName, DeviceName, UserId};
use simopen_server::authority::{Authority, Subject};
use simopen_server::broker::{Builder, ServiceLimits};
use simopen_server::store::{Sqlite, Store};
use simopen_server::wall_clock::WallClock;
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

/// Where the broker's process finds its directory.
const DIRECTORY: &str = "SIMOPEN_BENCH_BROKER";
const IDLE: usize = 19_000;
const CROWD: usize = 1_000;
const ROUNDS: usize = 50;
const LOGINS: usize = 3_000;
/// Peers that log in at a time.
const AT_A_TIME: usize = 32;

fn main() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        return serve(Path::new(&directory));
    }
    // As criterion has it: without this flag a test run merely wants to see that it starts.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    raise_descriptors();
    let idle = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(IDLE);
    measure_memory(idle);
    measure_presence();
    measure_logins();
}

fn measure_memory(peers: usize) {
    let stage = Stage::set(peers, |number| format!("c{number}"));
    let runtime = runtime();
    runtime.block_on(async {
        // What the first login makes for all.
        drop(log_in(stage.at, stage.devices.iter().take(AT_A_TIME)).await);
        let kernel = kernel_memory();
        let before = resident_of(stage.broker.id());
        let links = log_in(stage.at, stage.devices.iter()).await;
        let after = resident_of(stage.broker.id());
        println!("idle_peers {}", links.len());
        println!("user_bytes_per_idle_peer {}", (after - before) / links.len() as u64);
        let both = kernel_memory().saturating_sub(kernel);
        println!("kernel_bytes_per_idle_peer_both_ends {}", both / links.len() as u64);
    });
}

fn measure_presence() {
    let stage = Stage::set(CROWD + 1, |_| "crowd".to_owned());
    runtime().block_on(async {
        let (newcomer, crowd) = stage.devices.split_first().unwrap();
        let (heard, mut hears) = mpsc::unbounded_channel();
        for mut link in log_in(stage.at, crowd.iter()).await {
            let heard = heard.clone();
            tokio::spawn(async move {
                while let Ok(told) = link.told().await {
                    if let Notification::Presence(presence) = told {
                        let _ = heard.send((presence.user, presence.online));
                    }
                }
            });
        }
        let mut latencies = Latencies::default();
        // In the first round everybody still reads who came before.
        for round in 0..=ROUNDS {
            let began = Instant::now();
            let (mut link, _) = Client::logged_in(stage.at, newcomer, None).await.unwrap();
            hear(&mut hears, newcomer, true).await;
            if round > 0 {
                latencies.add(began.elapsed());
            }
            link.request(Action::Logout).await.unwrap().unwrap();
            hear(&mut hears, newcomer, false).await;
        }
        println!("presence_of_one_to_{CROWD} {latencies}");
    });
}

/// Until everybody has heard it.
async fn hear(
    hears: &mut mpsc::UnboundedReceiver<(UserId, bool)>,
    who: &Credentials,
    is_online: bool,
) {
    let mut missing = CROWD;
    while missing > 0 {
        let (user, online) = hears.recv().await.unwrap();
        if user == who.user && online == is_online {
            missing -= 1;
        }
    }
}

fn measure_logins() {
    let stage = Stage::set(LOGINS, |number| format!("c{number}"));
    runtime().block_on(async {
        let busy = computed_by(stage.broker.id());
        let began = Instant::now();
        let links = log_in(stage.at, stage.devices.iter()).await;
        let seconds = began.elapsed().as_secs_f64();
        let busy = computed_by(stage.broker.id()) - busy;
        println!("logins_per_second {:.0}", links.len() as f64 / seconds);
        let each = busy.as_secs_f64() / links.len() as f64;
        println!("broker_processor_us_per_login {:.0}", each * 1e6);
        println!("logins_per_second_of_one_core {:.0}", 1.0 / each);
    });
}

/// Logs all of them in, a few at a time.
async fn log_in<'a>(at: SocketAddr, devices: impl Iterator<Item = &'a Credentials>) -> Vec<Client> {
    let places = Arc::new(Semaphore::new(AT_A_TIME));
    let mut all = JoinSet::new();
    for own in devices {
        let place = Arc::clone(&places).acquire_owned().await.unwrap();
        let own = own.clone();
        all.spawn(async move {
            let link = Client::logged_in(at, &own, None).await.unwrap().0;
            drop(place);
            link
        });
    }
    all.join_all().await
}

/// A broker in a process of its own, and its users' devices.
struct Stage {
    broker: Child,
    at: SocketAddr,
    devices: Vec<Credentials>,
    directory: std::path::PathBuf,
}

impl Stage {
    fn set(users: usize, community: impl Fn(usize) -> String) -> Self {
        let directory = std::env::temp_dir().join(format!("simopen-bench-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let devices = enrol(&directory, users, community);
        let mut broker = Command::new(std::env::current_exe().unwrap())
            .env(DIRECTORY, &directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(broker.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { broker, at: line.trim().parse().unwrap(), devices, directory }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.broker.kill();
        let _ = self.broker.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn enrol(directory: &Path, users: usize, community: impl Fn(usize) -> String) -> Vec<Credentials> {
    let now = WallClock::system().seconds();
    let authority = Authority::open(directory, now).unwrap();
    let device = DeviceName::new("pc").unwrap();
    let mut changes = Vec::new();
    let mut devices = Vec::new();
    for number in 0..users {
        let user = UserId::new(&format!("u{number}")).unwrap();
        let community = CommunityName::new(&community(number)).unwrap();
        let key = DeviceKey::generate().unwrap();
        let public = key.public().unwrap();
        let subject = Subject { user: &user, device: &device, key: &public };
        let certificate = authority.issue_device(subject, now).unwrap();
        changes.push(Change::User { user: user.clone(), secret: None });
        changes.push(Change::Member { community, user: user.clone() });
        changes.push(Change::Device(Device {
            user: user.clone(),
            name: device.clone(),
            key: public,
            kind: DeviceKind::Peer,
            joined: now,
            invited_by: None,
            standing: Standing::Good,
        }));
        devices.push(Credentials {
            broker: BrokerName::new("bench").unwrap(),
            user,
            device: device.clone(),
            authority: authority.certificate(),
            certificate,
            key,
        });
    }
    let mut store = Sqlite::open(directory.join("directory.sqlite")).unwrap();
    store.append(&changes).unwrap();
    devices
}

/// The broker's process: until its standard input ends.
fn serve(directory: &Path) {
    raise_descriptors();
    runtime().block_on(async {
        let now = WallClock::system().seconds();
        let mut limits = ServiceLimits::default();
        limits.links = 100_000;
        let handle = Builder::new(Directory::default())
            .listen(listener_saving_syn("127.0.0.1:0".parse().unwrap()).unwrap())
            .authority(Authority::open(directory, now).unwrap())
            .store(Sqlite::open(directory.join("directory.sqlite")).unwrap())
            .service_limits(limits)
            .start()
            .unwrap();
        println!("{}", handle.local_addr());
        let mut line = String::new();
        let ends = move || std::io::stdin().read_line(&mut line).map(drop);
        tokio::task::spawn_blocking(ends).await.unwrap().unwrap();
        handle.stop().await;
    });
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn raise_descriptors() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}

/// Bytes that the kernel holds for sockets and in its slabs (proc(5)).
fn kernel_memory() -> u64 {
    let slabs = fs::read_to_string("/proc/meminfo").unwrap();
    let slab = slabs.lines().find_map(|line| line.strip_prefix("Slab:"));
    let kibibytes = slab.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or_default() * 1024
}
