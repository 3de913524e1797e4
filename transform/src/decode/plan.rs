//! The contract compiled for decoding: numbered slots, and for each event type the list of checks to make.

use bluelake_schemas::{Condition, Field, FieldKind, Format, Presence, StreamContract};

use crate::decode::object::Keys;
use crate::error::TransformError;

/// How to decode the events of one stream. The slot of a field is its number in [`Plan::fields`].
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) keys: Keys,
    pub(crate) names: Vec<String>,
    pub(crate) fields: Vec<PlannedField>,
    pub(crate) event_types: Vec<EventPlan>,
    pub(crate) event_id: usize,
    pub(crate) event_type: usize,
    pub(crate) schema_version: usize,
    pub(crate) occurred_at: usize,
    pub(crate) max_schema_version: i64,
}

/// A field of the stream.
#[derive(Debug)]
pub(crate) struct PlannedField {
    pub(crate) check: Check,
    /// Whether it has a column.
    pub(crate) is_kept: bool,
}

/// How to judge events of one type.
#[derive(Debug)]
pub(crate) struct EventPlan {
    pub(crate) name: String,
    /// Fields that the type has, and those that are dropped on arrival, in the order of the contract.
    pub(crate) steps: Vec<Step>,
    /// Fields of the type that have a column.
    pub(crate) columns: Vec<PlannedColumn>,
    /// Fields of other types only; they are kept as unknown fields.
    pub(crate) foreign: Vec<usize>,
    pub(crate) rules: Vec<PlannedRule>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) slot: usize,
    pub(crate) is_required: bool,
}

/// A field and its place among the columns of the contract.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlannedColumn {
    pub(crate) slot: usize,
    pub(crate) column: usize,
}

/// If the text of one slot is among some values, the text of another slot must be among others.
#[derive(Debug)]
pub(crate) struct PlannedRule {
    pub(crate) when: (usize, Vec<String>),
    pub(crate) then: (usize, Vec<String>),
}

/// What a value must be.
#[derive(Debug)]
pub(crate) enum Check {
    Text {
        max_bytes: usize,
        is_zip_code: bool,
    },
    Uuid,
    Enum(Vec<EnumValue>),
    Integer {
        min: i64,
        max: i64,
    },
    Number {
        min: f64,
        max: f64,
    },
    Boolean,
    Timestamp,
    List(ListPlan),
    /// Checked before the event type is known.
    EventType,
    /// Checked before the event type is known.
    SchemaVersion,
}

/// A value of an enum.
#[derive(Debug)]
pub(crate) struct EnumValue {
    pub(crate) text: String,
    /// Whether the field may have it.
    pub(crate) is_allowed: bool,
}

/// How to decode the entries of a list.
#[derive(Debug)]
pub(crate) struct ListPlan {
    pub(crate) keys: Keys,
    pub(crate) fields: Vec<EntryField>,
}

/// A field of a list's entries; its slot is its number in the list.
#[derive(Debug)]
pub(crate) struct EntryField {
    pub(crate) name: String,
    pub(crate) check: Check,
    pub(crate) is_required: bool,
}

impl Plan {
    pub(crate) fn compile(contract: &StreamContract) -> Result<Self, TransformError> {
        let names: Vec<String> = contract.all_fields().map(|field| field.name.clone()).collect();
        let slot = |column: &'static str| {
            names.iter().position(|name| name == column).ok_or(TransformError::Layout { column })
        };
        let fields = contract.all_fields();
        Ok(Self {
            keys: Keys::new(names.iter().map(String::as_str)),
            fields: fields.map(|field| PlannedField { check: check(field), is_kept: field.is_kept() }).collect(),
            event_types: contract.event_types().iter().map(|event_type| event(contract, &event_type.name)).collect(),
            event_id: slot("event_id")?,
            event_type: slot("event_type")?,
            schema_version: slot("schema_version")?,
            occurred_at: slot("occurred_at")?,
            max_schema_version: i64::from(contract.max_schema_version()),
            names,
        })
    }

    /// The check of each field that has a column, in column order.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &Check> {
        self.fields.iter().filter(|field| field.is_kept).map(|field| &field.check)
    }

    pub(crate) fn name(&self, slot: usize) -> &str {
        self.names.get(slot).map(String::as_str).unwrap_or_default()
    }
}

fn event(contract: &StreamContract, event_type: &str) -> EventPlan {
    let mut steps = Vec::new();
    let mut foreign = Vec::new();
    for (slot, field) in contract.all_fields().enumerate() {
        match field.presence(event_type) {
            _ if matches!(field.kind, FieldKind::EventType | FieldKind::SchemaVersion) => {}
            Presence::Required => steps.push(Step { slot, is_required: true }),
            Presence::Optional => steps.push(Step { slot, is_required: false }),
            Presence::Absent if field.is_kept() => foreign.push(slot),
            // Fields that are dropped on arrival are checked in every type, and not kept as unknown fields either.
            Presence::Absent => steps.push(Step { slot, is_required: false }),
        }
    }
    let kept = contract.all_fields().enumerate().filter(|(_, field)| field.is_kept());
    let has = |field: &Field| {
        matches!(field.kind, FieldKind::EventType | FieldKind::SchemaVersion)
            || field.presence(event_type) != Presence::Absent
    };
    let columns = kept.enumerate().filter(|(_, (_, field))| has(field));
    let columns = columns.map(|(column, (slot, _))| PlannedColumn { slot, column }).collect();
    let rules = contract.rules().iter().filter(|rule| rule.event_type == event_type);
    let rules = rules.filter_map(|rule| {
        Some(PlannedRule { when: condition(contract, &rule.when)?, then: condition(contract, &rule.then)? })
    });
    EventPlan { name: event_type.to_owned(), steps, columns, foreign, rules: rules.collect() }
}

fn condition(contract: &StreamContract, condition: &Condition) -> Option<(usize, Vec<String>)> {
    let slot = contract.all_fields().position(|field| field.name == condition.field)?;
    Some((slot, condition.is.clone()))
}

fn check(field: &Field) -> Check {
    match &field.kind {
        FieldKind::String { format: Some(Format::Uuid), .. } => Check::Uuid,
        FieldKind::String { format, .. } => {
            let is_zip_code = *format == Some(Format::ZipCode);
            Check::Text { max_bytes: field.kind.rejected_above().unwrap_or(usize::MAX), is_zip_code }
        }
        FieldKind::Enum { values, allowed, .. } => {
            let value = |text: &String| EnumValue { text: text.clone(), is_allowed: allowed.contains(text) };
            Check::Enum(values.iter().map(value).collect())
        }
        FieldKind::Integer { min, max } => Check::Integer { min: *min, max: *max },
        FieldKind::Number { min, max } => Check::Number { min: *min, max: *max },
        FieldKind::Boolean => Check::Boolean,
        FieldKind::Timestamp => Check::Timestamp,
        FieldKind::EventType => Check::EventType,
        FieldKind::SchemaVersion => Check::SchemaVersion,
        FieldKind::List { fields, .. } => Check::List(ListPlan {
            keys: Keys::new(fields.iter().map(|field| field.name.as_str())),
            fields: fields.iter().map(entry_field).collect(),
        }),
    }
}

fn entry_field(field: &Field) -> EntryField {
    EntryField { name: field.name.clone(), check: check(field), is_required: !field.required_in.is_empty() }
}
