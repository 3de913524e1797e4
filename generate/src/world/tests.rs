//! The world from outside: the guarantees for any consumer of its bytes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap
)]

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use bluelake_schemas::Stream;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use proptest::prelude::*;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    DayTotals, Error, EventKind, EventType, GeneratedEvent, Generator, GeneratorOptions, Truth, UserKind, UserStatus,
};

fn options(events: u64, seed: u64) -> GeneratorOptions {
    let end = "2026-11-23T00:00:00Z".parse().unwrap();
    GeneratorOptions { events, seed, days: 30, end, bad_rate: 0.02, duplicate_rate: 0.02 }
}

fn events(options: GeneratorOptions) -> Vec<GeneratedEvent> {
    Generator::new(options).unwrap().collect()
}

fn run(options: GeneratorOptions) -> (Vec<GeneratedEvent>, Truth) {
    let mut generator = Generator::new(options).unwrap();
    let events = generator.by_ref().collect();
    (events, generator.into_truth())
}

/// A good event, read back from its bytes.
struct Read {
    value: Value,
    event_type: String,
    at: DateTime<Utc>,
}

impl Read {
    fn of(event: &GeneratedEvent) -> Read {
        let value: Value = serde_json::from_slice(&event.bytes).expect("good events are JSON");
        let at = match &value["occurred_at"] {
            Value::Number(millis) => DateTime::from_timestamp_millis(millis.as_i64().unwrap()).unwrap(),
            text => DateTime::parse_from_rfc3339(text.as_str().unwrap()).unwrap().to_utc(),
        };
        Read { event_type: value["event_type"].as_str().unwrap().to_owned(), at, value }
    }

    fn text(&self, name: &str) -> String {
        self.value[name].as_str().unwrap_or_else(|| panic!("{name} in {}", self.value)).to_owned()
    }

    fn points(&self, name: &str) -> i64 {
        self.value[name].as_i64().unwrap_or_else(|| panic!("{name} in {}", self.value))
    }

    /// Who takes part: field of the id, and the kind that the event claims or implies.
    fn parties(&self) -> Vec<(String, String)> {
        let claimed = |role: &str| (self.text(&format!("{role}_id")), self.text(&format!("{role}_kind")));
        match self.event_type.as_str() {
            "interaction" => vec![
                (self.text("civilian_id"), "civilian".to_owned()),
                (self.text("officer_id"), "police_officer".to_owned()),
            ],
            "donation" => vec![claimed("donor"), claimed("recipient")],
            "redemption" => vec![claimed("redeemer"), claimed("provider")],
            "transfer" => ["from_officer_id", "to_officer_id"]
                .map(|field| (self.text(field), "police_officer".to_owned()))
                .to_vec(),
            _ => vec![claimed("user")],
        }
    }

    /// Changes of balances: id and points.
    fn movements(&self) -> Vec<(String, i64)> {
        match self.event_type.as_str() {
            "interaction" => vec![
                (self.text("civilian_id"), self.points("points_civilian")),
                (self.text("officer_id"), self.points("points_officer")),
            ],
            "donation" => vec![
                (self.text("donor_id"), -self.points("points")),
                (self.text("recipient_id"), self.points("points")),
            ],
            "redemption" => vec![(self.text("redeemer_id"), -self.points("points"))],
            "transfer" => vec![
                (self.text("from_officer_id"), -self.points("points")),
                (self.text("to_officer_id"), self.points("points")),
            ],
            _ => Vec::new(),
        }
    }
}

fn good(events: &[GeneratedEvent]) -> Vec<Read> {
    events.iter().filter(|event| event.kind == EventKind::Good).map(Read::of).collect()
}

/// Plays good events in this order and checks that users act only between joining and leaving, and never owe.
fn assert_playable<'a>(reads: impl IntoIterator<Item = &'a Read>) -> HashMap<String, i64> {
    let mut kinds: HashMap<String, String> = HashMap::new();
    let mut left: HashSet<String> = HashSet::new();
    let mut balances: HashMap<String, i64> = HashMap::new();
    for read in reads {
        for (id, kind) in read.parties() {
            if read.event_type == "user_created" {
                assert!(kinds.insert(id.clone(), kind.clone()).is_none(), "{id} joined twice");
            }
            assert_eq!(kinds.get(&id), Some(&kind), "{}", read.value);
            assert!(!left.contains(&id), "acts after leaving: {}", read.value);
        }
        if read.event_type == "user_deactivated" {
            left.insert(read.text("user_id"));
        }
        for (id, points) in read.movements() {
            let balance = balances.entry(id).or_default();
            *balance += points;
            assert!(*balance >= 0, "{balance} after {}", read.value);
        }
    }
    balances
}

#[test]
fn options_determine_the_bytes_and_seeds_differ() {
    let first = run(options(4_000, 1));
    assert_eq!(first, run(options(4_000, 1)));
    assert_ne!(first.0, events(options(4_000, 2)));
}

#[test]
fn good_events_can_be_played_in_stream_order() {
    let balances = assert_playable(&good(&events(options(40_000, 3))));
    assert!(balances.values().filter(|balance| **balance > 0).count() > 500);
}

#[test]
fn balances_stay_whole_in_time_order_too() {
    let mut reads = good(&events(options(40_000, 4)));
    reads.sort_by_key(|read| read.at);
    let mut balances: HashMap<String, i64> = HashMap::new();
    let mut at = None;
    for group in reads.chunk_by(|one, other| one.at == other.at) {
        assert!(at.replace(group[0].at) < Some(group[0].at));
        for (id, points) in group.iter().flat_map(Read::movements) {
            *balances.entry(id).or_default() += points;
        }
        let movements = group.iter().flat_map(Read::movements);
        assert!(movements.into_iter().all(|(id, _)| balances[&id] >= 0), "{at:?}");
    }
}

#[test]
fn all_types_kinds_and_forms_occur() {
    let events = events(options(40_000, 5));
    let reads = good(&events);
    let types: BTreeSet<&str> = reads.iter().map(|read| read.event_type.as_str()).collect();
    assert_eq!(types, EventType::ALL.iter().map(|event_type| event_type.name()).collect());
    let kinds: BTreeSet<String> =
        reads.iter().filter(|read| read.event_type == "user_created").map(|read| read.text("user_kind")).collect();
    assert_eq!(kinds, UserKind::ALL.iter().map(|kind| kind.name().to_owned()).collect());
    let seen = |test: &dyn Fn(&Value) -> bool| reads.iter().any(|read| test(&read.value));
    for method in ["qr", "nearby", "event"] {
        assert!(seen(&|value| value["method"] == method), "{method}");
    }
    for purpose in ["goods", "fine", "fee"] {
        assert!(seen(&|value| value["purpose"] == purpose), "{purpose}");
    }
    assert!(seen(&|value| value["purpose"] == "fine" && value["amount_cents"].is_i64()));
    assert!(seen(&|value| value["purpose"] == "goods" && value.get("items").is_none()));
    assert!(seen(&|value| value["items"].as_array().is_some_and(|items| items.len() > 1)));
    assert!(seen(&|value| value["latitude"].is_f64() && value["longitude"].as_f64().unwrap() < -60.0));
    assert!(seen(&|value| value["occurred_at"].is_i64()));
    assert!(seen(&|value| value["occurred_at"].as_str().is_some_and(|text| text.ends_with("-05:00"))));
    assert!(seen(&|value| value.get("app_build").is_some()) && seen(&|value| value["device"].is_object()));
    assert!(seen(&|value| value.get("schema_version").is_none()) && seen(&|value| value.get("channel").is_none()));
    assert!(seen(&|value| value.get("zip_code") == Some(&Value::Null)));
}

#[test]
fn roles_amounts_and_items_obey_the_contract() {
    let allowed: [(&str, &[&str]); 4] = [
        ("donor_kind", &["civilian", "police_officer"]),
        ("recipient_kind", &["charity", "family_in_need"]),
        ("redeemer_kind", &["civilian", "family_in_need", "charity"]),
        ("provider_kind", &["merchant", "municipality"]),
    ];
    for read in good(&events(options(40_000, 6))) {
        for (field, kinds) in allowed {
            if let Some(kind) = read.value[field].as_str() {
                assert!(kinds.contains(&kind), "{}", read.value);
            }
        }
        if let Some(purpose) = read.value["purpose"].as_str() {
            let provider = if purpose == "goods" { "merchant" } else { "municipality" };
            assert_eq!(read.value["provider_kind"], provider, "{}", read.value);
        }
        if let Some(items) = read.value["items"].as_array() {
            let sum: i64 = items.iter().map(|item| item["points"].as_i64().unwrap()).sum();
            assert_eq!(sum, read.points("points"), "{}", read.value);
        }
        assert!(read.value["points"].as_i64().is_none_or(|points| points > 0), "{}", read.value);
        assert!(read.value["method"] != "nearby" || read.value["distance_ft"].is_f64(), "{}", read.value);
    }
}

#[test]
fn the_truth_agrees_with_what_the_bytes_say() {
    let (events, truth) = run(options(40_000, 7));
    let mut days: BTreeMap<NaiveDate, BTreeMap<String, DayTotals>> = BTreeMap::new();
    let mut donors = BTreeSet::new();
    let mut left = BTreeSet::new();
    let reads = good(&events);
    for read in &reads {
        let day = days.entry(read.at.date_naive()).or_default().entry(read.event_type.clone()).or_default();
        let sum = |name: &str| read.value[name].as_i64().unwrap_or(0);
        day.count += 1;
        day.points += sum("points");
        day.points_civilian += sum("points_civilian");
        day.points_officer += sum("points_officer");
        day.amount_cents += sum("amount_cents");
        if read.event_type == "donation" {
            donors.insert(read.text("donor_id"));
        }
        if read.event_type == "user_deactivated" {
            left.insert(read.text("user_id").parse::<Uuid>().unwrap());
        }
    }
    let known: BTreeMap<NaiveDate, BTreeMap<String, DayTotals>> = truth
        .days
        .iter()
        .map(|(date, types)| (*date, types.iter().map(|(name, day)| (name.to_string(), *day)).collect()))
        .collect();
    assert_eq!(known, days);
    assert_eq!(truth.distinct.donors.values().sum::<u64>(), donors.len() as u64);
    let balances = assert_playable(&reads);
    for (id, user) in &truth.users {
        assert_eq!(user.balance, balances.get(&id.to_string()).copied().unwrap_or(0));
        assert_eq!(user.status == UserStatus::Deactivated, left.contains(id));
    }
    assert_eq!(truth.points.liability(), balances.values().sum::<i64>());
    assert!(!left.is_empty());
    let by_kind: u64 = truth.users_by_kind.values().flat_map(BTreeMap::values).sum();
    assert_eq!(by_kind, truth.users.len() as u64);
}

#[test]
fn the_truth_counts_every_event_of_every_stream() {
    let (events, truth) = run(options(20_000, 8));
    for stream in Stream::ALL {
        let of = |test: &dyn Fn(&EventKind) -> bool| {
            events.iter().filter(|event| event.stream == stream && test(&event.kind)).count() as u64
        };
        let totals = &truth.streams[&stream];
        assert_eq!(totals.put, of(&|_| true));
        assert_eq!(totals.good, of(&|kind| *kind == EventKind::Good));
        assert_eq!(totals.duplicate, of(&|kind| *kind == EventKind::Duplicate));
        assert_eq!(totals.bad.values().sum::<u64>(), of(&|kind| matches!(kind, EventKind::Bad(_))));
        assert_eq!(totals.put, totals.good + totals.duplicate + totals.bad.values().sum::<u64>());
        assert!(totals.duplicate > 0 && !totals.bad.is_empty());
    }
}

#[test]
fn duplicates_repeat_one_of_the_latest_events() {
    let events = events(options(20_000, 9));
    let mut repeated = 0;
    for stream in Stream::ALL {
        let of_stream: Vec<&GeneratedEvent> = events.iter().filter(|event| event.stream == stream).collect();
        for (place, event) in of_stream.iter().enumerate().filter(|(_, event)| event.kind == EventKind::Duplicate) {
            let window = &of_stream[place.saturating_sub(200)..place];
            let original = window.iter().find(|one| one.kind == EventKind::Good && one.event_id == event.event_id);
            let original = original.unwrap_or_else(|| panic!("no original of {}", event.event_id));
            assert_eq!((&original.bytes, &original.partition_key), (&event.bytes, &event.partition_key));
            repeated += 1;
        }
    }
    assert!((250..550).contains(&repeated), "{repeated}");
    let ids: HashSet<&str> =
        events.iter().filter(|event| event.kind != EventKind::Duplicate).map(|event| event.event_id.as_str()).collect();
    assert_eq!(ids.len(), events.len() - repeated);
}

#[test]
fn bad_events_are_varied_and_have_known_reasons() {
    let bad_only = GeneratorOptions { bad_rate: 0.5, ..options(20_000, 10) };
    let mut reasons: BTreeMap<&str, u32> = BTreeMap::new();
    for event in events(bad_only) {
        assert!(!event.bytes.contains(&b'\n'));
        let EventKind::Bad(reason) = event.kind else { continue };
        *reasons.entry(reason).or_default() += 1;
        let json: Result<Value, _> = serde_json::from_slice(&event.bytes);
        match reason {
            "not_json" | "empty" | "not_utf8" => assert!(json.is_err(), "{reason}"),
            "not_object" => assert!(!json.unwrap().is_object()),
            "duplicate_key" | "too_deep" | "bad_string" | "too_large" => assert!(json.unwrap().is_object()),
            _ => assert!(json.is_ok(), "{reason}: {}", String::from_utf8_lossy(&event.bytes)),
        }
    }
    let expected = [
        "bad_format",
        "bad_string",
        "bad_timestamp",
        "bad_uuid",
        "duplicate_key",
        "empty",
        "implausible_timestamp",
        "missing_field",
        "not_in_enum",
        "not_json",
        "not_object",
        "not_utf8",
        "out_of_range",
        "rule_violated",
        "too_deep",
        "too_large",
        "unknown_event_type",
        "unsupported_schema_version",
        "wrong_type",
    ];
    assert_eq!(reasons.keys().copied().collect::<Vec<_>>(), expected);
    assert!(reasons.values().all(|count| *count >= 30), "{reasons:?}");
}

#[test]
fn an_event_has_about_450_bytes() {
    let clean = GeneratorOptions { bad_rate: 0.0, duplicate_rate: 0.0, ..options(20_000, 11) };
    let events = events(clean);
    let mean = events.iter().map(|event| event.bytes.len()).sum::<usize>() / events.len();
    assert!((380..520).contains(&mean), "{mean}");
}

#[test]
fn few_events_are_late_and_others_ascend() {
    let options = options(40_000, 12);
    let reads = good(&events(options));
    let start = options.end - TimeDelta::days(30);
    let mut latest = start;
    let mut late = 0;
    for read in &reads {
        assert!((start..options.end).contains(&read.at), "{}", read.at);
        if read.at < latest {
            late += 1;
            assert!(latest - read.at <= TimeDelta::hours(12) + TimeDelta::minutes(1), "{} after {latest}", read.at);
        }
        latest = latest.max(read.at);
    }
    let share = f64::from(late) / reads.len() as f64;
    assert!((0.01..0.06).contains(&share), "{share}");
}

#[test]
fn most_pairs_meet_only_once_a_day() {
    let reads = good(&events(options(60_000, 13)));
    let mut pairs: HashMap<(String, String, NaiveDate), u32> = HashMap::new();
    for read in reads.iter().filter(|read| read.event_type == "interaction") {
        *pairs.entry((read.text("civilian_id"), read.text("officer_id"), read.at.date_naive())).or_default() += 1;
    }
    let again: u32 = pairs.values().map(|times| times - 1).sum();
    let all: u32 = pairs.values().sum();
    assert!(again > 0 && f64::from(again) / f64::from(all) < 0.01, "{again} of {all}");
}

#[test]
fn a_few_members_do_much() {
    let (_, truth) = run(options(60_000, 14));
    let mut civilians: Vec<u64> =
        truth.users.values().filter(|user| user.kind == UserKind::Civilian).map(|user| user.interactions).collect();
    civilians.sort_unstable_by(|one, other| other.cmp(one));
    let top: u64 = civilians.iter().take(civilians.len() / 10).sum();
    let all: u64 = civilians.iter().sum();
    assert!(top * 10 > all * 3, "the top tenth takes {top} of {all}");
}

#[test]
fn an_impossible_period_is_refused() {
    let error = Generator::new(GeneratorOptions { days: 0, ..options(1, 1) }).unwrap_err();
    assert!(matches!(error, Error::InvalidOption { option: "days", .. }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_small_world_can_be_played(
        count in 0_u64..600,
        seed: u64,
        days in 1_u32..40,
        bad in 0.0_f64..0.5,
        duplicate in 0.0_f64..0.5,
    ) {
        let options = GeneratorOptions { days, bad_rate: bad, duplicate_rate: duplicate, ..options(count, seed) };
        let (events, truth) = run(options);
        prop_assert_eq!(events.len() as u64, count);
        prop_assert_eq!(truth.streams.values().map(|stream| stream.put).sum::<u64>(), count);
        let balances = assert_playable(&good(&events));
        prop_assert_eq!(truth.points.liability(), balances.values().sum::<i64>());
        prop_assert!(truth.users.values().all(|user| user.balance >= 0));
        let text = serde_json::to_string(&truth).unwrap();
        prop_assert_eq!(serde_json::from_str::<Truth>(&text).unwrap(), truth);
    }
}
