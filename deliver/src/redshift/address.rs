//! Where a Redshift is, as the configuration writes it. Pure.

use std::fmt;

/// A cluster or a serverless workgroup, and a database of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedshiftAddress {
    pub(super) place: Place,
    pub(super) database: String,
}

/// What answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A serverless workgroup: who one is follows from the credentials.
    Workgroup(String),
    /// A cluster, and the user of the database that the credentials may become; without one it follows from them.
    Cluster { name: String, user: Option<String> },
}

const FORMS: &str = "write redshift-serverless://WORKGROUP/DATABASE or redshift://[USER@]CLUSTER/DATABASE";

impl RedshiftAddress {
    /// Reads an address.
    ///
    /// # Errors
    /// What is wrong with it, and the forms that it can have.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fault = |problem: &str| format!("{problem}; {FORMS}");
        let Some((scheme, rest)) = text.split_once("://") else { return Err(fault("it is no URL")) };
        let Some((host, database)) = rest.split_once('/') else { return Err(fault("it names no database")) };
        let (user, name) = host.rsplit_once('@').map_or((None, host), |(user, name)| (Some(user), name));
        if user.is_some_and(|user| user.is_empty() || user.contains(':')) {
            return Err(fault("a password has no use here: the credentials of AWS open it, or secret_arn"));
        }
        let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > 64 || !name.bytes().all(is_name) {
            return Err(fault(
                "the cluster or workgroup is named by lower-case letters, digits and -, not by its endpoint",
            ));
        }
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-$".contains(&byte);
        if database.is_empty() || database.len() > 127 || !database.bytes().all(is_plain) {
            return Err(fault("the name of the database is letters, digits, _, - and $"));
        }
        let (name, database) = (name.to_owned(), database.to_owned());
        let place = match (scheme, user) {
            ("redshift-serverless", None) => Place::Workgroup(name),
            ("redshift-serverless", Some(_)) => return Err(fault("a workgroup takes no user")),
            ("redshift", user) => Place::Cluster { name, user: user.map(str::to_owned) },
            _ => return Err(fault("its scheme is neither redshift nor redshift-serverless")),
        };
        Ok(Self { place, database })
    }

    /// Whether it names a user of the database.
    #[must_use]
    pub fn has_user(&self) -> bool {
        matches!(&self.place, Place::Cluster { user: Some(_), .. })
    }
}

impl fmt::Display for RedshiftAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Workgroup(name) => write!(formatter, "redshift-serverless://{name}/{}", self.database),
            Place::Cluster { name, user } => {
                let user = user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
                write!(formatter, "redshift://{user}{name}/{}", self.database)
            }
        }
    }
}

/// Checks the name of a schema: Redshift folds names to lower case, also quoted ones.
///
/// # Errors
/// What is wrong with it.
pub fn checked_schema(schema: &str) -> Result<(), String> {
    let begins = schema.starts_with(|first: char| first.is_ascii_lowercase() || first == '_');
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if !begins || schema.len() > 63 || !schema.bytes().all(is_plain) || schema.starts_with("pg_") {
        let rule = "1 to 63 lower-case letters, digits and _, not beginning with a digit or pg_";
        return Err(format!("schema {schema:?} cannot be one: {rule}"));
    }
    Ok(())
}

/// Checks the role with which COPY reads what is staged: `default`, or the ARNs of a role, or of a chain of roles.
///
/// # Errors
/// What is wrong with it.
pub fn checked_role(role: &str) -> Result<(), String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+=.@_/:-".contains(&byte);
    let is_role = |role: &str| role.starts_with("arn:aws") && role.contains(":role/") && role.bytes().all(is_plain);
    if role == "default" || role.split(',').all(is_role) {
        return Ok(());
    }
    Err(format!("iam_role {role:?} is none: write arn:aws:iam::ACCOUNT:role/NAME, or default"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_shown() {
        for text in ["redshift-serverless://points-1/dev", "redshift://warehouse/dev", "redshift://me@warehouse/My_db"]
        {
            let address = RedshiftAddress::parse(text).unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(address.has_user(), text.contains('@'));
        }
    }

    #[test]
    fn each_fault_says_which_forms_there_are() {
        for (text, expected) in [
            ("warehouse", "no URL"),
            ("redshift://warehouse", "names no database"),
            ("redshift://warehouse/", "name of the database"),
            ("redshift://me:s3cret@warehouse/dev", "a password has no use here"),
            ("redshift://warehouse.abc.eu-west-1.redshift.amazonaws.com:5439/dev", "not by its endpoint"),
            ("redshift-serverless://me@points/dev", "takes no user"),
            ("postgres://warehouse/dev", "neither redshift nor"),
        ] {
            let problem = RedshiftAddress::parse(text).unwrap_err();
            assert!(problem.contains(expected) && problem.contains("redshift-serverless://WORKGROUP"), "{problem}");
            assert!(!problem.contains("s3cret"), "{problem}");
        }
    }

    #[test]
    fn schemas_and_roles_cannot_leave_their_quotes() {
        for good in ["bluelake", "_b2"] {
            checked_schema(good).unwrap();
        }
        for bad in ["", "Bluelake", "pg_mine", "2b", "a b", "a\"b"] {
            checked_schema(bad).unwrap_err();
        }
        for good in ["default", "arn:aws:iam::123456789012:role/copy", "arn:aws:iam::1:role/a,arn:aws:iam::2:role/b"] {
            checked_role(good).unwrap();
        }
        for bad in ["", "copy", "arn:aws:iam::1:role/a' CREDENTIALS 'x", "arn:aws:iam::1:user/a"] {
            checked_role(bad).unwrap_err();
        }
    }
}
