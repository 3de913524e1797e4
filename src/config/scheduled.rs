//! The reports that are run together: `[[report]]` tables of the configuration file.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use bluelake_queries::{Compare, OutputFormat};
use serde::Deserialize;

use crate::terminal::failure::WrongUsage;

/// A report that is run with others.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ScheduledReport {
    /// Its name.
    pub(crate) name: String,
    /// Parameters besides the period.
    pub(crate) parameters: BTreeMap<String, String>,
    /// What it is compared with.
    pub(crate) compare: Option<Compare>,
    /// The exported formats; empty: the usual ones.
    pub(crate) formats: Vec<OutputFormat>,
    /// Its destination, if it differs from the common one.
    pub(crate) destination: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    #[serde(default)]
    parameters: BTreeMap<String, toml::Value>,
    compare: Option<String>,
    #[serde(default)]
    formats: Vec<String>,
    destination: Option<String>,
}

/// Reads the value of `report` in a configuration file.
///
/// # Errors
/// [`WrongUsage`] when it is not a list of tables with these keys; it names the file and the place in the list.
pub(super) fn read(value: toml::Value, path: &Path) -> Result<Vec<ScheduledReport>> {
    let toml::Value::Array(tables) = value else {
        return Err(fault(path, "report must be a list: write [[report]] above each").into());
    };
    tables.into_iter().enumerate().map(|(index, table)| read_one(table, index + 1, path)).collect()
}

fn read_one(table: toml::Value, number: usize, path: &Path) -> Result<ScheduledReport> {
    let wrong = |detail: &str| fault(path, &format!("[[report]] number {number}: {detail}"));
    let written: Written = table.try_into().map_err(|error: toml::de::Error| wrong(error.message()))?;
    let mut parameters = BTreeMap::new();
    for (name, value) in written.parameters {
        let text = super::layers::scalar(&value)
            .ok_or_else(|| wrong(&format!("parameter {name} must be a text, a whole number or a date")))?;
        parameters.insert(name, text);
    }
    let compare = written.compare.as_deref().map(str::parse::<Compare>).transpose();
    let compare = compare.map_err(|fault| wrong(&format!("compare: {fault}")))?;
    let format = |name: &String| name.parse::<OutputFormat>().map_err(|error| wrong(&error.to_string()));
    let formats = written.formats.iter().map(format).collect::<std::result::Result<_, _>>()?;
    Ok(ScheduledReport { name: written.name, parameters, compare, formats, destination: written.destination })
}

fn fault(path: &Path, detail: &str) -> WrongUsage {
    WrongUsage::new(format!("{}: {detail}", path.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<ScheduledReport>> {
        let mut table: toml::Table = text.parse().unwrap();
        read(table.remove("report").unwrap(), Path::new("bluelake.toml"))
    }

    #[test]
    fn a_list_names_reports_parameters_and_destinations() {
        let text = "[[report]]\nname = 'donations'\nparameters = { by = 'week' }\nformats = ['csv', 'xlsx']\n\
                    [[report]]\nname = 'top_items'\nparameters = { top = 5 }\ndestination = 's3://b/p'\n";
        let list = parsed(text).unwrap();
        assert_eq!(list.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["donations", "top_items"]);
        let [donations, items] = list.as_slice() else { unreachable!() };
        assert_eq!(donations.formats, [OutputFormat::Csv, OutputFormat::Xlsx]);
        assert_eq!(donations.parameters.get("by").unwrap(), "week");
        assert_eq!(
            (items.parameters.get("top").unwrap().as_str(), items.destination.as_deref()),
            ("5", Some("s3://b/p"))
        );
    }

    #[test]
    fn each_fault_names_file_and_place() {
        let cases = [
            ("report = 'donations'", "bluelake.toml: report must be a list"),
            ("[[report]]\nnam = 'x'", "bluelake.toml: [[report]] number 1: unknown field"),
            ("[[report]]\nname = 'x'\n[[report]]\n", "number 2: missing field `name`"),
            ("[[report]]\nname = 'x'\nformats = ['pdf']", "number 1: there is no output format \"pdf\""),
            (
                "[[report]]\nname = 'x'\ncompare = 'week'",
                "number 1: compare: \"week\" is not known here; use one of previous",
            ),
            ("[[report]]\nname = 'x'\nparameters = { a = [1] }", "number 1: parameter a must be a text"),
        ];
        for (text, expected) in cases {
            let message = parsed(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}
