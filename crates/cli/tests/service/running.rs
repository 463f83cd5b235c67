//! Services as processes, on loopback, which are gone when the test is over.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

pub(crate) const SIMOPEN: &str = env!("CARGO_BIN_EXE_simopen");

/// A directory that is gone when this is.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("simopen-broker-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A broker that is killed when this is dropped.
pub(crate) struct Running {
    pub(crate) child: Child,
    lines: BufReader<ChildStdout>,
    pub(crate) data: PathBuf,
    pub(crate) ready: Value,
}

impl Running {
    /// A broker without any configuration but where: loopback, a free port, a directory.
    pub(crate) fn start(scratch: &Scratch, arguments: &[&str]) -> Self {
        Self::service("broker", scratch, arguments, |_| {})
    }

    /// A service of that name, and what it is given besides.
    pub(crate) fn service(
        name: &str,
        scratch: &Scratch,
        arguments: &[&str],
        besides: impl FnOnce(&mut Command),
    ) -> Self {
        let data = scratch.0.join(format!("{name}-data"));
        let mut command = Command::new(SIMOPEN);
        command
            .args([name, "--json", "--listen", "127.0.0.1:0", "--data"])
            .arg(&data)
            .args(arguments)
            .env("RUST_LOG", "trace")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(scratch.0.join(format!("{name}-log"))).unwrap());
        besides(&mut command);
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut running = Self { child, lines, data, ready: Value::Null };
        running.ready = running.next();
        if running.ready["event"] == "joined" {
            running.ready = running.next();
        }
        assert_eq!(running.ready["event"], "ready", "{}", running.ready);
        running
    }

    /// The endpoint that it told under this name when it was ready.
    pub(crate) fn endpoint(&self, name: &str) -> SocketAddr {
        let told = &self.ready[name];
        told.as_str().or_else(|| told[0].as_str()).unwrap().parse().unwrap()
    }

    /// The next object that it prints.
    pub(crate) fn next(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?} is no JSON"))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let process = i32::try_from(self.child.id()).unwrap();
        kill(Pid::from_raw(process), signal).unwrap();
    }

    /// Ends it in the usual way, and gives its exit code.
    pub(crate) fn end(mut self) -> Option<i32> {
        self.signal(Signal::SIGTERM);
        self.child.wait().unwrap().code()
    }

    pub(crate) fn admin(&self, arguments: &[&str]) -> Output {
        admin(&self.data, arguments)
    }

    /// What an operator is told, which has to be good.
    pub(crate) fn told(&self, arguments: &[&str]) -> Value {
        let output = self.admin(&[arguments, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn admin(data: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(SIMOPEN);
    command.arg("admin").arg("--data").arg(data).args(arguments).stdin(Stdio::null());
    command.output().unwrap()
}

pub(crate) fn broker(arguments: &[&str]) -> Output {
    Command::new(SIMOPEN).arg("broker").args(arguments).stdin(Stdio::null()).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn got(at: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let mut answer = Vec::new();
    // Who expects no HTTP may close before the end of the request, and without an answer.
    let _ = stream.write_all(request.as_bytes());
    let _ = stream.read_to_end(&mut answer);
    text(&answer)
}
