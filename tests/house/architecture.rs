//! Holds the code to the picture of `ARCHITECTURE.md`: which rooms and folders may know which. Text only, nothing is
//! built.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Rooms, with the rooms that each may depend on.
const ROOMS: [(&str, &[&str]); 10] = [
    ("schemas", &[]),
    ("transform", &["schemas"]),
    ("lake", &["schemas"]),
    ("care", &["schemas", "transform", "lake"]),
    ("deliver", &["schemas", "lake"]),
    ("ingest", &["schemas", "transform", "lake"]),
    ("queries", &["schemas", "lake"]),
    ("generate", &["schemas", "transform"]),
    ("embedded-kinesis", &["schemas"]),
    ("tests/fault-proxy", &[]),
];
/// Folders within the rooms, with those that each may know. All may know files beside the folders (errors, the clock).
const FOLDERS: [(&str, &str, &[&str]); 30] = [
    ("transform", "unpack", &["parse", "decode"]),
    ("transform", "parse", &["decode"]),
    ("transform", "decode", &["parse", "unpack"]),
    ("transform", "encode", &["decode"]),
    ("lake", "checkpoint", &[]),
    ("lake", "place", &["checkpoint"]),
    ("lake", "commit", &["checkpoint", "place"]),
    ("lake", "maintenance", &["checkpoint", "place", "commit"]),
    ("lake", "read", &["checkpoint", "commit", "place", "maintenance"]),
    ("lake", "verify", &["checkpoint", "commit", "place", "maintenance"]),
    ("deliver", "postgres", &[]),
    ("deliver", "search", &[]),
    ("deliver", "redshift", &[]),
    ("ingest", "memory", &[]),
    ("ingest", "kinesis", &["progress"]),
    ("ingest", "shards", &["kinesis"]),
    ("ingest", "progress", &["memory", "reading"]),
    ("ingest", "reading", &["kinesis", "memory", "progress", "shards"]),
    ("ingest", "landing", &["kinesis", "memory", "progress", "reading"]),
    ("ingest", "supplement", &["kinesis", "landing", "memory", "reading", "shards"]),
    ("ingest", "worker", &["kinesis", "landing", "memory", "progress", "reading", "shards"]),
    ("queries", "limits", &[]),
    ("queries", "text", &[]),
    ("queries", "header", &["text"]),
    ("queries", "postgres", &["text"]),
    ("queries", "session", &["header", "limits", "postgres", "text"]),
    ("queries", "report", &["header", "session", "text"]),
    ("queries", "output", &["header", "report", "session", "text"]),
    ("queries", "export", &["header", "output", "report"]),
    ("queries", "shell", &["output", "session", "text"]),
];
/// Rooms in which a folder knows only folders above it in the list.
const LAYERED: [&str; 2] = ["lake", "queries"];
const LINES_MAX: usize = 500;
const FILES_MAX: usize = 12;
/// Calls that a pure file must not contain.
const IMPURE: [&str; 6] = [".await", "thread::sleep", "rand::rng", "Instant::now", "SystemTime::now", "Utc::now"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a folder, by its path from the root.
fn sources(folder: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.insert(name(&path), std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned()
}

/// The production sources of a room, without their tests.
fn room(room: &str) -> BTreeMap<String, String> {
    let is_test = |path: &str| {
        path.split('/')
            .any(|part| ["tests", "tests.rs", "testing.rs", "simulation", "faults.rs", "rules.rs"].contains(&part))
    };
    let all = sources(&format!("{room}/src")).into_iter().filter(|(path, _)| !is_test(path));
    all.map(|(path, text)| (path, without_tests(&text))).collect()
}

fn without_tests(text: &str) -> String {
    let end = text
        .match_indices("#[cfg(test)]")
        .find(|(at, _)| text[*at..].lines().take(9).any(|line| line.starts_with("mod tests {")));
    let code = end.map_or(text, |(at, _)| &text[..at]);
    code.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// Paths below `crate::` in a source; grouped imports are listed one by one.
fn paths(text: &str) -> Vec<Vec<String>> {
    let starts = text
        .match_indices("crate::")
        .filter(|(at, _)| !text[..*at].ends_with(|before: char| before.is_alphanumeric() || "_:".contains(before)));
    starts.flat_map(|(at, _)| tree(&mut text[at + 7..].chars().peekable())).collect()
}

/// One tree of an import: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn tree(text: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Vec<Vec<String>> {
    while text.next_if(|next| next.is_whitespace()).is_some() {}
    if text.next_if_eq(&'{').is_some() {
        let mut all = Vec::new();
        loop {
            while text.next_if(|next| next.is_whitespace() || *next == ',').is_some() {}
            match text.peek() {
                Some('}') | None => break,
                Some(_) => all.extend(tree(text)),
            }
        }
        text.next();
        return all;
    }
    let mut word = String::new();
    while let Some(next) = text.next_if(|next| next.is_alphanumeric() || "_*#".contains(*next)) {
        word.push(next);
    }
    if word.is_empty() {
        text.next();
        return Vec::new();
    }
    if text.next_if_eq(&':').is_some() && text.next_if_eq(&':').is_some() {
        let below = tree(text);
        let first = vec![word];
        return if below.is_empty() {
            vec![first]
        } else {
            below.into_iter().map(|path| [first.clone(), path].concat()).collect()
        };
    }
    vec![vec![word]]
}

/// The module of a file, as the parts of its path.
fn module(path: &str) -> Vec<String> {
    let inside = path.split_once("src/").unwrap().1.trim_end_matches(".rs");
    inside.split('/').filter(|part| !["lib", "main"].contains(part)).map(str::to_owned).collect()
}

/// Files of a room, with the files that each names.
fn graph(files: &BTreeMap<String, String>) -> BTreeMap<Vec<String>, BTreeSet<Vec<String>>> {
    let modules: BTreeSet<_> = files.keys().map(|path| module(path)).collect();
    let owner = |mut path: Vec<String>| {
        while !path.is_empty() && !modules.contains(&path) {
            path.pop();
        }
        path
    };
    let known = |(path, text): (&String, &String)| {
        (module(path), paths(text).into_iter().map(owner).filter(|owner| !owner.is_empty()).collect())
    };
    files.iter().map(known).collect()
}

/// The folders in which these files lie.
fn folders<'a>(files: impl Iterator<Item = &'a Vec<String>>) -> BTreeSet<String> {
    files.filter(|file| file.len() > 1).map(|file| file[0].clone()).collect()
}

#[test]
fn rooms_depend_on_each_other_as_pictured() {
    for (room, allowed) in ROOMS {
        let manifest = std::fs::read_to_string(root().join(room).join("Cargo.toml")).unwrap();
        let used = manifest.split("[dev-dependencies]").next().unwrap();
        for (other, _) in ROOMS {
            let is_used = used.contains(&format!("\nbluelake-{other}"));
            assert!(!is_used || other == room || allowed.contains(&other), "{room} may not depend on {other}");
        }
    }
}

#[test]
fn folders_know_those_that_they_may_know() {
    for (room_name, folder, allowed) in FOLDERS {
        let files = room(room_name);
        let folders = folders(graph(&files).keys());
        assert!(folders.contains(folder), "{room_name} has no folder {folder}");
        for (file, known) in
            graph(&files).into_iter().filter(|(file, _)| file.first().is_some_and(|first| first == folder))
        {
            for other in known.iter().filter(|other| other[0] != folder && folders.contains(&other[0])) {
                assert!(
                    allowed.contains(&other[0].as_str()),
                    "{room_name}: {} may not know {}",
                    file.join("/"),
                    other.join("/")
                );
            }
        }
    }
}

#[test]
fn folders_know_only_those_above_them() {
    for room_name in LAYERED {
        let mut above = BTreeSet::new();
        for (_, folder, allowed) in FOLDERS.into_iter().filter(|(name, ..)| *name == room_name) {
            let unlisted = allowed.iter().find(|other| !above.contains(*other));
            assert_eq!(unlisted, None, "{room_name}: {folder} stands above it");
            above.insert(folder);
        }
        let files = room(room_name);
        let all: BTreeSet<String> = folders(graph(&files).keys());
        assert!(all.iter().all(|folder| above.contains(folder.as_str())), "{room_name} has {all:?}");
    }
}

#[test]
fn no_ring_goes_through_files_of_different_folders() {
    for (room_name, _) in ROOMS {
        let files = graph(&room(room_name));
        let folders = folders(files.keys());
        for start in files.keys().filter(|file| file.first().is_some_and(|first| folders.contains(first))) {
            let is_foreign = |other: &Vec<String>| other[0] != start[0] && folders.contains(&other[0]);
            let foreign = reached(&files, start).into_iter().filter(is_foreign);
            let ring: Vec<String> =
                foreign.filter(|other| reached(&files, other).contains(start)).map(|other| other.join("/")).collect();
            assert!(ring.is_empty(), "{room_name}: {} and {ring:?} know each other", start.join("/"));
        }
    }
}

/// The files that a file names, except its own parents and children: a folder and its files are one.
fn apart(files: &BTreeMap<Vec<String>, BTreeSet<Vec<String>>>, file: &[String]) -> Vec<Vec<String>> {
    let known = files.get(file).into_iter().flatten();
    known.filter(|other| !other.starts_with(file) && !file.starts_with(other)).cloned().collect()
}

/// All files that a file names, directly or indirectly.
fn reached(files: &BTreeMap<Vec<String>, BTreeSet<Vec<String>>>, file: &[String]) -> BTreeSet<Vec<String>> {
    let mut reached = BTreeSet::new();
    let mut next = apart(files, file);
    while let Some(file) = next.pop() {
        if reached.insert(file.clone()) {
            next.extend(apart(files, &file));
        }
    }
    reached
}

#[test]
fn files_that_call_themselves_pure_are() {
    let mut pure = 0;
    for (room_name, _) in ROOMS {
        for (path, text) in sources(&format!("{room_name}/src")) {
            let says_so = text.lines().take_while(|line| line.starts_with("//!")).any(|line| line.contains("Pure"));
            if says_so {
                pure += 1;
                let code = without_tests(&text);
                let found = IMPURE.iter().find(|word| code.contains(**word));
                assert_eq!(found, None, "{path} calls itself pure");
            }
        }
    }
    assert!(pure > 10, "only {pure} files call themselves pure");
}

#[test]
fn no_type_of_deltalake_leaves_the_lake() {
    for room_name in ["care", "deliver", "ingest", "queries", "transform", "generate", "embedded-kinesis", "."] {
        for (path, text) in room(room_name) {
            let uses = text
                .lines()
                .any(|line| line.trim_start().starts_with("use deltalake") || line.contains(" deltalake::"));
            assert!(!uses, "{path} uses deltalake");
        }
    }
}

#[test]
fn files_are_short_and_folders_small() {
    let mut per_folder: BTreeMap<String, usize> = BTreeMap::new();
    for (path, text) in sources(".").into_iter().filter(|(path, _)| !path.starts_with("target")) {
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{path} has {lines} lines");
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        *per_folder.entry(folder.to_owned()).or_default() += 1;
    }
    for (folder, files) in per_folder {
        assert!(files <= FILES_MAX, "{folder} has {files} files");
    }
}

#[test]
fn imports_are_read_one_by_one() {
    let text = "use crate::{\n    a::{b, c::D},\n    e,\n};\nlet x = crate::f::g(1);";
    let found: Vec<String> = paths(text).iter().map(|path| path.join("::")).collect();
    assert_eq!(found, ["a::b", "a::c::D", "e", "f::g"]);
    assert_eq!(
        without_tests("use crate::a; // crate::b\n#[cfg(test)]\nmod tests {\nuse crate::c;\n}"),
        "use crate::a; "
    );
}

#[test]
fn every_file_is_a_module_of_its_crate() {
    let files = sources(".");
    let mut named: BTreeSet<String> = BTreeSet::new();
    for (path, text) in &files {
        let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
        let own = if ["lib.rs", "main.rs"].contains(&file) { folder.to_owned() } else { path.replace(".rs", "") };
        let words = text.lines().filter_map(|line| line.trim().strip_suffix(';')?.split_once("mod "));
        let modules = words.filter(|(before, _)| before.is_empty() || before.starts_with("pub"));
        for (_, module) in modules {
            // A test's root has its modules beside it.
            named.extend([format!("{own}/{module}.rs"), format!("{folder}/{module}.rs")]);
        }
    }
    let is_root = |path: &str| {
        let manifest = |folder: &str| std::fs::read_to_string(root().join(folder).join("Cargo.toml")).is_ok();
        let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
        let (above, last) = folder.rsplit_once('/').unwrap_or(("", folder));
        ["lib.rs", "main.rs", "build.rs"].contains(&file)
            || ["bin", "examples"].contains(&last)
            || (["tests", "benches"].contains(&last) && manifest(above))
    };
    let lost: Vec<_> = files.keys().filter(|path| !is_root(path) && !named.contains(*path)).collect();
    assert!(lost.is_empty(), "no module names {lost:?}");
}
