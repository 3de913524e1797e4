//! Where a lake is: a local folder or a prefix of an S3 bucket.

use std::{fmt, path::PathBuf, str::FromStr};

use url::Url;

use crate::error::LakeError;

/// The place of a lake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LakeLocation {
    given: String,
    url: Url,
    place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Folder(PathBuf),
    Bucket { bucket: String, prefix: String },
}

impl LakeLocation {
    /// The lake's URL, ending with a slash.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Whether the lake is in a bucket and so needs AWS credentials and a region.
    #[must_use]
    pub fn is_bucket(&self) -> bool {
        matches!(self.place, Place::Bucket { .. })
    }

    /// The folder of a local lake.
    #[must_use]
    pub fn folder(&self) -> Option<&std::path::Path> {
        match &self.place {
            Place::Folder(folder) => Some(folder),
            Place::Bucket { .. } => None,
        }
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    fn folder_at(given: &str, path: PathBuf) -> Result<Self, LakeError> {
        let fault = |reason: String| LakeError::Location { url: given.to_owned(), reason };
        let absolute = std::path::absolute(&path).map_err(|error| fault(error.to_string()))?;
        let folder = normalized(&absolute);
        let url =
            Url::from_directory_path(&folder).map_err(|()| fault("the path cannot be written as a URL".to_owned()))?;
        Ok(Self { given: given.to_owned(), url, place: Place::Folder(folder) })
    }
}

/// Resolves `.` and `..` by the text of the path: the folder may not exist yet.
fn normalized(path: &std::path::Path) -> PathBuf {
    use std::path::Component;
    let mut result = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                result.pop();
            }
            other => result.push(other),
        }
    }
    result
}

impl FromStr for LakeLocation {
    type Err = LakeError;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        let fault = |reason: &str| LakeError::Location { url: given.to_owned(), reason: reason.to_owned() };
        if given.trim().is_empty() {
            return Err(fault("it is empty"));
        }
        let Some((scheme, _)) = given.split_once("://") else {
            return Self::folder_at(given, PathBuf::from(given));
        };
        let mut url = Url::parse(given).map_err(|error| fault(&error.to_string()))?;
        match scheme {
            "file" => {
                let path = url
                    .to_file_path()
                    .map_err(|()| fault("a file URL needs an absolute path, as in file:///data/lake"))?;
                Self::folder_at(given, path)
            }
            "s3" => {
                let bucket = url
                    .host_str()
                    .filter(|bucket| !bucket.is_empty())
                    .ok_or_else(|| fault("the bucket is missing; write s3://bucket/prefix"))?
                    .to_owned();
                if url.query().is_some() || url.fragment().is_some() {
                    return Err(fault("a lake URL has no query and no fragment"));
                }
                let prefix = url.path().trim_matches('/').to_owned();
                url.set_path(&if prefix.is_empty() { "/".to_owned() } else { format!("/{prefix}/") });
                Ok(Self { given: given.to_owned(), url, place: Place::Bucket { bucket, prefix } })
            }
            other => Err(fault(&format!("scheme '{other}' is not supported; use a folder or s3://bucket/prefix"))),
        }
    }
}

impl fmt::Display for LakeLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.given)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_and_its_file_url_are_the_same_lake() {
        let folder: LakeLocation = "/data/x/../lake/".parse().unwrap();
        let url: LakeLocation = "file:///data/lake".parse().unwrap();
        assert_eq!(folder.url(), url.url());
        assert!(!folder.is_bucket());
    }

    #[test]
    fn a_bucket_url_ends_with_a_slash() {
        for (given, expected) in [
            ("s3://bucket", "s3://bucket/"),
            ("s3://bucket/", "s3://bucket/"),
            ("s3://bucket/a/b", "s3://bucket/a/b/"),
            ("s3://bucket/a/b/", "s3://bucket/a/b/"),
        ] {
            let location: LakeLocation = given.parse().unwrap();
            assert_eq!(location.url().as_str(), expected, "{given}");
        }
    }

    #[test]
    fn a_bad_url_is_refused_with_its_reason() {
        for (given, reason) in [
            ("", "empty"),
            ("s3://", "bucket is missing"),
            ("gs://bucket/x", "scheme 'gs'"),
            ("s3://bucket/x?y=1", "no query"),
        ] {
            let error = given.parse::<LakeLocation>().unwrap_err().to_string();
            assert!(error.contains(reason), "{given}: {error}");
        }
    }
}
