//! Real HTTP proxies in hosts of the lab.

pub mod squid;

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use simopen_device::process::{Program, ProgramSpace};
use simopen_scenario::file::Proxy;

use crate::error::LabError;
use crate::host::Host;
use crate::programs::start_programs;
use crate::scratch::Scratch;

/// Where every proxy listens.
pub use simopen_scenario::proxies::PROXY_PORT;

/// How `unshare` ends where there is no such program.
const NOT_FOUND: i32 = 127;

/// How long a proxy may take until it accepts connections.
const PATIENCE: Duration = Duration::from_secs(15);

/// Whether a proxy opens tunnels (CONNECT, RFC 9110 §9.3.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tunnels {
    /// It does, to any port.
    Opened,
    /// It refuses, as where only requests for pages are wanted.
    Refused,
}

impl Tunnels {
    /// What squid lets through.
    const fn rules(self) -> &'static str {
        match self {
            Self::Opened => "http_access allow all\n",
            Self::Refused => {
                "acl CONNECT method CONNECT\nhttp_access deny CONNECT\nhttp_access allow all\n"
            }
        }
    }
}

/// A proxy that runs. It ends, and its files go, when this is dropped.
#[derive(Debug)]
pub struct RunningProxy {
    program: Program,
    // After the program, which writes into it.
    files: Scratch,
}

impl RunningProxy {
    /// Starts the proxy on that host and returns when it accepts connections.
    ///
    /// # Errors
    ///
    /// [`LabError::MissingProgram`] where it is not installed, [`LabError::ProgramEnded`] with its
    /// last words where it ends at once, [`LabError::TimedOut`] where it never accepts.
    pub fn start(
        proxy: Proxy,
        tunnels: Tunnels,
        host: &Host,
        own: IpAddr,
    ) -> Result<Self, LabError> {
        let files = Scratch::new(proxy.program())?;
        let space = start_programs(host)?;
        let text = match proxy {
            Proxy::Squid => {
                squid::configuration(&PROXY_PORT.to_string(), tunnels.rules(), files.path())
            }
            Proxy::Tinyproxy => tinyproxy_config(tunnels, files.path()),
        };
        Self::start_in(proxy, &text, &space, files, host, own)
    }

    fn start_in(
        proxy: Proxy,
        text: &str,
        space: &ProgramSpace,
        files: Scratch,
        host: &Host,
        own: IpAddr,
    ) -> Result<Self, LabError> {
        let config = files.path().join("config");
        let unwritten = |source| LabError::System { what: "a proxy's configuration", source };
        std::fs::write(&config, text).map_err(unwritten)?;
        let mut command = match proxy {
            // Squid refuses to be root. As a user that its own user namespace does not know it is
            // nobody to itself and still may write where it must, in a rootless lab as well.
            Proxy::Squid => {
                let mut command = Command::new("unshare");
                command
                    .args(["--user", "--"])
                    .arg(located("squid"))
                    .args(["-N", "-f"])
                    .arg(&config);
                command
            }
            Proxy::Tinyproxy => {
                let mut command = Command::new(located("tinyproxy"));
                command.arg("-d").arg("-c").arg(&config);
                command
            }
        };
        let said = std::fs::File::create(files.path().join("said")).map_err(unwritten)?;
        let also = said.try_clone().map_err(unwritten)?;
        command.stdin(Stdio::null()).stdout(said).stderr(also).current_dir(files.path());
        let program = space.spawn(command).map_err(|source| {
            if source.kind() == io::ErrorKind::NotFound {
                LabError::MissingProgram(proxy.program())
            } else {
                LabError::System { what: proxy.program(), source }
            }
        })?;
        let mut running = Self { program, files };
        running.wait_until_it_accepts(proxy, host, own)?;
        Ok(running)
    }

    /// The directory with its configuration, its pid file and its logs.
    #[must_use]
    pub fn files(&self) -> &Path {
        self.files.path()
    }

    fn wait_until_it_accepts(
        &mut self,
        proxy: Proxy,
        host: &Host,
        own: IpAddr,
    ) -> Result<(), LabError> {
        let until = Instant::now() + PATIENCE;
        let at = SocketAddr::new(own, PROXY_PORT);
        loop {
            let tried = host.spawn(move || async move { TcpStream::connect(at).is_ok() })?;
            if tried.wait()? {
                return Ok(());
            }
            let ended = self.program.try_wait();
            let ended = ended.map_err(|source| LabError::System { what: "a proxy", source })?;
            if ended.and_then(|status| status.code()) == Some(NOT_FOUND) {
                return Err(LabError::MissingProgram(proxy.program()));
            }
            if let Some(status) = ended {
                let program = proxy.program().to_owned();
                let words = last_words(&self.files.path().join("said"));
                return Err(LabError::ProgramEnded { program, how: status.to_string(), words });
            }
            if Instant::now() > until {
                return Err(LabError::TimedOut("a proxy that accepts connections"));
            }
            // Nothing announces that a program listens.
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A program where only root's shells look for it, or else its bare name.
#[must_use]
pub fn located(program: &str) -> PathBuf {
    let places = ["/usr/sbin", "/usr/local/sbin"].map(|folder| Path::new(folder).join(program));
    places.into_iter().find(|place| place.is_file()).unwrap_or_else(|| program.into())
}

fn last_words(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(3).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("; ")
}

fn tinyproxy_config(tunnels: Tunnels, files: &Path) -> String {
    let files = files.display();
    // The one port to which it then opens tunnels is nobody's.
    let refused = match tunnels {
        Tunnels::Opened => "",
        Tunnels::Refused => "ConnectPort 0\n",
    };
    format!(
        "Port {PROXY_PORT}\n\
         {refused}\
         Timeout 30\n\
         MaxClients 20\n\
         Allow 0.0.0.0/0\n\
         Allow ::/0\n\
         LogFile \"{files}/access.log\"\n\
         PidFile \"{files}/pid\"\n"
    )
}
