//! A broker of this test's own.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use simopen_broker::directory::Directory;
use simopen_broker::{AdminReply, AdminRequest};
use simopen_device::socket::listener_saving_syn;
use simopen_protocol::identity::BrokerName;
use simopen_protocol::invitation::Invitation;
use simopen_server::authority::Authority;
use simopen_server::broker::{Builder, Desk};
use simopen_server::relay;
use tokio::runtime::{Builder as RuntimeBuilder, Handle as RuntimeHandle};
use tokio::sync::oneshot;

/// How long an invitation is good.
const LIFETIME: Duration = Duration::from_secs(600);

/// A broker that ends with the test. Every user is in the communities that it was added with.
pub(crate) struct Broker {
    desk: Desk,
    runtime: RuntimeHandle,
    address: SocketAddr,
    authority: [u8; 32],
    name: BrokerName,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Broker {
    pub(crate) fn start(name: &str) -> Self {
        let name: BrokerName = name.parse().unwrap();
        let (started, starting) = mpsc::channel();
        let (end, ended) = oneshot::channel();
        let own_name = name.clone();
        let thread = thread::spawn(move || {
            let runtime = RuntimeBuilder::new_current_thread().enable_all().build().unwrap();
            let handle = runtime.handle().clone();
            runtime.block_on(async {
                let authority = Authority::ephemeral(now()).unwrap();
                let fingerprint = authority.fingerprint();
                let listener = listener_saving_syn((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
                let address = listener.local_addr().unwrap();
                let relay = relay::Builder::new().start().unwrap();
                let broker = Builder::new(Directory::default())
                    .name(own_name)
                    .authority(authority)
                    .listen(listener)
                    .relay(vec![address.into()], relay)
                    .start()
                    .unwrap();
                started.send((broker.desk(), handle, address, fingerprint)).unwrap();
                // Dropped where the test ended first.
                let _ = ended.await;
                broker.stop().await;
            });
        });
        let (desk, runtime, address, authority) = starting.recv().unwrap();
        Self { desk, runtime, address, authority, name, end: Some(end), thread: Some(thread) }
    }

    pub(crate) fn admin(&self, request: AdminRequest) -> AdminReply {
        let desk = self.desk.clone();
        let (answer, answered) = mpsc::channel();
        self.runtime.spawn(async move {
            answer.send(desk.admin(request).await).unwrap();
        });
        answered.recv().unwrap().unwrap().unwrap()
    }

    pub(crate) fn add(&self, user: &str, communities: &[&str]) {
        let communities = communities.iter().map(|name| name.parse().unwrap()).collect();
        self.admin(AdminRequest::AddUser { user: user.parse().unwrap(), communities });
    }

    /// An invitation for another device of this user.
    pub(crate) fn invite(&self, user: &str) -> Invitation {
        let user = user.parse().unwrap();
        let reply = self.admin(AdminRequest::Invite { user, lifetime: LIFETIME });
        self.invitation(reply)
    }

    /// An invitation for a relay.
    pub(crate) fn invite_relay(&self) -> Invitation {
        self.invitation(self.admin(AdminRequest::InviteRelay { lifetime: LIFETIME }))
    }

    fn invitation(&self, reply: AdminReply) -> Invitation {
        let AdminReply::Invited { secret, until } = reply else { panic!("{reply:?}") };
        Invitation {
            broker: self.name.clone(),
            addresses: vec![self.address.into()],
            authority: self.authority,
            secret,
            until,
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the broker panicked");
        }
    }
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
