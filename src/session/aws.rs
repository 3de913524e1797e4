//! One AWS configuration for all calls to AWS: the SDK's own chain of variables, profiles, SSO, web identity and
//! instance roles, with `AWS_ENDPOINT_URL…` as usual.

mod checks;

use std::time::Duration;

use anyhow::{Result, bail};
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};

/// Every answer must begin within this time, or the call is given up: the SDK itself would wait for ever. The SDK
/// bounds the rest of an answer and gives up one that stalls.
const ANSWER_BEGINS: Duration = Duration::from_secs(30);

/// Loads the usual chain. It makes no call before the first request, except to find the region of an instance.
///
/// # Errors
/// [`crate::terminal::failure::WrongUsage`] when a variable or profile has an invalid value: the SDK ignores some of
/// those, and panics on others.
pub(crate) async fn sdk_config() -> Result<SdkConfig> {
    checks::variables(std::env::vars_os())?;
    checks::profiles().await?;
    let timeouts = TimeoutConfig::builder().read_timeout(ANSWER_BEGINS).build();
    let config = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts).load().await;
    checks::loaded(&config)?;
    Ok(config)
}

/// A client of Kinesis from the usual chain.
///
/// # Errors
/// When no region is known: the SDK's own message for that comes late and does not say what to do.
pub(crate) fn kinesis_client(config: &SdkConfig) -> Result<aws_sdk_kinesis::Client> {
    if config.region().is_none() {
        bail!("no AWS region: set AWS_REGION, or use a profile that names one");
    }
    Ok(aws_sdk_kinesis::Client::new(config))
}
