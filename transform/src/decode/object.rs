//! One object as a table of slots: the value of each field of the contract, and the fields that the contract lacks.
//!
//! One pass fills the table. The next object uses it again, so that objects cost no allocations.

use std::collections::HashMap;

use ahash::RandomState;

use crate::decode::extras::MAX_EXTRAS_BYTES;
use crate::parse::json::{NotJson, Scanner, Token, Value};
use crate::parse::text;

/// The memory of one key that is kept for the next.
const KEPT_KEY_BYTES: usize = 64 << 10;

/// The possible names in an object, numbered: the number of a name is its slot.
#[derive(Debug)]
pub(crate) struct Keys {
    slots: HashMap<Box<str>, usize, RandomState>,
}

impl Keys {
    pub(crate) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        Self { slots: names.enumerate().map(|(slot, name)| (Box::from(name), slot)).collect() }
    }

    fn len(&self) -> usize {
        self.slots.len()
    }
}

/// A field that the contract does not know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnknownField {
    pub(crate) key: Value,
    pub(crate) value: Value,
}

/// The fields of the object that was scanned last.
#[derive(Debug, Default)]
pub(crate) struct ObjectFields {
    slots: Vec<Value>,
    unknown: Vec<UnknownField>,
    unknown_bytes: usize,
    duplicate: Option<usize>,
    unescaped_key: String,
}

impl ObjectFields {
    /// Scans the object that begins at the scanner's position, inside of `outer_depth` containers.
    pub(crate) fn scan(
        &mut self,
        keys: &Keys,
        text: &str,
        scanner: &mut Scanner<'_>,
        outer_depth: usize,
    ) -> Result<Value, NotJson> {
        self.clear(keys);
        let depth = outer_depth + 1;
        let start = scanner.position();
        scanner.enter(depth);
        scanner.expect(b'{')?;
        if !scanner.take(b'}') {
            loop {
                let key = scanner.key()?;
                let value = scanner.value(depth)?;
                self.put(keys, text, key, value);
                if scanner.take(b'}') {
                    break;
                }
                scanner.expect(b',')?;
            }
        }
        Ok(Value { token: Token::Object, start, end: scanner.position() })
    }

    fn clear(&mut self, keys: &Keys) {
        self.slots.clear();
        self.slots.resize(keys.len(), Value::default());
        self.unknown.clear();
        self.unknown_bytes = 0;
        self.duplicate = None;
        self.unescaped_key.clear();
        self.unescaped_key.shrink_to(KEPT_KEY_BYTES);
    }

    fn put(&mut self, keys: &Keys, text: &str, key: Value, value: Value) {
        let slot = if key.token == Token::EscapedString {
            self.unescaped_key.clear();
            text::unescape(key.inner(text), &mut self.unescaped_key);
            keys.slots.get(self.unescaped_key.as_str())
        } else {
            keys.slots.get(key.inner(text))
        };
        match slot.and_then(|slot| Some((*slot, self.slots.get_mut(*slot)?))) {
            Some((_, place)) if place.token == Token::Absent => *place = value,
            Some((slot, _)) => self.duplicate = self.duplicate.or(Some(slot)),
            None => self.put_unknown(UnknownField { key, value }),
        }
    }

    /// Beyond the limit of kept bytes only the size is counted: a hostile object cannot make the list long.
    fn put_unknown(&mut self, field: UnknownField) {
        if self.unknown_bytes <= MAX_EXTRAS_BYTES {
            self.unknown.push(field);
        }
        self.unknown_bytes = self.unknown_bytes.saturating_add(field.key.len() + field.value.len());
    }

    /// The value of a slot; an absent value for an empty slot.
    pub(crate) fn get(&self, slot: usize) -> Value {
        self.slots.get(slot).copied().unwrap_or_default()
    }

    /// The fields that the contract does not know, in the order of the text. Some are left out if they are longer than
    /// [`MAX_EXTRAS_BYTES`]; the caller that keeps them checks that again.
    pub(crate) fn unknown(&self) -> &[UnknownField] {
        &self.unknown
    }

    /// The first field of the contract that occurs twice.
    pub(crate) fn duplicate(&self) -> Option<usize> {
        self.duplicate
    }

    /// The slot whose value holds a position of the text.
    pub(crate) fn slot_at(&self, position: usize) -> Option<usize> {
        self.slots.iter().position(|value| value.contains(position))
    }
}
