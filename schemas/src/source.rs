//! The contract files as they are written: TOML, unknown keys refused, nothing interpreted yet.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::contract::{Longer, OnArrival};
use crate::field_ids::Retired;

/// Values of each named enum, in their order in the file.
pub(crate) type Enums = BTreeMap<String, Vec<String>>;

/// `envelope.toml`: what every event has.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnvelopeFile {
    pub(crate) contract_version: i32,
    pub(crate) max_schema_version: i32,
    #[serde(default)]
    pub(crate) retired_field_ids: Retired,
    #[serde(default)]
    pub(crate) enums: Enums,
    pub(crate) fields: Vec<FieldSource>,
}

/// `user_events.toml` or `transaction_events.toml`: the other fields of one stream's events.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StreamFile {
    pub(crate) contract_version: i32,
    pub(crate) max_schema_version: i32,
    pub(crate) stream: String,
    pub(crate) description: String,
    #[serde(default)]
    pub(crate) retired_field_ids: Retired,
    #[serde(default)]
    pub(crate) enums: Enums,
    pub(crate) event_types: Vec<EventTypeSource>,
    pub(crate) fields: Vec<FieldSource>,
    #[serde(default)]
    pub(crate) rules: Vec<RuleSource>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventTypeSource {
    pub(crate) name: String,
    pub(crate) description: String,
}

/// A field with every key that any type may carry; which of them fit is checked later.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FieldSource {
    pub(crate) name: String,
    pub(crate) field_id: Option<i64>,
    pub(crate) entry_field_id: Option<i64>,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) description: String,
    pub(crate) unit: Option<String>,
    #[serde(default)]
    pub(crate) pii: bool,
    #[serde(default)]
    pub(crate) on_arrival: OnArrival,
    pub(crate) required: Option<bool>,
    pub(crate) required_in: Option<Vec<String>>,
    pub(crate) optional_in: Option<Vec<String>>,
    pub(crate) values: Option<String>,
    pub(crate) allowed: Option<Vec<String>>,
    pub(crate) min: Option<Bound>,
    pub(crate) max: Option<Bound>,
    pub(crate) max_bytes: Option<i64>,
    pub(crate) longer: Option<Longer>,
    pub(crate) format: Option<String>,
    pub(crate) fields: Option<Vec<FieldSource>>,
}

/// A limit as written: `90` and `90.0` mean the same for a number; only the first fits an integer.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Bound {
    Integer(i64),
    Number(f64),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleSource {
    pub(crate) event_type: String,
    pub(crate) when: ConditionSource,
    pub(crate) then: ConditionSource,
    pub(crate) description: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConditionSource {
    pub(crate) field: String,
    pub(crate) is: Vec<String>,
}
