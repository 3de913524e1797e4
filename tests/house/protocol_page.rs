//! `docs/protocol.md` names code and tests for each of its rules: all of them must exist. Text only, nothing is run.

use std::path::Path;

/// Rules without a test. A rule leaves this list when it gets one.
const WITHOUT_A_TEST: [&str; 1] = ["P12"];
/// What such a rule says.
const NO_TEST: &str = "no test yet";
/// The items that may keep a rule.
const KINDS: [&str; 7] = ["fn", "struct", "enum", "trait", "type", "const", "static"];

/// A numbered rule, with the text of its two lists.
struct Rule {
    number: String,
    kept_by: String,
    shown_by: String,
}

fn rules(page: &str) -> Vec<Rule> {
    page.split("\n### ").skip(1).map(rule).collect()
}

fn rule(text: &str) -> Rule {
    let text = text.split("\n## ").next().unwrap();
    let number = text.split('.').next().unwrap().to_owned();
    Rule { number, kept_by: entry(text, "- kept by:"), shown_by: entry(text, "- shown by:") }
}

/// A list entry: the text after the mark, and the indented lines below it.
fn entry(text: &str, mark: &str) -> String {
    let mut lines = text.lines().skip_while(|line| !line.starts_with(mark));
    let first = lines.next().and_then(|line| line.strip_prefix(mark)).unwrap_or_default();
    let more = lines.take_while(|line| line.starts_with("  "));
    std::iter::once(first).chain(more).collect::<Vec<_>>().join("\n")
}

/// The faults of the page; its paths start at `root`.
fn faults(page: &str, root: &Path) -> Vec<String> {
    let (mut faults, mut before) = (Vec::new(), 0);
    for rule in &rules(page) {
        // Numbers are never given anew, so there may be gaps.
        let number = rule.number.strip_prefix('P').and_then(|number| number.parse::<u32>().ok()).unwrap_or_default();
        if number <= before {
            faults.push(format!("{} stands behind P{before}", rule.number));
        }
        before = number;
        let mut found = missing(&rule.kept_by, root, defines);
        if rule.shown_by.trim() != NO_TEST {
            found.extend(missing(&rule.shown_by, root, has_test));
        }
        faults.extend(found.into_iter().map(|fault| format!("{}: {fault}", rule.number)));
    }
    faults
}

/// The missing names of a list. A list without names is a fault too.
fn missing(list: &str, root: &Path, is_in: fn(&str, &str) -> bool) -> Vec<String> {
    let names: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
    if names.is_empty() {
        return vec!["a list names nothing".to_owned()];
    }
    let is_there = |reference: &&str| {
        let Some((path, name)) = reference.split_once("::") else { return false };
        std::fs::read_to_string(root.join(path)).is_ok_and(|source| is_in(&source, name))
    };
    let gone = names.into_iter().filter(|reference| !is_there(reference));
    gone.map(|reference| format!("{reference} is not there")).collect()
}

/// Whether a source defines this function, type or constant.
fn defines(source: &str, name: &str) -> bool {
    source.lines().any(|line| KINDS.iter().any(|kind| is_definition(line, kind, name)))
}

/// Whether a source has this test: a function under `#[test]` or `#[tokio::test]`.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let found = lines.iter().enumerate().filter(|(_, line)| is_definition(line, "fn", name));
    let mut attributes = found.flat_map(|(index, _)| {
        lines[..index].iter().rev().take_while(|line| line.starts_with("#[") || line.starts_with("//"))
    });
    attributes.any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
}

fn is_definition(line: &str, kind: &str, name: &str) -> bool {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let mut words = line.split(|character: char| !is_part(character)).filter(|word| !word.is_empty());
    !line.trim_start().starts_with("//") && words.any(|word| word == kind) && words.next() == Some(name)
}

#[test]
fn every_rule_names_code_and_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/protocol.md")).unwrap();
    assert_eq!(faults(&page, root), [""; 0]);
    let rules = rules(&page);
    assert!(rules.len() > 50, "only {} rules were found", rules.len());
    let untested = rules.iter().filter(|rule| rule.shown_by.trim() == NO_TEST);
    let untested: Vec<&str> = untested.map(|rule| rule.number.as_str()).collect();
    assert_eq!(untested, WITHOUT_A_TEST);
}

#[test]
fn a_rule_without_its_code_is_found() {
    const SOURCE: &str = "
/// fn gone
pub(crate) async fn keep(text: &str) {}
pub(crate) struct Kept;
mod tests {
    /// Shows it.
    #[tokio::test(flavor = \"multi_thread\")]
    #[allow(clippy::panic)]
    async fn it_is_kept() {}

    fn helper() {}
}
";
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.rs"), SOURCE).unwrap();
    let page = |kept: &str, shown: &str| {
        format!("# Page\n\n## Part\n\n### P1. Rule\nIt holds.\n- kept by: {kept}\n- shown by:\n  {shown}\n\n## End\n")
    };
    let faults = |kept: &str, shown: &str| faults(&page(kept, shown), folder.path());
    assert_eq!(faults("`a.rs::keep`, `a.rs::Kept`", "`a.rs::it_is_kept`"), [""; 0]);
    assert_eq!(faults("`a.rs::keep`", NO_TEST), [""; 0]);
    for (kept, shown, fault) in [
        ("`a.rs::keep`, `a.rs::gone`", NO_TEST, "P1: a.rs::gone is not there"),
        ("`b.rs::keep`", NO_TEST, "P1: b.rs::keep is not there"),
        ("`a.rs`", NO_TEST, "P1: a.rs is not there"),
        ("nobody", NO_TEST, "P1: a list names nothing"),
        ("`a.rs::keep`", "`a.rs::it_was_kept`", "P1: a.rs::it_was_kept is not there"),
        ("`a.rs::keep`", "`a.rs::helper`", "P1: a.rs::helper is not there"),
    ] {
        assert_eq!(faults(kept, shown), [fault]);
    }
}
