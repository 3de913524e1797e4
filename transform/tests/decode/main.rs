//! Decoding from outside: every kind of bad input ends as the contract says, and no event is lost, doubled or invented.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap
)]

mod agreement;
mod bad_input;
mod oracle;
mod properties;
mod rows;
mod wrapped;

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use bluelake_schemas::{Contract, Micros, Stream};
use bluelake_transform::{BatchBuilder, Counts, DecodedBatch, Decoder, RecordPosition};

/// 2026-11-23T17:05:00Z in microseconds.
const ARRIVED_AT: i64 = 1_795_453_500_000_000;
const EVENT_ID: &str = "0198c1a2-5b1e-7c3d-9f00-0123456789ab";

static CONTRACT: LazyLock<Contract> = LazyLock::new(|| Contract::embedded().unwrap());

fn builder(stream: Stream) -> BatchBuilder {
    Arc::new(Decoder::new(&CONTRACT, stream).unwrap()).batch()
}

fn position(sequence: &str) -> RecordPosition<'_> {
    RecordPosition { shard: "shardId-000000000007", sequence, arrived_at: Micros::new(ARRIVED_AT), hash_keys: None }
}

/// Decodes one record of a stream; nothing is a duplicate.
fn decode(stream: Stream, data: impl AsRef<[u8]>) -> (Counts, DecodedBatch) {
    let mut builder = builder(stream);
    let counts = builder.push(
        &position("49590338271490256608559692538361571095921575989136588898"),
        data.as_ref(),
        &mut |_, _| false,
    );
    assert_eq!(counts.received, counts.stored + counts.rejected + counts.duplicate);
    let batch = builder.finish().unwrap();
    assert_eq!(batch.events.num_rows() as u64, counts.stored);
    assert_eq!(batch.rejected.num_rows() as u64, counts.rejected);
    (counts, batch)
}

/// An event as key and raw value, so that a test can change, add or remove any of them.
#[derive(Clone, Debug)]
struct Sample(Vec<(String, String)>);

impl Sample {
    fn new(event_type: &str, fields: &[(&str, &str)]) -> Self {
        let envelope = [
            ("event_id", format!("\"{EVENT_ID}\"")),
            ("event_type", format!("\"{event_type}\"")),
            ("schema_version", "1".to_owned()),
            ("occurred_at", "\"2026-11-23T12:00:00.250-05:00\"".to_owned()),
            ("source", "\"scoring\"".to_owned()),
            ("channel", "\"mobile\"".to_owned()),
        ];
        let envelope = envelope.into_iter().map(|(key, raw)| (key.to_owned(), raw));
        Self(envelope.chain(fields.iter().map(|(key, raw)| ((*key).to_owned(), (*raw).to_owned()))).collect())
    }

    fn interaction() -> Self {
        Self::new(
            "interaction",
            &[
                ("civilian_id", "\"c-1\""),
                ("officer_id", "\"o-1\""),
                ("method", "\"qr\""),
                ("points_civilian", "10"),
                ("points_officer", "5"),
                ("zip_code", "\"02139\""),
                ("distance_ft", "3.25"),
                ("latitude", "42.36"),
                ("longitude", "-71.09"),
            ],
        )
    }

    fn donation() -> Self {
        Self::new(
            "donation",
            &[
                ("donor_id", "\"c-1\""),
                ("donor_kind", "\"civilian\""),
                ("recipient_id", "\"f-1\""),
                ("recipient_kind", "\"family_in_need\""),
                ("points", "25"),
            ],
        )
    }

    fn redemption() -> Self {
        Self::new(
            "redemption",
            &[
                ("redeemer_id", "\"f-1\""),
                ("redeemer_kind", "\"family_in_need\""),
                ("provider_id", "\"m-1\""),
                ("provider_kind", "\"merchant\""),
                ("purpose", "\"goods\""),
                ("points", "40"),
                ("amount_cents", "1250"),
                ("currency", "\"USD\""),
                (
                    "items",
                    r#"[{"sku":"a","name":"Bread","quantity":2,"points":30},{"sku":"b","name":"Milk","quantity":1,"points":10}]"#,
                ),
            ],
        )
    }

    fn transfer() -> Self {
        Self::new("transfer", &[("from_officer_id", "\"o-1\""), ("to_officer_id", "\"o-2\""), ("points", "7")])
    }

    fn user() -> Self {
        Self::new("user_created", &[("user_id", "\"c-1\""), ("user_kind", "\"civilian\""), ("zip_code", "\"02139\"")])
    }

    /// Sets a key, or adds it at the end.
    fn with(mut self, key: &str, raw: impl Into<String>) -> Self {
        match self.0.iter_mut().find(|(known, _)| known == key) {
            Some(pair) => pair.1 = raw.into(),
            None => self.0.push((key.to_owned(), raw.into())),
        }
        self
    }

    /// Adds a key at the end, even if it is there already.
    fn and(mut self, key: &str, raw: &str) -> Self {
        self.0.push((key.to_owned(), raw.to_owned()));
        self
    }

    fn without(mut self, key: &str) -> Self {
        self.0.retain(|(known, _)| known != key);
        self
    }

    fn json(&self) -> String {
        let pairs: Vec<String> = self.0.iter().map(|(key, raw)| format!("\"{key}\":{raw}")).collect();
        format!("{{{}}}", pairs.join(","))
    }
}

fn text(batch: &RecordBatch, column: &str, row: usize) -> Option<String> {
    let column = batch.column_by_name(column).unwrap().as_string::<i32>();
    column.is_valid(row).then(|| column.value(row).to_owned())
}

fn integer(batch: &RecordBatch, column: &str, row: usize) -> Option<i64> {
    let column = batch.column_by_name(column).unwrap().as_primitive::<Int64Type>();
    column.is_valid(row).then(|| column.value(row))
}

fn sub_sequences(batch: &RecordBatch) -> Vec<i32> {
    batch.column_by_name("stream_sub_sequence").unwrap().as_primitive::<Int32Type>().values().to_vec()
}

/// Reason, field path and bytes of each rejected row.
fn rejections(batch: &DecodedBatch) -> Vec<(String, Option<String>, Vec<u8>)> {
    let bytes = batch.rejected.column_by_name("event_bytes").unwrap().as_binary::<i32>();
    (0..batch.rejected.num_rows())
        .map(|row| {
            let reason = text(&batch.rejected, "reason", row).unwrap();
            (reason, text(&batch.rejected, "field_path", row), bytes.value(row).to_vec())
        })
        .collect()
}
