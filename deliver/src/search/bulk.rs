//! Sends items until each is settled: as the server wants them, refused by it, or told to a person. Only what is not settled
//! is sent again, in smaller requests and after a pause. A few requests are under way at a time.

mod verdict;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use serde_json::json;

use super::{
    client::{Client, compressed},
    position::{Fence, Stop},
};
use crate::error::DeliverError;
use verdict::{BODY_MOST, Fate, Pace, Verb, Verdict, judge};

/// Requests under way, each of at most [`BODY_MOST`] bytes.
const UNDER_WAY: usize = 3;
/// A run gives up when no item was settled for so long; the delivery tries again.
const PATIENCE: Duration = Duration::from_secs(120);

/// A document to be written or deleted at a version.
#[derive(Clone, Debug)]
pub(super) struct Item {
    verb: Verb,
    index: Arc<str>,
    id: String,
    /// Where the row is in the stream.
    place: String,
    /// The lines of the request, each with its end.
    lines: Bytes,
}

impl Item {
    /// Writes a document.
    pub(super) fn index(index: &Arc<str>, id: String, version: u64, place: String, document: &[u8]) -> Self {
        let mut lines = action(Verb::Index, index, &id, version);
        lines.reserve(document.len() + 1);
        lines.extend_from_slice(document);
        lines.push(b'\n');
        Self { verb: Verb::Index, index: Arc::clone(index), id, place, lines: lines.into() }
    }

    /// Deletes a document.
    pub(super) fn delete(index: &Arc<str>, id: String, version: u64) -> Self {
        let lines = action(Verb::Delete, index, &id, version).into();
        Self { verb: Verb::Delete, index: Arc::clone(index), place: id.clone(), id, lines }
    }
}

fn action(verb: Verb, index: &str, id: &str, version: u64) -> Vec<u8> {
    let name = if verb == Verb::Index { "index" } else { "delete" };
    let about = json!({ "_index": index, "_id": id, "version": version, "version_type": "external_gte" });
    let mut line = json!({ name: about }).to_string().into_bytes();
    line.push(b'\n');
    line
}

/// An item that the server did not take. It holds no value of the row.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(super) struct Refused {
    /// Where the row is in the stream.
    pub(super) position: String,
    pub(super) index: String,
    /// The server's name of the fault.
    pub(super) error: String,
}

/// What came of the items.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    /// Documents that were sent.
    pub(super) sent: u64,
    /// Deletes that found a document.
    pub(super) deleted: u64,
    pub(super) refused: Vec<Refused>,
}

impl Settled {
    fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.deleted += other.deleted;
        self.refused.extend(other.refused);
    }
}

/// Requests of one step.
pub(super) struct Bulk<'a> {
    sender: Sender<'a>,
    waiting: Vec<Item>,
    bytes: usize,
    under_way: FuturesUnordered<BoxFuture<'a, Result<Settled, Stop>>>,
    settled: Settled,
    /// More refused items than these end it.
    refused_most: u64,
}

impl<'a> Bulk<'a> {
    pub(super) fn new(client: &'a Client, fence: &'a Fence<'a>, about: &'a str, refused_most: u64) -> Self {
        let sender = Sender { client, fence, about, pace: Arc::default() };
        Self {
            sender,
            waiting: Vec::new(),
            bytes: 0,
            under_way: FuturesUnordered::new(),
            settled: Settled::default(),
            refused_most,
        }
    }

    /// Takes an item; it may be sent later.
    pub(super) async fn push(&mut self, item: Item) -> Result<(), Stop> {
        if self.bytes + item.lines.len() > BODY_MOST && !self.waiting.is_empty() {
            self.send().await?;
        }
        self.bytes += item.lines.len();
        self.waiting.push(item);
        Ok(())
    }

    /// Waits until all items so far are settled.
    pub(super) async fn settle(&mut self) -> Result<(), Stop> {
        self.send().await?;
        while let Some(done) = self.under_way.next().await {
            self.take(done?)?;
        }
        Ok(())
    }

    /// What came of the items that are settled.
    pub(super) fn end(self) -> Settled {
        self.settled
    }

    /// Whether too many were refused.
    fn is_refused(&self) -> bool {
        u64::try_from(self.settled.refused.len()).unwrap_or(u64::MAX) > self.refused_most
    }

    async fn send(&mut self) -> Result<(), Stop> {
        while self.under_way.len() >= UNDER_WAY {
            if let Some(done) = self.under_way.next().await {
                self.take(done?)?;
            }
        }
        let items = std::mem::take(&mut self.waiting);
        self.bytes = 0;
        if !items.is_empty() {
            let sender = self.sender.clone();
            self.under_way.push(Box::pin(async move { sender.settle(items).await }));
        }
        Ok(())
    }

    fn take(&mut self, settled: Settled) -> Result<(), Stop> {
        self.settled.add(settled);
        if !self.is_refused() {
            return Ok(());
        }
        let mut kinds: Vec<&str> = self.settled.refused.iter().map(|refused| refused.error.as_str()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let problem = format!(
            "the server refused {} documents ({}), and max_rejected allows {} more",
            self.settled.refused.len(),
            kinds.join(", "),
            self.refused_most
        );
        let options = &self.sender.client.options;
        let remedy = "look at the mapping of the index and at the list of them in the lake's folder _deliver/";
        Err(options.refused(self.sender.about, &problem, remedy).into())
    }
}

#[derive(Clone)]
struct Sender<'a> {
    client: &'a Client,
    fence: &'a Fence<'a>,
    about: &'a str,
    pace: Arc<Mutex<Pace>>,
}

impl Sender<'_> {
    /// Sends items until each is settled.
    async fn settle(self, mut items: Vec<Item>) -> Result<Settled, Stop> {
        let mut settled = Settled::default();
        let (mut backoff, mut moved) = (self.client.backoff(), Instant::now());
        while !items.is_empty() {
            self.fence.pass().await?;
            let rest = items.split_off(portion(&items, self.with_pace(|pace| pace.bytes())));
            let (size, count) = (items.iter().map(|item| item.lines.len()).sum(), items.len());
            let (again, fault) = self.send(items, &mut settled).await?;
            if again.len() < count {
                backoff.reset();
                moved = Instant::now();
            }
            match fault {
                None if again.is_empty() => self.with_pace(Pace::went_well),
                // A smaller request may be taken at once.
                None => self.with_pace(|pace| pace.was_too_large(size)),
                Some(fault) if moved.elapsed() > PATIENCE => return Err(fault.into()),
                Some(_) => {
                    self.with_pace(|pace| pace.went_badly(size));
                    tokio::time::sleep(backoff.pause()).await;
                }
            }
            items = again;
            items.extend(rest);
        }
        Ok(settled)
    }

    /// Sends items once: those that must be sent again, and the fault; without one there were too many of them.
    async fn send(&self, items: Vec<Item>, settled: &mut Settled) -> Result<(Vec<Item>, Option<DeliverError>), Stop> {
        let operation = "write documents";
        let lines: Vec<&[u8]> = items.iter().map(|item| item.lines.as_ref()).collect();
        let body = compressed(&lines).map_err(|error| self.client.unreachable(operation, self.about, error.into()))?;
        let answer = match self.client.bulk(body).await {
            Ok(answer) => answer,
            Err(source) => return Ok((items, Some(self.client.unreachable(operation, self.about, source)))),
        };
        let sent: Vec<(Verb, &str)> = items.iter().map(|item| (item.verb, item.id.as_str())).collect();
        match judge(answer.status, &answer.body, &sent) {
            Verdict::Items(fates) => self.sort(items, fates, settled),
            Verdict::Unknown(problem) => {
                let status = if answer.status == 200 { 503 } else { answer.status };
                let problem = format!("cannot {operation}: {problem}");
                Ok((items, Some(self.client.told(self.about, status, "", &problem))))
            }
            Verdict::TooLarge => match <[Item; 1]>::try_from(items) {
                Ok([item]) => {
                    settled.refuse(&item, "content_too_large".to_owned());
                    Ok((Vec::new(), None))
                }
                Err(items) => Ok((items, None)),
            },
            Verdict::Stop { status, kind } => {
                // What it says may quote values, so its words are left out.
                let problem = format!("cannot {operation}: it answered {status} {kind}");
                Err(self.client.told(self.about, status, &kind, &problem).into())
            }
        }
    }

    fn sort(
        &self,
        items: Vec<Item>,
        fates: Vec<Fate>,
        settled: &mut Settled,
    ) -> Result<(Vec<Item>, Option<DeliverError>), Stop> {
        let mut again = Vec::new();
        for (item, fate) in items.into_iter().zip(fates) {
            match fate {
                Fate::Settled { changed } => match item.verb {
                    Verb::Index => settled.sent += 1,
                    Verb::Delete => settled.deleted += u64::from(changed),
                },
                Fate::Again => again.push(item),
                Fate::Refused(error) => settled.refuse(&item, error),
                Fate::Stop { status, kind } => {
                    let about = format!("{}, index '{}'", self.about, item.index);
                    let problem = format!("cannot write documents: it answered {status} {kind}");
                    return Err(self.client.told(&about, status, &kind, &problem).into());
                }
            }
        }
        let problem = format!("cannot write documents: it was too busy for {} of them", again.len());
        let fault = (!again.is_empty()).then(|| self.client.told(self.about, 429, "", &problem));
        Ok((again, fault))
    }

    fn with_pace<T>(&self, act: impl FnOnce(&mut Pace) -> T) -> T {
        act(&mut self.pace.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Settled {
    fn refuse(&mut self, item: &Item, error: String) {
        self.sent += 1;
        self.refused.push(Refused { position: item.place.clone(), index: item.index.to_string(), error });
    }
}

/// Items from the front that are within the bytes together; one at least.
fn portion(items: &[Item], bytes: usize) -> usize {
    let mut sum = 0_usize;
    let fits = items.iter().take_while(|item| {
        sum = sum.saturating_add(item.lines.len());
        sum <= bytes
    });
    fits.count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(size: usize) -> Item {
        Item::index(&Arc::from("i"), "a".to_owned(), 7, "s:1:0".to_owned(), &vec![b'x'; size])
    }

    #[test]
    fn an_item_is_an_action_and_a_document() {
        let text = |item: Item| String::from_utf8_lossy(&item.lines).into_owned();
        let action = |verb: &str| {
            json!({ verb: { "_index": "i", "_id": "a\"b", "version": 7, "version_type": "external_gte" } }).to_string()
        };
        let index = Arc::from("i");
        let written = Item::index(&index, "a\"b".to_owned(), 7, "s:1:0".to_owned(), b"{}");
        assert_eq!(text(written), format!("{}\n{{}}\n", action("index")));
        assert_eq!(text(Item::delete(&index, "a\"b".to_owned(), 7)), format!("{}\n", action("delete")));
    }

    #[test]
    fn a_portion_holds_one_item_at_least() {
        let items = [item(10_000), item(10_000), item(10_000)];
        for (bytes, expected) in [(0, 1), (9_000, 1), (10_300, 1), (20_400, 2), (1 << 20, 3)] {
            assert_eq!(portion(&items, bytes), expected, "{bytes}");
        }
    }

    #[test]
    fn a_refused_item_says_where_it_is_and_nothing_of_what_it_holds() {
        let mut settled = Settled::default();
        settled.refuse(&item(10), "mapper_parsing_exception".to_owned());
        let line = serde_json::to_string(&settled.refused).unwrap_or_default();
        assert_eq!(line, r#"[{"position":"s:1:0","index":"i","error":"mapper_parsing_exception"}]"#);
    }
}
