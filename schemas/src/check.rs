//! From the files as written to the contract. Every rule of contracts is checked here, and the first fault is reported.

use std::collections::BTreeSet;

use crate::contract::{Condition, ENVELOPE_FILE, EventType, Field, FieldKind, Format, OnArrival, Rule, StreamContract};
use crate::error::{ContractError, Fault};
use crate::field_ids::{self, FieldIds};
use crate::source::{
    Bound, ConditionSource, Enums, EnvelopeFile, EventTypeSource, FieldSource, RuleSource, StreamFile,
};
use crate::stream::Stream;
use crate::tables;

const MAX_NAME_BYTES: usize = 64;
const MAX_STRING_BYTES: i64 = 1 << 20;

/// Checks `envelope.toml` by itself and gives the contract's version.
pub(crate) fn envelope(file: &EnvelopeFile) -> Result<i32, ContractError> {
    let checked = FileCheck::of_envelope(file, &[]);
    checked.versions(file.contract_version, file.max_schema_version)?;
    checked.enums_are_sound(&file.enums)?;
    let mut names = BTreeSet::new();
    let fields = file.fields.iter().map(|field| checked.field(field, Place::Envelope, &mut names));
    let fields = fields.collect::<Result<Vec<_>, _>>()?;
    checked.field_ids_are_sound(&fields)?;
    checked.anchors(&file.fields, &fields)?;
    Ok(file.contract_version)
}

/// Checks the file of one stream and joins it with the envelope, which has been checked.
pub(crate) fn stream(
    stream: Stream,
    file: StreamFile,
    envelope: &EnvelopeFile,
) -> Result<StreamContract, ContractError> {
    let event_types: Vec<String> = file.event_types.iter().map(|event_type| event_type.name.clone()).collect();
    let checked = FileCheck {
        file: stream.file(),
        event_types: &event_types,
        enums: vec![&file.enums, &envelope.enums],
        field_ids: FieldIds::of(field_ids::STREAM, &file.fields, &file.retired_field_ids),
    };
    checked.head(stream, &file, envelope)?;
    checked.event_types_are_sound(&file.event_types)?;
    checked.enums_are_sound(&file.enums)?;
    let mut names = BTreeSet::new();
    let envelope_check = FileCheck::of_envelope(envelope, &event_types);
    let envelope_fields = envelope.fields.iter().map(|field| envelope_check.field(field, Place::Envelope, &mut names));
    let envelope_fields = envelope_fields.collect::<Result<Vec<_>, _>>()?;
    let fields = file.fields.iter().map(|field| checked.field(field, Place::Stream, &mut names));
    let fields = fields.collect::<Result<Vec<_>, _>>()?;
    checked.field_ids_are_sound(&fields)?;
    let rules = file.rules.iter().map(|rule| checked.rule(rule, &fields)).collect::<Result<Vec<_>, _>>()?;
    Ok(StreamContract {
        stream,
        version: file.contract_version,
        max_schema_version: file.max_schema_version,
        description: file.description,
        event_types: file
            .event_types
            .into_iter()
            .map(|EventTypeSource { name, description }| EventType { name, description })
            .collect(),
        envelope: envelope_fields,
        fields,
        rules,
    })
}

/// The place of a field, which decides the possible keys and types.
#[derive(Clone, Copy)]
enum Place<'a> {
    Envelope,
    Stream,
    List(&'a FieldSource, &'a [String], &'a [String]),
}

/// The file being checked, and what its fields may refer to.
struct FileCheck<'a> {
    file: &'static str,
    event_types: &'a [String],
    enums: Vec<&'a Enums>,
    field_ids: FieldIds<'a>,
}

impl<'a> FileCheck<'a> {
    fn of_envelope(file: &'a EnvelopeFile, event_types: &'a [String]) -> Self {
        Self {
            file: ENVELOPE_FILE,
            event_types,
            enums: vec![&file.enums],
            field_ids: FieldIds::of(field_ids::ENVELOPE, &file.fields, &file.retired_field_ids),
        }
    }
}

impl FileCheck<'_> {
    fn file_fault(&self, fault: Fault) -> ContractError {
        ContractError::File { file: self.file.to_owned(), fault }
    }

    fn field_fault(&self, field: &str, fault: Fault) -> ContractError {
        ContractError::Field { file: self.file.to_owned(), field: field.to_owned(), fault }
    }

    fn file_must(&self, holds: bool, fault: impl FnOnce() -> Fault) -> Result<(), ContractError> {
        if holds { Ok(()) } else { Err(self.file_fault(fault())) }
    }

    fn versions(&self, contract: i32, schema: i32) -> Result<(), ContractError> {
        self.file_must(contract >= 1, || Fault::VersionTooLow { key: "contract_version" })?;
        self.file_must(schema >= 1, || Fault::VersionTooLow { key: "max_schema_version" })
    }

    fn head(&self, stream: Stream, file: &StreamFile, envelope: &EnvelopeFile) -> Result<(), ContractError> {
        self.versions(file.contract_version, file.max_schema_version)?;
        self.file_must(file.contract_version == envelope.contract_version, || Fault::VersionsDiffer {
            key: "contract_version",
        })?;
        self.file_must(file.max_schema_version == envelope.max_schema_version, || Fault::VersionsDiffer {
            key: "max_schema_version",
        })?;
        self.file_must(file.stream == stream.name(), || Fault::WrongStream {
            found: file.stream.clone(),
            expected: stream.name(),
        })?;
        self.file_must(!file.description.trim().is_empty(), || Fault::Undescribed)?;
        match file.enums.keys().find(|name| envelope.enums.contains_key(*name)) {
            Some(name) => Err(self.file_fault(Fault::DuplicateEnum { name: name.clone() })),
            None => Ok(()),
        }
    }

    fn event_types_are_sound(&self, event_types: &[EventTypeSource]) -> Result<(), ContractError> {
        self.file_must(!event_types.is_empty(), || Fault::NoEventTypes)?;
        let mut seen = BTreeSet::new();
        for event_type in event_types {
            let name = &event_type.name;
            self.file_must(is_name(name), || Fault::BadName { name: name.clone() })?;
            self.file_must(seen.insert(name), || Fault::DuplicateEventType { event_type: name.clone() })?;
            self.file_must(!event_type.description.trim().is_empty(), || Fault::Undescribed)?;
        }
        Ok(())
    }

    fn enums_are_sound(&self, enums: &Enums) -> Result<(), ContractError> {
        for (name, values) in enums {
            self.file_must(!values.is_empty(), || Fault::EmptyEnum { name: name.clone() })?;
            let mut seen = BTreeSet::new();
            for value in values {
                self.file_must(seen.insert(value), || Fault::DuplicateEnumValue {
                    name: name.clone(),
                    value: value.clone(),
                })?;
            }
        }
        Ok(())
    }

    fn field_ids_are_sound(&self, fields: &[Field]) -> Result<(), ContractError> {
        self.field_ids.retired_are_sound().map_err(|fault| self.file_fault(fault))?;
        self.field_ids.are_sound(fields).map_err(|(field, fault)| self.field_fault(&field, fault))
    }

    /// The decoder needs these four, whatever else the envelope has.
    fn anchors(&self, sources: &[FieldSource], fields: &[Field]) -> Result<(), ContractError> {
        let needs = |name: &'static str, needs: &'static str, holds: fn(&FieldSource, &Field) -> bool| {
            let found = sources.iter().zip(fields).find(|(_, field)| field.name == name);
            let sound = found.is_some_and(|(source, field)| field.is_kept() && holds(source, field));
            self.file_must(sound, || Fault::EnvelopeFieldMissing { name, needs })
        };
        needs("event_id", "type string, format uuid, required = true", |source, field| {
            source.required == Some(true) && matches!(field.kind, FieldKind::String { format: Some(Format::Uuid), .. })
        })?;
        needs("event_type", "type event_type, required = true", |source, field| {
            source.required == Some(true) && field.kind == FieldKind::EventType
        })?;
        needs("schema_version", "type schema_version, required = false", |source, field| {
            source.required == Some(false) && field.kind == FieldKind::SchemaVersion
        })?;
        needs("occurred_at", "type timestamp, required = true", |source, field| {
            source.required == Some(true) && field.kind == FieldKind::Timestamp
        })
    }

    fn field(
        &self,
        source: &FieldSource,
        place: Place<'_>,
        names: &mut BTreeSet<String>,
    ) -> Result<Field, ContractError> {
        let path = match place {
            Place::List(list, ..) => format!("{}.{}", list.name, source.name),
            Place::Envelope | Place::Stream => source.name.clone(),
        };
        let (required_in, optional_in) = self
            .name_is_sound(source, place, names)
            .and_then(|()| self.presence(source, place))
            .map_err(|fault| self.field_fault(&path, fault))?;
        let kind = match self.scalar_kind(source, place).map_err(|fault| self.field_fault(&path, fault))? {
            Some(kind) => kind,
            None => self.list_kind(source, &required_in, &optional_in)?,
        };
        let list = if let Place::List(list, ..) = place { list } else { source };
        let has_column = list.on_arrival == OnArrival::Keep;
        let field_id = self.field_ids.number("field_id", source.field_id, has_column);
        Ok(Field {
            name: source.name.clone(),
            field_id: field_id.map_err(|fault| self.field_fault(&path, fault))?,
            kind,
            required_in,
            optional_in,
            pii: source.pii,
            on_arrival: source.on_arrival,
            description: source.description.trim().to_owned(),
            unit: source.unit.clone(),
        })
    }

    fn name_is_sound(&self, source: &FieldSource, place: Place<'_>, names: &mut BTreeSet<String>) -> Result<(), Fault> {
        must(is_name(&source.name), || Fault::BadName { name: source.name.clone() })?;
        must(names.insert(source.name.clone()), || Fault::DuplicateField)?;
        must(matches!(place, Place::List(..)) || !tables::is_reserved(&source.name), || Fault::ReservedColumn)?;
        must(!source.description.trim().is_empty(), || Fault::NoDescription)?;
        let dropped_in_list = matches!(place, Place::List(..)) && source.on_arrival == OnArrival::Drop;
        must(!dropped_in_list, || Fault::KeyNotAllowed { key: "on_arrival" })
    }

    /// The event types that must and that may have the field.
    fn presence(&self, source: &FieldSource, place: Place<'_>) -> Result<(Vec<String>, Vec<String>), Fault> {
        let everywhere = match place {
            Place::Stream => return self.presence_by_event_type(source),
            Place::Envelope => self.event_types.to_vec(),
            Place::List(_, required_in, optional_in) => [required_in, optional_in].concat(),
        };
        must(source.required_in.is_none(), || Fault::KeyNotAllowed { key: "required_in" })?;
        must(source.optional_in.is_none(), || Fault::KeyNotAllowed { key: "optional_in" })?;
        match source.required {
            Some(true) => Ok((everywhere, Vec::new())),
            Some(false) => Ok((Vec::new(), everywhere)),
            None => Err(Fault::KeyMissing { key: "required" }),
        }
    }

    fn presence_by_event_type(&self, source: &FieldSource) -> Result<(Vec<String>, Vec<String>), Fault> {
        must(source.required.is_none(), || Fault::KeyNotAllowed { key: "required" })?;
        let required_in = source.required_in.clone().unwrap_or_default();
        let optional_in = source.optional_in.clone().unwrap_or_default();
        let mut seen = BTreeSet::new();
        for event_type in required_in.iter().chain(&optional_in) {
            must(self.event_types.contains(event_type), || Fault::UnknownEventType { event_type: event_type.clone() })?;
            must(seen.insert(event_type), || Fault::EventTypeTwice { event_type: event_type.clone() })?;
        }
        must(!seen.is_empty(), || Fault::NoEventType)?;
        Ok((required_in, optional_in))
    }

    /// The type, unless it is a list.
    fn scalar_kind(&self, source: &FieldSource, place: Place<'_>) -> Result<Option<FieldKind>, Fault> {
        keys_fit(source)?;
        let envelope_only = |kind: FieldKind| match place {
            Place::Envelope => Ok(Some(kind)),
            Place::Stream | Place::List(..) => Err(Fault::EnvelopeType { found: source.kind.clone() }),
        };
        match source.kind.as_str() {
            "string" => string_kind(source).map(Some),
            "enum" => self.enum_kind(source).map(Some),
            "integer" => integer_kind(source).map(Some),
            "number" => number_kind(source).map(Some),
            "boolean" => Ok(Some(FieldKind::Boolean)),
            "timestamp" => Ok(Some(FieldKind::Timestamp)),
            "event_type" => envelope_only(FieldKind::EventType),
            "schema_version" => envelope_only(FieldKind::SchemaVersion),
            "list" if matches!(place, Place::List(..)) => Err(Fault::NestedList),
            "list" => Ok(None),
            found => Err(Fault::UnknownType { found: found.to_owned() }),
        }
    }

    fn enum_kind(&self, source: &FieldSource) -> Result<FieldKind, Fault> {
        let set = source.values.clone().ok_or(Fault::KeyMissing { key: "values" })?;
        let values = self
            .enums
            .iter()
            .find_map(|enums| enums.get(&set))
            .ok_or_else(|| Fault::UnknownEnum { name: set.clone() })?;
        let allowed = source.allowed.clone().unwrap_or_else(|| values.clone());
        are_among(&allowed, values, &set)?;
        Ok(FieldKind::Enum { set, values: values.clone(), allowed })
    }

    fn list_kind(
        &self,
        source: &FieldSource,
        required_in: &[String],
        optional_in: &[String],
    ) -> Result<FieldKind, ContractError> {
        let fields = source.fields.as_deref().unwrap_or_default();
        if fields.is_empty() {
            return Err(self.field_fault(&source.name, Fault::EmptyList));
        }
        let mut names = BTreeSet::new();
        let place = Place::List(source, required_in, optional_in);
        let fields = fields.iter().map(|field| self.field(field, place, &mut names));
        let fields = fields.collect::<Result<_, _>>()?;
        let has_column = source.on_arrival == OnArrival::Keep;
        let entry_field_id = self.field_ids.number("entry_field_id", source.entry_field_id, has_column);
        let entry_field_id = entry_field_id.map_err(|fault| self.field_fault(&source.name, fault))?;
        Ok(FieldKind::List { entry_field_id, fields })
    }

    fn rule(&self, source: &RuleSource, fields: &[Field]) -> Result<Rule, ContractError> {
        let event_type = &source.event_type;
        let sound = self.event_types.contains(event_type);
        self.file_must(sound, || Fault::RuleForUnknownEventType { event_type: event_type.clone() })?;
        self.file_must(!source.description.trim().is_empty(), || Fault::Undescribed)?;
        let condition = |source: &ConditionSource| {
            condition(source, event_type, fields).map_err(|fault| self.field_fault(&source.field, fault))
        };
        Ok(Rule {
            event_type: event_type.clone(),
            when: condition(&source.when)?,
            then: condition(&source.then)?,
            description: source.description.trim().to_owned(),
        })
    }
}

fn condition(source: &ConditionSource, event_type: &str, fields: &[Field]) -> Result<Condition, Fault> {
    let belongs = |field: &&Field| field.required_in.iter().chain(&field.optional_in).any(|name| name == event_type);
    let field = fields.iter().find(|field| field.name == source.field).filter(belongs);
    match field.map(|field| &field.kind) {
        Some(FieldKind::Enum { set, values, .. }) => are_among(&source.is, values, set)?,
        _ => return Err(Fault::NotForRule { event_type: event_type.to_owned() }),
    }
    Ok(Condition { field: source.field.clone(), is: source.is.clone() })
}

fn must(holds: bool, fault: impl FnOnce() -> Fault) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err(fault()) }
}

fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME_BYTES
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

fn are_among(chosen: &[String], values: &[String], set: &str) -> Result<(), Fault> {
    must(!chosen.is_empty(), || Fault::NothingAllowed)?;
    match chosen.iter().find(|value| !values.contains(value)) {
        Some(value) => Err(Fault::NotInEnum { name: set.to_owned(), value: value.clone() }),
        None => Ok(()),
    }
}

/// Each key is allowed only where it has a meaning: a `min` without an effect would deceive.
fn keys_fit(source: &FieldSource) -> Result<(), Fault> {
    let kind = source.kind.as_str();
    let keys: [(&'static str, bool, &[&str]); 10] = [
        ("values", source.values.is_some(), &["enum"]),
        ("allowed", source.allowed.is_some(), &["enum"]),
        ("min", source.min.is_some(), &["integer", "number"]),
        ("max", source.max.is_some(), &["integer", "number"]),
        ("unit", source.unit.is_some(), &["integer", "number"]),
        ("max_bytes", source.max_bytes.is_some(), &["string"]),
        ("longer", source.longer.is_some(), &["string"]),
        ("format", source.format.is_some(), &["string"]),
        ("fields", source.fields.is_some(), &["list"]),
        ("entry_field_id", source.entry_field_id.is_some(), &["list"]),
    ];
    let known = keys.iter().any(|(.., kinds)| kinds.contains(&kind))
        || ["boolean", "timestamp", "event_type", "schema_version"].contains(&kind);
    must(known, || Fault::UnknownType { found: kind.to_owned() })?;
    match keys.iter().find(|(_, given, kinds)| *given && !kinds.contains(&kind)) {
        Some((key, ..)) => Err(Fault::KeyNotAllowed { key }),
        None => Ok(()),
    }
}

fn string_kind(source: &FieldSource) -> Result<FieldKind, Fault> {
    let max_bytes = match source.max_bytes {
        Some(bytes) if (1..=MAX_STRING_BYTES).contains(&bytes) => usize::try_from(bytes).ok(),
        Some(_) => return Err(Fault::BadMaxBytes),
        None => None,
    };
    must(source.longer.is_none() || max_bytes.is_some(), || Fault::KeyMissing { key: "max_bytes" })?;
    let format = match source.format.as_deref() {
        Some("uuid") => Some(Format::Uuid),
        Some("zip_code") => Some(Format::ZipCode),
        Some(found) => return Err(Fault::UnknownFormat { found: found.to_owned() }),
        None => None,
    };
    Ok(FieldKind::String { max_bytes, longer: source.longer.unwrap_or_default(), format })
}

fn integer_kind(source: &FieldSource) -> Result<FieldKind, Fault> {
    let bound = |key: &'static str, bound: Option<Bound>, otherwise: i64| match bound {
        Some(Bound::Integer(value)) => Ok(value),
        Some(Bound::Number(_)) => Err(Fault::FractionalBound { key }),
        None => Ok(otherwise),
    };
    let (min, max) = (bound("min", source.min, i64::MIN)?, bound("max", source.max, i64::MAX)?);
    must(min <= max, || Fault::EmptyRange)?;
    Ok(FieldKind::Integer { min, max })
}

fn number_kind(source: &FieldSource) -> Result<FieldKind, Fault> {
    let bound = |key: &'static str, bound: Option<Bound>, otherwise: f64| {
        let value = match bound {
            #[allow(clippy::cast_precision_loss, reason = "a limit beyond 2^53 may be rounded")]
            Some(Bound::Integer(value)) => value as f64,
            Some(Bound::Number(value)) => value,
            None => otherwise,
        };
        must(value.is_finite(), || Fault::InfiniteBound { key })?;
        Ok(value)
    };
    let (min, max) = (bound("min", source.min, f64::MIN)?, bound("max", source.max, f64::MAX)?);
    must(min <= max, || Fault::EmptyRange)?;
    Ok(FieldKind::Number { min, max })
}
