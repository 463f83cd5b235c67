//! A program of the user's, with the terminal, inside a host of a scenario.

use std::process::{Command, ExitStatus};

use simopen_scenario::file::Scenario;
use simopen_scenario::network::Executor;

use crate::error::LabError;
use crate::programs::start_programs;
use crate::proxy::{RunningProxy, Tunnels};
use crate::pump::Packets;
use crate::scenario_run::stand;
use crate::topology::Topology;

/// A scenario's network that stands, with its proxies, for as long as this lives.
pub struct Standing {
    // Before the topology, in whose namespaces they run.
    _proxies: Vec<RunningProxy>,
    topology: Topology,
}

impl Standing {
    /// Builds the network and starts the proxies.
    ///
    /// # Errors
    ///
    /// [`LabError`] where the machine lacks a privilege, a device or a program.
    pub fn build(scenario: &Scenario, executor: Executor, seed: u64) -> Result<Self, LabError> {
        let topology = stand(scenario, executor, seed, true, Packets::Forgotten)?;
        let mut proxies = Vec::new();
        for plan in &scenario.plan.hosts {
            if let (Some(proxy), Some(host)) = (plan.proxy, topology.host(&plan.name)) {
                let own = topology.layout().address(&plan.name)?;
                proxies.push(RunningProxy::start(proxy, Tunnels::Opened, host, own)?);
            }
        }
        Ok(Self { _proxies: proxies, topology })
    }

    /// Runs a program in a host's namespaces and waits for its end. It is told where it is by
    /// `SIMOPEN_HOST`, and where all hosts are by `SIMOPEN_HOST_` and their names in capitals.
    ///
    /// # Errors
    ///
    /// [`LabError::NoSuchHost`], and [`LabError::System`] where the program cannot be started.
    pub fn run(&self, host: &str, mut command: Command) -> Result<ExitStatus, LabError> {
        let space = start_programs(
            self.topology.host(host).ok_or_else(|| LabError::NoSuchHost(host.to_owned()))?,
        )?;
        command.env("SIMOPEN_HOST", host);
        for other in &self.topology.layout().hosts {
            let addresses: Vec<String> =
                other.addresses.iter().map(|(address, _)| address.to_string()).collect();
            let name = other.name.to_ascii_uppercase().replace('-', "_");
            command.env(format!("SIMOPEN_HOST_{name}"), addresses.join(" "));
        }
        let failed = |source| LabError::System { what: "the program cannot be run", source };
        space.spawn(command).map_err(failed)?.wait().map_err(failed)
    }
}
