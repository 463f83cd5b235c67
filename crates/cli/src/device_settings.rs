//! The configuration file of a device, option by option (docs/peers.md tells of it).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use simopen_peer::carriage::Proxy;
use simopen_scenario::file::FileError;
use toml::Spanned;

use crate::settings::Source;

/// The whole file. What is left out is as without a file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct DeviceFile {
    /// How brokers and relays are reached.
    pub(crate) network: NetworkSection,
}

/// How brokers and relays are reached.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct NetworkSection {
    proxy: Option<Spanned<String>>,
    /// Hosts that are reached without the proxy, with commas between.
    pub(crate) no_proxy: Option<String>,
}

impl DeviceFile {
    /// Reads it. One that holds a password must be its owner's alone.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let file = Self::of(&Source::read(path)?)?;
        if file.network.has_password() {
            let name = path.display();
            let metadata = fs::metadata(path).with_context(|| format!("{name} cannot be read"))?;
            let mode = metadata.permissions().mode() & 0o777;
            ensure!(
                mode & 0o077 == 0,
                "{name} holds a password and is open to others (mode {mode:03o}): chmod 600 it"
            );
        }
        Ok(file)
    }

    fn of(source: &Source) -> Result<Self, FileError> {
        let file: Self = source.parse()?;
        if let Some(written) = &file.network.proxy
            && let Err(error) = written.as_ref().parse::<Proxy>()
        {
            // It may hold a password, and is not repeated.
            return Err(source.fault(&written.span(), "something else", &error.to_string()));
        }
        Ok(file)
    }
}

impl NetworkSection {
    /// An HTTP proxy as it is written, or `none`.
    pub(crate) fn proxy(&self) -> Option<&str> {
        self.proxy.as_ref().map(|written| written.as_ref().as_str())
    }

    fn has_password(&self) -> bool {
        let proxy = self.proxy().and_then(|written| written.parse::<Proxy>().ok());
        proxy.is_some_and(|proxy| proxy.login.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_changes_nothing_and_names_every_option() {
        let text = include_str!("../../../docs/examples/simopen-peer.toml");
        let file = DeviceFile::of(&Source::of(text)).unwrap();
        assert!(file.network.proxy().is_none() && file.network.no_proxy.is_none());
        let on = text.replace("# proxy = ", "proxy = ").replace("# no-proxy = ", "no-proxy = ");
        let file = DeviceFile::of(&Source::of(&on)).unwrap();
        assert!(file.network.has_password());
        assert!(file.network.no_proxy.is_some());
    }

    #[test]
    fn what_is_wrong_is_said_without_a_password() {
        for (text, place) in [
            (
                "[network]\nproxy = \"socks5://me:word@x\"\n",
                "simopen.toml:2:9: found something else",
            ),
            ("[network]\nproxies = \"x\"\n", "simopen.toml:2:1: found unknown field `proxies`"),
            ("[net]\n", "simopen.toml:1:2: found unknown field `net`"),
        ] {
            let said = DeviceFile::of(&Source::of(text)).unwrap_err().to_string();
            assert!(said.starts_with(place) && !said.contains("word"), "{said}");
        }
    }
}
