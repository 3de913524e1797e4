//! The small world that events come from: pure, seeded, without a clock.

mod community;
mod deed;
mod dice;
mod encode;
mod encounters;
mod fault;
mod names;
mod recent;
mod rhythm;
mod roster;
#[cfg(test)]
mod tests;

use bluelake_schemas::Stream;
use uuid::Uuid;

use self::community::Community;
use self::deed::Draft;
use self::dice::Dice;
use self::encode::Encoded;
use self::recent::Recent;
use self::rhythm::Rhythm;
use crate::{Error, EventKind, GeneratedEvent, GeneratorOptions, Observed, Truth};

/// Yields the requested number of events, in the order in which they are to be put, and keeps the truth about them so
/// far.
///
/// Users are created before they act and stop when deactivated. Balances are never negative. A bad event or a duplicate
/// changes only its count. Duplicates come only when there is an event to repeat, and are good events otherwise.
#[derive(Clone, Debug)]
pub struct Generator {
    options: GeneratorOptions,
    yielded: u64,
    rhythm: Rhythm,
    community: Community,
    encoded: Encoded,
    recent_users: Recent,
    recent_transactions: Recent,
    truth: Truth,
}

impl Generator {
    /// A generator that has yielded nothing yet.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] names the option that is out of range.
    pub fn new(options: GeneratorOptions) -> Result<Self, Error> {
        let mut dice = Dice::new(options.seed);
        let rhythm = Rhythm::new(&options, &mut dice)?;
        Ok(Generator {
            options,
            yielded: 0,
            rhythm,
            community: Community::new(dice),
            encoded: Encoded::default(),
            recent_users: Recent::default(),
            recent_transactions: Recent::default(),
            truth: Truth::default(),
        })
    }

    /// What the lake must say when all events yielded so far have landed.
    pub fn truth(&self) -> &Truth {
        &self.truth
    }

    /// The truth about all events yielded.
    pub fn into_truth(self) -> Truth {
        self.truth
    }

    fn duplicate(&mut self) -> Option<GeneratedEvent> {
        let dice = &mut self.community.dice;
        let recent = if dice.chance(120) { &self.recent_users } else { &self.recent_transactions };
        let event = recent.repeat(dice.below(recent.len()))?;
        self.truth.observe(event.stream, &Observed::Duplicate);
        Some(event)
    }

    fn fresh(&mut self, bad: bool) -> GeneratedEvent {
        let at = self.rhythm.at(self.yielded, &mut self.community.dice);
        let newcomers = self.newcomers();
        let draft = self.community.draft(at, newcomers);
        self.encoded.encode(&draft);
        let (bytes, kind, observed) = if bad {
            let (bytes, reason) = fault::spoil(&self.encoded, draft.occurred_at, &mut self.community.dice);
            (bytes, EventKind::Bad(reason), Observed::Bad(reason))
        } else {
            self.community.apply(&draft);
            let observed = Observed::Good { occurred_at: draft.occurred_at, fact: draft.deed.fact() };
            (self.encoded.bytes().to_vec(), EventKind::Good, observed)
        };
        let event = labelled(&draft, bytes, kind);
        self.truth.observe(event.stream, &observed);
        event
    }

    /// The share of newcomers now, in thousandths: high at first, low at the end.
    fn newcomers(&self) -> u32 {
        let left = u128::from(self.options.events - self.yielded) * 1_000 / u128::from(self.options.events.max(1));
        u32::try_from(250 * left * left / 1_000_000).unwrap_or(0) + 10
    }

    fn remember(&mut self, event: &GeneratedEvent) {
        if self.options.duplicate_rate > 0.0 {
            match event.stream {
                Stream::UserEvents => self.recent_users.remember(event),
                Stream::TransactionEvents => self.recent_transactions.remember(event),
            }
        }
    }
}

impl Iterator for Generator {
    type Item = GeneratedEvent;

    fn next(&mut self) -> Option<GeneratedEvent> {
        if self.yielded == self.options.events {
            return None;
        }
        let share = self.community.dice.share();
        let repeated = if share < self.options.duplicate_rate { self.duplicate() } else { None };
        let bad = share >= self.options.duplicate_rate && share < self.options.duplicate_rate + self.options.bad_rate;
        let event = match repeated {
            Some(event) => event,
            None => self.fresh(bad),
        };
        self.remember(&event);
        self.yielded += 1;
        Some(event)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.options.events - self.yielded);
        (left.unwrap_or(usize::MAX), left.ok())
    }
}

fn labelled(draft: &Draft, bytes: Vec<u8>, kind: EventKind) -> GeneratedEvent {
    GeneratedEvent {
        stream: draft.deed.event_type().stream(),
        partition_key: text(draft.deed.actor()),
        event_id: text(draft.event_id),
        bytes,
        kind,
    }
}

fn text(id: Uuid) -> String {
    id.hyphenated().encode_lower(&mut Uuid::encode_buffer()).to_owned()
}
