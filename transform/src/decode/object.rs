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
/// Room for a key of up to 29 bytes with its quotes and colon: four words of a processor, or two of its vectors.
const WRITTEN_BYTES: usize = 32;

/// The possible names in an object, numbered: the number of a name is its slot.
#[derive(Debug)]
pub(crate) struct Keys {
    slots: HashMap<Box<str>, usize, RandomState>,
    written: Vec<WrittenKey>,
}

impl Keys {
    pub(crate) fn new<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Self {
        Self {
            slots: names.clone().enumerate().map(|(slot, name)| (Box::from(name), slot)).collect(),
            written: names.map(WrittenKey::new).collect(),
        }
    }

    fn len(&self) -> usize {
        self.slots.len()
    }
}

/// A key as nearly every producer writes it: in quotes, with its colon, and without escapes.
#[derive(Debug)]
struct WrittenKey {
    bytes: [u8; WRITTEN_BYTES],
    /// All bits of each byte that belongs to the key.
    mask: [u8; WRITTEN_BYTES],
    len: usize,
}

impl WrittenKey {
    fn new(name: &str) -> Self {
        let written = format!("\"{name}\":");
        let len = written.len();
        let (mut bytes, mut mask) = ([0; WRITTEN_BYTES], [0; WRITTEN_BYTES]);
        // No text has such a byte: a key without a place here is found by look-up only.
        bytes[0] = 0xFF;
        mask[0] = 0xFF;
        if let Some(place) = bytes.get_mut(..len) {
            place.copy_from_slice(written.as_bytes());
            mask.iter_mut().take(len).for_each(|byte| *byte = 0xFF);
        }
        Self { bytes, mask, len }
    }

    /// Whether a text begins with the key. All bytes are compared at once.
    #[inline]
    fn begins(&self, text: &[u8; WRITTEN_BYTES]) -> bool {
        let bytes = text.iter().zip(&self.bytes).zip(&self.mask);
        bytes.fold(0, |differences, ((found, byte), mask)| differences | ((found ^ byte) & mask)) == 0
    }
}

/// The slots of the two fields that followed a field last, the newest first.
///
/// Producers write the fields of an event in one order. So the next key is nearly always one of two, and to compare it
/// is quicker than to look for its end and to look it up. A wrong guess costs time and no more.
#[derive(Clone, Copy, Debug)]
struct Guess {
    newest: usize,
    older: usize,
}

/// No slot.
const NO_GUESS: Guess = Guess { newest: usize::MAX, older: usize::MAX };

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
    /// The slots that have a value.
    known: usize,
    unknown: Vec<UnknownField>,
    unknown_bytes: usize,
    duplicate: Option<usize>,
    unescaped_key: String,
    guesses: Vec<Guess>,
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
        scanner.look_ahead();
        // The guesses are those for the first key, and then for the key after each slot.
        let mut place = 0;
        let mut goes_on = !scanner.take(b'}');
        while goes_on {
            scanner.skip_white_space();
            if let Some(slot) = self.guessed(keys, place, scanner) {
                let value = scanner.value(depth)?;
                self.put_known(slot, value);
                place = slot + 1;
            } else {
                let key = scanner.key()?;
                let value = scanner.value(depth)?;
                if let Some(slot) = self.put(keys, text, key, value) {
                    self.learn(place, slot);
                    place = slot + 1;
                }
            }
            goes_on = scanner.goes_on(b'}')?;
        }
        Ok(Value::new(Token::Object, start, scanner.position()))
    }

    /// The slot of the key that follows, if it is as guessed; the key is taken then.
    #[inline]
    fn guessed(&mut self, keys: &Keys, place: usize, scanner: &mut Scanner<'_>) -> Option<usize> {
        let ahead = scanner.ahead()?;
        let Guess { newest, older } = *self.guesses.get(place)?;
        let key = keys.written.get(newest)?;
        if key.begins(ahead) {
            scanner.advance(key.len);
            return Some(newest);
        }
        let key = keys.written.get(older)?;
        if key.begins(ahead) {
            scanner.advance(key.len);
            self.learn(place, older);
            return Some(older);
        }
        None
    }

    fn learn(&mut self, place: usize, slot: usize) {
        if let Some(guess) = self.guesses.get_mut(place)
            && guess.newest != slot
        {
            *guess = Guess { newest: slot, older: guess.newest };
        }
    }

    fn clear(&mut self, keys: &Keys) {
        if self.slots.len() == keys.len() {
            self.slots.fill(Value::default());
        } else {
            self.slots = vec![Value::default(); keys.len()];
            self.guesses = vec![NO_GUESS; keys.len() + 1];
        }
        self.known = 0;
        self.unknown.clear();
        self.unknown_bytes = 0;
        self.duplicate = None;
        self.unescaped_key.clear();
        self.unescaped_key.shrink_to(KEPT_KEY_BYTES);
    }

    /// Keeps a field and gives its slot, if it has one.
    fn put(&mut self, keys: &Keys, text: &str, key: Value, value: Value) -> Option<usize> {
        let slot = if key.token == Token::EscapedString {
            self.unescaped_key.clear();
            text::unescape(key.inner(text), &mut self.unescaped_key);
            keys.slots.get(self.unescaped_key.as_str())
        } else {
            keys.slots.get(key.inner(text))
        };
        match slot {
            Some(slot) => self.put_known(*slot, value),
            None => self.put_unknown(UnknownField { key, value }),
        }
        slot.copied()
    }

    #[inline]
    fn put_known(&mut self, slot: usize, value: Value) {
        match self.slots.get_mut(slot) {
            Some(place) if place.token == Token::Absent => {
                *place = value;
                self.known += 1;
            }
            _ => self.duplicate = self.duplicate.or(Some(slot)),
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

    /// The number of slots that have a value, also null.
    pub(crate) fn known(&self) -> usize {
        self.known
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_whatever_its_length_and_its_order() {
        let names: Vec<String> = [1, 2, 13, 28, 29, 30, 64].iter().map(|bytes| "k".repeat(*bytes)).collect();
        let keys = Keys::new(names.iter().map(String::as_str));
        let mut fields = ObjectFields::default();
        for turn in 0..3 * names.len() {
            let order = (0..names.len()).map(|at| (at * (1 + turn % 3) + turn) % names.len());
            let members: Vec<String> = order.map(|slot| format!("\"{}\":{slot}", names[slot])).collect();
            let text = format!("{{{}}}", members.join(","));
            fields.scan(&keys, &text, &mut Scanner::new(&text, 0), 0).unwrap();
            for slot in 0..names.len() {
                assert_eq!(fields.get(slot).raw(&text), slot.to_string(), "{text}");
            }
            assert_eq!((fields.known(), fields.unknown().len(), fields.duplicate()), (names.len(), 0, None));
        }
        let text = format!("{{\"{}\":1,\"{0}\":2}}", names[5]);
        fields.scan(&keys, &text, &mut Scanner::new(&text, 0), 0).unwrap();
        assert_eq!((fields.duplicate(), fields.known()), (Some(5), 1));
    }
}
