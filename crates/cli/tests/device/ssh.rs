//! A login by ssh through a connection of simopen's, with a real sshd.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::{Device, Running, requires};
use crate::streams::pair;

const SSHD: &str = "/usr/sbin/sshd";
/// sshd wants it where it runs as root; boots make it.
const SEPARATION: &str = "/run/sshd";

#[test]
fn ssh_logs_in_through_a_connection_by_name() {
    let Some(server) = Sshd::start() else { return };
    let (_broker, alice, bob) = pair();
    let _manager = bob.manage(1);
    let mut listener = bob.start(&["listen", "--to", &server.address.to_string()]);
    listener.wait_for_line("leads to");

    let sum = ssh(&server, &alice, "cat; echo \"$SSH_CONNECTION\" >&2");
    let sent = vec![b's'; 1024 * 1024];
    let mut session = Running::spawn(sum);
    session.say(&sent);
    let ended = session.end();
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.out == sent, "{} bytes came back: {}", ended.out.len(), ended.err);
    assert!(ended.err.contains("connected to bob/desk"), "{}", ended.err);
    // The exit code of the command there is that of ssh here.
    let failed = Running::spawn(ssh(&server, &alice, "exit 7")).end();
    assert_eq!(failed.code, 7, "{}", failed.err);
    // The control: without the listener nobody gets there.
    listener.terminate();
    let refused = Running::spawn(ssh(&server, &alice, "true")).end();
    assert_eq!(refused.code, 255, "{}", refused.err);
    assert!(refused.err.contains("offers no service"), "{}", refused.err);
}

fn ssh(server: &Sshd, device: &Device, command: &str) -> Command {
    let program = env!("CARGO_BIN_EXE_simopen");
    let proxy = format!("ProxyCommand={program} connect %h");
    let known = format!("UserKnownHostsFile={}", server.folder.join("known").display());
    let mut ssh = Command::new("ssh");
    ssh.args(["-F", "none", "-o", &proxy, "-o", &known, "-o", "StrictHostKeyChecking=accept-new"])
        .args(["-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-i"])
        .arg(server.folder.join("user"))
        .args(["-l", &user(), "bob", command])
        .env("SIMOPEN_HOME", device.home())
        .env_remove("SSH_AUTH_SOCK");
    ssh
}

fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A server with keys of its own on a port of its own. It ends with the test.
struct Sshd {
    address: SocketAddr,
    folder: PathBuf,
    has_made_separation: bool,
    /// Dropped first of what needs it.
    running: Option<Running>,
}

impl Sshd {
    /// `None` where it is not installed.
    fn start() -> Option<Self> {
        if !requires(&[SSHD, "ssh"]) {
            return None;
        }
        let has_made_separation = !Path::new(SEPARATION).exists() && user() == "root";
        if has_made_separation {
            fs::create_dir(SEPARATION).unwrap();
        }
        let folder = std::env::temp_dir().join(format!("simopen-sshd-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        for key in ["host", "user"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(folder.join(key))
                .status()
                .unwrap();
            assert!(made.success());
        }
        let mut server = Self { address: free_port(), folder, has_made_separation, running: None };
        server.run();
        Some(server)
    }

    fn run(&mut self) {
        let place = self.folder.display();
        let config = format!(
            "ListenAddress {}\nHostKey {place}/host\nAuthorizedKeysFile {place}/user.pub\n\
             StrictModes no\nUsePAM no\nPidFile none\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n",
            self.address
        );
        let file = self.folder.join("sshd_config");
        fs::write(&file, config).unwrap();
        let mut command = Command::new(SSHD);
        command.args(["-D", "-e", "-f"]).arg(&file);
        let mut running = Running::spawn(command);
        running.wait_for_line("Server listening");
        self.running = Some(running);
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.running = None;
        let _ = fs::remove_dir_all(&self.folder);
        if self.has_made_separation {
            let _ = fs::remove_dir(SEPARATION);
        }
    }
}

fn free_port() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}
