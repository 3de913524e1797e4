//! Redshift by its Data API: rows are staged as Parquet in a bucket, and one batch of statements, which is one transaction, makes
//! sure of the position, copies the rows in, counts them and moves the position. A value that does not fit is told in `losses`.

pub(crate) mod address;
mod apply;
mod change;
mod compare;
mod ddl;
mod faults;
mod fit;
mod load;
mod position;
mod rows;
mod staging;
mod statements;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_sdk_redshiftdata::config::{Builder, retry::RetryConfig};
use aws_types::SdkConfig;
use bluelake_lake::{Chance, FeedFile, FeedStep, FileStore, LakeLocation};

use crate::{
    digest::TableVerdict,
    error::DeliverError,
    target::{Applied, Load, Source, Standing, Target},
};
use address::{Place, RedshiftAddress};
use statements::Api;

/// A Redshift database as a target.
#[derive(Clone, Debug)]
pub struct RedshiftOptions {
    /// Name of the target.
    pub name: String,
    /// Where it is.
    pub address: RedshiftAddress,
    /// The secret with a user and a password of the database; without one the credentials of AWS open it.
    pub secret_arn: Option<String>,
    /// The schema that is the target's own; see [`address::checked_schema`].
    pub schema: String,
    /// Where rows are staged: a prefix of a bucket in the Region of the database.
    pub staging: LakeLocation,
    /// The role with which the database reads what is staged; see [`address::checked_role`].
    pub iam_role: String,
    /// What processes staged that were killed is deleted when it is as old as this: others may be at work.
    pub left_over_age: Duration,
}

impl RedshiftOptions {
    /// The prefix below which all is the target's own.
    fn own_prefix(&self) -> String {
        format!("{}/{}", self.staging.to_string().trim_end_matches('/'), self.name)
    }

    /// The right of AWS by which the credentials become a user of the database.
    fn entry_action(&self) -> &'static str {
        match (&self.secret_arn, &self.address.place) {
            (Some(_), _) => "secretsmanager:GetSecretValue",
            (None, Place::Workgroup(_)) => "redshift-serverless:GetCredentials",
            (None, Place::Cluster { user: Some(_), .. }) => "redshift:GetClusterCredentials",
            (None, Place::Cluster { user: None, .. }) => "redshift:GetClusterCredentialsWithIAM",
        }
    }
}

/// The database of a target, and what is known of it.
pub struct RedshiftTarget {
    options: Arc<RedshiftOptions>,
    api: Api,
    store: FileStore,
    is_prepared: bool,
    /// Values that did not fit, of this process.
    lost: u64,
}

impl RedshiftTarget {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// When these options cannot be used: the message says why.
    pub fn new(options: RedshiftOptions, aws: &SdkConfig, chance: &Chance) -> Result<Self, DeliverError> {
        let wrong = |about: &str, problem: &str| options.refused(about, problem, "correct bluelake.toml");
        address::checked_schema(&options.schema).map_err(|problem| wrong("schema", &problem))?;
        address::checked_role(&options.iam_role).map_err(|problem| wrong("iam_role", &problem))?;
        if options.secret_arn.is_some() && options.address.has_user() {
            return Err(wrong("secret_arn", "the secret has a user, and the address has one, too"));
        }
        if aws.region().is_none() {
            return Err(options.refused(
                "its Region",
                "no Region of AWS is known",
                "set AWS_REGION, or use a profile that names one",
            ));
        }
        let store =
            FileStore::at(&options.staging, Some(aws)).map_err(|error| options.of_staging("staging", &error))?;
        let options = Arc::new(options);
        // Calls are repeated in one place, which knows what became of them.
        let client = Builder::from(aws).retry_config(RetryConfig::disabled()).build();
        let client = aws_sdk_redshiftdata::Client::from_conf(client);
        let api = Api::new(client, options.clone(), chance.clone());
        Ok(Self { options, api, store, is_prepared: false, lost: 0 })
    }

    async fn clear_left_overs(&self) -> Result<(), DeliverError> {
        let cleared = staging::clear_left_overs(&self.store, &self.options.name, self.options.left_over_age).await;
        let cleared = cleared.map_err(|error| self.options.of_staging("staging", &error))?;
        if cleared > 0 {
            tracing::info!(objects = cleared, "what an earlier process had staged was deleted");
        }
        Ok(())
    }
}

#[async_trait]
impl Target for RedshiftTarget {
    fn name(&self) -> &str {
        &self.options.name
    }

    fn lost(&self) -> u64 {
        self.lost
    }

    async fn prepare(&mut self) -> Result<(), DeliverError> {
        if !self.is_prepared {
            self.make_own_tables().await?;
            self.clear_left_overs().await?;
            self.is_prepared = true;
        }
        Ok(())
    }

    async fn standing(&mut self, source: &Source) -> Result<Standing, DeliverError> {
        self.stand(source).await
    }

    async fn seen(&mut self, source: &Source) -> Result<Standing, DeliverError> {
        if self.has_own_tables().await? { self.stand(source).await } else { Ok(Standing::default()) }
    }

    async fn apply(&mut self, source: &Source, step: &FeedStep) -> Result<Applied, DeliverError> {
        self.take(source, step).await
    }

    async fn begin_load(&mut self, source: &Source) -> Result<Load, DeliverError> {
        self.begin(source).await
    }

    async fn load(&mut self, source: &Source, load: &Load, files: &[FeedFile]) -> Result<Applied, DeliverError> {
        self.load_files(source, load, files).await
    }

    async fn finish_load(&mut self, source: &Source, load: &Load) -> Result<Applied, DeliverError> {
        self.finish(source, load).await
    }

    async fn abandon_load(&mut self, source: &Source) -> Result<(), DeliverError> {
        self.abandon(source).await
    }

    async fn verify(&mut self, source: &mut Source) -> Result<TableVerdict, DeliverError> {
        self.compare(source).await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    pub(super) fn options() -> RedshiftOptions {
        RedshiftOptions {
            name: "finance".to_owned(),
            address: RedshiftAddress::parse("redshift-serverless://points/dev").unwrap(),
            secret_arn: None,
            schema: "bluelake".to_owned(),
            staging: "s3://bucket/staging".parse().unwrap(),
            iam_role: "default".to_owned(),
            left_over_age: Duration::ZERO,
        }
    }

    #[test]
    fn the_own_prefix_and_the_right_to_enter_follow_from_the_configuration() {
        let mut options = options();
        assert_eq!(options.own_prefix(), "s3://bucket/staging/finance");
        for (address, expected) in [
            ("redshift-serverless://points/dev", "redshift-serverless:GetCredentials"),
            ("redshift://me@points/dev", "redshift:GetClusterCredentials"),
            ("redshift://points/dev", "redshift:GetClusterCredentialsWithIAM"),
        ] {
            options.address = RedshiftAddress::parse(address).unwrap();
            assert_eq!(options.entry_action(), expected);
        }
        options.secret_arn = Some("arn:aws:secretsmanager:eu-west-1:1:secret:points".to_owned());
        assert_eq!(options.entry_action(), "secretsmanager:GetSecretValue");
    }
}
