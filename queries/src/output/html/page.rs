//! The page around chart and table: title, question and period above; meanings and provenance below.

use std::fmt::Write as _;

use super::escaped;
use crate::output::document::Document;

/// Forbids all loading and scripts, also for a page in a place that others can write to.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";
const STYLE: &str = include_str!("page.css");

/// Everything up to the chart.
pub(super) fn head(text: &mut String, document: &Document) {
    let title = escaped(&document.title);
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<header>\n<h1>{title}</h1>\n"
    );
    let lines = [("question", &document.question), ("scope", &document.scope)];
    for (class, line) in lines {
        if let Some(line) = line {
            let _ = writeln!(text, "<p class=\"{class}\">{}</p>", escaped(line));
        }
    }
    text.push_str("</header>\n");
}

/// Everything below the table.
pub(super) fn foot(text: &mut String, document: &Document) {
    if document.columns.iter().any(|column| column.meaning.is_some()) {
        text.push_str("<section>\n<h2>What the columns mean</h2>\n<dl>\n");
        for column in &document.columns {
            entry(text, &column.label, column.meaning.as_deref().unwrap_or_default());
        }
        text.push_str("</dl>\n</section>\n");
    }
    text.push_str("<section>\n<h2>Provenance</h2>\n<dl>\n");
    if let Some(audience) = &document.audience {
        entry(text, "Made for", audience);
    }
    for (name, value) in &document.provenance {
        entry(text, name, value);
    }
    text.push_str("</dl>\n</section>\n</main>\n</body>\n</html>\n");
}

fn entry(text: &mut String, name: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "<dt>{}</dt><dd>{}</dd>", escaped(name), escaped(value));
}
