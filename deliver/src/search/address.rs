//! The address of a search server and how one proves who one is there. A secret is never shown. Pure.

use std::fmt;

use aws_credential_types::provider::SharedCredentialsProvider;
use url::Url;

/// How the server is convinced that one may write.
#[derive(Clone, Default)]
pub enum SearchAuth {
    /// It asks for nothing.
    #[default]
    None,
    /// A user and a password.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// An API key, as the server gave it out (encoded).
    ApiKey(String),
    /// A signature of AWS, version 4.
    Aws {
        /// `es` for a domain, `aoss` for a serverless collection.
        service: String,
        /// The Region.
        region: String,
        /// Whose signature.
        credentials: SharedCredentialsProvider,
    },
}

impl fmt::Debug for SearchAuth {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => formatter.write_str("nothing"),
            Self::Basic { user, .. } => write!(formatter, "user {user}"),
            Self::ApiKey(_) => formatter.write_str("an API key"),
            Self::Aws { service, region, .. } => write!(formatter, "AWS signature for {service} in {region}"),
        }
    }
}

/// Where a search server is: a URL without user and password.
#[derive(Clone, PartialEq, Eq)]
pub struct SearchAddress {
    /// Without a slash at the end.
    base: String,
}

impl fmt::Display for SearchAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.base)
    }
}

impl fmt::Debug for SearchAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.base)
    }
}

impl SearchAddress {
    /// Reads a URL: `https://host[:port][/path]`. A user and a password in it are given apart.
    ///
    /// # Errors
    /// What is wrong with it, in words that do not hold the password.
    pub fn parse(text: &str) -> Result<(Self, Option<(String, String)>), String> {
        let mut url = Url::parse(text).map_err(|error| format!("it is no URL: {error}"))?;
        if !["http", "https"].contains(&url.scheme()) {
            return Err("it must begin with https:// or http://".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("it must end behind the host, the port or a path".to_owned());
        }
        let user = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => Some((decoded(user)?, decoded(password.unwrap_or_default())?)),
        };
        let failed = |()| "it names no host".to_owned();
        url.set_username("").map_err(failed)?;
        url.set_password(None).map_err(failed)?;
        Ok((Self { base: url.as_str().trim_end_matches('/').to_owned() }, user))
    }

    /// The URL of a path that begins with a slash.
    pub(super) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Refuses to send a secret over a line that is not encrypted, except to this machine.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub fn fits(&self, auth: &SearchAuth) -> Result<(), String> {
        let is_secret = matches!(auth, SearchAuth::Basic { .. } | SearchAuth::ApiKey(_));
        let is_near = Url::parse(&self.base).is_ok_and(|url| match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        });
        if is_secret && self.base.starts_with("http://") && !is_near {
            return Err(format!("{self} is not encrypted, and a password or key would be sent: write https://"));
        }
        Ok(())
    }
}

/// A part of a URL in which `%41` stands for a byte.
fn decoded(text: &str) -> Result<String, String> {
    let fault = || "the user or the password in it is not in the form of a URL".to_owned();
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16)).ok_or_else(fault);
        let value = digit(rest.next())? * 16 + digit(rest.next())?;
        bytes.push(u8::try_from(value).map_err(|_| fault())?);
    }
    String::from_utf8(bytes).map_err(|_| fault())
}

/// Checks the beginning of the names of all indices of a target.
///
/// # Errors
/// What is wrong with it.
pub fn checked_prefix(prefix: &str) -> Result<(), String> {
    let is_fine =
        |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || "-_.".contains(character);
    let begins_well = prefix.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit());
    if !begins_well || !prefix.chars().all(is_fine) || prefix.len() > 100 {
        return Err(format!(
            "{prefix:?} cannot begin the name of an index: write at most 100 lower-case letters, digits, '-', '_' and '.', a letter or digit first"
        ));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let (address, user) = SearchAddress::parse("https://me:s3%40cret@search.example:9200/os/").unwrap();
        assert_eq!(address.to_string(), "https://search.example:9200/os");
        assert_eq!(address.at("/_bulk"), "https://search.example:9200/os/_bulk");
        let (user, password) = user.unwrap();
        assert_eq!((user.as_str(), password.as_str()), ("me", "s3@cret"));
        let auth = SearchAuth::Basic { user, password };
        assert!(!format!("{auth:?}{address:?}").contains("s3"));
        assert!(!format!("{:?}", SearchAuth::ApiKey("s3".to_owned())).contains("s3"));
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, expected) in [
            ("search.example", "no URL"),
            ("ftp://search.example", "https://"),
            ("https://search.example/?pretty", "must end"),
            ("https://me:%zz@search.example", "form of a URL"),
        ] {
            let message = SearchAddress::parse(text).unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }

    #[test]
    fn no_secret_goes_over_an_open_line() {
        let key = SearchAuth::ApiKey("key".to_owned());
        let fits = |text: &str, auth: &SearchAuth| SearchAddress::parse(text).unwrap().0.fits(auth).is_ok();
        assert!(!fits("http://search.example:9200", &key));
        for (text, auth) in [
            ("http://search.example:9200", &SearchAuth::None),
            ("https://search.example:9200", &key),
            ("http://127.0.0.1:9200", &key),
            ("http://[::1]:9200", &key),
            ("http://localhost:9200", &key),
        ] {
            assert!(fits(text, auth), "{text}");
        }
    }

    #[test]
    fn a_prefix_is_a_beginning_of_a_name() {
        for good in ["points", "a", "7-points_x.y"] {
            checked_prefix(good).unwrap();
        }
        for bad in ["", "-a", "_a", ".a", "Points", "a,b", "a*", "pünkte", &"a".repeat(101)] {
            assert!(checked_prefix(bad).is_err(), "{bad}");
        }
    }
}
