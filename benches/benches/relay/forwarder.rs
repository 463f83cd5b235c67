//! Other people's forwarders, each a process or two.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Makes the two ends of a connection through a forwarder: who writes, and who reads.
type Pair = Box<dyn Fn() -> (TcpStream, TcpStream)>;

/// What carries bytes.
pub(crate) struct Forwarder {
    pub(crate) name: &'static str,
    processes: Vec<Child>,
    pair: Pair,
}

impl Forwarder {
    pub(crate) fn new(name: &'static str, processes: Vec<Child>, pair: Pair) -> Self {
        Self { name, processes, pair }
    }

    /// Processes between the two ends.
    pub(crate) fn hops(&self) -> usize {
        self.processes.len()
    }

    pub(crate) fn pair(&self) -> (TcpStream, TcpStream) {
        (self.pair)()
    }

    /// Processor time of its processes, in user and in kernel mode.
    pub(crate) fn cpu(&self) -> Duration {
        self.processes.iter().map(|process| cpu(process.id())).sum()
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Nanoseconds that the threads of a process ran (proc(5), schedstat).
fn cpu(process: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    threads
        .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse().ok())
        .map(Duration::from_nanos)
        .sum()
}

/// A port that is free now.
pub(crate) fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

pub(crate) fn start(command: &mut Command) -> Result<Child, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.spawn().map_err(|error| format!("{name}: {error}"))
}

/// Connects as soon as somebody listens.
pub(crate) fn reach(at: SocketAddr) -> Result<TcpStream, String> {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        match TcpStream::connect(at) {
            Ok(stream) => return Ok(stream),
            Err(error) if Instant::now() > until => return Err(format!("{at}: {error}")),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

pub(crate) fn file(name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("simopen-bench-{}-{name}", std::process::id()));
    fs::write(&path, text).unwrap();
    path
}

/// A forwarder that dials a server for each client.
fn to_server(
    name: &'static str,
    processes: Vec<Child>,
    entry: SocketAddr,
    server: TcpListener,
) -> Result<Forwarder, String> {
    drop(reach(entry)?);
    let pair = move || {
        let mut client = TcpStream::connect(entry).unwrap();
        // By its own port each client is told from those that `reach` left.
        let word = client.local_addr().unwrap().port().to_be_bytes();
        client.write_all(&word).unwrap();
        loop {
            let (mut accepted, _) = server.accept().unwrap();
            let mut heard = [0; 2];
            if accepted.read_exact(&mut heard).is_ok() && heard == word {
                return (client, accepted);
            }
        }
    };
    Ok(Forwarder::new(name, processes, Box::new(pair)))
}

/// HAProxy in TCP mode, with splice both ways.
pub(crate) fn haproxy() -> Result<Forwarder, String> {
    let (entry, server) = (free(), TcpListener::bind("127.0.0.1:0").unwrap());
    let config = format!(
        "global\n  nbthread 1\n  maxconn 1000\n\
         defaults\n  mode tcp\n  option splice-request\n  option splice-response\n  \
         timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
         listen relay\n  bind {entry}\n  server one {}\n",
        server.local_addr().unwrap()
    );
    let config = file("haproxy.cfg", &config);
    let program = ["haproxy", "/usr/sbin/haproxy"]
        .into_iter()
        .find(|name| Command::new(name).arg("-v").output().is_ok())
        .ok_or("haproxy: not installed")?;
    let process = start(Command::new(program).arg("-db").arg("-f").arg(config))?;
    to_server("haproxy", vec![process], entry, server)
}

/// A public port at bore's server, carried to a client beside the real server.
pub(crate) fn bore() -> Result<Forwarder, String> {
    let (entry, server) = (free(), TcpListener::bind("127.0.0.1:0").unwrap());
    let at = start(Command::new("bore").args(["server", "--bind-addr", "127.0.0.1"]))?;
    let local = server.local_addr().unwrap().port().to_string();
    drop(reach("127.0.0.1:7835".parse().unwrap())?);
    let client = start(
        Command::new("bore")
            .args(["local", &local, "--to", "127.0.0.1", "--port"])
            .arg(entry.port().to_string()),
    )?;
    to_server("bore", vec![at, client], entry, server)
}

/// A public port at rathole's server, carried to a client beside the real server.
pub(crate) fn rathole() -> Result<Forwarder, String> {
    let (entry, link, server) = (free(), free(), TcpListener::bind("127.0.0.1:0").unwrap());
    let local = server.local_addr().unwrap();
    let token = "default_token = \"bench\"\n";
    let at = format!(
        "[server]\nbind_addr = \"{link}\"\n{token}[server.services.x]\nbind_addr = \"{entry}\"\n"
    );
    let client = format!(
        "[client]\nremote_addr = \"{link}\"\n{token}[client.services.x]\nlocal_addr = \"{local}\"\n"
    );
    let at = start(Command::new("rathole").arg("--server").arg(file("rathole-server.toml", &at)))?;
    let client =
        start(Command::new("rathole").arg("--client").arg(file("rathole-client.toml", &client)))?;
    to_server("rathole", vec![at, client], entry, server)
}
