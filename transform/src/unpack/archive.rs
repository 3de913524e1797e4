//! Archived records: many of them end to end in one object, written by Firehose or by hand. Finds where each begins and
//! ends, what Firehose wrapped around records that it could not deliver, and the compression of the object. Pure.

mod failed;
mod splitter;

pub use failed::FailedRecord;
pub use splitter::{LineIndent, Piece, Splitter, WindowEnd};

use crate::parse::json::{Scanner, Token};

/// In a text fewer than one in this many bytes is a control character other than white space.
const TEXT_PER_CONTROL: usize = 32;

/// Whether the beginning of an object is neither a text nor an object of JSON: a form without magic bytes. One bad
/// record among good ones does not make an object binary.
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
    fn only_bytes_without_objects_or_text_are_binary() {
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
