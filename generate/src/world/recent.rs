//! The latest good events of a stream, to repeat.

use std::collections::VecDeque;

use crate::{EventKind, GeneratedEvent};

/// A duplicate repeats one of the latest N items of its stream, so that it falls into any deduplication window.
pub(crate) const REACH: u64 = 200;

/// Good events among the last [`REACH`] items of one stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recent {
    items: u64,
    good: VecDeque<(u64, GeneratedEvent)>,
}

impl Recent {
    /// Counts an item of the stream; copies it if it is good.
    pub(crate) fn remember(&mut self, event: &GeneratedEvent) {
        self.items += 1;
        while self.good.front().is_some_and(|(item, _)| item + REACH <= self.items) {
            self.good.pop_front();
        }
        if event.kind == EventKind::Good {
            self.good.push_back((self.items, event.clone()));
        }
    }

    /// The number of events that can be repeated.
    pub(crate) fn len(&self) -> usize {
        self.good.len()
    }

    /// A repetition of the event at this place.
    pub(crate) fn repeat(&self, place: usize) -> Option<GeneratedEvent> {
        let (_, event) = self.good.get(place)?;
        Some(GeneratedEvent { kind: EventKind::Duplicate, ..event.clone() })
    }
}
