use serde_json::{Value, json};

use super::*;

fn answer(items: &[Value]) -> Vec<u8> {
    json!({ "took": 1, "errors": true, "items": items }).to_string().into_bytes()
}

fn item(verb: &str, id: &str, status: u16, kind: Option<&str>) -> Value {
    let mut item = json!({ "_index": "i", "_id": id, "status": status });
    if let Some(kind) = kind {
        item["error"] = json!({ "type": kind, "reason": "failed to parse [secret value]" });
    }
    json!({ verb: item })
}

fn one(verb: Verb, status: u16, kind: Option<&str>) -> Fate {
    let name = if verb == Verb::Index { "index" } else { "delete" };
    match judge(200, &answer(&[item(name, "a", status, kind)]), &[(verb, "a")]) {
        Verdict::Items(mut fates) => fates.remove(0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_status_has_its_fate() {
    let settled = |changed| Fate::Settled { changed };
    for (verb, status, kind, expected) in [
        (Verb::Index, 201, None, settled(true)),
        (Verb::Index, 200, None, settled(true)),
        (Verb::Index, 409, Some("version_conflict_engine_exception"), settled(false)),
        (Verb::Delete, 409, Some("version_conflict_engine_exception"), settled(false)),
        (Verb::Delete, 404, None, settled(false)),
        (Verb::Delete, 404, Some("index_not_found_exception"), settled(false)),
        (Verb::Index, 429, Some("es_rejected_execution_exception"), Fate::Again),
        (Verb::Index, 503, Some("unavailable_shards_exception"), Fate::Again),
        (Verb::Index, 400, Some("mapper_parsing_exception"), Fate::Refused("mapper_parsing_exception".into())),
        (Verb::Index, 400, Some("document_parsing_exception"), Fate::Refused("document_parsing_exception".into())),
    ] {
        assert_eq!(one(verb, status, kind), expected, "{verb:?} {status} {kind:?}");
    }
    for (status, kind) in [
        (401, "security_exception"),
        (403, "security_exception"),
        (403, "cluster_block_exception"),
        (429, "cluster_block_exception"),
        (404, "index_not_found_exception"),
        (400, "index_closed_exception"),
    ] {
        assert_eq!(one(Verb::Index, status, Some(kind)), Fate::Stop { status, kind: kind.to_owned() });
    }
}

#[test]
fn what_is_not_an_answer_to_each_item_says_nothing() {
    let whole = answer(&[item("index", "a", 201, None), item("delete", "b", 200, None)]);
    let sent = [(Verb::Index, "a"), (Verb::Delete, "b")];
    assert!(matches!(judge(200, &whole, &sent), Verdict::Items(fates) if fates.len() == 2));
    for length in 0..whole.len() {
        assert!(matches!(judge(200, whole.get(..length).unwrap_or_default(), &sent), Verdict::Unknown(_)), "{length}");
    }
    let turned = [(Verb::Delete, "b"), (Verb::Index, "a")];
    assert!(matches!(judge(200, &whole, &turned), Verdict::Unknown(_)));
    assert!(matches!(judge(200, &whole, &sent[..1]), Verdict::Unknown(_)));
    assert!(matches!(judge(200, b"{\"errors\":false}", &[]), Verdict::Unknown(_)));
}

#[test]
fn a_whole_request_is_judged_too() {
    let body = json!({ "error": { "type": "security_exception", "reason": "r" }, "status": 403 }).to_string();
    let judged = |status| judge(status, body.as_bytes(), &[(Verb::Index, "a")]);
    assert_eq!(judged(413), Verdict::TooLarge);
    for status in [429, 502, 503, 504] {
        assert!(matches!(judged(status), Verdict::Unknown(_)), "{status}");
    }
    for status in [400, 401, 403] {
        assert_eq!(judged(status), Verdict::Stop { status, kind: "security_exception".to_owned() });
    }
    assert_eq!(kind_of(b"<html>"), "unnamed");
    assert_eq!(kind_of(b"{\"error\":\"alias [nix] missing\"}"), "unnamed");
}

#[test]
fn a_request_halves_and_grows_back() {
    let mut pace = Pace::default();
    pace.went_badly(BODY_MOST);
    assert_eq!(pace.bytes(), BODY_MOST / 2);
    pace.went_badly(1 << 20);
    assert_eq!(pace.bytes(), 1 << 19);
    (0..40).for_each(|_| pace.went_badly(1 << 20));
    assert_eq!(pace.bytes(), 16 << 10);
    pace.was_too_large(10_000);
    assert_eq!(pace.bytes(), 5_000);
    (0..40).for_each(|_| pace.was_too_large(10_000));
    assert_eq!(pace.bytes(), 1);
    (0..40).for_each(|_| pace.went_badly(10_000));
    pace.went_well();
    assert_eq!(pace.bytes(), (16 << 10) + (256 << 10));
    (0..40).for_each(|_| pace.went_well());
    assert_eq!(pace.bytes(), BODY_MOST);
}
