//! How much of its period a row stands for: periods that the first or the last day cuts are told from whole ones.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Field, Schema};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use chrono::NaiveDate;

use crate::header::column::{ReportColumn, Unit};
use crate::header::period_length::PeriodLength;
use crate::report::origin::PeriodOrigin;
use crate::report::result::ReportResult;

/// The column that is added.
pub(crate) const NAME: &str = "counted_days";
/// The column with the first day of a row's period.
const PERIOD: &str = "period";

/// The length of a report's periods, if its rows have any.
pub(crate) fn length(result: &ReportResult) -> Option<PeriodLength> {
    let by = result.provenance.parameters.iter().find(|parameter| parameter.name == "by")?;
    result.columns.iter().find(|column| column.name == PERIOD && column.unit == Unit::Date)?;
    PeriodLength::parse(by.value.as_deref()?).ok()
}

/// Adds the column to a report that has periods. One of the same name stays.
///
/// # Errors
/// When the column cannot be added.
pub(crate) fn add(result: ReportResult) -> Result<ReportResult, ArrowError> {
    let place = result.columns.iter().position(|column| column.name == PERIOD);
    let is_there = result.columns.iter().any(|column| column.name == NAME);
    let (Some(length), Some(place), Some(period), false) =
        (length(&result), place, &result.provenance.period, is_there)
    else {
        return Ok(result);
    };
    let counted = |batch: &RecordBatch| -> Result<ArrayRef, ArrowError> {
        let days = cast(batch.column(place), &DataType::Date32)?;
        let days = days.as_primitive::<Date32Type>();
        let count = |row: usize| {
            let day = (!days.is_null(row)).then(|| days.value(row))?;
            let first = Date32Type::to_naive_date_opt(day)?;
            counted_days(first, length, period)
        };
        Ok(Arc::new((0..days.len()).map(count).collect::<Int64Array>()))
    };
    let mut fields: Vec<Field> = result.schema.fields().iter().map(|field| field.as_ref().clone()).collect();
    fields.push(Field::new(NAME, DataType::Int64, true));
    let schema = Arc::new(Schema::new(fields));
    let batches = result.batches.iter().map(|batch| {
        let columns = batch.columns().iter().cloned().chain([counted(batch)?]).collect();
        RecordBatch::try_new(schema.clone(), columns)
    });
    let batches = batches.collect::<Result<_, _>>()?;
    let mut columns = result.columns;
    columns.push(ReportColumn {
        name: NAME.to_owned(),
        unit: Unit::Days,
        description:
            "Days of the period that count: fewer than it has where `from`, `to` or an end of the lake cuts it."
                .to_owned(),
    });
    Ok(ReportResult { schema, batches, columns, ..result })
}

/// The days of the period with this first day that were asked for and lie within the lake.
pub(crate) fn counted_days(first: NaiveDate, length: PeriodLength, period: &PeriodOrigin) -> Option<i64> {
    let last = length.shift().later(first)?.pred_opt()?;
    let (Some(lake_first), Some(lake_last)) = (period.lake_first_day, period.lake_last_day) else { return Some(0) };
    let from = period.first_day.unwrap_or(lake_first).max(lake_first).max(first);
    let to = period.last_day.unwrap_or(lake_last).min(lake_last).min(last);
    Some(to.signed_duration_since(from).num_days().saturating_add(1).max(0))
}

/// How many days the period has, when fewer count.
pub(crate) fn cut_from(first: NaiveDate, length: PeriodLength, counted: i64) -> Option<i64> {
    let all = length.shift().later(first)?.signed_duration_since(first).num_days();
    (counted < all).then_some(all)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::report::catalog::ReportCatalog;
    use crate::report::parameters::ReportParameters;
    use crate::testing::{event, report_csv, session};

    #[tokio::test]
    async fn periods_that_are_cut_are_told_from_whole_ones() {
        let gift = |at: &str| {
            let fields = json!({"donor_id": "a", "donor_kind": "civilian", "recipient_id": "x",
                "recipient_kind": "charity", "points": 1});
            event("donation", at, fields)
        };
        let days = ["2026-01-29", "2026-02-10", "2026-03-05", "2026-04-20"];
        let session = session(&[], &days.map(|day| gift(&format!("{day}T12:00:00Z")))).await;
        let catalog = ReportCatalog::embedded().unwrap();
        for (by, from, to, expected) in [
            ("month", None, None, "3 28 31 20"),
            ("month", Some("2026-02-10"), Some("2026-03-30"), "19 30"),
            ("quarter", None, None, "62 20"),
            ("year", None, Some("2026-12-31"), "82"),
            ("week", Some("2026-02-01"), Some("2026-03-08"), "7 7"),
            ("day", None, None, "1 1 1 1"),
        ] {
            let parameters = ReportParameters::new().with("by", by).with_optional("from", from).with_optional("to", to);
            let result = catalog.get("donations").unwrap().run(&session, &parameters).await.unwrap();
            let lines = report_csv(&result);
            assert!(lines.first().unwrap().ends_with(",counted_days"), "{lines:?}");
            let counted: Vec<&str> = lines.iter().skip(1).map(|line| line.rsplit_once(',').unwrap().1).collect();
            assert_eq!(counted.join(" "), expected, "{by} {from:?} {to:?}");
            assert_eq!(result.columns.len(), result.schema.fields().len());
        }
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        assert_eq!(cut_from(day("2026-02-01"), PeriodLength::Month, 27), Some(28));
        assert_eq!(cut_from(day("2026-02-01"), PeriodLength::Month, 28), None);
    }
}
