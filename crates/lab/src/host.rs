//! A host: a thread in a network namespace of its own, with a TUN port and a tokio runtime.

use std::future::Future;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::mpsc as std_mpsc;

use simopen_device::DeviceError;
use simopen_device::capability::{Privilege, keep_only};
use simopen_device::interface::{Interface, write_sysctl};
use simopen_device::namespace::{Namespace, NamespaceThread};
use simopen_device::socket_diagnosis::end_tcp_sockets;
use simopen_device::tun::{Tun, TunConfig};
use simopen_device::wait::{Urgency, run_before_others};
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};

use crate::error::LabError;

/// The interface of a host that leads into the network.
pub const PORT: &str = "port0";

type Job = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// What a host is.
#[derive(Debug, Clone)]
pub(crate) struct HostSpec {
    pub(crate) name: String,
    pub(crate) settings: Settings,
    pub(crate) mtu: u32,
    /// The capabilities that the host's programs have; `None` leaves all.
    pub(crate) privileges: Option<Vec<Privilege>>,
}

/// What may change from one run to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Addresses with the length of their prefix; the default route of each family leads into the
    /// TUN port.
    pub(crate) addresses: Vec<(IpAddr, u8)>,
    /// The local ports that the kernel chooses from.
    pub(crate) local_ports: RangeInclusive<u16>,
}

/// A running host. Its namespace and port go when it is dropped.
#[derive(Debug)]
pub struct Host {
    name: String,
    orders: Option<mpsc::UnboundedSender<Order>>,
    thread: Option<NamespaceThread<()>>,
}

/// A host that is being built, while others are too.
pub(crate) struct Building {
    host: Host,
    port: std_mpsc::Receiver<Result<Tun, DeviceError>>,
}

enum Order {
    Run(Job),
    Renew(Settings, std_mpsc::SyncSender<Result<(), DeviceError>>),
}

impl Host {
    /// Begins to build a host.
    pub(crate) fn build(spec: HostSpec) -> Result<Building, LabError> {
        let (orders, queue) = mpsc::unbounded_channel();
        let (ready, port) = std_mpsc::sync_channel(1);
        let name = spec.name.clone();
        let thread = Namespace::spawn(&name, move || {
            let opened = open_port(&spec);
            let works = opened.is_ok();
            // Whoever builds may have given up.
            let _ = ready.send(opened);
            if works {
                serve(queue, spec.settings, spec.privileges.as_deref());
            }
        })?;
        Ok(Building { host: Self { name, orders: Some(orders), thread: Some(thread) }, port })
    }

    /// The host's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs a future in the host's namespace, in a task of its own.
    ///
    /// # Errors
    ///
    /// [`LabError::ThreadEnded`] where the host is gone.
    pub fn spawn<T, F>(
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
        self.order(Order::Run(job))?;
        Ok(Spawned { host: self.name.clone(), result })
    }

    /// Begins to end everything that runs on the host, every TCP socket that the kernel has of it,
    /// and to change its settings.
    pub(crate) fn renew(&self, settings: Settings) -> Result<Renewing, LabError> {
        let (reply, done) = std_mpsc::sync_channel(1);
        self.order(Order::Renew(settings, reply))?;
        Ok(Renewing { host: self.name.clone(), done })
    }

    fn order(&self, order: Order) -> Result<(), LabError> {
        let ended = || LabError::ThreadEnded(self.name.clone());
        self.orders.as_ref().ok_or_else(ended)?.send(order).map_err(|_| ended())
    }
}

impl Drop for Host {
    /// Ends the host's runtime and waits for its thread.
    fn drop(&mut self) {
        self.orders = None;
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
        let ended = || LabError::ThreadEnded(self.host.name.clone());
        let port = self.port.recv().map_err(|_| ended())??;
        Ok((self.host, port))
    }
}

/// The result of a job.
#[derive(Debug)]
pub struct Spawned<T> {
    host: String,
    result: oneshot::Receiver<T>,
}

impl<T> Spawned<T> {
    /// Waits for the result.
    ///
    /// # Errors
    ///
    /// [`LabError::ThreadEnded`] where the job panicked or the host is gone.
    pub async fn join(self) -> Result<T, LabError> {
        self.result.await.map_err(|_| LabError::ThreadEnded(self.host))
    }

    /// The same for a thread that runs no asynchronous runtime.
    ///
    /// # Errors
    ///
    /// As [`join`](Self::join).
    ///
    /// # Panics
    ///
    /// On a thread that runs an asynchronous runtime.
    pub fn wait(self) -> Result<T, LabError> {
        self.result.blocking_recv().map_err(|_| LabError::ThreadEnded(self.host))
    }
}

/// A host that is being renewed, while others are too.
pub(crate) struct Renewing {
    host: String,
    done: std_mpsc::Receiver<Result<(), DeviceError>>,
}

impl Renewing {
    /// Waits until it is done.
    pub(crate) fn finish(self) -> Result<(), LabError> {
        Ok(self.done.recv().map_err(|_| LabError::ThreadEnded(self.host))??)
    }
}

/// A host's threads and the fabric's mostly sleep, and must wake in time on a busy machine.
pub(crate) fn prefer_this_thread(urgency: Urgency) {
    if let Err(error) = run_before_others(urgency) {
        tracing::debug!(%error, "the threads of the lab run among all others");
    }
}

fn open_port(spec: &HostSpec) -> Result<Tun, DeviceError> {
    // What a connection learnt of a path shall not help the next one.
    write_sysctl("net/ipv4/tcp_no_metrics_save", "1")?;
    choose_local_ports(&spec.settings.local_ports)?;
    let tun = Tun::open(&TunConfig { mtu: spec.mtu, ..TunConfig::named(PORT) })?;
    configure(tun.interface(), &spec.settings.addresses)?;
    Ok(tun)
}

fn choose_local_ports(ports: &RangeInclusive<u16>) -> Result<(), DeviceError> {
    let range = format!("{} {}", ports.start(), ports.end());
    write_sysctl("net/ipv4/ip_local_port_range", &range)
}

/// Gives the interface its addresses, brings it up, and leads everything into it.
fn configure(interface: &Interface, addresses: &[(IpAddr, u8)]) -> Result<(), DeviceError> {
    for (address, prefix) in addresses {
        interface.add_address(*address, *prefix)?;
    }
    interface.set_up()?;
    if addresses.iter().any(|(address, _)| address.is_ipv4()) {
        interface.add_default_route_v4()?;
    }
    if addresses.iter().any(|(address, _)| address.is_ipv6()) {
        interface.add_default_route_v6()?;
    }
    Ok(())
}

/// Runs jobs until the host is dropped, on a runtime that lasts from one renewal to the next.
fn serve(
    mut queue: mpsc::UnboundedReceiver<Order>,
    mut settings: Settings,
    privileges: Option<&[Privilege]>,
) {
    prefer_this_thread(Urgency::Worker);
    if let Some(privileges) = privileges
        && let Err(error) = keep_only(privileges)
    {
        tracing::error!(%error, "a host cannot do without its capabilities");
        return;
    }
    loop {
        let Ok(runtime) = runtime::Builder::new_current_thread().enable_all().build() else {
            // The queue closes, and whoever sends a job learns that the thread has ended.
            return;
        };
        let renewal = runtime.block_on(async {
            loop {
                match queue.recv().await? {
                    Order::Run(job) => drop(tokio::spawn(job())),
                    Order::Renew(next, reply) => return Some((next, reply)),
                }
            }
        });
        let Some((next, reply)) = renewal else { return };
        // All tasks end with it, and with them their sockets.
        drop(runtime);
        // Whoever asked may have given up.
        let _ = reply.send(renew(&settings, &next));
        settings = next;
    }
}

fn renew(before: &Settings, next: &Settings) -> Result<(), DeviceError> {
    end_tcp_sockets()?;
    choose_local_ports(&next.local_ports)?;
    if before.addresses == next.addresses {
        return Ok(());
    }
    let interface = Interface::find(PORT)?;
    // An interface's routes go when it goes down.
    interface.set_down()?;
    interface.flush_addresses()?;
    configure(&interface, &next.addresses)
}
