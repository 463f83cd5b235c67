//! Real proxies on loopback. They end when their test does.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use simopen_peer::carriage::{Carriage, Login, NoProxy, Proxy};

/// How long a proxy may take until it accepts connections.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a squid lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    All,
    NoConnect,
    /// Users that log in as `alice` with `word`.
    Alice,
    /// The same, and no CONNECT.
    AliceNoConnect,
    Nothing,
}

/// A proxy that runs.
pub(crate) struct ProxyProgram {
    child: Child,
    files: PathBuf,
    at: SocketAddr,
}

impl ProxyProgram {
    /// A squid; `None` where there is none, which has been said then.
    pub(crate) fn squid(rule: Rule) -> Option<Self> {
        let (files, at) = prepare("squid");
        fs::write(files.join("login"), LOGIN).unwrap();
        fs::write(files.join("config"), squid_config(&files, at, rule)).unwrap();
        let mut squid = in_own_space("squid");
        squid.args(["-N", "-f"]).arg(files.join("config"));
        Self::start("squid", squid, files, at)
    }

    /// A tinyproxy that takes CONNECT to these ports alone, to all where none is named.
    pub(crate) fn tinyproxy(connect_port: Option<u16>) -> Option<Self> {
        let (files, at) = prepare("tinyproxy");
        let ports = connect_port.map(|port| format!("ConnectPort {port}\n")).unwrap_or_default();
        let config = format!(
            "Port {}\nListen 127.0.0.1\nTimeout 60\nMaxClients 50\nAllow 127.0.0.1\n\
             LogFile \"{files}/log\"\nLogLevel Connect\n{ports}",
            at.port(),
            files = files.display(),
        );
        fs::write(files.join("config"), config).unwrap();
        let mut tinyproxy = in_own_space("tinyproxy");
        tinyproxy.arg("-d").arg("-c").arg(files.join("config"));
        Self::start("tinyproxy", tinyproxy, files, at)
    }

    fn start(name: &str, mut command: Command, files: PathBuf, at: SocketAddr) -> Option<Self> {
        if located(name).is_none() {
            not_run(name);
            return None;
        }
        let said = fs::File::create(files.join("said")).unwrap();
        command.stdin(Stdio::null()).stderr(said.try_clone().unwrap()).stdout(said);
        let child = command.current_dir(&files).spawn().unwrap();
        let mut started = Self { child, files, at };
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(at).is_err() {
            let ended = started.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < until, "{name}: {}", started.said());
            // Nothing announces that a program listens.
            std::thread::yield_now();
        }
        Some(started)
    }

    /// The way through this proxy, as nobody.
    pub(crate) fn carriage(&self) -> Carriage {
        Carriage {
            proxy: Some(Proxy { address: self.at.into(), login: None }),
            no_proxy: NoProxy::default(),
        }
    }

    /// The way through this proxy, as `alice`.
    pub(crate) fn carriage_as_alice(&self, password: &str) -> Carriage {
        let login = Login { user: "alice".to_owned(), password: password.to_owned() };
        let proxy = Proxy { address: self.at.into(), login: Some(login) };
        Carriage { proxy: Some(proxy), no_proxy: NoProxy::default() }
    }

    /// What it has logged.
    pub(crate) fn said(&self) -> String {
        ["said", "cache.log", "access.log", "log"]
            .map(|name| fs::read_to_string(self.files.join(name)).unwrap_or_default())
            .concat()
    }
}

impl Drop for ProxyProgram {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.files);
    }
}

/// Says loudly that a test cannot run here.
pub(crate) fn not_run(program: &str) {
    let _ = writeln!(
        std::io::stderr(),
        "NOT RUN: needs the program {program}: run scripts/install-test-programs"
    );
    let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!in_ci, "CI=true forbids tests that cannot run");
}

/// A program that ends, with all that it started, when the thread that starts it does. Squid refuses
/// to be root, and in a user namespace without a mapping it is nobody.
fn in_own_space(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args([
        "--pdeathsig",
        "KILL",
        "unshare",
        "--user",
        "--pid",
        "--fork",
        "--kill-child",
        "--",
    ]);
    command.arg(located(program).unwrap_or_else(|| program.into()));
    command
}

/// Programs of the system stand where only root's shells look for them.
fn located(program: &str) -> Option<PathBuf> {
    ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"]
        .map(|folder| Path::new(folder).join(program))
        .into_iter()
        .find(|place| place.is_file())
}

fn prepare(name: &str) -> (PathBuf, SocketAddr) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = format!("simopen-{name}-{}-{number}", std::process::id());
    let files = std::env::temp_dir().join(folder);
    fs::create_dir_all(&files).unwrap();
    // The program opens it a moment later.
    let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    (files, at)
}

/// Answers `OK` to one user and one password (squid's helper protocol).
const LOGIN: &str = "while read -r user password rest; do\n\
    if [ \"$user $password\" = 'alice word' ]; then echo OK; else echo ERR; fi\ndone\n";

fn squid_config(files: &Path, at: SocketAddr, rule: Rule) -> String {
    let files = files.display();
    let rules = match rule {
        Rule::All => "http_access allow all\n",
        Rule::NoConnect => "http_access deny CONNECT\nhttp_access allow all\n",
        Rule::Alice => "http_access allow users\nhttp_access deny all\n",
        Rule::AliceNoConnect => {
            "http_access deny !users\nhttp_access deny CONNECT\nhttp_access allow users\n\
             http_access deny all\n"
        }
        Rule::Nothing => "http_access deny all\n",
    };
    format!(
        "http_port {at}\n\
         visible_hostname proxy\n\
         auth_param basic program /bin/sh {files}/login\n\
         auth_param basic children 1 startup=1\n\
         auth_param basic realm loopback\n\
         acl users proxy_auth REQUIRED\n\
         acl CONNECT method CONNECT\n\
         {rules}\
         cache deny all\n\
         cache_store_log none\n\
         access_log stdio:{files}/access.log\n\
         cache_log {files}/cache.log\n\
         pid_filename {files}/pid\n\
         coredump_dir {files}\n\
         netdb_filename none\n\
         pinger_enable off\n\
         max_filedescriptors 1024\n\
         shutdown_lifetime 0 seconds\n\
         connect_timeout 5 seconds\n\
         dns_nameservers 127.0.0.1\n"
    )
}
