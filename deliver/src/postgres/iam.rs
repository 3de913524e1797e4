//! A token of AWS IAM in place of a password, for databases of RDS and Aurora.
//!
//! It is a request to connect that is signed for the service `rds-db`, as the User Guide of Amazon RDS, "Connecting to
//! your DB instance using IAM authentication", has it. The server takes it for 15 minutes; a connection that stands is
//! not ended by it.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign},
    sign::v4,
};
use url::Url;

use super::PostgresOptions;
use crate::error::DeliverError;

/// How long a token is good for.
const LIFE: Duration = Duration::from_secs(15 * 60);

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Who signs the tokens, and in which Region the database is.
#[derive(Clone)]
pub(super) struct Signer {
    pub(super) region: String,
    pub(super) credentials: SharedCredentialsProvider,
}

impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "IAM in {}", self.region)
    }
}

impl PostgresOptions {
    /// A new token, if the address asks for one.
    pub(super) async fn token(&self) -> Result<Option<String>, DeliverError> {
        let address = &self.address;
        let Some((host, port)) = address.iam_place() else { return Ok(None) };
        let failed = |problem: String| {
            let remedy =
                "give credentials and a Region of AWS (AWS_PROFILE, AWS_REGION), or a password without auth=iam";
            self.refused("the token of IAM", &problem, remedy)
        };
        let signer = address.signer.as_ref().ok_or_else(|| failed("there are no credentials".to_owned()))?;
        let token = signer.token((host, port), address.user(), SystemTime::now()).await;
        token.map(Some).map_err(|error| failed(bluelake_lake::causes(&*error).to_string()))
    }
}

impl Signer {
    /// The token with which `user` may connect to a database, from `now` on.
    async fn token(&self, (host, port): (&str, u16), user: &str, now: SystemTime) -> Result<String, Cause> {
        let identity = self.credentials.provide_credentials().await?.into();
        let mut settings = SigningSettings::default();
        settings.expires_in = Some(LIFE);
        settings.signature_location = SignatureLocation::QueryParams;
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .name("rds-db")
            .region(&self.region)
            .time(now)
            .settings(settings)
            .build()?
            .into();
        let mut url = Url::parse(&format!("https://{host}:{port}/?Action=connect"))?;
        url.query_pairs_mut().append_pair("DBUser", user);
        let request = SignableRequest::new("GET", url.as_str(), std::iter::empty(), SignableBody::Bytes(&[]))?;
        let (instructions, _) = sign(request, &parameters)?.into_parts();
        for (name, value) in instructions.params() {
            url.query_pairs_mut().append_pair(name, value);
        }
        Ok(url.as_str().trim_start_matches("https://").to_owned())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::collections::BTreeMap;

    use aws_credential_types::Credentials;

    use super::*;

    /// The parameters of a token, decoded.
    fn parameters(token: &str) -> BTreeMap<String, String> {
        Url::parse(&format!("https://{token}")).unwrap().query_pairs().into_owned().collect()
    }

    #[tokio::test]
    async fn a_token_has_the_signature_of_botocore() {
        let now = chrono::DateTime::parse_from_rfc3339("2026-11-30T12:00:00Z").unwrap().into();
        let host = "points.cluster-x.eu-west-1.rds.amazonaws.com";
        // `generate_db_auth_token` of botocore 1.44.8, at this time.
        for (session, user, expected) in [
            (None, "bluelake", "378dbf52a4bf64477188a7e18deeaf2e432d0ab86c82e4599c3cd436290f8d7d"),
            (None, "a b+c", "2bc14183c1109bbd5dcbaac086d08f1fb9a12a312affd2f6afcc5174f7037fb2"),
            (Some("session/token="), "bluelake", "a6f5fa691c3bec8476cafdb59b6edda1bd8bd0d7493413d7e3d09e7f7db68f9f"),
        ] {
            let key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
            let credentials = Credentials::new("AKIDEXAMPLE", key, session.map(str::to_owned), None, "test");
            let signer =
                Signer { region: "eu-west-1".to_owned(), credentials: SharedCredentialsProvider::new(credentials) };
            let token = signer.token((host, 5432), user, now).await.unwrap();
            assert!(token.starts_with(&format!("{host}:5432/?Action=connect&DBUser=")), "{token}");
            let found = parameters(&token);
            assert_eq!(found["DBUser"], user);
            assert_eq!(found["X-Amz-Expires"], "900");
            assert_eq!(found["X-Amz-Credential"], "AKIDEXAMPLE/20261130/eu-west-1/rds-db/aws4_request");
            assert_eq!(found.get("X-Amz-Security-Token").map(String::as_str), session);
            assert_eq!(found["X-Amz-Signature"], expected);
        }
    }
}
