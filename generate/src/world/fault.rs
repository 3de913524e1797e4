//! Bad events: good ones with exactly one fault, so that the reason code is known.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::dice::Dice;
use super::encode::Encoded;

/// Spoils one event. `None`: the event cannot have this fault.
type Fault = fn(&mut Patient<'_>) -> Option<Vec<u8>>;

/// Reason codes, and the faults that cause them.
const FAULTS: [(&str, Fault); 26] = [
    (NOT_JSON, |patient| Some(patient.truncated())),
    (NOT_JSON, |patient| Some(patient.truncated())),
    (NOT_JSON, |patient| patient.malformed()),
    ("missing_field", |patient| patient.incomplete()),
    ("missing_field", |patient| patient.incomplete()),
    ("wrong_type", |patient| patient.mistyped()),
    ("wrong_type", |patient| patient.mistyped()),
    ("out_of_range", |patient| patient.out_of_range()),
    ("out_of_range", |patient| patient.out_of_range()),
    ("not_in_enum", |patient| patient.outside_the_enum()),
    ("not_in_enum", |patient| patient.outside_the_enum()),
    ("rule_violated", |patient| patient.against_the_rules()),
    ("rule_violated", |patient| patient.against_the_rules()),
    ("bad_timestamp", |patient| patient.with_time(&BAD_TIMES)),
    ("implausible_timestamp", |patient| patient.out_of_its_time()),
    ("bad_uuid", |patient| patient.with_one_of("event_id", &BAD_UUIDS)),
    ("unknown_event_type", |patient| patient.with_one_of("event_type", &UNKNOWN_TYPES)),
    ("bad_format", |patient| patient.with_one_of("zip_code", &BAD_ZIP_CODES)),
    ("duplicate_key", |patient| patient.with_a_key_twice()),
    ("unsupported_schema_version", |patient| patient.with("schema_version", "99")),
    ("bad_string", |patient| patient.with("source", r#""scor\u0000ing""#)),
    ("not_utf8", |patient| patient.not_utf8()),
    ("too_deep", |patient| Some(patient.nested())),
    ("too_large", |patient| patient.with_any(&IDS, &format!("\"{}\"", "x".repeat(200)))),
    ("not_object", |patient| Some(patient.no_object())),
    ("empty", |_| Some(b"  ".to_vec())),
];

const NOT_JSON: &str = "not_json";
const IDS: [&str; 5] = ["user_id", "civilian_id", "donor_id", "redeemer_id", "from_officer_id"];
const AMOUNTS: [&str; 3] = ["points", "points_civilian", "points_officer"];
const BAD_TIMES: [&str; 5] = [
    "\"2026-02-30T10:00:00Z\"",
    "\"2026-03-01T10:00:60Z\"",
    "\"2026-03-01T10:00:00\"",
    "\"03/01/2026 10:00\"",
    "\"yesterday\"",
];
const BAD_UUIDS: [&str; 3] =
    ["\"not-a-uuid\"", "\"3f3c1b7e-0000-4000-8000-00000000000g\"", "\"3f3c1b7e-0000-4000-8000\""];
const UNKNOWN_TYPES: [&str; 3] = ["\"points_expired\"", "\"Interaction\"", "\"user_merged\""];
const BAD_ZIP_CODES: [&str; 4] = ["\"1234\"", "\"12345-6789\"", "\"ABCDE\"", "\"\""];

/// Bytes of a bad event made from a good one, and the reason code it must be rejected with. Never holds a line feed.
pub(super) fn spoil(good: &Encoded, occurred_at: DateTime<Utc>, dice: &mut Dice) -> (Vec<u8>, &'static str) {
    let mut patient = Patient { good, occurred_at, dice };
    for _ in 0..6 {
        let chosen = FAULTS.get(patient.dice.below(FAULTS.len()));
        if let Some((reason, fault)) = chosen
            && let Some(bytes) = fault(&mut patient)
        {
            return (bytes, reason);
        }
    }
    (patient.truncated(), NOT_JSON)
}

/// Members of an event while it is edited.
type Members<'a> = Vec<(&'static str, Cow<'a, [u8]>)>;

struct Patient<'a> {
    good: &'a Encoded,
    occurred_at: DateTime<Utc>,
    dice: &'a mut Dice,
}

impl Patient<'_> {
    /// Cut off between two characters, somewhere in the middle.
    fn truncated(&mut self) -> Vec<u8> {
        let bytes = self.good.bytes();
        let mut length = bytes.len() / 4 + self.dice.below(bytes.len() / 2);
        while bytes.get(length).is_some_and(|byte| (byte & 0xC0) == 0x80) {
            length -= 1;
        }
        bytes.iter().copied().take(length).collect()
    }

    fn malformed(&mut self) -> Option<Vec<u8>> {
        let trailing_comma = || {
            let mut bytes = self.good.bytes().to_vec();
            bytes.pop();
            bytes.extend_from_slice(b",}");
            bytes
        };
        match self.dice.below(4) {
            0 => Some(trailing_comma()),
            1 => self.with_any(&AMOUNTS, "NaN"),
            2 => self.with_any(&AMOUNTS, "012"),
            _ => self.with("event_type", "'interaction'"),
        }
    }

    /// Without a required field, or with null in its place.
    fn incomplete(&mut self) -> Option<Vec<u8>> {
        let required = ["event_id", "event_type", "occurred_at", "points", "method", "purpose", "provider_id"];
        let name = match self.dice.below(2) {
            0 => IDS.into_iter().find(|id| self.has(id))?,
            _ => self.dice.pick(&required),
        };
        if self.dice.chance(400) {
            return self.with(name, "null");
        }
        self.has(name).then(|| {
            let mut members = self.members();
            members.retain(|(known, _)| *known != name);
            joined(&members)
        })
    }

    fn mistyped(&mut self) -> Option<Vec<u8>> {
        match self.dice.below(6) {
            0 => self.with_any(&AMOUNTS, "\"12\""),
            1 => self.with_any(&AMOUNTS, "1.5"),
            2 => self.with_any(&AMOUNTS, "1e2"),
            3 => self.with_any(&IDS, "4711"),
            4 => self.with("zip_code", "12345"),
            _ => self.with("items", "{}"),
        }
    }

    fn out_of_range(&mut self) -> Option<Vec<u8>> {
        let value = self.dice.pick(&["-5", "99999999999999999999", "9223372036854775807"]);
        self.with_any(&AMOUNTS, value)
    }

    fn outside_the_enum(&mut self) -> Option<Vec<u8>> {
        match self.dice.below(3) {
            0 => self.with("channel", "\"fax\""),
            1 => self.with_any(&["method", "purpose"], "\"telepathy\""),
            _ => self.with_any(&["user_kind", "donor_kind", "provider_kind"], "\"robot\""),
        }
    }

    /// Roles that the rules of the community do not allow.
    fn against_the_rules(&mut self) -> Option<Vec<u8>> {
        match self.dice.below(3) {
            0 => self.with("redeemer_kind", "\"police_officer\""),
            1 => self.with("provider_kind", "\"charity\""),
            _ => self.with("donor_kind", "\"family_in_need\""),
        }
    }

    fn with_time(&mut self, times: &[&'static str]) -> Option<Vec<u8>> {
        self.with_one_of("occurred_at", times)
    }

    /// Seconds taken for milliseconds, before 2020, or far ahead.
    fn out_of_its_time(&mut self) -> Option<Vec<u8>> {
        let before = self.occurred_at - TimeDelta::days(366 * 120);
        let before = before.to_rfc3339_opts(SecondsFormat::Millis, true);
        match self.dice.below(4) {
            0 => self.with("occurred_at", &self.occurred_at.timestamp().to_string()),
            1 => self.with("occurred_at", &format!("\"{before}\"")),
            2 => self.with("occurred_at", "\"2019-12-31T23:59:59.999Z\""),
            _ => self.with("occurred_at", "\"2999-01-01T00:00:00Z\""),
        }
    }

    /// A known field twice, sometimes spelt with an escape the second time.
    fn with_a_key_twice(&mut self) -> Option<Vec<u8>> {
        let name = self.dice.pick(&["event_type", "occurred_at"]);
        let escaped = if name == "event_type" { "event\\u005ftype" } else { "occurred\\u005fat" };
        let again = if self.dice.chance(300) { escaped } else { name };
        let mut members = self.members();
        let value = members.iter().find(|(known, _)| *known == name)?.1.clone();
        members.push((again, value));
        Some(joined(&members))
    }

    /// A Latin-1 letter, or half of a surrogate pair.
    fn not_utf8(&mut self) -> Option<Vec<u8>> {
        let source: &[u8] = if self.dice.chance(500) { b"\"scor\xE9ng\"" } else { br#""scor\ud800ing""# };
        self.with_bytes("source", source)
    }

    fn nested(&self) -> Vec<u8> {
        let value = format!("{}{}", "[".repeat(40), "]".repeat(40));
        let mut members = self.members();
        members.push(("trace", Cow::Borrowed(value.as_bytes())));
        joined(&members)
    }

    fn no_object(&mut self) -> Vec<u8> {
        let values: Vec<_> = self.good.members().map(|(_, value)| value).collect();
        match self.dice.below(3) {
            0 => b"null".to_vec(),
            1 => b"\"interaction\"".to_vec(),
            _ => [b"[".as_slice(), &values.join(&b','), b"]"].concat(),
        }
    }

    fn with_one_of(&mut self, name: &str, values: &[&'static str]) -> Option<Vec<u8>> {
        let value = self.dice.pick(values);
        self.with(name, value)
    }

    /// Sets the first of these members that is present to a value.
    fn with_any(&self, names: &[&str], value: &str) -> Option<Vec<u8>> {
        names.iter().find_map(|name| self.with(name, value))
    }

    fn with(&self, name: &str, value: &str) -> Option<Vec<u8>> {
        self.with_bytes(name, value.as_bytes())
    }

    fn with_bytes(&self, name: &str, value: &[u8]) -> Option<Vec<u8>> {
        let mut members = self.members();
        let member = members.iter_mut().find(|(known, _)| *known == name)?;
        member.1 = Cow::Borrowed(value);
        Some(joined(&members))
    }

    fn has(&self, name: &str) -> bool {
        self.good.members().any(|(known, _)| known == name)
    }

    fn members<'m>(&self) -> Members<'m>
    where
        Self: 'm,
    {
        self.good.members().map(|(name, value)| (name, Cow::Owned(value.to_vec()))).collect()
    }
}

fn joined(members: &Members<'_>) -> Vec<u8> {
    let members: Vec<Vec<u8>> =
        members.iter().map(|(name, value)| [b"\"", name.as_bytes(), b"\":", value].concat()).collect();
    [b"{".as_slice(), &members.join(&b','), b"}"].concat()
}
