//! A record that Firehose could not deliver or convert, as it leaves it under the error prefix: one JSON object a line,
//! with the record's bytes in base64 and when it arrived.
//!
//! The keys are those of Amazon's documentation ("Amazon S3 backup of failed records", "record format conversion").

use base64::{Engine as _, engine::general_purpose::STANDARD};
use memchr::memmem;
use serde::{Deserialize, de::IgnoredAny};

/// What Firehose kept of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedRecord {
    /// The record's data.
    pub data: Vec<u8>,
    /// When it arrived, milliseconds since the epoch, if that was written down.
    pub arrived_at: Option<i64>,
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "rawData")]
    raw_data: String,
    #[serde(rename = "arrivalTimestamp")]
    arrived_at: Option<i64>,
    #[serde(rename = "errorCode", alias = "lastErrorCode")]
    error_code: Option<IgnoredAny>,
    #[serde(rename = "attemptsMade")]
    attempts: Option<IgnoredAny>,
    event_id: Option<IgnoredAny>,
}

impl FailedRecord {
    /// The record inside, when this is such a line; `None` for an event, and for what is neither.
    #[must_use]
    pub fn of(text: &[u8]) -> Option<Self> {
        memmem::find(text, b"\"rawData\"").filter(|_| text.starts_with(b"{"))?;
        let line: Line = serde_json::from_slice(text).ok()?;
        let is_firehose = line.error_code.is_some() || line.attempts.is_some();
        if !is_firehose || line.event_id.is_some() {
            return None;
        }
        Some(Self { data: STANDARD.decode(line.raw_data).ok()?, arrived_at: line.arrived_at })
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
        let expected = FailedRecord { data: b"{\"a\":1}".to_vec(), arrived_at: Some(1_569_437_217_654) };
        assert_eq!(FailedRecord::of(conversion).unwrap(), expected);
        let delivery = br#"{"rawData":"eyJhIjoxfQ==","errorCode":"Lambda.InvokeFailed","errorMessage":"m"}"#;
        assert_eq!(FailedRecord::of(delivery).unwrap(), FailedRecord { arrived_at: None, ..expected });
    }

    #[test]
    fn whatever_else_has_such_a_key_is_what_it_is() {
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
