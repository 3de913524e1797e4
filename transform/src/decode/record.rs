//! One text of a record or sub-record, as its values in order.
//!
//! Values are separated by white space or nothing. After a faulty value the next is found, unless the text stops being
//! JSON or UTF-8: then everything from there on is one rejected item. Only white space between values and a byte-order
//! mark at the start are skipped.

use simdutf8::{basic, compat};

use crate::decode::object::{Keys, ObjectFields};
use crate::decode::reason::{ReasonCode, Rejected};
use crate::parse::json::{Faults, NotJson, Scanner, Token, Value};

/// The most values that a Kinesis record is split into, over all its sub-records. A record of 10 MiB with more is not
/// made of events.
pub(crate) const MAX_VALUES: usize = 100_000;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A record on its way from its first value to its last.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    data: &'a [u8],
    /// The part from the start on that is UTF-8, less a byte-order mark.
    text: &'a str,
    /// Whether bytes follow that are not UTF-8.
    is_cut: bool,
    scanner: Scanner<'a>,
    values: usize,
    max_values: usize,
    is_done: bool,
}

/// A value of a record: an object whose fields were scanned, or a fault.
#[derive(Debug)]
pub(crate) struct Item<'a> {
    /// The value exactly as it arrived; the whole record when it cannot be split.
    pub(crate) bytes: &'a [u8],
    pub(crate) fault: Option<Rejected>,
}

impl<'a> Record<'a> {
    /// At most `max_values` are split off; the rest is one rejected item.
    pub(crate) fn new(data: &'a [u8], max_values: usize) -> Self {
        let (text, is_cut) = readable(data);
        Self { data, text, is_cut, scanner: Scanner::new(text, 0), values: 0, max_values, is_done: false }
    }

    /// The text that the positions of values refer to.
    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    /// The next value; an object's fields are left in `fields`. `names` are the names of the slots.
    pub(crate) fn next(&mut self, keys: &Keys, names: &[String], fields: &mut ObjectFields) -> Option<Item<'a>> {
        if self.is_done {
            return None;
        }
        self.scanner.skip_white_space();
        let start = self.scanner.position();
        if start == self.text.len() {
            return self.end();
        }
        if self.values == self.max_values {
            return Some(self.rest(start, ReasonCode::TooLarge));
        }
        self.scanner.faults = Faults::default();
        let scanned = match self.scanner.peek() {
            Some(b'{') => fields.scan(keys, self.text, &mut self.scanner, 0),
            _ => self.scanner.value(0).and_then(|value| self.is_apart(value)),
        };
        let Ok(value) = scanned else {
            return Some(self.broken(start));
        };
        self.values += 1;
        let bytes = value.raw(self.text).as_bytes();
        Some(Item { bytes, fault: self.fault(value, names, fields) })
    }

    /// The rest, at the end of the text.
    fn end(&mut self) -> Option<Item<'a>> {
        self.is_done = true;
        let reason = match self.values {
            _ if self.is_cut => ReasonCode::NotUtf8,
            0 => ReasonCode::Empty,
            _ => return None,
        };
        Some(self.rest(self.text.len(), reason))
    }

    /// The value that begins at `start` breaks the grammar, or ends with the text before its own end.
    fn broken(&mut self, start: usize) -> Item<'a> {
        let breaks_off = self.is_cut && self.scanner.position() == self.text.len();
        let reason = match self.scanner.faults.too_deep {
            Some(_) => ReasonCode::TooDeep,
            None if breaks_off => ReasonCode::NotUtf8,
            None => ReasonCode::NotJson,
        };
        self.rest(start, reason)
    }

    /// Everything from a position of the text to the end of the record.
    fn rest(&mut self, start: usize, reason: ReasonCode) -> Item<'a> {
        self.is_done = true;
        let mark = if self.data.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        let from = if self.values == 0 { 0 } else { mark + start };
        Item { bytes: self.data.get(from..).unwrap_or_default(), fault: Some(Rejected::whole(reason)) }
    }

    /// A number or word ends where white space or another value begins: `01` is not `0` and `1`.
    fn is_apart(&self, value: Value) -> Result<Value, NotJson> {
        let has_delimiters = matches!(value.token, Token::Array | Token::String | Token::EscapedString);
        match self.scanner.peek() {
            None | Some(b' ' | b'\n' | b'\r' | b'\t' | b'{' | b'[' | b'"') => Ok(value),
            Some(_) if has_delimiters => Ok(value),
            Some(_) => Err(NotJson),
        }
    }

    /// The fault of a whole value, whatever its event type: the first of these in this order.
    fn fault(&self, value: Value, names: &[String], fields: &ObjectFields) -> Option<Rejected> {
        let is_object = value.token == Token::Object;
        let name = |slot: Option<usize>| slot.filter(|_| is_object).and_then(|slot| names.get(slot)).cloned();
        let at = |reason, position| Rejected { reason, field_path: name(fields.slot_at(position)) };
        let faults = &self.scanner.faults;
        if let Some(position) = faults.too_deep {
            return Some(at(ReasonCode::TooDeep, position));
        }
        if let Some((reason, position)) = faults.string {
            return Some(at(reason, position));
        }
        if !is_object {
            return Some(Rejected::whole(ReasonCode::NotObject));
        }
        let duplicate = fields.duplicate()?;
        Some(Rejected { reason: ReasonCode::DuplicateKey, field_path: name(Some(duplicate)) })
    }
}

/// The part of a record that is UTF-8, less a byte-order mark, and whether another part follows.
fn readable(data: &[u8]) -> (&str, bool) {
    if is_utf16(data) {
        return ("", true);
    }
    let body = data.strip_prefix(BYTE_ORDER_MARK).unwrap_or(data);
    if let Ok(text) = basic::from_utf8(body) {
        return (text, false);
    }
    // The fast check does not say where; this one does.
    let valid = compat::from_utf8(body).map_or_else(|error| error.valid_up_to(), str::len);
    let valid = body.get(..valid).unwrap_or_default();
    (basic::from_utf8(valid).unwrap_or_default(), true)
}

/// UTF-16 by its mark, or without one by the NUL beside the first character, which ASCII text has (RFC 4627 §3).
fn is_utf16(data: &[u8]) -> bool {
    let begins = |byte: u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    match *data {
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => true,
        [0, first, ..] | [first, 0, ..] => begins(first),
        _ => false,
    }
}
