//! The text of a JSON string: its escapes resolved. The scanner has found them sound.

/// Appends the meaning of a string to `target`; `inner` is the text between its quotes.
///
/// A lone surrogate, which no text can hold, is left out: its event is rejected anyway.
pub(crate) fn unescape(inner: &str, target: &mut String) {
    let mut rest = inner;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        target.push_str(plain);
        rest = unescape_one(escaped, target);
    }
    target.push_str(rest);
}

/// Resolves the escape whose backslash has been taken and gives what follows it.
fn unescape_one<'a>(escaped: &'a str, target: &mut String) -> &'a str {
    let mut characters = escaped.chars();
    let meant = match characters.next() {
        Some('b') => '\u{8}',
        Some('f') => '\u{c}',
        Some('n') => '\n',
        Some('r') => '\r',
        Some('t') => '\t',
        Some('u') => return unescape_unit(characters.as_str(), target),
        Some(itself) => itself,
        None => return "",
    };
    target.push(meant);
    characters.as_str()
}

fn unescape_unit<'a>(digits: &'a str, target: &mut String) -> &'a str {
    let Some(unit) = hex_unit(digits.as_bytes()) else { return "" };
    let rest = digits.get(4..).unwrap_or_default();
    if let Some(character) = char::from_u32(u32::from(unit)) {
        target.push(character);
        return rest;
    }
    match low_surrogate(rest.as_bytes()) {
        Some(low) if unit < 0xDC00 => {
            let code = 0x10000 + ((u32::from(unit) & 0x3FF) << 10 | (u32::from(low) & 0x3FF));
            target.extend(char::from_u32(code));
            rest.get(6..).unwrap_or_default()
        }
        _ => rest,
    }
}

/// The UTF-16 unit of the four hexadecimal digits that the bytes begin with.
pub(crate) fn hex_unit(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.first_chunk::<4>()?;
    digits.iter().try_fold(0_u16, |unit, byte| {
        let digit = char::from(*byte).to_digit(16)?;
        Some(unit << 4 | u16::try_from(digit).ok()?)
    })
}

/// The second half of a surrogate pair, when the bytes begin with its escape.
pub(crate) fn low_surrogate(bytes: &[u8]) -> Option<u16> {
    let unit = hex_unit(bytes.strip_prefix(b"\\u")?)?;
    (0xDC00..=0xDFFF).contains(&unit).then_some(unit)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unescaped(inner: &str) -> String {
        let mut target = String::new();
        unescape(inner, &mut target);
        target
    }

    proptest! {
        #[test]
        fn escapes_mean_what_serde_json_says(text in any::<String>(), pieces in proptest::collection::vec(
            proptest::sample::select(vec!["\\n", "\\/", "\\\"", "\\\\", "\\u00e9", "\\u20AC", "\\ud83d\\ude00", "x", "\\b", "\\t"]), 0..8)) {
            let quoted = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(unescaped(&quoted[1..quoted.len() - 1]), text);
            let inner = pieces.concat();
            let expected: String = serde_json::from_str(&format!("\"{inner}\"")).unwrap();
            prop_assert_eq!(unescaped(&inner), expected);
        }
    }
}
