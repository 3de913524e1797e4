//! The documents of an index that a question finds, in the order of the stream, a page at a time.

use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Call, Client, at};
use crate::error::DeliverError;

/// Documents of a page: few at first, since each may be large; then as many as are about this many bytes.
const PAGE_FIRST: u64 = 16;
const PAGE_MOST: u64 = 2_000;
const PAGE_BYTES: usize = 4 << 20;

/// A document that was found.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Hit {
    pub(super) id: String,
    pub(super) version: u64,
    /// Null, unless it was asked for.
    pub(super) source: Value,
}

/// What is asked of an index.
pub(super) struct Scan<'a> {
    client: &'a Client,
    index: &'a str,
    query: Value,
    with_source: bool,
    size: u64,
    after: Option<Value>,
    has_ended: bool,
}

impl<'a> Scan<'a> {
    pub(super) fn new(client: &'a Client, index: &'a str, query: Value, with_source: bool) -> Self {
        let size = if with_source { PAGE_FIRST } else { PAGE_MOST };
        Self { client, index, query, with_source, size, after: None, has_ended: false }
    }

    /// The next page; empty at the end, and when the index is not there.
    pub(super) async fn next(&mut self) -> Result<Vec<Hit>, DeliverError> {
        if self.has_ended {
            return Ok(Vec::new());
        }
        let mut body = json!({
            "query": self.query,
            "size": self.size,
            "version": true,
            "track_total_hits": false,
            "_source": self.with_source,
            "sort": [{ "stream_shard": "asc" }, { "stream_sequence": "asc" }, { "stream_sub_sequence": "asc" }],
        });
        if let (Some(after), Some(body)) = (&self.after, body.as_object_mut()) {
            body.insert("search_after".to_owned(), after.clone());
        }
        let path = format!("/{}/_search?allow_partial_search_results=false", self.index);
        let about = format!("index '{}'", self.index);
        let call = Call::new(Method::POST, &path, "look for documents", &about).json(&body);
        let answer = self.client.answer(&call).await?;
        if answer.status == 404 {
            self.has_ended = true;
            return Ok(Vec::new());
        }
        let size = answer.body.len();
        let page =
            (answer.status == 200).then(|| read(&answer.body)).ok_or_else(|| self.client.refusal(&call, &answer))?;
        let (hits, after) = page
            .map_err(|problem| self.client.told(&about, 503, "", &format!("cannot look for documents: {problem}")))?;
        self.has_ended = u64::try_from(hits.len()).is_ok_and(|found| found < self.size);
        self.after = after;
        if self.with_source {
            self.size = if size > PAGE_BYTES { (self.size / 2).max(1) } else { (self.size * 2).min(PAGE_MOST) };
        }
        Ok(hits)
    }
}

/// The documents of a page, and what its last one is sorted by; or why they are not all that there are.
fn read(body: &[u8]) -> Result<(Vec<Hit>, Option<Value>), String> {
    let mut page: Value =
        serde_json::from_slice(body).map_err(|error| format!("its answer cannot be read: {error}"))?;
    let has_failed = at(&page, "/_shards/failed").as_u64().is_none_or(|failed| failed > 0);
    if has_failed || at(&page, "/timed_out") == true {
        return Err("some of its shards did not answer".to_owned());
    }
    let Some(found) = page.pointer_mut("/hits/hits").and_then(Value::as_array_mut) else {
        return Err("its answer is none to a search".to_owned());
    };
    let after = found.last().map(|hit| at(hit, "/sort").clone());
    let mut hits = Vec::with_capacity(found.len());
    for hit in found {
        let (Some(id), Some(version)) = (at(hit, "/_id").as_str(), at(hit, "/_version").as_u64()) else {
            return Err("its answer has a document without an id or a version".to_owned());
        };
        let id = id.to_owned();
        let source = hit.get_mut("_source").map(Value::take).unwrap_or_default();
        hits.push(Hit { id, version, source });
    }
    Ok((hits, after))
}

/// How many documents an index has; none when it is not there.
pub(super) async fn count(client: &Client, index: &str) -> Result<u64, DeliverError> {
    let path = format!("/{index}/_count");
    let about = format!("index '{index}'");
    let call = Call::new(Method::POST, &path, "count documents", &about).json(&json!({ "query": { "match_all": {} } }));
    let Some(found) = client.find(&call).await? else { return Ok(0) };
    if at(&found, "/_shards/failed").as_u64().is_none_or(|failed| failed > 0) {
        return Err(client.told(&about, 503, "", "cannot count documents: some of its shards did not answer"));
    }
    Ok(at(&found, "/count").as_u64().unwrap_or_default())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_whole_or_not_at_all() {
        let hit = json!({ "_id": "a", "_version": 7, "_source": { "x": 1 }, "sort": ["s", "49", 0] });
        let page = |failed: u64, hits: &[Value]| {
            json!({ "timed_out": false, "_shards": { "failed": failed }, "hits": { "hits": hits } }).to_string()
        };
        let (hits, after) = read(page(0, std::slice::from_ref(&hit)).as_bytes()).unwrap();
        assert_eq!(hits, [Hit { id: "a".to_owned(), version: 7, source: json!({ "x": 1 }) }]);
        assert_eq!(after.unwrap(), json!(["s", "49", 0]));
        for bad in [page(1, &[hit]), page(0, &[json!({ "_id": "a" })]), "{}".to_owned(), "{".to_owned()] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(read(page(0, &[]).as_bytes()).unwrap().0.is_empty());
    }
}
