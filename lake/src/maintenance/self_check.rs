//! The checks of a table before maintenance changes its files: refuse rather than guess.

use std::collections::BTreeMap;

use bluelake_schemas::Stream;
use deltalake::table::state::DeltaTableState;

use crate::{
    checkpoint::document::CheckpointDocument,
    commit::self_check::FOREIGN_ROWS,
    error::LakeError,
    layout::{REJECTED_EVENTS, stream_of},
    maintenance::record::MaintenanceRecord,
};

/// The protocol of our tables: plain file paths and columns, and no hidden rows.
const PROTOCOL: (i32, i32) = (1, 2);

/// Refuses a table whose files have another meaning than ours, such as one with deletion vectors or mapped columns.
pub(crate) fn check_protocol(table: &str, state: &DeltaTableState) -> Result<(), LakeError> {
    let protocol = state.protocol();
    let found = (protocol.min_reader_version(), protocol.min_writer_version());
    if found == PROTOCOL {
        return Ok(());
    }
    Err(LakeError::Refused {
        table: table.to_owned(),
        check: format!("its protocol is {}/{}, maintenance knows 1/2", found.0, found.1),
        remedy: "another program turned a table feature on; maintain the table with that program".to_owned(),
    })
}

/// Checks that `rejected_events` has the rows of each stream by its documents and records. `followed` are the documents
/// that it follows; a stream that it does not follow yet has none.
pub(crate) fn check_rejected(
    state: &DeltaTableState,
    followed: &BTreeMap<Stream, CheckpointDocument>,
    record: Option<&MaintenanceRecord>,
) -> Result<(), LakeError> {
    let refused = |check: String| LakeError::Refused {
        table: REJECTED_EVENTS.to_owned(),
        check,
        remedy: FOREIGN_ROWS.to_owned(),
    };
    for stream in Stream::ALL {
        let rows = rejected_rows(state, stream)
            .ok_or_else(|| refused(format!("its rows of {stream} cannot be counted from its log")))?;
        let left = record.and_then(|record| record.counts.rows_left.get(&stream)).copied().unwrap_or_default();
        let came = followed.get(&stream).map_or(0, CheckpointDocument::rejected_so_far);
        let expected = left.sum().and_then(|left| came.checked_sub(left));
        if expected != Some(rows) {
            let expected = expected.map_or_else(|| "less than none".to_owned(), |expected| expected.to_string());
            return Err(refused(format!(
                "it holds {rows} rows of {stream} by its log, its documents and records say {expected}"
            )));
        }
    }
    Ok(())
}

/// Rows of a stream by the statistics of the log; `None` when a file has none.
fn rejected_rows(state: &DeltaTableState, stream: Stream) -> Option<u64> {
    let log = state.log_data();
    let mut sum: u64 = 0;
    for file in log.iter() {
        let named = file.partition_values_map().remove("stream").flatten();
        if stream_of(REJECTED_EVENTS, named.as_deref()) == Some(stream) {
            sum = sum.checked_add(u64::try_from(file.num_records()?).ok()?)?;
        }
    }
    Some(sum)
}
