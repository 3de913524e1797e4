//! The Kinesis stream of a table: always the same one, by its ARN and its time of creation. Pure.
//!
//! | the table's document has | the stream is | result |
//! | --- | --- | --- |
//! | no ARN (only a backfill wrote) | any | taken |
//! | ARN A | A, created at the same time or later | taken; created later it is a new incarnation |
//! | ARN A | A, created before | refused: the document is of a later incarnation |
//! | ARN A | B | refused |
//!
//! A time that one side does not know is not compared.

use std::time::Duration;

use bluelake_schemas::Millis;
use chrono::SecondsFormat;

use crate::{
    checkpoint::{advance::Writer, document::CheckpointDocument},
    error::LakeError,
};

/// Some servers round the time of creation down to the second.
const CUT: Duration = Duration::from_secs(1);
/// What an operator can do.
const REMEDY: &str = "correct the name of the stream ([streams] in bluelake.toml), or use another lake";

impl CheckpointDocument {
    /// Why a stream is not the table's; `None` when it is.
    #[must_use]
    pub fn other_stream(&self, arn: &str, created_at: Option<Millis>) -> Option<String> {
        if self.head.stream_arn.is_empty() || arn.is_empty() {
            return None;
        }
        if self.head.stream_arn != arn {
            return Some(format!("it holds the stream {}, and {arn} is another", self.head.stream_arn));
        }
        match (self.head.stream_created_at, created_at) {
            (Some(held), Some(found)) if found < held.earlier(CUT) => Some(format!(
                "it holds the stream {arn} that was created at {}, and this one was created before, at {}",
                time(held),
                time(found)
            )),
            _ => None,
        }
    }

    /// As [`CheckpointDocument::other_stream`], by a name or ARN alone, for callers that do not ask Kinesis.
    #[must_use]
    pub fn other_stream_by_name(&self, given: &str) -> Option<String> {
        let name = self.head.stream_arn.rsplit_once('/').map_or(self.head.stream_arn.as_str(), |(_, name)| name);
        let is_same = if given.starts_with("arn:") { self.head.stream_arn == given } else { name == given };
        let is_other = !self.head.stream_arn.is_empty() && !is_same;
        is_other.then(|| format!("it holds the stream {}, and {given} is another", self.head.stream_arn))
    }
}

/// Refuses to write from another stream than the table's.
pub(crate) fn check(table: &str, document: Option<&CheckpointDocument>, writer: &Writer) -> Result<(), LakeError> {
    let other = document.and_then(|document| document.other_stream(&writer.stream_arn, writer.stream_created_at));
    other.map_or(Ok(()), |check| Err(other_stream(table, check)))
}

/// The error of a table that holds another stream.
#[must_use]
pub fn other_stream(table: &str, check: String) -> LakeError {
    LakeError::Refused { table: table.to_owned(), check, remedy: REMEDY.to_owned() }
}

fn time(at: Millis) -> String {
    at.time().map_or_else(|| at.get().to_string(), |time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::checkpoint::advance::{Batch, advance};

    const ARN: &str = "arn:aws:kinesis:us-east-1:123456789012:stream/points";

    fn document(arn: &str, created_at: Option<Millis>) -> CheckpointDocument {
        let writer = Writer {
            worker: "w".to_owned(),
            stream_arn: arn.to_owned(),
            stream_created_at: created_at,
            contract_version: 1,
        };
        let batch = Batch {
            id: uuid::Uuid::now_v7(),
            base: 0,
            erasure_epoch: 0,
            shards: Vec::new(),
            retire: Vec::new(),
            supplement: None,
            files: Vec::new(),
            rejected_files: Vec::new(),
        };
        advance(None, 1, &batch, &writer).unwrap()
    }

    #[test]
    fn a_stream_is_the_same_by_its_arn() {
        let second = 1_000;
        let held = document(ARN, Some(Millis::new(10 * second)));
        let same = |arn: &str, created_at| held.other_stream(arn, created_at).is_none();
        assert!(same(ARN, Some(Millis::new(10 * second))) && same(ARN, None) && same("", None));
        assert!(same(ARN, Some(Millis::new(9 * second))), "a server may cut the time to the second");
        assert!(same(ARN, Some(Millis::new(500 * second))), "made anew under its name");
        assert!(!same(ARN, Some(Millis::new(8 * second))));
        for other in [
            "arn:aws:kinesis:us-east-1:123456789012:stream/points2",
            "arn:aws:kinesis:us-east-1:210987654321:stream/points",
            "arn:aws:kinesis:eu-west-1:123456789012:stream/points",
            "points",
        ] {
            let reason = held.other_stream(other, Some(Millis::new(10 * second))).unwrap();
            assert!(reason.contains(ARN) && reason.contains(other), "{reason}");
        }
        assert_eq!(
            document(ARN, None).other_stream(ARN, Some(Millis::new(1))),
            None,
            "a document that does not know the time"
        );
        assert_eq!(document("", None).other_stream(ARN, Some(Millis::new(1))), None, "only a backfill wrote");
    }

    #[test]
    fn without_kinesis_the_arns_name_is_compared() {
        let held = document(ARN, None);
        for same in ["points", ARN] {
            assert_eq!(held.other_stream_by_name(same), None);
        }
        for other in ["point", "stream/points", "arn:aws:kinesis:us-east-1:210987654321:stream/points"] {
            assert!(held.other_stream_by_name(other).is_some(), "{other}");
        }
        assert_eq!(document("", None).other_stream_by_name("points"), None);
    }
}
