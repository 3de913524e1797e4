//! The faults of a contract, each with the file, the field and what to do about it.

use std::path::PathBuf;

/// Why a contract cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// A contract file cannot be read.
    #[error("cannot read the contract file {}: check that it exists and may be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A contract file is not TOML, or has a key that the contract does not know, or lacks one.
    #[error("the contract file {file} cannot be understood: correct the line named here")]
    Syntax {
        /// The file.
        file: String,
        /// The message of the parser, with line and column.
        source: Box<toml::de::Error>,
    },
    /// A contract file as a whole breaks a rule of contracts.
    #[error("the contract file {file}: {fault}")]
    File {
        /// The file.
        file: String,
        /// What is wrong and what to do.
        fault: Fault,
    },
    /// A field breaks a rule of contracts.
    #[error("the contract file {file}, field {field:?}: {fault}")]
    Field {
        /// The file.
        file: String,
        /// The field, with its list in front when it is inside one, as in `items.sku`.
        field: String,
        /// What is wrong and what to do.
        fault: Fault,
    },
}

/// One rule that a contract breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant is its documentation")]
pub enum Fault {
    #[error("{key} must be at least 1")]
    VersionTooLow { key: &'static str },
    #[error("{key} differs from envelope.toml: write the same number in all three files")]
    VersionsDiffer { key: &'static str },
    #[error("describes stream {found:?}: this file must say stream = {expected:?}")]
    WrongStream { found: String, expected: &'static str },
    #[error("has no event types: add at least one [[event_types]]")]
    NoEventTypes,
    #[error("event type {event_type:?} stands there twice: remove one")]
    DuplicateEventType { event_type: String },
    #[error("enum {name:?} is empty: give it values")]
    EmptyEnum { name: String },
    #[error("enum {name:?} lists {value:?} twice: remove one")]
    DuplicateEnumValue { name: String, value: String },
    #[error("enum {name:?} is defined in envelope.toml already: use that one or choose another name")]
    DuplicateEnum { name: String },
    #[error("the envelope needs the field {name} with {needs}: restore it")]
    EnvelopeFieldMissing { name: &'static str, needs: &'static str },
    #[error(
        "the name {name:?} cannot be used: start with a lower-case letter, then lower-case letters, digits and _, at most 64"
    )]
    BadName { name: String },
    #[error("is defined twice, in this file or in envelope.toml: rename or remove one")]
    DuplicateField,
    #[error("has the name of a column that Bluelake adds itself: choose another name")]
    ReservedColumn,
    #[error("type {found:?} is not known: use string, enum, integer, number, boolean, timestamp or list")]
    UnknownType { found: String },
    #[error("the type {found} belongs to the envelope only: use another type")]
    EnvelopeType { found: String },
    #[error("has no description: say in a sentence what it means")]
    NoDescription,
    #[error("names the event type {event_type:?}, which the file does not define: correct it or add [[event_types]]")]
    UnknownEventType { event_type: String },
    #[error("names the event type {event_type:?} twice in required_in and optional_in: keep one")]
    EventTypeTwice { event_type: String },
    #[error("belongs to no event type: list at least one in required_in or optional_in")]
    NoEventType,
    #[error("needs the key {key}: add it")]
    KeyMissing { key: &'static str },
    #[error("the key {key} does not fit here or this type: remove it")]
    KeyNotAllowed { key: &'static str },
    #[error("enum {name:?} is not defined: add it under [enums] or correct `values`")]
    UnknownEnum { name: String },
    #[error("{value:?} is not a value of the enum {name:?}: correct `allowed` or `is`, or extend the enum")]
    NotInEnum { name: String, value: String },
    #[error("an empty list of values would reject every event: list at least one")]
    NothingAllowed,
    #[error("min is above max: no value would be accepted")]
    EmptyRange,
    #[error("{key} must be a whole number for an integer")]
    FractionalBound { key: &'static str },
    #[error("{key} must be a finite number")]
    InfiniteBound { key: &'static str },
    #[error("format {found:?} is not known: use uuid or zip_code")]
    UnknownFormat { found: String },
    #[error("max_bytes must be between 1 and 1048576")]
    BadMaxBytes,
    #[error(
        "needs the key {key}, the number of its column in the files, which no other column has or ever had: add {key} = {next}"
    )]
    FieldIdMissing { key: &'static str, next: i64 },
    #[error(
        "the number {id} cannot be used: columns of this file, also removed ones, have numbers from {first} to {last}"
    )]
    FieldIdOutOfRange { id: i64, first: i64, last: i64 },
    #[error("the number {id} is that of {name:?} already: take {next}")]
    FieldIdTwice { id: i64, name: String, next: i64 },
    #[error("the number {id} was that of {name:?}, which was removed; files of that time still have it: take {next}")]
    FieldIdRetired { id: i64, name: String, next: i64 },
    #[error(
        "had the number {id} before it was removed: give it that number again and take it from [retired_field_ids]"
    )]
    NameRetired { id: i64 },
    #[error("[retired_field_ids] gives the number {id} to {name:?} and to {other:?}: correct one")]
    RetiredTwice { id: i64, name: String, other: String },
    #[error("lists may not hold lists: give its fields simple types")]
    NestedList,
    #[error("a list needs at least one field under [[fields.fields]]")]
    EmptyList,
    #[error("a rule names it, but it is no enum field of the event type {event_type:?}: correct the rule")]
    NotForRule { event_type: String },
    #[error("a rule names the event type {event_type:?}, which the file does not define: correct the rule")]
    RuleForUnknownEventType { event_type: String },
    #[error("has a rule, an event type or a stream without a description: say in a sentence what it means")]
    Undescribed,
}
