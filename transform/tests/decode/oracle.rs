//! The rules of the contract once more, said as plainly as they can be: serde_json finds the values, and one rule is
//! tried after another. It shares no code with the decoder.

use bluelake_schemas::{Condition, Field, FieldKind, Format, OnArrival, Presence};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::*;

const MAX_DEPTH: usize = 32;
const MAX_EXTRAS_BYTES: usize = 64 << 10;
/// 2020-01-01T00:00:00Z in microseconds.
const EARLIEST: i64 = 1_577_836_800_000_000;

/// A reason and the path of a field.
pub(crate) type Fault = (String, Option<String>);

/// What must come of an event.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    /// A row: its columns that are not null, and its extras.
    Row(Map<String, Value>, Option<String>),
    Rejected(Fault),
}

/// The members of an object in their order, also those that occur twice.
struct Members<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

impl<'a> Members<'a> {
    fn of(text: &'a str) -> Self {
        serde_json::from_str(text).unwrap()
    }

    /// The value of the first member of this name.
    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(key, _)| meaning(key.get()) == name).map(|(_, value)| value.get())
    }

    /// The same, if it is not null.
    fn present(&self, name: &str) -> Option<&'a str> {
        self.get(name).filter(|value| *value != "null")
    }

    /// The first of these fields that occurs a second time.
    fn duplicate<'f>(&self, fields: &[&'f Field]) -> Option<&'f str> {
        let mut seen = Vec::new();
        for (key, _) in &self.0 {
            let key = meaning(key.get());
            if let Some(field) = fields.iter().find(|field| field.name == key) {
                if seen.contains(&key) {
                    return Some(&field.name);
                }
                seen.push(key);
            }
        }
        None
    }

    /// Key without quotes and value of each member that is none of these fields.
    fn unknown(&self, fields: &[&Field]) -> Vec<(&'a str, &'a str)> {
        let is_unknown = |key: &str| fields.iter().all(|field| field.name != meaning(key));
        let unknown = self.0.iter().filter(|(key, _)| is_unknown(key.get()));
        unknown.map(|(key, value)| (inner(key.get()), value.get())).collect()
    }
}

/// The text of a raw string.
fn meaning(raw: &str) -> String {
    serde_json::from_str(raw).unwrap()
}

fn inner(raw: &str) -> &str {
    &raw[1..raw.len() - 1]
}

/// What must come of a text that serde_json takes for one value.
pub(crate) fn outcome(stream: Stream, text: &str) -> Outcome {
    match judged(stream, text.trim_matches([' ', '\t', '\r', '\n'])) {
        Ok((row, extras)) => Outcome::Row(row, extras),
        Err(fault) => Outcome::Rejected(fault),
    }
}

fn judged(stream: Stream, text: &str) -> Result<(Map<String, Value>, Option<String>), Fault> {
    let contract = CONTRACT.stream(stream);
    let fields: Vec<&Field> = contract.all_fields().collect();
    if let Some((reason, position)) = too_deep(text).or_else(|| string_fault(text)) {
        let path = if text.starts_with('{') { field_at(text, &fields, position) } else { None };
        return Err((reason.to_owned(), path));
    }
    if !text.starts_with('{') {
        return Err(("not_object".to_owned(), None));
    }
    let members = Members::of(text);
    if let Some(name) = members.duplicate(&fields) {
        return fault("duplicate_key", name);
    }
    let version = members.present("schema_version").map_or(Ok(1), integer);
    let version = version.map_err(|reason| (reason.to_owned(), Some("schema_version".to_owned())))?;
    if version > i64::from(contract.max_schema_version()) {
        return fault("unsupported_schema_version", "schema_version");
    }
    if version < 1 {
        return fault("out_of_range", "schema_version");
    }
    let Some(event_type) = members.present("event_type") else { return fault("missing_field", "event_type") };
    let event_type = string(event_type).map_err(|reason| (reason.to_owned(), Some("event_type".to_owned())))?;
    if contract.event_types().iter().all(|known| known.name != event_type) {
        return fault("unknown_event_type", "event_type");
    }
    let mut extras = Vec::new();
    let mut row = checked(&fields, &members, &event_type, &mut extras)?;
    for rule in contract.rules().iter().filter(|rule| rule.event_type == event_type) {
        let holds = |condition: &Condition| {
            row.get(&condition.field).map(|found| condition.is.iter().any(|value| found == value))
        };
        if holds(&rule.when) == Some(true) && holds(&rule.then) == Some(false) {
            return fault("rule_violated", &rule.then.field);
        }
    }
    extras.extend(members.unknown(&fields).into_iter().map(|(key, value)| format!("\"{key}\":{value}")));
    let foreign =
        |field: &&&Field| field.presence(&event_type) == Presence::Absent && field.on_arrival == OnArrival::Keep;
    for field in fields.iter().filter(foreign).filter(|field| !is_checked_before(field)) {
        extras.extend(members.get(&field.name).map(|value| format!("\"{}\":{value}", field.name)));
    }
    let extras = (!extras.is_empty()).then(|| format!("{{{}}}", extras.join(",")));
    if extras.as_ref().is_some_and(|extras| extras.len() > MAX_EXTRAS_BYTES) {
        return fault("too_large", "extras");
    }
    row.insert("event_type".to_owned(), json!(event_type));
    row.insert("schema_version".to_owned(), json!(version));
    Ok((row, extras))
}

fn fault<T>(reason: &str, path: &str) -> Result<T, Fault> {
    Err((reason.to_owned(), Some(path.to_owned())))
}

fn is_checked_before(field: &Field) -> bool {
    matches!(field.kind, FieldKind::EventType | FieldKind::SchemaVersion)
}

/// The values of an event type's fields, those left out that are dropped.
fn checked(
    fields: &[&Field],
    members: &Members<'_>,
    event_type: &str,
    extras: &mut Vec<String>,
) -> Result<Map<String, Value>, Fault> {
    let mut row = Map::new();
    for field in fields.iter().filter(|field| !is_checked_before(field)) {
        let presence = field.presence(event_type);
        let is_kept = field.on_arrival == OnArrival::Keep;
        if presence == Presence::Absent && is_kept {
            continue;
        }
        match members.present(&field.name) {
            None if presence == Presence::Required => return fault("missing_field", &field.name),
            None => {}
            Some(raw) => {
                let value = match &field.kind {
                    FieldKind::List { fields, .. } => {
                        entries(&field.name, fields, raw, is_kept.then_some(&mut *extras))?
                    }
                    kind => scalar(kind, raw).map_err(|reason| (reason.to_owned(), Some(field.name.clone())))?,
                };
                if is_kept {
                    row.insert(field.name.clone(), value);
                }
            }
        }
    }
    Ok(row)
}

fn entries(name: &str, fields: &[Field], raw: &str, mut extras: Option<&mut Vec<String>>) -> Result<Value, Fault> {
    if !raw.starts_with('[') {
        return fault("wrong_type", name);
    }
    let fields: Vec<&Field> = fields.iter().collect();
    let raw_entries: Vec<&RawValue> = serde_json::from_str(raw).unwrap();
    let mut entries = Vec::new();
    for (number, raw) in raw_entries.iter().enumerate() {
        let path = format!("{name}[{number}]");
        if !raw.get().starts_with('{') {
            return fault("wrong_type", &path);
        }
        let members = Members::of(raw.get());
        if let Some(field) = members.duplicate(&fields) {
            return fault("duplicate_key", &format!("{path}.{field}"));
        }
        let mut entry = Map::new();
        for field in &fields {
            let path = format!("{path}.{}", field.name);
            let value = match members.present(&field.name) {
                Some(raw) => scalar(&field.kind, raw).map_err(|reason| (reason.to_owned(), Some(path)))?,
                None if !field.required_in.is_empty() => return fault("missing_field", &path),
                None => Value::Null,
            };
            entry.insert(field.name.clone(), value);
        }
        entries.push(Value::Object(entry));
        if let Some(extras) = extras.as_mut() {
            let unknown = members.unknown(&fields);
            extras.extend(unknown.into_iter().map(|(key, value)| format!("\"{path}.{key}\":{value}")));
        }
    }
    Ok(Value::Array(entries))
}

fn scalar(kind: &FieldKind, raw: &str) -> Result<Value, &'static str> {
    match kind {
        FieldKind::String { format, .. } => text_of(kind, *format, string(raw)?),
        FieldKind::Enum { values, allowed, .. } => {
            let found = string(raw)?;
            must(values.contains(&found), "not_in_enum")?;
            must(allowed.contains(&found), "rule_violated")?;
            Ok(json!(found))
        }
        FieldKind::Integer { min, max } => {
            let found = integer(raw)?;
            must((*min..=*max).contains(&found), "out_of_range")?;
            Ok(json!(found))
        }
        FieldKind::Number { min, max } => {
            must(is_number(raw), "wrong_type")?;
            let found: f64 = raw.parse().unwrap();
            must((*min..=*max).contains(&found), "out_of_range")?;
            Ok(json!(found))
        }
        FieldKind::Boolean => match raw {
            "true" => Ok(json!(true)),
            "false" => Ok(json!(false)),
            _ => Err("wrong_type"),
        },
        FieldKind::Timestamp => {
            let micros = time(raw)?;
            must((EARLIEST..=ARRIVED_AT + 86_400_000_000).contains(&micros), "implausible_timestamp")?;
            Ok(json!(micros))
        }
        other => panic!("no rule for {other:?}"),
    }
}

fn text_of(kind: &FieldKind, format: Option<Format>, found: String) -> Result<Value, &'static str> {
    match format {
        Some(Format::Uuid) => {
            let is_sound = |(at, byte): (usize, u8)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            };
            must(found.len() == 36 && found.bytes().enumerate().all(is_sound), "bad_uuid")?;
            return Ok(json!(found.to_lowercase()));
        }
        Some(Format::ZipCode) => {
            must(kind.rejected_above().is_none_or(|most| found.len() <= most), "too_large")?;
            must(found.len() == 5 && found.bytes().all(|byte| byte.is_ascii_digit()), "bad_format")?;
        }
        None => must(kind.rejected_above().is_none_or(|most| found.len() <= most), "too_large")?,
    }
    Ok(json!(found))
}

fn time(raw: &str) -> Result<i64, &'static str> {
    if is_integer(raw) {
        return integer(raw)?.checked_mul(1000).ok_or("implausible_timestamp");
    }
    let found = string(raw)?;
    let separator = found.as_bytes().get(10).is_some_and(|byte| matches!(byte, b'T' | b't'));
    must(found.is_ascii() && separator && found.get(17..19) != Some("60"), "bad_timestamp")?;
    let time = chrono::DateTime::parse_from_rfc3339(&found).map_err(|_| "bad_timestamp")?;
    Ok(time.timestamp_micros())
}

fn string(raw: &str) -> Result<String, &'static str> {
    if raw.starts_with('"') { Ok(meaning(raw)) } else { Err("wrong_type") }
}

fn is_number(raw: &str) -> bool {
    raw.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

fn is_integer(raw: &str) -> bool {
    is_number(raw) && !raw.contains(['.', 'e', 'E'])
}

fn integer(raw: &str) -> Result<i64, &'static str> {
    if is_integer(raw) { raw.parse().map_err(|_| "out_of_range") } else { Err("wrong_type") }
}

fn must(holds: bool, otherwise: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(otherwise) }
}

/// The name of the field whose first value holds a byte of the text.
fn field_at(text: &str, fields: &[&Field], position: usize) -> Option<String> {
    let members = Members::of_any(text);
    let holds = |field: &&&Field| {
        let first = members.iter().find(|(key, _)| key.as_deref() == Some(&field.name));
        first.is_some_and(|(_, value)| value.contains(&position))
    };
    fields.iter().find(holds).map(|field| field.name.clone())
}

impl Members<'_> {
    /// Key and place of the value of each member; a key with half a surrogate pair means nothing.
    fn of_any(text: &str) -> Vec<(Option<String>, std::ops::Range<usize>)> {
        let members: Members<'_> = serde_json::from_str(text).unwrap();
        let place = |value: &str| {
            let start = value.as_ptr() as usize - text.as_ptr() as usize;
            start..start + value.len()
        };
        members.0.iter().map(|(key, value)| (serde_json::from_str(key.get()).ok(), place(value.get()))).collect()
    }
}

/// The first container that is nested too deep.
fn too_deep(text: &str) -> Option<(&'static str, usize)> {
    let mut depth = 0_usize;
    let mut is_inside = false;
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'"' => is_inside = !is_inside,
            b'{' | b'[' if !is_inside => depth += 1,
            b'}' | b']' if !is_inside => depth -= 1,
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Some(("too_deep", at));
        }
    }
    None
}

/// The first escape that no text can hold. Escapes occur inside strings only.
fn string_fault(text: &str) -> Option<(&'static str, usize)> {
    let unit = |at: usize| u16::from_str_radix(text.get(at..at + 4)?, 16).ok();
    let mut at = 0;
    while let Some(found) = text[at..].find('\\') {
        at += found + 2;
        if text.as_bytes()[at - 1] != b'u' {
            continue;
        }
        let low = if text.get(at + 4..at + 6) == Some("\\u") { unit(at + 6) } else { None };
        match unit(at).unwrap() {
            0 => return Some(("bad_string", at)),
            0xD800..0xDC00 if matches!(low, Some(0xDC00..0xE000)) => at += 10,
            0xD800..0xE000 => return Some(("not_utf8", at)),
            _ => at += 4,
        }
    }
    None
}
