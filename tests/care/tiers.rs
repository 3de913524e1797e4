//! Life-cycle rules of a bucket: ours are set, those of others stay letter for letter.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use hyper::Method;
use tokio::task::JoinHandle;

use crate::support::command::Machine;
use crate::support::servers::{Refusing, listen};

const LAKE: &str = "s3://points/lakes/main";
const TIERS: [&str; 3] = ["lake", "tiers", "--json"];

/// Rules as others write them: old and new forms of filters, and what the lake has no use for.
const FOREIGN: [&str; 3] = [
    "<Rule><ID>logs</ID><Filter><Prefix>logs/</Prefix></Filter><Status>Enabled</Status><Expiration><Days>7</Days></Expiration></Rule>",
    "<Rule><ID>old form</ID><Prefix>tmp/</Prefix><Status>Disabled</Status><AbortIncompleteMultipartUpload>\
     <DaysAfterInitiation>3</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule>",
    "<Rule><ID>a &amp; b</ID><Filter><And><Prefix>x/</Prefix><Tag><Key>team</Key><Value>media</Value></Tag>\
     <ObjectSizeGreaterThan>500</ObjectSizeGreaterThan></And></Filter><Status>Enabled</Status><Transition><Days>40</Days>\
     <StorageClass>GLACIER</StorageClass></Transition><NoncurrentVersionExpiration><NoncurrentDays>9</NoncurrentDays>\
     <NewerNoncurrentVersions>2</NewerNoncurrentVersions></NoncurrentVersionExpiration></Rule>",
];

/// What a bucket answers to the calls about its rules. Each write is counted.
#[derive(Default)]
struct Rules {
    text: Option<String>,
    writes: usize,
    denies_reading: bool,
    denies_writing: bool,
    /// A writer who comes between our write and our look at it.
    intrudes: bool,
    locks: bool,
    /// The header that is written with the rules.
    least_size: Option<String>,
}

struct Bucket {
    endpoint: String,
    rules: Arc<Mutex<Rules>>,
    server: JoinHandle<()>,
}

impl Bucket {
    async fn start(rules: &[&str]) -> Self {
        let text = (!rules.is_empty()).then(|| configuration(rules));
        let rules = Arc::new(Mutex::new(Rules {
            text,
            least_size: Some("varies_by_storage_class".to_owned()),
            ..Rules::default()
        }));
        let (listener, address) = listen().await;
        let shared = Arc::clone(&rules);
        let answer = move |request: Request| {
            let rules = Arc::clone(&shared);
            async move { answer(request, &rules).await }
        };
        let router = Router::new().fallback(answer);
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { endpoint: format!("http://{address}"), rules, server }
    }

    fn machine(&self) -> Machine {
        Machine::new().with("AWS_ENDPOINT_URL_S3", &self.endpoint).with("BLUELAKE_LAKE", LAKE)
    }

    fn text(&self) -> String {
        self.rules.lock().unwrap().text.clone().unwrap_or_default()
    }

    fn writes(&self) -> usize {
        self.rules.lock().unwrap().writes
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn configuration(rules: &[&str]) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<LifecycleConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{}</LifecycleConfiguration>",
        rules.concat()
    )
}

async fn answer(request: Request, rules: &Mutex<Rules>) -> Response {
    let fault = |status: u16, code: &str| {
        let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no</Message></Error>");
        Response::builder().status(status).body(Body::from(body)).unwrap()
    };
    let query = request.uri().query().unwrap_or_default().to_owned();
    let method = request.method().clone();
    let least_size = request.headers().get("x-amz-transition-default-minimum-object-size");
    let least_size = least_size.map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(request.uri().path().trim_end_matches('/'), "/points", "{method} {query}");
    let body = to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let mut rules = rules.lock().unwrap();
    if query.starts_with("object-lock") {
        return if rules.locks {
            let body =
                "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>";
            Response::new(Body::from(body))
        } else {
            fault(404, "ObjectLockConfigurationNotFoundError")
        };
    }
    assert!(query.starts_with("lifecycle"), "{method} {query}");
    if method == Method::GET {
        return match &rules.text {
            _ if rules.denies_reading => fault(403, "AccessDenied"),
            None => fault(404, "NoSuchLifecycleConfiguration"),
            Some(text) => {
                let answer = Response::builder();
                let size = rules.least_size.as_deref().unwrap_or("all_storage_classes_128K");
                answer
                    .header("x-amz-transition-default-minimum-object-size", size)
                    .body(Body::from(text.clone()))
                    .unwrap()
            }
        };
    }
    if rules.denies_writing {
        return fault(403, "AccessDenied");
    }
    rules.writes += 1;
    if method == Method::DELETE {
        rules.text = None;
        return Response::builder().status(204).body(Body::empty()).unwrap();
    }
    assert_eq!(method, Method::PUT);
    rules.least_size = least_size;
    rules.text = Some(String::from_utf8(body.to_vec()).unwrap());
    if rules.intrudes {
        rules.text = Some(configuration(&FOREIGN[..1]));
    }
    Response::new(Body::empty())
}

/// The rules of a text, each as it stands there.
fn rules_of(text: &str) -> Vec<String> {
    text.split("<Rule>").skip(1).map(|rule| rule.split("</Rule>").next().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_of_others_survive_letter_for_letter() {
    let bucket = Bucket::start(&FOREIGN).await;
    let machine = bucket.machine();
    let before = bucket.text();
    let planned = machine.run(&["lake", "tiers", "--dry-run", "--json"]).await.expect_code(0).json();
    assert_eq!((bucket.text(), bucket.writes()), (before, 0), "a dry run changes nothing");
    let done = machine.run(&TIERS).await.expect_code(0).json();
    assert_eq!(
        (&done["rules"], &done["rules_of_others"], &done["written"]),
        (&planned["rules"], &3.into(), &true.into())
    );
    let rules = rules_of(&bucket.text());
    for (foreign, expected) in rules.iter().zip(FOREIGN) {
        let expected = rules_of(expected).remove(0);
        assert_eq!(letters(foreign), letters(&expected));
    }
    assert_eq!(rules.len(), 6);
    let tables = [("user_events", "event_type="), ("transactions", "event_type="), ("rejected_events", "stream=")];
    for ((table, column), rule) in tables.into_iter().zip(&rules[3..]) {
        let keys = format!("<Prefix>lakes/main/{table}/{column}</Prefix>");
        assert!(rule.contains(&keys) && rule.contains("<Days>90</Days>") && rule.contains("STANDARD_IA"), "{rule}");
    }
    assert_eq!(
        bucket.rules.lock().unwrap().least_size.as_deref(),
        Some("varies_by_storage_class"),
        "it goes with the rules"
    );
    let text = bucket.text();
    let again = machine.run(&TIERS).await.expect_code(0).json();
    assert_eq!(
        (&again["written"], bucket.writes(), bucket.text()),
        (&false.into(), 1, text),
        "a second run changes nothing"
    );
    let never = bucket.machine().with("BLUELAKE_TIERS_INFREQUENT_AFTER", "never");
    never.succeed(&TIERS).await;
    assert_eq!(rules_of(&bucket.text()).len(), 3, "ours are gone");
}

/// The elements and texts of a rule in one order: the order of the elements of one rule says nothing.
fn letters(rule: &str) -> Vec<String> {
    let mut parts: Vec<String> = rule.split('<').map(str::to_owned).collect();
    parts.sort();
    parts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_without_rules_gets_ours_and_loses_them_again() {
    let bucket = Bucket::start(&[]).await;
    let machine =
        bucket.machine().with("BLUELAKE_TIERS_CLASS", "GLACIER_IR").with("BLUELAKE_TIERS_INFREQUENT_AFTER", "1d");
    let told = machine.succeed(&["lake", "tiers"]).await;
    assert!(told.contains("after 1 days GLACIER_IR") && told.contains("read back"), "{told}");
    assert_eq!(rules_of(&bucket.text()).len(), 3);
    let never = bucket.machine().with("BLUELAKE_TIERS_INFREQUENT_AFTER", "never");
    never.succeed(&["lake", "tiers"]).await;
    assert_eq!((bucket.text(), bucket.writes()), (String::new(), 2));
    never.succeed(&["lake", "tiers"]).await;
    assert_eq!(bucket.writes(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_permission_nothing_changes_and_it_is_named() {
    for (reading, permission) in [(true, "s3:GetLifecycleConfiguration"), (false, "s3:PutLifecycleConfiguration")] {
        let bucket = Bucket::start(&FOREIGN).await;
        {
            let mut rules = bucket.rules.lock().unwrap();
            (rules.denies_reading, rules.denies_writing) = (reading, !reading);
        }
        let before = bucket.text();
        let denied = bucket.machine().run(&TIERS).await.expect_code(1);
        denied.expect_message(&[permission, "nothing was changed"]);
        assert_eq!((bucket.text(), bucket.writes()), (before, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_be_lost_is_refused() {
    let newer = "<Rule><ID>newer</ID><Filter/><Status>Enabled</Status><Compress><Days>3</Days></Compress></Rule>";
    let bucket = Bucket::start(&[newer]).await;
    let before = bucket.text();
    bucket.machine().run(&TIERS).await.expect_code(1).expect_message(&["Compress", "would lose"]);
    assert_eq!((bucket.text(), bucket.writes()), (before, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_writes_at_the_same_time_is_seen() {
    let bucket = Bucket::start(&FOREIGN).await;
    bucket.rules.lock().unwrap().intrudes = true;
    bucket
        .machine()
        .run(&TIERS)
        .await
        .expect_code(1)
        .expect_message(&["somebody else wrote the rules", "run it again"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_harms_the_lake_and_what_locks_it_is_said() {
    let sweep = "<Rule><ID>sweep</ID><Filter><Prefix></Prefix></Filter><Status>Enabled</Status><Expiration><Days>400</Days></Expiration></Rule>";
    let bucket = Bucket::start(&[sweep]).await;
    bucket.rules.lock().unwrap().locks = true;
    let done = bucket.machine().run(&["lake", "tiers"]).await.expect_code(3);
    assert!(done.stdout.contains("'sweep'") && done.stdout.contains("deletes files of the lake"), "{}", done.stdout);
    assert!(done.stdout.contains("Object lock is on"), "{}", done.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn classes_that_are_slow_and_places_without_classes_are_refused() {
    let bucket = Bucket::start(&FOREIGN).await;
    for class in ["GLACIER", "DEEP_ARCHIVE", "ONEZONE_IA", "standard_ia"] {
        let refused = bucket.machine().with("BLUELAKE_TIERS_CLASS", class).run(&TIERS).await.expect_code(2);
        refused.expect_message(&[class, "STANDARD_IA, INTELLIGENT_TIERING, GLACIER_IR"]);
    }
    let early = bucket.machine().with("BLUELAKE_TIERS_INFREQUENT_AFTER", "7d");
    early.run(&TIERS).await.expect_code(2).expect_message(&["tiers.infrequent-after", "30 days"]);
    assert_eq!(bucket.writes(), 0);
    let machine = Machine::new();
    machine.succeed(&["lake", "init"]).await;
    machine.run(&TIERS).await.expect_code(2).expect_message(&["tiers are of buckets"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_a_slow_class_is_named_by_its_class() {
    let message = "slow</Message><StorageClass>DEEP_ARCHIVE</StorageClass><Message>";
    let bucket = Refusing::s3(403, "InvalidObjectState", message).await;
    let machine = Machine::new().with("AWS_ENDPOINT_URL_S3", &bucket.endpoint);
    let refused = machine.run(&["--lake", LAKE, "sql", "SELECT 1 FROM transactions"]).await.expect_code(1);
    refused.expect_message(&["storage class DEEP_ARCHIVE", "cannot be read at once"]);
}
