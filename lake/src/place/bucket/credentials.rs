//! Credentials of AWS, kept until they are about to expire: the chain asks its source (a service, a program) anew each
//! time, and who signs every call would ask it so often.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use aws_credential_types::{
    Credentials,
    provider::{self, ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future},
};
use object_store::{CredentialProvider, aws::AwsCredential};
use tokio::sync::Mutex;

/// Credentials are renewed this time before they expire.
const RENEWED_AHEAD: Duration = Duration::from_secs(60);
/// Credentials without a time of expiry are renewed after this time.
const KEPT_AT_MOST: Duration = Duration::from_secs(15 * 60);

/// The credentials of a chain. Copies share what is kept.
#[derive(Clone)]
pub struct KeptCredentials {
    provider: SharedCredentialsProvider,
    kept: Arc<Mutex<Option<Kept>>>,
}

struct Kept {
    credentials: Credentials,
    until: SystemTime,
}

impl fmt::Debug for KeptCredentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "kept credentials of {:?}", self.provider)
    }
}

impl KeptCredentials {
    /// Those of this chain; nothing is asked yet.
    #[must_use]
    pub fn new(provider: SharedCredentialsProvider) -> Self {
        Self { provider, kept: Arc::default() }
    }

    async fn get(&self) -> provider::Result {
        // It is held while the source is asked: other callers wait for that answer.
        let mut kept = self.kept.lock().await;
        let now = SystemTime::now();
        if let Some(kept) = kept.as_ref().filter(|kept| kept.until > now) {
            return Ok(kept.credentials.clone());
        }
        let credentials = self.provider.provide_credentials().await?;
        let renewal = credentials.expiry().and_then(|expiry| expiry.checked_sub(RENEWED_AHEAD));
        *kept = Some(Kept { credentials: credentials.clone(), until: renewal.unwrap_or(now + KEPT_AT_MOST) });
        Ok(credentials)
    }
}

impl ProvideCredentials for KeptCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.get())
    }
}

impl From<KeptCredentials> for SharedCredentialsProvider {
    fn from(kept: KeptCredentials) -> Self {
        Self::new(kept)
    }
}

#[async_trait]
impl CredentialProvider for KeptCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let credentials = self.get().await.map_err(not_provided)?;
        Ok(Arc::new(AwsCredential {
            key_id: credentials.access_key_id().to_owned(),
            secret_key: credentials.secret_access_key().to_owned(),
            token: credentials.session_token().map(ToOwned::to_owned),
        }))
    }
}

/// A slow or failing source may answer the next time; a missing one will not.
fn not_provided(error: CredentialsError) -> object_store::Error {
    match error {
        CredentialsError::ProviderTimedOut(_) | CredentialsError::ProviderError(_) => {
            object_store::Error::Generic { store: "AWS credentials", source: error.into() }
        }
        _ => object_store::Error::Unauthenticated { path: "AWS credentials".to_owned(), source: error.into() },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Gives credentials that end after so many seconds, and counts how often it is asked.
    #[derive(Debug)]
    struct Source {
        life: Option<u64>,
        asked: Arc<AtomicU32>,
    }

    impl ProvideCredentials for Source {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let number = self.asked.fetch_add(1, Ordering::SeqCst);
            let ends = self.life.map(|life| SystemTime::now() + Duration::from_secs(life));
            future::ProvideCredentials::ready(Ok(Credentials::new(number.to_string(), "secret", None, ends, "test")))
        }
    }

    #[tokio::test]
    async fn a_source_is_asked_again_shortly_before_its_credentials_end() {
        for (life, expected) in [(None, 1), (Some(3_600), 1), (Some(30), 10)] {
            let asked = Arc::new(AtomicU32::new(0));
            let kept = KeptCredentials::new(SharedCredentialsProvider::new(Source { life, asked: Arc::clone(&asked) }));
            for _ in 0..5 {
                let copy = kept.clone();
                let signer = kept.provide_credentials().await.unwrap();
                let store = copy.get_credential().await.unwrap();
                assert!(expected > 1 || signer.access_key_id() == store.key_id);
            }
            assert_eq!(asked.load(Ordering::SeqCst), expected, "{life:?}");
        }
    }
}
