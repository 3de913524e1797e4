//! A record that Firehose could not deliver or convert, as it writes it under the error prefix: one JSON object a line,
//! with the record's bytes in base64 and its arrival time.
//!
//! The keys are those of Amazon's documentation ("Amazon S3 backup of failed records", "record format conversion").
//! There counts and times are texts; in objects of Firehose they are numbers, times in milliseconds. Both are read. A
//! time in another form counts as none: the record matters more.

use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bluelake_schemas::{Micros, Millis};
use memchr::memmem;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

use crate::parse::timestamp;

/// 2013-12-01T00:00:00Z: Kinesis did not exist before.
const EARLIEST_ARRIVAL: Millis = Millis::new(1_385_856_000_000);

/// What each such line holds: most records are events, and are seen to be so by this alone.
static RAW_DATA: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(b"\"rawData\""));

/// A record as Firehose kept it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedRecord {
    /// The record's data.
    pub data: Vec<u8>,
    /// When it arrived, if the object says so.
    pub arrived_at: Option<Millis>,
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "rawData")]
    raw_data: String,
    #[serde(rename = "arrivalTimestamp")]
    arrived_at: Option<Value>,
    #[serde(rename = "errorCode")]
    error_code: Option<IgnoredAny>,
    #[serde(rename = "lastErrorCode")]
    last_error_code: Option<IgnoredAny>,
    #[serde(rename = "attemptsMade")]
    attempts: Option<IgnoredAny>,
    event_id: Option<IgnoredAny>,
}

impl FailedRecord {
    /// The record inside such a line; `None` for an event or anything else.
    #[must_use]
    pub fn of(text: &[u8]) -> Option<Self> {
        if !text.starts_with(b"{") || RAW_DATA.find(text).is_none() {
            return None;
        }
        let line: Line = serde_json::from_slice(text).ok()?;
        let is_firehose = line.error_code.is_some() || line.last_error_code.is_some() || line.attempts.is_some();
        if !is_firehose || line.event_id.is_some() {
            return None;
        }
        let arrived_at = line.arrived_at.as_ref().and_then(milliseconds).filter(|time| *time >= EARLIEST_ARRIVAL);
        Some(Self { data: STANDARD.decode(line.raw_data).ok()?, arrived_at })
    }
}

/// A time as a number of milliseconds, as a text of that number, or by RFC 3339.
fn milliseconds(time: &Value) -> Option<Millis> {
    match time {
        Value::Number(number) => number.as_i64().map(Millis::new),
        Value::String(text) => {
            let text = text.trim();
            let number = text.parse().ok().map(Millis::new);
            number.or_else(|| timestamp::from_rfc3339(text).map(|micros| Micros::new(micros).millis()))
        }
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_record_inside_is_found_with_its_arrival() {
        let conversion = br#"{"attemptsMade":4,"arrivalTimestamp":1569437217654,"lastErrorCode":"DataFormatConversion.ParseError",
            "lastErrorMessage":"x","attemptEndingTimestamp":1569437517000,"rawData":"eyJhIjoxfQ==","sequenceNumber":"49","subSequenceNumber":null,
            "dataCatalogTable":{"catalogId":null,"databaseName":"d"}}"#;
        let expected = FailedRecord { data: b"{\"a\":1}".to_vec(), arrived_at: Some(Millis::new(1_569_437_217_654)) };
        assert_eq!(FailedRecord::of(conversion).unwrap(), expected);
        let delivery = br#"{"rawData":"eyJhIjoxfQ==","errorCode":"Lambda.InvokeFailed","errorMessage":"m"}"#;
        assert_eq!(FailedRecord::of(delivery).unwrap(), FailedRecord { arrived_at: None, ..expected });
    }

    #[test]
    fn a_text_as_time_keeps_its_record() {
        for (time, expected) in [
            ("1793700000448", Some(1_793_700_000_448)),
            ("\"1793700000448\"", Some(1_793_700_000_448)),
            ("\"2026-11-03T10:00:00Z\"", Some(1_793_700_000_000)),
            ("\"2026-11-03T11:00:00.448+01:00\"", Some(1_793_700_000_448)),
            ("\"timestamp\"", None),
            ("\"\"", None),
            ("null", None),
            ("1.5", None),
            ("1793700000", None),
            ("-1", None),
            ("99999999999999999999", None),
            ("{}", None),
        ] {
            let line = format!(
                r#"{{"attemptsMade":"1","arrivalTimestamp":{time},"errorCode":"x","lastErrorCode":"y","rawData":"eyJhIjoxfQ=="}}"#
            );
            let expected = FailedRecord { data: b"{\"a\":1}".to_vec(), arrived_at: expected.map(Millis::new) };
            assert_eq!(FailedRecord::of(line.as_bytes()), Some(expected), "{time}");
        }
    }

    #[test]
    fn similar_keys_make_no_failed_record() {
        for text in [
            r#"{"event_id":"1","errorCode":"x","rawData":"eyJhIjoxfQ=="}"#,
            r#"{"rawData":"eyJhIjoxfQ=="}"#,
            r#"{"attemptsMade":1,"rawData":"no base64!"}"#,
            r#"{"attemptsMade":1,"rawData":7}"#,
            r#"["eyJhIjoxfQ==",1,"x",1,null,"rawData"]"#,
            r#"{"attemptsMade":1,"rawData":"eyJhIjoxfQ==""#,
            r#"{"attemptsMade":1,"raw":"eyJhIjoxfQ=="}"#,
        ] {
            assert_eq!(FailedRecord::of(text.as_bytes()), None, "{text}");
        }
    }
}
