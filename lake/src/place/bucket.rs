//! S3: the bucket itself (aws-sdk-s3), and the object store over it, with the credentials chain of all other AWS calls
//! of the program.

pub(crate) mod credentials;
pub(crate) mod lifecycle;
pub(crate) mod tiers;

use std::{sync::Arc, time::Duration};

use aws_config::SdkConfig;
use aws_sdk_s3::{
    error::{ProvideErrorMetadata, SdkError},
    types::{
        BucketLocationConstraint, CreateBucketConfiguration, PublicAccessBlockConfiguration, ServerSideEncryption,
        ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
    },
};
use aws_types::service_config::ServiceConfigKey;
use object_store::{
    BackoffConfig, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut},
};

use self::credentials::KeptCredentials;
use crate::{
    backoff::{Backoff, Chance},
    causes::causes,
    error::LakeError,
};

/// Tries of a call while another call on the bucket is under way: half a minute in all.
const TURNS: usize = 12;

/// Endpoint from `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL` or the profile, in the SDK's order.
fn endpoint(aws: &SdkConfig) -> Option<String> {
    let key =
        ServiceConfigKey::builder().service_id("S3").env("AWS_ENDPOINT_URL").profile("endpoint_url").build().ok()?;
    aws.service_config()
        .and_then(|config| config.load_config(key))
        .or_else(|| aws.endpoint_url().map(ToOwned::to_owned))
}

/// An object store over `bucket`.
///
/// # Errors
/// [`LakeError::Location`] when there are no credentials or no region.
pub(crate) fn store(bucket: &str, aws: &SdkConfig) -> Result<AmazonS3, LakeError> {
    let fault = |reason: &str| LakeError::Location { url: format!("s3://{bucket}"), reason: reason.to_owned() };
    let region = aws.region().ok_or_else(|| fault("no AWS region; set AWS_REGION or a profile that has one"))?;
    let credentials =
        aws.credentials_provider().ok_or_else(|| fault("no AWS credentials; set AWS_PROFILE or AWS_ACCESS_KEY_ID"))?;
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(region.as_ref())
        .with_credentials(Arc::new(KeptCredentials::new(credentials)))
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_retry(RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: 6,
            retry_timeout: Duration::from_secs(60),
        });
    if let Some(endpoint) = endpoint(aws) {
        builder = builder
            .with_allow_http(endpoint.starts_with("http://"))
            .with_endpoint(endpoint.trim_end_matches('/'))
            .with_virtual_hosted_style_request(false);
    }
    builder.build().map_err(|error| fault(&error.to_string()))
}

/// A client of the bucket calls, on the same endpoint.
pub(crate) fn client(aws: &SdkConfig) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::config::Builder::from(aws).force_path_style(endpoint(aws).is_some()).build();
    aws_sdk_s3::Client::from_conf(config)
}

/// Whether the bucket exists.
///
/// # Errors
/// [`LakeError::Bucket`] when that cannot be found out, for example without permission.
pub(crate) async fn exists(client: &aws_sdk_s3::Client, bucket: &str) -> Result<bool, LakeError> {
    match client.head_bucket().bucket(bucket).send().await {
        Ok(_) => Ok(true),
        Err(error) if status(&error) == Some(404) => Ok(false),
        Err(error) => Err(failure(bucket, "HeadBucket", error)),
    }
}

/// Makes the bucket with encryption on and public access blocked. An existing one is left as it is.
///
/// # Errors
/// [`LakeError::Bucket`] names the call that failed.
pub(crate) async fn create(
    client: &aws_sdk_s3::Client,
    bucket: &str,
    region: Option<&str>,
    chance: &Chance,
) -> Result<bool, LakeError> {
    if exists(client, bucket).await? {
        return Ok(false);
    }
    let placement = region.filter(|region| *region != "us-east-1").map(|region| {
        CreateBucketConfiguration::builder().location_constraint(BucketLocationConstraint::from(region)).build()
    });
    let request = client.create_bucket().bucket(bucket).set_create_bucket_configuration(placement);
    if let Err(error) = in_turn(chance, || request.clone().send()).await {
        // Another program has just made it.
        let is_there = match error.code() {
            Some("BucketAlreadyOwnedByYou") => true,
            Some("BucketAlreadyExists") => exists(client, bucket).await.unwrap_or(false),
            _ => false,
        };
        return if is_there { Ok(false) } else { Err(failure(bucket, "CreateBucket", error)) };
    }
    protect(client, bucket, chance).await?;
    Ok(true)
}

/// Repeats a call while another call on the bucket is under way.
async fn in_turn<T, E, Call>(chance: &Chance, call: impl Fn() -> Call) -> Result<T, SdkError<E>>
where
    E: ProvideErrorMetadata,
    Call: Future<Output = Result<T, SdkError<E>>>,
{
    let mut backoff = Backoff::of_conflicts(chance);
    let mut attempt = 0;
    loop {
        attempt += 1;
        match call().await {
            Err(error) if attempt < TURNS && error.code() == Some("OperationAborted") => {
                tokio::time::sleep(backoff.pause()).await;
            }
            outcome => return outcome,
        }
    }
}

async fn protect(client: &aws_sdk_s3::Client, bucket: &str, chance: &Chance) -> Result<(), LakeError> {
    let block = PublicAccessBlockConfiguration::builder()
        .block_public_acls(true)
        .ignore_public_acls(true)
        .block_public_policy(true)
        .restrict_public_buckets(true)
        .build();
    let request = client.put_public_access_block().bucket(bucket).public_access_block_configuration(block);
    let blocked = in_turn(chance, || request.clone().send()).await;
    tolerate_missing(bucket, "PutPublicAccessBlock", blocked.map(|_| ()))?;
    let by_default = ServerSideEncryptionByDefault::builder()
        .sse_algorithm(ServerSideEncryption::Aes256)
        .build()
        .map_err(|error| LakeError::Bucket {
            bucket: bucket.to_owned(),
            operation: "PutBucketEncryption",
            reason: error.to_string(),
        })?;
    let rule = ServerSideEncryptionRule::builder()
        .apply_server_side_encryption_by_default(by_default)
        .bucket_key_enabled(true)
        .build();
    let rules = ServerSideEncryptionConfiguration::builder().rules(rule).build().map_err(|error| {
        LakeError::Bucket { bucket: bucket.to_owned(), operation: "PutBucketEncryption", reason: error.to_string() }
    })?;
    let request = client.put_bucket_encryption().bucket(bucket).server_side_encryption_configuration(rules);
    let encrypted = in_turn(chance, || request.clone().send()).await;
    tolerate_missing(bucket, "PutBucketEncryption", encrypted.map(|_| ()))
}

/// Some S3 implementations lack this call: it is logged and left to the operator, and is no failure.
fn tolerate_missing<E>(bucket: &str, operation: &'static str, outcome: Result<(), SdkError<E>>) -> Result<(), LakeError>
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    match outcome {
        Ok(()) => Ok(()),
        Err(error) if status(&error) == Some(501) || error.code() == Some("NotImplemented") => {
            tracing::warn!(bucket, operation, "the store does not know this call; set it by hand");
            Ok(())
        }
        Err(error) => Err(failure(bucket, operation, error)),
    }
}

fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

pub(crate) fn failure<E>(bucket: &str, operation: &'static str, error: SdkError<E>) -> LakeError
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    let reason = match (status(&error), error.code(), error.message()) {
        (_, Some(code), message) => format!("{code}: {}", message.unwrap_or("no message")),
        (Some(403), None, _) => "access denied; check the policy of the role".to_owned(),
        (Some(301), None, _) => "the bucket is in another region; set AWS_REGION to the bucket's".to_owned(),
        (Some(status), None, _) => format!("HTTP status {status}"),
        (None, None, _) => causes(&error),
    };
    LakeError::Bucket { bucket: bucket.to_owned(), operation, reason }
}
