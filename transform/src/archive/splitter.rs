//! Takes a text apart into the JSON values that stand in it one after another, though it comes piece by piece.
//!
//! | the text goes on with | the piece is |
//! | --- | --- |
//! | a whole JSON value, on one line or on several | that value |
//! | something that breaks the grammar | everything to the end of the line, or to the next `}{` behind the fault |
//! | the beginning of a value, and then nothing | the same, when no more will come |
//!
//! In valid JSON `}{` stands only inside of strings, so behind a fault it is where one record ends and the next begins,
//! also where nobody wrote a delimiter between them. No byte is passed over but white space between the pieces. Time is
//! linear in the bytes: a value that breaks off is scanned again from its second line on, and each start takes a level of
//! the nesting, of which there are a bounded number before it counts as broken.

use std::ops::Range;

use memchr::memchr;
use simdutf8::compat;

use crate::json::{Scanner, Token, Value};

/// Where a verdict may still change when more of the text comes: a literal or an escape that is cut is no longer than this.
const LOOK_AHEAD: usize = 16;
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Why a window ends where it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowEnd {
    /// More of the text will come.
    GoesOn,
    /// The text ends, or no more of it may be held: what is unfinished is a piece as it is.
    Final,
}

/// What stands next in the window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A record, by its place in the window.
    Record(Range<usize>),
    /// What is left, from [`Splitter::position`] on, may be the beginning of a record.
    Unfinished,
    /// Nothing is left.
    End,
}

/// Walks over one window of the text.
#[derive(Debug)]
pub struct Splitter<'a> {
    window: &'a [u8],
    end: WindowEnd,
    /// The part that is UTF-8, from `text_from` on.
    text: &'a str,
    text_from: usize,
    at: usize,
}

enum Scan {
    /// Up to here.
    Whole(usize),
    Unfinished,
    /// The grammar breaks here.
    Broken(usize),
}

impl<'a> Splitter<'a> {
    /// Begins at the start of the window, which must be where a record begins.
    #[must_use]
    pub fn new(window: &'a [u8], end: WindowEnd) -> Self {
        Self { window, end, text: utf8_prefix(window), text_from: 0, at: 0 }
    }

    /// What lies before here was handed out, or is white space.
    #[must_use]
    pub fn position(&self) -> usize {
        self.at
    }

    /// The next piece.
    pub fn next_piece(&mut self) -> Piece {
        let rest = self.window.get(self.at..).unwrap_or_default();
        self.at += rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let rest = self.window.get(self.at..).unwrap_or_default();
        if rest.is_empty() {
            return Piece::End;
        }
        if self.at >= self.text_from + self.text.len() {
            (self.text, self.text_from) = (utf8_prefix(rest), self.at);
        }
        let mark = if rest.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        let until = match self.scan(self.at + mark) {
            Scan::Whole(end) => Some(end),
            Scan::Unfinished => None,
            Scan::Broken(fault) => self.cut(fault),
        };
        match until {
            Some(end) => {
                let start = std::mem::replace(&mut self.at, end);
                Piece::Record(start..end)
            }
            None => Piece::Unfinished,
        }
    }

    /// Scans the value that begins here.
    fn scan(&self, start: usize) -> Scan {
        let mut scanner = Scanner::stopping_too_deep(self.text, start.saturating_sub(self.text_from));
        let text_end = self.text_from + self.text.len();
        let position = |scanner: &Scanner<'_>| self.text_from + scanner.position();
        let scanned = scanner.value(0);
        match scanned {
            // It is rejected anyway; without a bound on the depth, time would not be linear.
            _ if scanner.faults.too_deep.is_some() => Scan::Broken(position(&scanner)),
            Ok(value) if self.is_apart(value, &scanner) => match self.end {
                // A number may go on.
                WindowEnd::GoesOn if position(&scanner) == self.window.len() && !has_delimiters(value) => {
                    Scan::Unfinished
                }
                _ => Scan::Whole(position(&scanner)),
            },
            Ok(_) => Scan::Broken(position(&scanner)),
            Err(_) => {
                let may_go_on = text_end + LOOK_AHEAD > self.window.len();
                let at_end = position(&scanner) + LOOK_AHEAD > text_end;
                match self.end {
                    WindowEnd::GoesOn if may_go_on && at_end => Scan::Unfinished,
                    _ => Scan::Broken(position(&scanner)),
                }
            }
        }
    }

    /// A number or word ends where white space or another value begins: `01` is not `0` and `1`.
    fn is_apart(&self, value: Value, scanner: &Scanner<'_>) -> bool {
        let next = self.window.get(self.text_from + scanner.position());
        has_delimiters(value) || next.is_none_or(|byte| byte.is_ascii_whitespace() || b"{[\"".contains(byte))
    }

    /// Where the piece ends that begins here and breaks at `fault`; `None` when that is yet to come.
    fn cut(&self, fault: usize) -> Option<usize> {
        let line = self.window.get(self.at..).and_then(|rest| memchr(b'\n', rest)).map(|length| self.at + length);
        // The byte at fault may be the `{` of the next record; its `}` is the last one before it.
        let before = self.window.get(..fault.saturating_sub(1)).unwrap_or_default().trim_ascii_end();
        let behind = before.len().saturating_sub(1).max(self.at);
        let seam = self.window.get(behind..line.unwrap_or(self.window.len())).and_then(seam);
        let cut = seam.map(|length| behind + length).or(line);
        match self.end {
            WindowEnd::GoesOn => cut,
            WindowEnd::Final => Some(cut.unwrap_or(self.window.len())),
        }
    }
}

fn has_delimiters(value: Value) -> bool {
    matches!(value.token, Token::Object | Token::Array | Token::String | Token::EscapedString)
}

/// Where one object ends and the next begins: between `}` and `{`, when that is followed by a key or an end.
fn seam(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(found) = memchr(b'}', bytes.get(from..)?) {
        from += found + 1;
        let gap = bytes.get(from..)?.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let mut next = bytes.get(from + gap..)?.iter();
        if next.next() == Some(&b'{')
            && next.find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| b"\"}".contains(byte))
        {
            return Some(from);
        }
    }
    None
}

fn utf8_prefix(bytes: &[u8]) -> &str {
    match compat::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
            compat::from_utf8(valid).unwrap_or_default()
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All pieces of a text that comes in windows of `step` bytes, none larger than `limit` allows.
    fn split(text: &[u8], step: usize) -> Vec<(usize, &[u8])> {
        let (mut pieces, mut from, mut until) = (Vec::new(), 0, 0);
        loop {
            until = (until + step).min(text.len());
            let end = if until == text.len() { WindowEnd::Final } else { WindowEnd::GoesOn };
            let window = &text[from..until];
            let mut splitter = Splitter::new(window, end);
            while let Piece::Record(range) = splitter.next_piece() {
                pieces.push((from + range.start, &window[range]));
            }
            from += splitter.position();
            if end == WindowEnd::Final {
                return pieces;
            }
        }
    }

    fn texts(text: &str) -> Vec<&str> {
        split(text.as_bytes(), text.len().max(1))
            .into_iter()
            .map(|piece| std::str::from_utf8(piece.1).unwrap())
            .collect()
    }

    #[test]
    fn values_are_apart_by_lines_by_white_space_or_by_nothing() {
        assert_eq!(texts("{\"a\":1}\n{\"b\":2}\r\n\n"), ["{\"a\":1}", "{\"b\":2}"]);
        assert_eq!(texts("{\"a\":1}{\"b\":\"}{\"} [1] 7"), ["{\"a\":1}", "{\"b\":\"}{\"}", "[1]", "7"]);
        assert_eq!(texts("{\n  \"a\": [\n    1\n  ]\n}\n{}"), ["{\n  \"a\": [\n    1\n  ]\n}", "{}"]);
        assert_eq!(texts("\u{feff}{\"a\":1}\n\u{feff}{}"), ["\u{feff}{\"a\":1}", "\u{feff}{}"]);
        assert_eq!(texts(" \n\t"), Vec::<&str>::new());
    }

    #[test]
    fn what_breaks_the_grammar_ends_with_its_line() {
        assert_eq!(texts("hello world\n{}\n"), ["hello world", "{}"]);
        assert_eq!(texts("{\"a\": 1\n{\"b\":2}\n{\"c\":3}"), ["{\"a\": 1", "{\"b\":2}", "{\"c\":3}"]);
        assert_eq!(texts("{\"a\":\n{\"b\":2}\n{\"c\":3}"), ["{\"a\":", "{\"b\":2}", "{\"c\":3}"]);
        assert_eq!(texts("{\"a\": \"cut\n{\"b\":2}"), ["{\"a\": \"cut", "{\"b\":2}"]);
        assert_eq!(texts("{} trailing\n{}"), ["{}", "trailing", "{}"]);
        assert_eq!(texts("01\n+1\n[1,]\n{}"), ["01", "+1", "[1,]", "{}"]);
        assert_eq!(texts("[1,\n2\n"), ["[1,", "2"]);
    }

    #[test]
    fn without_lines_a_seam_behind_the_fault_ends_what_is_broken() {
        assert_eq!(
            texts(r#"{"a":1}{"b":tru}{"c":3}{"d":4}"#),
            [r#"{"a":1}"#, r#"{"b":tru}"#, r#"{"c":3}"#, r#"{"d":4}"#]
        );
        // Cut inside of a string: the next quote ends that, and the record whose quote it was goes with it.
        assert_eq!(texts(r#"{"a":"cut{"b":2}{"c":3}"#), [r#"{"a":"cut{"b":2}"#, r#"{"c":3}"#]);
        // A whole object inside of a broken one is no record.
        assert_eq!(texts(r#"{"wrap":{"b":2}{"c":3}"#), [r#"{"wrap":{"b":2}"#, r#"{"c":3}"#]);
        assert_eq!(texts(r#"{"a":1,}{ } {x}"#), [r#"{"a":1,}"#, "{ }", "{x}"]);
    }

    #[test]
    fn bytes_that_are_no_utf8_end_with_their_line_too() {
        let text = b"{\"a\":1}\n{\"b\":\"\xff\"}\n{\"c\":3}\n\xfe\xfe\n{}";
        let pieces: Vec<_> = split(text, text.len()).into_iter().map(|piece| piece.1.to_vec()).collect();
        let expected: [&[u8]; 5] = [b"{\"a\":1}", b"{\"b\":\"\xff\"}", b"{\"c\":3}", b"\xfe\xfe", b"{}"];
        assert_eq!(pieces, expected);
    }

    #[test]
    fn a_value_nested_too_deep_is_cut_like_a_broken_one() {
        let deep = format!("{}{}\n{{}}", "[".repeat(500_000), "]".repeat(500_000));
        let pieces = texts(&deep);
        assert_eq!((pieces.len(), pieces[0].len(), pieces[1]), (2, 1_000_000, "{}"));
    }

    #[test]
    fn a_window_that_is_full_ends_what_is_unfinished() {
        let text = format!("[{}", "1,".repeat(100));
        let mut splitter = Splitter::new(text.as_bytes(), WindowEnd::GoesOn);
        assert_eq!((splitter.next_piece(), splitter.position()), (Piece::Unfinished, 0));
        let mut splitter = Splitter::new(text.as_bytes(), WindowEnd::Final);
        assert_eq!(splitter.next_piece(), Piece::Record(0..text.len()));
        assert_eq!(splitter.next_piece(), Piece::End);
    }

    fn fragment() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            6 => "\\{\"[a-z]{1,4}\":(\"[a-z}{é]{0,6}\"|[0-9]{1,3}|true|null|\\[1,2\\]|\\{\\})\\}".prop_map(String::into_bytes),
            2 => Just(b"\n".to_vec()),
            1 => Just(b"\r\n ".to_vec()),
            1 => prop::collection::vec(any::<u8>(), 0..6),
            1 => "[\\[\\]{}\",:0-9a-z\\\\\n]{0,8}".prop_map(String::into_bytes),
        ]
    }

    proptest! {
        /// However the text is cut into windows, the pieces are the same, and only white space lies between them.
        #[test]
        fn windows_do_not_matter(fragments in prop::collection::vec(fragment(), 0..30), step in 1_usize..50) {
            let text = fragments.concat();
            let whole = split(&text, text.len().max(1));
            prop_assert_eq!(&split(&text, step), &whole);
            let mut from = 0;
            for (start, piece) in whole {
                prop_assert!(text[from..start].iter().all(u8::is_ascii_whitespace));
                prop_assert!(!piece.is_empty());
                from = start + piece.len();
            }
            prop_assert!(text[from..].iter().all(u8::is_ascii_whitespace));
        }
    }
}
