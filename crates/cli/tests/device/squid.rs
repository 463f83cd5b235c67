//! Real squids on loopback. They end when their test does.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::program::{Running, not_run};

/// How long a squid may take until it listens, or until it has logged what happened.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where systems keep it; only root's shells look there.
const PROGRAM: &str = "/usr/sbin/squid";

/// What a squid lets through.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rule {
    /// All but CONNECT.
    NoConnect,
    /// All, of a user that logs in as `alice` with `word`.
    Login,
    /// Nothing.
    Nothing,
}

/// A proxy of this test's own.
pub(crate) struct Squid {
    pub(crate) address: SocketAddr,
    folder: PathBuf,
    running: Option<Running>,
}

impl Squid {
    /// `None` where it is not installed, which has been said then.
    pub(crate) fn start(rule: Rule) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !Path::new(PROGRAM).is_file() {
            not_run("squid");
            return None;
        }
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = format!("simopen-squid-{}-{count}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("login"), LOGIN).unwrap();
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        fs::write(folder.join("config"), config(&folder, address, rule)).unwrap();
        let mut squid = Self { address, folder, running: None };
        squid.run();
        Some(squid)
    }

    /// Ends it: nobody listens there any more.
    pub(crate) fn stop(&mut self) {
        self.running = None;
        self.wait("it listens still", || TcpStream::connect(self.address).is_err());
    }

    /// How many requests with this method and this status it has answered to the end.
    pub(crate) fn answered(&self, method: &str, status: &str) -> usize {
        let log = fs::read_to_string(self.folder.join("access.log")).unwrap_or_default();
        let (method, status) = (format!(" {method} "), format!("/{status} "));
        log.lines().filter(|line| line.contains(&method) && line.contains(&status)).count()
    }

    /// Waits until it has answered so many.
    #[track_caller]
    pub(crate) fn wait_for_answers(&self, method: &str, status: &str, count: usize) {
        let why = format!("it has not answered {count} {method} with {status}");
        self.wait(&why, || self.answered(method, status) >= count);
    }

    /// Squid refuses to be root, and in a user namespace without a mapping it is nobody. All that it
    /// starts ends with it, and it ends with the thread that starts it.
    fn run(&mut self) {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "unshare", "--user", "--pid", "--fork"]);
        command.args(["--kill-child", "--", PROGRAM, "-N", "-f"]).arg(self.folder.join("config"));
        self.running = Some(Running::spawn(command));
        self.wait("it does not listen", || TcpStream::connect(self.address).is_ok());
    }

    #[track_caller]
    fn wait(&self, why: &str, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            if begun.elapsed() > PATIENCE {
                let read = |name| fs::read_to_string(self.folder.join(name)).unwrap_or_default();
                panic!("squid: {why}\n{}\n{}", read("cache.log"), read("access.log"));
            }
            // Nothing announces it.
            thread::yield_now();
        }
    }
}

impl Drop for Squid {
    fn drop(&mut self) {
        self.running = None;
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Answers `OK` to one user and one password (squid's helper protocol).
const LOGIN: &str = "while read -r user password rest; do\n\
    if [ \"$user $password\" = 'alice word' ]; then echo OK; else echo ERR; fi\ndone\n";

fn config(folder: &Path, address: SocketAddr, rule: Rule) -> String {
    let folder = folder.display();
    let rules = match rule {
        Rule::NoConnect => "http_access deny CONNECT\nhttp_access allow all\n",
        Rule::Login => "http_access allow users\nhttp_access deny all\n",
        Rule::Nothing => "http_access deny all\n",
    };
    format!(
        "http_port {address}\n\
         visible_hostname proxy\n\
         auth_param basic program /bin/sh {folder}/login\n\
         auth_param basic children 1 startup=1\n\
         auth_param basic realm loopback\n\
         acl users proxy_auth REQUIRED\n\
         acl CONNECT method CONNECT\n\
         {rules}\
         cache deny all\n\
         cache_store_log none\n\
         access_log stdio:{folder}/access.log\n\
         cache_log {folder}/cache.log\n\
         pid_filename {folder}/pid\n\
         coredump_dir {folder}\n\
         netdb_filename none\n\
         pinger_enable off\n\
         max_filedescriptors 1024\n\
         shutdown_lifetime 0 seconds\n\
         connect_timeout 5 seconds\n\
         dns_nameservers 127.0.0.1\n"
    )
}
