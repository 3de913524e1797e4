//! The header of a report.

use serde::Serialize;

use crate::header::chart::{Chart, read_chart};
use crate::header::column::{ReportColumn, read_column};
use crate::header::entries::{entries, only, unique};
use crate::header::fault::HeaderFault;
use crate::header::figure::{ReportFigure, read_figures};
use crate::header::parameter::{ReportParameter, read_parameter};

const KEYS: [&str; 8] = ["title", "question", "audience", "covers", "parameter", "column", "figures", "chart"];
/// The one value of `covers`.
const PERIOD: &str = "period";

/// The description of a report.
#[derive(Clone, Debug, Serialize)]
pub struct ReportHeader {
    /// A few words, above the result.
    pub title: String,
    /// The question that the report answers.
    pub question: String,
    /// Who asks it.
    pub audience: String,
    /// Whether the numbers come from the days from `from` to `to` alone, and from no transaction of days before.
    #[serde(skip)]
    pub covers_period: bool,
    /// The parameters, in the order in which they are shown.
    pub parameters: Vec<ReportParameter>,
    /// The columns of the result, in their order.
    pub columns: Vec<ReportColumn>,
    /// The numbers that stand above its rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub figures: Vec<ReportFigure>,
    /// How the result is drawn, if it can be.
    pub chart: Option<Chart>,
}

impl ReportHeader {
    /// Reads the header of a report file; `file` is its name in messages.
    pub(crate) fn parse(file: &str, text: &str) -> Result<Self, HeaderFault> {
        let fault = |line: usize, fault: String| HeaderFault { file: file.to_owned(), line, fault };
        let entries = entries(text, &KEYS).map_err(|(line, text)| fault(line, text))?;
        let mut parameters = Vec::<ReportParameter>::new();
        let mut columns = Vec::<ReportColumn>::new();
        for entry in &entries {
            let read = match entry.key.as_str() {
                "parameter" => read_parameter(&entry.value).and_then(|parameter| {
                    unique(parameters.iter().map(|known| &known.name), &parameter.name)?;
                    parameters.push(parameter);
                    Ok(())
                }),
                "column" => read_column(&entry.value).and_then(|column| {
                    unique(columns.iter().map(|known| &known.name), &column.name)?;
                    columns.push(column);
                    Ok(())
                }),
                _ => Ok(()),
            };
            read.map_err(|text| fault(entry.line, text))?;
        }
        if columns.is_empty() {
            return Err(fault(1, "the header has no `-- column:`; name every column of the result".to_owned()));
        }
        let one = |key| only(&entries, key).map_err(|(line, text)| fault(line, text));
        let required = |key| {
            one(key)?.map(|entry| entry.value.clone()).ok_or_else(|| fault(1, format!("the header has no `-- {key}:`")))
        };
        let chart = match one("chart")? {
            None => None,
            Some(entry) => Some(read_chart(&entry.value, &columns).map_err(|text| fault(entry.line, text))?),
        };
        let figures = match one("figures")? {
            None => Vec::new(),
            Some(entry) => read_figures(&entry.value, &columns).map_err(|text| fault(entry.line, text))?,
        };
        let covers_period = match one("covers")? {
            None => false,
            Some(entry) if entry.value != PERIOD => {
                return Err(fault(entry.line, format!("covers is {PERIOD}, or left out; it is {:?}", entry.value)));
            }
            Some(entry) if !parameters.iter().any(|parameter| parameter.name == "from") => {
                return Err(fault(entry.line, "a report that covers a period has a parameter `from`".to_owned()));
            }
            Some(_) => true,
        };
        let (title, question, audience) = (required("title")?, required("question")?, required("audience")?);
        Ok(Self { title, question, audience, covers_period, parameters, columns, figures, chart })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
