//! A logged-in peer.

mod linking;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use simopen_device::gateway::{default_gateway_v4, default_gateway_v6};
use simopen_device::handover::own_window_scale;
use simopen_packet::{Entropy, Timestamp};
use simopen_protocol::address::HostPort;
use simopen_protocol::control::{Action, Certificate, ConnectionRequest, Login, Reply};
use simopen_protocol::identity::{DeviceName, PeerId, SessionId, UserId};
use simopen_protocol::technique::Technique;
use simopen_traversal::{Attempt, AttemptConfig, Event, FromBroker, Role, SynTemplate};
use tokio::sync::{Semaphore, broadcast, mpsc};
use tokio::task::JoinHandle;
use tracing::debug;

pub use self::linking::{LinkError, Step, Whom};
use crate::carriage::Carried;
use crate::config::{Identity, PeerConfig};
use crate::error::{ConnectError, LoginError, RequestError};
use crate::link::{Link, Opening};
use crate::news::News;
use crate::ports::{Port, Ports, Prober};
use crate::renewal::keep_renewed;
use crate::tls::broker_client;
use crate::world::{Context, drive};

/// Connections that nobody has taken yet, and requests that nobody has read yet.
const BACKLOG: usize = 16;
/// Requests that are answered at a time; each holds a port.
const RESPONDING: usize = 16;
/// How long the broker may take to answer a request.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// A logged-in peer. It logs out when the last clone and its [`Incoming`] are dropped.
#[derive(Debug, Clone)]
pub struct Peer {
    config: Arc<PeerConfig>,
    link: Link,
    /// None where a proxy stands between.
    ports: Option<Ports>,
    id: PeerId,
}

/// Connections that other peers opened to this one.
#[derive(Debug)]
pub struct Incoming {
    connections: mpsc::Receiver<Result<Connection, ConnectError>>,
}

/// Something that happened in one of this peer's attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// Which side of the session this peer is.
    pub role: Role,
    /// The session, once the broker has named it.
    pub session: Option<SessionId>,
    /// What happened.
    pub event: Event,
}

/// A connection that the other side has confirmed.
#[derive(Debug)]
pub struct Connection {
    /// A plain kernel socket, but where a relay is reached inside bodies of HTTP.
    pub stream: Carried,
    /// The session that opened it.
    pub session: SessionId,
    /// Which side of it this peer is.
    pub role: Role,
    /// When this side's kernel said ESTABLISHED.
    pub established_at: Timestamp,
    /// Who the broker says is at the other end.
    pub(crate) introduction: Option<Introduction>,
    /// Forwards the packets of a flow that goes by a TUN route.
    pub(crate) route: Option<Route>,
}

/// Whom the broker has announced for a session, and by what this side shows there who it is.
#[derive(Debug, Clone)]
pub(crate) struct Introduction {
    pub(crate) peer: PeerId,
    pub(crate) device: Option<DeviceName>,
    pub(crate) certificate: Option<Certificate>,
}

/// A task that forwards the packets of one flow, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Route(pub(crate) JoinHandle<()>);

impl Drop for Route {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Peer {
    /// Logs in and begins to keep proven ports ready.
    ///
    /// # Errors
    ///
    /// [`LoginError`] when the broker cannot be reached, does not answer in
    /// [`PeerConfig::login_timeout`], or refuses.
    pub async fn login(config: PeerConfig) -> Result<(Self, Incoming), LoginError> {
        let mut last = LoginError::NoAddress;
        for broker in &config.brokers {
            let waited = config.login_timeout;
            let login = Self::login_at(broker, &config);
            let timed_out = || Err(LoginError::TimedOut { broker: broker.clone(), waited });
            match tokio::time::timeout(waited, login).await.unwrap_or_else(|_| timed_out()) {
                Ok(logged_in) => return Ok(logged_in),
                // Another address is another way to the same broker.
                Err(error @ LoginError::Refused(_)) => return Err(error),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn login_at(
        broker: &HostPort,
        config: &PeerConfig,
    ) -> Result<(Self, Incoming), LoginError> {
        let (asked, requests) = mpsc::channel(BACKLOG);
        let (secret, tls) = match &config.identity {
            Identity::Secret(secret) => (Some(*secret), None),
            Identity::Device(credentials) => (None, Some(broker_client(&credentials.now())?)),
        };
        let opening = Opening {
            carriage: config.carriage.clone(),
            login: Login { user: config.user.clone(), secret, reachable: config.reachable },
            tls: tls.clone(),
            asked,
            news: config.news.clone(),
            links: config.links.clone(),
        };
        let (link, logged_in) = Link::open(broker, opening).await?;
        // Through a proxy a probe would prove the proxy's port.
        let ports = link.ends.map(|ends| {
            let prober = Prober {
                address: ends.local.ip(),
                broker: ends.broker,
                peer: logged_in.peer,
                secret: logged_in.probe_secret,
                tls,
                clock: config.clock,
            };
            Ports::spawn(prober, config.ports)
        });
        if let Identity::Device(credentials) = &config.identity {
            tokio::spawn(keep_renewed(credentials.clone(), link.clone(), config.news.clone()));
        }
        let peer = Self { config: Arc::new(config.clone()), link, ports, id: logged_in.peer };
        let (sender, connections) = mpsc::channel(BACKLOG);
        tokio::spawn(peer.clone().respond_to(requests, sender));
        Ok((peer, Incoming { connections }))
    }

    /// This device's number at the broker.
    #[must_use]
    pub const fn id(&self) -> PeerId {
        self.id
    }

    /// The measured round trip to the broker.
    #[must_use]
    pub fn round_trip(&self) -> Duration {
        self.link.round_trip()
    }

    /// Waits until a port is proven to the broker, so that a request costs no extra round trip.
    /// Where a proxy stands between none can be, and none is waited for.
    ///
    /// # Errors
    ///
    /// [`ConnectError::LinkLost`] when the peer has ended.
    pub async fn ready(&self) -> Result<(), ConnectError> {
        match &self.ports {
            Some(ports) => ports.ready().await.ok_or(ConnectError::LinkLost),
            None => Ok(()),
        }
    }

    /// Asks the broker for something that is no connection.
    ///
    /// # Errors
    ///
    /// [`RequestError`] when it refuses, is silent or gone.
    pub async fn request(&self, action: Action) -> Result<Reply, RequestError> {
        let asked = tokio::time::timeout(ANSWER_TIME, self.link.ask(action)).await;
        let answer = asked.map_err(|_| RequestError::TimedOut(ANSWER_TIME))?;
        answer.ok_or(RequestError::LinkLost)?.result.map_err(RequestError::Refused)
    }

    /// What the broker tells from now on.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<News> {
        self.config.news.subscribe()
    }

    /// Logs out in good order: the broker tells others at once. Links to other peers stay.
    pub async fn logout(&self) {
        // Where it does not answer, the end of the link says the same.
        let _ = self.request(Action::Logout).await;
        self.link.close().await;
    }

    /// Waits until the link to the broker is gone.
    pub async fn lost(&self) {
        self.link.lost().await;
    }

    /// When the broker wants to be tried again, if it said that it goes away.
    #[must_use]
    pub fn restarting(&self) -> Option<Duration> {
        self.link.restarting()
    }

    /// Opens a connection to another user: plain text, as experiments want it. What a joined device
    /// wants is [`Peer::link_to`].
    ///
    /// # Errors
    ///
    /// [`ConnectError`] with one cause.
    pub async fn connect(
        &self,
        to: &UserId,
        technique: Technique,
    ) -> Result<Connection, ConnectError> {
        self.connect_to(to, None, technique).await
    }

    async fn connect_to(
        &self,
        to: &UserId,
        device: Option<&DeviceName>,
        technique: Technique,
    ) -> Result<Connection, ConnectError> {
        let port = self.port_for(technique).await?;
        let config = self.attempt_config(technique, port.as_ref());
        let attempt = Attempt::originate(config, to.clone(), entropy()?, self.config.clock.now());
        let (to_attempt, from_broker) = mpsc::unbounded_channel();
        let context = self.context(port, to_attempt, from_broker);
        drive(attempt, Context { device: device.cloned(), ..context }).await
    }

    async fn respond_to(
        self,
        mut requests: mpsc::Receiver<ConnectionRequest>,
        connections: mpsc::Sender<Result<Connection, ConnectError>>,
    ) {
        let places = Arc::new(Semaphore::new(RESPONDING));
        loop {
            let request = tokio::select! {
                request = requests.recv() => request,
                () = connections.closed() => return,
            };
            let Some(request) = request else {
                return;
            };
            debug!(user = %request.user, technique = %request.technique, "asked for a connection");
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let (peer, connections) = (self.clone(), connections.clone());
            tokio::spawn(async move {
                let _place = place;
                let connection = peer.respond(&request).await;
                let Some(links) = &peer.config.links else {
                    // Whoever took connections may have gone away.
                    let _ = connections.send(connection).await;
                    return;
                };
                peer.accept_link(links, &request, connection).await;
            });
        }
    }

    async fn respond(&self, request: &ConnectionRequest) -> Result<Connection, ConnectError> {
        let port = self.port_for(request.technique).await?;
        let (to_attempt, from_broker) = mpsc::unbounded_channel();
        if !self.link.subscribe(request.session, &to_attempt).await {
            return Err(ConnectError::LinkLost);
        }
        let config = self.attempt_config(request.technique, port.as_ref());
        let attempt = Attempt::respond(config, request, entropy()?, self.config.clock.now());
        let introduction = Introduction {
            peer: request.peer,
            device: request.device.clone(),
            certificate: request.certificate.clone(),
        };
        let context = self.context(port, to_attempt, from_broker);
        drive(attempt, Context { introduction: Some(introduction), ..context }).await
    }

    /// A proven port, where the technique needs one.
    async fn port_for(&self, technique: Technique) -> Result<Option<Port>, ConnectError> {
        if technique.meets_at_relay() {
            return Ok(None);
        }
        let ports = self.ports.as_ref().ok_or(ConnectError::BehindProxy)?;
        ports.take().await.map(Some).ok_or(ConnectError::LinkLost)
    }

    fn context(
        &self,
        port: Option<Port>,
        to_attempt: mpsc::UnboundedSender<FromBroker>,
        from_broker: mpsc::UnboundedReceiver<FromBroker>,
    ) -> Context {
        Context {
            config: Arc::clone(&self.config),
            link: self.link.clone(),
            port,
            from_broker,
            to_attempt,
            device: None,
            introduction: None,
        }
    }

    fn attempt_config(&self, technique: Technique, port: Option<&Port>) -> AttemptConfig {
        let anywhere = IpAddr::from([0, 0, 0, 0]);
        let (own, broker) = self.link.ends.map_or_else(
            // Behind a proxy nobody knows where a name leads to, but an address is what it is.
            || (anywhere, self.link.named.unwrap_or(anywhere)),
            |ends| (ends.local.ip(), ends.broker.ip()),
        );
        let any = SocketAddr::new(own, 0);
        let (local, observed) =
            port.map_or((any, any), |port| (port.proven.local, port.proven.observed));
        let syn = SynTemplate {
            mss: if local.is_ipv4() { 1460 } else { 1440 },
            // Without the figure the option stays out, which only costs throughput.
            window_scale: own_window_scale().ok(),
            ..SynTemplate::default()
        };
        AttemptConfig {
            technique,
            local,
            observed,
            broker,
            gateway: self.config.gateway.or_else(|| gateway_for(local.ip())),
            round_trip: self.round_trip(),
            kernel_ttl: self.config.kernel_ttl,
            low_ttl: self.config.low_ttl,
            syn,
            start_skew: self.config.start_skew,
        }
    }
}

impl Incoming {
    /// The next connection, or why one did not come about. `None` once the peer has logged out.
    pub async fn next(&mut self) -> Option<Result<Connection, ConnectError>> {
        self.connections.recv().await
    }
}

fn gateway_for(local: IpAddr) -> Option<IpAddr> {
    if local.is_ipv4() { default_gateway_v4() } else { default_gateway_v6() }
}

fn entropy() -> Result<Entropy, ConnectError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        simopen_device::DeviceError::system("getrandom", "32 bytes", std::io::Error::other(error))
    })?;
    Ok(Entropy::new(bytes))
}
