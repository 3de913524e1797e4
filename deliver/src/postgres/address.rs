//! The address of a database: a URL, with the password in it or beside it. A password is never shown.

use std::fmt;

use aws_credential_types::provider::SharedCredentialsProvider;
use tokio_postgres::{Config, config::Host};
use url::Url;

use super::iam::Signer;

/// What is known beside the URL.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// `PGPASSWORD`.
    pub password: Option<String>,
    /// The text of the file that `PGPASSFILE` names, or of `~/.pgpass`.
    pub password_file: Option<String>,
}

/// Whether the connection is encrypted, and whom it trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Encryption {
    /// It is not.
    None,
    /// It is; the server's certificate is checked against the machine's authorities, and those of this file.
    Verified {
        /// PEM file with more authorities.
        roots: Option<String>,
    },
}

/// Where a database is, and as whom.
#[derive(Clone)]
pub struct Address {
    pub(super) config: Config,
    pub(super) encryption: Encryption,
    /// A token of IAM stands in place of the password.
    iam: Option<Iam>,
    pub(super) signer: Option<Signer>,
    /// For messages, without a password.
    shown: String,
}

/// The database for which a token of IAM is asked.
#[derive(Clone)]
struct Iam {
    host: String,
    port: u16,
    /// The Region that the URL names.
    region: Option<String>,
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.shown)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.shown)
    }
}

impl Address {
    /// Reads a URL: `postgres://user[:password]@host[:port]/database[?sslmode=…&sslrootcert=…&auth=iam&region=…]`.
    ///
    /// # Errors
    /// What is wrong with it, in words that do not hold the password.
    pub fn parse(text: &str, surroundings: &Surroundings) -> Result<Self, String> {
        let mut url = Url::parse(text).map_err(|error| format!("it is no URL: {error}"))?;
        if !["postgres", "postgresql"].contains(&url.scheme()) {
            return Err("it must begin with postgres://".to_owned());
        }
        let (mut mode, mut roots, mut auth, mut region, mut rest) = (None, None, None, None, Vec::new());
        for (key, value) in url.query_pairs() {
            match key.as_ref() {
                "sslmode" => mode = Some(value.into_owned()),
                "sslrootcert" => roots = Some(value.into_owned()),
                "auth" => auth = Some(value.into_owned()),
                "region" => region = Some(value.into_owned()),
                _ => rest.push((key.into_owned(), value.into_owned())),
            }
        }
        url.set_query(None);
        if !rest.is_empty() {
            url.query_pairs_mut().extend_pairs(rest);
        }
        let mut config: Config = url.as_str().parse().map_err(|error| bluelake_lake::causes(&error).to_string())?;
        let user = config.get_user().ok_or("it names no user: write postgres://user@host/database")?.to_owned();
        let database = config.get_dbname().unwrap_or(&user).to_owned();
        let (host, is_near) = match config.get_hosts() {
            [Host::Tcp(host)] => {
                let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
                (host.clone(), host == "localhost" || address.is_ok_and(|address| address.is_loopback()))
            }
            [Host::Unix(path)] => (path.display().to_string(), true),
            [] => return Err("it names no host".to_owned()),
            _ => return Err("it names several hosts: give the one that can be written to".to_owned()),
        };
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let encryption = encryption(mode.as_deref(), roots, is_near)?;
        let is_iam = by_iam(auth.as_deref(), region.as_deref())?;
        if is_iam && config.get_password().is_some() {
            return Err("it has a password and auth=iam: leave one of them out".to_owned());
        }
        if is_iam && encryption == Encryption::None {
            return Err("auth=iam needs a connection that is encrypted: write sslmode=verify-full".to_owned());
        }
        if !is_iam && config.get_password().is_none() {
            let of_file = surroundings.password_file.as_deref();
            let place = Place { host: &host, port, database: &database, user: &user };
            let password = surroundings.password.clone().or_else(|| password_in(of_file?, &place));
            if let Some(password) = password {
                config.password(password);
            }
        }
        config.dbname(&database).ssl_mode(match encryption {
            Encryption::None => tokio_postgres::config::SslMode::Disable,
            Encryption::Verified { .. } => tokio_postgres::config::SslMode::Require,
        });
        let shown = format!("postgres://{user}@{host}:{port}/{database}");
        let iam = is_iam.then_some(Iam { host, port, region });
        Ok(Self { config, encryption, iam, signer: None, shown })
    }

    /// Whether a token of IAM is asked for each connection: [`Address::signed_by`] gives who signs it.
    #[must_use]
    pub fn wants_iam(&self) -> bool {
        self.iam.is_some()
    }

    /// The address with who signs the tokens of IAM. The Region of the URL goes before this one.
    ///
    /// # Errors
    /// Without a Region or credentials.
    pub fn signed_by(
        mut self,
        region: Option<String>,
        credentials: Option<SharedCredentialsProvider>,
    ) -> Result<Self, String> {
        let own = self.iam.as_ref().and_then(|iam| iam.region.clone());
        let region = own.or(region).ok_or("auth=iam needs a Region of AWS: set AWS_REGION, or add &region=…")?;
        let credentials = credentials.ok_or("auth=iam needs credentials of AWS, and there are none")?;
        self.signer = Some(Signer { region, credentials });
        Ok(self)
    }

    /// Host and port of the database for which a token of IAM is asked.
    pub(super) fn iam_place(&self) -> Option<(&str, u16)> {
        self.iam.as_ref().map(|iam| (iam.host.as_str(), iam.port))
    }

    pub(super) fn user(&self) -> &str {
        self.config.get_user().unwrap_or_default()
    }

    pub(super) fn database(&self) -> &str {
        self.config.get_dbname().unwrap_or_default()
    }
}

/// Whether a token of IAM stands in place of the password.
fn by_iam(auth: Option<&str>, region: Option<&str>) -> Result<bool, String> {
    match auth {
        Some("iam") => Ok(true),
        Some(other) => Err(format!("auth={other} is not known: write auth=iam, or leave it out")),
        None if region.is_some() => Err("region is only for auth=iam".to_owned()),
        None => Ok(false),
    }
}

/// Near, no encryption is needed; elsewhere the server must prove who it is.
fn encryption(mode: Option<&str>, roots: Option<String>, is_near: bool) -> Result<Encryption, String> {
    match mode {
        Some("disable") => Ok(Encryption::None),
        Some("require" | "verify-full") => Ok(Encryption::Verified { roots }),
        None if is_near && roots.is_none() => Ok(Encryption::None),
        None => Ok(Encryption::Verified { roots }),
        Some(other) => Err(format!("sslmode={other} is not known: write disable, or verify-full")),
    }
}

struct Place<'a> {
    host: &'a str,
    port: u16,
    database: &'a str,
    user: &'a str,
}

/// The password of the first line that fits: `host:port:database:user:password`, where `*` fits all and `\` is before a
/// colon or backslash that belongs to the value.
fn password_in(text: &str, place: &Place<'_>) -> Option<String> {
    let host = if place.host.starts_with('/') { "localhost" } else { place.host };
    let port = place.port.to_string();
    let wanted = [host, &port, place.database, place.user];
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields = fields(line);
        let [rest @ .., password] = fields.as_slice() else { return None };
        let fits = rest.len() == wanted.len()
            && rest.iter().zip(wanted).all(|(field, wanted)| field == "*" || field == wanted);
        fits.then(|| password.clone())
    })
}

fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut field) = (Vec::new(), String::new());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => field.extend(characters.next()),
            ':' => fields.push(std::mem::take(&mut field)),
            _ => field.push(character),
        }
    }
    fields.push(field);
    fields
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn address(text: &str) -> Result<Address, String> {
        Address::parse(text, &Surroundings::default())
    }

    #[test]
    fn a_password_is_never_shown() {
        let address = address("postgres://me:s3cret@db.example:6432/points?sslmode=disable").unwrap();
        assert_eq!(address.to_string(), "postgres://me@db.example:6432/points");
        assert!(!format!("{address:?}").contains("s3cret"));
        assert_eq!(address.config.get_password(), Some(&b"s3cret"[..]));
    }

    #[test]
    fn what_is_far_must_prove_who_it_is() {
        let encryption = |text: &str| address(text).unwrap().encryption;
        let verified = |roots: Option<&str>| Encryption::Verified { roots: roots.map(str::to_owned) };
        assert_eq!(encryption("postgres://me@127.0.0.1/points"), Encryption::None);
        assert_eq!(encryption("postgres://me@[::1]/points"), Encryption::None);
        assert_eq!(encryption("postgres://me@%2Fvar%2Frun%2Fpostgresql/points"), Encryption::None);
        assert_eq!(encryption("postgres://me@db.example/points"), verified(None));
        assert_eq!(encryption("postgres://me@localhost/points?sslmode=require"), verified(None));
        assert_eq!(encryption("postgres://me@db/points?sslrootcert=/etc/rds.pem"), verified(Some("/etc/rds.pem")));
        assert!(address("postgres://me@db/points?sslmode=prefer").unwrap_err().contains("verify-full"));
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, expected) in [
            ("db.example/points", "no URL"),
            ("mysql://me@db/points", "postgres://"),
            ("postgres://db/points", "no user"),
            ("postgres:///points?user=me", "no host"),
            ("postgres://me@a,b/points", "several hosts"),
            ("postgres://me@db/points?colour=red", "colour"),
            ("postgres://me@db/points?auth=ldap", "auth=iam"),
            ("postgres://me@db/points?region=eu-west-1", "only for auth=iam"),
            ("postgres://me:own@db/points?auth=iam", "leave one of them out"),
            ("postgres://me@db/points?auth=iam&sslmode=disable", "verify-full"),
        ] {
            let message = address(text).unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }

    #[test]
    fn a_token_of_iam_takes_the_place_of_every_password() {
        let surroundings = Surroundings { password: Some("variable".to_owned()), password_file: None };
        let address = Address::parse("postgres://me@db/points?auth=iam", &surroundings).unwrap();
        assert!(address.wants_iam() && address.config.get_password().is_none());
        let credentials = || {
            let credentials = aws_credential_types::Credentials::new("id", "secret", None, None, "test");
            Some(SharedCredentialsProvider::new(credentials))
        };
        assert!(address.clone().signed_by(None, credentials()).unwrap_err().contains("AWS_REGION"));
        assert!(address.clone().signed_by(Some("here".to_owned()), None).unwrap_err().contains("credentials"));
        let signed = address.signed_by(Some("here".to_owned()), credentials()).unwrap();
        assert_eq!(signed.signer.unwrap().region, "here");
        let named = Address::parse("postgres://me@db/points?auth=iam&region=there", &surroundings).unwrap();
        assert_eq!(named.signed_by(Some("here".to_owned()), credentials()).unwrap().signer.unwrap().region, "there");
    }

    #[test]
    fn a_password_comes_from_beside_the_url() {
        let file = "# passwords\ndb:5432:other:me:no\ndb:*:points:me:a\\:b\\\\c\n*:*:*:*:last\n";
        let surroundings = Surroundings { password: None, password_file: Some(file.to_owned()) };
        let password = |text: &str, surroundings: &Surroundings| {
            let address = Address::parse(text, surroundings).unwrap();
            String::from_utf8(address.config.get_password().unwrap().to_vec()).unwrap()
        };
        assert_eq!(password("postgres://me@db/points", &surroundings), "a:b\\c");
        assert_eq!(password("postgres://you@db/points", &surroundings), "last");
        let both = Surroundings { password: Some("variable".to_owned()), ..surroundings };
        assert_eq!(password("postgres://me@db/points", &both), "variable");
        assert_eq!(password("postgres://me:own@db/points", &both), "own");
    }
}
