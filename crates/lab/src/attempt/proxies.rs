//! The real proxies beside the boxes of a star.

use simopen_scenario::file::Proxy;
use simopen_scenario::proxies::{PROXY_NAMES, Proxies};

use crate::error::LabError;
use crate::proxy::{RunningProxy, Tunnels};
use crate::topology::Topology;

/// Starts a proxy of that kind on each of their hosts, and returns when both accept connections.
pub(super) fn start(kind: Proxies, topology: &Topology) -> Result<Vec<RunningProxy>, LabError> {
    let tunnels = match kind {
        Proxies::None => return Ok(Vec::new()),
        Proxies::WithConnect => Tunnels::Opened,
        Proxies::WithoutConnect => Tunnels::Refused,
    };
    let start = |name: &&str| {
        let host = topology.host(name).ok_or_else(|| LabError::NoSuchHost((*name).to_owned()))?;
        RunningProxy::start(Proxy::Squid, tunnels, host, topology.layout().address(name)?)
    };
    PROXY_NAMES.iter().map(start).collect()
}
