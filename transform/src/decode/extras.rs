//! Fields that the contract does not know, as the text of one JSON object: keys and values as they were written.

/// Longest text of an event's unknown fields, braces included.
pub(crate) const MAX_EXTRAS_BYTES: usize = 64 * 1024;

/// The unknown fields of the event being judged.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    text: String,
    fields: u64,
    is_too_large: bool,
}

impl Extras {
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.fields = 0;
        self.is_too_large = false;
    }

    /// Adds a field. The key comes in pieces, without quotes and with the escapes of JSON.
    pub(crate) fn push(&mut self, key: &[&str], value: &str) {
        let key_bytes: usize = key.iter().map(|piece| piece.len()).sum();
        // A comma or the opening brace, two quotes, a colon, and in the end the closing brace.
        let bytes = self.text.len() + key_bytes + value.len() + 5;
        self.is_too_large = self.is_too_large || bytes > MAX_EXTRAS_BYTES;
        if self.is_too_large {
            return;
        }
        self.text.push(if self.fields == 0 { '{' } else { ',' });
        self.text.push('"');
        self.text.extend(key.iter().copied());
        self.text.push_str("\":");
        self.text.push_str(value);
        self.fields += 1;
    }

    /// The whole object; `None` when there is no unknown field.
    pub(crate) fn finish(&mut self) -> Option<&str> {
        if self.fields == 0 {
            return None;
        }
        self.text.push('}');
        Some(&self.text)
    }

    pub(crate) fn fields(&self) -> u64 {
        self.fields
    }

    /// Whether the fields are too long to be kept.
    pub(crate) fn is_too_large(&self) -> bool {
        self.is_too_large
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn extras_are_kept_up_to_64_kibibytes() {
        for (more, too_large) in [(0, false), (1, true)] {
            let mut extras = Extras::default();
            let value = "1".repeat(MAX_EXTRAS_BYTES - r#"{"k":}"#.len() + more);
            extras.push(&["k"], &value);
            assert_eq!(extras.is_too_large(), too_large);
            if !too_large {
                assert_eq!(extras.finish().unwrap().len(), MAX_EXTRAS_BYTES);
            }
        }
    }

    #[test]
    fn fields_are_one_object_in_their_order() {
        let mut extras = Extras::default();
        assert_eq!(extras.finish(), None);
        extras.push(&["b"], "[1, 2]");
        extras.push(&["items[", "0", "].", "a\\n"], "\"x\"");
        assert_eq!(extras.finish(), Some(r#"{"b":[1, 2],"items[0].a\n":"x"}"#));
        assert_eq!(extras.fields(), 2);
        extras.clear();
        assert_eq!(extras.finish(), None);
    }
}
