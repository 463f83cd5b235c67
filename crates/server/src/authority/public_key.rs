//! The one kind of key that devices have.

use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};
use simopen_protocol::control::PublicKey;

use super::AuthorityError;

/// What the DER form of every key on P-256 begins with (RFC 5480 §2): the two object identifiers,
/// and a bit string of 65 bytes.
const PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// An uncompressed point: a byte that says so, and two coordinates.
const POINT_LEN: usize = 65;
const UNCOMPRESSED: u8 = 0x04;

/// A public key on P-256. Whether the point lies on the curve is for those to find out who use it:
/// a signature with another one can never be made.
pub(super) struct DeviceKey<'a>(&'a [u8]);

impl<'a> DeviceKey<'a> {
    pub(super) fn parse(key: &'a PublicKey) -> Result<Self, AuthorityError> {
        let point = key.0.strip_prefix(&PREFIX).ok_or(AuthorityError::Key)?;
        let is_point = point.len() == POINT_LEN && point.first() == Some(&UNCOMPRESSED);
        is_point.then_some(Self(point)).ok_or(AuthorityError::Key)
    }
}

impl PublicKeyData for DeviceKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

#[cfg(test)]
mod tests {
    use rcgen::KeyPair;

    use super::*;

    #[test]
    fn a_key_on_p256_is_read_and_written_alike() {
        let key = KeyPair::generate().unwrap();
        let public = PublicKey(key.subject_public_key_info());
        let read = DeviceKey::parse(&public).unwrap();
        assert_eq!(read.subject_public_key_info(), public.0);
    }

    #[test]
    fn any_other_key_is_refused() {
        let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let good = KeyPair::generate().unwrap().subject_public_key_info();
        let long = [good.as_slice(), &[0]].concat();
        for key in [ed25519.subject_public_key_info(), good[..90].to_vec(), long, Vec::new()] {
            assert!(DeviceKey::parse(&PublicKey(key)).is_err());
        }
    }
}
