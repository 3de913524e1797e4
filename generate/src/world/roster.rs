//! The roster: every user, the active users of each kind, and all balances.

use chrono::{DateTime, Utc};

use super::deed::Profile;
use super::dice::Dice;
use super::names::Place;
use crate::{Party, UserKind};

/// The fewest active users of each kind, so that every role can always be filled.
pub(crate) const FEWEST_OF_A_KIND: usize = 2;

/// A user as a deed needs it: a copy, so that a deed stands for itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    /// Place in the roster.
    pub(crate) index: usize,
    pub(crate) party: Party,
    pub(crate) place: Place,
    pub(crate) balance: i64,
    pub(crate) active: bool,
    pub(crate) created_at: DateTime<Utc>,
    /// Time of the last event about the user itself.
    pub(crate) changed_at: DateTime<Utc>,
}

/// All users. The position in a list of active users is the rank in activity.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roster {
    members: Vec<Member>,
    civilians: Vec<usize>,
    officers: Vec<usize>,
    merchants: Vec<usize>,
    charities: Vec<usize>,
    families: Vec<usize>,
    municipalities: Vec<usize>,
}

impl Roster {
    /// A kind with too few users, if any.
    pub(crate) fn wanting(&self) -> Option<UserKind> {
        UserKind::ALL.into_iter().find(|kind| self.active(*kind).len() < FEWEST_OF_A_KIND)
    }

    /// Active users of a kind, by rank.
    pub(crate) fn active(&self, kind: UserKind) -> &[usize] {
        match kind {
            UserKind::Civilian => &self.civilians,
            UserKind::PoliceOfficer => &self.officers,
            UserKind::Merchant => &self.merchants,
            UserKind::Charity => &self.charities,
            UserKind::FamilyInNeed => &self.families,
            UserKind::Municipality => &self.municipalities,
        }
    }

    /// The user at an index, if it is active.
    pub(crate) fn active_member(&self, index: usize) -> Option<Member> {
        self.members.get(index).filter(|member| member.active).copied()
    }

    /// An active user of a kind, by rank.
    pub(crate) fn draw(&self, kind: UserKind, dice: &mut Dice) -> Option<Member> {
        let ranks = self.active(kind);
        let index = ranks.get(dice.ranked(ranks.len()))?;
        self.members.get(*index).copied()
    }

    /// An active user of a kind who holds at least `points`; `None` if several draws find nobody.
    pub(crate) fn draw_holding(&self, kind: UserKind, points: i64, dice: &mut Dice) -> Option<Member> {
        (0..8).find_map(|_| self.draw(kind, dice).filter(|member| member.balance >= points))
    }

    /// Adds a user at a random rank; the user with that rank moves to the end.
    pub(crate) fn add(&mut self, profile: &Profile, at: DateTime<Utc>, dice: &mut Dice) {
        let index = self.members.len();
        self.members.push(Member {
            index,
            party: profile.party,
            place: profile.place,
            balance: 0,
            active: true,
            created_at: at,
            changed_at: at,
        });
        let ranks = self.ranks(profile.party.kind);
        ranks.push(index);
        let (last, rank) = (ranks.len() - 1, dice.below(ranks.len()));
        ranks.swap(rank, last);
    }

    /// Records an event about the user itself.
    pub(crate) fn change(&mut self, user: &Member, place: Place, at: DateTime<Utc>) {
        if let Some(member) = self.members.get_mut(user.index) {
            member.place = place;
            member.changed_at = member.changed_at.max(at);
        }
    }

    /// Takes a user out of activity; its balance stays.
    pub(crate) fn deactivate(&mut self, user: &Member) {
        if let Some(member) = self.members.get_mut(user.index) {
            member.active = false;
        }
        let ranks = self.ranks(user.party.kind);
        if let Some(rank) = ranks.iter().position(|index| *index == user.index) {
            ranks.swap_remove(rank);
        }
    }

    /// Adds points to a balance, or takes them away.
    pub(crate) fn credit(&mut self, user: &Member, points: i64) {
        if let Some(member) = self.members.get_mut(user.index) {
            member.balance += points;
        }
    }

    fn ranks(&mut self, kind: UserKind) -> &mut Vec<usize> {
        match kind {
            UserKind::Civilian => &mut self.civilians,
            UserKind::PoliceOfficer => &mut self.officers,
            UserKind::Merchant => &mut self.merchants,
            UserKind::Charity => &mut self.charities,
            UserKind::FamilyInNeed => &mut self.families,
            UserKind::Municipality => &mut self.municipalities,
        }
    }
}
