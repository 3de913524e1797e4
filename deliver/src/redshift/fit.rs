//! What a value must be to fit into a column of Redshift. What does not fit is delivered as null and told in `losses`: it is
//! never cut. Pure.

use std::collections::HashSet;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The longest text of a column, in bytes. JSON travels as such a text, too.
pub(super) const LONGEST: usize = 65_535;
/// Levels of nesting that are looked into; the contract lets 32 pass.
const DEEPEST: usize = 100;

/// Whether `JSON_PARSE` takes a text and keeps each value of it: no key twice in an object, no number that
/// neither 64 bits nor a double hold.
///
/// # Errors
/// Why not, in words that quote nothing.
pub(super) fn check_super(text: &str) -> Result<(), &'static str> {
    if text.len() > LONGEST {
        return Err("as JSON it is longer than 65535 bytes");
    }
    check(serde_json::from_str(text).map_err(|_| NO_JSON)?, DEEPEST)
}

const NO_JSON: &str = "it is no JSON that Redshift reads";

fn check(value: &RawValue, levels: usize) -> Result<(), &'static str> {
    let left = levels.checked_sub(1).ok_or("its JSON is too deep")?;
    let text = value.get().trim();
    match text.as_bytes().first() {
        Some(b'{' | b'[') => {
            let mut keys = HashSet::new();
            let parts = serde_json::from_str::<Parts<'_>>(text).map_err(|_| NO_JSON)?;
            for (key, value) in &parts.0 {
                if let Some(key) = key {
                    check_text(key)?;
                    if !keys.insert(key) {
                        return Err("a key is there twice");
                    }
                }
                check(value, left)?;
            }
            Ok(())
        }
        Some(b'"') => check_text(&serde_json::from_str::<String>(text).map_err(|_| NO_JSON)?),
        Some(b'-' | b'0'..=b'9') if !is_kept_number(text) => Err("a number would be changed"),
        _ => Ok(()),
    }
}

/// No text of Redshift has the character U+0000.
fn check_text(text: &str) -> Result<(), &'static str> {
    if text.contains('\0') { Err("it has the character U+0000") } else { Ok(()) }
}

/// A number is kept if it is whole with 64 bits, or if a double says it with the same digits: then it does not matter as
/// which of them it is stored.
fn is_kept_number(text: &str) -> bool {
    let as_double = || {
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite())?;
        Some(decimal(&format!("{number:e}"))? == decimal(text)?)
    };
    text.parse::<i64>().is_ok() || as_double() == Some(true)
}

/// A number of JSON as its digits without zeros at the ends, and a power of ten: equal numbers have equal texts.
fn decimal(text: &str) -> Option<String> {
    let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, part].concat();
    let digits = digits.trim_start_matches('0');
    let kept = digits.trim_end_matches('0');
    if kept.is_empty() {
        return Some("0".to_owned());
    }
    let moved = i64::try_from(digits.len() - kept.len()).ok()? - i64::try_from(part.len()).ok()?;
    let power = power.strip_prefix('+').unwrap_or(power).parse::<i64>().ok()?.checked_add(moved)?;
    Some(format!("{sign}{kept}e{power}"))
}

/// A form of a JSON text that equal values share, whoever wrote them: keys in order, numbers by their value. `None`: it is no
/// JSON.
pub(super) fn canonical(text: &str) -> Option<String> {
    let mut out = String::new();
    add_canonical(serde_json::from_str(text).ok()?, &mut out)?;
    Some(out)
}

fn add_canonical(value: &RawValue, out: &mut String) -> Option<()> {
    let text = value.get().trim();
    let quoted = |text: &str| serde_json::to_string(text).ok();
    match text.as_bytes().first()? {
        b'{' | b'[' => {
            let mut parts = serde_json::from_str::<Parts<'_>>(text).ok()?.0;
            parts.sort_by(|(key, _), (other, _)| key.cmp(other));
            let ends = if text.starts_with('{') { ['{', '}'] } else { ['[', ']'] };
            out.push(ends[0]);
            for (key, value) in parts {
                if let Some(key) = key {
                    out.push_str(&quoted(&key)?);
                    out.push(':');
                }
                add_canonical(value, out)?;
                out.push(',');
            }
            out.push(ends[1]);
        }
        b'"' => out.push_str(&quoted(&serde_json::from_str::<String>(text).ok()?)?),
        b'-' | b'0'..=b'9' => out.push_str(&decimal(text)?),
        _ => out.push_str(text),
    }
    Some(())
}

/// The entries of an object with their keys, or of a list.
struct Parts<'a>(Vec<(Option<String>, &'a RawValue)>);

impl<'a> Deserialize<'a> for Parts<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'a> Visitor<'a> for Reader {
            type Value = Parts<'a>;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object or a list")
            }

            fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut parts = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, &'a RawValue>()? {
                    parts.push((Some(key), value));
                }
                Ok(Parts(parts))
            }

            fn visit_seq<S: SeqAccess<'a>>(self, mut list: S) -> Result<Self::Value, S::Error> {
                let mut parts = Vec::new();
                while let Some(value) = list.next_element::<&'a RawValue>()? {
                    parts.push((None, value));
                }
                Ok(Parts(parts))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_that_super_keeps_is_told_from_what_it_would_change() {
        for kept in [
            "{}",
            " { } ",
            "[]",
            "null",
            "{\"a\":[1,-0.0,1.5e3,true,null,\"\u{1F600}\"],\"b\":{\"a\":9223372036854775807}}",
            "{\"a\":0.30000000000000004}",
            "{\"a\":1e300}",
            "{\"a\":0e999}",
        ] {
            assert_eq!(check_super(kept), Ok(()), "{kept}");
        }
        let deep = format!("{}1{}", "[".repeat(120), "]".repeat(120));
        for (lost, reason) in [
            ("{\"a\":1e999999}", "a number"),
            ("{\"a\":1E+400}", "a number"),
            ("{\"a\":1e-400}", "a number"),
            ("{\"a\":9223372036854775808}", "a number"),
            ("{\"a\":0.12345678901234567890123}", "a number"),
            ("{\"a\":0.10000000000000001}", "a number"),
            ("{\"a\":1,\"a\":2}", "a key"),
            ("{\"a\":[{\"b\":1,\"\\u0062\":2}]}", "a key"),
            ("{\"a\":\"\\u0000\"}", "U+0000"),
            ("{\"\\u0000\":1}", "U+0000"),
            ("{\"a\":", "no JSON"),
            ("", "no JSON"),
            (deep.as_str(), "too deep"),
        ] {
            assert!(check_super(lost).is_err_and(|said| said.contains(reason)), "{lost}");
        }
    }

    #[test]
    fn equal_values_have_one_form() {
        let one = canonical("{\"a\":1500,\"b\":[{\"d\":\"\u{1F600}\",\"c\":0.25}],\"e\":0}");
        assert!(one.is_some());
        assert_eq!(
            one,
            canonical(" {\"e\": -0.0, \"b\": [{\"c\": 2.5e-1, \"d\": \"\\ud83d\\ude00\"}], \"a\": 1.5E+3} ")
        );
        for other in ["{}", "{\"a\":1500,\"b\":[{\"d\":\"\u{1F600}\",\"c\":0.25},null],\"e\":0}", "{\"a\":1501}"] {
            assert_ne!(one, canonical(other), "{other}");
        }
        assert_ne!(canonical("[1,2]"), canonical("[2,1]"));
        assert_ne!(canonical("\"1\""), canonical("1"));
        assert_eq!(canonical("1e300"), canonical(&format!("1{}", "0".repeat(300))));
        assert_eq!(canonical("{"), None);
    }

    #[test]
    fn a_json_text_has_the_bound_of_a_column() {
        let text = |length: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(length - 8));
        assert_eq!(check_super(&text(LONGEST)), Ok(()));
        assert!(check_super(&text(LONGEST + 1)).is_err_and(|said| said.contains("65535")));
    }
}
