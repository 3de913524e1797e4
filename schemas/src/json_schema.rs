//! JSON Schema (draft 2020-12) for producers.
//!
//! An event that breaks the schema is rejected. The decoder is stricter in rules that JSON Schema cannot express: `1.0`
//! is no integer, no key of the contract twice, no NUL in a string, at most 32 levels of nesting.

use serde_json::{Map, Value, json};

use crate::contract::{Condition, EventType, Field, FieldKind, Format, Longer, Presence, Rule, StreamContract};

pub(crate) fn of_stream(contract: &StreamContract) -> Value {
    let alternatives: Vec<Value> =
        contract.event_types().iter().map(|event_type| of_event_type(contract, event_type)).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": format!("urn:bluelake:contract:{}:{}", contract.version(), contract.stream()),
        "title": contract.stream().name(),
        "description": contract.description(),
        "type": "object",
        "oneOf": alternatives,
    })
}

fn of_event_type(contract: &StreamContract, event_type: &EventType) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for field in contract.all_fields() {
        let presence = field.presence(&event_type.name);
        // A field that is dropped on arrival is checked in every event type.
        let presence = if presence == Presence::Absent && !field.is_kept() { Presence::Optional } else { presence };
        if presence == Presence::Absent {
            continue;
        }
        if presence == Presence::Required {
            required.push(field.name.clone());
        }
        properties.insert(field.name.clone(), of_field(contract, event_type, field, presence));
    }
    let mut schema = json!({
        "title": event_type.name,
        "description": event_type.description,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": true,
    });
    let rules: Vec<Value> =
        contract.rules().iter().filter(|rule| rule.event_type == event_type.name).map(of_rule).collect();
    if let (Some(schema), false) = (schema.as_object_mut(), rules.is_empty()) {
        schema.insert("allOf".to_owned(), Value::Array(rules));
    }
    schema
}

fn of_field(contract: &StreamContract, event_type: &EventType, field: &Field, presence: Presence) -> Value {
    let schema = match &field.kind {
        FieldKind::EventType => json!({ "const": event_type.name }),
        FieldKind::SchemaVersion => {
            json!({ "type": "integer", "minimum": 1, "maximum": contract.max_schema_version(), "default": 1 })
        }
        FieldKind::Timestamp => json!({ "type": ["string", "integer"], "format": "date-time" }),
        FieldKind::String { format, .. } => of_string(field.kind.rejected_above(), *format),
        FieldKind::Enum { allowed, .. } => json!({ "type": "string", "enum": allowed }),
        FieldKind::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        FieldKind::Number { min, max } => of_number(*min, *max),
        FieldKind::Boolean => json!({ "type": "boolean" }),
        FieldKind::List { fields, .. } => of_list(contract, event_type, fields),
    };
    let mut schema = if presence == Presence::Optional { or_null(schema) } else { schema };
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("description".to_owned(), json!(described(field)));
    }
    schema
}

fn described(field: &Field) -> String {
    let unit = field.unit.as_ref().map(|unit| format!(" Unit: {unit}.")).unwrap_or_default();
    let pii = if field.pii { " Personal data." } else { "" };
    let bytes = match &field.kind {
        FieldKind::String { max_bytes: Some(bytes), longer: Longer::Kept, .. } => {
            format!(" Up to {bytes} bytes reach every target; longer values are kept in the lake.")
        }
        _ => String::new(),
    };
    format!("{}{unit}{pii}{bytes}", field.description)
}

fn of_string(rejected_above: Option<usize>, format: Option<Format>) -> Value {
    match (format, rejected_above) {
        (Some(Format::Uuid), _) => json!({ "type": "string", "format": "uuid" }),
        (Some(Format::ZipCode), _) => json!({ "type": "string", "pattern": "^[0-9]{5}$" }),
        // There are at least as many bytes as characters, so this bound is necessary but not sufficient.
        (None, Some(bytes)) => json!({ "type": "string", "maxLength": bytes }),
        (None, None) => json!({ "type": "string" }),
    }
}

fn of_number(min: f64, max: f64) -> Value {
    let mut schema = json!({ "type": "number" });
    for (key, bound, open) in [("minimum", min, f64::MIN), ("maximum", max, f64::MAX)] {
        if let (Some(schema), true) = (schema.as_object_mut(), bound != open) {
            schema.insert(key.to_owned(), json!(bound));
        }
    }
    schema
}

fn of_list(contract: &StreamContract, event_type: &EventType, fields: &[Field]) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for field in fields {
        let presence = field.presence(&event_type.name);
        if presence == Presence::Required {
            required.push(field.name.clone());
        }
        properties.insert(field.name.clone(), of_field(contract, event_type, field, presence));
    }
    let entry =
        json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": true });
    json!({ "type": "array", "items": entry })
}

/// An optional field may be `null`, which means the same as leaving it out.
fn or_null(mut schema: Value) -> Value {
    if let Some(values) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        values.push(Value::Null);
    }
    match schema.get_mut("type") {
        Some(Value::Array(types)) => types.push(json!("null")),
        Some(single) => *single = json!([single.clone(), "null"]),
        None => {}
    }
    schema
}

fn of_rule(rule: &Rule) -> Value {
    // With `required` the condition does not hold for an event that lacks the field.
    let when = json!({ "properties": of_condition(&rule.when), "required": [rule.when.field] });
    json!({ "description": rule.description, "if": when, "then": { "properties": of_condition(&rule.then) } })
}

fn of_condition(condition: &Condition) -> Value {
    let mut properties = Map::new();
    properties.insert(condition.field.clone(), json!({ "enum": condition.is }));
    Value::Object(properties)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::{contract::Contract, stream::Stream};

    #[test]
    fn every_text_has_a_bound_and_only_ids_are_rejected_beyond_it() {
        let contract = Contract::embedded().unwrap();
        let mut rejected = Vec::new();
        for stream in Stream::ALL {
            let fields = contract.stream(stream).all_fields().flat_map(|field| match &field.kind {
                FieldKind::List { fields, .. } => fields.iter().collect(),
                _ => vec![field],
            });
            for field in fields.filter(|field| matches!(field.kind, FieldKind::String { .. } | FieldKind::Enum { .. }))
            {
                let bytes = field.kind.text_bytes();
                assert!(bytes.is_some_and(|bytes| bytes <= 1_024), "{}: {bytes:?}", field.name);
                rejected.extend(field.kind.rejected_above().map(|bytes| (field.name.clone(), bytes)));
            }
        }
        // What was accepted before there were bounds is accepted.
        let is_id = |name: &str| name.ends_with("_id") || ["sku", "referred_by"].contains(&name);
        assert!(rejected.iter().all(|(name, bytes)| is_id(name) && *bytes == 128), "{rejected:?}");
        let schema = contract.json_schema(Stream::UserEvents);
        let user = &schema["oneOf"][0]["properties"];
        assert_eq!(user["user_id"]["maxLength"], 128);
        assert!(user["email"].get("maxLength").is_none());
        assert!(user["email"]["description"].as_str().unwrap().contains("Up to 1024 bytes reach every target"));
    }
}
