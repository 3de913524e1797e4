//! JSON: numbers that it lacks, and lists and structs as JSON text, for formats without nesting.
//!
//! JSON has no NaN and no infinity. They are written as the texts `"NaN"`, `"Infinity"` and `"-Infinity"`, as in
//! PostgreSQL: `null` would mean that there is no value.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray as _, PrimitiveArray, StringBuilder};
use arrow::datatypes::{DataType, Field, FieldRef, Float16Type, Float32Type, Float64Type, Schema};
use arrow::error::ArrowError;
use arrow::json::writer::{Encoder, EncoderFactory, EncoderOptions, NullableEncoder, make_encoder};
use arrow::record_batch::RecordBatch;

/// Writes floats, some of which JSON lacks.
#[derive(Debug)]
pub(crate) struct Floats;

impl EncoderFactory for Floats {
    fn make_default_encoder<'a>(
        &self,
        field: &'a FieldRef,
        array: &'a dyn Array,
        _: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        // The usual encoder writes finite numbers; it must not come back here.
        let finite = |values: Vec<Option<&'static str>>| -> Result<Option<NullableEncoder<'a>>, ArrowError> {
            if values.iter().all(Option::is_none) {
                return Ok(None);
            }
            let usual = make_encoder(field, array, &USUAL)?;
            Ok(Some(NullableEncoder::new(Box::new(FloatEncoder { usual, others: values }), array.nulls().cloned())))
        };
        match array.data_type() {
            DataType::Float16 => finite(not_finite(array.as_primitive::<Float16Type>(), |value| value.to_f64())),
            DataType::Float32 => finite(not_finite(array.as_primitive::<Float32Type>(), f64::from)),
            DataType::Float64 => finite(not_finite(array.as_primitive::<Float64Type>(), |value| value)),
            _ => Ok(None),
        }
    }
}

/// Without a factory.
static USUAL: LazyLock<EncoderOptions> = LazyLock::new(EncoderOptions::default);

/// The text of each value that is not a number in JSON.
fn not_finite<T: ArrowPrimitiveType>(
    array: &PrimitiveArray<T>,
    wide: impl Fn(T::Native) -> f64,
) -> Vec<Option<&'static str>> {
    let text = |value: Option<T::Native>| match wide(value?) {
        value if value.is_nan() => Some("\"NaN\""),
        f64::INFINITY => Some("\"Infinity\""),
        f64::NEG_INFINITY => Some("\"-Infinity\""),
        _ => None,
    };
    array.iter().map(text).collect()
}

struct FloatEncoder<'a> {
    usual: NullableEncoder<'a>,
    /// By index: values that the usual encoder would write as null.
    others: Vec<Option<&'static str>>,
}

impl Encoder for FloatEncoder<'_> {
    fn encode(&mut self, index: usize, bytes: &mut Vec<u8>) {
        match self.others.get(index).copied().flatten() {
            Some(text) => bytes.extend_from_slice(text.as_bytes()),
            None => self.usual.encode(index, bytes),
        }
    }
}

/// Replaces every nested column by a column of JSON text.
pub(crate) fn flatten(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = batch.schema();
    if !schema.fields().iter().any(|field| field.data_type().is_nested()) {
        return Ok(batch.clone());
    }
    let mut fields: Vec<FieldRef> = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        if field.data_type().is_nested() {
            fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
            columns.push(json_text(field, column)?);
        } else {
            fields.push(Arc::clone(field));
            columns.push(Arc::clone(column));
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

fn json_text(field: &FieldRef, column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let options = EncoderOptions::default().with_explicit_nulls(true).with_encoder_factory(Arc::new(Floats));
    let mut encoder = make_encoder(field, column.as_ref(), &options)?;
    let mut texts = StringBuilder::new();
    let mut bytes = Vec::new();
    for row in 0..column.len() {
        if column.is_null(row) {
            texts.append_null();
        } else {
            bytes.clear();
            encoder.encode(row, &mut bytes);
            texts.append_value(String::from_utf8_lossy(&bytes));
        }
    }
    Ok(Arc::new(texts.finish()))
}
