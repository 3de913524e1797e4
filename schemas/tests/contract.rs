//! The contract from outside: the content of the compiled-in files, the effect of one edit, and the faults that are
//! found.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::Path;

use arrow::datatypes::{DataType, TimeUnit};
use bluelake_schemas::{
    CONTRACT_FILES, Contract, ContractError, DESCRIPTION_KEY, DictionaryRow, EVENT_PARTITIONS, Fault, FieldKind,
    LINEAGE_COLUMNS, Presence, REJECTED_PARTITIONS, Stream, rejected_events_schema,
};
use serde_json::Value;
use tempfile::TempDir;

const USERS: &str = "user_events.toml";
const TRANSACTIONS: &str = "transaction_events.toml";
const ENVELOPE: &str = "envelope.toml";

/// The compiled-in contract in a folder, with one file changed.
fn edited(file: &str, edit: impl Fn(&str) -> String) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in CONTRACT_FILES {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("events").join(name);
        let text = fs::read_to_string(source).unwrap();
        let text = if name == file { edit(&text) } else { text };
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn load_edited(file: &str, edit: impl Fn(&str) -> String) -> Result<Contract, ContractError> {
    Contract::load(edited(file, edit).path())
}

fn load_replaced(file: &str, from: &str, to: &str) -> Result<Contract, ContractError> {
    load_edited(file, |text| {
        assert!(text.contains(from), "{file} has no {from:?}");
        text.replacen(from, to, 1)
    })
}

fn columns(contract: &Contract, stream: Stream) -> Vec<String> {
    contract.stream(stream).table_schema().fields().iter().map(|column| column.name().clone()).collect()
}

#[test]
fn the_embedded_contract_equals_its_folder() {
    let embedded = Contract::embedded().unwrap();
    let loaded = load_edited(USERS, str::to_owned).unwrap();
    assert_eq!(embedded.version(), loaded.version());
    assert_eq!(embedded.dictionary(), loaded.dictionary());
    for stream in Stream::ALL {
        assert_eq!(embedded.stream(stream).table_schema(), loaded.stream(stream).table_schema());
        assert_eq!(embedded.json_schema(stream), loaded.json_schema(stream));
        assert_eq!(embedded.stream(stream).stream(), stream);
    }
}

#[test]
fn tables_have_envelope_fields_and_lineage_only() {
    let contract = Contract::embedded().unwrap();
    let envelope = ["event_id", "event_type", "schema_version", "occurred_at", "source", "channel"];
    let of = |fields: &[&str]| -> Vec<String> {
        envelope.iter().chain(fields).chain(&LINEAGE_COLUMNS).map(|name| (*name).to_owned()).collect()
    };
    let users = [
        "user_id",
        "user_kind",
        "zip_code",
        "display_name",
        "email",
        "phone",
        "badge_number",
        "organization_name",
        "referred_by",
        "status",
    ];
    assert_eq!(columns(&contract, Stream::UserEvents), of(&users));
    let transactions = [
        "civilian_id",
        "officer_id",
        "method",
        "points_civilian",
        "points_officer",
        "donor_id",
        "donor_kind",
        "recipient_id",
        "recipient_kind",
        "redeemer_id",
        "redeemer_kind",
        "provider_id",
        "provider_kind",
        "purpose",
        "from_officer_id",
        "to_officer_id",
        "points",
        "amount_cents",
        "currency",
        "items",
        "zip_code",
        "distance_ft",
    ];
    assert_eq!(columns(&contract, Stream::TransactionEvents), of(&transactions));
}

#[test]
fn columns_have_the_designs_types_and_nullability() {
    let contract = Contract::embedded().unwrap();
    let timestamp = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let users = contract.stream(Stream::UserEvents).table_schema();
    let transactions = contract.stream(Stream::TransactionEvents).table_schema();
    for (schema, name, data_type, nullable) in [
        (&users, "event_id", DataType::Utf8, false),
        (&users, "schema_version", DataType::Int32, false),
        (&users, "occurred_at", timestamp.clone(), false),
        (&users, "channel", DataType::Utf8, true),
        (&users, "user_id", DataType::Utf8, false),
        (&users, "user_kind", DataType::Utf8, false),
        (&users, "zip_code", DataType::Utf8, true),
        (&users, "extras", DataType::Utf8, true),
        (&transactions, "points", DataType::Int64, true),
        (&transactions, "amount_cents", DataType::Int64, true),
        (&transactions, "distance_ft", DataType::Float64, true),
        (&transactions, "stream_sub_sequence", DataType::Int32, false),
        (&transactions, "arrived_at", timestamp, false),
        (&transactions, "event_date", DataType::Date32, false),
    ] {
        let column = schema.field_with_name(name).unwrap();
        assert_eq!((column.data_type(), column.is_nullable()), (&data_type, nullable), "{name}");
    }
    let DataType::List(entry) = transactions.field_with_name("items").unwrap().data_type().clone() else {
        panic!("items is a list")
    };
    let DataType::Struct(fields) = entry.data_type() else { panic!("of objects") };
    let fields: Vec<_> = fields.iter().map(|field| (field.name().as_str(), field.data_type().clone())).collect();
    assert_eq!(
        fields,
        [("sku", DataType::Utf8), ("name", DataType::Utf8), ("quantity", DataType::Int64), ("points", DataType::Int64)]
    );
}

#[test]
fn every_column_has_a_description() {
    let contract = Contract::embedded().unwrap();
    for stream in Stream::ALL {
        let schema = contract.stream(stream).table_schema();
        assert!(EVENT_PARTITIONS.iter().all(|name| schema.field_with_name(name).is_ok()));
        assert!(schema.fields().iter().all(|column| !column.metadata()[DESCRIPTION_KEY].is_empty()));
    }
    let rejected = rejected_events_schema();
    assert!(REJECTED_PARTITIONS.iter().all(|name| rejected.field_with_name(name).is_ok()));
    assert!(rejected.fields().iter().all(|column| !column.metadata()[DESCRIPTION_KEY].is_empty()));
}

#[test]
fn fields_belong_to_the_designs_event_types() {
    let contract = Contract::embedded().unwrap();
    let presence = |stream: Stream, field: &str, event_type: &str| {
        let field = contract.stream(stream).all_fields().find(|known| known.name == field).unwrap();
        field.presence(event_type)
    };
    let (users, transactions) = (Stream::UserEvents, Stream::TransactionEvents);
    assert_eq!(presence(users, "user_id", "user_deactivated"), Presence::Required);
    assert_eq!(presence(users, "email", "user_created"), Presence::Optional);
    assert_eq!(presence(transactions, "zip_code", "interaction"), Presence::Required);
    assert_eq!(presence(transactions, "zip_code", "donation"), Presence::Optional);
    assert_eq!(presence(transactions, "zip_code", "transfer"), Presence::Absent);
    assert_eq!(presence(transactions, "points", "interaction"), Presence::Absent);
    assert_eq!(presence(transactions, "event_id", "transfer"), Presence::Required);
    assert_eq!(presence(transactions, "schema_version", "transfer"), Presence::Optional);
    let allowed = |name: &str| {
        let fields = contract.stream(transactions).fields();
        match &fields.iter().find(|field| field.name == name).unwrap().kind {
            FieldKind::Enum { allowed, values, .. } => {
                assert_eq!(values.len(), 6);
                allowed.join(" ")
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(allowed("donor_kind"), "civilian police_officer");
    assert_eq!(allowed("recipient_kind"), "charity family_in_need");
    assert_eq!(allowed("redeemer_kind"), "civilian family_in_need charity");
    assert_eq!(allowed("provider_kind"), "merchant municipality");
}

#[test]
fn one_optional_field_shows_up_everywhere() {
    let field = r#"
[[fields]]
name = "tip_cents"
field_id = 1027
type = "integer"
min = 0
unit = "cents"
optional_in = ["redemption"]
description = "Tip for the merchant."
"#;
    let before = Contract::embedded().unwrap();
    let after = load_replaced(TRANSACTIONS, "\n[[rules]]", &format!("{field}\n[[rules]]")).unwrap();

    let schema = after.stream(Stream::TransactionEvents).table_schema();
    let column = schema.field_with_name("tip_cents").unwrap();
    assert_eq!((column.data_type(), column.is_nullable()), (&DataType::Int64, true));
    assert_eq!(column.metadata()[DESCRIPTION_KEY], "Tip for the merchant.");
    assert_eq!(schema.fields().len(), before.stream(Stream::TransactionEvents).table_schema().fields().len() + 1);

    let json = after.json_schema(Stream::TransactionEvents);
    let has = |event_type: &str| alternative(&json, event_type)["properties"].get("tip_cents").is_some();
    assert!(has("redemption") && !has("donation"));

    let row = |contract: &Contract| -> Option<DictionaryRow> {
        contract.dictionary().into_iter().find(|row| row.column == "tip_cents")
    };
    assert_eq!(row(&before), None);
    let row = row(&after).unwrap();
    assert_eq!((row.table.as_str(), row.data_type.as_str(), row.required), ("transactions", "bigint", false));
    assert_eq!((row.event_types, row.unit), (vec!["redemption".to_owned()], Some("cents".to_owned())));
    assert_eq!(before.stream(Stream::UserEvents).table_schema(), after.stream(Stream::UserEvents).table_schema());
}

#[test]
fn an_envelope_field_is_in_both_tables() {
    let field = "\n[[fields]]\nname = \"app_version\"\nfield_id = 106\ntype = \"string\"\nrequired = false\ndescription = \"Version.\"\n";
    let after = load_edited(ENVELOPE, |text| format!("{text}{field}")).unwrap();
    for stream in Stream::ALL {
        assert_eq!(columns(&after, stream)[6], "app_version");
    }
}

fn alternative<'a>(schema: &'a Value, event_type: &str) -> &'a Value {
    let alternatives = schema["oneOf"].as_array().unwrap();
    alternatives.iter().find(|alternative| alternative["title"] == event_type).unwrap()
}

#[test]
fn the_json_schema_distinguishes_types_allows_unknowns() {
    let contract = Contract::embedded().unwrap();
    let schema = contract.json_schema(Stream::TransactionEvents);
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["oneOf"].as_array().unwrap().len(), 4);
    let donation = alternative(&schema, "donation");
    assert_eq!(donation["additionalProperties"], true);
    assert_eq!(donation["properties"]["event_type"]["const"], "donation");
    assert_eq!(donation["properties"]["points"]["minimum"], 0);
    assert_eq!(donation["properties"]["donor_kind"]["enum"], serde_json::json!(["civilian", "police_officer"]));
    assert_eq!(donation["properties"]["zip_code"]["type"], serde_json::json!(["string", "null"]));
    assert_eq!(donation["properties"]["channel"]["enum"], serde_json::json!(["mobile", "web", null]));
    let required: Vec<&str> =
        donation["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let expected =
        ["event_id", "event_type", "occurred_at", "donor_id", "donor_kind", "recipient_id", "recipient_kind", "points"];
    assert_eq!(required, expected);
    let redemption = alternative(&schema, "redemption");
    assert_eq!(redemption["allOf"].as_array().unwrap().len(), 2);
    assert_eq!(redemption["properties"]["items"]["items"]["required"].as_array().unwrap().len(), 4);
    // A field that is dropped on arrival is checked in every event type.
    for event_type in ["interaction", "donation", "redemption", "transfer"] {
        let latitude = &alternative(&schema, event_type)["properties"]["latitude"];
        assert_eq!(latitude["maximum"].as_f64(), Some(90.0), "{event_type}");
        assert!(latitude["type"].as_array().unwrap().contains(&serde_json::json!("null")), "{event_type}");
    }
}

#[test]
fn the_dictionary_describes_every_column() {
    let contract = Contract::embedded().unwrap();
    let rows = contract.dictionary();
    let expected: usize = Stream::ALL.iter().map(|stream| columns(&contract, *stream).len()).sum();
    assert_eq!(rows.len(), expected + rejected_events_schema().fields().len());
    let personal: Vec<_> =
        rows.iter().filter(|row| row.pii).map(|row| format!("{}.{}", row.table, row.column)).collect();
    assert_eq!(
        personal,
        [
            "user_events.display_name",
            "user_events.email",
            "user_events.phone",
            "user_events.badge_number",
            "user_events.extras",
            "transactions.extras",
            "rejected_events.event_bytes"
        ]
    );
    let items = rows.iter().find(|row| row.column == "items").unwrap();
    assert_eq!(items.data_type, "array<struct<sku: string, name: string, quantity: bigint, points: bigint>>");
}

/// Replaces a text in a file and expects a fault of a field that names both.
fn assert_field_fault(file: &str, [from, to]: [&str; 2], field: &str, fault: &Fault) {
    let error = load_replaced(file, from, to).expect_err(&fault.to_string());
    let shown = error.to_string();
    assert!(shown.contains(file) && shown.contains(field), "{shown}");
    match error {
        ContractError::Field { file: found_file, field: found_field, fault: found } => {
            assert_eq!((found_file.as_str(), found_field.as_str(), &found), (file, field, fault));
        }
        other => panic!("{other:?} instead of {fault:?}"),
    }
}

#[test]
fn a_badly_named_or_typed_field_is_named() {
    let named = |name: &str| ["name = \"status\"".to_owned(), format!("name = \"{name}\"")];
    for (name, fault) in [
        ("Status", Fault::BadName { name: "Status".to_owned() }),
        ("email", Fault::DuplicateField),
        ("channel", Fault::DuplicateField),
        ("arrived_at", Fault::ReservedColumn),
    ] {
        let [from, to] = named(name);
        assert_field_fault(USERS, [&from, &to], name, &fault);
    }
    let id = "type = \"string\"\nmax_bytes = 128";
    let envelope_type = Fault::EnvelopeType { found: "event_type".to_owned() };
    assert_field_fault(USERS, [id, "type = \"event_type\""], "user_id", &envelope_type);
    let unknown_type = Fault::UnknownType { found: "text".to_owned() };
    assert_field_fault(USERS, ["type = \"enum\"", "type = \"text\""], "user_kind", &unknown_type);
    let undescribed = ["description = \"The member.\"", "description = \" \""];
    assert_field_fault(USERS, undescribed, "user_id", &Fault::NoDescription);
}

#[test]
fn a_field_with_bad_event_types_is_named() {
    let everywhere = "required_in = [\"user_created\", \"user_updated\", \"user_deactivated\"]";
    let unknown = Fault::UnknownEventType { event_type: "user_born".to_owned() };
    assert_field_fault(USERS, [everywhere, "required_in = [\"user_born\"]"], "user_id", &unknown);
    assert_field_fault(USERS, [everywhere, ""], "user_id", &Fault::NoEventType);
    let everywhere_by_flag = [everywhere, "required = true"];
    assert_field_fault(USERS, everywhere_by_flag, "user_id", &Fault::KeyNotAllowed { key: "required" });
    let twice = ["optional_in = [\"donation\", \"redemption\"]", "optional_in = [\"interaction\"]"];
    let fault = Fault::EventTypeTwice { event_type: "interaction".to_owned() };
    assert_field_fault(TRANSACTIONS, twice, "zip_code", &fault);
    let in_envelope = ["required = true", "required_in = [\"donation\"]"];
    assert_field_fault(ENVELOPE, in_envelope, "event_id", &Fault::KeyNotAllowed { key: "required_in" });
    let in_list = ["max_bytes = 128\nrequired = true", "max_bytes = 128"];
    assert_field_fault(TRANSACTIONS, in_list, "items.sku", &Fault::KeyMissing { key: "required" });
}

#[test]
fn a_field_with_bad_limits_is_named() {
    let pirate = || Fault::NotInEnum { name: "user_kind".to_owned(), value: "pirate".to_owned() };
    let roles = "allowed = [\"civilian\", \"police_officer\"]";
    for (from, to, field, fault) in [
        (roles, "allowed = [\"pirate\"]", "donor_kind", pirate()),
        (roles, "allowed = []", "donor_kind", Fault::NothingAllowed),
        ("min = 0", "min = 20_000_000_000_000_000", "points_civilian", Fault::EmptyRange),
        ("min = 0", "min = 0.5", "points_civilian", Fault::FractionalBound { key: "min" }),
        ("min = -90", "min = -inf", "latitude", Fault::InfiniteBound { key: "min" }),
        ("name = \"sku\"", "name = \"name\"", "items.name", Fault::DuplicateField),
        (
            "type = \"string\"\nmax_bytes = 128\nrequired = true",
            "type = \"list\"\nrequired = true",
            "items.sku",
            Fault::NestedList,
        ),
    ] {
        assert_field_fault(TRANSACTIONS, [from, to], field, &fault);
    }
    for (from, to, field, fault) in [
        ("max_bytes = 128", "max_bytes = 0", "user_id", Fault::BadMaxBytes),
        ("max_bytes = 128", "min = 3", "user_id", Fault::KeyNotAllowed { key: "min" }),
        ("max_bytes = 1024\nlonger", "longer", "display_name", Fault::KeyMissing { key: "max_bytes" }),
        (
            "\"user_kind\"\nreq",
            "\"user_kind\"\nlonger = \"kept\"\nreq",
            "user_kind",
            Fault::KeyNotAllowed { key: "longer" },
        ),
        ("values = \"user_kind\"", "", "user_kind", Fault::KeyMissing { key: "values" }),
        ("\"user_kind\"\nreq", "\"kinds\"\nreq", "user_kind", Fault::UnknownEnum { name: "kinds".to_owned() }),
        ("\"zip_code\"\nopt", "\"zip\"\nopt", "zip_code", Fault::UnknownFormat { found: "zip".to_owned() }),
    ] {
        assert_field_fault(USERS, [from, to], field, &fault);
    }
}

#[test]
fn a_rule_on_a_non_enum_is_named() {
    let points = ["when = { field = \"purpose\"", "when = { field = \"points\""];
    let fault = Fault::NotForRule { event_type: "redemption".to_owned() };
    assert_field_fault(TRANSACTIONS, points, "points", &fault);
    let gold = ["is = [\"goods\"]", "is = [\"gold\"]"];
    let fault = Fault::NotInEnum { name: "redemption_purpose".to_owned(), value: "gold".to_owned() };
    assert_field_fault(TRANSACTIONS, gold, "purpose", &fault);
}

#[test]
fn each_fault_is_named_with_its_file() {
    let cases: Vec<(&str, &str, &str, Fault)> = vec![
        (ENVELOPE, "contract_version = 1", "contract_version = 0", Fault::VersionTooLow { key: "contract_version" }),
        (USERS, "contract_version = 1", "contract_version = 2", Fault::VersionsDiffer { key: "contract_version" }),
        (
            TRANSACTIONS,
            "max_schema_version = 1",
            "max_schema_version = 2",
            Fault::VersionsDiffer { key: "max_schema_version" },
        ),
        (
            USERS,
            "stream = \"user-events\"",
            "stream = \"users\"",
            Fault::WrongStream { found: "users".to_owned(), expected: "user-events" },
        ),
        (
            USERS,
            "name = \"user_updated\"",
            "name = \"user_created\"",
            Fault::DuplicateEventType { event_type: "user_created".to_owned() },
        ),
        (USERS, "description = \"A member joined.\"", "description = \"\"", Fault::Undescribed),
        (ENVELOPE, "channel = [\"mobile\", \"web\"]", "channel = []", Fault::EmptyEnum { name: "channel".to_owned() }),
        (
            ENVELOPE,
            "[\"mobile\", \"web\"]",
            "[\"web\", \"web\"]",
            Fault::DuplicateEnumValue { name: "channel".to_owned(), value: "web".to_owned() },
        ),
        (
            TRANSACTIONS,
            "interaction_method =",
            "channel = [\"x\"]\ninteraction_method =",
            Fault::DuplicateEnum { name: "channel".to_owned() },
        ),
        (
            ENVELOPE,
            "name = \"event_id\"",
            "name = \"id\"",
            Fault::EnvelopeFieldMissing { name: "event_id", needs: "type string, format uuid, required = true" },
        ),
        (
            ENVELOPE,
            "type = \"timestamp\"\nrequired = true",
            "type = \"timestamp\"\nrequired = false",
            Fault::EnvelopeFieldMissing { name: "occurred_at", needs: "type timestamp, required = true" },
        ),
        (
            TRANSACTIONS,
            "[[rules]]\nevent_type = \"redemption\"",
            "[[rules]]\nevent_type = \"purchase\"",
            Fault::RuleForUnknownEventType { event_type: "purchase".to_owned() },
        ),
    ];
    for (file, from, to, fault) in cases {
        match load_replaced(file, from, to).expect_err(&format!("{fault}")) {
            ContractError::File { file: found_file, fault: found } => {
                assert_eq!((found_file.as_str(), found), (file, fault));
            }
            other => panic!("{other:?} instead of {fault:?}"),
        }
    }
    let no_types = load_edited(USERS, |text| {
        let types = text.find("[[event_types]]").unwrap();
        let fields = text.find("[[fields]]").unwrap();
        format!("event_types = []\n{}{}", &text[..types], &text[fields..])
    });
    assert!(matches!(no_types, Err(ContractError::File { fault: Fault::NoEventTypes, .. })));
}

#[test]
fn broken_toml_is_named_by_file_and_line() {
    let misspelt = load_replaced(USERS, "pii = true", "pi = true").unwrap_err();
    let ContractError::Syntax { file, source } = &misspelt else { panic!("{misspelt:?}") };
    assert_eq!(file, USERS);
    assert!(source.to_string().contains("pi"), "{source}");
    assert!(matches!(load_replaced(ENVELOPE, "[enums]", "[enums"), Err(ContractError::Syntax { .. })));
    let odd = load_replaced(TRANSACTIONS, "on_arrival = \"drop\"", "on_arrival = \"burn\"").unwrap_err();
    assert!(matches!(odd, ContractError::Syntax { .. }));
}

#[test]
fn a_missing_file_is_named() {
    let folder = edited(USERS, str::to_owned);
    fs::remove_file(folder.path().join(TRANSACTIONS)).unwrap();
    let error = Contract::load(folder.path()).unwrap_err();
    assert!(matches!(error, ContractError::Read { .. }));
    assert!(error.to_string().contains(TRANSACTIONS), "{error}");
}
