//! The event contract as data, and the schemas derived from it.
//!
//! `events/*.toml` say once what an event is: fields, types, which event types have them, limits, personal data. This
//! crate reads and checks those files and derives from them the Arrow schemas of the tables, the JSON Schema for
//! producers and the data dictionary. It decodes nothing and stores nothing.

mod check;
mod contract;
mod dictionary;
mod error;
mod field_ids;
mod json_schema;
mod source;
mod stream;
mod tables;
mod time;

pub use contract::{
    CONTRACT_FILES, Condition, Contract, EventType, Field, FieldKind, Format, Longer, OnArrival, Presence, Rule,
    StreamContract,
};
pub use dictionary::{DictionaryRow, type_in_words};
pub use error::{ContractError, Fault};
pub use stream::{Stream, UnknownStream};
pub use tables::{
    DESCRIPTION_KEY, EVENT_PARTITIONS, FIELD_ID_KEY, LINEAGE_COLUMNS, REJECTED_PARTITIONS, REJECTED_TABLE,
    rejected_events_schema, without_field_ids,
};
pub use time::{Micros, Millis};
