//! The shape of an index: what the contract makes of it, and how one that is there differs. Fields that no mapping names
//! are kept and not searchable, so no event can contradict a mapping. Pure.

use arrow::datatypes::DataType;
use serde_json::{Map, Value, json};

use crate::columns::{Kind, Table};

/// A term of Lucene holds 32,766 bytes, and a character takes up to four. A longer text is kept and not searchable.
const TERM_CHARACTERS: u32 = 8_191;
const DATE_FORMAT: &str = "strict_date_optional_time||epoch_millis";
/// How long a delete is remembered against an older write that comes late.
pub(super) const TOMBSTONES_FOR: &str = "1h";
/// Above the templates of the server's makers, which end at 200 or so.
const PRIORITY: u32 = 500;

/// The mapping of a table's indices. `table_id` says whose they are.
pub(super) fn mapping(table: &Table, table_id: &str) -> Value {
    let fields = table.columns.iter().map(|column| (column.name.clone(), field(&column.kind, &column.data_type)));
    json!({
        "dynamic": false,
        "_meta": { "bluelake": { "table": table.name, "table_id": table_id } },
        "properties": fields.collect::<Map<_, _>>(),
    })
}

/// The settings of a table's indices.
pub(super) fn settings(shards: Option<u32>, replicas: Option<u32>) -> Value {
    let mut index = json!({ "gc_deletes": TOMBSTONES_FOR });
    for (name, count) in [("number_of_shards", shards), ("number_of_replicas", replicas)] {
        if let (Some(count), Some(index)) = (count, index.as_object_mut()) {
            index.insert(name.to_owned(), count.into());
        }
    }
    json!({ "index": index })
}

/// The template of indices of these names.
pub(super) fn template(pattern: &str, mapping: &Value, settings: &Value) -> Value {
    json!({
        "index_patterns": [pattern],
        "priority": PRIORITY,
        "template": { "settings": settings, "mappings": mapping },
    })
}

fn field(kind: &Kind, data_type: &DataType) -> Value {
    match kind {
        Kind::Text | Kind::Uuid => keyword(),
        Kind::Json => json!({ "type": "object", "enabled": false }),
        Kind::List => list(data_type),
        Kind::Integer | Kind::SmallInteger => json!({ "type": "long" }),
        Kind::Number => json!({ "type": "double" }),
        Kind::Truth => json!({ "type": "boolean" }),
        Kind::Timestamp | Kind::Date => date(),
        Kind::Bytes => json!({ "type": "binary" }),
    }
}

fn keyword() -> Value {
    json!({ "type": "keyword", "ignore_above": TERM_CHARACTERS })
}

fn date() -> Value {
    json!({ "type": "date", "format": DATE_FORMAT })
}

fn list(data_type: &DataType) -> Value {
    let mut properties = Map::new();
    if let DataType::List(entry) = data_type
        && let DataType::Struct(fields) = entry.data_type()
    {
        for field in fields {
            let shape = match field.data_type() {
                DataType::Int64 | DataType::Int32 => json!({ "type": "long" }),
                DataType::Float64 => json!({ "type": "double" }),
                DataType::Boolean => json!({ "type": "boolean" }),
                DataType::Timestamp(..) | DataType::Date32 => date(),
                _ => keyword(),
            };
            properties.insert(field.name().clone(), shape);
        }
    }
    json!({ "type": "nested", "dynamic": false, "properties": properties })
}

/// What a mapping that is there says against the one that is wanted; none: it fits, though fields may be missing.
pub(super) fn differences(wanted: &Value, found: &Value) -> Vec<String> {
    let mut differences = Vec::new();
    let dynamic = found.get("dynamic");
    if !is_false(dynamic) {
        let dynamic = dynamic.map_or_else(|| "true".to_owned(), Value::to_string);
        differences.push(format!("dynamic is {dynamic} and should be false"));
    }
    fields_differ(wanted, found, "", &mut differences);
    differences
}

fn fields_differ(wanted: &Value, found: &Value, above: &str, differences: &mut Vec<String>) {
    let none = Map::new();
    let (wanted, found) = (properties(wanted), properties(found));
    for (name, wanted) in wanted.unwrap_or(&none) {
        let Some(found) = found.and_then(|found| found.get(name)) else { continue };
        let (is, should) = (type_of(found), type_of(wanted));
        if is != should {
            differences.push(format!("field '{above}{name}' is {is} and should be {should}"));
        } else if is_false(wanted.get("enabled")) != is_false(found.get("enabled")) {
            differences.push(format!("field '{above}{name}' is looked into and should not be (enabled: false)"));
        } else {
            fields_differ(wanted, found, &format!("{above}{name}."), differences);
        }
    }
}

/// Fields that a mapping lacks, at any depth.
pub(super) fn lacks_fields(wanted: &Value, found: &Value) -> bool {
    let found = properties(found);
    properties(wanted).into_iter().flatten().any(|(name, wanted)| {
        let found = found.and_then(|found| found.get(name));
        found.is_none_or(|found| lacks_fields(wanted, found))
    })
}

/// A field with fields below it and no type is an object.
fn type_of(field: &Value) -> &str {
    field.get("type").and_then(Value::as_str).unwrap_or("object")
}

fn properties(field: &Value) -> Option<&Map<String, Value>> {
    field.get("properties").and_then(Value::as_object)
}

/// Servers write it as a truth value or as a text.
fn is_false(value: Option<&Value>) -> bool {
    value.is_some_and(|value| *value == Value::Bool(false) || value.as_str() == Some("false"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::columns::{self, Columns};

    fn transactions(columns: &Columns) -> Value {
        mapping(&columns::transactions(columns).0, "id")
    }

    #[test]
    fn each_kind_of_the_contract_has_a_field() {
        let mapping = transactions(&Columns::All);
        let type_of = |name: &str| mapping["properties"][name]["type"].clone();
        for (name, expected) in [
            ("event_id", "keyword"),
            ("event_type", "keyword"),
            ("occurred_at", "date"),
            ("event_date", "date"),
            ("points", "long"),
            ("items", "nested"),
            ("stream_sub_sequence", "long"),
        ] {
            assert_eq!(type_of(name), expected, "{name}");
        }
        assert_eq!(mapping["properties"]["extras"], json!({ "type": "object", "enabled": false }));
        assert_eq!(mapping["properties"]["occurred_at"]["format"], DATE_FORMAT);
        assert_eq!(mapping["dynamic"], false);
        assert!(!mapping["properties"]["items"]["properties"].as_object().unwrap().is_empty());
        assert!(transactions(&Columns::WithoutPersonal)["properties"].get("extras").is_none());
    }

    #[test]
    fn servers_may_write_the_same_shape_otherwise() {
        let wanted = transactions(&Columns::All);
        let mut found = wanted.clone();
        found["dynamic"] = "false".into();
        found["properties"]["items"]["dynamic"] = "false".into();
        found["properties"]["event_date"].as_object_mut().unwrap().remove("format");
        assert!(differences(&wanted, &found).is_empty());
        assert!(!lacks_fields(&wanted, &found));
    }

    #[test]
    fn what_differs_is_named() {
        let wanted = transactions(&Columns::All);
        let mut found = wanted.clone();
        found.as_object_mut().unwrap().remove("dynamic");
        found["properties"]["points"]["type"] = "text".into();
        found["properties"]["extras"] = json!({ "properties": { "a": { "type": "long" } } });
        let name = wanted["properties"]["items"]["properties"].as_object().unwrap().keys().next().unwrap().clone();
        found["properties"]["items"]["properties"][&name] = json!({ "type": "ip" });
        let told = differences(&wanted, &found).join("; ");
        for part in ["dynamic is true", "'points' is text and should be long", "'extras'", "is ip and should be"] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(told.contains(&format!("'items.{name}'")), "{told}");
    }

    #[test]
    fn a_mapping_of_an_older_contract_only_lacks_fields() {
        let wanted = transactions(&Columns::All);
        let mut found = wanted.clone();
        found["properties"].as_object_mut().unwrap().remove("points");
        assert!(differences(&wanted, &found).is_empty());
        assert!(lacks_fields(&wanted, &found));
    }

    #[test]
    fn settings_remember_deletes() {
        assert_eq!(settings(None, None), json!({ "index": { "gc_deletes": "1h" } }));
        let both = json!({ "index": { "gc_deletes": "1h", "number_of_shards": 2, "number_of_replicas": 0 } });
        assert_eq!(settings(Some(2), Some(0)), both);
    }
}
