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

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use async_trait::async_trait;
use aws_sdk_redshiftdata::config::{Builder, retry::RetryConfig};
use aws_types::SdkConfig;
use bluelake_lake::{Chance, FeedFile, FeedStep, FileStore, LakeError, LakeLocation, causes};

use crate::{
    digest::{TableVerdict, hash},
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
    /// Table → the attempt that began the load with which this process goes on.
    loads: BTreeMap<&'static str, String>,
    /// Tables whose left-overs were looked for.
    swept: BTreeSet<&'static str>,
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
        let (loads, swept) = Default::default();
        Ok(Self { options, api, store, is_prepared: false, loads, swept, lost: 0 })
    }

    /// The folder in which the rows of a table are staged: no other target and no other lake stages there.
    fn place(&self, source: &Source) -> Result<String, DeliverError> {
        let lake = hash(source.feed.table_id()?.as_bytes()) >> 64;
        Ok(format!("{}/{}-{lake:016x}", self.options.name, source.name()))
    }

    /// Deletes what was staged and is of no use any more. It is listed before the position is read, so that nothing of a living
    /// process is among it.
    async fn sweep(&self, source: &Source) -> Result<(), DeliverError> {
        let place = self.place(source)?;
        let failed = |error: LakeError| self.options.of_staging(&position::about(source.name()), &error);
        let listed = self.store.list(&place).await.map_err(failed)?;
        if listed.is_empty() {
            return Ok(());
        }
        let found = self.find(source).await?;
        let (held, load) = (found.held.map(|held| held.version), found.loading.map(|loading| loading.attempt));
        let is_over = |path: &&String| {
            let below = path.strip_prefix(&place).unwrap_or_default().trim_start_matches('/');
            staging::is_over(below.split('/').next().unwrap_or_default(), held, load.as_deref())
        };
        let over: Vec<&String> = listed.iter().filter(is_over).collect();
        for path in &over {
            self.store.remove(path).await.map_err(failed)?;
        }
        if !over.is_empty() {
            tracing::info!(table = source.name(), objects = over.len(), "what others had staged was deleted");
        }
        Ok(())
    }

    /// The same after a success, which a fault of the bucket does not change.
    async fn clear_away(&self, source: &Source) {
        if let Err(error) = self.sweep(source).await {
            tracing::warn!(
                error = causes(&error),
                "staged objects are left for a later run, or for a rule of the bucket"
            );
        }
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
            self.is_prepared = true;
        }
        Ok(())
    }

    async fn standing(&mut self, source: &Source) -> Result<Standing, DeliverError> {
        let standing = self.stand(source).await?;
        if !self.swept.contains(source.name()) {
            self.sweep(source).await?;
            self.swept.insert(source.name());
        }
        Ok(standing)
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
