//! A strict pull scanner for JSON (RFC 8259): finds the bounds and kinds of values, and builds nothing.
//!
//! It never recurses: open containers are a stack of bits, so time and memory are linear in the bytes at any depth. A
//! breach of the grammar ends the scan ([`NotJson`]). A fault that only makes a value unfit (too deep, a NUL, half a
//! surrogate pair) is recorded in [`Faults`], and the scan goes on to the value's end.

use crate::decode::reason::ReasonCode;
use crate::parse::text;

/// The deepest nesting of a value; a flat object is one level.
pub(crate) const MAX_DEPTH: usize = 32;

/// The kind of a value, by its text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Token {
    /// No value: the field is absent.
    #[default]
    Absent,
    Null,
    True,
    False,
    /// A number without fraction and exponent.
    Integer,
    /// A number with fraction or exponent.
    Number,
    /// A string without escapes.
    String,
    EscapedString,
    Object,
    Array,
}

/// A value's token and its place in the text, quotes and brackets included.
///
/// It is two plain numbers on purpose: a function gives those back in registers. A text of 4 GiB, whose places it could
/// not hold, is far above what a record or a column may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) token: Token,
    /// The start, and above it the end.
    place: u64,
}

impl Value {
    pub(crate) fn new(token: Token, start: usize, end: usize) -> Self {
        let narrow = |place| u64::from(u32::try_from(place).unwrap_or(u32::MAX));
        Self { token, place: narrow(end) << 32 | narrow(start) }
    }

    pub(crate) fn start(&self) -> usize {
        usize::try_from(self.place & u64::from(u32::MAX)).unwrap_or(usize::MAX)
    }

    pub(crate) fn end(&self) -> usize {
        usize::try_from(self.place >> 32).unwrap_or(usize::MAX)
    }

    /// The value as it is written.
    pub(crate) fn raw<'a>(&self, text: &'a str) -> &'a str {
        text.get(self.start()..self.end()).unwrap_or_default()
    }

    /// The text between the quotes of a string, escapes as they are written.
    pub(crate) fn inner<'a>(&self, text: &'a str) -> &'a str {
        text.get(self.start() + 1..self.end().saturating_sub(1)).unwrap_or_default()
    }

    pub(crate) fn contains(&self, position: usize) -> bool {
        (self.start()..self.end()).contains(&position)
    }

    pub(crate) fn len(&self) -> usize {
        self.end().saturating_sub(self.start())
    }
}

/// The text breaks the grammar; the end of the value is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotJson;

/// Faults that make a well-formed value unfit: the first of each kind, and its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    pub(crate) too_deep: Option<usize>,
    /// `not_utf8` for a lone surrogate escape, `bad_string` for a NUL.
    pub(crate) string: Option<(ReasonCode, usize)>,
}

/// Containers that are open inside a value, one bit each: a shift register that spills full words.
#[derive(Debug, Default)]
struct Nesting {
    depth: usize,
    newest: u64,
    spilled: Vec<u64>,
}

impl Nesting {
    fn clear(&mut self) {
        self.depth = 0;
        self.newest = 0;
        self.spilled.clear();
    }

    fn push(&mut self, is_object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.spilled.push(self.newest);
            self.newest = 0;
        }
        self.newest = self.newest << 1 | u64::from(is_object);
        self.depth += 1;
    }

    fn pop(&mut self) {
        self.newest >>= 1;
        self.depth = self.depth.saturating_sub(1);
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.newest = self.spilled.pop().unwrap_or_default();
        }
    }

    fn is_object(&self) -> bool {
        self.newest & 1 == 1
    }
}

/// Walks over a text that is known to be UTF-8.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where the bytes end that hold no backslash and no control character, as far as [`Scanner::look_ahead`] looked.
    plain_to: usize,
    nesting: Nesting,
    /// Ends the scan of a container that is nested too deep, instead of looking for its end.
    stops_too_deep: bool,
    pub(crate) faults: Faults,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str, at: usize) -> Self {
        let nesting = Nesting::default();
        let faults = Faults::default();
        Self { bytes: text.as_bytes(), at, plain_to: 0, nesting, stops_too_deep: false, faults }
    }

    /// A scanner for which a value that is nested too deep is not JSON.
    pub(crate) fn stopping_too_deep(text: &'a str, at: usize) -> Self {
        Self { stops_too_deep: true, ..Self::new(text, at) }
    }

    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Result<u8, NotJson> {
        let byte = self.peek().ok_or(NotJson)?;
        self.at += 1;
        Ok(byte)
    }

    #[inline]
    pub(crate) fn skip_white_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Takes the byte if it is the next one after white space.
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        self.skip_white_space();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    pub(crate) fn expect(&mut self, byte: u8) -> Result<(), NotJson> {
        if self.take(byte) { Ok(()) } else { Err(NotJson) }
    }

    /// Finds how far the text from here on has no backslash and no control character, unless that is known. A string
    /// before that place ends at the next quote.
    pub(crate) fn look_ahead(&mut self) {
        if self.at < self.plain_to {
            return;
        }
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let (chunks, _) = rest.as_chunks();
        let plain = 16 * chunks.iter().take_while(|chunk| has_only_quotes(chunk)).count();
        let last = rest.get(plain..).unwrap_or_default();
        let last = last.iter().take_while(|byte| **byte >= b' ' && **byte != b'\\').count();
        self.plain_to = self.at + plain + last;
    }

    /// The next bytes, if there are so many.
    pub(crate) fn ahead<const N: usize>(&self) -> Option<&[u8; N]> {
        self.bytes.get(self.at..)?.first_chunk()
    }

    /// Takes so many bytes, that the caller has seen, and the white space after them.
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.at = self.bytes.len().min(self.at + bytes);
        self.skip_white_space();
    }

    /// Scans a string that ends before the first backslash and control character; `None` for any other value.
    #[inline]
    fn plain_string(&mut self) -> Option<Value> {
        let start = self.at;
        let (quote, inner) = self.bytes.get(start..self.plain_to)?.split_first()?;
        if *quote != b'"' {
            return None;
        }
        let end = start + first_quote(inner)? + 2;
        self.at = end;
        Some(Value::new(Token::String, start, end))
    }

    /// After a value: whether a comma follows, and not the end of the container.
    pub(crate) fn goes_on(&mut self, end: u8) -> Result<bool, NotJson> {
        self.skip_white_space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(found) if found == end => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(NotJson),
        }
    }

    /// Scans the value that begins here; `outer_depth` containers are open around it.
    #[inline]
    pub(crate) fn value(&mut self, outer_depth: usize) -> Result<Value, NotJson> {
        if let Some(string) = self.plain_string() {
            return Ok(string);
        }
        match self.peek() {
            Some(b'{' | b'[') => self.container(outer_depth),
            _ => self.scalar(),
        }
    }

    /// Scans the key that follows after white space, and its colon and the white space after that.
    pub(crate) fn key(&mut self) -> Result<Value, NotJson> {
        self.skip_white_space();
        let key = self.string()?;
        self.expect(b':')?;
        self.skip_white_space();
        Ok(key)
    }

    /// Records that a container was opened at some depth.
    pub(crate) fn enter(&mut self, depth: usize) {
        if depth > MAX_DEPTH && self.faults.too_deep.is_none() {
            self.faults.too_deep = Some(self.at);
        }
    }

    fn container(&mut self, outer_depth: usize) -> Result<Value, NotJson> {
        let start = self.at;
        let token = if self.peek() == Some(b'{') { Token::Object } else { Token::Array };
        self.nesting.clear();
        loop {
            // A value begins here, or its container closes at once.
            self.skip_white_space();
            match self.peek() {
                Some(b'{') => {
                    self.open(true, outer_depth)?;
                    if !self.take(b'}') {
                        self.key()?;
                        continue;
                    }
                    self.nesting.pop();
                }
                Some(b'[') => {
                    self.open(false, outer_depth)?;
                    if !self.take(b']') {
                        continue;
                    }
                    self.nesting.pop();
                }
                _ => {
                    self.scalar()?;
                }
            }
            if self.closes_or_goes_on()? {
                return Ok(Value::new(token, start, self.at));
            }
        }
    }

    fn open(&mut self, is_object: bool, outer_depth: usize) -> Result<(), NotJson> {
        self.nesting.push(is_object);
        self.enter(outer_depth + self.nesting.depth);
        self.at += 1;
        if self.stops_too_deep && self.faults.too_deep.is_some() { Err(NotJson) } else { Ok(()) }
    }

    /// After a value: closes the containers that end here; `true` after the outermost one.
    fn closes_or_goes_on(&mut self) -> Result<bool, NotJson> {
        while self.nesting.depth > 0 {
            self.skip_white_space();
            let is_object = self.nesting.is_object();
            match self.next()? {
                b',' => {
                    if is_object {
                        self.key()?;
                    }
                    return Ok(false);
                }
                b'}' if is_object => self.nesting.pop(),
                b']' if !is_object => self.nesting.pop(),
                _ => return Err(NotJson),
            }
        }
        Ok(true)
    }

    fn scalar(&mut self) -> Result<Value, NotJson> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal(b"true", Token::True),
            Some(b'f') => self.literal(b"false", Token::False),
            Some(b'n') => self.literal(b"null", Token::Null),
            _ => Err(NotJson),
        }
    }

    fn literal(&mut self, word: &[u8], token: Token) -> Result<Value, NotJson> {
        let start = self.at;
        let rest = self.bytes.get(start..).unwrap_or_default();
        if !rest.starts_with(word) {
            return Err(NotJson);
        }
        self.at += word.len();
        Ok(Value::new(token, start, self.at))
    }

    fn number(&mut self) -> Result<Value, NotJson> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        match self.next()? {
            b'0' => {}
            b'1'..=b'9' => self.skip_digits(),
            _ => return Err(NotJson),
        }
        let mut token = Token::Integer;
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
            token = Token::Number;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
            token = Token::Number;
        }
        Ok(Value::new(token, start, self.at))
    }

    fn digits(&mut self) -> Result<(), NotJson> {
        let first = self.at;
        self.skip_digits();
        if self.at > first { Ok(()) } else { Err(NotJson) }
    }

    fn skip_digits(&mut self) {
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
    }

    fn string(&mut self) -> Result<Value, NotJson> {
        if let Some(string) = self.plain_string() {
            return Ok(string);
        }
        let start = self.at;
        if self.next()? != b'"' {
            return Err(NotJson);
        }
        let mut token = Token::String;
        loop {
            self.skip_plain();
            match self.next()? {
                b'"' => return Ok(Value::new(token, start, self.at)),
                b'\\' => {
                    token = Token::EscapedString;
                    self.escape()?;
                }
                _ => return Err(NotJson),
            }
        }
    }

    /// Goes to the next quote, backslash or control character, eight bytes at a time.
    fn skip_plain(&mut self) {
        while let Some(chunk) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<8>()) {
            let stops = stops(u64::from_le_bytes(*chunk));
            if stops != 0 {
                self.at += stops.trailing_zeros() as usize / 8;
                return;
            }
            self.at += 8;
        }
        while self.peek().is_some_and(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
            self.at += 1;
        }
    }

    fn escape(&mut self) -> Result<(), NotJson> {
        match self.next()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => return Ok(()),
            b'u' => {}
            _ => return Err(NotJson),
        }
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let unit = text::hex_unit(rest).ok_or(NotJson)?;
        match unit {
            0 => self.string_fault(ReasonCode::BadString),
            0xDC00..=0xDFFF => self.string_fault(ReasonCode::NotUtf8),
            // Without its other half, the rest is left to the next turn, which may find it malformed.
            0xD800..=0xDBFF => match text::low_surrogate(rest.get(4..).unwrap_or_default()) {
                Some(_) => self.at += 6,
                None => self.string_fault(ReasonCode::NotUtf8),
            },
            _ => {}
        }
        self.at += 4;
        Ok(())
    }

    fn string_fault(&mut self, reason: ReasonCode) {
        self.faults.string.get_or_insert((reason, self.at));
    }
}

/// Whether none is a backslash or a control character. It has no branch for each byte, so that the compiler can look at
/// all of them at once.
fn has_only_quotes(chunk: &[u8; 16]) -> bool {
    !chunk.iter().fold(false, |found, byte| found | (*byte < b' ') | (*byte == b'\\'))
}

/// The place of the first quote.
#[inline]
fn first_quote(bytes: &[u8]) -> Option<usize> {
    let (words, rest) = bytes.as_chunks();
    let mut at = 0;
    for word in words {
        let quotes = has_zero(u64::from_le_bytes(*word) ^ (ONES * b'"' as u64)) & HIGH;
        if quotes != 0 {
            return Some(at + quotes.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    rest.iter().position(|byte| *byte == b'"').map(|last| at + last)
}

const ONES: u64 = u64::from_le_bytes([1; 8]);
const HIGH: u64 = u64::from_le_bytes([0x80; 8]);

/// The high bit of each byte that is zero; other bits are noise, and so are those above the lowest one set.
fn has_zero(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word
}

/// The high bit of each byte that ends a plain run; bits above the lowest one set may be wrong.
/// ("Determine if a word has a byte less than n", Sean Eron Anderson, Bit Twiddling Hacks.)
fn stops(word: u64) -> u64 {
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let quote = has_zero(word ^ (ONES * b'"' as u64));
    let backslash = has_zero(word ^ (ONES * b'\\' as u64));
    (control | quote | backslash) & HIGH
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;
