//! Bytes that may be no text, such as those of a rejected event, in functions and operators for text.
//!
//! The engine casts bytes to text for such functions, and fails at the first row that is not UTF-8. Here such a cast
//! replaces each invalid sequence by U+FFFD, and so do casts in a statement; `TRY_CAST` gives NULL for such a row, as
//! in the engine. `octet_length` and `bit_length` count the bytes themselves.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringViewBuilder};
use datafusion::arrow::compute::{CastOptions, cast, cast_with_options, kernels::length};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::{Cast, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Coercion, ColumnarValue, Documentation, Expr, ExprSchemable as _, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, TypeSignatureClass, Volatility,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::prelude::SessionContext;
use datafusion::scalar::ScalarValue;

/// Functions that count the bytes of texts and of bytes.
const COUNTING: [&str; 2] = ["octet_length", "bit_length"];

/// Lets the functions that count bytes take bytes.
pub(crate) fn count_any_bytes(context: &SessionContext) {
    for name in COUNTING {
        let known = context.state().scalar_functions().get(name).map(Arc::clone);
        if let Some(function) = known {
            context.register_udf(ScalarUDF::new_from_impl(CountsBytes::new(function)));
        }
    }
}

/// Analyzer rule after the engine's casts: a cast of bytes to text never fails.
#[derive(Debug)]
pub(crate) struct BytesAsText;

impl AnalyzerRule for BytesAsText {
    fn name(&self) -> &'static str {
        "bytes_as_text"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan, DataFusionError> {
        Ok(plan.transform_up_with_subqueries(in_plan)?.data)
    }
}

fn in_plan(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>, DataFusionError> {
    let schema = merge_schema(&plan.inputs());
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expression| {
        let name = names.save(&expression);
        let changed = expression.transform_up(|expression| in_expression(expression, &schema))?;
        Ok(changed.update_data(|expression| name.restore(expression)))
    })
}

fn in_expression(expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>, DataFusionError> {
    match expression {
        Expr::Cast(Cast { expr, field })
            if is_text(field.data_type()) && expr.get_type(schema).is_ok_and(|found| is_bytes(&found)) =>
        {
            let function = Arc::new(ScalarUDF::new_from_impl(AsText::new(field.data_type().clone())));
            Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![*expr]))))
        }
        other => Ok(Transformed::no(other)),
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn is_bytes(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_))
}

/// Bytes as text, with U+FFFD for bytes that are not UTF-8.
#[derive(Debug, PartialEq, Eq, Hash)]
struct AsText {
    text: DataType,
    signature: Signature,
}

impl AsText {
    fn new(text: DataType) -> Self {
        Self { text, signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for AsText {
    fn name(&self) -> &'static str {
        "text_of_bytes"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(self.text.clone())
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef, DataFusionError> {
        let is_nullable = arguments.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.text.clone(), is_nullable)))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        match arguments.args.into_iter().next() {
            Some(ColumnarValue::Array(bytes)) => Ok(ColumnarValue::Array(as_text(&bytes, &self.text)?)),
            Some(ColumnarValue::Scalar(constant)) => {
                let text = as_text(&constant.to_array()?, &self.text)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&text, 0)?))
            }
            None => Err(DataFusionError::Internal("text of nothing".to_owned())),
        }
    }
}

fn as_text(bytes: &ArrayRef, text: &DataType) -> Result<ArrayRef, DataFusionError> {
    // Nearly always all of it is UTF-8.
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    if let Ok(whole) = cast_with_options(bytes, text, &strict) {
        return Ok(whole);
    }
    let bytes = cast(bytes, &DataType::LargeBinary)?;
    let mut builder = StringViewBuilder::new();
    for row in bytes.as_binary::<i64>() {
        builder.append_option(row.map(String::from_utf8_lossy));
    }
    // A batch of more than 2 GiB of text has no other form; this then fails.
    Ok(cast_with_options(&builder.finish(), text, &strict)?)
}

/// A function that counts the bytes of a text, or of bytes.
#[derive(Debug, PartialEq, Eq, Hash)]
struct CountsBytes {
    function: Arc<ScalarUDF>,
    signature: Signature,
}

impl CountsBytes {
    fn new(function: Arc<ScalarUDF>) -> Self {
        let bytes = TypeSignature::Coercible(vec![Coercion::new_exact(TypeSignatureClass::Binary)]);
        let signatures = vec![function.signature().type_signature.clone(), bytes];
        Self { function, signature: Signature::one_of(signatures, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for CountsBytes {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        self.function.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType, DataFusionError> {
        match types {
            [DataType::LargeBinary] => Ok(DataType::Int64),
            [bytes] if is_bytes(bytes) => Ok(DataType::Int32),
            text => self.function.return_type(text),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let count = |bytes: &ArrayRef| match self.name() {
            "bit_length" => length::bit_length(bytes),
            _ => length::length(bytes),
        };
        match arguments.args.as_slice() {
            [ColumnarValue::Array(bytes)] if is_bytes(bytes.data_type()) => Ok(ColumnarValue::Array(count(bytes)?)),
            [ColumnarValue::Scalar(constant)] if is_bytes(&constant.data_type()) => {
                let counted = count(&constant.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&counted, 0)?))
            }
            _ => self.function.invoke_with_args(arguments),
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.function.documentation()
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used)]
mod tests {
    use bluelake_schemas::rejected_events_schema;
    use datafusion::arrow::array::{ArrayRef, BinaryArray, RecordBatch, new_null_array};
    use datafusion::datasource::MemTable;

    use super::*;
    use crate::session::query_session::QuerySession;
    use crate::testing::{chain, csv, options};

    /// A lake whose only table has these bytes in its rows.
    async fn rejected(bytes: &[&[u8]]) -> QuerySession {
        let schema = rejected_events_schema();
        let columns = schema.fields().iter().map(|field| -> ArrayRef {
            if field.name() == "event_bytes" {
                Arc::new(BinaryArray::from_vec(bytes.to_vec()))
            } else if field.is_nullable() {
                new_null_array(field.data_type(), bytes.len())
            } else {
                let zero = ScalarValue::new_default(field.data_type()).unwrap();
                zero.to_array_of_size(bytes.len()).unwrap()
            }
        });
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap();
        let table = Arc::new(MemTable::try_new(schema, vec![vec![batch]]).unwrap());
        QuerySession::new(vec![("rejected_events".to_owned(), table)], options()).await.unwrap()
    }

    #[tokio::test]
    async fn bytes_that_are_no_text_can_be_inspected() {
        let session = rejected(&[b"{\"a\":1}", b"\xff\xfe donation", "é".as_bytes(), b"", b"\x80"]).await;
        for (sql, expected) in [
            ("SELECT count(*) FROM rejected_events WHERE event_bytes LIKE '%donation%'", vec!["1"]),
            ("SELECT count(*) FROM rejected_events WHERE event_bytes NOT LIKE '%donation%'", vec!["4"]),
            ("SELECT count(*) FROM rejected_events WHERE event_bytes ILIKE '%DONATION'", vec!["1"]),
            ("SELECT octet_length(event_bytes) FROM rejected_events ORDER BY 1", vec!["0", "1", "2", "7", "11"]),
            ("SELECT bit_length(event_bytes) FROM rejected_events ORDER BY 1", vec!["0", "8", "16", "56", "88"]),
            ("SELECT length(event_bytes) FROM rejected_events ORDER BY 1", vec!["0", "1", "1", "7", "11"]),
            ("SELECT char_length(event_bytes) AS n FROM rejected_events ORDER BY n DESC LIMIT 1", vec!["11"]),
            ("SELECT octet_length('é'), bit_length('é'), octet_length(X'ff00')", vec!["2,16,2"]),
            (
                "SELECT CAST(event_bytes AS VARCHAR) AS t FROM rejected_events ORDER BY t DESC LIMIT 1",
                vec!["\u{fffd}\u{fffd} donation"],
            ),
            (
                "SELECT substr(CAST(event_bytes AS VARCHAR), 4) AS t FROM rejected_events WHERE event_bytes LIKE '%donation'",
                vec!["donation"],
            ),
            ("SELECT CAST(X'ff41' AS VARCHAR)", vec!["\u{fffd}A"]),
            ("SELECT count(*) FROM rejected_events WHERE TRY_CAST(event_bytes AS VARCHAR) IS NULL", vec!["2"]),
            ("SELECT count(*) FROM rejected_events WHERE CAST(event_bytes AS VARCHAR) ~ 'dona.ion'", vec!["1"]),
            ("SELECT count(*) FROM rejected_events WHERE event_bytes = X'80'", vec!["1"]),
            (
                "SELECT octet_length(event_bytes) > 1 AS is_long, count(*) FROM rejected_events GROUP BY is_long ORDER BY is_long",
                vec!["false,2", "true,3"],
            ),
            (
                "SELECT count(*) FROM rejected_events a WHERE EXISTS (SELECT 1 FROM rejected_events b WHERE b.event_bytes LIKE '%donation' AND length(b.event_bytes) > length(a.event_bytes))",
                vec!["4"],
            ),
            (
                "WITH t AS (SELECT event_bytes FROM rejected_events WHERE event_bytes LIKE '%o%') SELECT count(*) FROM t x, t y",
                vec!["1"],
            ),
        ] {
            assert_eq!(csv(&session, sql).await[1..], expected, "{sql}");
        }
    }

    #[tokio::test]
    async fn functions_without_bytes_say_how_to_ask() {
        let session = rejected(&[b"\xff"]).await;
        let error = session.query("SELECT substr(event_bytes, 1, 2) FROM rejected_events").await;
        let message = error.map(|_| ()).map_err(|error| chain(&error));
        // The function works on bytes, or names one that does.
        assert!(message.as_ref().err().is_none_or(|message| message.contains("CAST")), "{message:?}");
    }

    #[test]
    fn text_has_the_type_that_was_asked_for() {
        let bytes: ArrayRef = Arc::new(BinaryArray::from_opt_vec(vec![Some(b"a\xff"), None, Some(b"b")]));
        for text in [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View] {
            let found = as_text(&bytes, &text).unwrap();
            assert_eq!((found.data_type(), found.null_count()), (&text, 1));
            let found = cast(&found, &DataType::Utf8).unwrap();
            assert_eq!(found.as_string::<i32>().iter().collect::<Vec<_>>(), [Some("a\u{fffd}"), None, Some("b")]);
        }
    }
}
