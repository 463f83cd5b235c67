//! What the environment says about this device.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use simopen_peer::carriage::Carriage;
use simopen_peer::home::{Home, HomeError};
use simopen_peer::manager::DeviceConfig;
use simopen_protocol::control::Reachable;
use simopen_protocol::identity::DeviceName;

use crate::device_settings::{DeviceFile, NetworkSection};
use crate::peer_arguments::{HomeArguments, NetworkArguments};

/// Opens the state directory, and makes it where it is not there.
pub(crate) fn new_home(arguments: &HomeArguments) -> Result<Home> {
    Ok(Home::open(&path(arguments)?)?)
}

/// Opens the state directory, in which something was joined.
pub(crate) fn home(arguments: &HomeArguments) -> Result<Home> {
    let path = path(arguments)?;
    Ok(Home::find(&path)?.ok_or(HomeError::Empty { path })?)
}

/// Opens the state directory, where it is there.
pub(crate) fn found_home(arguments: &HomeArguments) -> Result<Option<Home>> {
    Ok(Home::find(&path(arguments)?)?)
}

fn path(arguments: &HomeArguments) -> Result<PathBuf> {
    let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    let Some(path) = home_path(arguments.home.clone(), variable) else {
        bail!("neither --home nor SIMOPEN_HOME, XDG_STATE_HOME or HOME says where the state is");
    };
    Ok(path)
}

fn home_path(
    flag: Option<PathBuf>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Option<PathBuf> {
    flag.or_else(|| variable("SIMOPEN_HOME").map(PathBuf::from))
        .or_else(|| variable("XDG_STATE_HOME").map(|path| PathBuf::from(path).join("simopen")))
        .or_else(|| variable("HOME").map(|path| PathBuf::from(path).join(".local/state/simopen")))
}

/// How this device logs in, by flags, its file and environment: for a command that nobody reaches.
pub(crate) fn device(network: &NetworkArguments, home: &Home) -> Result<DeviceConfig> {
    let carriage = carriage(network, home)?;
    Ok(DeviceConfig { reachable: Reachable::No, techniques: None, carriage, watcher: None })
}

/// How this device reaches servers, by flags, its file and environment.
pub(crate) fn carriage(network: &NetworkArguments, home: &Home) -> Result<Carriage> {
    let usual = home.settings();
    let path = network.config.as_ref().or_else(|| usual.exists().then_some(&usual));
    let file = path.map(|path| DeviceFile::read(path)).transpose()?.unwrap_or_default();
    let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let carriage = carriage_of(network, &file.network, variable)?;
    let has_login = carriage.proxy.as_ref().is_some_and(|proxy| proxy.login.is_some());
    if has_login && network.proxy.is_some() {
        eprintln!(
            "simopen: warning: everybody on this machine can read the password behind --proxy: set \
             HTTPS_PROXY in the environment instead, or proxy in simopen.toml"
        );
    }
    Ok(carriage)
}

fn carriage_of(
    network: &NetworkArguments,
    file: &NetworkSection,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Carriage> {
    // Both spellings are in use.
    let either = |name: &str| variable(name).or_else(|| variable(&name.to_lowercase()));
    let named = network.proxy.clone().map(|value| ("--proxy", value));
    let named = named.or_else(|| file.proxy().map(|value| ("proxy", value.to_owned())));
    let named = named.or_else(|| either("HTTPS_PROXY").map(|value| ("HTTPS_PROXY", value)));
    let proxy = match named {
        Some((_, value)) if value == "none" => None,
        // The value may hold a password, and is not repeated.
        Some((source, value)) => Some(value.parse().with_context(|| source.to_owned())?),
        None => None,
    };
    let no_proxy = network.no_proxy.clone().or_else(|| file.no_proxy.clone());
    let no_proxy = no_proxy.or_else(|| either("NO_PROXY")).unwrap_or_default();
    let Ok(no_proxy) = no_proxy.parse();
    Ok(Carriage { proxy, no_proxy })
}

/// The machine's name as a device's: what is no letter of a name becomes a dash.
pub(crate) fn machine_name() -> Option<DeviceName> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    device_name(name.trim())
}

fn device_name(machine: &str) -> Option<DeviceName> {
    let first = machine.split('.').next()?;
    let kept = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    let name: String =
        first.chars().map(|letter| if kept(letter) { letter } else { '-' }).collect();
    name.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_goes_before_the_environment() {
        let all = |name: &str| Some(OsString::from(format!("/{name}")));
        let path = |flag: Option<&str>, variable: &dyn Fn(&str) -> Option<OsString>| {
            home_path(flag.map(PathBuf::from), variable)
        };
        assert_eq!(path(Some("/flag"), &all), Some("/flag".into()));
        assert_eq!(path(None, &all), Some("/SIMOPEN_HOME".into()));
        let without = |hidden: &'static [&'static str]| {
            move |name: &str| all(name).filter(|_| !hidden.contains(&name))
        };
        let state = path(None, &without(&["SIMOPEN_HOME"]));
        assert_eq!(state, Some("/XDG_STATE_HOME/simopen".into()));
        let home = path(None, &without(&["SIMOPEN_HOME", "XDG_STATE_HOME"]));
        assert_eq!(home, Some("/HOME/.local/state/simopen".into()));
        assert_eq!(path(None, &|_| None), None);
    }

    #[test]
    fn a_proxy_is_that_of_the_flag_or_of_the_file_or_of_the_environment() {
        let network = |proxy: Option<&str>| NetworkArguments {
            config: None,
            proxy: proxy.map(str::to_owned),
            no_proxy: None,
        };
        let environment = |name: &str| match name {
            "https_proxy" => Some("http://me:word@outer.example:8080".to_owned()),
            "NO_PROXY" => Some("localhost".to_owned()),
            _ => None,
        };
        let file = |text: &str| toml::from_str::<NetworkSection>(text).unwrap();
        let nothing = file("");
        let carriage = |proxy| carriage_of(&network(proxy), &nothing, environment).unwrap();
        let outer = carriage(None).proxy.unwrap();
        assert_eq!(outer.address.to_string(), "outer.example:8080");
        assert_eq!(outer.login.unwrap().user, "me");
        assert!(carriage(None).no_proxy.covers("localhost"));
        let inner = carriage(Some("inner.example:3128")).proxy.unwrap();
        assert_eq!(inner.address.to_string(), "inner.example:3128");
        assert_eq!(carriage(Some("none")).proxy, None);
        assert_eq!(carriage_of(&network(None), &nothing, |_| None).unwrap(), Carriage::default());
        let written = file("proxy = \"written.example\"\nno-proxy = \"broker.example\"");
        let between = carriage_of(&network(None), &written, environment).unwrap();
        assert_eq!(between.proxy.unwrap().address.to_string(), "written.example:3128");
        assert!(between.no_proxy.covers("broker.example"));
        assert!(!between.no_proxy.covers("localhost"));
        let first =
            carriage_of(&network(Some("inner.example:3128")), &written, environment).unwrap();
        assert_eq!(first.proxy, carriage(Some("inner.example:3128")).proxy);
        let straight = carriage_of(&network(None), &file("proxy = \"none\""), environment).unwrap();
        assert_eq!(straight.proxy, None);
        let network = network(Some("socks5://me:word@x"));
        let error = carriage_of(&network, &nothing, environment).unwrap_err();
        let said = format!("{error:#}");
        assert!(said.starts_with("--proxy: ") && !said.contains("word"), "{said}");
    }

    #[test]
    fn a_machines_name_becomes_a_devices() {
        for (machine, device) in [("laptop", "laptop"), ("a.example.org", "a"), ("x y", "x-y")] {
            assert_eq!(device_name(machine).unwrap().as_str(), device);
        }
        assert_eq!(device_name(""), None);
    }
}
