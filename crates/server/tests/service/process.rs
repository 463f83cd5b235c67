//! A broker in a process of its own, which can be killed.
//!
//! The process is this test program itself: the test below does nothing unless the environment says
//! that it is to be a broker.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use nix::sys::signal::{Signal, raise};
use simopen_broker::directory::{Change, Directory};
use simopen_server::authority::Authority;
use simopen_server::broker::Builder;
use simopen_server::relay;
use simopen_server::store::{Sqlite, Store, StoreError};

use crate::stand::{loopback, now};

const DIRECTORY: &str = "SIMOPEN_TEST_BROKER";
const DEATH: &str = "SIMOPEN_TEST_DEATH";
const ADDRESS: &str = "SIMOPEN_TEST_ADDRESS";
const TEST: &str = "process::a_broker_for_other_tests";

/// When the broker dies by its own hand, as by kill -9.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    /// It does not.
    Never,
    /// A change has come in and is not kept yet.
    BeforeItIsKept,
    /// A change is kept and nobody knows yet.
    AfterItIsKept,
}

impl Death {
    const fn word(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::BeforeItIsKept => "before",
            Self::AfterItIsKept => "after",
        }
    }
}

pub(crate) struct Process {
    child: Child,
    pub(crate) at: SocketAddr,
}

impl Process {
    /// Starts a broker on this directory. Its files may grow to so many KiB, where that is said.
    pub(crate) fn start(directory: &Path, death: Death, kibibytes: Option<u32>) -> Self {
        Self::start_at(loopback(), directory, death, kibibytes)
    }

    /// Kills it, lets somebody look at what it has kept, and starts it again where it was.
    pub(crate) fn start_again(self, directory: &Path, look: impl FnOnce()) -> Self {
        let at = self.at;
        self.kill();
        look();
        Self::start_at(at, directory, Death::Never, None)
    }

    fn start_at(at: SocketAddr, directory: &Path, death: Death, kibibytes: Option<u32>) -> Self {
        let limit = kibibytes.map(|limit| format!("ulimit -f {limit}; ")).unwrap_or_default();
        // An ignored signal stays ignored: the broker sees an error and no SIGXFSZ.
        let script = format!("trap '' XFSZ; {limit}exec \"$@\"");
        let mut child = Command::new("bash")
            .args(["-c", &script, "bash"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", TEST, "--nocapture", "--test-threads=1"])
            .env(DIRECTORY, directory)
            .env(DEATH, death.word())
            .env(ADDRESS, at.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let at = address(child.stdout.take().unwrap());
        Self { child, at }
    }

    /// kill -9.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it has died by its own hand.
    pub(crate) fn died(mut self) {
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be dead.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn address(out: ChildStdout) -> SocketAddr {
    let mut lines = BufReader::new(out).lines();
    lines
        .find_map(|line| line.unwrap().split("listening on ").nth(1).map(str::to_owned))
        .expect("a broker that starts says where it listens")
        .parse()
        .unwrap()
}

struct Deadly {
    store: Sqlite,
    death: String,
}

impl Store for Deadly {
    fn load(&mut self) -> Result<Directory, StoreError> {
        self.store.load()
    }

    fn append(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        if self.death == Death::BeforeItIsKept.word() {
            raise(Signal::SIGKILL).unwrap();
        }
        self.store.append(changes)?;
        if self.death == Death::AfterItIsKept.word() {
            raise(Signal::SIGKILL).unwrap();
        }
        Ok(())
    }
}

#[test]
fn a_broker_for_other_tests() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let directory = Path::new(&directory);
    let death = std::env::var(DEATH).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let authority = Authority::open(directory, now()).unwrap();
        let store = Sqlite::open(directory.join("directory.sqlite")).unwrap();
        let listener = TcpListener::bind(std::env::var(ADDRESS).unwrap()).unwrap();
        let at = listener.local_addr().unwrap();
        let handle = Builder::new(Directory::default())
            .listen(listener)
            .authority(authority)
            .store(Deadly { store, death })
            .relay(vec![at.into()], relay::Builder::new().start().unwrap())
            .start()
            .unwrap();
        println!("listening on {}", handle.local_addr());
        // Until it is killed, or the test that started it is gone.
        let mut gone = String::new();
        let wait = move || std::io::stdin().read_line(&mut gone).map(drop);
        tokio::task::spawn_blocking(wait).await.unwrap().unwrap();
        handle.stop().await;
    });
}
