//! Records in, two Arrow batches out: the events that passed and the events that were rejected.
//!
//! Every value of a record ends in exactly one of three places: a row of events, a row of rejected events, or the count
//! of duplicates. Rows of a batch are in the order of the pushed records.

use std::ops::AddAssign;
use std::sync::Arc;

use arrow::array::builder::{BinaryBuilder, Date32Builder, StringBuilder};
use arrow::array::{Array, ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{Date32Type, Int32Type, SchemaRef, TimestampMicrosecondType};
use bluelake_schemas::{Contract, Micros, Stream, rejected_events_schema};
use uuid::Uuid;

use crate::decode::builders::{Numbers, Rows as _, Texts};
use crate::decode::cell::Cell;
use crate::decode::column::{Column, times};
use crate::decode::judge::{Judge, Judged};
use crate::decode::object::ObjectFields;
use crate::decode::plan::{EventPlan, Plan, PlannedColumn};
use crate::decode::reason::{ReasonCode, Rejected};
use crate::decode::record::{MAX_VALUES, Record};
use crate::error::TransformError;
use crate::parse::timestamp;
use crate::unpack::compression::{Compression, MAX_DECOMPRESSED_BYTES};
use crate::unpack::kpl;
use crate::unpack::opened::{Inside, OpenedRecord};

/// Bytes of a row's unknown fields, without their text.
const EXTRAS_ROW_BYTES: usize = 8;

/// Decodes the events of one stream: the contract compiled into a plan. Shared by all batches of the stream.
#[derive(Debug)]
pub struct Decoder {
    stream: Stream,
    contract_version: i32,
    plan: Plan,
    events_schema: SchemaRef,
    rejected_schema: SchemaRef,
}

impl Decoder {
    /// Compiles what the contract says about a stream.
    ///
    /// # Errors
    /// [`TransformError::Layout`] when a column that decoding needs is missing.
    pub fn new(contract: &Contract, stream: Stream) -> Result<Self, TransformError> {
        let of_stream = contract.stream(stream);
        Ok(Self {
            stream,
            contract_version: contract.version(),
            plan: Plan::compile(of_stream)?,
            events_schema: of_stream.table_schema(),
            rejected_schema: rejected_events_schema(),
        })
    }

    /// The stream whose events it decodes.
    pub fn stream(&self) -> Stream {
        self.stream
    }

    /// An empty batch.
    pub fn batch(self: &Arc<Self>) -> BatchBuilder {
        BatchBuilder {
            decoder: Arc::clone(self),
            events: EventColumns::new(&self.plan),
            rejected: RejectedColumns::new(),
            fields: ObjectFields::default(),
            judge: Judge::default(),
            unknown_fields: 0,
        }
    }
}

/// Where a record came from; each of its rows says so.
#[derive(Clone, Copy, Debug)]
pub struct RecordPosition<'a> {
    /// Shard id.
    pub shard: &'a str,
    /// Sequence number of the record, decimal.
    pub sequence: &'a str,
    /// When the stream received the record, microseconds since 1970-01-01 UTC.
    pub arrived_at: Micros,
    /// Hash keys of the shard, both ends included, if known: sub-records of an aggregate that hash elsewhere are
    /// counted.
    pub hash_keys: Option<(u128, u128)>,
}

/// The outcomes of events. Always `received = stored + rejected + duplicate`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Values that the records held.
    pub received: u64,
    /// Rows of the event table.
    pub stored: u64,
    /// Rows of `rejected_events`.
    pub rejected: u64,
    /// Dropped because their event_id was seen before.
    pub duplicate: u64,
    /// Sub-records of aggregates that hash to another shard. They are kept: this count is not part of the sum.
    pub misrouted: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.stored += other.stored;
        self.rejected += other.rejected;
        self.duplicate += other.duplicate;
        self.misrouted += other.misrouted;
    }
}

/// The rows and counts of a [`BatchBuilder`].
#[derive(Clone, Debug)]
pub struct DecodedBatch {
    /// Rows of the stream's table, in its schema, partition columns included.
    pub events: RecordBatch,
    /// Rows of `rejected_events`, in its schema, partition columns included.
    pub rejected: RecordBatch,
    /// Fields of the stored events that the contract does not know; they are in `extras`.
    pub unknown_fields: u64,
}

/// Arrow builders for the events of one stream, accepted and rejected.
///
/// A text column holds 2 GiB at most, so [`BatchBuilder::finish`] must be called before
/// [`BatchBuilder::buffered_bytes`] comes near that.
#[derive(Debug)]
pub struct BatchBuilder {
    decoder: Arc<Decoder>,
    events: EventColumns,
    rejected: RejectedColumns,
    fields: ObjectFields,
    judge: Judge,
    unknown_fields: u64,
}

impl BatchBuilder {
    /// Decodes one Kinesis record: plain, compressed, or aggregated of such.
    ///
    /// `is_duplicate(event_id, sub_sequence)` is called once for each otherwise valid event; if it gives `true`, the
    /// event is dropped and counted. A bad event is a rejected row, never an error. A damaged aggregate is one rejected
    /// event as a whole; so is a payload that cannot be decompressed.
    pub fn push(
        &mut self,
        position: &RecordPosition<'_>,
        data: &[u8],
        is_duplicate: &mut dyn FnMut(Uuid, u32) -> bool,
    ) -> Counts {
        self.push_opened(position, OpenedRecord::open(data, usize::MAX), is_duplicate)
    }

    /// Decodes a record that was opened before, in the same way.
    pub fn push_opened(
        &mut self,
        position: &RecordPosition<'_>,
        record: OpenedRecord<'_>,
        is_duplicate: &mut dyn FnMut(Uuid, u32) -> bool,
    ) -> Counts {
        let mut progress = Progress::new(position);
        let OpenedRecord { data, inside } = record;
        match inside {
            Inside::Plain => self.values(&mut progress, data, is_duplicate),
            Inside::Unpacked(text) => self.values(&mut progress, &text, is_duplicate),
            Inside::Packed => self.payload(&mut progress, data, is_duplicate),
            Inside::Broken(reason) => self.reject(&mut progress, &Rejected::whole(reason), data),
            Inside::Aggregate(aggregate) => {
                for sub_record in aggregate.data() {
                    self.payload(&mut progress, sub_record, is_duplicate);
                }
                if progress.sub_sequence == 0 {
                    self.reject(&mut progress, &Rejected::whole(ReasonCode::Empty), data);
                }
                progress.counts.misrouted = position.hash_keys.map_or(0, |hash_keys| aggregate.misrouted(hash_keys));
            }
        }
        progress.counts
    }

    /// Decodes the data of a record or sub-record. Compressed data must hold the events themselves.
    fn payload(&mut self, progress: &mut Progress<'_>, data: &[u8], is_duplicate: &mut dyn FnMut(Uuid, u32) -> bool) {
        let Some(compression) = Compression::of(data) else {
            return self.values(progress, data, is_duplicate);
        };
        match compression.decompress(data, &mut progress.decompression_budget) {
            Ok(inner) if kpl::is_aggregated(&inner) || Compression::of(&inner).is_some() => {
                self.reject(progress, &Rejected::whole(ReasonCode::DecompressionFailed), data);
            }
            Ok(inner) => self.values(progress, &inner, is_duplicate),
            Err(reason) => self.reject(progress, &Rejected::whole(reason), data),
        }
    }

    /// Decodes the values of a text, one after another.
    fn values(&mut self, progress: &mut Progress<'_>, data: &[u8], is_duplicate: &mut dyn FnMut(Uuid, u32) -> bool) {
        let Self { decoder, events, rejected, fields, judge, unknown_fields } = self;
        let plan = &decoder.plan;
        let mut record = Record::new(data, progress.values_left());
        let text = record.text();
        while let Some(item) = record.next(&plan.keys, &plan.names, fields) {
            let place = progress.place();
            let judged = match item.fault {
                Some(fault) => Err(fault),
                None => judge.event(plan, text, fields, place.position.arrived_at.get()),
            };
            match judged {
                Err(reason) => {
                    rejected.append(&reason, item.bytes, place);
                    progress.counts.rejected += 1;
                }
                Ok(Judged { event_id, .. }) if is_duplicate(event_id, place.sub_sequence) => {
                    progress.counts.duplicate += 1;
                }
                Ok(Judged { event_plan, .. }) => {
                    events.append((plan, event_plan), judge, text, place);
                    *unknown_fields += judge.extras.fields();
                    progress.counts.stored += 1;
                }
            }
            progress.next();
        }
    }

    fn reject(&mut self, progress: &mut Progress<'_>, reason: &Rejected, bytes: &[u8]) {
        self.rejected.append(reason, bytes, progress.place());
        progress.counts.rejected += 1;
        progress.next();
    }

    /// The approximate bytes of the rows in Arrow. A cheap call.
    pub fn buffered_bytes(&self) -> usize {
        self.events.bytes + self.rejected.bytes
    }

    /// Rows, of events and of rejected events together.
    pub fn rows(&self) -> usize {
        self.events.rows + self.rejected.rows
    }

    /// Takes the rows that are held and begins anew.
    ///
    /// # Errors
    /// [`TransformError::Arrow`] when the columns do not make a batch of the table's schema, which would be a bug of
    /// this crate. The rows are lost then, and their records must be read again.
    pub fn finish(&mut self) -> Result<DecodedBatch, TransformError> {
        let events = self.events.finish(&self.decoder);
        let rejected = self.rejected.finish(&self.decoder);
        let unknown_fields = std::mem::take(&mut self.unknown_fields);
        Ok(DecodedBatch { events: events?, rejected: rejected?, unknown_fields })
    }
}

/// How far one Kinesis record is decoded.
struct Progress<'a> {
    position: &'a RecordPosition<'a>,
    sub_sequence: u32,
    decompression_budget: usize,
    counts: Counts,
}

impl<'a> Progress<'a> {
    fn new(position: &'a RecordPosition<'a>) -> Self {
        Self { position, sub_sequence: 0, decompression_budget: MAX_DECOMPRESSED_BYTES, counts: Counts::default() }
    }

    /// The place of the next event.
    fn place(&self) -> Place<'a> {
        Place { position: self.position, sub_sequence: self.sub_sequence }
    }

    /// The number of values that the record may still be split into: wrapping must not make them countless.
    fn values_left(&self) -> usize {
        MAX_VALUES.saturating_sub(usize::try_from(self.sub_sequence).unwrap_or(usize::MAX))
    }

    /// After an event, whatever its outcome.
    fn next(&mut self) {
        self.counts.received += 1;
        self.sub_sequence += 1;
    }
}

/// Where a row came from.
#[derive(Clone, Copy)]
struct Place<'a> {
    position: &'a RecordPosition<'a>,
    sub_sequence: u32,
}

/// Columns of the event table: those of the contract, then extras, lineage and date.
#[derive(Debug)]
struct EventColumns {
    contract: Vec<Column>,
    /// Bytes of a row in the columns of the contract and in extras, without its texts and entries.
    row_bytes: usize,
    extras: Texts,
    lineage: LineageColumns,
    date: Numbers<Date32Type>,
    rows: usize,
    bytes: usize,
}

impl EventColumns {
    fn new(plan: &Plan) -> Self {
        let contract: Vec<Column> = plan.kept().map(Column::new).collect();
        Self {
            row_bytes: contract.iter().map(Column::row_bytes).sum::<usize>() + EXTRAS_ROW_BYTES,
            contract,
            extras: Texts::default(),
            lineage: LineageColumns::default(),
            date: Numbers::default(),
            rows: 0,
            bytes: 0,
        }
    }

    /// Adds the event that passed the judge.
    fn append(&mut self, (plan, event_plan): (&Plan, &EventPlan), judge: &mut Judge, text: &str, place: Place<'_>) {
        let extras = judge.extras.finish();
        self.extras.open().append_option(extras);
        let mut bytes = self.row_bytes + extras.map_or(0, str::len);
        let source = judge.source(text);
        for PlannedColumn { slot, column } in &event_plan.columns {
            if let Some(column) = self.contract.get_mut(*column) {
                bytes += column.append(self.rows, judge.cell(*slot), &source);
            }
        }
        let occurred_at = if let Cell::Integer(micros) = judge.cell(plan.occurred_at) { micros } else { 0 };
        self.date.open().append_value(timestamp::date(occurred_at));
        self.bytes += bytes + self.lineage.append(place);
        self.rows += 1;
    }

    fn finish(&mut self, decoder: &Decoder) -> Result<RecordBatch, TransformError> {
        let schema = &decoder.events_schema;
        let (rows, _) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.bytes));
        let contract = self.contract.iter_mut().zip(schema.fields());
        let mut columns: Vec<ArrayRef> =
            contract.map(|(column, field)| column.finish(rows, field.data_type())).collect::<Result<_, _>>()?;
        columns.push(Arc::new(self.extras.finish()));
        columns.extend(self.lineage.finish(schema)?);
        columns.push(Arc::new(self.date.finish()));
        batch(schema, columns)
    }
}

/// A batch that holds only the memory of its rows: builders grow by doubling, and a buffer of many batches would be
/// half empty.
fn batch(schema: &SchemaRef, mut columns: Vec<ArrayRef>) -> Result<RecordBatch, TransformError> {
    for column in &mut columns {
        Array::shrink_to_fit(column);
    }
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

/// Columns of `rejected_events`. Columns with one value in all rows are made at the end.
#[derive(Debug)]
struct RejectedColumns {
    reason: StringBuilder,
    field_path: StringBuilder,
    event_bytes: BinaryBuilder,
    lineage: LineageColumns,
    date: Date32Builder,
    rows: usize,
    bytes: usize,
}

impl RejectedColumns {
    fn new() -> Self {
        Self {
            reason: StringBuilder::new(),
            field_path: StringBuilder::new(),
            event_bytes: BinaryBuilder::new(),
            lineage: LineageColumns::default(),
            date: Date32Builder::new(),
            rows: 0,
            bytes: 0,
        }
    }

    fn append(&mut self, rejected: &Rejected, event_bytes: &[u8], place: Place<'_>) {
        let field_path = rejected.field_path.as_deref();
        self.reason.append_value(rejected.reason.as_str());
        self.field_path.append_option(field_path);
        self.event_bytes.append_value(event_bytes);
        self.date.append_value(timestamp::date(place.position.arrived_at.get()));
        let texts = rejected.reason.as_str().len() + field_path.map_or(0, str::len) + event_bytes.len();
        // Beside the texts: their offsets, the stream with its offset, the contract version and the date.
        self.bytes += texts + 44 + self.lineage.append(place);
        self.rows += 1;
    }

    fn finish(&mut self, decoder: &Decoder) -> Result<RecordBatch, TransformError> {
        let schema = &decoder.rejected_schema;
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(decoder.stream.name(), rows))),
            Arc::new(self.reason.finish()),
            Arc::new(self.field_path.finish()),
            Arc::new(self.event_bytes.finish()),
            Arc::new(Int32Array::from_value(decoder.contract_version, rows)),
        ];
        columns.extend(self.lineage.finish(schema)?);
        columns.push(Arc::new(self.date.finish()));
        batch(schema, columns)
    }
}

/// Shard, sequence number, sub-sequence number and arrival time: the same four in both tables.
#[derive(Debug, Default)]
struct LineageColumns {
    shard: Texts,
    sequence: Texts,
    sub_sequence: Numbers<Int32Type>,
    arrived_at: Numbers<TimestampMicrosecondType>,
}

impl LineageColumns {
    fn append(&mut self, place: Place<'_>) -> usize {
        let RecordPosition { shard, sequence, arrived_at, .. } = *place.position;
        self.shard.open().append_value(shard);
        self.sequence.open().append_value(sequence);
        // A record is split into far fewer values than 31 bits count.
        self.sub_sequence.open().append_value(i32::try_from(place.sub_sequence).unwrap_or(i32::MAX));
        self.arrived_at.open().append_value(arrived_at.get());
        shard.len() + sequence.len() + 20
    }

    fn finish(&mut self, schema: &SchemaRef) -> Result<[ArrayRef; 4], TransformError> {
        let arrived_at = schema.field_with_name("arrived_at")?.data_type();
        Ok([
            Arc::new(self.shard.finish()),
            Arc::new(self.sequence.finish()),
            Arc::new(self.sub_sequence.finish()),
            times(&mut self.arrived_at, arrived_at),
        ])
    }
}
