//! Real HTTP proxies on loopback. They end when their test does.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use simopen_lab::proxy::{located, squid};

use crate::requires::not_run;
use crate::traces::wait_within;

/// How long a proxy may take until it listens, or until it has logged what happened.
const PATIENCE: Duration = Duration::from_secs(30);

/// Ends a program, and all that it started, when the thread that starts it ends. Squid refuses to be
/// root, and in a user namespace without a mapping it is nobody.
const OWN_SPACE: [&str; 7] =
    ["--pdeathsig", "KILL", "unshare", "--user", "--pid", "--fork", "--kill-child"];

/// What a squid lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// All.
    All,
    /// All but CONNECT.
    NoConnect,
    /// All, of a user that logs in as `alice` with `word`.
    Login,
    /// The same, but no CONNECT.
    LoginNoConnect,
    /// Nothing.
    Nothing,
}

/// A proxy of a test's own.
#[derive(Debug)]
pub struct LoopbackProxy {
    program: Child,
    files: PathBuf,
    address: SocketAddr,
}

impl LoopbackProxy {
    /// Starts squid; `None` where it is not installed, which has been said then.
    #[must_use]
    pub fn squid(rule: Rule) -> Option<Self> {
        Self::start("squid", &["-N", "-f"], |files, address| {
            fs::write(files.join("login"), LOGIN).expect("squid's helper");
            squid::configuration(&address.to_string(), &rules(rule, files), files)
        })
    }

    /// Starts tinyproxy, which takes CONNECT to this port alone, to all where none is named; `None`
    /// where it is not installed, which has been said then.
    #[must_use]
    pub fn tinyproxy(connect_port: Option<u16>) -> Option<Self> {
        Self::start("tinyproxy", &["-d", "-c"], |files, address| {
            let port = connect_port.map(|port| format!("ConnectPort {port}\n")).unwrap_or_default();
            format!(
                "Port {}\nListen {}\nTimeout 600\nMaxClients 50\nAllow 127.0.0.1\n\
                 LogFile \"{}/log\"\nLogLevel Connect\n{port}",
                address.port(),
                address.ip(),
                files.display(),
            )
        })
    }

    fn start(
        name: &str,
        arguments: &[&str],
        configuration: impl FnOnce(&Path, SocketAddr) -> String,
    ) -> Option<Self> {
        let program = located(name);
        let quiet = || Stdio::null();
        let asked = Command::new(&program).arg("-v").stdout(quiet()).stderr(quiet()).status();
        if asked.is_err() {
            not_run(name);
            return None;
        }
        let files = folder(name);
        let address = free_port();
        let config = files.join("config");
        fs::write(&config, configuration(&files, address)).expect("its configuration");
        let said = File::create(files.join("said")).expect("a file for what it says");
        let mut command = Command::new("setpriv");
        command.args(OWN_SPACE).arg("--").arg(program).args(arguments).arg(config);
        command.stdin(Stdio::null()).stderr(said.try_clone().expect("the same")).stdout(said);
        let program = command.current_dir(&files).spawn().expect("setpriv starts programs");
        let proxy = Self { program, files, address };
        proxy.wait("it does not listen", || TcpStream::connect(address).is_ok());
        Some(proxy)
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has said and logged.
    #[must_use]
    pub fn said(&self) -> String {
        ["said", "cache.log", "access.log", "log"]
            .map(|name| fs::read_to_string(self.files.join(name)).unwrap_or_default())
            .concat()
    }

    /// How many requests with this method and this status a squid has answered to the end.
    #[must_use]
    pub fn answered(&self, method: &str, status: &str) -> usize {
        let log = fs::read_to_string(self.files.join("access.log")).unwrap_or_default();
        let (method, status) = (format!(" {method} "), format!("/{status} "));
        log.lines().filter(|line| line.contains(&method) && line.contains(&status)).count()
    }

    /// Waits until a squid has answered so many.
    ///
    /// # Panics
    ///
    /// Where it never does.
    #[track_caller]
    pub fn wait_for_answers(&self, method: &str, status: &str, count: usize) {
        let why = format!("it has not answered {count} {method} with {status}");
        self.wait(&why, || self.answered(method, status) >= count);
    }

    /// Ends it: nobody listens there any more.
    ///
    /// # Panics
    ///
    /// Where somebody still does.
    pub fn stop(&mut self) {
        self.end();
        self.wait("it listens still", || TcpStream::connect(self.address).is_err());
    }

    fn end(&mut self) {
        // It may have ended, which is as good.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }

    #[track_caller]
    fn wait(&self, why: &str, is_so: impl Fn() -> bool) {
        let came = wait_within(PATIENCE, || is_so().then_some(()));
        assert!(came.is_some(), "{why}\n{}", self.said());
    }
}

impl Drop for LoopbackProxy {
    fn drop(&mut self) {
        self.end();
        let _ = fs::remove_dir_all(&self.files);
    }
}

/// A directory of its own.
fn folder(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("simopen-{name}-{}-{count}", process::id()));
    // Of a process that had the same number.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).expect("a directory for its files");
    folder
}

/// A port that the program opens a moment later.
fn free_port() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its number")
}

/// Answers `OK` to one user and one password (squid's helper protocol).
const LOGIN: &str = "while read -r user password rest; do\n\
    if [ \"$user $password\" = 'alice word' ]; then echo OK; else echo ERR; fi\ndone\n";

fn rules(rule: Rule, files: &Path) -> String {
    let access = match rule {
        Rule::All => "http_access allow all\n",
        Rule::NoConnect => "http_access deny CONNECT\nhttp_access allow all\n",
        Rule::Login => "http_access allow users\nhttp_access deny all\n",
        Rule::LoginNoConnect => {
            "http_access deny !users\nhttp_access deny CONNECT\nhttp_access allow users\n\
             http_access deny all\n"
        }
        Rule::Nothing => "http_access deny all\n",
    };
    format!(
        "auth_param basic program /bin/sh {}/login\n\
         auth_param basic children 1 startup=1\n\
         auth_param basic realm loopback\n\
         acl users proxy_auth REQUIRED\n\
         acl CONNECT method CONNECT\n\
         {access}",
        files.display()
    )
}
