//! The contract as the other rooms see it: checked, complete, immutable and cheap to clone.
//!
//! It is read from `envelope.toml`, `user_events.toml` and `transaction_events.toml`, either compiled in or in a
//! folder. Reading checks everything; the result needs no further checks.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use serde::Deserialize;

use crate::check;
use crate::dictionary::{self, DictionaryRow};
use crate::error::ContractError;
use crate::json_schema;
use crate::source::{EnvelopeFile, StreamFile};
use crate::stream::Stream;
use crate::tables;

pub(crate) const ENVELOPE_FILE: &str = "envelope.toml";

/// Files of a contract, all three in one folder.
pub const CONTRACT_FILES: [&str; 3] = [ENVELOPE_FILE, Stream::UserEvents.file(), Stream::TransactionEvents.file()];

/// The whole contract: both streams at one version.
#[derive(Clone, Debug)]
pub struct Contract {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    version: i32,
    user_events: StreamContract,
    transaction_events: StreamContract,
}

impl Contract {
    /// The contract that is compiled in.
    ///
    /// # Errors
    /// [`ContractError`] names the file and field at fault; the crate's tests keep that from happening here.
    pub fn embedded() -> Result<Self, ContractError> {
        Self::from_texts(
            include_str!("../events/envelope.toml"),
            include_str!("../events/user_events.toml"),
            include_str!("../events/transaction_events.toml"),
        )
    }

    /// The contract in a folder that holds the three files of [`crate::CONTRACT_FILES`].
    ///
    /// # Errors
    /// [`ContractError`] when a file cannot be read or understood, or breaks a rule; it says which and what to do.
    pub fn load(folder: &Path) -> Result<Self, ContractError> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).map_err(|source| ContractError::Read { path, source })
        };
        Self::from_texts(
            &read(ENVELOPE_FILE)?,
            &read(Stream::UserEvents.file())?,
            &read(Stream::TransactionEvents.file())?,
        )
    }

    pub(crate) fn from_texts(
        envelope: &str,
        user_events: &str,
        transaction_events: &str,
    ) -> Result<Self, ContractError> {
        let envelope: EnvelopeFile = parse(ENVELOPE_FILE, envelope)?;
        let version = check::envelope(&envelope)?;
        let stream = |stream: Stream, text: &str| {
            let file: StreamFile = parse(stream.file(), text)?;
            check::stream(stream, file, &envelope)
        };
        Ok(Self {
            inner: Arc::new(Inner {
                version,
                user_events: stream(Stream::UserEvents, user_events)?,
                transaction_events: stream(Stream::TransactionEvents, transaction_events)?,
            }),
        })
    }

    /// Version of the contract; stored with every rejected event.
    pub fn version(&self) -> i32 {
        self.inner.version
    }

    /// What the contract says about one stream.
    pub fn stream(&self, stream: Stream) -> &StreamContract {
        match stream {
            Stream::UserEvents => &self.inner.user_events,
            Stream::TransactionEvents => &self.inner.transaction_events,
        }
    }

    /// JSON Schema (draft 2020-12) of a stream's events, for producers: one alternative for each event type.
    pub fn json_schema(&self, stream: Stream) -> serde_json::Value {
        json_schema::of_stream(self.stream(stream))
    }

    /// One row for each column of each table, in table and column order.
    pub fn dictionary(&self) -> Vec<DictionaryRow> {
        dictionary::of_contract(self)
    }
}

fn parse<File: serde::de::DeserializeOwned>(file: &str, text: &str) -> Result<File, ContractError> {
    toml::from_str(text).map_err(|source| ContractError::Syntax { file: file.to_owned(), source: Box::new(source) })
}

/// What the contract says about one stream.
#[derive(Clone, Debug)]
pub struct StreamContract {
    pub(crate) stream: Stream,
    pub(crate) version: i32,
    pub(crate) max_schema_version: i32,
    pub(crate) description: String,
    pub(crate) event_types: Vec<EventType>,
    pub(crate) envelope: Vec<Field>,
    pub(crate) fields: Vec<Field>,
    pub(crate) rules: Vec<Rule>,
}

impl StreamContract {
    /// The stream.
    pub fn stream(&self) -> Stream {
        self.stream
    }

    /// Version of the contract.
    pub fn version(&self) -> i32 {
        self.version
    }

    /// The highest `schema_version` that an event may have.
    pub fn max_schema_version(&self) -> i32 {
        self.max_schema_version
    }

    /// What the stream is about, a sentence.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Event types, in the order of the file.
    pub fn event_types(&self) -> &[EventType] {
        &self.event_types
    }

    /// Fields of every event, in the order of `envelope.toml`; they belong to each event type of this stream.
    pub fn envelope(&self) -> &[Field] {
        &self.envelope
    }

    /// Fields beside the envelope, in the order of the file, which is the order of their columns.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Envelope and other fields, in column order.
    pub fn all_fields(&self) -> impl Iterator<Item = &Field> {
        self.envelope.iter().chain(&self.fields)
    }

    /// Rules between two fields of one event type.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Schema of the stream's table, partition columns included. Each column has its description and its number as metadata.
    pub fn table_schema(&self) -> SchemaRef {
        tables::event_table_schema(self)
    }
}

/// A kind of event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventType {
    /// Value of `event_type`, lower case with underscores.
    pub name: String,
    /// What happened, a sentence.
    pub description: String,
}

/// A field of events: its values, the event types that have it, and its treatment on arrival.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Key in the JSON object and name of the column.
    pub name: String,
    /// Number of the column in Parquet files; `None` without a column.
    pub field_id: Option<i32>,
    /// Type and limits.
    pub kind: FieldKind,
    /// Event types that must have it. Inside a list: those of the list, when every entry must have it.
    pub required_in: Vec<String>,
    /// Event types that may have it. Inside a list: those of the list, when an entry may lack it.
    pub optional_in: Vec<String>,
    /// Whether it is personal data.
    pub pii: bool,
    /// Whether it reaches the table.
    pub on_arrival: OnArrival,
    /// What it means, a sentence.
    pub description: String,
    /// Unit of a number, in words.
    pub unit: Option<String>,
}

impl Field {
    /// Whether events of this type have the field, and must.
    pub fn presence(&self, event_type: &str) -> Presence {
        if self.required_in.iter().any(|name| name == event_type) {
            Presence::Required
        } else if self.optional_in.iter().any(|name| name == event_type) {
            Presence::Optional
        } else {
            Presence::Absent
        }
    }

    /// Whether the field has a column in the table.
    pub fn is_kept(&self) -> bool {
        self.on_arrival == OnArrival::Keep
    }
}

/// Whether events of some type have a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// They must have it; `null` counts as missing.
    Required,
    /// They may have it; `null` counts as absent.
    Optional,
    /// They do not have it; a value is kept as an unknown field.
    Absent,
}

/// The treatment of a field's value when the event arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnArrival {
    /// It is stored.
    #[default]
    Keep,
    /// It is checked, then dropped; it has no column.
    Drop,
}

/// What comes of an event with a text that is longer than its `max_bytes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Longer {
    /// It is rejected.
    #[default]
    Rejected,
    /// It is a row as any other, with the whole text. A target whose columns have widths tells that the text does not fit.
    Kept,
}

/// Type of a field, with the limits of its values. All limits are inclusive.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldKind {
    /// Text.
    String {
        /// Longest value in bytes of UTF-8.
        max_bytes: Option<usize>,
        /// What a longer one is.
        longer: Longer,
        /// Form that the value must have.
        format: Option<Format>,
    },
    /// One of some texts.
    Enum {
        /// Name of the enum.
        set: String,
        /// Every value of the enum.
        values: Vec<String>,
        /// The values that this field may have: all, or those of its role.
        allowed: Vec<String>,
    },
    /// Whole number of 64 bits.
    Integer {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// Finite number, kept as a double.
    Number {
        /// Smallest value.
        min: f64,
        /// Largest value.
        max: f64,
    },
    /// `true` or `false`.
    Boolean,
    /// RFC 3339 with offset, or whole milliseconds since 1970; stored in microseconds, UTC.
    Timestamp,
    /// The name of one of the stream's event types. Envelope only.
    EventType,
    /// Version of the contract that the producer knew: from 1 to the highest known, 1 when absent. Envelope only.
    SchemaVersion,
    /// Array of objects.
    List {
        /// Number of the entries in Parquet files; `None` without a column.
        entry_field_id: Option<i32>,
        /// Fields of each object; none of them is a list.
        fields: Vec<Field>,
    },
}

impl FieldKind {
    /// The bytes above which a text is rejected.
    #[must_use]
    pub fn rejected_above(&self) -> Option<usize> {
        match self {
            Self::String { max_bytes, longer: Longer::Rejected, .. } => *max_bytes,
            _ => None,
        }
    }

    /// The bytes that a column of texts needs, whether or not longer ones are rejected; `None`: there is no bound.
    #[must_use]
    pub fn text_bytes(&self) -> Option<usize> {
        match self {
            Self::String { format: Some(Format::Uuid), .. } => Some(36),
            Self::String { format: Some(Format::ZipCode), .. } => Some(5),
            Self::String { max_bytes, .. } => *max_bytes,
            Self::Enum { values, .. } => values.iter().map(String::len).max(),
            _ => None,
        }
    }
}

/// Form of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A UUID with hyphens, in either case; stored in lower case.
    Uuid,
    /// Five digits.
    ZipCode,
}

/// A rule for events of one type: if one enum field has one of some values, another must have one of some values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The event type.
    pub event_type: String,
    /// When the rule applies.
    pub when: Condition,
    /// The condition that must hold then. An absent field satisfies it.
    pub then: Condition,
    /// The rule, a sentence.
    pub description: String,
}

/// A field has one of some values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Name of an enum field.
    pub field: String,
    /// The values.
    pub is: Vec<String>,
}
