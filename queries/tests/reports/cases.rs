//! The compared reports, with their worlds and parameters.

use bluelake_generate::GeneratorOptions;
use bluelake_queries::ReportCatalog;
use chrono::NaiveDate;
use chrono_tz::Tz;

use crate::expected::{accounts, across, donations, interactions, lots, media, quality, redemptions};
use crate::support::compare::{Case, Rows, difference, line, run};
use crate::support::facts::Facts;
use crate::support::world::{Delivery, Plan, World};

/// Computes the rows of a report without SQL.
type Compute = fn(&Facts, &Case) -> Rows;

/// A report, the computation, and choices of parameters; `@1`, `@2`, … stand for days of the world, by their number.
const REPORTS: [(&str, Compute, &[&str]); 30] = [
    (
        "account_statement",
        accounts::account_statement,
        &[
            "account=@charity",
            "account=@family by=week from=@3 to=@8",
            "account=@officer",
            "account=@busiest by=day to=@9",
            "account=@charity from=@400",
        ],
    ),
    ("active_users", across::active_users, BY),
    ("breakage", lots::breakage, &["", "to=@3", "to=@9", "to=@20", "to=2027-12-31"]),
    ("cohort_retention", across::cohort_retention, &["", "weeks=3", "weeks=0", "from=@4 to=@11 weeks=3", "from=@9"]),
    ("donated_share", donations::donated_share, BY),
    ("donations", donations::donations, BY),
    ("donor_retention", donations::donor_retention, BY),
    ("duplicates", quality::duplicates, DAYS),
    ("earning_to_redeeming", lots::earning_to_redeeming, BY),
    ("fines_and_fees", accounts::fines_and_fees, BY),
    ("gift_sizes", donations::gift_sizes, BY),
    ("interaction_hours", interactions::interaction_hours, DAYS),
    ("interactions", interactions::interactions, BY),
    ("interactions_by_zip_code", interactions::interactions_by_zip_code, DAYS),
    ("lateness", quality::lateness, BY),
    ("month_end", accounts::month_end, MONTH_END),
    ("new_pairs", interactions::new_pairs, BY),
    ("officer_connections", interactions::officer_connections, TOP),
    (
        "onboarding_funnel",
        across::onboarding_funnel,
        &["", "kind=police_officer", "from=@2 to=@5", "from=@3 to=@9 kind=police_officer", "from=@400"],
    ),
    ("points_liability", redemptions::points_liability, BY),
    ("redemption_rate", redemptions::redemption_rate, BY),
    ("redemptions", redemptions::redemptions, BY),
    ("redemptions_by_provider", redemptions::redemptions_by_provider, BY),
    ("rejected_events", quality::rejected_events, BY),
    (
        "repeat_connections",
        interactions::repeat_connections,
        &["", "least=2 from=@5 to=@5", "least=3", "from=@2 to=@9", "from=@400"],
    ),
    (
        "settlement",
        accounts::settlement,
        &["provider=@shop", "provider=@shop from=@4 to=@10", "provider=@town", "provider=@shop from=@400"],
    ),
    ("top_items", redemptions::top_items, TOP),
    ("top_recipients", donations::top_recipients, TOP),
    (
        "user_statement",
        across::user_statement,
        &["user=@busiest", "user=@busiest from=@3 to=@8", "user=@officer", "user=@family", "user=@merchant"],
    ),
    ("zip_code_summary", across::zip_code_summary, DAYS),
];

const BY: &[&str] = &[
    "",
    "by=day",
    "by=week",
    "by=month",
    "by=week from=@4 to=@10",
    "by=month from=@4 to=@10",
    "by=quarter from=@3",
    "by=year",
    "by=day from=@5 to=@5",
    "by=week from=@6",
    "by=month to=@9",
    "from=@400",
];
const MONTH_END: &[&str] = &[
    "",
    "by=day",
    "by=week from=@4 to=@10",
    "by=quarter",
    "points_per_dollar=7",
    "by=day to=@9 points_per_dollar=125",
    "from=@400",
];
const DAYS: &[&str] = &["", "from=@4 to=@10", "from=@5 to=@5", "from=@6", "to=@9", "from=@400"];
const TOP: &[&str] = &["", "top=1", "top=3", "top=7", "top=1000", "top=5 from=@4 to=@5", "top=2 from=@1 to=@1"];

/// A long quiet world, one over a change of daylight-saving time, and one whose delivery went badly.
pub(crate) fn plans() -> [Plan; 3] {
    let options = |events, seed, days, end: &str, rate| GeneratorOptions {
        events,
        seed,
        days,
        end: end.parse().unwrap(),
        bad_rate: rate,
        duplicate_rate: rate,
    };
    let plan = |name, zone, delivery, options| Plan { name, zone, options, delivery };
    [
        plan("plain", Tz::UTC, Delivery::Prompt, options(30_000, 11, 120, "2026-11-15T00:00:00Z", 0.01)),
        plan("clocks", Tz::America__Chicago, Delivery::Prompt, options(25_000, 12, 45, "2026-11-20T06:00:00Z", 0.01)),
        plan("heavy", Tz::America__New_York, Delivery::Late, options(20_000, 13, 12, "2026-03-14T00:00:00Z", 0.15)),
    ]
}

/// Fills days and users of a world into the text of a case.
fn case(world: &World, text: &str) -> Case {
    let first = world.facts.stamps.iter().map(|stamp| stamp.day).min().unwrap();
    let day = |number: u64| -> NaiveDate { first + chrono::Days::new(number) };
    let mut counts = std::collections::BTreeMap::<(&str, &str), usize>::new();
    let ledger = world.facts.ledger();
    ledger.iter().for_each(|entry| *counts.entry((entry.kind, entry.user)).or_default() += 1);
    let busiest = |wanted: &str| {
        let users = counts.iter().filter(|((kind, _), _)| *kind == wanted);
        users.max_by_key(|(_, count)| **count).map(|((_, user), _)| (*user).to_owned()).unwrap()
    };
    let users = world.facts.users();
    let mut spent = std::collections::BTreeMap::<(&str, &str), usize>::new();
    let redemptions = &world.facts.redemptions;
    redemptions.iter().for_each(|one| *spent.entry((&one.provider_kind, &one.provider_id)).or_default() += 1);
    let accepting = |wanted: &str| {
        let providers = spent.iter().filter(|((kind, _), _)| *kind == wanted);
        providers.max_by_key(|(_, count)| **count).map(|((_, id), _)| (*id).to_owned()).unwrap()
    };
    let mut text = text.to_owned();
    for (sign, user) in [
        ("@busiest", busiest("civilian")),
        ("@officer", busiest("police_officer")),
        ("@charity", busiest("charity")),
        ("@shop", accepting("merchant")),
        ("@town", accepting("municipality")),
        ("@family", busiest("family_in_need")),
        ("@merchant", users.iter().find(|(_, user)| user.kind == "merchant").unwrap().0.to_string()),
    ] {
        text = text.replace(sign, &user);
    }
    let filled = |word: &str| match word.split_once("=@") {
        Some((name, number)) => format!("{name}={}", day(number.parse().unwrap())),
        None => word.to_owned(),
    };
    Case::parse(&text.split(' ').map(filled).collect::<Vec<_>>().join(" ").replace("  ", " "))
}

/// The differing reports of a world, each with its first difference, and the number of comparisons.
pub(crate) async fn compare(world: &World) -> (Vec<String>, usize) {
    let (mut differences, mut compared) = (Vec::new(), 0);
    for (report, compute, cases) in REPORTS {
        let mut failed = Vec::new();
        for text in cases {
            let case = case(world, text);
            let expected: Vec<_> = compute(&world.facts, &case).iter().map(|cells| line(cells)).collect();
            let found = run(&world.session, report, &case).await;
            compared += 1;
            if let Some(difference) = difference(&found, &expected) {
                failed.push((case, difference));
            }
        }
        if let Some((case, difference)) = failed.first() {
            let count = failed.len();
            differences.push(format!("{}: {report} [{case}] (and {} more): {difference}", world.name, count - 1));
        }
    }
    (differences, compared)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_report_agrees_with_plain_rust() {
    let mut differences = Vec::new();
    for plan in plans() {
        let world = plan.build().await;
        let (of_world, compared) = compare(&world).await;
        assert!(compared > 150, "{compared}");
        differences.extend(of_world);
        differences.extend(media::compare(&world).await);
    }
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn every_report_of_the_catalogue_is_compared() {
    let mut compared: Vec<_> = REPORTS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    compared.push(media::REPORT.to_owned());
    compared.sort();
    let all = ReportCatalog::embedded().unwrap();
    let all: Vec<_> = all.reports().map(|report| report.name().to_owned()).collect();
    assert_eq!(all, compared);
}
