//! The keys of a `[[target]]` of kind `redshift`.

use std::time::Duration;

use bluelake_deliver::{checked_role, checked_schema};
use bluelake_lake::LakeLocation;

use super::Secret;

/// The time between two commits of a target that names none: commits queue on the leader of a cluster.
const COMMIT_INTERVAL: Duration = Duration::from_secs(60);

/// What only a target of kind `redshift` has.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RedshiftSettings {
    /// The schema that is its own.
    pub(crate) schema: String,
    /// Where rows are staged.
    pub(crate) staging: LakeLocation,
    /// The role that reads them.
    pub(crate) iam_role: String,
    /// The secret that opens the database.
    pub(crate) secret_arn: Option<String>,
    /// The least time between two commits while it follows the lake.
    pub(crate) commit_interval: Duration,
}

/// The keys as they are written.
pub(super) struct WrittenRedshift {
    pub(super) staging: Option<String>,
    pub(super) iam_role: Option<String>,
    pub(super) secret_arn: Option<Secret>,
    pub(super) commit_interval: Option<String>,
}

impl WrittenRedshift {
    /// The first key that is there, for a target of another kind.
    pub(super) fn key(&self) -> Option<&'static str> {
        let keys = [
            ("staging", self.staging.is_some()),
            ("iam_role", self.iam_role.is_some()),
            ("secret_arn", self.secret_arn.is_some()),
            ("commit_interval", self.commit_interval.is_some()),
        ];
        keys.into_iter().find(|(_, is_there)| *is_there).map(|(key, _)| key)
    }

    /// Checks the keys.
    pub(super) fn read(self, schema: String) -> Result<RedshiftSettings, String> {
        checked_schema(&schema)?;
        let staging =
            self.staging.ok_or("staging is missing: write s3://BUCKET/PREFIX in the Region of the database")?;
        let place = staging.parse::<LakeLocation>().ok().filter(LakeLocation::is_bucket);
        let place =
            place.ok_or_else(|| format!("staging {staging:?} is no prefix of a bucket: write s3://BUCKET/PREFIX"))?;
        let role =
            self.iam_role.ok_or("iam_role is missing: the role with which COPY reads what is staged, or default")?;
        checked_role(&role)?;
        let secret_arn = self.secret_arn.map(|secret| secret.0);
        if secret_arn.as_ref().is_some_and(|secret| !secret.starts_with("arn:aws")) {
            return Err("secret_arn is no ARN of a secret: write arn:aws:secretsmanager:…".to_owned());
        }
        let interval = self.commit_interval.map(|text| {
            let wrong = || format!("commit_interval {text:?} is no time: write 60s or 5m");
            humantime::parse_duration(&text).map_err(|_| wrong())
        });
        let commit_interval = interval.transpose()?.unwrap_or(COMMIT_INTERVAL);
        Ok(RedshiftSettings { schema, staging: place, iam_role: role, secret_arn, commit_interval })
    }
}
