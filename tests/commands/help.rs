//! Every command explains itself.

use crate::support::command::Machine;

/// Every command, with words that its help must hold.
const COMMANDS: &[(&[&str], &[&str])] = &[
    (&[], &["Examples:", "Exit codes", "generate", "ingest", "lake", "sql", "report", "schema", "config", "demo"]),
    (
        &["generate"],
        &["Examples:", "--events", "--seed", "--days", "--bad-rate", "--duplicate-rate", "--to", "--truth"],
    ),
    (
        &["ingest"],
        &[
            "Examples:",
            "--once",
            "--init",
            "--fail-on-rejected",
            "--memory-budget",
            "--file-size",
            "--buffer-size",
            "--buffer-age",
            "--start",
            "--fan-out",
            "--worker-id",
            "--max-shards",
            "--on-gap",
            "--listen",
        ],
    ),
    (&["deliver"], &["Examples:", "--once", "--listen", "status", "verify", "rebuild", "Exit code 3"]),
    (&["deliver", "verify"], &["<NAME>"]),
    (&["deliver", "rebuild"], &["<NAME>"]),
    (&["status"], &["Examples:", "--offline", "--max-lag", "--min-headroom", "code 3"]),
    (
        &["lake"],
        &["init", "status", "compact", "vacuum", "expire", "tiers", "history", "diff", "undo", "verify", "repair"],
    ),
    (&["lake", "status"], &["Examples:", "--table", "prices.*", "Exit code 3"]),
    (&["lake", "repair"], &["Examples:", "--dry-run", "Exit code 3"]),
    (&["lake", "history"], &["Examples:", "--table", "--limit", "--since", "--until", "--foreign"]),
    (&["lake", "diff"], &["Examples:", "--table", "<V1>", "<V2>"]),
    (&["lake", "undo"], &["Examples:", "--table", "--dry-run", "--yes", "Exit code 3"]),
    (
        &["lake", "expire"],
        &["Examples:", "--table", "--before", "--keep", "--accept-changed-balances", "--dry-run", "Exit code 3"],
    ),
    (&["lake", "tiers"], &["Examples:", "--dry-run", "Exit code 3"]),
    (&["lake", "compact"], &["Examples:", "--table", "--partition", "--full", "--dry-run", "Exit code 3"]),
    (&["lake", "vacuum"], &["Examples:", "--table", "--dry-run", "--orphans", "care.time-travel"]),
    (
        &["lake", "verify"],
        &["Examples:", "--sample", "--seed", "--window", "--deep", "--remember", "--full", "Exit code 3"],
    ),
    (&["replay"], &["Examples:", "--stream", "--from", "--to", "--allow-partial"]),
    (&["backfill"], &["Examples:", "--stream", "--offline", "--ahead-of-ingest", "code is then 3"]),
    (&["lake", "init"], &["Examples:", "s3://"]),
    (&["describe"], &["Examples:", "points_ledger", "--json"]),
    (&["sql"], &["Examples:", "--file", "--format", "--output", "shell", "standard input", "Ctrl-C"]),
    (&["report"], &["run", "list", "show"]),
    (
        &["report", "run"],
        &[
            "Examples:",
            "--from",
            "--to",
            "--for",
            "--by",
            "--compare",
            "--each",
            "--top",
            "--destination",
            "--presign",
            "xlsx",
            "_manifest.json",
        ],
    ),
    (&["report", "run-all"], &["Examples:", "--for", "--require-complete", "--wait", "[[report]]"]),
    (&["report", "reconcile"], &["Examples:", "--as-of", "Exit code 3"]),
    (&["report", "list"], &["Examples:"]),
    (&["report", "show"], &["Examples:", "--sql"]),
    (&["schema"], &["json-schema", "describe"]),
    (&["schema", "json-schema"], &["Examples:", "transaction-events"]),
    (&["schema", "describe"], &["Examples:"]),
    (&["config"], &["show"]),
    (&["config", "show"], &["Examples:", "bluelake.toml"]),
    (&["demo"], &["Examples:", "--fresh", "--events"]),
    (&["dev-kinesis"], &["Examples", "--port", "AWS_ENDPOINT_URL_KINESIS"]),
];

#[tokio::test]
async fn every_command_has_a_help_with_examples() {
    let machine = Machine::new();
    for (command, parts) in COMMANDS {
        let mut arguments = command.to_vec();
        arguments.push("--help");
        let help = machine.succeed(&arguments).await;
        assert!(help.contains("Usage:") && help.contains("--lake <URL>"), "{command:?}:\n{help}");
        for part in *parts {
            assert!(help.contains(part), "the help of {command:?} lacks {part:?}:\n{help}");
        }
    }
}

#[tokio::test]
async fn the_list_of_this_test_is_complete() {
    let machine = Machine::new();
    for group in [&[][..], &["lake"], &["report"], &["schema"], &["config"]] {
        let mut arguments = group.to_vec();
        arguments.push("-h");
        let help = machine.succeed(&arguments).await;
        let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
        let mut found = 0;
        for line in listed {
            let name = line.split_whitespace().next().unwrap();
            let is_entry = line.starts_with("  ") && !line.starts_with("   ") && name != "help";
            if is_entry {
                found += 1;
                let mut command = group.to_vec();
                command.push(name);
                assert!(COMMANDS.iter().any(|(known, _)| *known == command), "{command:?} is not tested");
            }
        }
        assert!(found > 0, "{help}");
    }
}

#[tokio::test]
async fn the_version_is_the_packages() {
    let version = Machine::new().succeed(&["--version"]).await;
    assert_eq!(version.trim(), format!("bluelake {}", env!("CARGO_PKG_VERSION")));
}
