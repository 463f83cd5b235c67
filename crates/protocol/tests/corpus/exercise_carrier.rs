//! Whatever tells at the front where an HTTP request belongs, fed with these; shared with the fuzz
//! target.

use simopen_protocol::carrier::{ExchangePath, RENDEZVOUS, rendezvous_value};

/// Takes the bytes as the path of an exchange and as the authority of a CONNECT. Whatever is read has
/// one spelling: written again, it is the same.
pub(crate) fn exercise(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(path) = text.parse::<ExchangePath>() {
        assert_eq!(path.to_string(), text);
    }
    if let Some(value) = rendezvous_value(text) {
        assert_eq!(format!("{}{RENDEZVOUS}:443", value.reveal()), text);
    }
}
