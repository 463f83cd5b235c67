//! What a device keeps between two runs: its state directory.
//!
//! ```text
//! HOME/                       0700
//!   brokers/NAME/             one folder for each broker that was joined
//!     broker.json             its name, its addresses, whose device this is
//!     device.key              the device's private key, PKCS#8 in PEM, 0600; it never leaves the device
//!     certificate.pem         the device's certificate, renewed on the link
//!     authority.pem           the broker's certificate authority
//!     pins.json               the keys of other devices, as they were at first contact
//!     shares.json             what this device shares whenever it is logged in
//!   simopen.toml              settings, where somebody has written some
//!   manager.sock              where `simopen peer` listens, 0600
//!   log.jsonl, log.old.jsonl  what happened on this device
//! ```
//!
//! A file is written beside its place and renamed into it, so that a reader and a power cut see the
//! old one or the new one. What others may read or what belongs to another user is refused: a key
//! that somebody else could have read is no key any more.

mod files;
mod log;
mod membership;
mod pins;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use simopen_protocol::identity::BrokerName;
use thiserror::Error;

pub use self::log::{DeviceLog, Entry, Event};
pub use self::membership::Membership;
pub use self::pins::{Pin, PinFile, Verified};
pub use crate::credentials::DeviceKey;

/// The state directory of one device. It is looked at anew in each call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    path: PathBuf,
}

impl Home {
    /// Opens the directory, and makes it where it is not there.
    ///
    /// # Errors
    ///
    /// [`HomeError`] when it cannot be made, is open to others or belongs to another user.
    pub fn open(path: &Path) -> Result<Self, HomeError> {
        files::make_private(path)?;
        let home = Self { path: path.to_owned() };
        files::make_private(&home.brokers_path())?;
        Ok(home)
    }

    /// Opens the directory. `None` where it is not there.
    ///
    /// # Errors
    ///
    /// [`HomeError`] when it is open to others or belongs to another user.
    pub fn find(path: &Path) -> Result<Option<Self>, HomeError> {
        path.exists().then(|| Self::open(path)).transpose()
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where its owner writes settings. Not read here.
    #[must_use]
    pub fn settings(&self) -> PathBuf {
        self.path.join("simopen.toml")
    }

    /// Where the manager listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.path.join("manager.sock")
    }

    /// What happened on this device.
    #[must_use]
    pub fn log(&self) -> DeviceLog {
        DeviceLog::at(&self.path)
    }

    /// The names of the brokers that were joined, in alphabetical order.
    ///
    /// # Errors
    ///
    /// [`HomeError`] when the directory cannot be read.
    pub fn brokers(&self) -> Result<Vec<BrokerName>, HomeError> {
        let mut names: Vec<BrokerName> = files::names(&self.brokers_path())?
            .into_iter()
            .filter_map(|name: OsString| name.to_str()?.parse().ok())
            // A folder that is still being made begins with a dot.
            .filter(|name: &BrokerName| !name.as_str().starts_with('.'))
            .collect();
        names.sort();
        Ok(names)
    }

    /// What is known of one broker.
    ///
    /// # Errors
    ///
    /// [`HomeError::NotJoined`] without such a broker, others for what cannot be read.
    pub fn membership(&self, name: &BrokerName) -> Result<Membership, HomeError> {
        let folder = self.folder(name);
        if !folder.is_dir() {
            return Err(HomeError::NotJoined { name: name.clone(), joined: self.brokers()? });
        }
        Membership::read(name, &folder)
    }

    /// All brokers that were joined.
    ///
    /// # Errors
    ///
    /// [`HomeError::Empty`] where there is none, others for what cannot be read.
    pub fn memberships(&self) -> Result<Vec<Membership>, HomeError> {
        let names = self.brokers()?;
        if names.is_empty() {
            return Err(HomeError::Empty { path: self.path.clone() });
        }
        names.iter().map(|name| self.membership(name)).collect()
    }

    /// Keeps a broker that was joined.
    ///
    /// # Errors
    ///
    /// [`HomeError::AlreadyJoined`] where the name is taken, others for what cannot be written.
    pub fn add(&self, membership: &Membership) -> Result<(), HomeError> {
        let folder = self.folder(&membership.name);
        if folder.exists() {
            return Err(HomeError::AlreadyJoined { name: membership.name.clone() });
        }
        let unfinished = self.brokers_path().join(format!(".{}.new", membership.name));
        files::remove_folder(&unfinished)?;
        files::make_private(&unfinished)?;
        membership.write(&unfinished)?;
        files::rename(&unfinished, &folder)
    }

    /// Forgets a broker: its key, certificates and pins.
    ///
    /// # Errors
    ///
    /// [`HomeError`] when something cannot be removed.
    pub fn forget(&self, name: &BrokerName) -> Result<(), HomeError> {
        let leaving = self.brokers_path().join(format!(".{name}.old"));
        files::remove_folder(&leaving)?;
        files::rename(&self.folder(name), &leaving)?;
        files::remove_folder(&leaving)
    }

    /// Keeps a certificate that was renewed.
    ///
    /// # Errors
    ///
    /// [`HomeError`] when it cannot be written.
    pub fn renew(&self, name: &BrokerName, certificate: &[u8]) -> Result<(), HomeError> {
        membership::write_certificate(&self.folder(name), certificate)
    }

    /// The keys of other devices that this one met at a broker.
    #[must_use]
    pub fn pins(&self, name: &BrokerName) -> PinFile {
        PinFile::new(self.clone(), name.clone())
    }

    /// Reads one of a broker's JSON files. `None` where there is none.
    ///
    /// # Errors
    ///
    /// [`HomeError`] when it cannot be read or is none.
    pub fn read_json<T: serde::de::DeserializeOwned>(
        &self,
        name: &BrokerName,
        file: &str,
    ) -> Result<Option<T>, HomeError> {
        files::read_json(&self.folder(name).join(file))
    }

    /// Writes one of a broker's JSON files.
    ///
    /// # Errors
    ///
    /// [`HomeError`] when it cannot be written.
    pub fn write_json<T: serde::Serialize>(
        &self,
        name: &BrokerName,
        file: &str,
        value: &T,
    ) -> Result<(), HomeError> {
        files::write_json(&self.folder(name).join(file), value)
    }

    /// Takes the place of the device's one manager, until the result is dropped.
    pub(crate) fn lock_for_manager(&self) -> Result<File, HomeError> {
        let lock = files::try_lock(&self.path.join("manager.lock"))?;
        lock.ok_or_else(|| HomeError::Managed { path: self.path.clone() })
    }

    fn brokers_path(&self) -> PathBuf {
        self.path.join("brokers")
    }

    fn folder(&self, name: &BrokerName) -> PathBuf {
        self.brokers_path().join(name.as_str())
    }
}

/// What keeps the state directory from being used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HomeError {
    /// No broker was joined yet.
    #[error(
        "no broker was joined on this device ({} has none): ask for an invitation, then: \
         simopen join 'simopen://…'", path.display()
    )]
    Empty {
        /// The state directory.
        path: PathBuf,
    },
    /// Another broker is meant than those that were joined.
    #[error("no broker '{name}' was joined on this device; joined are: {}", listed(joined))]
    NotJoined {
        /// Which was meant.
        name: BrokerName,
        /// Which there are.
        joined: Vec<BrokerName>,
    },
    /// The name is taken.
    #[error("a broker '{name}' was joined on this device already")]
    AlreadyJoined {
        /// The name.
        name: BrokerName,
    },
    /// Another manager is there.
    #[error("`simopen peer` runs already for {}", path.display())]
    Managed {
        /// The state directory.
        path: PathBuf,
    },
    /// A file or directory is missing, or the system refuses it.
    #[error("{} cannot be {what}: {source}", path.display())]
    System {
        /// What was to be done.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It belongs to another user.
    #[error(
        "{} belongs to the system's user {owner}, not to the one that runs this: \
         run it as that user, or name another directory by --home", path.display()
    )]
    Foreign {
        /// What.
        path: PathBuf,
        /// The owner's number.
        owner: u32,
    },
    /// Others may read it.
    #[error(
        "{} is open to other users (mode {mode:03o}): if nobody has read it, \
         chmod {wanted:03o} it", path.display()
    )]
    Open {
        /// What.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// What it should have.
        wanted: u32,
    },
    /// It holds something else than it should.
    #[error("{} is damaged: {why}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

fn listed(names: &[BrokerName]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.iter().map(BrokerName::as_str).collect::<Vec<_>>().join(", ")
}
