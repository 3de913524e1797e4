//! Why an event is rejected: a code and the path of a field, never a value, because values are personal data.

use std::fmt;

/// Reason for which an event is rejected, stored as its [`ReasonCode::as_str`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReasonCode {
    /// The record is empty or white space only.
    Empty,
    /// Not JSON by RFC 8259.
    NotJson,
    /// JSON, but not an object.
    NotObject,
    /// Not UTF-8, or an escape that has no UTF-8.
    NotUtf8,
    /// A string holds U+0000.
    BadString,
    /// Nested deeper than 32 levels.
    TooDeep,
    /// A field of the contract occurs twice.
    DuplicateKey,
    /// A text is longer than its field allows, unknown fields are too long, or a record has too many values.
    TooLarge,
    /// A required field is missing or null.
    MissingField,
    /// A value has another JSON type than its field.
    WrongType,
    /// A number is outside of its field's limits.
    OutOfRange,
    /// A text is not a value of its field's enum.
    NotInEnum,
    /// This role or combination of fields may not have the value.
    RuleViolated,
    /// A time is not in the form of the contract.
    BadTimestamp,
    /// A time before 2020 or more than a day after arrival.
    ImplausibleTimestamp,
    /// Not a UUID.
    BadUuid,
    /// The stream does not have this event type.
    UnknownEventType,
    /// A schema version above the highest known.
    UnsupportedSchemaVersion,
    /// A text does not have its field's form.
    BadFormat,
    /// An aggregated record that is damaged, refers to keys it lacks, or holds another aggregate.
    AggregationCorrupt,
    /// An aggregated record of too many sub-records, or of too much data in them.
    AggregationLimit,
    /// A compressed payload that is damaged, or that holds another wrapped payload.
    DecompressionFailed,
    /// A compressed payload that becomes too long.
    DecompressionLimit,
}

impl ReasonCode {
    /// Every code.
    pub const ALL: [ReasonCode; 23] = [
        ReasonCode::Empty,
        ReasonCode::NotJson,
        ReasonCode::NotObject,
        ReasonCode::NotUtf8,
        ReasonCode::BadString,
        ReasonCode::TooDeep,
        ReasonCode::DuplicateKey,
        ReasonCode::TooLarge,
        ReasonCode::MissingField,
        ReasonCode::WrongType,
        ReasonCode::OutOfRange,
        ReasonCode::NotInEnum,
        ReasonCode::RuleViolated,
        ReasonCode::BadTimestamp,
        ReasonCode::ImplausibleTimestamp,
        ReasonCode::BadUuid,
        ReasonCode::UnknownEventType,
        ReasonCode::UnsupportedSchemaVersion,
        ReasonCode::BadFormat,
        ReasonCode::AggregationCorrupt,
        ReasonCode::AggregationLimit,
        ReasonCode::DecompressionFailed,
        ReasonCode::DecompressionLimit,
    ];

    /// The code as it is stored, lower case with underscores.
    pub fn as_str(self) -> &'static str {
        match self {
            ReasonCode::Empty => "empty",
            ReasonCode::NotJson => "not_json",
            ReasonCode::NotObject => "not_object",
            ReasonCode::NotUtf8 => "not_utf8",
            ReasonCode::BadString => "bad_string",
            ReasonCode::TooDeep => "too_deep",
            ReasonCode::DuplicateKey => "duplicate_key",
            ReasonCode::TooLarge => "too_large",
            ReasonCode::MissingField => "missing_field",
            ReasonCode::WrongType => "wrong_type",
            ReasonCode::OutOfRange => "out_of_range",
            ReasonCode::NotInEnum => "not_in_enum",
            ReasonCode::RuleViolated => "rule_violated",
            ReasonCode::BadTimestamp => "bad_timestamp",
            ReasonCode::ImplausibleTimestamp => "implausible_timestamp",
            ReasonCode::BadUuid => "bad_uuid",
            ReasonCode::UnknownEventType => "unknown_event_type",
            ReasonCode::UnsupportedSchemaVersion => "unsupported_schema_version",
            ReasonCode::BadFormat => "bad_format",
            ReasonCode::AggregationCorrupt => "aggregation_corrupt",
            ReasonCode::AggregationLimit => "aggregation_limit",
            ReasonCode::DecompressionFailed => "decompression_failed",
            ReasonCode::DecompressionLimit => "decompression_limit",
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// Why an event is rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The reason.
    pub reason: ReasonCode,
    /// The field at fault, as in `points` or `items[2].sku`: only names of the contract and numbers.
    pub field_path: Option<String>,
}

impl Rejected {
    /// A fault of the event as a whole.
    pub(crate) fn whole(reason: ReasonCode) -> Self {
        Self { reason, field_path: None }
    }

    /// About one field.
    pub(crate) fn field(reason: ReasonCode, path: impl Into<String>) -> Self {
        Self { reason, field_path: Some(path.into()) }
    }
}
