//! Kinds of users, types of events and states of a membership, by their names in the contract.

use std::fmt;

use bluelake_schemas::Stream;
use serde::{Deserialize, Serialize};

/// The role of a user in the community.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserKind {
    /// Meets officers, gives and spends points.
    Civilian,
    /// Earns points by meeting civilians, gives them away, never spends them.
    PoliceOfficer,
    /// Accepts points for goods.
    Merchant,
    /// Receives donations and spends them on goods.
    Charity,
    /// Receives donations and spends them; never donates.
    FamilyInNeed,
    /// Accepts points for fines and fees.
    Municipality,
}

impl UserKind {
    /// All kinds.
    pub const ALL: [UserKind; 6] = [
        UserKind::Civilian,
        UserKind::PoliceOfficer,
        UserKind::Merchant,
        UserKind::Charity,
        UserKind::FamilyInNeed,
        UserKind::Municipality,
    ];

    /// Name in the contract.
    pub fn name(self) -> &'static str {
        match self {
            UserKind::Civilian => "civilian",
            UserKind::PoliceOfficer => "police_officer",
            UserKind::Merchant => "merchant",
            UserKind::Charity => "charity",
            UserKind::FamilyInNeed => "family_in_need",
            UserKind::Municipality => "municipality",
        }
    }
}

impl fmt::Display for UserKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// Type of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventType {
    /// A user joined.
    UserCreated,
    /// Data of a user changed.
    UserUpdated,
    /// A user left.
    UserDeactivated,
    /// A civilian met an officer: mints points for both.
    Interaction,
    /// Points given to a charity or a family in need.
    Donation,
    /// Points spent at a provider: burns them.
    Redemption,
    /// Points given by one officer to another.
    Transfer,
}

impl EventType {
    /// All types.
    pub const ALL: [EventType; 7] = [
        EventType::UserCreated,
        EventType::UserUpdated,
        EventType::UserDeactivated,
        EventType::Interaction,
        EventType::Donation,
        EventType::Redemption,
        EventType::Transfer,
    ];

    /// Name in the contract.
    pub fn name(self) -> &'static str {
        match self {
            EventType::UserCreated => "user_created",
            EventType::UserUpdated => "user_updated",
            EventType::UserDeactivated => "user_deactivated",
            EventType::Interaction => "interaction",
            EventType::Donation => "donation",
            EventType::Redemption => "redemption",
            EventType::Transfer => "transfer",
        }
    }

    /// Stream that carries events of this type.
    pub fn stream(self) -> Stream {
        match self {
            EventType::UserCreated | EventType::UserUpdated | EventType::UserDeactivated => Stream::UserEvents,
            EventType::Interaction | EventType::Donation | EventType::Redemption | EventType::Transfer => {
                Stream::TransactionEvents
            }
        }
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// State of a membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserStatus {
    /// May act.
    Active,
    /// Does not act any more; keeps its balance.
    Deactivated,
}

impl UserStatus {
    /// Value of the field `status`.
    pub fn name(self) -> &'static str {
        match self {
            UserStatus::Active => "active",
            UserStatus::Deactivated => "deactivated",
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use bluelake_schemas::Contract;

    #[test]
    fn names_are_those_of_the_serialized_form() {
        for kind in UserKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
        for event_type in EventType::ALL {
            assert_eq!(serde_json::to_value(event_type).unwrap(), event_type.name());
        }
        for status in [UserStatus::Active, UserStatus::Deactivated] {
            assert_eq!(serde_json::to_value(status).unwrap(), status.name());
        }
    }

    #[test]
    fn kinds_and_types_are_in_the_json_schema() {
        let contract = Contract::embedded().unwrap();
        for stream in Stream::ALL {
            let schema = contract.json_schema(stream).to_string();
            for event_type in EventType::ALL {
                assert_eq!(
                    schema.contains(&format!("\"{event_type}\"")),
                    event_type.stream() == stream,
                    "{event_type} in {stream}"
                );
            }
            for kind in UserKind::ALL {
                assert!(schema.contains(&format!("\"{kind}\"")), "{kind} in {stream}");
            }
        }
    }
}
