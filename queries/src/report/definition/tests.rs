#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap
)]

mod expired;

use std::collections::{BTreeMap, BTreeSet};

use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Datelike, Days, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use serde_json::{Value, json};

use super::*;
use crate::error::{QueryError, Refusal};
use crate::header::parameter::ParameterKind;
use crate::report::catalog::ReportCatalog;
use crate::session::options::QueryOptions;
use crate::testing::{chain, event, options, report_rows as report_csv, session, tables};

/// Reports that count the view of their name by period.
const OF_ONE_VIEW: [&str; 3] = ["donations", "interactions", "redemptions"];

/// A small generator with the same numbers each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn one_of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len() as u64) as usize]
    }
}

struct World {
    transactions: Vec<Value>,
}

/// Transactions of all types around two ends of month, a February without a leap day, a daylight-saving change and
/// midnights.
fn world() -> World {
    let mut numbers = Numbers(7);
    let start: DateTime<Utc> = "2026-02-20T00:00:00Z".parse().unwrap();
    let mut transactions = Vec::new();
    for index in 0..1_200 {
        let mut at = start + TimeDelta::seconds(numbers.below(30 * 86_400) as i64);
        if index % 10 == 0 {
            // On midnight and on the microsecond before it, in UTC and in Chicago's two offsets.
            let hours = [0, 5, 6][numbers.below(3) as usize];
            at = at.date_naive().and_hms_opt(hours, 0, 0).unwrap().and_utc();
            at -= TimeDelta::microseconds(numbers.below(2) as i64);
        }
        let points = numbers.below(20) + 1;
        let fields = match index % 4 {
            0 => {
                json!({"civilian_id": format!("c{}", numbers.below(15)), "officer_id": format!("o{}", numbers.below(4)),
                "method": numbers.one_of(&["qr", "nearby", "event"]), "points_civilian": points,
                "points_officer": numbers.below(9)})
            }
            1 => {
                json!({"donor_id": format!("c{}", numbers.below(15)), "recipient_id": format!("x{}", numbers.below(5)),
                "donor_kind": numbers.one_of(&["civilian", "police_officer"]),
                "recipient_kind": numbers.one_of(&["charity", "family_in_need"]), "points": points})
            }
            2 => {
                let goods = numbers.below(2) == 0;
                let cents = numbers.below(4) > 0;
                json!({"redeemer_id": format!("c{}", numbers.below(15)), "redeemer_kind": "civilian",
                    "provider_id": "p", "provider_kind": if goods { "merchant" } else { "municipality" },
                    "purpose": if goods { "goods" } else { numbers.one_of(&["fine", "fee"]) }, "points": points,
                    "amount_cents": cents.then_some(points * 25),
                    "currency": match numbers.below(5) { 0 => None, 1 => Some("CAD"), _ => Some("USD") }})
            }
            _ => json!({"from_officer_id": "o1", "to_officer_id": "o2", "points": points}),
        };
        let kind = ["interaction", "donation", "redemption", "transfer"][index % 4];
        transactions.push(event(kind, &at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true), fields));
    }
    World { transactions }
}

#[derive(Clone, Copy)]
struct Choice {
    by: &'static str,
    zone: Tz,
    from: Option<&'static str>,
    to: Option<&'static str>,
}

impl World {
    /// The events of a type that a choice covers, grouped by period and the given columns; computed without SQL.
    fn groups(&self, choice: Choice, event_type: &str, keys: &[&str]) -> BTreeMap<Vec<String>, Vec<&Value>> {
        let day = |text: Option<&str>| text.map(|text| text.parse::<NaiveDate>().unwrap());
        let mut groups = BTreeMap::<Vec<String>, Vec<&Value>>::new();
        for event in self.transactions.iter().filter(|event| event["event_type"] == event_type) {
            let at: DateTime<Utc> = event["occurred_at"].as_str().unwrap().parse().unwrap();
            let date = at.with_timezone(&choice.zone).date_naive();
            if day(choice.from).is_some_and(|from| date < from) || day(choice.to).is_some_and(|to| date > to) {
                continue;
            }
            let period = match choice.by {
                "day" => date,
                "week" => date - Days::new(u64::from(date.weekday().num_days_from_monday())),
                "month" => date.with_day(1).unwrap(),
                "quarter" => NaiveDate::from_ymd_opt(date.year(), (date.month() - 1) / 3 * 3 + 1, 1).unwrap(),
                _ => NaiveDate::from_ymd_opt(date.year(), 1, 1).unwrap(),
            };
            let mut key = vec![period.to_string()];
            key.extend(keys.iter().map(|name| event[*name].as_str().unwrap().to_owned()));
            groups.entry(key).or_default().push(event);
        }
        groups
    }
}

fn sum(events: &[&Value], field: &str) -> u64 {
    events.iter().filter_map(|event| event[field].as_u64()).sum()
}

fn distinct(events: &[&Value], field: &str) -> usize {
    events.iter().map(|event| event[field].as_str().unwrap()).collect::<BTreeSet<_>>().len()
}

/// A number of hundredths with two decimals.
fn hundredths(value: u64) -> String {
    format!("{}.{:02}", value / 100, value % 100)
}

fn expected(world: &World, choice: Choice, report: &str) -> Vec<String> {
    let rows = |event_type: &str, keys: &[&str], values: &dyn Fn(&[&Value]) -> Vec<String>| -> Vec<String> {
        let groups = world.groups(choice, event_type, keys);
        let line = |(key, events): (Vec<String>, Vec<&Value>)| [key, values(&events)].concat().join(",");
        groups.into_iter().map(line).collect()
    };
    match report {
        "donations" => rows("donation", &["donor_kind", "recipient_kind"], &|events| {
            let (count, points) = (events.len() as u64, sum(events, "points"));
            let mut sizes: Vec<_> = events.iter().map(|event| event["points"].as_u64().unwrap()).collect();
            sizes.sort_unstable();
            let (low, high) = (sizes[(sizes.len() - 1) / 2], sizes[sizes.len() / 2]);
            vec![
                count.to_string(),
                points.to_string(),
                distinct(events, "donor_id").to_string(),
                distinct(events, "recipient_id").to_string(),
                hundredths((200 * points + count) / (2 * count)),
                hundredths((low + high) * 50),
            ]
        }),
        "interactions" => rows("interaction", &["method"], &|events| {
            let (civilian, officer) = (sum(events, "points_civilian"), sum(events, "points_officer"));
            vec![
                events.len().to_string(),
                distinct(events, "civilian_id").to_string(),
                distinct(events, "officer_id").to_string(),
                civilian.to_string(),
                officer.to_string(),
                (civilian + officer).to_string(),
            ]
        }),
        _ => rows("redemption", &["provider_kind", "purpose"], &|events| {
            let (foreign, dollars): (Vec<&Value>, Vec<&Value>) =
                events.iter().partition(|event| event["currency"] == "CAD");
            let stated = dollars.iter().any(|event| event["amount_cents"].is_u64());
            vec![
                events.len().to_string(),
                sum(events, "points").to_string(),
                if stated { sum(&dollars, "amount_cents").to_string() } else { String::new() },
                foreign.iter().filter(|event| event["amount_cents"].is_u64()).count().to_string(),
                distinct(events, "redeemer_id").to_string(),
                dollars.iter().filter(|event| event["amount_cents"].is_u64()).count().to_string(),
                dollars
                    .iter()
                    .filter(|event| event["amount_cents"].is_u64())
                    .map(|event| event["points"].as_u64().unwrap())
                    .sum::<u64>()
                    .to_string(),
            ]
        }),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_report_agrees_with_numbers_computed_without_sql() {
    let world = world();
    let days = [
        (None, None),
        (Some("2026-02-28"), Some("2026-03-08")),
        (Some("2026-03-01"), Some("2026-03-01")),
        (None, Some("2026-02-28")),
        (Some("2026-03-08"), None),
        (Some("2030-01-01"), None),
    ];
    for zone in [Tz::UTC, Tz::America__Chicago, Tz::Pacific__Kiritimati] {
        let options = QueryOptions { time_zone: zone, ..options() };
        let session = QuerySession::new(tables(&[], &world.transactions), options).await.unwrap();
        let catalog = ReportCatalog::embedded().unwrap();
        for report in OF_ONE_VIEW.map(|name| catalog.get(name).unwrap()) {
            for by in ["day", "week", "month", "quarter", "year"] {
                for (from, to) in days {
                    let parameters =
                        ReportParameters::new().with("by", by).with_optional("from", from).with_optional("to", to);
                    let result = report.run(&session, &parameters).await.unwrap();
                    let rows = expected(&world, Choice { by, zone, from, to }, report.name());
                    let found = report_csv(&result);
                    assert_eq!(found[1..], rows, "{} by {by} in {zone} from {from:?} to {to:?}", report.name());
                    assert!(from != Some("2026-03-01") || !rows.is_empty(), "the case is empty");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_report_says_what_it_was_computed_from() {
    let session = session(&[], &[]).await;
    let catalog = ReportCatalog::embedded().unwrap();
    let parameters = ReportParameters::new().with("from", "2026-01-01");
    let result = catalog.get("donations").unwrap().run(&session, &parameters).await.unwrap();
    let provenance = serde_json::to_value(&result.provenance).unwrap();
    assert_eq!(
        provenance,
        json!({
            "report": "donations",
            "parameters": [
                {"name": "from", "value": "2026-01-01"},
                {"name": "to", "value": null},
                {"name": "by", "value": "day"},
            ],
            "time_zone": "UTC",
            "as_of": null,
            "tables": [{"name": "transactions", "version": null}],
            "streams": [],
            "period": {"first_day": "2026-01-01", "last_day": null, "ends_at": null, "lake_first_day": null,
                "lake_last_day": null, "complete": null, "events": 0, "late_events": null, "rejected_events": null},
            "bluelake_version": env!("CARGO_PKG_VERSION"),
        })
    );
    assert_eq!(result.title, "Donations");
    assert_eq!(result.columns.len(), result.schema.fields().len());
}

#[tokio::test]
async fn a_report_on_empty_tables_is_empty() {
    let empty = session(&[], &[]).await;
    let bare = QuerySession::new(Vec::new(), options()).await.unwrap();
    let catalog = ReportCatalog::embedded().unwrap();
    for report in OF_ONE_VIEW.map(|name| catalog.get(name).unwrap()) {
        let result = report.run(&empty, &ReportParameters::new()).await.unwrap();
        assert_eq!(report_csv(&result).len(), 1, "{}", report.name());
        let message = chain(&report.run(&bare, &ReportParameters::new()).await.unwrap_err());
        let expected = format!("the view {} is not available: the lake has no table transactions", report.name());
        assert_eq!(message, expected);
    }
}

/// Events of the most points and cents in 64 bits; the contract allows far fewer, but a lake may be older.
fn huge(kind: &str, number: i64) -> Value {
    let most = i64::MAX;
    let at = format!("2026-01-01T00:00:{number:02}Z");
    let fields = match kind {
        "interaction" => json!({"civilian_id": "a", "officer_id": "o", "method": "qr", "points_civilian": most,
            "points_officer": most, "zip_code": "60601"}),
        "donation" => {
            json!({"donor_id": "a", "donor_kind": "civilian", "recipient_id": "x", "recipient_kind": "charity",
            "points": most, "zip_code": "60601"})
        }
        "redemption" => json!({"redeemer_id": "x", "redeemer_kind": "charity", "provider_id": "p",
            "provider_kind": "merchant", "purpose": "goods", "points": most, "amount_cents": most, "zip_code": "60601",
            "items": [{"sku": "s", "name": "Tea", "quantity": most, "points": most}]}),
        _ => json!({"from_officer_id": "o", "to_officer_id": "q", "points": most}),
    };
    event(kind, &at, fields)
}

/// Parameters of a report, with this user for one that is about a user.
fn of_user(report: &Report, user: &str) -> ReportParameters {
    let known = report.header().parameters.iter().filter(|parameter| parameter.kind == ParameterKind::User);
    known.fold(ReportParameters::new(), |given, parameter| given.with(&parameter.name, user))
}

#[tokio::test]
async fn sums_beyond_64_bits_are_exact() {
    let kinds = ["interaction", "donation", "redemption", "transfer"];
    let mut transactions: Vec<_> = kinds.iter().flat_map(|kind| (0..3).map(|number| huge(kind, number))).collect();
    transactions.push(huge("interaction", 3));
    let session = session(&[], &transactions).await;
    let catalog = ReportCatalog::embedded().unwrap();
    let (one, three, eight) = ("9223372036854775807", "27670116110564327421", "73786976294838206456");
    let (two, four, five) = ("18446744073709551614", "36893488147419103228", "46116860184273879035");
    let day = "2026-01-01";
    let rows: [(&str, &str, Vec<String>); 17] = [
        ("donations", "", vec![format!("{day},civilian,charity,3,{three},1,1,{one}.00,{one}.00")]),
        ("gift_sizes", "", vec![format!("{day},civilian,3,1,{one}.00,{one}.00,{one}.00,{one}.00,{one},3.00")]),
        ("interactions", "", vec![format!("{day},qr,4,1,1,{four},{four},{eight}")]),
        ("interactions_by_zip_code", "", vec![format!("60601,4,1,1,{four},{four},1.0000")]),
        ("officer_connections", "", vec![format!("1,o,,4,1,1,{four},4.00")]),
        ("repeat_connections", "", vec![format!("{day},a,o,4,3,2026-01-01T00:00:00Z,2026-01-01T00:00:03Z,{eight}")]),
        ("points_liability", "", vec![format!("{day},{eight},{three},{five},{five},{three}")]),
        ("redemption_rate", "by=day", vec![format!("{day},{eight},{three},0.3750,{eight},{three},0.3750")]),
        ("donated_share", "by=day", vec![format!("{day},{eight},{three},0.3750,{eight},{three},0.3750")]),
        ("redemptions", "", vec![format!("{day},merchant,goods,3,{three},{three},0,1,3,{three}")]),
        ("redemptions_by_provider", "", vec![format!("{day},p,,merchant,goods,3,{three},{three},0,1,3,{three}")]),
        (
            "month_end",
            "",
            vec![
                format!("{day},charity,0,0,{three},{three},0,0,0,,"),
                format!("{day},civilian,0,{four},0,0,{three},0,{one},,"),
                format!("{day},police_officer,0,{four},0,0,0,0,{four},,"),
            ],
        ),
        ("top_items", "", vec![format!("1,p,s,Tea,{three},{three},3")]),
        ("top_recipients", "", vec![format!("1,x,,charity,3,{three},1,1.0000")]),
        ("zip_code_summary", "", vec![format!("60601,4,{eight},3,{three},3,{three},{three},1,1,1.0000,3,{three}")]),
        ("breakage", "", vec![format!("0 to 30,{five},3,1.0000")]),
        ("earning_to_redeeming", "", vec![format!("{day},charity,{three},0,0.00,0.00")]),
    ];
    for (report, by, expected) in rows {
        let parameters = ReportParameters::new().with_optional("by", by.strip_prefix("by="));
        let result = catalog.get(report).unwrap().run(&session, &parameters).await;
        let found = result.map_err(|error| format!("{report}: {}", chain(&error))).unwrap();
        assert_eq!(report_csv(&found)[1..], expected, "{report}");
    }
    for report in catalog.reports() {
        let needs_user = report.name() == "user_statement";
        let parameters = of_user(report, "q");
        let result = report.run(&session, &parameters).await;
        let found = result.map_err(|error| format!("{}: {}", report.name(), chain(&error))).unwrap();
        if needs_user {
            let balances = report_csv(&found);
            assert!(balances.iter().any(|row| row.contains(&format!(",{two},"))), "{balances:?}");
        }
    }
    for one in crate::report::reconcile::reconcile(&session, &catalog).await.unwrap() {
        assert!(one.is_equal(), "{one:?}");
    }
}

#[tokio::test]
async fn values_of_parameters_are_data_and_never_sql() {
    let session = session(&[], &[]).await;
    let catalog = ReportCatalog::embedded().unwrap();
    for value in ["day') AS DATE), 1 --", "'", "$from", "day; DROP TABLE transactions"] {
        for name in ["by", "from"] {
            let parameters = ReportParameters::new().with(name, value);
            let error = catalog.get("donations").unwrap().run(&session, &parameters).await.unwrap_err();
            assert!(matches!(error, ReportError::Parameter { .. }), "{}", chain(&error));
        }
    }
    let header = "-- title: T\n-- question: Q?\n-- audience: A\n-- parameter: word (text, required) W.\n\
                  -- parameter: least (integer, default 2) L.\n-- column: word (text) W.\n-- column: more (count) M.\n\n";
    let report =
        Report::parse("echo", "echo.sql", &format!("{header}SELECT $word AS word, $least + 1 AS more")).unwrap();
    let parameters = ReportParameters::new().with("word", "'; DROP TABLE x --");
    let result = report.run(&session, &parameters).await.unwrap();
    assert_eq!(report_csv(&result), ["word,more", "'; DROP TABLE x --,3"]);
}

#[tokio::test]
async fn a_bad_or_writing_report_is_refused() {
    let session = session(&[], &[]).await;
    let header = "-- title: T\n-- question: Q?\n-- audience: A\n-- column: n (count) N.\n\n";
    let parse = |sql: &str| Report::parse("mine", "mine.sql", &format!("{header}{sql}"));
    let run = async |sql: &str| parse(sql).unwrap().run(&session, &ReportParameters::new()).await.unwrap_err();
    let message = chain(&run("SELECT 1 AS m").await);
    assert_eq!(message, "the report mine returns the columns m but its header says n: correct the header or the SQL");
    assert!(matches!(
        run("DROP TABLE transactions").await,
        ReportError::Query(QueryError::Refused(Refusal::Forbidden { .. }))
    ));
    assert!(matches!(
        run("COPY (SELECT 1 AS n) TO 'x.csv'").await,
        ReportError::Query(QueryError::Refused(Refusal::Forbidden { .. }))
    ));
    assert!(parse("SELECT 1 AS n, 'open").unwrap_err().to_string().starts_with("mine.sql:6: "));
}

#[tokio::test]
async fn every_report_answers_on_small_lakes() {
    let world = world();
    let lakes = [session(&[], &[]).await, session(&[], &world.transactions).await];
    let mut failures = Vec::new();
    for report in ReportCatalog::embedded().unwrap().reports() {
        let needs_user = report.header().parameters.iter().any(|parameter| parameter.kind == ParameterKind::User);
        let user = if report.name() == "settlement" { "p" } else { "c1" };
        let parameters = of_user(report, user);
        for (lake, name) in lakes.iter().zip(["empty", "small"]) {
            match report.run(lake, &parameters).await {
                Ok(result) => {
                    let rows: usize = result.batches.iter().map(RecordBatch::num_rows).sum();
                    // These reports count steps that nobody took, and things that this world lacks.
                    let others = ["onboarding_funnel", "rejected_events", "duplicates", "top_items"];
                    if (name == "empty") != (rows == 0) && !others.contains(&report.name()) {
                        failures.push(format!("{}: {rows} rows on the {name} lake", report.name()));
                    }
                }
                Err(ReportError::Parameter { fault, .. }) if needs_user && name == "empty" => {
                    assert_eq!(fault, format!("the lake has no user {user:?}"));
                }
                Err(error) => failures.push(format!("{} on the {name} lake: {}", report.name(), chain(&error))),
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test]
async fn a_statement_of_an_unknown_user_is_refused() {
    let user = event("user_created", "2026-01-01T00:00:00Z", json!({"user_id": "u"}));
    let bought = json!({"redeemer_id": "c", "redeemer_kind": "civilian", "provider_id": "p", "provider_kind": "merchant",
        "purpose": "goods", "points": 1});
    let lake = session(&[user], &[event("redemption", "2026-01-02T00:00:00Z", bought)]).await;
    let catalog = ReportCatalog::embedded().unwrap();
    let statement = catalog.get("user_statement").unwrap();
    for known in ["u", "c", "p"] {
        statement.run(&lake, &ReportParameters::new().with("user", known)).await.unwrap();
    }
    for unknown in ["nobody", "U", "u ", "' OR true --"] {
        let error = statement.run(&lake, &ReportParameters::new().with("user", unknown)).await.unwrap_err();
        let expected = format!("parameter user of the report user_statement: the lake has no user {unknown:?}");
        assert_eq!(error.to_string(), expected);
    }
}

#[tokio::test]
async fn every_result_names_its_periods_days() {
    let gift = |at| {
        let fields = json!({"donor_id": "a", "donor_kind": "civilian", "recipient_id": "x", "recipient_kind": "charity",
            "points": 1});
        event("donation", at, fields)
    };
    let events = [gift("2026-10-29T03:00:00Z"), gift("2026-11-27T12:00:00Z")];
    let catalog = ReportCatalog::embedded().unwrap();
    for (zone, report, from, to, expected) in [
        (Tz::UTC, "donations", None, None, "2026-10-29 to 2026-11-27 (all of the lake), by day"),
        (Tz::America__Chicago, "donations", None, None, "2026-10-28 to 2026-11-27 (all of the lake), by day"),
        (Tz::UTC, "donations", Some("2026-11-01"), None, "2026-11-01 to 2026-11-27 (last day of the lake), by day"),
        (Tz::UTC, "donations", None, Some("2026-11-01"), "2026-10-29 (first day of the lake) to 2026-11-01, by day"),
        (Tz::UTC, "donations", Some("2026-11-01"), Some("2026-11-02"), "2026-11-01 to 2026-11-02, by day"),
        (Tz::UTC, "donations", Some("2027-01-01"), None, "2027-01-01 to 2026-11-27 (last day of the lake), by day"),
        (Tz::UTC, "breakage", None, None, "to 2026-11-27 (last day of the lake), days"),
    ] {
        let options = QueryOptions { time_zone: zone, ..options() };
        let session = QuerySession::new(tables(&[], &events), options).await.unwrap();
        let parameters = ReportParameters::new().with_optional("from", from).with_optional("to", to);
        let result = catalog.get(report).unwrap().run(&session, &parameters).await.unwrap();
        let scope = result.provenance.scope();
        assert!(scope.starts_with(expected), "{scope}");
    }
}

#[test]
fn a_byte_order_mark_before_reports_is_skipped() {
    let header = "-- title: T\n-- question: Q?\n-- audience: A\n-- column: n (count) N.\n\n";
    let report = Report::parse("mine", "mine.sql", &format!("\u{feff}{header}SELECT 1 AS n")).unwrap();
    assert_eq!((report.header().title.as_str(), report.sql().starts_with("-- title")), ("T", true));
}
