//! The folder of an export: `donations/from=2026-11-01_to=2026-11-30_by=day`.
//!
//! The same report with the same parameters and time zone has the same folder, and a different one has another folder.
//! Each older state of the lake has a folder of its own.

use sha2::{Digest as _, Sha256};

use crate::report::provenance::Provenance;

/// The longest value that is written as it is.
const VALUE_MAX: usize = 40;
/// The longest name of a folder: file systems take 255 bytes.
const NAME_MAX: usize = 180;
/// Characters of a value that are kept before its digest.
const STEM_MAX: usize = 20;

/// The folder below the destination, with `/` between its parts; `is_as_of`: of the versions that were read.
pub fn export_folder(provenance: &Provenance, is_as_of: bool) -> String {
    let mut parts: Vec<String> = provenance
        .parameters
        .iter()
        .map(|parameter| match &parameter.value {
            Some(value) => format!("{}={}", parameter.name, readable(value)),
            // A date that was not given: the first or last day of the lake. A given date is never written like this.
            None if parameter.is_first_day() => format!("{}=first", parameter.name),
            None => format!("{}=last", parameter.name),
        })
        .collect();
    if provenance.time_zone != "UTC" {
        // Zones of the list have no dot, and parameters no hyphen.
        parts.push(format!("time-zone={}", provenance.time_zone.replace('/', ".")));
    }
    if let Some(versions) = provenance.as_of.as_ref().filter(|_| is_as_of) {
        parts.push(format!("as-of={}", versions.replace('@', ".").replace(',', "-")));
    }
    let name = if parts.is_empty() { "all".to_owned() } else { parts.join("_") };
    let name = if name.len() > NAME_MAX { distinguished(&name) } else { name };
    format!("{}/{name}", readable(&provenance.report))
}

/// The value as it is if that is short and safe in paths and URLs; otherwise a part of it with its digest.
pub(super) fn readable(value: &str) -> String {
    // Without `=`, so that a value cannot be taken for the next parameter.
    let is_plain = |character: char| matches!(character, 'a'..='z' | '0'..='9' | '.' | '-' | '_');
    let is_safe = (1..=VALUE_MAX).contains(&value.len()) && !value.starts_with('.') && value.chars().all(is_plain);
    if is_safe { value.to_owned() } else { distinguished(value) }
}

/// The readable beginning of a value and its digest, with a `~` between them. Values that are written as they are have
/// no `~`.
fn distinguished(value: &str) -> String {
    let lower = value.to_lowercase();
    let stem = lower.chars().map(|character| if character.is_ascii_alphanumeric() { character } else { '-' });
    let stem: String = stem.take(STEM_MAX).collect();
    let digest = Sha256::digest(value.as_bytes());
    let digest: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{}~{digest}", stem.trim_matches('-'))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use datafusion::scalar::ScalarValue;

    use super::*;
    use crate::report::parameters::ResolvedParameter;

    fn folder(values: &[(&str, Option<&str>)], time_zone: &str) -> String {
        export_folder(&provenance(values, time_zone), false)
    }

    fn provenance(values: &[(&str, Option<&str>)], time_zone: &str) -> Provenance {
        let parameter = |(name, value): &(&str, Option<&str>)| ResolvedParameter {
            name: (*name).to_owned(),
            value: value.map(str::to_owned),
            meant: None,
            is_first: *name == "from" && value.is_none(),
            bound: ScalarValue::Date32(Some(if *name == "from" { 0 } else { 2_932_895 })),
        };
        Provenance {
            report: "donations".to_owned(),
            parameters: values.iter().map(parameter).collect(),
            time_zone: time_zone.to_owned(),
            as_of: Some("user_events@7,transactions@12".to_owned()),
            tables: Vec::new(),
            streams: Vec::new(),
            period: None,
            compared: None,
            since: None,
            bluelake_version: String::new(),
        }
    }

    #[test]
    fn a_folder_names_report_and_parameters() {
        let period = [("from", Some("2026-11-01")), ("to", Some("2026-11-30")), ("by", Some("day"))];
        assert_eq!(folder(&period, "UTC"), "donations/from=2026-11-01_to=2026-11-30_by=day");
        assert_eq!(
            folder(&period, "America/Chicago"),
            "donations/from=2026-11-01_to=2026-11-30_by=day_time-zone=America.Chicago"
        );
        assert_eq!(folder(&[("from", None), ("to", None)], "UTC"), "donations/from=first_to=last");
        assert_eq!(folder(&[], "UTC"), "donations/all");
        let as_of = export_folder(&provenance(&[("by", Some("day"))], "UTC"), true);
        assert_eq!(as_of, "donations/by=day_as-of=user_events.7-transactions.12");
    }

    #[test]
    fn different_parameters_have_different_safe_folders() {
        let values = [
            "a", "A", "", ".", "..", "../../x", "a b", "a_b", "a=b", "a/b", "a-b", "é", "e", "%00", "~", "a\n", "🚓",
            "a~b", "_y=1", "1_y=1",
        ];
        let long = "x".repeat(300);
        let longer = "x".repeat(301);
        let values: Vec<&str> = values.into_iter().chain([long.as_str(), longer.as_str()]).collect();
        let mut seen = HashSet::new();
        for value in &values {
            for other in &values {
                let folder = folder(&[("x", Some(value)), ("y", Some(other))], "UTC");
                let name = folder.strip_prefix("donations/").unwrap_or_default();
                let is_safe = |character: char| character.is_ascii_alphanumeric() || "=_.-~".contains(character);
                assert!(name.chars().all(is_safe) && name.len() <= 255, "{folder}");
                assert!(seen.insert(folder.to_lowercase()), "{value:?} and {other:?} share {folder}");
            }
        }
    }
}
