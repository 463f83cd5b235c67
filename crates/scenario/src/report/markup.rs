//! Text that others wrote, made harmless.

use std::fmt;

/// Text to be written into XML or HTML, between tags or between double quotes.
///
/// ```
/// use simopen_scenario::report::markup::Escaped;
///
/// assert_eq!(Escaped("<b> & \"c\"").to_string(), "&lt;b&gt; &amp; &quot;c&quot;");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Escaped<'t>(pub &'t str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => to.write_str("&amp;")?,
                '<' => to.write_str("&lt;")?,
                '>' => to.write_str("&gt;")?,
                '"' => to.write_str("&quot;")?,
                '\'' => to.write_str("&#39;")?,
                letter => fmt::Write::write_char(to, visible(letter))?,
            }
        }
        Ok(())
    }
}

/// Text for a terminal: nothing in it moves the cursor, and it is at most so many characters long.
#[must_use]
pub fn plain(text: &str, longest: usize) -> String {
    let mut letters = text.chars().map(visible);
    let mut plain: String = letters.by_ref().take(longest).collect();
    if letters.next().is_some() {
        plain.pop();
        plain.push('…');
    }
    plain
}

/// The character, or a replacement for one that no name has an honest use for: control characters,
/// which XML 1.0 (§2.2) forbids too and terminals obey, noncharacters, and those that turn the
/// direction of the text around them (Unicode TR 36, §2.8).
const fn visible(letter: char) -> char {
    match letter {
        '\n' | '\t' => ' ',
        '\0'..='\u{1f}'
        | '\u{7f}'..='\u{9f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fffe}'
        | '\u{ffff}' => char::REPLACEMENT_CHARACTER,
        letter => letter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_for_a_terminal_cannot_move_the_cursor_and_is_cut_with_a_sign() {
        assert_eq!(plain("a\u{1b}[2Jb\u{202e}", 20), "a\u{fffd}[2Jb\u{fffd}");
        assert_eq!(plain("linux-masquerade", 6), "linux…");
        assert_eq!(plain("linux", 5), "linux");
        assert_eq!(plain("a\nb", 5), "a b");
    }
}
