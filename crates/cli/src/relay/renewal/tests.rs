//! A relay and its broker in one process, the time of both in the test's hand.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use simopen_broker::directory::Directory;
use simopen_broker::{AdminReply, AdminRequest, PairingOrder};
use simopen_peer::home::Home;
use simopen_protocol::control::{Certificate, Proxy};
use simopen_protocol::identity::SessionId;
use simopen_protocol::invitation::Invitation;
use simopen_protocol::token::Token;
use simopen_server::authority::{Authority, RELAY_LIFETIME};
use simopen_server::broker::{Builder, Handle, PairingAnswer, Pairings};
use simopen_server::data_directory::DataDirectory;
use simopen_server::relay::authentication::Dialler;
use simopen_server::relay::control::Remote;
use simopen_server::store::Sqlite;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;
use crate::relay::admit_broker;
use crate::relay::joining::Given;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

const HOUR: Duration = Duration::from_secs(3600);

/// For whom a test need not wait.
const AT_ONCE: Pace =
    Pace { look_again: Duration::from_millis(10), try_again: Duration::from_millis(10) };

fn now() -> u64 {
    WallClock::system().seconds()
}

/// A broker that a relay can join, and the relay's directory.
struct Stand {
    authority: Authority,
    broker: Handle,
    line: String,
    data: DataDirectory,
    folder: Folder,
}

/// It is gone when this is.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Stand {
    async fn start(name: &str) -> Self {
        let folder = format!("simopen-renewal-{name}-{}", std::process::id());
        let folder = Folder(std::env::temp_dir().join(folder));
        let data = DataDirectory::open(&folder.0.join("relay")).unwrap();
        let authority = Authority::ephemeral(now()).unwrap();
        let broker = start_broker(&authority, &folder, ([127, 0, 0, 1], 0).into());
        let invite = AdminRequest::InviteRelay { lifetime: HOUR };
        let invited = broker.desk().admin(invite).await.unwrap();
        let Ok(AdminReply::Invited { secret, until }) = invited else { panic!("{invited:?}") };
        let line = Invitation {
            broker: "broker".parse().unwrap(),
            addresses: vec![broker.local_addr().into()],
            authority: authority.fingerprint(),
            secret,
            until,
        };
        Self { authority, broker, line: line.reveal(), data, folder }
    }

    /// A relay whose certificate is good for so much longer.
    async fn joined(&self, rest: Duration) -> Joined {
        let data = &self.data;
        let given = |line| Given { line, name: None };
        drop(Joined::find_or_join(data, given(Some(&self.line))).await.unwrap());
        let home = Home::open(data.path()).unwrap();
        let member = home.memberships().unwrap().remove(0);
        let issued = now() + rest.as_secs() - RELAY_LIFETIME.as_secs();
        let old = self.authority.issue_relay(&member.key.public().unwrap(), issued).unwrap();
        home.renew(&member.name, &old.0).unwrap();
        Joined::find_or_join(data, given(None)).await.unwrap().0
    }
}

fn start_broker(authority: &Authority, folder: &Folder, at: SocketAddr) -> Handle {
    let listener = TcpListener::bind(at).unwrap();
    let builder = Builder::new(Directory::default()).authority(authority.clone());
    let store = Sqlite::open(folder.0.join("directory")).unwrap();
    builder.store(store).listen(listener).start().unwrap()
}

/// The certificate that a restart would find.
fn kept(data: &DataDirectory) -> Certificate {
    Home::open(data.path()).unwrap().memberships().unwrap().remove(0).certificate
}

/// Two who meet by this session's values.
struct Pair(TcpStream, TcpStream);

impl Pair {
    async fn of(relay: SocketAddr, session: u64) -> Self {
        let [a, b] = values(session);
        let connect = async |value: Token| {
            let mut stream = TcpStream::connect(relay).await.unwrap();
            stream.write_all(value.as_bytes()).await.unwrap();
            stream
        };
        let mut pair = Self(connect(a).await, connect(b).await);
        pair.talk().await;
        pair
    }

    async fn talk(&mut self) {
        self.0.write_all(b"?").await.unwrap();
        let heard = timeout(PATIENCE, self.1.read_u8()).await.expect("it comes").unwrap();
        assert_eq!(heard, b'?');
    }
}

fn values(session: u64) -> [Token; 2] {
    [1, 2].map(|side| Token::from_random([side + 2 * session as u8; 32]))
}

/// A broker's link to its relay, over which it has opened a session.
async fn opened(dialler: Dialler, session: u64) -> Remote {
    let (mut remote, mut answers) = Remote::start(move || {
        let dialler = dialler.clone();
        async move { dialler.dial().await }
    });
    let proxy = Proxy { session: SessionId(session), values: values(session) };
    let order = PairingOrder::Open(proxy);
    // It fails at once as long as the link does not stand.
    loop {
        remote.order(order.clone());
        let answer = timeout(PATIENCE, answers.recv()).await.expect("an answer").unwrap();
        if answer == PairingAnswer::Opened(SessionId(session)) {
            return remote;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_certificate_is_followed_by_another_and_no_pair_notices() {
    let stand = Stand::start("followed").await;
    let joined = stand.joined(HOUR).await;
    let old = kept(&stand.data);
    // Of the relay, and of the broker where it dials it.
    let time = Arc::new(AtomicU64::new(now()));
    let told = Arc::clone(&time);
    let clock = WallClock::by(move || told.load(Ordering::Relaxed));
    let outdated = Arc::new(Mutex::new(joined.door(&clock).unwrap()));
    let door = Arc::new(Mutex::new(joined.door(&clock).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let relay = simopen_server::relay::Builder::new().listen(listener).start().unwrap();
    let meet_at = relay.local_addrs()[0];
    let dialler = async |door: &Arc<Mutex<Door>>| {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(admit_broker(listener, Arc::clone(door), relay.clone()));
        Dialler::new(stand.authority.clone(), clock.clone(), at.into())
    };
    let (dialler, of_outdated) = (dialler(&door).await, dialler(&outdated).await);
    let _link = opened(dialler.clone(), 1).await;
    let mut pair = Pair::of(meet_at, 1).await;

    let renewal = Renewal { joined, door, clock: clock.clone(), pace: AT_ONCE };
    let renewal = tokio::spawn(renewal.run());
    let shown = async || {
        let (stream, _) = dialler.dial().await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    timeout(PATIENCE, async { while shown().await == old.0 {} }).await.expect("another one");
    assert_eq!(shown().await, kept(&stand.data).0, "it outlives a restart");
    pair.talk().await;

    time.fetch_add(2 * HOUR.as_secs(), Ordering::Relaxed);
    // The control: with the old one nobody gets in any more.
    of_outdated.dial().await.map(drop).unwrap_err();
    let _link = opened(dialler.clone(), 2).await;
    drop(Pair::of(meet_at, 2).await);
    pair.talk().await;
    renewal.abort();
}

#[tokio::test]
async fn a_certificate_that_has_run_out_is_renewed_as_soon_as_the_broker_is_back() {
    let stand = Stand::start("back").await;
    let joined = stand.joined(Duration::ZERO).await;
    let (at, old) = (stand.broker.local_addr(), kept(&stand.data));
    let authority = stand.authority.clone();
    stand.broker.stop().await;
    let nobody = tokio::net::TcpListener::bind(at).await.unwrap();

    let clock = WallClock::system();
    let door = Arc::new(Mutex::new(joined.door(&clock).unwrap()));
    let renewal = tokio::spawn(Renewal { joined, door, clock, pace: AT_ONCE }.run());
    // It is asked and does not answer.
    drop(timeout(PATIENCE, nobody.accept()).await.expect("the first try").unwrap());
    assert_eq!(kept(&stand.data), old);
    drop(nobody);
    let broker = start_broker(&authority, &stand.folder, at);
    let renewed = async {
        while kept(&stand.data) == old {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, renewed).await.expect("another certificate");
    renewal.abort();
    broker.stop().await;
}
