//! Splits a text that comes piece by piece into its JSON values.
//!
//! | next in the text | the piece |
//! | --- | --- |
//! | a whole JSON value, on one line or on several | that value |
//! | a breach of the grammar | everything up to the beginning of the next record, by the layout |
//! | the beginning of a value at the end | the same, if the text is over |
//!
//! Behind a fault the next record begins
//! - at a `}{` in the line: valid JSON has that only inside of strings, so one record ends and the next begins there
//!   without a delimiter;
//! - at a `{` that ends a line and follows no `:`, `,` or `[`: the text before it was cut off;
//! - with the next line, unless that line belongs to an object or array over several lines: it is indented deeper than
//!   the first line of that, or begins with a key or with the closing bracket.
//!
//! Only white space between the pieces is skipped. Time is linear in the bytes: a value that breaks off is scanned
//! again from its second line on, each start takes a level of the nesting, and the number of levels is bounded.

use std::ops::Range;

use memchr::{memchr, memrchr};
use simdutf8::compat;

use crate::parse::json::{Scanner, Token, Value};

/// The end of a window in which more text may change a verdict: a cut literal or escape is at most this long.
const LOOK_AHEAD: usize = 16;
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Why a window ends where it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowEnd {
    /// More of the text will come.
    GoesOn,
    /// The text ends, or no more of it may be held: an unfinished piece is final.
    Final,
}

/// The next piece of the window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A record, by its place in the window.
    Record(Range<usize>),
    /// The rest, from [`Splitter::position`] on, may be the beginning of a record.
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
    /// The indentation of the line at `indented_to`.
    indent: LineIndent,
    indented_to: usize,
}

/// The indentation of a line, as far as it was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineIndent {
    blanks: usize,
    /// The first byte other than white space was seen.
    is_over: bool,
}

impl LineIndent {
    /// The indentation of the last line of a text that began on a line with this one.
    fn after(self, text: &[u8]) -> Self {
        let (before, line) = match memrchr(b'\n', text) {
            Some(at) => (Self::default(), text.get(at + 1..).unwrap_or_default()),
            None => (self, text),
        };
        if before.is_over {
            return before;
        }
        let blanks = line.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        Self { blanks: before.blanks + blanks, is_over: blanks < line.len() }
    }
}

/// More text must be seen first.
struct More;

/// The relation of the next line to a broken piece.
enum NextLine {
    Within,
    /// The piece ends in it, here.
    Closes(usize),
    Apart,
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
        let indent = LineIndent::default();
        Self { window, end, text: utf8_prefix(window), text_from: 0, at: 0, indent, indented_to: 0 }
    }

    /// The same for a window that begins on a line whose [`Splitter::line_indent`] is known.
    #[must_use]
    pub fn on_line(self, indent: LineIndent) -> Self {
        Self { indent, ..self }
    }

    /// The indentation of the line at [`Splitter::position`].
    pub fn line_indent(&mut self) -> LineIndent {
        let passed = self.window.get(self.indented_to..self.at).unwrap_or_default();
        self.indent = self.indent.after(passed);
        self.indented_to = self.at;
        self.indent
    }

    /// Everything before this position was handed out, or is white space.
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
            // The value is rejected anyway; without a bound on the depth, time would not be linear.
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

    /// The end of the piece that begins here and breaks at `fault`; `None` when it is not in the window yet.
    fn cut(&mut self, fault: usize) -> Option<usize> {
        let indent = self.line_indent().blanks;
        match (self.next_record(fault, indent), self.end) {
            (Ok(end), _) => Some(end.unwrap_or(self.window.len())),
            (Err(More), WindowEnd::GoesOn) => None,
            (Err(More), WindowEnd::Final) => Some(self.window.len()),
        }
    }

    /// The beginning of the next record, or of the white space before it; `None` when there is none.
    fn next_record(&self, fault: usize, indent: usize) -> Result<Option<usize>, More> {
        // The byte at fault may be the `{` of the next record; its `}` is the last one before it.
        let before = self.window.get(..fault.saturating_sub(1)).unwrap_or_default().trim_ascii_end();
        let behind = before.len().saturating_sub(1).max(self.at);
        let mut line = self.at;
        loop {
            let line_feed = self.window.get(line..).and_then(|rest| memchr(b'\n', rest)).map(|length| line + length);
            let line_end = line_feed.unwrap_or(self.window.len());
            if let Some(end) = self.seam(line, behind.max(line), line_end)? {
                return Ok(Some(end));
            }
            let Some(line_feed) = line_feed else {
                return if self.end == WindowEnd::Final { Ok(None) } else { Err(More) };
            };
            if let Some(start) = self.begun_at_the_end(line, line_feed)? {
                return Ok(Some(start));
            }
            let Some(solid) = self.solid(line_feed + 1)? else { return Ok(Some(line_feed)) };
            let next = self.window.get(..solid).and_then(|before| memrchr(b'\n', before)).map_or(solid, |at| at + 1);
            match self.next_line(line..line_feed, next..solid, indent)? {
                NextLine::Within => line = next,
                NextLine::Closes(end) => return Ok(Some(end)),
                NextLine::Apart => return Ok(Some(line_feed)),
            }
        }
    }

    /// The first byte from here on other than white space; `None` when there is none.
    fn solid(&self, from: usize) -> Result<Option<usize>, More> {
        let rest = self.window.get(from..).unwrap_or_default();
        match rest.iter().position(|byte| !byte.is_ascii_whitespace()) {
            Some(length) => Ok(Some(from + length)),
            None if self.end == WindowEnd::Final => Ok(None),
            None => Err(More),
        }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.window.get(at).copied()
    }

    /// Where one object ends and the next begins, in a line: between `}` and `{`, if a key or an end follows. A `}`
    /// that begins a line within the piece closes something inside of it.
    fn seam(&self, line: usize, from: usize, line_end: usize) -> Result<Option<usize>, More> {
        let mut from = from;
        let is_first = line == self.at;
        while let Some(length) = self.window.get(from..line_end).and_then(|rest| memchr(b'}', rest)) {
            let brace = from + length;
            from = brace + 1;
            let begins_line = !is_first && self.window.get(line..brace).unwrap_or_default().trim_ascii().is_empty();
            let gap = self.window.get(from..line_end).unwrap_or_default();
            let gap = gap.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let next = from + gap;
            if begins_line || next >= line_end || self.byte(next) != Some(b'{') {
                continue;
            }
            if self.begins_an_object(next)? {
                return Ok(Some(from));
            }
        }
        Ok(None)
    }

    /// Whether a key or an end follows the `{` here.
    fn begins_an_object(&self, brace: usize) -> Result<bool, More> {
        let next = self.solid(brace + 1)?.and_then(|at| self.byte(at));
        Ok(next.is_some_and(|byte| b"\"}".contains(&byte)))
    }

    /// The `{` that ends a line, where no value of the piece can begin.
    fn begun_at_the_end(&self, line: usize, line_feed: usize) -> Result<Option<usize>, More> {
        let text = self.window.get(line..line_feed).unwrap_or_default().trim_ascii_end();
        let Some(before) = text.strip_suffix(b"{") else { return Ok(None) };
        let brace = line + before.len();
        let is_first = line == self.at;
        let before = before.strip_prefix(BYTE_ORDER_MARK).filter(|_| is_first).unwrap_or(before).trim_ascii();
        // A bracket that closes something inside of the piece may lack a comma.
        let is_within = before.last().is_none_or(|byte| b":,[{".contains(byte))
            || (!is_first && before.iter().all(|byte| b"}]".contains(byte)));
        Ok(if !is_within && self.begins_an_object(brace)? { Some(brace) } else { None })
    }

    /// Whether a `{` that begins an indented line is an object inside of the piece: the line before lets a value
    /// follow, or is indented alike and only lacks a comma. A record with a blank before it is not inside.
    fn is_entry(&self, before: Range<usize>, blanks: &Range<usize>, indent: usize) -> bool {
        let is_first = before.start == self.at;
        let line = self.window.get(before).unwrap_or_default();
        let goes_on = line.trim_ascii_end().last().is_some_and(|byte| b":,[".contains(byte));
        let depth = line.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        blanks.len() > indent && (goes_on || (!is_first && depth == blanks.len()))
    }

    /// Whether a colon follows the string that begins here.
    fn is_key(&self, quote: usize) -> Result<bool, More> {
        let rest = self.window.get(quote + 1..).unwrap_or_default();
        let mut is_escaped = false;
        for (length, byte) in rest.iter().enumerate() {
            match byte {
                b'\n' => return Ok(false),
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                b'"' => return Ok(self.solid(quote + 2 + length)?.and_then(|at| self.byte(at)) == Some(b':')),
                _ => {}
            }
        }
        if self.end == WindowEnd::Final { Ok(false) } else { Err(More) }
    }

    /// The relation of a line to the piece that has the line `before`, by its indentation and its first byte of text.
    fn next_line(&self, before: Range<usize>, blanks: Range<usize>, indent: usize) -> Result<NextLine, More> {
        let solid = blanks.end;
        let piece = self.window.get(self.at..).unwrap_or_default();
        let piece = piece.strip_prefix(BYTE_ORDER_MARK).unwrap_or(piece);
        if !matches!(piece.first(), Some(b'{' | b'[')) {
            return Ok(NextLine::Apart);
        }
        match self.byte(solid) {
            Some(b'{') => Ok(if self.is_entry(before, &blanks, indent) { NextLine::Within } else { NextLine::Apart }),
            _ if blanks.len() > indent => Ok(NextLine::Within),
            Some(b'"') => Ok(if self.is_key(solid)? { NextLine::Within } else { NextLine::Apart }),
            Some(b'}' | b']') => {
                let rest = self.window.get(solid..).unwrap_or_default();
                let end = solid + rest.iter().take_while(|byte| b"}]".contains(byte)).count();
                let follows = self.solid(end)?.and_then(|at| self.byte(at));
                Ok(if follows == Some(b',') { NextLine::Within } else { NextLine::Closes(end) })
            }
            _ => Ok(NextLine::Apart),
        }
    }
}

fn has_delimiters(value: Value) -> bool {
    matches!(value.token, Token::Object | Token::Array | Token::String | Token::EscapedString)
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
mod tests;
