//! Whatever reads the line of an invitation, fed with these; shared with the fuzz target.

use simopen_protocol::invitation::Invitation;

/// Reads the bytes as the line that somebody pasted. What is read is written as one line of printable
/// ASCII, which is read again and must be the same.
pub(crate) fn exercise(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(invitation) = text.parse::<Invitation>() {
        let line = invitation.reveal();
        assert!(line.bytes().all(|byte| byte.is_ascii_graphic()), "no shell breaks the line");
        assert_eq!(line.parse(), Ok(invitation));
    }
}
