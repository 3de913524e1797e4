//! Everybody who changes the table beside the workers, and what befalls them.

use rand::Rng as _;

use super::{
    super::env::Env,
    foreign::Foreign,
    maintainer::{Maintainer, Wish},
};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

pub(in crate::simulation) struct Crew {
    maintainers: Vec<Maintainer>,
    foreign: Option<Foreign>,
    wish: Wish,
}

impl Crew {
    pub(in crate::simulation) fn new(env: &Env) -> Self {
        let maintainers = 0..env.settings.maintainers;
        let maintainers = maintainers.map(|number| Maintainer::new(format!("m{number}"), env.now)).collect();
        let foreign = env.settings.foreign.then(|| Foreign::new(env.now));
        Self { maintainers, foreign, wish: Wish::Anything }
    }

    pub(in crate::simulation) fn is_empty(&self) -> bool {
        self.maintainers.is_empty()
    }

    /// They begin what chance says.
    pub(in crate::simulation) fn work(&mut self) {
        self.wish = Wish::Anything;
    }

    /// They finish what they are at, and begin nothing.
    pub(in crate::simulation) fn end(&mut self, now: i64) {
        self.wish = Wish::Nothing;
        self.wake(now);
    }

    /// They merge what they can, and …
    pub(in crate::simulation) fn compact(&mut self, now: i64) {
        self.wish = Wish::Compact;
        self.wake(now);
    }

    /// … delete what they can.
    pub(in crate::simulation) fn vacuum(&mut self, now: i64) {
        self.wish = Wish::Vacuum;
        self.wake(now);
    }

    fn wake(&mut self, now: i64) {
        for maintainer in &mut self.maintainers {
            maintainer.next = maintainer.next.min(now);
            maintainer.done = 0;
        }
        if let Some(foreign) = &mut self.foreign {
            foreign.next = foreign.next.min(now);
        }
    }

    /// Jobs that the first of them has done since it was told what to do.
    pub(in crate::simulation) fn done(&self) -> u64 {
        self.maintainers.first().map_or(0, |maintainer| maintainer.done)
    }

    /// Whether nothing is under way.
    pub(in crate::simulation) fn is_idle(&self) -> bool {
        self.maintainers.iter().all(Maintainer::is_idle) && self.foreign.as_ref().is_none_or(Foreign::is_idle)
    }

    /// Those who can do something now.
    pub(in crate::simulation) fn able(&self, now: i64) -> Vec<usize> {
        let begins = |index: usize| match self.wish {
            Wish::Anything => true,
            Wish::Nothing => false,
            // One alone, so that nobody is in its way.
            Wish::Compact | Wish::Vacuum => index == 0,
        };
        let able = self.maintainers.iter().enumerate();
        let able =
            able.filter(|(index, it)| it.next <= now && (begins(*index) || !it.is_idle())).map(|(index, _)| index);
        let foreign = self
            .foreign
            .iter()
            .filter(|foreign| foreign.next <= now && (self.wish == Wish::Anything || !foreign.is_idle()));
        able.chain(foreign.map(|_| self.maintainers.len())).collect()
    }

    /// When somebody can do something next.
    pub(in crate::simulation) fn next_time(&self, now: i64) -> Option<i64> {
        let foreign = self.foreign.iter().map(|foreign| foreign.next);
        self.maintainers.iter().map(|maintainer| maintainer.next).chain(foreign).filter(|next| *next > now).min()
    }

    /// One request of one of them.
    pub(in crate::simulation) fn step(&mut self, index: usize, env: &mut Env) {
        match (self.maintainers.get_mut(index), &mut self.foreign) {
            (Some(maintainer), _) => maintainer.step(self.wish, env),
            (None, Some(foreign)) => foreign.step(self.wish != Wish::Anything, env),
            (None, None) => {}
        }
    }

    /// One of them is killed, or stands still for hours.
    pub(in crate::simulation) fn chaos(&mut self, env: &mut Env) {
        if self.maintainers.is_empty() {
            return;
        }
        let index = env.random.random_range(0..self.maintainers.len());
        let maintainer = &mut self.maintainers[index];
        let away = match env.random.random_range(0..10) {
            0..5 => env.below(5_000),
            5..8 => env.below(10 * MINUTE),
            _ => env.below(2 * HOUR),
        };
        if env.percent(40) {
            env.count("maintainer killed");
            if maintainer.is_midway() {
                env.count("maintainer killed in the middle");
            }
            env.log(|| format!("m{index} is killed"));
            *maintainer = Maintainer::new(maintainer.name.clone(), env.now + away);
        } else {
            env.count("maintainer stands still");
            env.log(|| format!("m{index} stands still for {away} ms"));
            maintainer.stood_still();
            maintainer.next = env.now + away;
        }
    }
}
