//! The life-cycle rules of a bucket: read, merged with ours, written and read back.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::{
    Client,
    config::{ConfigBag, Intercept, RuntimeComponents, interceptors::AfterDeserializationInterceptorContextRef},
    error::{BoxError, ProvideErrorMetadata, SdkError},
    types::{BucketLifecycleConfiguration, LifecycleRule, TransitionDefaultMinimumObjectSize},
};

use super::{
    failure, status,
    tiers::{Merged, TableFiles, TierChange, Tiering, dangers, merge, same, unknown_element},
};
use crate::error::LakeError;

/// What was found of a bucket, and done to it.
#[derive(Clone, Debug)]
pub struct Tiers {
    /// The bucket.
    pub bucket: String,
    /// The rule of each table.
    pub changes: Vec<TierChange>,
    /// Rules of others, which stayed as they were.
    pub foreign: usize,
    /// What rules of others do to the lake that it cannot bear.
    pub dangers: Vec<String>,
    /// Whether objects of the bucket are locked against deletion; `None`: that is not known.
    pub object_lock: Option<bool>,
    /// The rules were written.
    pub written: bool,
}

/// The rules of a bucket.
struct Rules {
    rules: Vec<LifecycleRule>,
    /// Below which size objects are not moved, which is written with the rules.
    least_size: Option<TransitionDefaultMinimumObjectSize>,
}

/// Brings the rules of the tables to what is wanted; with `dry_run` only says how they differ.
pub(crate) async fn set(
    client: &Client,
    bucket: &str,
    (tables, lake): (&[TableFiles], &str),
    wanted: &Tiering,
    dry_run: bool,
) -> Result<Tiers, LakeError> {
    let there = read(client, bucket).await?;
    let merged = merge(&there.rules, tables, wanted).map_err(|error| refused(bucket, &error.to_string()))?;
    let is_ours = |rule: &&LifecycleRule| tables.iter().any(|files| rule.id() == Some(&files.id));
    let mut tiers = Tiers {
        bucket: bucket.to_owned(),
        foreign: there.rules.iter().filter(|rule| !is_ours(rule)).count(),
        dangers: dangers(&there.rules, tables, lake),
        object_lock: object_lock(client, bucket).await,
        written: false,
        changes: merged.changes.clone(),
    };
    if merged.is_change() && !dry_run {
        write(client, bucket, &merged, there.least_size).await?;
        compare(&merged, &read(client, bucket).await?).map_err(|reason| refused(bucket, &reason))?;
        tiers.written = true;
    }
    Ok(tiers)
}

/// Keeps the text of an answer: its reading leaves out what the SDK does not know.
#[derive(Clone, Debug, Default)]
struct Text(Arc<Mutex<String>>);

impl Intercept for Text {
    fn name(&self) -> &'static str {
        "text of the rules"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let bytes = context.response().body().bytes().unwrap_or_default();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = String::from_utf8_lossy(bytes).into_owned();
        Ok(())
    }
}

async fn read(client: &Client, bucket: &str) -> Result<Rules, LakeError> {
    const CALL: &str = "GetBucketLifecycleConfiguration";
    let text = Text::default();
    let request = client.get_bucket_lifecycle_configuration().bucket(bucket).customize().interceptor(text.clone());
    let answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) if error.code() == Some("NoSuchLifecycleConfiguration") => {
            return Ok(Rules { rules: Vec::new(), least_size: None });
        }
        Err(error) => return Err(denied(bucket, CALL, "s3:GetLifecycleConfiguration", error)),
    };
    let text = text.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(element) = unknown_element(&text) {
        return Err(refused(
            bucket,
            &format!(
                "a rule has the element '{element}', which this version does not know and would lose; \
                 set the rules by hand (docs/operating.md)"
            ),
        ));
    }
    let least_size = answer.transition_default_minimum_object_size().cloned();
    Ok(Rules { rules: answer.rules.unwrap_or_default(), least_size })
}

async fn write(
    client: &Client,
    bucket: &str,
    merged: &Merged,
    least_size: Option<TransitionDefaultMinimumObjectSize>,
) -> Result<(), LakeError> {
    const PERMISSION: &str = "s3:PutLifecycleConfiguration";
    if merged.rules.is_empty() {
        let deleted = client.delete_bucket_lifecycle().bucket(bucket).send().await;
        return deleted.map(drop).map_err(|error| denied(bucket, "DeleteBucketLifecycle", PERMISSION, error));
    }
    let rules = BucketLifecycleConfiguration::builder().set_rules(Some(merged.rules.clone())).build();
    let rules = rules.map_err(|error| refused(bucket, &error.to_string()))?;
    let request = client.put_bucket_lifecycle_configuration().bucket(bucket).lifecycle_configuration(rules);
    let written = request.set_transition_default_minimum_object_size(least_size).send().await;
    written.map(drop).map_err(|error| denied(bucket, "PutBucketLifecycleConfiguration", PERMISSION, error))
}

/// What was written is what is there: every rule of others unchanged, every one of ours as it is wanted.
fn compare(written: &Merged, there: &Rules) -> Result<(), String> {
    let is_there =
        |rule: &LifecycleRule| there.rules.iter().any(|found| found == rule || is_our_own(written, rule, found));
    let lost = written.rules.iter().find(|rule| !is_there(rule));
    if let Some(rule) = lost {
        let id = rule.id().unwrap_or("without an id");
        return Err(format!(
            "rule '{id}' is not as it was written: somebody else wrote the rules meanwhile; run it again"
        ));
    }
    if there.rules.len() == written.rules.len() { Ok(()) } else { Err("rules came meanwhile; run it again".to_owned()) }
}

/// A store may fill in what we leave out of a rule; of those of others nothing may differ.
fn is_our_own(written: &Merged, rule: &LifecycleRule, found: &LifecycleRule) -> bool {
    written.changes.iter().any(|change| rule.id() == Some(&change.id)) && same(rule, found)
}

/// Whether the bucket locks its objects: moved they can be, deleted they cannot.
async fn object_lock(client: &Client, bucket: &str) -> Option<bool> {
    match client.get_object_lock_configuration().bucket(bucket).send().await {
        Ok(answer) => {
            let enabled = answer.object_lock_configuration().and_then(|lock| lock.object_lock_enabled());
            Some(enabled.is_some_and(|enabled| enabled.as_str() == "Enabled"))
        }
        Err(error) if status(&error) == Some(404) => Some(false),
        Err(_) => None,
    }
}

fn refused(bucket: &str, reason: &str) -> LakeError {
    LakeError::Bucket { bucket: bucket.to_owned(), operation: "setting life-cycle rules", reason: reason.to_owned() }
}

/// As [`failure`], with the permission that is missing.
fn denied<E>(bucket: &str, call: &'static str, permission: &str, error: SdkError<E>) -> LakeError
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    let is_denied = status(&error) == Some(403);
    match failure(bucket, call, error) {
        LakeError::Bucket { bucket, operation, reason } if is_denied => {
            let reason = format!("the permission {permission} is missing, and nothing was changed ({reason})");
            LakeError::Bucket { bucket, operation, reason }
        }
        other => other,
    }
}
