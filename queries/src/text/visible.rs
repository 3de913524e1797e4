//! Text for people. Values come from producers: characters that a screen or page would interpret are made visible.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The text with every character that [is obeyed](is_obeyed) as `\n`, `\u{1b}` and so on.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_obeyed(character) {
            // Writing to a String cannot fail.
            let _ = write!(shown, "{}", character.escape_default());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// At most `most` characters, with an ellipsis if some are left out.
pub(crate) fn shortened(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        None => Cow::Borrowed(text),
        Some(_) => Cow::Owned(text.chars().take(most.saturating_sub(1)).chain(['…']).collect()),
    }
}

/// The beginning of the text in at most N UTF-16 units, the units of Excel, with an ellipsis if some are left out.
pub(crate) fn shortened_utf16(text: &str, most: usize) -> Cow<'_, str> {
    let (mut units, mut kept) = (0, 0);
    for (at, character) in text.char_indices() {
        units += character.len_utf16();
        if units > most {
            return Cow::Owned(format!("{}…", text.get(..kept).unwrap_or_default()));
        }
        // With room for the ellipsis.
        if units < most {
            kept = at + character.len_utf8();
        }
    }
    Cow::Borrowed(text)
}

/// Whether a screen or page would interpret the character instead of showing it: control characters, marks of the
/// Unicode bidirectional algorithm, which can make a line read differently, separators of lines, and characters that
/// XML lacks.
#[must_use]
pub fn is_obeyed(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
                | '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_screen_would_obey_is_written_out() {
        for (text, shown) in [
            ("plain, emoji 🚓 and é", "plain, emoji 🚓 and é"),
            ("a\u{1b}[31mb\n", "a\\u{1b}[31mb\\n"),
            ("\u{202e}gpj.exe", "\\u{202e}gpj.exe"),
            ("\u{0}\u{ffff}", "\\u{0}\\u{ffff}"),
        ] {
            assert_eq!(visible(text), shown);
        }
    }

    #[test]
    fn a_long_text_is_cut_with_an_ellipsis() {
        assert_eq!(shortened("abc", 3), "abc");
        assert_eq!(shortened("äöüß", 3), "äö…");
    }

    #[test]
    fn excel_texts_are_cut_between_characters() {
        for (text, most, expected) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("😀😀", 4, "😀😀"),
            ("😀😀", 3, "😀…"),
            ("😀😀", 2, "…"),
            ("a😀", 3, "a😀"),
            ("a😀b", 3, "a…"),
            ("", 0, ""),
        ] {
            let cut = shortened_utf16(text, most);
            assert_eq!(cut, expected);
            assert!(cut.encode_utf16().count() <= most);
        }
    }
}
