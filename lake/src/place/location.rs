//! Where a lake is: a local folder or a prefix of an S3 bucket.
//!
//! In `s3://bucket/prefix` the prefix is the beginning of the keys, letter for letter, as in the tools of AWS: it is
//! not encoded, and `%20` is three characters. Only a file URL is percent-encoded.

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
    /// The lake's URL, percent-encoded and ending with a slash.
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

    /// The same place, if it can hold tables.
    ///
    /// # Errors
    /// [`LakeError::Location`] for a place whose name the Delta library takes for another: it reads `%20` in listed
    /// names as a blank, and a backslash in a file's name as a slash.
    pub fn fit_for_tables(self) -> Result<Self, LakeError> {
        let unfit = match &self.place {
            Place::Folder(folder) => folder.to_string_lossy().chars().find(|character| "%\\".contains(*character)),
            Place::Bucket { prefix, .. } => prefix.chars().find(|character| *character == '%'),
        };
        match unfit {
            None => Ok(self),
            Some(unfit) => {
                let reason = format!("no lake can be where '{unfit}' is in a folder's name; choose another place");
                Err(LakeError::Location { url: self.given, reason })
            }
        }
    }

    fn bucket_at(given: &str) -> Result<Self, String> {
        let rest = given.strip_prefix("s3://").ok_or("two slashes follow the scheme; write s3://bucket/prefix")?;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        check_bucket(bucket)?;
        let prefix = key.strip_suffix('/').filter(|prefix| !prefix.is_empty()).unwrap_or(key);
        let mut url = Url::parse(&format!("s3://{bucket}/")).map_err(|error| error.to_string())?;
        if !prefix.is_empty() {
            check_prefix(prefix)?;
            let mut segments = url.path_segments_mut().map_err(|()| "it cannot be written as a URL".to_owned())?;
            segments.pop_if_empty().extend(prefix.split('/')).push("");
        }
        let place = Place::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned() };
        Ok(Self { given: given.to_owned(), url, place })
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
        let fault = |reason: String| LakeError::Location { url: given.to_owned(), reason };
        if given.trim().is_empty() {
            return Err(fault("it is empty".to_owned()));
        }
        match scheme(given) {
            None => Self::folder_at(given, PathBuf::from(given)),
            Some(_) if given.starts_with(char::is_whitespace) => Err(fault("it begins with white space".to_owned())),
            Some("s3") => Self::bucket_at(given).map_err(fault),
            Some("file") => Self::folder_at(given, file_path(given).map_err(fault)?),
            Some(other) => {
                let hint = match other.to_ascii_lowercase().as_str() {
                    "s3" | "s3a" | "s3n" => "write s3://bucket/prefix",
                    _ => "use a folder or s3://bucket/prefix; a folder with a colon in its name is written ./name",
                };
                Err(fault(format!("scheme '{other}' is not supported; {hint}")))
            }
        }
    }
}

/// The text before `://`, or before a colon like the scheme of a URL. Neither begins a folder's name, because
/// `s3:/bucket` and `file:lake` were meant as URLs.
fn scheme(given: &str) -> Option<&str> {
    let given = given.trim_start();
    if let Some((before, _)) = given.split_once("://") {
        return Some(before);
    }
    let (before, _) = given.split_once(':')?;
    let is_scheme = before.starts_with(|first: char| first.is_ascii_alphabetic())
        && before.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    is_scheme.then_some(before)
}

/// The path of a file URL, which is percent-encoded as URLs are.
fn file_path(given: &str) -> Result<PathBuf, String> {
    let absolute = "a file URL needs an absolute path, as in file:///data/lake";
    if !given.starts_with("file:///") {
        return Err(absolute.to_owned());
    }
    let url = Url::parse(given).map_err(|error| error.to_string())?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err("a file URL has no query and no fragment; write '?' as %3F and '#' as %23".to_owned());
    }
    url.to_file_path().map_err(|()| absolute.to_owned())
}

/// Refuses an invalid name of a bucket, and says what it was probably meant to be.
fn check_bucket(bucket: &str) -> Result<(), String> {
    if bucket.is_empty() {
        return Err("the bucket is missing; write s3://bucket/prefix".to_owned());
    }
    if bucket.contains('@') {
        return Err(
            "no user and no password can stand before the bucket; set AWS_PROFILE or AWS_ACCESS_KEY_ID".to_owned()
        );
    }
    if bucket.contains(':') {
        return Err("no port can stand behind the bucket; set AWS_ENDPOINT_URL_S3 for another endpoint".to_owned());
    }
    let is_name = bucket.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if is_name { Ok(()) } else { Err(format!("'{bucket}' is no name of a bucket")) }
}

/// Refuses a prefix that stores cannot have, or that was meant as something else.
fn check_prefix(prefix: &str) -> Result<(), String> {
    if let Some(control) = prefix.chars().find(|character| character.is_ascii_control()) {
        return Err(format!("a control character stands in it ({})", control.escape_default()));
    }
    if has_query(prefix) {
        return Err("it has no query; region and endpoint come from the AWS settings".to_owned());
    }
    for segment in prefix.split('/') {
        match segment {
            "" => return Err("a folder in it has no name: two slashes follow each other".to_owned()),
            "." | ".." => return Err(format!("'{segment}' is no name of a folder in a bucket")),
            _ => {}
        }
    }
    Ok(())
}

/// Whether it ends like the query of a URL, with `?name=`: folders do not have such names.
fn has_query(prefix: &str) -> bool {
    let name = prefix.rsplit_once('?').and_then(|(_, query)| query.split_once('='));
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    name.is_some_and(|(name, _)| !name.is_empty() && is_name(name))
}

impl fmt::Display for LakeLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.given)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_equals_its_file_url() {
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
    fn a_key_is_taken_letter_for_letter() {
        for (given, prefix, url) in [
            ("s3://bucket/sp ace/x", "sp ace/x", "s3://bucket/sp%20ace/x/"),
            ("s3://bucket/ünï/", "ünï", "s3://bucket/%C3%BCn%C3%AF/"),
            ("s3://bucket/a%20b", "a%20b", "s3://bucket/a%2520b/"),
            ("s3://bucket/{a}\"'`^|", "{a}\"'`^|", "s3://bucket/%7Ba%7D%22'%60^|/"),
            ("s3://bucket/a+b=c&d;e", "a+b=c&d;e", "s3://bucket/a+b=c&d;e/"),
            ("s3://bucket/a#b", "a#b", "s3://bucket/a%23b/"),
            ("s3://bucket/what?/x", "what?/x", "s3://bucket/what%3F/x/"),
            ("s3://bucket/%2e%2e/x", "%2e%2e/x", "s3://bucket/%252e%252e/x/"),
            ("s3://bucket/back\\slash", "back\\slash", "s3://bucket/back\\slash/"),
            ("s3://bucket/ends ", "ends ", "s3://bucket/ends%20/"),
        ] {
            let location: LakeLocation = given.parse().unwrap();
            let Place::Bucket { prefix: found, .. } = location.place() else { panic!("{given}") };
            assert_eq!((found.as_str(), location.url().as_str()), (prefix, url), "{given}");
            // The libraries turn the URL back into the key.
            let path = object_store::path::Path::from_url_path(location.url().path()).unwrap();
            assert_eq!(path, object_store::path::Path::parse(prefix).unwrap(), "{given}");
            assert_eq!(path.as_ref(), prefix);
        }
    }

    #[test]
    fn a_folder_is_a_folder_whatever_its_name() {
        for (given, folder) in [
            ("/data/sp ace/ünï", "/data/sp ace/ünï"),
            ("/data/a#b?c", "/data/a#b?c"),
            ("file:///data/a%20b", "/data/a b"),
            ("/data/s3:/x", "/data/s3:/x"),
        ] {
            let location: LakeLocation = given.parse().unwrap();
            assert_eq!(location.folder(), Some(std::path::Path::new(folder)), "{given}");
        }
        assert!("./with:colon".parse::<LakeLocation>().is_ok());
    }

    #[test]
    fn a_bad_url_is_refused_with_its_reason() {
        for (given, reason) in [
            ("", "empty"),
            ("s3://", "bucket is missing"),
            ("s3:///x", "bucket is missing"),
            ("gs://bucket/x", "scheme 'gs'"),
            ("s3://bucket/x?y=1", "no query"),
            ("s3://bucket/x/?region=eu-west-1", "no query"),
            ("s3:/bucket/x", "two slashes"),
            ("s3:bucket", "two slashes"),
            ("S3://bucket/x", "write s3://"),
            ("s3a://bucket/x", "write s3://"),
            ("s3n://bucket/x", "write s3://"),
            ("http://bucket.s3.amazonaws.com/x", "scheme 'http'"),
            ("https:/x", "scheme 'https'"),
            ("hdfs:x", "./name"),
            ("file:x", "absolute path"),
            ("file:/x", "absolute path"),
            ("file://host/x", "absolute path"),
            ("file:///x?y", "no query"),
            ("FILE:///x", "scheme 'FILE'"),
            (" s3://bucket/x", "white space"),
            ("\"s3://bucket/x\"", "not supported"),
            ("s3://bucket:9000/x", "no port"),
            ("s3://user@bucket/x", "no user"),
            ("s3://key:secret@bucket/x", "no user"),
            ("s3://buck et/x", "no name of a bucket"),
            ("s3://b%75cket/x", "no name of a bucket"),
            ("s3://bucket?x", "no name of a bucket"),
            ("s3://bucket//a", "two slashes"),
            ("s3://bucket//", "two slashes"),
            ("s3://bucket/a//b", "two slashes"),
            ("s3://bucket/a//", "two slashes"),
            ("s3://bucket/a/../b", "'..'"),
            ("s3://bucket/./b", "'.'"),
            ("s3://bucket/a\n", "control character"),
        ] {
            let error = given.parse::<LakeLocation>().unwrap_err().to_string();
            assert!(error.contains(reason), "{given}: {error}");
        }
    }

    #[test]
    fn names_that_delta_misreads_are_unfit() {
        for (given, is_fit) in [
            ("s3://bucket/sp ace/ünï/{}#", true),
            ("s3://bucket/a%20b", false),
            ("/data/sp ace", true),
            ("/data/a%20b", false),
            ("/data/a\\b", false),
        ] {
            let fit = given.parse::<LakeLocation>().unwrap().fit_for_tables();
            assert_eq!(fit.is_ok(), is_fit, "{given}");
        }
    }
}
