//! Text as it stands in a document.

/// Where a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the value of an attribute, where a reader makes spaces of tabs and line ends.
    Attribute,
    /// In an element, whose text is trimmed when it is read.
    Content,
}

/// XML 1.0 §2.2, Char: whether a document can hold it. Most control characters are none.
#[must_use]
pub const fn is_character(letter: char) -> bool {
    matches!(letter,
        '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// XML 1.0 §2.3, S.
pub(super) const fn is_space(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\n' | '\r')
}

/// Writes a text so that it is read as it is. What is no character becomes U+FFFD.
pub(super) fn write_escaped(text: &str, place: Place, into: &mut String) {
    let inner = match place {
        Place::Attribute => 0..0,
        Place::Content => {
            let from = text.len() - text.trim_start_matches(is_space).len();
            from..text.trim_end_matches(is_space).len()
        }
    };
    let mut written = 0;
    for (at, letter) in text.char_indices() {
        let stands_for = match letter {
            '<' => "&lt;",
            '>' => "&gt;",
            '&' => "&amp;",
            '\'' => "&apos;",
            '"' => "&quot;",
            '\r' => "&#13;",
            '\t' if !inner.contains(&at) => "&#9;",
            '\n' if !inner.contains(&at) => "&#10;",
            ' ' if place == Place::Content && !inner.contains(&at) => "&#32;",
            _ if is_character(letter) => continue,
            _ => "\u{fffd}",
        };
        into.push_str(&text[written..at]);
        into.push_str(stands_for);
        written = at + letter.len_utf8();
    }
    into.push_str(&text[written..]);
}
