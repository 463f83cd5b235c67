//! Whatever takes bytes from a link between two peers, fed with these; shared with the fuzz target.

use simopen_protocol::peer_frame::{MAX_PART_A, MAX_PART_B, PartA, PeerDecoder, PeerFrame};
use simopen_protocol::peer_link::Message;

/// Takes the bytes as a stream of frames, cut in two. What is read is written and read again, and
/// must be the same.
pub(crate) fn exercise(bytes: &[u8]) {
    let mut decoder = PeerDecoder::default();
    let (head, tail) = bytes.split_at(bytes.len() / 2);
    for piece in [head, tail] {
        decoder.push(piece);
        while let Ok(Some(frame)) = decoder.poll_frame() {
            read_twice(&frame);
        }
    }
    document(bytes);
}

fn read_twice(frame: &PeerFrame) {
    let mut wire = Vec::new();
    frame.encode(&mut wire);
    let mut decoder = PeerDecoder::default();
    decoder.push(&wire);
    assert_eq!(decoder.poll_frame().as_ref(), Ok(&Some(frame.clone())));
    assert!(frame.data.len() <= MAX_PART_B);
    if let PartA::Document(bytes) = &frame.head {
        assert!(bytes.len() <= MAX_PART_A);
        document(bytes);
    }
}

fn document(bytes: &[u8]) {
    match Message::parse(bytes) {
        Ok(message) => assert_eq!(Message::parse(&message.to_bytes()), Ok(message)),
        Err(error) => {
            if let Some(answer) = error.answer() {
                let written = Message::Response(answer).to_bytes();
                assert!(Message::parse(&written).is_ok(), "an answer can be read");
            }
        }
    }
}
