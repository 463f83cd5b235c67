//! `simopen lab doctor`.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};
use simopen_device::capability::Capabilities;
use simopen_device::namespace::{Namespace, NamespaceThread};

use crate::{COULD_NOT_TRY, privilege};

#[derive(Debug, Args)]
pub(crate) struct DoctorArguments {
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// One thing that an experiment may need.
struct Finding {
    what: String,
    /// What does without it.
    need: Need,
    /// `Err`: why not, and what to do about it.
    state: Result<(), (String, String)>,
}

/// What needs a thing.
#[derive(Clone, Copy, PartialEq)]
enum Need {
    Everything,
    NftExecutor,
    Proxies,
    Rootless,
}

impl Need {
    const fn words(self) -> &'static str {
        match self {
            Self::Everything => "every experiment",
            Self::NftExecutor => "--executor nft",
            Self::Proxies => "scenarios with an HTTP proxy",
            Self::Rootless => "running without root",
        }
    }
}

pub(crate) fn run(arguments: &DoctorArguments) -> Result<ExitCode> {
    // As the other commands do it: where this process lacks something, a user namespace may have
    // it. Only where that is refused too does this return, and tells of here.
    let rootless = privilege::acquire().is_ok() && privilege::is_in_user_namespace();
    let findings = findings(&Capabilities::probe());
    let can_run =
        findings.iter().all(|found| found.need != Need::Everything || found.state.is_ok());
    let mut out = io::stdout().lock();
    if arguments.json {
        let report = json!({
            "can-run": can_run,
            "in-user-namespace": rootless,
            "findings": findings.iter().map(to_json).collect::<Vec<Value>>(),
        });
        writeln!(out, "{report:#}").context("writing to standard output")?;
    } else {
        if rootless {
            writeln!(out, "without root, in a user namespace of its own:")
                .context("writing to standard output")?;
        }
        for found in &findings {
            write!(out, "{}", line(found)).context("writing to standard output")?;
        }
        let verdict = if can_run { "the lab can run" } else { "the lab cannot run as it is" };
        writeln!(out, "{verdict}").context("writing to standard output")?;
    }
    Ok(if can_run { ExitCode::SUCCESS } else { ExitCode::from(COULD_NOT_TRY) })
}

fn line(found: &Finding) -> String {
    match &found.state {
        Ok(()) => format!("  yes  {:<20} for {}\n", found.what, found.need.words()),
        Err((reason, remedy)) => format!(
            "  NO   {:<20} for {}\n         {reason}\n         {remedy}\n",
            found.what,
            found.need.words()
        ),
    }
}

fn to_json(found: &Finding) -> Value {
    let mut value = json!({
        "what": found.what,
        "needed-for": found.need.words(),
        "present": found.state.is_ok(),
    });
    if let Err((reason, remedy)) = &found.state {
        value["reason"] = json!(reason);
        value["remedy"] = json!(remedy);
    }
    value
}

fn findings(capabilities: &Capabilities) -> Vec<Finding> {
    let mut findings: Vec<Finding> = capabilities
        .requirements()
        .iter()
        .map(|requirement| Finding {
            what: requirement.capability.to_string(),
            need: Need::Everything,
            state: requirement
                .state
                .clone()
                .map_err(|missing| (missing.reason, format!("to do: {}", missing.remedy))),
        })
        .collect();
    findings.push(Finding { what: "nft".into(), need: Need::NftExecutor, state: nft() });
    for (program, package) in [("squid", "squid"), ("tinyproxy", "tinyproxy")] {
        let state = installed(program, package);
        findings.push(Finding { what: program.into(), need: Need::Proxies, state });
    }
    findings.push(Finding { what: "rootless".into(), need: Need::Rootless, state: rootless() });
    findings
}

/// Whether a kernel router can be made: the program is there, and the kernel takes a NAT rule with
/// connection tracking from it, in a namespace that is thrown away.
fn nft() -> Result<(), (String, String)> {
    const RULES: &str = "table inet probe { chain post { \
                         type nat hook postrouting priority 100; ct state new masquerade; }; }";
    installed("nft", "nftables")?;
    let attempt = Namespace::spawn("probe-nft", || {
        let output = Command::new("nft").arg(RULES).output();
        output.map_err(|error| error.to_string()).and_then(|output| {
            let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            output.status.success().then_some(()).ok_or(complaint)
        })
    });
    let outcome = attempt.and_then(NamespaceThread::join).map_err(|error| error.to_string());
    outcome.and_then(|found| found).map_err(|reason| {
        let remedy = "to do: a kernel with nf_tables, nf_nat and nf_conntrack, as distributions \
                      ship it: modprobe nf_tables nft_masq nft_ct";
        (format!("nft refuses a rule: {reason}"), remedy.to_owned())
    })
}

/// Whether a program can be started.
fn installed(program: &str, package: &str) -> Result<(), (String, String)> {
    let found = Command::new(program)
        .arg("-v")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match found {
        Ok(_) => Ok(()),
        Err(error) => Err((
            format!("{program} cannot be started: {error}"),
            format!("to do: install it; on Debian and its kin: apt-get install {package}"),
        )),
    }
}

/// Switches of the system that keep the unprivileged from namespaces of their own: the file, the
/// value that forbids, and the command that changes it.
const SWITCHES: [(&str, &str, &str); 3] = [
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "sysctl kernel.unprivileged_userns_clone=1",
    ),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ),
    ("/proc/sys/user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=10000"),
];

/// Whether somebody who is not root could run the lab too.
fn rootless() -> Result<(), (String, String)> {
    for (file, forbids, command) in SWITCHES {
        if fs::read_to_string(file).is_ok_and(|value| value.trim() == forbids) {
            return Err((
                format!("{file} is {forbids}: users may make no user namespaces"),
                format!("to do, as root: {command}"),
            ));
        }
    }
    let node = Path::new("/dev/net/tun");
    let mode = fs::metadata(node).map(|metadata| metadata.permissions().mode());
    match mode {
        Ok(mode) if mode & 0o006 == 0o006 => Ok(()),
        Ok(mode) => Err((
            format!("{} has mode {:03o}: users may not open it", node.display(), mode & 0o777),
            format!("to do, as root: chmod 666 {}", node.display()),
        )),
        Err(error) => {
            Err((format!("{}: {error}", node.display()), "to do, as root: modprobe tun".to_owned()))
        }
    }
}
