//! The keys of other devices, as they were at first contact.
//!
//! The broker is the authority that says whose a key is. Whoever had the broker could name another
//! key; so the first one that was seen is kept, and another one is refused until a person says that
//! it may be taken.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, PoisonError};

use simopen_protocol::control::PublicKey;
use simopen_protocol::identity::{DeviceName, UserId};

/// Keeps the keys of the devices that are met at one broker. It may wait for the disk: it is
/// called on a thread where that holds up nothing else.
pub trait Pins: Send + Sync {
    /// Keeps the key of a device at first contact, and gives the one that is kept now: another one,
    /// where one was kept before.
    ///
    /// # Errors
    ///
    /// What the system says, where it cannot be read or kept; the connection is refused then.
    fn keep(&self, user: &UserId, device: &DeviceName, key: &PublicKey) -> io::Result<PublicKey>;

    /// Takes note that a device came with another key and was refused.
    fn refused(&self, user: &UserId, device: &DeviceName, key: &PublicKey) {
        let _ = (user, device, key);
    }
}

/// Pins that last as long as the program.
#[derive(Debug, Default)]
pub struct MemoryPins {
    keys: Mutex<BTreeMap<(UserId, DeviceName), PublicKey>>,
}

impl Pins for MemoryPins {
    fn keep(&self, user: &UserId, device: &DeviceName, key: &PublicKey) -> io::Result<PublicKey> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = keys.entry((user.clone(), device.clone())).or_insert_with(|| key.clone());
        Ok(kept.clone())
    }
}
