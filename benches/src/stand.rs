//! A broker whose users have joined with a device each.

use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use simopen_broker::directory::{Change, Device, DeviceKind, Directory, Standing};
use simopen_device::socket::listener_saving_syn;
use simopen_peer::{Credentials, DeviceKey};
use simopen_protocol::control::PublicKey;
use simopen_protocol::identity::{BrokerName, CommunityName, DeviceName, IdentityError, UserId};
use simopen_protocol::token::Token;
use simopen_server::authority::{Authority, Subject};
use simopen_server::broker::{Builder, Desk};
use simopen_server::wall_clock::WallClock;
use tokio::runtime;
use tokio::sync::oneshot;

/// Users `u0`, `u1`, …, and how many of them share a community, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crowd {
    /// How many there are.
    pub users: usize,
    /// How many of them are friends.
    pub of_community: usize,
}

impl Crowd {
    /// All in one community.
    #[must_use]
    pub const fn friends(users: usize) -> Self {
        Self { users, of_community: users }
    }

    /// Two in each.
    #[must_use]
    pub const fn couples(couples: usize) -> Self {
        Self { users: 2 * couples, of_community: 2 }
    }
}

/// The device of each user.
pub const DEVICE: &str = "laptop";

/// A running broker, on a thread of its own, and who may log in. It is stopped when this is dropped.
pub struct Stand {
    /// Where it listens.
    pub address: SocketAddr,
    /// Whom to ask about it.
    pub desk: Desk,
    /// What each user's device shows.
    pub devices: Vec<Credentials>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Stand {
    /// Starts a broker on loopback for so many users, as `but` wants it.
    ///
    /// # Errors
    ///
    /// What keeps it from starting.
    pub fn start(
        users: usize,
        but: impl FnOnce(Builder) -> Builder + Send + 'static,
    ) -> Result<Self, Failure> {
        Prepared::new(users)?.start(but)
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A thread that panicked has stopped all the same.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// The secret by which that user logs in over a link in clear text.
#[must_use]
pub fn secret(number: usize) -> Token {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
    Token::from_random(bytes)
}

/// What that community is called, the first being 0.
///
/// # Errors
///
/// Never.
pub fn community(number: usize) -> Result<CommunityName, IdentityError> {
    CommunityName::new(&format!("friends{number}"))
}

/// What keeps a broker from starting.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Users and devices of a broker that does not run yet.
#[derive(Clone)]
pub struct Prepared {
    /// Who signs.
    pub authority: Authority,
    /// What the broker knows.
    pub directory: Directory,
    /// What each user's device shows.
    pub devices: Vec<Credentials>,
}

impl Prepared {
    /// So many users, all friends.
    ///
    /// # Errors
    ///
    /// Where keys cannot be made.
    pub fn new(users: usize) -> Result<Self, Failure> {
        let authority = Authority::ephemeral(WallClock::default().seconds())?;
        Self::by(authority, Crowd::friends(users))
    }

    /// Such users, signed by an authority that somebody keeps.
    ///
    /// # Errors
    ///
    /// Where keys cannot be made.
    pub fn by(authority: Authority, crowd: Crowd) -> Result<Self, Failure> {
        let mut prepared = Self { authority, directory: Directory::default(), devices: Vec::new() };
        for number in 0..crowd.users {
            let key = DeviceKey::generate()?;
            let (user, device) = prepared.admit(number, crowd.of_community, key.public()?)?;
            let (authority, public) = (&prepared.authority, key.public()?);
            let subject = Subject { user: &user, device: &device, key: &public };
            let certificate = authority.issue_device(subject, WallClock::default().seconds())?;
            let (broker, authority) = (BrokerName::new("stand")?, authority.certificate());
            prepared.devices.push(Credentials {
                broker,
                user,
                device,
                authority,
                certificate,
                key,
            });
        }
        Ok(prepared)
    }

    /// The directory of users whose devices have these keys, for a broker in another process.
    ///
    /// # Errors
    ///
    /// Never, for names of its own.
    pub fn of_keys(
        authority: Authority,
        keys: Vec<PublicKey>,
        of_community: usize,
    ) -> Result<Self, Failure> {
        let mut prepared = Self { authority, directory: Directory::default(), devices: Vec::new() };
        for (number, key) in keys.into_iter().enumerate() {
            prepared.admit(number, of_community, key)?;
        }
        Ok(prepared)
    }

    fn admit(
        &mut self,
        number: usize,
        of_community: usize,
        key: PublicKey,
    ) -> Result<(UserId, DeviceName), Failure> {
        let (user, name) = (UserId::new(&format!("u{number}"))?, DeviceName::new(DEVICE)?);
        let community = community(number / of_community)?;
        self.directory.apply(&Change::User { user: user.clone(), secret: Some(secret(number)) });
        self.directory.apply(&Change::Member { community, user: user.clone() });
        self.directory.apply(&Change::Device(Device {
            user: user.clone(),
            name: name.clone(),
            key,
            kind: DeviceKind::Peer,
            joined: WallClock::default().seconds(),
            invited_by: None,
            standing: Standing::Good,
        }));
        Ok((user, name))
    }

    /// Starts their broker on loopback, as `but` wants it.
    ///
    /// # Errors
    ///
    /// What keeps it from starting.
    pub fn start(
        self,
        but: impl FnOnce(Builder) -> Builder + Send + 'static,
    ) -> Result<Stand, Failure> {
        self.start_on(listener_saving_syn("127.0.0.1:0".parse()?)?, but)
    }

    /// The same on a listener whose address somebody has to know before.
    ///
    /// # Errors
    ///
    /// What keeps it from starting.
    pub fn start_on(
        self,
        listener: TcpListener,
        but: impl FnOnce(Builder) -> Builder + Send + 'static,
    ) -> Result<Stand, Failure> {
        let builder = Builder::new(self.directory).authority(self.authority).listen(listener);
        let (ready, started) = mpsc::sync_channel(1);
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = move || -> Result<(), Failure> {
            let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let broker = but(builder).start()?;
                // Whoever starts it waits below.
                let _ = ready.send((broker.local_addr(), broker.desk()));
                let _ = stopped.await;
                broker.stop().await;
                Ok(())
            })
        };
        let thread = thread::Builder::new().name("broker".to_owned()).spawn(move || {
            if let Err(error) = serve() {
                eprintln!("the broker did not start: {error}");
            }
        })?;
        let (address, desk) = started.recv()?;
        let (stop, thread) = (Some(stop), Some(thread));
        Ok(Stand { address, desk, devices: self.devices, stop, thread })
    }
}
