//! The deeds of members before they are written: self-contained, so that they can be encoded, spoiled or applied.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::names::Place;
use super::roster::Member;
use crate::{EventType, Fact, Party};

/// One event to be.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) event_id: Uuid,
    pub(crate) occurred_at: DateTime<Utc>,
    pub(crate) envelope: Envelope,
    pub(crate) deed: Deed,
}

/// How the envelope of an event is written: producers differ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Envelope {
    pub(crate) time: TimeStyle,
    pub(crate) with_schema_version: bool,
    pub(crate) channel: Option<&'static str>,
    /// Value of a field that the contract does not know.
    pub(crate) app_build: Option<&'static str>,
    /// JSON value of another one.
    pub(crate) device: Option<&'static str>,
}

/// How `occurred_at` is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeStyle {
    /// RFC 3339 in UTC.
    Utc,
    /// RFC 3339 with an offset of N minutes.
    Offset(i32),
    /// Milliseconds since 1970.
    EpochMillis,
}

/// What happens.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    Create(Profile),
    Update { user: Member, change: Change },
    Deactivate { user: Member },
    Interaction(Interaction),
    Donation { donor: Member, recipient: Member, points: i64, place: Option<Place> },
    Redemption(Redemption),
    Transfer { from: Member, to: Member, points: i64 },
}

/// A user as it joins.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub(crate) party: Party,
    pub(crate) place: Place,
    pub(crate) display_name: Option<String>,
    pub(crate) organization_name: Option<String>,
    pub(crate) email: String,
    pub(crate) phone: Option<String>,
    pub(crate) badge_number: Option<String>,
    pub(crate) referred_by: Option<Uuid>,
}

/// What an update says.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Place(Place),
    Email(String),
    Phone(String),
}

#[derive(Clone, Debug)]
pub(crate) struct Interaction {
    pub(crate) civilian: Member,
    pub(crate) officer: Member,
    pub(crate) method: &'static str,
    pub(crate) points_civilian: i64,
    pub(crate) points_officer: i64,
    pub(crate) place: Place,
    /// Tenths of a foot.
    pub(crate) distance: Option<i64>,
    /// Latitude and longitude in millionths of a degree.
    pub(crate) position: Option<(i64, i64)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Redemption {
    pub(crate) redeemer: Member,
    pub(crate) provider: Member,
    pub(crate) purpose: &'static str,
    pub(crate) points: i64,
    pub(crate) amount_cents: Option<i64>,
    /// Entries whose points add up to `points`; empty: not itemized.
    pub(crate) items: Vec<Item>,
    pub(crate) place: Option<Place>,
}

/// One entry of a redemption.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    pub(crate) sku: &'static str,
    pub(crate) name: &'static str,
    pub(crate) quantity: i64,
    /// Points of the whole entry.
    pub(crate) points: i64,
}

impl Deed {
    pub(crate) fn event_type(&self) -> EventType {
        self.fact().event_type()
    }

    /// Id of the member who acts, or whom the event is about.
    pub(crate) fn actor(&self) -> Uuid {
        match self.fact() {
            Fact::UserCreated(party) | Fact::UserUpdated(party) | Fact::UserDeactivated(party) => party.id,
            Fact::Interaction { civilian, .. } => civilian.id,
            Fact::Donation { donor, .. } => donor.id,
            Fact::Redemption { redeemer, .. } => redeemer.id,
            Fact::Transfer { from, .. } => from.id,
        }
    }

    /// What the event says, if it is good.
    pub(crate) fn fact(&self) -> Fact {
        match self {
            Deed::Create(profile) => Fact::UserCreated(profile.party),
            Deed::Update { user, .. } => Fact::UserUpdated(user.party),
            Deed::Deactivate { user } => Fact::UserDeactivated(user.party),
            Deed::Interaction(met) => Fact::Interaction {
                civilian: met.civilian.party,
                officer: met.officer.party,
                points_civilian: met.points_civilian,
                points_officer: met.points_officer,
            },
            Deed::Donation { donor, recipient, points, .. } => {
                Fact::Donation { donor: donor.party, recipient: recipient.party, points: *points }
            }
            Deed::Redemption(spent) => Fact::Redemption {
                redeemer: spent.redeemer.party,
                provider: spent.provider.party,
                points: spent.points,
                amount_cents: spent.amount_cents.unwrap_or(0),
            },
            Deed::Transfer { from, to, points } => Fact::Transfer { from: from.party, to: to.party, points: *points },
        }
    }
}
