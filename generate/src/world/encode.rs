//! Writes drafts as JSON straight into a buffer that is used again.

use std::io::Write;
use std::ops::Range;

use chrono::{DateTime, FixedOffset, SecondsFormat, Utc};
use uuid::Uuid;

use super::deed::{Change, Deed, Draft, Interaction, Item, Profile, Redemption, TimeStyle};
use super::names::Place;
use crate::{Party, UserStatus};

/// One event as JSON, with the place of each member's value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Encoded {
    bytes: Vec<u8>,
    members: Vec<(&'static str, Range<usize>)>,
}

impl Encoded {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Members in order: name, and value as JSON.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        self.members.iter().map(|(name, range)| (*name, self.bytes.get(range.clone()).unwrap_or_default()))
    }

    /// Replaces the held event by this draft.
    pub(crate) fn encode(&mut self, draft: &Draft) {
        self.bytes.clear();
        self.members.clear();
        self.bytes.push(b'{');
        self.envelope(draft);
        match &draft.deed {
            Deed::Create(profile) => self.profile(profile),
            Deed::Update { user, change } => {
                self.user(user.party);
                self.change(change);
            }
            Deed::Deactivate { user } => {
                self.user(user.party);
                self.text("status", UserStatus::Deactivated.name());
            }
            Deed::Interaction(met) => self.interaction(met),
            Deed::Donation { donor, recipient, points, place } => {
                self.role(["donor_id", "donor_kind"], donor.party);
                self.role(["recipient_id", "recipient_kind"], recipient.party);
                self.integer("points", *points);
                self.place(*place);
            }
            Deed::Redemption(spent) => self.redemption(spent),
            Deed::Transfer { from, to, points } => {
                self.uuid("from_officer_id", from.party.id);
                self.uuid("to_officer_id", to.party.id);
                self.integer("points", *points);
            }
        }
        if let Some(app_build) = draft.envelope.app_build {
            self.text("app_build", app_build);
        }
        if let Some(device) = draft.envelope.device {
            self.member("device", |out| out.extend_from_slice(device.as_bytes()));
        }
        self.bytes.push(b'}');
    }

    fn envelope(&mut self, draft: &Draft) {
        let event_type = draft.deed.event_type();
        self.uuid("event_id", draft.event_id);
        self.text("event_type", event_type.name());
        if draft.envelope.with_schema_version {
            self.integer("schema_version", 1);
        }
        self.time("occurred_at", draft.occurred_at, draft.envelope.time);
        let onboarding = event_type.stream() == bluelake_schemas::Stream::UserEvents;
        self.text("source", if onboarding { "onboarding" } else { "scoring" });
        self.optional_text("channel", draft.envelope.channel);
    }

    fn profile(&mut self, profile: &Profile) {
        self.user(profile.party);
        self.text("zip_code", profile.place.zip_code);
        self.optional_text("display_name", profile.display_name.as_deref());
        self.text("email", &profile.email);
        self.optional_text("phone", profile.phone.as_deref());
        self.optional_text("badge_number", profile.badge_number.as_deref());
        self.optional_text("organization_name", profile.organization_name.as_deref());
        if let Some(referrer) = profile.referred_by {
            self.uuid("referred_by", referrer);
        }
        self.text("status", UserStatus::Active.name());
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::Place(place) => self.text("zip_code", place.zip_code),
            Change::Email(email) => self.text("email", email),
            Change::Phone(phone) => self.text("phone", phone),
        }
    }

    fn interaction(&mut self, met: &Interaction) {
        self.uuid("civilian_id", met.civilian.party.id);
        self.uuid("officer_id", met.officer.party.id);
        self.text("method", met.method);
        self.integer("points_civilian", met.points_civilian);
        self.integer("points_officer", met.points_officer);
        self.text("zip_code", met.place.zip_code);
        if let Some(tenths) = met.distance {
            self.decimal("distance_ft", tenths, 1);
        }
        if let Some((latitude, longitude)) = met.position {
            self.decimal("latitude", latitude, 6);
            self.decimal("longitude", longitude, 6);
        }
    }

    fn redemption(&mut self, spent: &Redemption) {
        self.role(["redeemer_id", "redeemer_kind"], spent.redeemer.party);
        self.role(["provider_id", "provider_kind"], spent.provider.party);
        self.text("purpose", spent.purpose);
        self.integer("points", spent.points);
        if let Some(cents) = spent.amount_cents {
            self.integer("amount_cents", cents);
            self.text("currency", "USD");
        }
        if !spent.items.is_empty() {
            self.member("items", |out| write_items(&spent.items, out));
        }
        self.place(spent.place);
    }

    fn user(&mut self, party: Party) {
        self.role(["user_id", "user_kind"], party);
    }

    fn role(&mut self, [id, kind]: [&'static str; 2], party: Party) {
        self.uuid(id, party.id);
        self.text(kind, party.kind.name());
    }

    /// An unknown place is written as null now and then, and left out otherwise; both mean the same.
    fn place(&mut self, place: Option<Place>) {
        match place {
            Some(place) => self.text("zip_code", place.zip_code),
            None if self.bytes.len().is_multiple_of(16) => {
                self.member("zip_code", |out| out.extend_from_slice(b"null"))
            }
            None => {}
        }
    }

    fn time(&mut self, name: &'static str, time: DateTime<Utc>, style: TimeStyle) {
        let offset = match style {
            TimeStyle::EpochMillis => return self.integer(name, time.timestamp_millis()),
            TimeStyle::Utc => None,
            TimeStyle::Offset(minutes) => FixedOffset::east_opt(minutes * 60),
        };
        let text = match offset {
            None => time.to_rfc3339_opts(SecondsFormat::Millis, true),
            Some(offset) => time.with_timezone(&offset).to_rfc3339_opts(SecondsFormat::Millis, false),
        };
        self.text(name, &text);
    }

    fn optional_text(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    fn text(&mut self, name: &'static str, value: &str) {
        self.member(name, |out| write_text(value, out));
    }

    fn uuid(&mut self, name: &'static str, value: Uuid) {
        let mut buffer = Uuid::encode_buffer();
        self.text(name, value.hyphenated().encode_lower(&mut buffer));
    }

    fn integer(&mut self, name: &'static str, value: i64) {
        self.member(name, |out| write_number(format_args!("{value}"), out));
    }

    /// A number with N digits after the point, given as a whole number of its last digit's unit.
    fn decimal(&mut self, name: &'static str, value: i64, digits: usize) {
        let unit = if digits == 1 { 10 } else { 1_000_000 };
        let sign = if value < 0 { "-" } else { "" };
        let (whole, part) = (value.unsigned_abs() / unit, value.unsigned_abs() % unit);
        self.member(name, |out| write_number(format_args!("{sign}{whole}.{part:0digits$}"), out));
    }

    fn member(&mut self, name: &'static str, value: impl FnOnce(&mut Vec<u8>)) {
        if !self.members.is_empty() {
            self.bytes.push(b',');
        }
        self.bytes.push(b'"');
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(b"\":");
        let start = self.bytes.len();
        value(&mut self.bytes);
        self.members.push((name, start..self.bytes.len()));
    }
}

fn write_items(items: &[Item], out: &mut Vec<u8>) {
    let mut open = b'[';
    for item in items {
        out.push(open);
        open = b',';
        out.extend_from_slice(b"{\"sku\":");
        write_text(item.sku, out);
        out.extend_from_slice(b",\"name\":");
        write_text(item.name, out);
        write_number(format_args!(",\"quantity\":{},\"points\":{}}}", item.quantity, item.points), out);
    }
    out.push(b']');
}

/// A JSON string. The texts of this crate hold no control characters.
fn write_text(value: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in value.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

fn write_number(number: std::fmt::Arguments<'_>, out: &mut Vec<u8>) {
    // Writing into a vector cannot fail.
    let _ = out.write_fmt(number);
}
