//! One broker that was joined.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use simopen_protocol::address::HostPort;
use simopen_protocol::control::Certificate;
use simopen_protocol::identity::{BrokerName, DeviceName, UserId};

use super::{HomeError, files};
use crate::credentials::DeviceKey;

const BROKER_FILE: &str = "broker.json";
const KEY_FILE: &str = "device.key";
const CERTIFICATE_FILE: &str = "certificate.pem";
const AUTHORITY_FILE: &str = "authority.pem";
const KEY_LABEL: &str = "PRIVATE KEY";
const CERTIFICATE_LABEL: &str = "CERTIFICATE";
/// RFC 7468 §2: lines of 64 characters.
const PEM_LINE: usize = 64;

/// What this device knows of one broker, and by what it shows there whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// What the broker is called on this device: its own name, or one that was chosen at `join`.
    pub name: BrokerName,
    /// What the broker calls itself.
    pub broker: BrokerName,
    /// Where it listens, best first.
    pub addresses: Vec<HostPort>,
    /// Whose device this is.
    pub user: UserId,
    /// What that user calls it.
    pub device: DeviceName,
    /// The broker's certificate authority.
    pub authority: Certificate,
    /// The device's certificate.
    pub certificate: Certificate,
    /// The device's private key.
    pub key: DeviceKey,
}

/// `broker.json`.
#[derive(Serialize, Deserialize)]
struct BrokerFile {
    broker: String,
    addresses: Vec<String>,
    user: String,
    device: String,
}

impl Membership {
    pub(super) fn read(name: &BrokerName, folder: &Path) -> Result<Self, HomeError> {
        let path = folder.join(BROKER_FILE);
        let damaged = |why: &str| HomeError::Damaged { path: path.clone(), why: why.to_owned() };
        let file: BrokerFile = files::read_json(&path)?.ok_or_else(|| damaged("it is missing"))?;
        let addresses = file.addresses.iter().map(|address| address.parse());
        let addresses: Vec<HostPort> =
            addresses.collect::<Result<_, _>>().map_err(|error| damaged(&format!("{error}")))?;
        if addresses.is_empty() {
            return Err(damaged("it names no address"));
        }
        let name_error = |error| damaged(&format!("{error}"));
        Ok(Self {
            name: name.clone(),
            broker: file.broker.parse().map_err(name_error)?,
            addresses,
            user: file.user.parse().map_err(name_error)?,
            device: file.device.parse().map_err(name_error)?,
            authority: Certificate(read_pem(&folder.join(AUTHORITY_FILE), CERTIFICATE_LABEL)?),
            certificate: Certificate(read_pem(&folder.join(CERTIFICATE_FILE), CERTIFICATE_LABEL)?),
            key: DeviceKey(read_pem(&folder.join(KEY_FILE), KEY_LABEL)?),
        })
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), HomeError> {
        let file = BrokerFile {
            broker: self.broker.to_string(),
            addresses: self.addresses.iter().map(ToString::to_string).collect(),
            user: self.user.to_string(),
            device: self.device.to_string(),
        };
        files::write_json(&folder.join(BROKER_FILE), &file)?;
        files::write(&folder.join(KEY_FILE), &to_pem(KEY_LABEL, &self.key.0))?;
        let authority = to_pem(CERTIFICATE_LABEL, &self.authority.0);
        files::write(&folder.join(AUTHORITY_FILE), &authority)?;
        write_certificate(folder, &self.certificate.0)
    }
}

pub(super) fn write_certificate(folder: &Path, certificate: &[u8]) -> Result<(), HomeError> {
    files::write(&folder.join(CERTIFICATE_FILE), &to_pem(CERTIFICATE_LABEL, certificate))
}

/// RFC 7468 §2.
fn to_pem(label: &str, der: &[u8]) -> Vec<u8> {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n").into_bytes();
    for line in text.as_bytes().chunks(PEM_LINE) {
        pem.extend_from_slice(line);
        pem.push(b'\n');
    }
    pem.extend_from_slice(format!("-----END {label}-----\n").as_bytes());
    pem
}

fn read_pem(path: &Path, label: &str) -> Result<Vec<u8>, HomeError> {
    let bytes = files::read_needed(path)?;
    from_pem(label, &bytes).ok_or_else(|| HomeError::Damaged {
        path: path.to_owned(),
        why: format!("it holds no {label} in PEM"),
    })
}

fn from_pem(label: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let letters: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(letters).ok()
}
