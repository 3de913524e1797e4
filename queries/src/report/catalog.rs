//! The catalogue of reports: the built-in ones of `reports/*.sql`, and those of a folder of the user's own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::header::fault::HeaderFault;
use crate::header::parameter::{ParameterDefault, ReportParameter};
use crate::report::definition::Report;
use crate::report::error::ReportError;
use crate::text::nearest::nearest;

// (name, text) of each file in `reports/`, collected by the build script.
include!(concat!(env!("OUT_DIR"), "/embedded_reports.rs"));

/// Reports by name.
#[derive(Clone, Debug)]
pub struct ReportCatalog {
    reports: BTreeMap<String, Report>,
}

impl ReportCatalog {
    /// The built-in reports.
    ///
    /// # Errors
    /// [`HeaderFault`] for a faulty header; a test keeps that from being released.
    pub fn embedded() -> Result<Self, HeaderFault> {
        let reports = EMBEDDED_REPORTS.iter().map(|(name, text)| {
            let report = Report::parse(name, &format!("queries/reports/{name}.sql"), text)?;
            Ok((name.to_string(), report))
        });
        Ok(Self { reports: reports.collect::<Result<_, HeaderFault>>()? })
    }

    /// Adds every `*.sql` file of a folder.
    ///
    /// # Errors
    /// [`ReportError::Folder`] when it cannot be read; [`HeaderFault`] for a faulty header, or a name that
    /// is taken.
    pub fn with_folder(mut self, folder: &Path) -> Result<Self, ReportError> {
        let unreadable = |path: &Path, source| ReportError::Folder { path: path.to_path_buf(), source };
        for entry in std::fs::read_dir(folder).map_err(|source| unreadable(folder, source))? {
            let path = entry.map_err(|source| unreadable(folder, source))?.path();
            if path.extension().is_none_or(|extension| extension != "sql") {
                continue;
            }
            let text = std::fs::read_to_string(&path).map_err(|source| unreadable(&path, source))?;
            let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            let file = path.display().to_string();
            let report = Report::parse(&name, &file, &text)?;
            if self.reports.insert(name.clone(), report).is_some() {
                let fault = format!("there is a report {name} already; rename the file");
                return Err(HeaderFault { file, line: 1, fault }.into());
            }
        }
        Ok(self)
    }

    /// A report by name.
    ///
    /// # Errors
    /// [`ReportError::UnknownReport`], with the nearest name.
    pub fn get(&self, name: &str) -> Result<&Report, ReportError> {
        self.reports.get(name).ok_or_else(|| {
            let known: Vec<_> = self.reports.keys().cloned().collect();
            let suggestion = nearest(name, &known);
            ReportError::UnknownReport { name: name.to_owned(), suggestion, known }
        })
    }

    /// All reports, by name.
    pub fn reports(&self) -> impl Iterator<Item = &Report> {
        self.reports.values()
    }

    /// A list of the reports and a chapter for each in Markdown, from the headers; part of `docs/reports.md`.
    pub fn markdown(&self) -> String {
        let mut text = String::from("| report | question | for |\n| --- | --- | --- |\n");
        for report in self.reports() {
            let (name, header) = (report.name(), report.header());
            let _ = writeln!(text, "| [`{name}`](#{name}) | {} | {} |", header.question, header.audience);
        }
        text.push('\n');
        for report in self.reports() {
            // Writing to a String cannot fail.
            let _ = describe(&mut text, report);
        }
        text
    }
}

fn describe(text: &mut String, report: &Report) -> std::fmt::Result {
    let header = report.header();
    writeln!(text, "### {}\n\n**{}.** {} For {}.\n", report.name(), header.title, header.question, header.audience)?;
    writeln!(text, "| parameter | kind | default | meaning |\n| --- | --- | --- | --- |")?;
    for parameter in &header.parameters {
        let ReportParameter { name, kind, description, .. } = parameter;
        let allowed = parameter.allowed().map(|allowed| format!(", {allowed}")).unwrap_or_default();
        writeln!(text, "| `{name}` | {kind}{allowed} | {} | {description} |", default_text(parameter))?;
    }
    writeln!(text, "\n| column | unit | meaning |\n| --- | --- | --- |")?;
    for column in &header.columns {
        writeln!(text, "| `{}` | {} | {} |", column.name, column.unit, column.description)?;
    }
    writeln!(text)
}

fn default_text(parameter: &ReportParameter) -> &str {
    match &parameter.default {
        ParameterDefault::Required => "none, required",
        ParameterDefault::First => "first day of the lake",
        ParameterDefault::Last => "last day of the lake",
        ParameterDefault::Value(value) => value,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_report_file_is_in_the_catalogue() {
        let names: Vec<_> =
            ReportCatalog::embedded().unwrap().reports().map(|report| report.name().to_owned()).collect();
        let files = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("reports")).unwrap();
        let mut files: Vec<_> =
            files.map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()).collect();
        files.sort();
        assert_eq!(names, files);
    }

    #[test]
    fn an_unknown_report_gets_the_nearest_name() {
        let message = ReportCatalog::embedded().unwrap().get("donation").unwrap_err().to_string();
        assert!(message.contains("did you mean donations?"), "{message}");
    }

    #[test]
    fn a_reports_folder_adds_reports_or_names_faults() {
        let folder = tempfile::tempdir().unwrap();
        let header = "-- title: T\n-- question: Q?\n-- audience: A\n-- column: n (count) N.\n\n";
        std::fs::write(folder.path().join("mine.sql"), format!("{header}SELECT 1 AS n")).unwrap();
        std::fs::write(folder.path().join("notes.txt"), "not a report").unwrap();
        let catalog = || ReportCatalog::embedded().unwrap().with_folder(folder.path());
        assert_eq!(catalog().unwrap().get("mine").unwrap().header().title, "T");

        std::fs::write(folder.path().join("donations.sql"), format!("{header}SELECT 1 AS n")).unwrap();
        let message = catalog().unwrap_err().to_string();
        assert!(message.contains("donations.sql:1: there is a report donations already"), "{message}");
        std::fs::remove_file(folder.path().join("donations.sql")).unwrap();

        std::fs::write(folder.path().join("bad.sql"), format!("{header}SELECT $n AS n")).unwrap();
        let message = catalog().unwrap_err().to_string();
        assert!(message.contains("bad.sql:6: the SQL uses $n, which the header does not declare"), "{message}");

        assert!(matches!(
            ReportCatalog::embedded().unwrap().with_folder(Path::new("/no/such/folder")),
            Err(ReportError::Folder { .. })
        ));
    }

    #[test]
    fn every_number_of_a_report_has_a_range() {
        for report in ReportCatalog::embedded().unwrap().reports() {
            for parameter in &report.header().parameters {
                let is_number = parameter.kind == crate::header::parameter::ParameterKind::Integer;
                let has_range = parameter.least.is_some() && parameter.most.is_some();
                assert!(has_range || !is_number, "{} {}", report.name(), parameter.name);
            }
        }
    }

    /// Heads the last chapter of `docs/reports.md`, which is made from the headers.
    const CATALOGUE: &str = "## Reports that are built in\n\n";

    #[test]
    fn the_documentation_is_in_step_with_the_headers() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reports.md");
        let documentation = std::fs::read_to_string(&path).unwrap();
        let (own, _) = documentation.split_once(CATALOGUE).unwrap();
        let expected = format!("{own}{CATALOGUE}{}", ReportCatalog::embedded().unwrap().markdown());
        if std::env::var_os("BLUELAKE_WRITE_DOCS").is_some() {
            std::fs::write(&path, &expected).unwrap();
            return;
        }
        assert_eq!(documentation, expected, "run this test once with BLUELAKE_WRITE_DOCS=1");
    }
}
