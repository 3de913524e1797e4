//! How the values of each column are written. Measured in docs/performance.md, "Landing"; every encoding is one that
//! Parquet has had since 2013 and that DataFusion, DuckDB, Spark and Trino read.
//!
//! | column | encoding |
//! | --- | --- |
//! | times | the differences, packed: files are sorted by time |
//! | the event's id | lengths, then the texts: no two are equal. A range of random ids says nothing |
//! | the sequence number | what differs from the one before |
//! | other ids | a dictionary as long as it is useful, then as the event's id |
//! | everything else | a dictionary, as Parquet has it by default |

use arrow::datatypes::{DataType, Field};
use parquet::{
    basic::Encoding,
    file::properties::{EnabledStatistics, WriterPropertiesBuilder},
    schema::types::ColumnPath,
};

/// The column whose values are all different, without an order.
const UNIQUE: &str = "event_id";
/// The column of long decimal numbers that mostly grow.
const GROWING: &str = "stream_sequence";
/// Columns of ids end so.
const ID: &str = "_id";
/// Bytes of a dictionary of ids: 100,000 of them. A third of a large file's are different, and each is 18 bytes compressed.
const ID_DICTIONARY: usize = 4 << 20;

/// Says how the values of a column are written.
pub(crate) fn written(builder: WriterPropertiesBuilder, path: &ColumnPath, field: &Field) -> WriterPropertiesBuilder {
    let plainly = |builder: WriterPropertiesBuilder, encoding| {
        builder.set_column_dictionary_enabled(path.clone(), false).set_column_encoding(path.clone(), encoding)
    };
    match (field.data_type(), field.name().as_str()) {
        (DataType::Timestamp(..), _) => plainly(builder, Encoding::DELTA_BINARY_PACKED),
        (DataType::Utf8, UNIQUE) => plainly(builder, Encoding::DELTA_LENGTH_BYTE_ARRAY)
            .set_column_statistics_enabled(path.clone(), EnabledStatistics::None),
        (DataType::Utf8, GROWING) => plainly(builder, Encoding::DELTA_BYTE_ARRAY),
        (DataType::Utf8, name) if name.ends_with(ID) => builder
            .set_column_encoding(path.clone(), Encoding::DELTA_LENGTH_BYTE_ARRAY)
            .set_column_dictionary_page_size_limit(path.clone(), ID_DICTIONARY),
        _ => builder,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::{
        collections::{BTreeMap, BTreeSet},
        sync::Arc,
    };

    use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
    use bytes::Bytes;
    use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};

    use crate::encode::{
        file_writer::{FileOptions, FileWriter},
        partition::TableLayout,
    };

    /// The encodings in each column of a file of this many rows, and the bytes of the column.
    fn encodings(rows: u32, donors: u32) -> BTreeMap<String, (BTreeSet<String>, i64)> {
        let texts = |text: &dyn Fn(u32) -> String| -> ArrayRef {
            Arc::new((0..rows).map(|row| Some(text(row))).collect::<StringArray>())
        };
        let times = (0..rows).map(|row| Some(i64::from(row) * 1_234_000)).collect::<TimestampMicrosecondArray>();
        let id = |number: u32| format!("{:032x}", u128::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15_9E37_79B9));
        let columns: [(&str, ArrayRef); 5] = [
            ("event_id", texts(&id)),
            ("occurred_at", Arc::new(times)),
            ("donor_id", texts(&|row| id(row % donors))),
            ("channel", texts(&|row| if row % 3 == 0 { "web" } else { "mobile" }.to_owned())),
            ("stream_sequence", texts(&|row| format!("4956789012345678901234567890{}", 1_000_000 + row))),
        ];
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        let options = FileOptions { part_bytes: 64 << 20, ..FileOptions::large(1, BTreeMap::new()) };
        let mut writer = FileWriter::new(rows.schema(), TableLayout::EVENTS, &options).unwrap();
        writer.push(&rows).unwrap();
        let bytes = Bytes::from(writer.finish().unwrap().rest.concat());
        let metadata = ArrowReaderMetadata::load(&bytes, ArrowReaderOptions::default()).unwrap();
        let columns = metadata.metadata().row_group(0).columns().iter();
        let encodings = columns.map(|column| {
            let encodings = column.encodings().map(|encoding| encoding.to_string()).collect();
            (column.column_path().string(), (encodings, column.compressed_size()))
        });
        encodings.collect()
    }

    #[test]
    fn each_column_has_its_encoding() {
        let rows = 20_000;
        let found = encodings(rows, 50);
        let has = |column: &str, encoding: &str| found[column].0.contains(encoding);
        assert!(has("event_id", "DELTA_LENGTH_BYTE_ARRAY") && !has("event_id", "RLE_DICTIONARY"), "{found:?}");
        assert!(has("occurred_at", "DELTA_BINARY_PACKED") && !has("occurred_at", "RLE_DICTIONARY"), "{found:?}");
        assert!(has("stream_sequence", "DELTA_BYTE_ARRAY"), "{found:?}");
        for column in ["donor_id", "channel"] {
            assert!(has(column, "RLE_DICTIONARY") && !has(column, "DELTA_LENGTH_BYTE_ARRAY"), "{found:?}");
        }
        let bytes = |column: &str| found[column].1 / i64::from(rows);
        assert!(bytes("occurred_at") < 4 && bytes("stream_sequence") < 4, "{found:?}");
    }

    #[test]
    fn a_dictionary_of_ids_ends_when_it_is_large() {
        let found = encodings(200_000, 200_000);
        let donors = &found["donor_id"].0;
        assert!(donors.contains("RLE_DICTIONARY") && donors.contains("DELTA_LENGTH_BYTE_ARRAY"), "{donors:?}");
    }
}
