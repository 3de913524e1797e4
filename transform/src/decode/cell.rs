//! A checked value on its way to its column, and the check of every value that is not a list.

use uuid::Uuid;

use crate::decode::plan::Check;
use crate::decode::reason::ReasonCode;
use crate::parse::json::{Token, Value};
use crate::parse::text;
use crate::parse::timestamp;

/// A value that passed its check. Texts are ranges, so that copies are made only after the whole event has passed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cell {
    Null,
    /// Range of the record's text.
    Text {
        start: usize,
        end: usize,
    },
    /// Range of the texts whose escapes were resolved.
    Unescaped {
        start: usize,
        end: usize,
    },
    /// Also a time in microseconds and a schema version.
    Integer(i64),
    Number(f64),
    Boolean(bool),
    Uuid(Uuid),
    /// Cells of the entries, in the order of the entries, from `first` on.
    List {
        first: usize,
        entries: usize,
    },
}

/// The texts and cells that ranges and lists point to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CellSource<'a> {
    pub(crate) text: &'a str,
    pub(crate) unescaped: &'a str,
    pub(crate) entries: &'a [Cell],
}

impl<'a> CellSource<'a> {
    /// The text of a text cell.
    pub(crate) fn text_of(&self, cell: Cell) -> Option<&'a str> {
        match cell {
            Cell::Text { start, end } => self.text.get(start..end),
            Cell::Unescaped { start, end } => self.unescaped.get(start..end),
            _ => None,
        }
    }
}

/// The text of a string value; escapes are resolved into `unescaped`.
pub(crate) fn string<'a>(text: &'a str, value: Value, unescaped: &'a mut String) -> Result<&'a str, ReasonCode> {
    match value.token {
        Token::String => Ok(value.inner(text)),
        Token::EscapedString => {
            let start = unescaped.len();
            text::unescape(value.inner(text), unescaped);
            Ok(unescaped.get(start..).unwrap_or_default())
        }
        _ => Err(ReasonCode::WrongType),
    }
}

/// The cell of a string value whose text is `found`; `before` was the length of the unescaped texts.
#[inline]
pub(crate) fn text(value: Value, before: usize, found: &str) -> Cell {
    if value.token == Token::String {
        Cell::Text { start: value.start() + 1, end: value.end() - 1 }
    } else {
        Cell::Unescaped { start: before, end: before + found.len() }
    }
}

/// Checks a value that is present and not null, and sets its cell if it passes. Lists, event type and schema version are
/// checked elsewhere.
///
/// The cell is written in its place: to give it back and move it there costs more than most checks.
pub(crate) fn scalar(
    (check, record, value): (&Check, &str, Value),
    unescaped: &mut String,
    cell: &mut Cell,
) -> Result<(), ReasonCode> {
    let before = unescaped.len();
    match check {
        // The most frequent case: the text need not be looked at.
        Check::Text { max_bytes, is_zip_code: false } if value.token == Token::String => {
            let (start, end) = (value.start() + 1, value.end() - 1);
            must(end - start <= *max_bytes, ReasonCode::TooLarge)?;
            *cell = Cell::Text { start, end };
        }
        Check::Text { max_bytes, is_zip_code } => {
            let found = string(record, value, unescaped)?;
            must(found.len() <= *max_bytes, ReasonCode::TooLarge)?;
            must(!is_zip_code || is_five_digits(found), ReasonCode::BadFormat)?;
            *cell = text(value, before, found);
        }
        Check::Uuid => *cell = Cell::Uuid(uuid(string(record, value, unescaped)?)?),
        Check::Enum(values) => {
            let found = string(record, value, unescaped)?;
            let known = values.iter().find(|value| value.text == found).ok_or(ReasonCode::NotInEnum)?;
            must(known.is_allowed, ReasonCode::RuleViolated)?;
            *cell = text(value, before, found);
        }
        Check::Integer { min, max } => {
            let found = integer(record, value)?;
            must((*min..=*max).contains(&found), ReasonCode::OutOfRange)?;
            *cell = Cell::Integer(found);
        }
        Check::Number { min, max } => {
            must(matches!(value.token, Token::Integer | Token::Number), ReasonCode::WrongType)?;
            let found: f64 = value.raw(record).parse().map_err(|_| ReasonCode::WrongType)?;
            // A number beyond a double is infinite, and so outside of every range.
            must((*min..=*max).contains(&found), ReasonCode::OutOfRange)?;
            *cell = Cell::Number(found);
        }
        Check::Boolean => *cell = Cell::Boolean(boolean(value)?),
        Check::Timestamp => *cell = Cell::Integer(time(record, value, unescaped)?),
        Check::List(_) | Check::EventType | Check::SchemaVersion => return Err(ReasonCode::WrongType),
    }
    Ok(())
}

fn boolean(value: Value) -> Result<bool, ReasonCode> {
    match value.token {
        Token::True => Ok(true),
        Token::False => Ok(false),
        _ => Err(ReasonCode::WrongType),
    }
}

/// A whole number of 64 bits.
pub(crate) fn integer(text: &str, value: Value) -> Result<i64, ReasonCode> {
    must(value.token == Token::Integer, ReasonCode::WrongType)?;
    // The scanner has seen a sign and digits, so only the size can be wrong.
    value.raw(text).parse().map_err(|_| ReasonCode::OutOfRange)
}

fn time(text: &str, value: Value, unescaped: &mut String) -> Result<i64, ReasonCode> {
    if value.token == Token::Integer {
        let milliseconds = integer(text, value)?;
        return timestamp::from_epoch_milliseconds(milliseconds).ok_or(ReasonCode::ImplausibleTimestamp);
    }
    let found = string(text, value, unescaped)?;
    timestamp::from_rfc3339(found).ok_or(ReasonCode::BadTimestamp)
}

/// A UUID with hyphens, in either case.
fn uuid(text: &str) -> Result<Uuid, ReasonCode> {
    must(text.len() == uuid::fmt::Hyphenated::LENGTH, ReasonCode::BadUuid)?;
    Uuid::try_parse(text).map_err(|_| ReasonCode::BadUuid)
}

fn is_five_digits(text: &str) -> bool {
    text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn must(holds: bool, otherwise: ReasonCode) -> Result<(), ReasonCode> {
    if holds { Ok(()) } else { Err(otherwise) }
}
