//! What an answer to `_bulk` says of each item, and how large the next request may be. Pure.

use serde::Deserialize;

/// The largest body of a request.
pub(super) const BODY_MOST: usize = 5 << 20;
/// A request that the server is too busy for is not made smaller than this; it holds one item at least.
const BODY_LEAST: usize = 16 << 10;
/// What a success adds.
const BODY_STEP: usize = 256 << 10;

/// What an item does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Index,
    Delete,
}

/// What became of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The document is as it should be, or newer.
    Settled {
        /// It was another before.
        changed: bool,
    },
    /// It is not known, or the server was busy.
    Again,
    /// The server does not take this document.
    Refused(String),
    /// No item will fare better.
    Stop {
        /// Status of the item.
        status: u16,
        /// The server's name of the fault.
        kind: String,
    },
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Of each item, in order.
    Items(Vec<Fate>),
    /// Nothing: the items must be sent again.
    Unknown(String),
    /// The request was too large.
    TooLarge,
    /// Nothing of it was taken, and nothing will be.
    Stop {
        /// Status of the answer.
        status: u16,
        /// The server's name of the fault.
        kind: String,
    },
}

#[derive(Deserialize)]
struct Answer {
    items: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    index: Option<Item>,
    delete: Option<Item>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(rename = "_id")]
    id: Option<String>,
    status: u16,
    error: Option<Fault>,
}

/// Older servers wrote a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Fault {
    Named {
        #[serde(rename = "type")]
        kind: String,
    },
    Text(serde::de::IgnoredAny),
}

impl Fault {
    fn kind(&self) -> &str {
        match self {
            Self::Named { kind } => kind,
            Self::Text(_) => "unnamed",
        }
    }
}

#[derive(Deserialize)]
struct Failure {
    error: Option<Fault>,
}

/// The server's name of the fault in an answer that is one.
pub(super) fn kind_of(body: &[u8]) -> String {
    let failure = serde_json::from_slice::<Failure>(body).ok().and_then(|failure| failure.error);
    failure.as_ref().map_or("unnamed", Fault::kind).to_owned()
}

/// Judges an answer to a request with these items.
pub(super) fn judge(status: u16, body: &[u8], sent: &[(Verb, &str)]) -> Verdict {
    match status {
        200 => {}
        413 => return Verdict::TooLarge,
        408 | 429 | 500..=599 => return Verdict::Unknown(format!("it answered {status} ({})", kind_of(body))),
        status => return Verdict::Stop { status, kind: kind_of(body) },
    }
    let Ok(answer) = serde_json::from_slice::<Answer>(body) else {
        return Verdict::Unknown("its answer is cut off, or is none to a bulk request".to_owned());
    };
    if answer.items.len() != sent.len() {
        return Verdict::Unknown(format!("it answered {} items of {}", answer.items.len(), sent.len()));
    }
    let mut fates = Vec::with_capacity(sent.len());
    for (entry, (verb, id)) in answer.items.iter().zip(sent) {
        let item = match verb {
            Verb::Index => &entry.index,
            Verb::Delete => &entry.delete,
        };
        match item {
            Some(item) if item.id.as_deref() == Some(*id) => fates.push(fate(*verb, item)),
            _ => return Verdict::Unknown("its answer is about other items".to_owned()),
        }
    }
    Verdict::Items(fates)
}

fn fate(verb: Verb, item: &Item) -> Fate {
    let kind = item.error.as_ref().map_or("unnamed", Fault::kind);
    match (item.status, verb) {
        (200 | 201, _) => Fate::Settled { changed: true },
        // Somebody newer was there.
        (409, _) => Fate::Settled { changed: false },
        // It is gone already, perhaps with its index.
        (404, Verb::Delete) => Fate::Settled { changed: false },
        // A disk that is full says 429 or 403, by the server's age.
        (429 | 403, _) if kind == "cluster_block_exception" => {
            Fate::Stop { status: item.status, kind: kind.to_owned() }
        }
        (408 | 429 | 500..=599, _) => Fate::Again,
        (400, _) if kind != "index_closed_exception" => Fate::Refused(kind.to_owned()),
        (413, _) => Fate::Refused("content_too_large".to_owned()),
        (status, _) => Fate::Stop { status, kind: kind.to_owned() },
    }
}

/// How large a request may be: a little more after each success, half after each fault.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    bytes: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { bytes: BODY_MOST }
    }
}

impl Pace {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn went_well(&mut self) {
        self.bytes = self.bytes.saturating_add(BODY_STEP).min(BODY_MOST);
    }

    /// A request of this size was not taken now.
    pub(super) fn went_badly(&mut self, size: usize) {
        self.bytes = (self.bytes.min(size) / 2).max(BODY_LEAST);
    }

    /// A request of this size will never be taken.
    pub(super) fn was_too_large(&mut self, size: usize) {
        self.bytes = (self.bytes.min(size) / 2).max(1);
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::panic)]
mod tests;
