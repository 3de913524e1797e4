//! The facts of a world's events, read from their bytes with serde alone.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use bluelake_schemas::Stream;
use chrono::{DateTime, NaiveDate, Timelike, Utc};
use chrono_tz::Tz;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Where and when a record came in.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) at: DateTime<Utc>,
    pub(crate) shard: String,
    pub(crate) sequence: u64,
}

/// The common part of all stored events, with their days in the time zone of the facts.
#[derive(Clone, Debug)]
pub(crate) struct Stamp {
    pub(crate) stream: Stream,
    pub(crate) event_type: String,
    pub(crate) id: String,
    pub(crate) at: DateTime<Utc>,
    pub(crate) day: NaiveDate,
    pub(crate) hour: u32,
    pub(crate) arrival: Arrival,
    pub(crate) arrival_day: NaiveDate,
}

/// One stored event.
#[derive(Clone, Debug)]
pub(crate) struct Row<T> {
    pub(crate) stamp: Stamp,
    pub(crate) fact: T,
}

impl<T> Deref for Row<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.fact
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Interaction {
    pub(crate) civilian_id: String,
    pub(crate) officer_id: String,
    pub(crate) method: String,
    pub(crate) points_civilian: i64,
    pub(crate) points_officer: i64,
    pub(crate) zip_code: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Donation {
    pub(crate) donor_id: String,
    pub(crate) donor_kind: String,
    pub(crate) recipient_id: String,
    pub(crate) recipient_kind: String,
    pub(crate) points: i64,
    pub(crate) zip_code: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Item {
    pub(crate) sku: String,
    pub(crate) name: String,
    pub(crate) quantity: i64,
    pub(crate) points: i64,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Redemption {
    pub(crate) redeemer_id: String,
    pub(crate) redeemer_kind: String,
    pub(crate) provider_id: String,
    pub(crate) provider_kind: String,
    pub(crate) purpose: String,
    pub(crate) points: i64,
    pub(crate) amount_cents: Option<i64>,
    pub(crate) currency: Option<String>,
    pub(crate) items: Option<Vec<Item>>,
    pub(crate) zip_code: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Transfer {
    pub(crate) from_officer_id: String,
    pub(crate) to_officer_id: String,
    pub(crate) points: i64,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct UserEvent {
    pub(crate) user_id: String,
    pub(crate) user_kind: String,
    pub(crate) zip_code: Option<String>,
    pub(crate) organization_name: Option<String>,
}

/// A rejected event: its reason comes from the generator, its field from the decoder, which alone knows it.
#[derive(Clone, Debug)]
pub(crate) struct Rejection {
    pub(crate) stream: Stream,
    pub(crate) reason: String,
    pub(crate) field_path: Option<String>,
    pub(crate) arrival_day: NaiveDate,
}

/// A user as last known.
#[derive(Clone, Debug, Default)]
pub(crate) struct User {
    pub(crate) kind: String,
    pub(crate) zip_code: Option<String>,
    pub(crate) organization_name: Option<String>,
    pub(crate) created_at: Option<DateTime<Utc>>,
}

/// One side of a transaction: what a user gained, or gave when negative.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) stamp: &'a Stamp,
    pub(crate) user: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) entry: &'static str,
    /// Whether the user took part by an act of its own: met, gave, spent or handed on points. Receiving is none.
    pub(crate) is_own_act: bool,
    pub(crate) points: i64,
    pub(crate) other: &'a str,
    pub(crate) other_kind: &'a str,
}

/// All stored events of a world.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) zone: Tz,
    pub(crate) stamps: Vec<Stamp>,
    pub(crate) interactions: Vec<Row<Interaction>>,
    pub(crate) donations: Vec<Row<Donation>>,
    pub(crate) redemptions: Vec<Row<Redemption>>,
    pub(crate) transfers: Vec<Row<Transfer>>,
    pub(crate) user_events: Vec<Row<UserEvent>>,
    pub(crate) rejections: Vec<Rejection>,
}

const CIVILIAN: &str = "civilian";
const OFFICER: &str = "police_officer";

impl Facts {
    /// No events, in a time zone.
    pub(crate) fn new(zone: Tz) -> Self {
        Self { zone, ..Self::default() }
    }

    /// The day of an instant in the time zone.
    pub(crate) fn day(&self, at: DateTime<Utc>) -> NaiveDate {
        at.with_timezone(&self.zone).date_naive()
    }

    /// Takes the bytes of a stored event.
    pub(crate) fn store(&mut self, stream: Stream, bytes: &[u8], arrival: Arrival) {
        let value: Value = serde_json::from_slice(bytes).unwrap();
        let at = instant(&value["occurred_at"]);
        let stamp = Stamp {
            stream,
            event_type: value["event_type"].as_str().unwrap().to_owned(),
            id: value["event_id"].as_str().unwrap().to_owned(),
            at,
            day: self.day(at),
            hour: at.with_timezone(&self.zone).hour(),
            arrival_day: self.day(arrival.at),
            arrival,
        };
        self.stamps.push(stamp.clone());
        match stamp.event_type.as_str() {
            "interaction" => self.interactions.push(row(stamp, value)),
            "donation" => self.donations.push(row(stamp, value)),
            "redemption" => self.redemptions.push(row(stamp, value)),
            "transfer" => self.transfers.push(row(stamp, value)),
            _ => self.user_events.push(row(stamp, value)),
        }
    }

    /// The last day with an event of the lake.
    pub(crate) fn last_day(&self) -> Option<NaiveDate> {
        self.stamps.iter().map(|stamp| stamp.day).max()
    }

    /// The last known state of users, by id.
    pub(crate) fn users(&self) -> BTreeMap<&str, User> {
        let mut events: Vec<_> = self.user_events.iter().collect();
        events.sort_by_key(|row| {
            let Arrival { at, shard, sequence } = &row.stamp.arrival;
            (row.stamp.at, *at, shard.clone(), *sequence)
        });
        let mut users = BTreeMap::<&str, User>::new();
        for event in events {
            let user = users.entry(&event.user_id).or_default();
            user.kind.clone_from(&event.user_kind);
            if event.zip_code.is_some() {
                user.zip_code.clone_from(&event.zip_code);
            }
            if event.organization_name.is_some() {
                user.organization_name.clone_from(&event.organization_name);
            }
            if event.stamp.event_type == "user_created" && user.created_at.is_none() {
                user.created_at = Some(event.stamp.at);
            }
        }
        users
    }

    /// Both sides of every transaction.
    pub(crate) fn ledger(&self) -> Vec<Entry<'_>> {
        let mut ledger = Vec::new();
        for met in &self.interactions {
            let sides = [("minted", met.points_civilian), ("minted", met.points_officer)];
            ledger.extend(both(&met.stamp, sides, [(&met.civilian_id, CIVILIAN), (&met.officer_id, OFFICER)]));
        }
        for gift in &self.donations {
            let parties = [(&*gift.donor_id, &*gift.donor_kind), (&*gift.recipient_id, &*gift.recipient_kind)];
            let sides = [("donated", -gift.points), ("received", gift.points)];
            ledger.extend(both(&gift.stamp, sides, parties));
        }
        for moved in &self.transfers {
            let sides = [("transferred", -moved.points), ("transferred", moved.points)];
            let parties = [(&*moved.from_officer_id, OFFICER), (&*moved.to_officer_id, OFFICER)];
            ledger.extend(both(&moved.stamp, sides, parties));
        }
        for spent in &self.redemptions {
            ledger.push(Entry {
                stamp: &spent.stamp,
                user: &spent.redeemer_id,
                kind: &spent.redeemer_kind,
                entry: "redeemed",
                is_own_act: true,
                points: -spent.points,
                other: &spent.provider_id,
                other_kind: &spent.provider_kind,
            });
        }
        ledger
    }

    /// The active users: those who met, gave, spent or handed on points themselves, with their kind.
    pub(crate) fn acts(&self) -> Vec<(&Stamp, &str, &str)> {
        let ledger = self.ledger();
        let own = ledger.iter().filter(|entry| entry.is_own_act);
        own.map(|entry| (entry.stamp, entry.user, entry.kind)).collect()
    }

    /// The first day on which each user took part.
    pub(crate) fn first_active(&self) -> BTreeMap<&str, NaiveDate> {
        let mut first = BTreeMap::new();
        for (stamp, user, _) in self.acts() {
            let day = first.entry(user).or_insert(stamp.day);
            *day = stamp.day.min(*day);
        }
        first
    }
}

/// The entries of the two parties of a transaction. The first party of a gift or transfer is the giver.
fn both<'a>(stamp: &'a Stamp, sides: [(&'static str, i64); 2], parties: [(&'a str, &'a str); 2]) -> [Entry<'a>; 2] {
    [(0, 1), (1, 0)].map(|(side, other)| {
        let ((user, kind), (other, other_kind)) = (parties[side], parties[other]);
        let (entry, points) = sides[side];
        let is_own_act = side == 0 || entry == "minted";
        Entry { stamp, user, kind, entry, is_own_act, points, other, other_kind }
    })
}

/// The number of distinct texts.
pub(crate) fn distinct<'a>(texts: impl IntoIterator<Item = &'a str>) -> usize {
    texts.into_iter().collect::<BTreeSet<_>>().len()
}

/// RFC 3339 with an offset, or milliseconds since 1970.
pub(crate) fn instant(value: &Value) -> DateTime<Utc> {
    match value {
        Value::Number(millis) => DateTime::from_timestamp_millis(millis.as_i64().unwrap()).unwrap(),
        text => text.as_str().unwrap().parse().unwrap(),
    }
}

fn row<T: DeserializeOwned>(stamp: Stamp, value: Value) -> Row<T> {
    Row { stamp, fact: serde_json::from_value(value).unwrap() }
}
