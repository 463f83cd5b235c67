//! The program on one device, bounded in time.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use simopen_netns_tests::not_run;

use crate::broker::Broker;

/// How long anything may take here. Whoever waits longer waits in vain.
const PATIENCE: Duration = Duration::from_secs(60);

/// A device: a state directory that is removed at the end.
pub(crate) struct Device {
    home: PathBuf,
}

/// What a run of the program came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.out).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Fails the test where it did not work.
    #[track_caller]
    pub(crate) fn worked(self) -> Self {
        assert_eq!(self.code, 0, "{}\n{}", String::from_utf8_lossy(&self.out), self.err);
        self
    }
}

/// A program that runs. It is killed where the test ends before it.
pub(crate) struct Running {
    child: Child,
    input: Option<ChildStdin>,
    out: Receiver<Vec<u8>>,
    lines: Receiver<String>,
    heard: String,
}

impl Device {
    /// One that has joined nothing.
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("simopen-device-{}-{count}", std::process::id());
        let home = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&home);
        Self { home }
    }

    /// One that has joined as a device of this user.
    pub(crate) fn of(broker: &Broker, user: &str, device: &str) -> Self {
        let new = Self::new();
        new.join(broker, user, device);
        new
    }

    pub(crate) fn join(&self, broker: &Broker, user: &str, device: &str) {
        let line = broker.invite(user).reveal();
        self.run_with(&["join", "-", "--device", device], line.as_bytes()).worked();
    }

    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, b"")
    }

    /// With this on standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut running = self.start(arguments);
        running.say(input);
        running.end()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_simopen"));
        command.args(arguments).env_clear().env("SIMOPEN_HOME", &self.home);
        command
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        Running::spawn(self.command(arguments))
    }

    /// The manager, once it is logged in at so many brokers.
    pub(crate) fn manage(&self, brokers: usize) -> Running {
        let mut manager = self.start(&["peer"]);
        let mut shown = String::new();
        while shown.matches("logged in").count() < brokers {
            shown.push_str(&String::from_utf8(manager.read_some()).unwrap());
        }
        manager
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.home);
    }
}

impl Running {
    pub(crate) fn spawn(mut command: Command) -> Self {
        let piped = || Stdio::piped();
        let child = command.stdin(piped()).stdout(piped()).stderr(piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let input = child.stdin.take();
        let (mut output, error) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (out_sender, out) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = vec![0; 65536];
            while let Ok(length @ 1..) = output.read(&mut buffer) {
                if out_sender.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        let (line_sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(error).lines().map_while(Result::ok) {
                if line_sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, input, out, lines, heard: String::new() }
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes to its standard input, from a thread, because it may read late.
    pub(crate) fn say(&mut self, bytes: &[u8]) {
        let (mut input, bytes) = (self.input.take().unwrap(), bytes.to_vec());
        // Where it ended before it read, its end is what is looked at.
        thread::spawn(move || drop(input.write_all(&bytes)));
    }

    /// Writes to its standard input and leaves that open.
    pub(crate) fn say_some(&mut self, bytes: &[u8]) {
        self.input.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// Waits for a line on standard error that holds this.
    #[track_caller]
    pub(crate) fn wait_for_line(&mut self, part: &str) -> String {
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                panic!("it never said '{part}': {}", self.heard);
            };
            self.heard.push_str(&line);
            self.heard.push('\n');
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Some bytes from its standard output.
    #[track_caller]
    pub(crate) fn read_some(&mut self) -> Vec<u8> {
        match self.out.recv_timeout(PATIENCE) {
            Ok(bytes) => bytes,
            Err(_) => {
                let _ = self.child.kill();
                let said: Vec<String> = self.lines.iter().collect();
                panic!("it printed nothing: {}{}", self.heard, said.join("\n"))
            }
        }
    }

    /// Waits until its standard output is closed, while it runs on.
    #[track_caller]
    pub(crate) fn wait_for_end_of_output(&mut self) {
        loop {
            match self.out.recv_timeout(PATIENCE) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("its output stayed open: {}", self.heard),
            }
        }
        assert!(self.child.try_wait().unwrap().is_none(), "it ended");
    }

    /// Its standard output until it holds this.
    #[track_caller]
    pub(crate) fn wait_for_output(&mut self, part: &str) -> String {
        let mut shown = String::new();
        while !shown.contains(part) {
            shown.push_str(&String::from_utf8_lossy(&self.read_some()));
        }
        shown
    }

    /// Ends its standard input and waits for its end.
    #[track_caller]
    pub(crate) fn end(mut self) -> Ran {
        drop(self.input.take());
        self.end_by_itself()
    }

    /// Waits for its end, while its standard input stays open.
    #[track_caller]
    pub(crate) fn end_by_itself(mut self) -> Ran {
        let mut out = Vec::new();
        while let Ok(bytes) = self.out.recv_timeout(PATIENCE) {
            out.extend(bytes);
        }
        let mut err = std::mem::take(&mut self.heard);
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            err.push_str(&line);
            err.push('\n');
        }
        // Both pipes are closed, or time is up: it ends, or is ended.
        let Some(status) = self.child.try_wait().unwrap().or_else(|| {
            let _ = self.child.kill();
            let status = self.child.wait().unwrap();
            status.code().is_some().then_some(status)
        }) else {
            panic!("it did not end: {err}");
        };
        Ran { code: status.code().unwrap_or(-1), out, err }
    }

    /// Asks it to end (SIGTERM) and waits for that.
    #[track_caller]
    pub(crate) fn terminate(self) -> Ran {
        let kill = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(kill.success());
        self.end()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether these programs can be started here. Says so where not, and fails where `CI=true`.
pub(crate) fn requires(programs: &[&str]) -> bool {
    let quiet = || Stdio::null();
    let can_start = |program: &str| {
        let mut asked = Command::new(program);
        asked.arg("-V").stdin(quiet()).stdout(quiet()).stderr(quiet()).status().is_ok()
    };
    let missing: Vec<&str> =
        programs.iter().copied().filter(|program| !can_start(program)).collect();
    if missing.is_empty() {
        return true;
    }
    not_run(&missing.join("; "));
    false
}
