//! A host: a thread in a network namespace of its own, with a TUN port and a tokio runtime.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::mpsc as std_mpsc;

use simopen_device::DeviceError;
use simopen_device::capability::{Privilege, keep_only};
use simopen_device::namespace::{Namespace, NamespaceThread};
use simopen_device::tun::{Tun, TunConfig};
use simopen_device::wait::{Urgency, run_before_others};
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};

use crate::error::LabError;

type Job = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// What a host is.
#[derive(Debug, Clone)]
pub(crate) struct HostSpec {
    pub(crate) name: &'static str,
    /// Addresses with the length of their prefix; the default route of each family leads into the
    /// TUN port.
    pub(crate) addresses: Vec<(IpAddr, u8)>,
    pub(crate) mtu: u32,
    /// The capabilities that the host's programs have; `None` leaves all.
    pub(crate) privileges: Option<Vec<Privilege>>,
}

/// A running host. Its namespace and port go when it is dropped.
#[derive(Debug)]
pub(crate) struct Host {
    name: &'static str,
    jobs: Option<mpsc::UnboundedSender<Job>>,
    thread: Option<NamespaceThread<()>>,
}

/// A host that is being built, while others are too.
pub(crate) struct Building {
    name: &'static str,
    jobs: mpsc::UnboundedSender<Job>,
    thread: NamespaceThread<()>,
    port: std_mpsc::Receiver<Result<Tun, DeviceError>>,
}

impl Host {
    /// Begins to build a host.
    pub(crate) fn build(spec: HostSpec) -> Result<Building, LabError> {
        let (jobs, queue) = mpsc::unbounded_channel();
        let (ready, port) = std_mpsc::sync_channel(1);
        let name = spec.name;
        let thread = Namespace::spawn(name, move || {
            let opened = open_port(&spec);
            let works = opened.is_ok();
            // Whoever builds may have given up.
            let _ = ready.send(opened);
            if works {
                serve(queue, spec.privileges.as_deref());
            }
        })?;
        Ok(Building { name, jobs, thread, port })
    }

    /// Runs a future in the host's namespace, in a task of its own.
    pub(crate) fn spawn<T, F>(
        &self,
        job: impl FnOnce() -> F + Send + 'static,
    ) -> Result<Spawned<T>, LabError>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let (reply, result) = oneshot::channel();
        let job: Job = Box::new(move || {
            let future = job();
            Box::pin(async move {
                // Whoever asked may have given up.
                let _ = reply.send(future.await);
            })
        });
        let jobs = self.jobs.as_ref().ok_or(LabError::ThreadEnded(self.name))?;
        jobs.send(job).map_err(|_| LabError::ThreadEnded(self.name))?;
        Ok(Spawned { host: self.name, result })
    }
}

impl Drop for Host {
    /// Ends the host's runtime and waits for its thread.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && let Err(error) = thread.join()
        {
            tracing::error!(host = self.name, %error, "a host's thread");
        }
    }
}

impl Building {
    /// Waits until the host stands, and gives its port.
    pub(crate) fn finish(self) -> Result<(Host, Tun), LabError> {
        let host = Host { name: self.name, jobs: Some(self.jobs), thread: Some(self.thread) };
        let port = self.port.recv().map_err(|_| LabError::ThreadEnded(self.name))??;
        Ok((host, port))
    }
}

/// The result of a job.
#[derive(Debug)]
pub(crate) struct Spawned<T> {
    host: &'static str,
    result: oneshot::Receiver<T>,
}

impl<T> Spawned<T> {
    pub(crate) async fn join(self) -> Result<T, LabError> {
        self.result.await.map_err(|_| LabError::ThreadEnded(self.host))
    }

    pub(crate) fn wait(self) -> Result<T, LabError> {
        self.result.blocking_recv().map_err(|_| LabError::ThreadEnded(self.host))
    }
}

/// A host's threads and the fabric's mostly sleep, and must wake in time on a busy machine.
pub(crate) fn prefer_this_thread(urgency: Urgency) {
    if let Err(error) = run_before_others(urgency) {
        tracing::debug!(%error, "the threads of the lab run among all others");
    }
}

fn open_port(spec: &HostSpec) -> Result<Tun, DeviceError> {
    let tun = Tun::open(&TunConfig { mtu: spec.mtu, ..TunConfig::named("port0") })?;
    let interface = tun.interface();
    for (address, prefix) in &spec.addresses {
        interface.add_address(*address, *prefix)?;
    }
    interface.set_up()?;
    if spec.addresses.iter().any(|(address, _)| address.is_ipv4()) {
        interface.add_default_route_v4()?;
    }
    if spec.addresses.iter().any(|(address, _)| address.is_ipv6()) {
        interface.add_default_route_v6()?;
    }
    Ok(tun)
}

fn serve(mut queue: mpsc::UnboundedReceiver<Job>, privileges: Option<&[Privilege]>) {
    prefer_this_thread(Urgency::Worker);
    if let Some(privileges) = privileges
        && let Err(error) = keep_only(privileges)
    {
        tracing::error!(%error, "a host cannot do without its capabilities");
        return;
    }
    let Ok(runtime) = runtime::Builder::new_current_thread().enable_all().build() else {
        // The queue closes, and whoever sends a job learns that the thread has ended.
        return;
    };
    runtime.block_on(async {
        while let Some(job) = queue.recv().await {
            tokio::spawn(job());
        }
    });
}
