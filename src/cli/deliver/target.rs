//! Makes the target that the configuration describes, with the secrets that stand beside it.

use anyhow::{Context as _, Result};
use bluelake_deliver::{
    PostgresOptions, PostgresTarget, RedshiftAddress, RedshiftOptions, RedshiftTarget, SearchAddress, SearchAuth,
    SearchOptions, SearchTarget, Target,
};
use bluelake_lake::{KeptCredentials, Lake};

use crate::config::{RedshiftSettings, SearchSettings, TargetKind, TargetSettings};
use crate::session::aws;
use crate::session::secrets::{self, variable};
use crate::terminal::failure::WrongUsage;

/// The password of a search server whose address has a user and no password.
const PASSWORD: &str = "SEARCH_PASSWORD";
/// An API key of a search server, as it was given out.
const KEY: &str = "SEARCH_API_KEY";

/// The target of these settings; it connects to nothing yet.
///
/// # Errors
/// [`WrongUsage`] when its address or secrets cannot be used.
pub(super) async fn target(settings: &TargetSettings, lake: &Lake) -> Result<Box<dyn Target>> {
    match &settings.kind {
        TargetKind::Postgres { schema, read_role } => {
            let address = secrets::postgres(&settings.address.0, |problem| wrong(settings, problem)).await?;
            Ok(Box::new(PostgresTarget::new(PostgresOptions {
                name: settings.name.clone(),
                address,
                schema: schema.clone(),
                read_role: read_role.clone(),
            })))
        }
        TargetKind::Search(search) => {
            let (address, user) =
                SearchAddress::parse(&settings.address.0).map_err(|problem| wrong(settings, &problem))?;
            let auth = auth(settings, search, user).await?;
            address.fits(&auth).map_err(|problem| wrong(settings, &problem))?;
            let authorities = search.authorities.as_ref().map(|path| {
                std::fs::read(path)
                    .with_context(|| format!("target {:?}: authorities {}", settings.name, path.display()))
            });
            let options = SearchOptions {
                name: settings.name.clone(),
                address,
                auth,
                authorities: authorities.transpose()?,
                prefix: search.prefix.clone(),
                shards: search.shards,
                replicas: search.replicas,
                max_rejected: search.max_rejected,
            };
            Ok(Box::new(SearchTarget::new(options, lake)?))
        }
        TargetKind::Redshift(redshift) => Ok(Box::new(self::redshift(settings, redshift, lake).await?)),
    }
}

async fn redshift(settings: &TargetSettings, redshift: &RedshiftSettings, lake: &Lake) -> Result<RedshiftTarget> {
    let address = RedshiftAddress::parse(&settings.address.0).map_err(|problem| wrong(settings, &problem))?;
    if redshift.secret_arn.is_some() && address.has_user() {
        return Err(wrong(settings, "it names a user, and secret_arn has one, too: leave one of them out").into());
    }
    let options = RedshiftOptions {
        name: settings.name.clone(),
        address,
        secret_arn: redshift.secret_arn.clone(),
        schema: redshift.schema.clone(),
        staging: redshift.staging.clone(),
        iam_role: redshift.iam_role.clone(),
    };
    Ok(RedshiftTarget::new(options, &aws::sdk_config().await?, lake.chance())?)
}

fn wrong(settings: &TargetSettings, problem: &str) -> WrongUsage {
    WrongUsage::new(format!("the address of target {:?} cannot be used: {problem}", settings.name))
}

/// A signature of AWS if that is asked for, else the key, else the user and the password.
async fn auth(
    settings: &TargetSettings,
    search: &SearchSettings,
    user: Option<(String, String)>,
) -> Result<SearchAuth> {
    let missing = |what: &str| WrongUsage::new(format!("target {:?}: {what}", settings.name));
    if let Some(service) = search.aws_service {
        let aws = aws::sdk_config().await?;
        let region = aws.region().ok_or_else(|| missing("no AWS Region: set AWS_REGION"))?.to_string();
        let credentials = aws.credentials_provider().ok_or_else(|| missing("there are no AWS credentials"))?;
        let credentials = KeptCredentials::new(credentials).into();
        return Ok(SearchAuth::Aws { service: service.name().to_owned(), region, credentials });
    }
    if let Some(key) = variable(KEY) {
        return Ok(SearchAuth::ApiKey(key));
    }
    match user {
        None => Ok(SearchAuth::None),
        Some((user, password)) if !password.is_empty() => Ok(SearchAuth::Basic { user, password }),
        Some((user, _)) => {
            let ask = format!("the address has a user and no password: set {PASSWORD}");
            let password = variable(PASSWORD).ok_or_else(|| missing(&ask))?;
            Ok(SearchAuth::Basic { user, password })
        }
    }
}
