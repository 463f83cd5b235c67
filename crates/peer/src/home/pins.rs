//! Keys of other devices, in a file.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use simopen_protocol::control::PublicKey;
use simopen_protocol::identity::{BrokerName, DeviceName, UserId};

use super::{Home, HomeError, files};

const PINS_FILE: &str = "pins.json";
const LOCK_FILE: &str = "pins.lock";

/// Whether a person has compared a key with the one that the other device shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verified {
    /// It was there at first contact, and nobody has compared it.
    #[default]
    No,
    /// It was compared.
    Yes,
}

/// The key of another device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Whose device it is.
    pub user: UserId,
    /// What that user calls it.
    pub device: DeviceName,
    /// Its key, as it was at first contact or was accepted.
    pub key: PublicKey,
    /// Whether somebody has compared it.
    pub verified: Verified,
    /// Another key that came under this name since, and was refused.
    pub refused: Option<PublicKey>,
}

/// The keys of other devices that this one met at one broker. Several processes may use the file at
/// a time.
#[derive(Debug, Clone)]
pub struct PinFile {
    home: Home,
    broker: BrokerName,
}

#[derive(Default, Serialize, Deserialize)]
struct Content {
    /// By `USER/DEVICE`.
    devices: BTreeMap<String, Stored>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    /// DER of the SubjectPublicKeyInfo, in base64.
    key: String,
    #[serde(default)]
    verified: Verified,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

impl PinFile {
    pub(super) const fn new(home: Home, broker: BrokerName) -> Self {
        Self { home, broker }
    }

    /// All of them, by user and device.
    ///
    /// # Errors
    ///
    /// [`HomeError`] when the file cannot be read.
    pub fn all(&self) -> Result<Vec<Pin>, HomeError> {
        let content = self.read()?;
        content.devices.iter().map(|(name, stored)| self.pin_of(name, stored)).collect()
    }

    /// The one of this device.
    ///
    /// # Errors
    ///
    /// [`HomeError`] when the file cannot be read.
    pub fn find(&self, user: &UserId, device: &DeviceName) -> Result<Option<Pin>, HomeError> {
        let name = written(user, device);
        let content = self.read()?;
        content.devices.get(&name).map(|stored| self.pin_of(&name, stored)).transpose()
    }

    /// Keeps the key of a device at first contact; gives the one that is kept now.
    ///
    /// # Errors
    ///
    /// [`HomeError`] when the file cannot be written.
    pub fn keep(
        &self,
        user: &UserId,
        device: &DeviceName,
        key: &PublicKey,
    ) -> Result<PublicKey, HomeError> {
        let name = written(user, device);
        self.change(|content| {
            let stored = content.devices.entry(name.clone()).or_insert_with(|| Stored {
                key: STANDARD.encode(&key.0),
                verified: Verified::No,
                refused: None,
            });
            self.pin_of(&name, stored).map(|pin| pin.key)
        })
    }

    /// Remembers that a device came with another key, so that it can be accepted.
    ///
    /// # Errors
    ///
    /// [`HomeError`] when the file cannot be written.
    pub fn refuse(
        &self,
        user: &UserId,
        device: &DeviceName,
        key: &PublicKey,
    ) -> Result<(), HomeError> {
        self.change(|content| {
            if let Some(stored) = content.devices.get_mut(&written(user, device)) {
                stored.refused = Some(STANDARD.encode(&key.0));
            }
            Ok(())
        })
    }

    /// Takes the key that was refused for the device's. `None` where none was.
    ///
    /// # Errors
    ///
    /// [`HomeError`] when the file cannot be written.
    pub fn accept(
        &self,
        user: &UserId,
        device: &DeviceName,
    ) -> Result<Option<PublicKey>, HomeError> {
        let name = written(user, device);
        self.change(|content| {
            let Some(stored) = content.devices.get_mut(&name) else {
                return Ok(None);
            };
            let Some(refused) = stored.refused.take() else {
                return Ok(None);
            };
            *stored = Stored { key: refused, verified: Verified::No, refused: None };
            self.pin_of(&name, stored).map(|pin| Some(pin.key))
        })
    }

    /// Remembers that a person has compared this very key. `false` where it is another one by now.
    ///
    /// # Errors
    ///
    /// [`HomeError`] when the file cannot be written.
    pub fn verify(
        &self,
        user: &UserId,
        device: &DeviceName,
        key: &PublicKey,
    ) -> Result<bool, HomeError> {
        let encoded = STANDARD.encode(&key.0);
        self.change(|content| {
            let stored = content.devices.get_mut(&written(user, device));
            let Some(stored) = stored.filter(|stored| stored.key == encoded) else {
                return Ok(false);
            };
            stored.verified = Verified::Yes;
            Ok(true)
        })
    }

    fn read(&self) -> Result<Content, HomeError> {
        Ok(self.home.read_json(&self.broker, PINS_FILE)?.unwrap_or_default())
    }

    /// Reads, changes and writes while no other process does.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Content) -> Result<T, HomeError>,
    ) -> Result<T, HomeError> {
        let _lock = files::lock(&self.home.folder(&self.broker).join(LOCK_FILE))?;
        let mut content = self.read()?;
        let result = change(&mut content)?;
        self.home.write_json(&self.broker, PINS_FILE, &content)?;
        Ok(result)
    }

    fn pin_of(&self, name: &str, stored: &Stored) -> Result<Pin, HomeError> {
        let damaged = || HomeError::Damaged {
            path: self.home.folder(&self.broker).join(PINS_FILE),
            why: format!("the entry of {name} cannot be read"),
        };
        let key = |text: &String| STANDARD.decode(text).map(PublicKey).map_err(|_| damaged());
        let (user, device) = name.split_once('/').ok_or_else(damaged)?;
        Ok(Pin {
            user: user.parse().map_err(|_| damaged())?,
            device: device.parse().map_err(|_| damaged())?,
            key: key(&stored.key)?,
            verified: stored.verified,
            refused: stored.refused.as_ref().map(key).transpose()?,
        })
    }
}

fn written(user: &UserId, device: &DeviceName) -> String {
    format!("{user}/{device}")
}
