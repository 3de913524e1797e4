//! Collects `reports/*.sql`, so that adding a file adds a report.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("reports");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut entries = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "sql") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            entries.push(format!("    ({name:?}, include_str!({path:?})),\n"));
        }
    }
    entries.sort();
    let list = format!("const EMBEDDED_REPORTS: &[(&str, &str)] = &[\n{}];\n", entries.concat());
    fs::write(Path::new(&env::var("OUT_DIR")?).join("embedded_reports.rs"), list)?;
    Ok(())
}
