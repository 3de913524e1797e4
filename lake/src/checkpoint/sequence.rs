//! Kinesis sequence numbers: decimal strings wider than 128 bits, compared as numbers and never parsed.

use std::{cmp::Ordering, fmt};

use serde::{Deserialize, Serialize};

/// A Kinesis sequence number. Ordered as a number: by length without leading zeros, then by text.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SequenceNumber(String);

impl SequenceNumber {
    /// Takes a sequence number from its decimal text.
    ///
    /// # Errors
    /// The text itself when it is empty or holds other characters than digits.
    pub fn parse(text: &str) -> Result<Self, NotASequenceNumber> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NotASequenceNumber);
        }
        Ok(Self(text.to_owned()))
    }

    /// The decimal text, as Kinesis gave it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn significant(&self) -> &str {
        self.0.trim_start_matches('0')
    }
}

/// The text is not a decimal number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sequence number is a string of decimal digits")]
pub struct NotASequenceNumber;

impl TryFrom<String> for SequenceNumber {
    type Error = NotASequenceNumber;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<SequenceNumber> for String {
    fn from(number: SequenceNumber) -> Self {
        number.0
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Ord for SequenceNumber {
    fn cmp(&self, other: &Self) -> Ordering {
        let (left, right) = (self.significant(), other.significant());
        left.len().cmp(&right.len()).then_with(|| left.cmp(right))
    }
}

impl PartialOrd for SequenceNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for SequenceNumber {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for SequenceNumber {}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_of_different_length_are_compared_as_numbers() {
        let nine = SequenceNumber::parse("9").unwrap();
        let ten = SequenceNumber::parse("10").unwrap();
        assert!(nine < ten, "as text, 9 would come after 10");
    }

    #[test]
    fn text_that_is_no_number_is_refused() {
        for text in ["", "-1", "1.0", "TRIM_HORIZON", "１"] {
            assert!(SequenceNumber::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn order_agrees_with_integers(left: u128, right: u128) {
            let a = SequenceNumber::parse(&left.to_string()).unwrap();
            let b = SequenceNumber::parse(&right.to_string()).unwrap();
            prop_assert_eq!(a.cmp(&b), left.cmp(&right));
        }
    }
}
