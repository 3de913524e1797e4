//! The patches of `tests/known-bugs/` apply to the present program, so that `.ci/known-bugs` can bring each bug back.
//! Text only, nothing is run.

use std::path::Path;

/// The text of a file that a hunk of a patch expects.
fn expected(hunk: &str) -> String {
    let lines = hunk.lines().skip(1).filter(|line| !line.starts_with('+'));
    lines.map(|line| format!("{}\n", line.get(1..).unwrap_or_default())).collect()
}

/// The reasons why a patch cannot be applied below `root`.
fn faults(patch: &str, root: &Path) -> Vec<String> {
    let mut faults = Vec::new();
    for file in patch.split("\ndiff --git ").map(|part| format!("\n{part}")) {
        let Some(path) = file.split("\n+++ b/").nth(1).and_then(|rest| rest.lines().next()) else {
            faults.push("it names no file".to_owned());
            continue;
        };
        let text = std::fs::read_to_string(root.join(path)).unwrap_or_default();
        let hunks = file.split("\n@@").skip(1).map(expected);
        let missing = hunks.filter(|hunk| !text.contains(hunk.trim_end_matches('\n')));
        faults.extend(missing.map(|hunk| format!("{path} does not hold:\n{hunk}")));
    }
    faults
}

#[test]
fn every_known_bug_can_be_brought_back() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut patches: Vec<_> =
        root.join("tests/known-bugs").read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    patches.sort();
    assert_eq!(patches.len(), 25, "{patches:?}");
    let page = std::fs::read_to_string(root.join("docs/simulation.md")).unwrap();
    for patch in patches {
        let name = patch.file_stem().unwrap().to_str().unwrap();
        let faults = faults(&std::fs::read_to_string(&patch).unwrap(), root);
        assert!(faults.is_empty(), "{name}: {}", faults.join("\n"));
        assert!(page.contains(&format!("| `{name}` |")), "docs/simulation.md does not mention {name}");
    }
}

#[test]
fn a_patch_of_other_lines_is_found() {
    let patch = "diff --git a/Cargo.toml b/Cargo.toml\n--- a/Cargo.toml\n+++ b/Cargo.toml\n@@ -1 +1 @@\n-[no such section]\n+[another]\n";
    let found = faults(patch, Path::new(env!("CARGO_MANIFEST_DIR")));
    assert_eq!(found, ["Cargo.toml does not hold:\n[no such section]\n"]);
}
