//! Values for the parameters of a report: given as text, checked against the header, bound as typed values.

use std::collections::BTreeMap;

use arrow::datatypes::Date32Type;
use chrono::NaiveDate;
use datafusion::scalar::ScalarValue;
use serde::Serialize;

use crate::header::parameter::{ParameterDefault, ParameterKind, ReportParameter, parse_date};
use crate::report::error::ReportError;
use crate::text::nearest::nearest;

/// Stands for the first day of the lake: 1970-01-01. Events before 2020 are rejected.
const FIRST_DAY: i32 = 0;
/// Stands for the last day of the lake: 9999-12-30, so that a day can be added.
const LAST_DAY: i32 = 2_932_895;

/// The given values, by parameter name.
#[derive(Clone, Debug, Default)]
pub struct ReportParameters {
    values: BTreeMap<String, String>,
}

impl ReportParameters {
    /// No values: every parameter has its default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces the value of a parameter.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.values.insert(name.into(), value.into());
        self
    }

    /// Adds the value of a parameter when there is one.
    #[must_use]
    pub fn with_optional(self, name: impl Into<String>, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Checks the values against the parameters that a report declares, and fills in defaults.
    pub(crate) fn resolve(
        &self,
        report: &str,
        declared: &[ReportParameter],
    ) -> Result<Vec<ResolvedParameter>, ReportError> {
        if let Some(name) = self.values.keys().find(|name| !declared.iter().any(|known| &known.name == *name)) {
            let known: Vec<_> = declared.iter().map(|known| known.name.clone()).collect();
            let suggestion = nearest(name, &known);
            return Err(ReportError::UnknownParameter {
                report: report.to_owned(),
                name: name.clone(),
                suggestion,
                known,
            });
        }
        let resolved = declared.iter().map(|parameter| {
            resolve(parameter, self.values.get(&parameter.name)).map_err(|fault| ReportError::Parameter {
                report: report.to_owned(),
                name: parameter.name.clone(),
                fault,
            })
        });
        let resolved = resolved.collect::<Result<Vec<_>, _>>()?;
        check_order(report, &resolved)?;
        Ok(resolved)
    }
}

/// A parameter of one run of a report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResolvedParameter {
    /// Name, without the `$`.
    pub name: String,
    /// The value, given or by default; `None` if the lake's first or last day is meant.
    pub value: Option<String>,
    /// The day of the lake in place of a value, once it is known.
    #[serde(skip)]
    pub(crate) meant: Option<NaiveDate>,
    /// Whether the first day of the lake is meant where there is no value.
    #[serde(skip)]
    pub(crate) is_first: bool,
    #[serde(skip)]
    pub(crate) bound: ScalarValue,
}

impl ResolvedParameter {
    /// The value for readers.
    pub fn in_words(&self) -> String {
        let end = if self.is_first_day() { "first day of the lake" } else { "last day of the lake" };
        match (&self.value, self.meant) {
            (Some(value), _) => value.clone(),
            (None, Some(day)) => format!("{day} ({end})"),
            (None, None) => end.to_owned(),
        }
    }

    /// Whether it stands for the first day of the lake.
    pub(crate) fn is_first_day(&self) -> bool {
        self.is_first
    }

    /// The same parameter with this day as its value.
    pub(crate) fn at(&self, day: NaiveDate) -> Self {
        let value = Some(day.to_string());
        Self { name: self.name.clone(), value, meant: None, is_first: false, bound: date_value(day) }
    }

    /// The lake begins with this day, because those before it expired.
    pub(crate) fn begin_with(&mut self, day: NaiveDate) {
        (self.meant, self.bound) = (Some(day), date_value(day));
    }

    /// The day, given or meant.
    pub(crate) fn day(&self) -> Option<NaiveDate> {
        self.value.as_deref().and_then(|value| value.parse().ok()).or(self.meant)
    }
}

fn resolve(parameter: &ReportParameter, given: Option<&String>) -> Result<ResolvedParameter, String> {
    let resolved = |value: Option<&str>, bound| ResolvedParameter {
        name: parameter.name.clone(),
        value: value.map(str::to_owned),
        meant: None,
        is_first: value.is_none() && bound == ScalarValue::Date32(Some(FIRST_DAY)),
        bound,
    };
    let text = match (given, &parameter.default) {
        (Some(text), _) | (None, ParameterDefault::Value(text)) => text,
        (None, ParameterDefault::First) => return Ok(resolved(None, ScalarValue::Date32(Some(FIRST_DAY)))),
        (None, ParameterDefault::Last) => return Ok(resolved(None, ScalarValue::Date32(Some(LAST_DAY)))),
        (None, ParameterDefault::Required) => {
            return Err(format!("must be given: --parameter {}=… ({})", parameter.name, parameter.kind));
        }
    };
    parameter.check(text)?;
    let bound = match parameter.kind {
        ParameterKind::Date => date_value(parse_date(text)?),
        ParameterKind::Integer => ScalarValue::Int64(text.parse().ok()),
        ParameterKind::Period | ParameterKind::Text | ParameterKind::User => ScalarValue::from(text.as_str()),
    };
    Ok(resolved(Some(text), bound))
}

/// A day as a value.
pub(crate) fn date_value(date: NaiveDate) -> ScalarValue {
    ScalarValue::Date32(Some(Date32Type::from_naive_date(date)))
}

/// A report with `from` and `to` covers the days from one to the other, so `from` must not be later.
fn check_order(report: &str, resolved: &[ResolvedParameter]) -> Result<(), ReportError> {
    let find = |name: &str| resolved.iter().find(|parameter| parameter.name == name);
    match (find("from"), find("to")) {
        (Some(ResolvedParameter { value: Some(from), bound: first @ ScalarValue::Date32(_), .. }), Some(to))
            if matches!(to.bound, ScalarValue::Date32(_)) && *first > to.bound =>
        {
            let fault = format!("{from} is after {}", to.value.as_deref().unwrap_or("the last day of the lake"));
            Err(ReportError::Parameter { report: report.to_owned(), name: "from".to_owned(), fault })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn declared() -> Vec<ReportParameter> {
        let parameter = |name: &str, kind, default| ReportParameter {
            name: name.to_owned(),
            kind,
            default,
            least: (kind == ParameterKind::Integer).then_some(-3),
            most: (kind == ParameterKind::Integer).then_some(50),
            each: None,
            one_of: if kind == ParameterKind::Text { vec!["civilian".to_owned()] } else { Vec::new() },
            description: String::new(),
        };
        vec![
            parameter("from", ParameterKind::Date, ParameterDefault::First),
            parameter("to", ParameterKind::Date, ParameterDefault::Last),
            parameter("by", ParameterKind::Period, ParameterDefault::Value("day".to_owned())),
            parameter("least", ParameterKind::Integer, ParameterDefault::Required),
            parameter("kind", ParameterKind::Text, ParameterDefault::Value("civilian".to_owned())),
        ]
    }

    #[test]
    fn values_become_typed_and_defaults_fill_in() {
        let parameters = ReportParameters::new().with("from", "1970-01-02").with("least", "-3");
        let resolved = parameters.resolve("gifts", &declared()).unwrap();
        let bound: Vec<_> = resolved.iter().map(|parameter| parameter.bound.clone()).collect();
        assert_eq!(bound[0], ScalarValue::Date32(Some(1)));
        assert_eq!(bound[2], ScalarValue::from("day"));
        assert_eq!(bound[3], ScalarValue::Int64(Some(-3)));
        assert_eq!(resolved[1].value, None);
    }

    #[test]
    fn each_wrong_value_is_refused_with_its_reason() {
        let cases: [(&[(&str, &str)], &str); 15] = [
            (&[], "parameter least of the report gifts: must be given: --parameter least=… (integer)"),
            (&[("least", "-4")], "parameter least of the report gifts: -4 is not from -3 to 50"),
            (&[("least", "51")], "parameter least of the report gifts: 51 is not from -3 to 50"),
            (&[("least", "1"), ("kind", "Civilian")], "parameter kind of the report gifts: \"Civilian\" is not one of"),
            (&[("least", "1"), ("from", "-001-01-01")], "parameter from of the report gifts: \"-001-01-01\" is not a"),
            (&[("least", "1"), ("from", "0001-01-01")], "parameter from of the report gifts: 0001-01-01 is not from"),
            (&[("least", "1"), ("to", "9999-12-31")], "parameter to of the report gifts: 9999-12-31 is not from"),
            (&[("least", "1.5")], "parameter least of the report gifts: \"1.5\" is not a whole number"),
            (&[("frm", "2026-01-01")], "the report gifts has no parameter \"frm\"; did you mean from?"),
            (&[("least", "1"), ("from", "2026-02-30")], "parameter from of the report gifts: \"2026-02-30\" is not"),
            (&[("least", "1"), ("from", "26-02-03")], "parameter from of the report gifts: \"26-02-03\" is not"),
            (&[("least", "1"), ("from", "yesterday")], "parameter from of the report gifts: \"yesterday\" is not"),
            (&[("least", "1"), ("to", "2026-1-1")], "parameter to of the report gifts: \"2026-1-1\" is not a date"),
            (&[("least", "1"), ("by", "hour")], "parameter by of the report gifts: \"hour\" is not a period"),
            (
                &[("least", "1"), ("from", "2026-02-01"), ("to", "2026-01-31")],
                "parameter from of the report gifts: 2026-02-01 is after 2026-01-31",
            ),
        ];
        for (values, expected) in cases {
            let given = values.iter().fold(ReportParameters::new(), |given, (name, value)| given.with(*name, *value));
            let message = given.resolve("gifts", &declared()).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{values:?} gave {message:?}");
        }
    }
}
