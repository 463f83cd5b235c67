//! Where figures and probes are served.

use std::net::{SocketAddr, TcpListener};

use anyhow::Result;
use serde::Deserialize;
use simopen_device::socket::service_listener;

use super::Written;

/// Figures and probes over HTTP.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct MetricsSection {
    /// Where; nowhere if left out.
    pub(crate) listen: Option<Written<SocketAddr>>,
}

impl MetricsSection {
    /// Begins to listen, where it is to be.
    pub(crate) fn listener(&self) -> Result<Option<TcpListener>> {
        Ok(self.listen.as_ref().map(|at| service_listener(at.0)).transpose()?)
    }
}
