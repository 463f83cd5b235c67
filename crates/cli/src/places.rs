//! Where services keep what has to outlive them, by flag and environment.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// Of a broker, below the directories of the system or of a user.
pub(crate) const BROKER: &str = "simopen";
/// Of a relay.
pub(crate) const RELAY: &str = "simopen-relay";

/// The data directory of a service.
pub(crate) fn data(flag: Option<&Path>, name: &str) -> Result<PathBuf> {
    let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    match data_by(flag, name, is_root, variable) {
        Some(path) => Ok(path),
        None => bail!("neither --data nor XDG_DATA_HOME or HOME says where the data is"),
    }
}

fn data_by(
    flag: Option<&Path>,
    name: &str,
    is_root: bool,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Option<PathBuf> {
    if let Some(path) = flag {
        return Some(path.to_owned());
    }
    if let Some(given) = variable("STATE_DIRECTORY") {
        // systemd.exec(5): several are told with colons between.
        return env::split_paths(&given).next();
    }
    if is_root {
        return Some(Path::new("/var/lib").join(name));
    }
    let user = variable("XDG_DATA_HOME").map(PathBuf::from);
    let home = || variable("HOME").map(|home| PathBuf::from(home).join(".local/share"));
    Some(user.or_else(home)?.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_goes_first_then_the_service_manager_then_root_then_the_user() {
        let all = |name: &str| Some(OsString::from(format!("/{name}")));
        let none = |_: &str| None;
        let home = |name: &str| all(name).filter(|_| name == "HOME");
        let flag = Some(Path::new("/flag"));
        assert_eq!(data_by(flag, "x", true, all), Some("/flag".into()));
        assert_eq!(data_by(None, "x", true, all), Some("/STATE_DIRECTORY".into()));
        assert_eq!(data_by(None, "x", true, none), Some("/var/lib/x".into()));
        assert_eq!(data_by(None, "x", false, home), Some("/HOME/.local/share/x".into()));
        assert_eq!(data_by(None, "x", false, none), None);
    }
}
