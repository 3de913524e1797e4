//! `bluelake deliver`: the tables in another store, and the proof that it holds the same.

mod target;

use std::time::Duration;

use anyhow::Result;
use bluelake_deliver::{DeliverError, Delivered, Delivery, DeliveryOptions, Source, Standing, TableVerdict, Target};
use clap::{Args, Subcommand};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::Session;
use super::ingest::cancel_on_signal;
use crate::config::{TargetKind, TargetSettings};
use crate::operate::delivery::watch;
use crate::terminal::failure::{Outcome, WrongUsage};
use crate::terminal::output;

/// A run that should end puts up with faults that may pass for this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Arguments of `bluelake deliver`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, after_help = EXAMPLES)]
pub(crate) struct DeliverArguments {
    #[command(subcommand)]
    command: Option<DeliverCommand>,
    /// The target: the name of a [[target]] in bluelake.toml
    #[arg(value_name = "NAME", required = true)]
    name: Option<String>,
    /// Stop when the target holds what the lake did at the start
    #[arg(long)]
    once: bool,
}

/// Other commands about targets.
#[derive(Debug, Subcommand)]
enum DeliverCommand {
    /// Say which version of each table the targets hold, and how far they are behind
    Status,
    /// Compare a target with the lake, row by row
    Verify {
        /// The target
        name: String,
    },
    /// Load a target anew beside what is in use, and put it in its place at once
    Rebuild {
        /// The target
        name: String,
    },
}

const EXAMPLES: &str = "\
A target is described in bluelake.toml (docs/delivery.md). It gets each row once: the version that it holds moves in the same \
transaction as the rows, or, in a search server, when all of them are settled. Run it again, or after a crash, and it goes on there. \
Several at once are safe.
Ctrl-C or SIGTERM ends it with exit code 0; a step that was not taken in full is taken again.
Exit code 3 when the target must be rebuilt, differs from the lake, or took values as null that do not fit (Redshift).

Examples:
  bluelake deliver warehouse                  until Ctrl-C or SIGTERM
  bluelake deliver warehouse --once           for a scheduled job
  bluelake deliver status
  bluelake deliver verify warehouse
  bluelake deliver rebuild warehouse";

/// Delivers, or says how it stands.
pub(crate) async fn run(session: &Session, arguments: DeliverArguments) -> Result<Outcome> {
    let outcome = match (arguments.command, arguments.name) {
        (Some(DeliverCommand::Status), _) => status(session).await,
        (Some(DeliverCommand::Verify { name }), _) => verify(session, &name).await,
        (Some(DeliverCommand::Rebuild { name }), _) => deliver(session, &name, true, true).await,
        (None, Some(name)) => deliver(session, &name, arguments.once, false).await,
        (None, None) => return Err(WrongUsage::new("name the target").into()),
    };
    match outcome {
        Err(error) if error.downcast_ref::<DeliverError>().is_some_and(DeliverError::needs_rebuild) => {
            tracing::error!("{}", bluelake_lake::causes(error.as_ref()));
            Ok(Outcome::Incomplete)
        }
        other => other,
    }
}

async fn deliver(session: &Session, name: &str, once: bool, rebuild: bool) -> Result<Outcome> {
    let settings = target(session, name)?;
    let mut delivery = open(session, settings, once).await?;
    let _served = watch(delivery.progress(), settings.tables.clone(), session.config.deliver.listen).await?;
    let shutdown = CancellationToken::new();
    let signals = tokio::spawn(cancel_on_signal(shutdown.clone(), "what is not committed is not delivered"));
    let delivered = if rebuild { delivery.rebuild(&shutdown).await } else { delivery.run(&shutdown).await };
    signals.abort();
    let delivered = delivered?;
    if session.json {
        output::json(&Summary { target: name, delivered: &delivered })?;
    } else {
        output::line(describe(&delivered))?;
    }
    Ok(if delivered.losses == 0 { Outcome::Done } else { Outcome::Incomplete })
}

async fn verify(session: &Session, name: &str) -> Result<Outcome> {
    let settings = target(session, name)?;
    let verdicts = open(session, settings, true).await?.verify().await?;
    if session.json {
        output::json(&Verified {
            target: name,
            equal: verdicts.iter().all(TableVerdict::is_equal),
            tables: &verdicts,
        })?;
    } else {
        output::line(found(name, &verdicts))?;
    }
    Ok(if verdicts.iter().all(TableVerdict::is_equal) { Outcome::Done } else { Outcome::Incomplete })
}

async fn status(session: &Session) -> Result<Outcome> {
    if session.config.deliver.targets.is_empty() {
        return Err(no_target(session, None).into());
    }
    let mut rows = Vec::new();
    let mut is_whole = true;
    for settings in &session.config.deliver.targets {
        match standings(session, settings).await {
            Ok(standings) => {
                is_whole &= standings.iter().all(|(_, standing)| standing.held.is_some());
                rows.extend(standings.iter().map(|(source, standing)| StatusRow::of(settings, source, standing)));
            }
            Err(error) => {
                is_whole = false;
                rows.push(StatusRow {
                    target: &settings.name,
                    problem: Some(bluelake_lake::causes(error.as_ref()).to_string()),
                    ..StatusRow::default()
                });
            }
        }
    }
    if session.json {
        output::json(&rows)?;
    } else {
        output::line(standing_table(&rows))?;
    }
    Ok(if is_whole { Outcome::Done } else { Outcome::Incomplete })
}

async fn standings(session: &Session, settings: &TargetSettings) -> Result<Vec<(Source, Standing)>> {
    Ok(open(session, settings, true).await?.standings().await?)
}

/// The target of this name.
fn target<'a>(session: &'a Session, name: &str) -> Result<&'a TargetSettings> {
    let found = session.config.deliver.targets.iter().find(|target| target.name == name);
    found.ok_or_else(|| no_target(session, Some(name)).into())
}

fn no_target(session: &Session, name: Option<&str>) -> WrongUsage {
    let known: Vec<&str> = session.config.deliver.targets.iter().map(|target| target.name.as_str()).collect();
    let missing = name.map_or_else(|| "there is no target".to_owned(), |name| format!("there is no target {name:?}"));
    if known.is_empty() {
        return WrongUsage::new(format!("{missing}: write a [[target]] into bluelake.toml (docs/delivery.md)"));
    }
    WrongUsage::new(format!("{missing}; bluelake.toml has {}", known.join(", ")))
}

async fn open(session: &Session, settings: &TargetSettings, once: bool) -> Result<Delivery<Box<dyn Target>>> {
    let lake = session.lake().await?;
    let target = target::target(settings, &lake).await?;
    let options = DeliveryOptions {
        tables: settings.tables.clone(),
        columns: settings.columns.clone(),
        once,
        interval: interval(session, settings),
        patience: PATIENCE,
    };
    let delivery = Delivery::new(lake, session.contract()?, target, options);
    let unknown = delivery.unknown_columns();
    if !unknown.is_empty() {
        let message = format!("target {:?}: no table has a column {}", settings.name, unknown.join(", "));
        return Err(WrongUsage::new(message).into());
    }
    Ok(delivery)
}

/// How often the lake is looked at for a target: no oftener than it should commit.
fn interval(session: &Session, settings: &TargetSettings) -> Duration {
    match &settings.kind {
        TargetKind::Redshift(redshift) => session.config.deliver.interval.max(redshift.commit_interval),
        _ => session.config.deliver.interval,
    }
}

#[derive(Serialize)]
struct Summary<'a> {
    target: &'a str,
    #[serde(flatten)]
    delivered: &'a Delivered,
}

#[derive(Serialize)]
struct Verified<'a> {
    target: &'a str,
    equal: bool,
    tables: &'a [TableVerdict],
}

#[derive(Serialize, Default)]
struct StatusRow<'a> {
    target: &'a str,
    table: Option<&'static str>,
    held: Option<u64>,
    newest: Option<u64>,
    loading: Option<u64>,
    rows: Option<u64>,
    losses: Option<u64>,
    problem: Option<String>,
}

impl<'a> StatusRow<'a> {
    fn of(settings: &'a TargetSettings, source: &Source, standing: &Standing) -> Self {
        Self {
            target: &settings.name,
            table: Some(source.name()),
            held: standing.held,
            newest: Some(source.version()),
            loading: standing.loading,
            rows: Some(standing.rows),
            losses: Some(standing.losses),
            problem: None,
        }
    }
}

fn number(number: Option<u64>) -> String {
    number.map_or_else(|| "–".to_owned(), output::grouped)
}

fn describe(delivered: &Delivered) -> String {
    let header = ["table", "version", "newest", "rows delivered", "rows taken away"];
    let rows = delivered.tables.iter().map(|table| {
        let counts = [table.newest, table.rows, table.removed].map(output::grouped);
        [table.table.to_owned(), number(table.version)].into_iter().chain(counts).collect::<Vec<_>>()
    });
    let table = output::table(&header, &[1, 2, 3, 4], rows).to_string();
    match delivered.losses {
        0 => table,
        lost => format!("{table}\n{} values do not fit and are null: the target lists them", output::grouped(lost)),
    }
}

fn standing_table(rows: &[StatusRow<'_>]) -> String {
    let header = ["target", "table", "version", "newest", "behind", "rows", ""];
    let lines = rows.iter().map(|row| {
        let behind = row.held.zip(row.newest).map(|(held, newest)| newest.saturating_sub(held));
        let loading = row.loading.map(|version| format!("loading version {}", output::grouped(version)));
        let lost = row.losses.filter(|losses| *losses > 0);
        let lost = lost.map(|losses| format!("{} values do not fit and are null", output::grouped(losses)));
        let notes: Vec<String> = loading.into_iter().chain(lost).collect();
        vec![
            row.target.to_owned(),
            row.table.unwrap_or("–").to_owned(),
            number(row.held),
            number(row.newest),
            number(behind),
            number(row.rows),
            row.problem.as_deref().map(output::printable).unwrap_or_else(|| notes.join("; ")),
        ]
    });
    output::table(&header, &[2, 3, 4, 5], lines).to_string()
}

/// What a comparison found, for people.
fn found(name: &str, verdicts: &[TableVerdict]) -> String {
    let header = ["table", "version", "partitions", "rows", "differences"];
    let rows = verdicts.iter().map(|verdict| {
        let differences = verdict.differences.len() + verdict.faults.len();
        let counts =
            [verdict.partitions, differences].map(|count| output::grouped(u64::try_from(count).unwrap_or_default()));
        let [partitions, differences] = counts;
        vec![verdict.table.clone(), number(verdict.version), partitions, output::grouped(verdict.rows), differences]
    });
    let mut lines = vec![output::table(&header, &[1, 2, 3, 4], rows).to_string()];
    for verdict in verdicts {
        let table = &verdict.table;
        lines.extend(verdict.faults.iter().map(|fault| output::printable(&format!("{table}: {fault}"))));
        for it in &verdict.differences {
            let [first, day] = &it.partition;
            lines.push(output::printable(&format!(
                "{table}, {first}, {day}: {} (rows: lake {}, target {}; points: lake {}, target {})",
                it.meaning, it.lake_rows, it.target_rows, it.lake_points, it.target_points
            )));
        }
    }
    let equal = verdicts.iter().all(TableVerdict::is_equal);
    lines.push(if equal {
        format!("{name} holds what the lake does.")
    } else {
        format!("{name} DIFFERS from the lake. `bluelake deliver rebuild {name}` loads it anew.")
    });
    lines.join("\n")
}
