//! The authority's file in the data directory: its key, then its certificate, as PEM.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{KeyPair, PublicKeyData};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::ParsedCertificate;

use super::AuthorityError;

/// One file, so that a start that was broken off leaves either all of it or nothing.
const NAME: &str = "authority.pem";
/// Letters in a line of PEM (RFC 7468 §2).
const LINE: usize = 64;

/// Where it is.
pub(super) fn path(directory: &Path) -> PathBuf {
    directory.join(NAME)
}

/// `None` where there is none.
pub(super) fn load(
    directory: &Path,
) -> Result<Option<(KeyPair, CertificateDer<'static>)>, AuthorityError> {
    let path = path(directory);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(file(&path, error)),
    };
    let mode = fs::metadata(&path).map_err(|error| file(&path, error))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(AuthorityError::Exposed { path, mode: mode & 0o777 });
    }
    match parse(&text) {
        Ok(found) => Ok(Some(found)),
        Err(why) => Err(AuthorityError::Damaged { path, why }),
    }
}

fn parse(text: &str) -> Result<(KeyPair, CertificateDer<'static>), &'static str> {
    let key = KeyPair::from_pem(text).map_err(|_| "it holds no private key")?;
    let certificate =
        CertificateDer::from_pem_slice(text.as_bytes()).map_err(|_| "it holds no certificate")?;
    let parsed =
        ParsedCertificate::try_from(&certificate).map_err(|_| "it holds no certificate")?;
    if *parsed.subject_public_key_info() != *key.subject_public_key_info() {
        return Err("its certificate is another key's");
    }
    Ok((key, certificate))
}

pub(super) fn save(
    directory: &Path,
    key: &KeyPair,
    certificate: &CertificateDer<'static>,
) -> Result<(), AuthorityError> {
    let path = path(directory);
    let unfinished = directory.join("authority.pem.new");
    let text = pem("PRIVATE KEY", key.serialized_der()) + &pem("CERTIFICATE", certificate);
    let written = write(&unfinished, &text)
        .and_then(|()| fs::rename(&unfinished, &path))
        .and_then(|()| File::open(directory)?.sync_all());
    written.map_err(|error| file(&path, error))
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn pem(kind: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(LINE).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines.join("\n"))
}

fn file(path: &Path, error: io::Error) -> AuthorityError {
    AuthorityError::File { path: path.to_owned(), error }
}
