//! The community: decides what happens next and remembers the past.
//!
//! Drafting only draws from the dice; [`Community::apply`] changes balances, memberships and encounters. A draft that
//! is spoiled or dropped therefore leaves no trace. Events that mint points, and updates of users, may be late; events
//! that spend are in time, so no balance is negative in the order of arrival or in the order of `occurred_at`.

use chrono::{DateTime, TimeDelta, Utc};

use super::deed::{Change, Deed, Draft, Envelope, Interaction, Item, Profile, Redemption, TimeStyle};
use super::dice::Dice;
use super::encounters::Encounters;
use super::names::{APP_BUILDS, CHARITIES, DEVICES, FAMILY, GIVEN, GOODS, MERCHANTS, PLACES, Place};
use super::roster::{FEWEST_OF_A_KIND, Member, Roster};
use crate::{Party, UserKind};

/// Kinds of newcomers, in thousandths.
const NEWCOMERS: [(UserKind, usize); 6] = [
    (UserKind::Civilian, 830),
    (UserKind::FamilyInNeed, 60),
    (UserKind::PoliceOfficer, 55),
    (UserKind::Merchant, 35),
    (UserKind::Charity, 15),
    (UserKind::Municipality, 5),
];
/// Interactions that repeat a pair of the day on purpose, in thousandths.
const CHEATS: u32 = 3;
/// Late events among those that may be late, in thousandths.
const LATE: u32 = 45;

/// All members, what they hold and whom they met.
#[derive(Clone, Debug)]
pub(crate) struct Community {
    roster: Roster,
    encounters: Encounters,
    pub(crate) dice: Dice,
}

impl Community {
    pub(crate) fn new(dice: Dice) -> Self {
        Community { roster: Roster::default(), encounters: Encounters::default(), dice }
    }

    /// An event that could happen at this time; `newcomers` in a thousand are new members.
    pub(crate) fn draft(&mut self, at: DateTime<Utc>, newcomers: u32) -> Draft {
        let (occurred_at, deed) = match self.roster.wanting() {
            Some(kind) => (at, self.join(kind)),
            None => self.choose(at, newcomers),
        };
        Draft { event_id: self.dice.uuid(), occurred_at, envelope: self.envelope(&deed), deed }
    }

    /// Makes a draft happen.
    pub(crate) fn apply(&mut self, draft: &Draft) {
        let at = draft.occurred_at;
        match &draft.deed {
            Deed::Create(profile) => self.roster.add(profile, at, &mut self.dice),
            Deed::Update { user, change: Change::Place(place) } => self.roster.change(user, *place, at),
            Deed::Update { user, .. } => self.roster.change(user, user.place, at),
            Deed::Deactivate { user } => self.roster.deactivate(user),
            Deed::Interaction(met) => {
                self.roster.credit(&met.civilian, met.points_civilian);
                self.roster.credit(&met.officer, met.points_officer);
                self.encounters.remember(&met.civilian, &met.officer, at);
            }
            Deed::Donation { donor, recipient, points, .. } => {
                self.roster.credit(donor, -points);
                self.roster.credit(recipient, *points);
            }
            Deed::Redemption(spent) => self.roster.credit(&spent.redeemer, -spent.points),
            Deed::Transfer { from, to, points } => {
                self.roster.credit(from, -points);
                self.roster.credit(to, *points);
            }
        }
    }

    fn choose(&mut self, at: DateTime<Utc>, newcomers: u32) -> (DateTime<Utc>, Deed) {
        if self.dice.chance(newcomers) {
            let kind = self.newcomer();
            return (at, self.join(kind));
        }
        let chosen = match self.dice.below(1_000) {
            0..20 => self.update(at),
            20..23 => self.deactivate(at).map(|deed| (at, deed)),
            23..163 => self.donate().map(|deed| (at, deed)),
            163..303 => self.redeem().map(|deed| (at, deed)),
            303..333 => self.transfer().map(|deed| (at, deed)),
            _ => None,
        };
        match chosen.or_else(|| self.meet(at)) {
            Some(chosen) => chosen,
            None => (at, self.join(UserKind::Civilian)),
        }
    }

    fn newcomer(&mut self) -> UserKind {
        let mut left = self.dice.below(1_000);
        for (kind, share) in NEWCOMERS {
            if left < share {
                return kind;
            }
            left -= share;
        }
        UserKind::Civilian
    }

    fn join(&mut self, kind: UserKind) -> Deed {
        let dice = &mut self.dice;
        let place = dice.ranked(PLACES.len());
        let place = PLACES.get(place).copied().unwrap_or_default();
        let (given, family) = (dice.pick(&GIVEN), dice.pick(&FAMILY));
        let number = dice.between(1, 9_999);
        let person = format!("{} {}", given.0, family.0);
        let (display_name, organization_name) = match kind {
            UserKind::Civilian | UserKind::FamilyInNeed => (Some(person), None),
            UserKind::PoliceOfficer => (Some(person), Some(format!("{} Police Department", place.town))),
            UserKind::Merchant => (None, Some(format!("{}, {}", dice.pick(&MERCHANTS), place.town))),
            UserKind::Charity => (None, Some(format!("{} {}", dice.pick(&CHARITIES), place.town))),
            UserKind::Municipality => (None, Some(format!("City of {}", place.town))),
        };
        let badge_number =
            (kind == UserKind::PoliceOfficer).then(|| format!("{}-{:05}", place.area_code, dice.between(100, 99_999)));
        let party = Party { id: dice.uuid(), kind };
        let phone = dice.chance(700).then(|| phone(place, dice));
        let referred = kind == UserKind::Civilian && dice.chance(200);
        let referrer = if referred { self.roster.draw(UserKind::Civilian, dice) } else { None };
        Deed::Create(Profile {
            party,
            place,
            display_name,
            organization_name,
            email: format!("{}.{}{number}@example.org", given.1, family.1),
            phone,
            badge_number,
            referred_by: referrer.map(|member| member.party.id),
        })
    }

    fn update(&mut self, at: DateTime<Utc>) -> Option<(DateTime<Utc>, Deed)> {
        let kind = self.newcomer();
        let user = self.roster.draw(kind, &mut self.dice).filter(|user| user.changed_at < at)?;
        let change = match self.dice.below(3) {
            0 => Change::Place(self.dice.pick(&PLACES)),
            1 => Change::Phone(phone(user.place, &mut self.dice)),
            _ => Change::Email(format!("member{}@example.org", self.dice.between(10_000, 9_999_999))),
        };
        let earliest = user.changed_at + TimeDelta::milliseconds(1);
        Some((self.maybe_late(at).max(earliest), Deed::Update { user, change }))
    }

    fn deactivate(&mut self, at: DateTime<Utc>) -> Option<Deed> {
        let kind = self.newcomer();
        if self.roster.active(kind).len() <= FEWEST_OF_A_KIND {
            return None;
        }
        let user = self.roster.draw(kind, &mut self.dice).filter(|user| user.changed_at < at)?;
        Some(Deed::Deactivate { user })
    }

    fn meet(&mut self, at: DateTime<Utc>) -> Option<(DateTime<Utc>, Deed)> {
        let (at, civilian, officer) = self.cheats(at).or_else(|| self.pair(at))?;
        let dice = &mut self.dice;
        let method = dice.pick(&["qr", "qr", "nearby", "nearby", "nearby", "event"]);
        let place = if dice.chance(800) { civilian.place } else { officer.place };
        let distance = (method == "nearby").then(|| dice.between(8, 1_200));
        let position = dice.chance(650).then(|| {
            let (north, east) = (dice.between(-9_000, 9_000), dice.between(-9_000, 9_000));
            (place.latitude + north, place.longitude + east)
        });
        let met = Interaction {
            civilian,
            officer,
            method,
            points_civilian: dice.pick(&[5, 10, 10, 10, 15, 20, 25, 50]),
            points_officer: dice.pick(&[2, 5, 5, 5, 10]),
            place,
            distance,
            position,
        };
        Some((at, Deed::Interaction(met)))
    }

    /// Two who have not met on that day.
    fn pair(&mut self, at: DateTime<Utc>) -> Option<(DateTime<Utc>, Member, Member)> {
        let when = self.maybe_late(at);
        (0..12).find_map(|_| {
            let civilian = self.roster.draw(UserKind::Civilian, &mut self.dice)?;
            let officer = self.roster.draw(UserKind::PoliceOfficer, &mut self.dice)?;
            let when = when.max(civilian.created_at).max(officer.created_at);
            (!self.encounters.met(&civilian, &officer, when)).then_some((when, civilian, officer))
        })
    }

    /// Two who have met on that day already, once in a while.
    fn cheats(&mut self, at: DateTime<Utc>) -> Option<(DateTime<Utc>, Member, Member)> {
        if !self.dice.chance(CHEATS) {
            return None;
        }
        let (civilian, officer) = self.encounters.again(at, |bound| self.dice.below(bound))?;
        Some((at, self.roster.active_member(civilian)?, self.roster.active_member(officer)?))
    }

    fn donate(&mut self) -> Option<Deed> {
        let dice = &mut self.dice;
        let giving = if dice.chance(800) { UserKind::Civilian } else { UserKind::PoliceOfficer };
        let receiving = if dice.chance(600) { UserKind::Charity } else { UserKind::FamilyInNeed };
        let donor = self.roster.draw_holding(giving, 5, dice)?;
        let recipient = self.roster.draw(receiving, dice)?;
        let points = dice.pick(&[5, 10, 10, 20, 25, 50, 100]).min(donor.balance);
        let place = dice.chance(600).then_some(donor.place);
        Some(Deed::Donation { donor, recipient, points, place })
    }

    fn redeem(&mut self) -> Option<Deed> {
        let dice = &mut self.dice;
        let spending = match dice.below(100) {
            0..55 => UserKind::Civilian,
            55..82 => UserKind::FamilyInNeed,
            _ => UserKind::Charity,
        };
        let redeemer = self.roster.draw_holding(spending, 10, dice)?;
        let goods = spending == UserKind::Charity || dice.chance(750);
        let providing = if goods { UserKind::Merchant } else { UserKind::Municipality };
        let provider = self.roster.draw(providing, dice)?;
        let items = if goods && dice.chance(750) { basket(redeemer.balance, dice) } else { Vec::new() };
        let points = match items.iter().map(|item| item.points).sum() {
            0 => dice.pick(&[10, 20, 30, 50, 75, 100, 200]).min(redeemer.balance),
            points => points,
        };
        let priced = !goods || dice.chance(300);
        Some(Deed::Redemption(Redemption {
            redeemer,
            provider,
            purpose: if goods { "goods" } else { dice.pick(&["fine", "fee", "fee"]) },
            points,
            amount_cents: priced.then_some(points * 10),
            items,
            place: dice.chance(800).then_some(provider.place),
        }))
    }

    fn transfer(&mut self) -> Option<Deed> {
        let from = self.roster.draw_holding(UserKind::PoliceOfficer, 5, &mut self.dice)?;
        let to = self.roster.draw(UserKind::PoliceOfficer, &mut self.dice)?;
        let points = self.dice.pick(&[5, 10, 20, 50]).min(from.balance);
        (from.index != to.index).then_some(Deed::Transfer { from, to, points })
    }

    fn maybe_late(&mut self, at: DateTime<Utc>) -> DateTime<Utc> {
        if self.dice.chance(LATE) { at - self.dice.lateness() } else { at }
    }

    fn envelope(&mut self, deed: &Deed) -> Envelope {
        let dice = &mut self.dice;
        let time = match dice.below(1_000) {
            0..25 => TimeStyle::EpochMillis,
            25..75 => TimeStyle::Offset(dice.pick(&[-300, -360, -420, -480, 330])),
            _ => TimeStyle::Utc,
        };
        let mobile = matches!(deed, Deed::Interaction(_)) || dice.chance(650);
        let channel = if mobile { "mobile" } else { "web" };
        Envelope {
            time,
            with_schema_version: dice.chance(950),
            channel: dice.chance(930).then_some(channel),
            app_build: dice.chance(450).then(|| dice.pick(&APP_BUILDS)),
            device: dice.chance(400).then(|| dice.pick(&DEVICES)),
        }
    }
}

/// A number that is reserved for fiction.
fn phone(place: Place, dice: &mut Dice) -> String {
    format!("+1-{}-555-{:04}", place.area_code, dice.between(100, 199))
}

/// Up to four entries that `affordable` points can buy.
fn basket(mut affordable: i64, dice: &mut Dice) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    for _ in 0..=dice.below(4) {
        let (sku, name, price) = dice.pick(&GOODS);
        let quantity = dice.pick(&[1, 1, 1, 2, 3]);
        let points = price * quantity;
        if points <= affordable && items.iter().all(|item| item.sku != sku) {
            affordable -= points;
            items.push(Item { sku, name, quantity, points });
        }
    }
    items
}
