//! The keys of a `[[target]]` of kind `search`.

use std::path::PathBuf;

use bluelake_deliver::{RejectedBound, checked_prefix};
use serde::Deserialize;

/// The prefix of a target that names none.
const PREFIX: &str = "bluelake";

/// What only a target of kind `search` has.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SearchSettings {
    /// What the names of its indices begin with.
    pub(crate) prefix: String,
    /// The service of AWS for which requests are signed.
    pub(crate) aws_service: Option<AwsService>,
    /// A PEM file with more authorities.
    pub(crate) authorities: Option<PathBuf>,
    /// Shards of an index.
    pub(crate) shards: Option<u32>,
    /// Replicas of an index.
    pub(crate) replicas: Option<u32>,
    /// Documents that the server may refuse.
    pub(crate) max_rejected: RejectedBound,
}

/// A service of AWS that answers searches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AwsService {
    /// A domain.
    Es,
    /// A serverless collection.
    Aoss,
}

impl AwsService {
    /// As a signature names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Es => "es",
            Self::Aoss => "aoss",
        }
    }
}

/// The keys as they are written.
#[derive(Deserialize, Default)]
pub(super) struct WrittenSearch {
    pub(super) index_prefix: Option<String>,
    pub(super) aws_service: Option<AwsService>,
    pub(super) authorities: Option<PathBuf>,
    pub(super) shards: Option<u32>,
    pub(super) replicas: Option<u32>,
    pub(super) max_rejected: Option<u64>,
}

impl WrittenSearch {
    /// The first key that is there, for a target of another kind.
    pub(super) fn key(&self) -> Option<&'static str> {
        let keys = [
            ("index_prefix", self.index_prefix.is_some()),
            ("aws_service", self.aws_service.is_some()),
            ("authorities", self.authorities.is_some()),
            ("shards", self.shards.is_some()),
            ("replicas", self.replicas.is_some()),
            ("max_rejected", self.max_rejected.is_some()),
        ];
        keys.into_iter().find(|(_, is_there)| *is_there).map(|(key, _)| key)
    }

    /// Checks the keys.
    pub(super) fn read(self) -> Result<SearchSettings, String> {
        let prefix = self.index_prefix.unwrap_or_else(|| PREFIX.to_owned());
        checked_prefix(&prefix).map_err(|problem| format!("index_prefix: {problem}"))?;
        if self.shards == Some(0) {
            return Err("shards must be 1 or more".to_owned());
        }
        let most = |least| RejectedBound { least, share: 0.0 };
        Ok(SearchSettings {
            prefix,
            aws_service: self.aws_service,
            authorities: self.authorities,
            shards: self.shards,
            replicas: self.replicas,
            max_rejected: self.max_rejected.map_or_else(RejectedBound::default, most),
        })
    }
}
