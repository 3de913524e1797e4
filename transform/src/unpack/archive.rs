//! Archived records: many of them written end to end in one object, by Firehose or by hand. Where each begins and ends,
//! what Firehose wrapped around those that it could not deliver, and what the object is compressed with. Pure.

mod failed;
mod splitter;

pub use failed::FailedRecord;
pub use splitter::{LineIndent, Piece, Splitter, WindowEnd};

use crate::parse::json::{Scanner, Token};

/// In a text, control characters other than white space are fewer than one in so many bytes.
const TEXT_PER_CONTROL: usize = 32;

/// Whether what an object begins with is no text, and no object of JSON either: a form that no magic bytes tell. One bad
/// record among good ones makes nothing binary.
#[must_use]
pub fn is_binary(window: &[u8]) -> bool {
    let controls = window.iter().filter(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace()).count();
    controls > window.len() / TEXT_PER_CONTROL && !holds_an_object(window)
}

fn holds_an_object(window: &[u8]) -> bool {
    let mut splitter = Splitter::new(window, WindowEnd::Final);
    while let Piece::Record(range) = splitter.next_piece() {
        let text = window.get(range).and_then(|piece| std::str::from_utf8(piece).ok()).unwrap_or_default();
        if Scanner::new(text, 0).value(0).is_ok_and(|value| value.token == Token::Object) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_holds_no_object_and_is_no_text_is_binary() {
        let bytes: Vec<u8> = (0..=255).cycle().take(4_000).collect();
        assert!(is_binary(&bytes) && is_binary(b"\0\0\0\x07\x02H\x08hello"));
        let utf16: Vec<u8> = "{\"a\":1}\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(is_binary(&utf16));
        for text in [
            &b""[..],
            b"{}",
            b"hello\n",
            b"\n\n\t\r\n",
            b"{\"a\":\"\x01\"}\n{\"b\":2}\n",
            "é\u{1f}ääääääääääääääääääääääääää".as_bytes(),
        ] {
            assert!(!is_binary(text), "{text:?}");
        }
        let among = [&bytes[..], b"\n{\"a\":1}\n", &bytes].concat();
        assert!(!is_binary(&among), "a bad record beside a good one");
    }
}
