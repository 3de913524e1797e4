//! The truth: what the lake must say when every generated event has landed.

use std::collections::BTreeMap;

use bluelake_schemas::Stream;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{EventType, UserKind, UserStatus};

/// A user and its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Party {
    /// Id of the user.
    pub id: Uuid,
    /// What the user is.
    pub kind: UserKind,
}

/// What a good event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A user joined.
    UserCreated(Party),
    /// Data of a user changed.
    UserUpdated(Party),
    /// A user left.
    UserDeactivated(Party),
    /// A civilian met an officer: points were minted for both.
    Interaction {
        /// The civilian.
        civilian: Party,
        /// The officer.
        officer: Party,
        /// Points minted for the civilian.
        points_civilian: i64,
        /// Points minted for the officer.
        points_officer: i64,
    },
    /// Points moved from a donor to a recipient.
    Donation {
        /// Who gave.
        donor: Party,
        /// Who received.
        recipient: Party,
        /// Points given.
        points: i64,
    },
    /// Points burned at a provider.
    Redemption {
        /// Who spent.
        redeemer: Party,
        /// Who accepted.
        provider: Party,
        /// Points spent.
        points: i64,
        /// Worth in cents; 0 where the event does not say.
        amount_cents: i64,
    },
    /// Points moved from one officer to another.
    Transfer {
        /// Who gave.
        from: Party,
        /// Who received.
        to: Party,
        /// Points moved.
        points: i64,
    },
}

impl Fact {
    /// Type of the event.
    pub fn event_type(&self) -> EventType {
        match self {
            Fact::UserCreated(_) => EventType::UserCreated,
            Fact::UserUpdated(_) => EventType::UserUpdated,
            Fact::UserDeactivated(_) => EventType::UserDeactivated,
            Fact::Interaction { .. } => EventType::Interaction,
            Fact::Donation { .. } => EventType::Donation,
            Fact::Redemption { .. } => EventType::Redemption,
            Fact::Transfer { .. } => EventType::Transfer,
        }
    }
}

/// One event as [`Truth::observe`] sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// Must become a row.
    Good {
        /// When it happened; its UTC date is the day it counts for.
        occurred_at: DateTime<Utc>,
        /// What it says.
        fact: Fact,
    },
    /// Must be rejected with this reason code; changes nothing else.
    Bad(&'static str),
    /// Must be counted and dropped; changes nothing else.
    Duplicate,
}

/// Counts of one stream. `put` = `good` + the sum of `bad` + `duplicate`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamTotals {
    /// Events put into the stream.
    pub put: u64,
    /// Events that must be rows.
    pub good: u64,
    /// Events that must be rejected, by reason code.
    pub bad: BTreeMap<String, u64>,
    /// Events that must be counted as duplicates and dropped.
    pub duplicate: u64,
}

/// Sums of one event type on one day. Points are whole points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayTotals {
    /// Events.
    pub count: u64,
    /// Sum of `points`: donations, redemptions, transfers.
    pub points: i64,
    /// Sum of `points_civilian`: interactions.
    pub points_civilian: i64,
    /// Sum of `points_officer`: interactions.
    pub points_officer: i64,
    /// Sum of `amount_cents`: redemptions.
    pub amount_cents: i64,
}

/// Points of the whole period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointTotals {
    /// Minted by interactions for civilians.
    pub minted_civilian: i64,
    /// Minted by interactions for officers.
    pub minted_officer: i64,
    /// Moved by donations.
    pub donated: i64,
    /// Burned by redemptions.
    pub redeemed: i64,
    /// Moved by transfers.
    pub transferred: i64,
}

impl PointTotals {
    /// Points minted for anyone.
    pub fn minted(&self) -> i64 {
        self.minted_civilian + self.minted_officer
    }

    /// Points liability: minted − redeemed; equal to the sum of all balances.
    pub fn liability(&self) -> i64 {
        self.minted() - self.redeemed
    }
}

/// The number of distinct users in a role over the whole period, by kind of user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DistinctMembers {
    /// Users who met someone in an interaction.
    pub interacting: BTreeMap<UserKind, u64>,
    /// Users who donated.
    pub donors: BTreeMap<UserKind, u64>,
    /// Users who received a donation.
    pub recipients: BTreeMap<UserKind, u64>,
    /// Users who redeemed.
    pub redeemers: BTreeMap<UserKind, u64>,
    /// Users at whom points were redeemed.
    pub providers: BTreeMap<UserKind, u64>,
}

/// One user at the end of the period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserTruth {
    /// What the user is.
    pub kind: UserKind,
    /// State of the membership.
    pub status: UserStatus,
    /// Points held, never negative.
    pub balance: i64,
    /// Interactions taken part in.
    pub interactions: u64,
    /// Donations given.
    pub donations_given: u64,
    /// Donations received.
    pub donations_received: u64,
    /// Redemptions made.
    pub redemptions: u64,
    /// Redemptions accepted as provider.
    pub redemptions_accepted: u64,
}

/// What the lake must say when everything has landed, by any way of delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    /// Counts of each stream.
    pub streams: BTreeMap<Stream, StreamTotals>,
    /// Sums of good events by UTC date of `occurred_at` and by type.
    pub days: BTreeMap<NaiveDate, BTreeMap<EventType, DayTotals>>,
    /// Points of the whole period.
    pub points: PointTotals,
    /// Different users in each role.
    pub distinct: DistinctMembers,
    /// Users at the end, by kind and status.
    pub users_by_kind: BTreeMap<UserKind, BTreeMap<UserStatus, u64>>,
    /// Every user, by id.
    pub users: BTreeMap<Uuid, UserTruth>,
}

impl Truth {
    /// Takes one event into account.
    pub fn observe(&mut self, stream: Stream, observed: &Observed) {
        let totals = self.streams.entry(stream).or_default();
        totals.put += 1;
        match observed {
            Observed::Good { occurred_at, fact } => {
                totals.good += 1;
                self.count_day(occurred_at.date_naive(), fact);
                self.apply(fact);
            }
            Observed::Bad(reason) => match totals.bad.get_mut(*reason) {
                Some(count) => *count += 1,
                None => {
                    totals.bad.insert((*reason).to_owned(), 1);
                }
            },
            Observed::Duplicate => totals.duplicate += 1,
        }
    }

    /// Sums of one event type over all days.
    pub fn totals(&self, event_type: EventType) -> DayTotals {
        let days = self.days.values().filter_map(|types| types.get(&event_type));
        days.fold(DayTotals::default(), |sum, day| DayTotals {
            count: sum.count + day.count,
            points: sum.points + day.points,
            points_civilian: sum.points_civilian + day.points_civilian,
            points_officer: sum.points_officer + day.points_officer,
            amount_cents: sum.amount_cents + day.amount_cents,
        })
    }

    fn count_day(&mut self, date: NaiveDate, fact: &Fact) {
        let day = self.days.entry(date).or_default().entry(fact.event_type()).or_default();
        day.count += 1;
        match *fact {
            Fact::UserCreated(_) | Fact::UserUpdated(_) | Fact::UserDeactivated(_) => {}
            Fact::Interaction { points_civilian, points_officer, .. } => {
                day.points_civilian += points_civilian;
                day.points_officer += points_officer;
            }
            Fact::Donation { points, .. } | Fact::Transfer { points, .. } => day.points += points,
            Fact::Redemption { points, amount_cents, .. } => {
                day.points += points;
                day.amount_cents += amount_cents;
            }
        }
    }

    fn apply(&mut self, fact: &Fact) {
        match *fact {
            Fact::UserCreated(party) | Fact::UserUpdated(party) => {
                self.user(party);
            }
            Fact::UserDeactivated(party) => self.deactivate(party),
            Fact::Interaction { civilian, officer, points_civilian, points_officer } => {
                self.points.minted_civilian += points_civilian;
                self.points.minted_officer += points_officer;
                for (party, points) in [(civilian, points_civilian), (officer, points_officer)] {
                    let user = self.user(party);
                    user.balance += points;
                    user.interactions += 1;
                    let first = user.interactions == 1;
                    count_first(&mut self.distinct.interacting, party, first);
                }
            }
            Fact::Donation { donor, recipient, points } => self.donate(donor, recipient, points),
            Fact::Redemption { redeemer, provider, points, .. } => self.redeem(redeemer, provider, points),
            Fact::Transfer { from, to, points } => {
                self.points.transferred += points;
                self.user(from).balance -= points;
                self.user(to).balance += points;
            }
        }
    }

    fn donate(&mut self, donor: Party, recipient: Party, points: i64) {
        self.points.donated += points;
        let giving = self.user(donor);
        giving.balance -= points;
        giving.donations_given += 1;
        let first = giving.donations_given == 1;
        count_first(&mut self.distinct.donors, donor, first);
        let receiving = self.user(recipient);
        receiving.balance += points;
        receiving.donations_received += 1;
        let first = receiving.donations_received == 1;
        count_first(&mut self.distinct.recipients, recipient, first);
    }

    fn redeem(&mut self, redeemer: Party, provider: Party, points: i64) {
        self.points.redeemed += points;
        let spending = self.user(redeemer);
        spending.balance -= points;
        spending.redemptions += 1;
        let first = spending.redemptions == 1;
        count_first(&mut self.distinct.redeemers, redeemer, first);
        let accepting = self.user(provider);
        accepting.redemptions_accepted += 1;
        let first = accepting.redemptions_accepted == 1;
        count_first(&mut self.distinct.providers, provider, first);
    }

    fn deactivate(&mut self, party: Party) {
        self.user(party).status = UserStatus::Deactivated;
        let statuses = self.users_by_kind.entry(party.kind).or_default();
        if let Some(active) = statuses.get_mut(&UserStatus::Active) {
            *active -= 1;
        }
        *statuses.entry(UserStatus::Deactivated).or_default() += 1;
    }

    /// The user; a new one is active.
    fn user(&mut self, party: Party) -> &mut UserTruth {
        let users_by_kind = &mut self.users_by_kind;
        self.users.entry(party.id).or_insert_with(|| {
            *users_by_kind.entry(party.kind).or_default().entry(UserStatus::Active).or_default() += 1;
            UserTruth {
                kind: party.kind,
                status: UserStatus::Active,
                balance: 0,
                interactions: 0,
                donations_given: 0,
                donations_received: 0,
                redemptions: 0,
                redemptions_accepted: 0,
            }
        })
    }
}

fn count_first(role: &mut BTreeMap<UserKind, u64>, party: Party, first: bool) {
    if first {
        *role.entry(party.kind).or_default() += 1;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn party(id: u128, kind: UserKind) -> Party {
        Party { id: Uuid::from_u128(id), kind }
    }

    fn good(truth: &mut Truth, day: u32, fact: Fact) {
        let occurred_at = format!("2026-11-{day:02}T23:30:00-02:00").parse().unwrap();
        truth.observe(fact.event_type().stream(), &Observed::Good { occurred_at, fact });
    }

    fn small_world() -> Truth {
        let mut truth = Truth::default();
        let civilian = party(1, UserKind::Civilian);
        let officer = party(2, UserKind::PoliceOfficer);
        let charity = party(3, UserKind::Charity);
        let merchant = party(4, UserKind::Merchant);
        for user in [civilian, officer, charity, merchant] {
            good(&mut truth, 1, Fact::UserCreated(user));
        }
        good(&mut truth, 2, Fact::Interaction { civilian, officer, points_civilian: 10, points_officer: 5 });
        good(&mut truth, 2, Fact::Donation { donor: civilian, recipient: charity, points: 4 });
        good(&mut truth, 3, Fact::Redemption { redeemer: charity, provider: merchant, points: 3, amount_cents: 30 });
        good(&mut truth, 3, Fact::Redemption { redeemer: charity, provider: merchant, points: 1, amount_cents: 0 });
        good(&mut truth, 4, Fact::UserDeactivated(civilian));
        truth.observe(Stream::TransactionEvents, &Observed::Duplicate);
        truth.observe(Stream::TransactionEvents, &Observed::Bad("not_json"));
        truth.observe(Stream::TransactionEvents, &Observed::Bad("not_json"));
        truth
    }

    #[test]
    fn sums_counts_and_balances_follow_the_events() {
        let truth = small_world();
        let stream = &truth.streams[&Stream::TransactionEvents];
        assert_eq!((stream.put, stream.good, stream.duplicate, stream.bad["not_json"]), (7, 4, 1, 2));
        let redemptions = truth.totals(EventType::Redemption);
        assert_eq!((redemptions.count, redemptions.points, redemptions.amount_cents), (2, 4, 30));
        assert_eq!((truth.points.minted(), truth.points.liability()), (15, 11));
        assert_eq!(truth.users.values().map(|user| user.balance).sum::<i64>(), 11);
        assert_eq!(truth.distinct.redeemers[&UserKind::Charity], 1);
        assert_eq!(truth.users_by_kind[&UserKind::Civilian][&UserStatus::Active], 0);
        assert_eq!(truth.users_by_kind[&UserKind::Civilian][&UserStatus::Deactivated], 1);
    }

    #[test]
    fn a_day_is_the_utc_date() {
        let dates: Vec<String> = small_world().days.keys().map(ToString::to_string).collect();
        assert_eq!(dates, ["2026-11-02", "2026-11-03", "2026-11-04", "2026-11-05"]);
    }

    #[test]
    fn the_truth_survives_json() {
        let truth = small_world();
        let text = serde_json::to_string(&truth).unwrap();
        assert_eq!(serde_json::from_str::<Truth>(&text).unwrap(), truth);
    }
}
