//! Whatever takes bytes from a link, fed with these; shared with the fuzz target.

use simopen_protocol::control::Message;
use simopen_protocol::document::is_character;
use simopen_protocol::frame::{BEFORE_LOGIN, Decoder};

/// Takes the bytes as a stream of frames, cut in two, and reads each frame as a message. A message
/// that is read is written and read again, and must be the same.
pub(crate) fn exercise(bytes: &[u8]) {
    let mut decoder = Decoder::new(BEFORE_LOGIN);
    let (head, tail) = bytes.split_at(bytes.len() / 2);
    for piece in [head, tail] {
        decoder.push(piece);
        while let Ok(Some(body)) = decoder.poll_frame() {
            read_twice(&body);
        }
    }
    read_twice(bytes);
}

fn read_twice(body: &[u8]) {
    if let Ok(message) = Message::parse(body) {
        let written = message.to_bytes();
        assert_eq!(Message::parse(&written).as_ref(), Ok(&message));
        holds_only_characters(body);
        holds_only_characters(&written);
    }
}

/// What is read or written, every reader of XML can read.
fn holds_only_characters(document: &[u8]) {
    let text = core::str::from_utf8(document).unwrap_or_default();
    assert!(text.chars().all(is_character), "{text:?}");
}
