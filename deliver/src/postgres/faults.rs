//! What the server says, as one message that names the target, the table and what to do. Values of rows are in the details of
//! the server's messages, so these are left out.

use tokio_postgres::error::SqlState;

use super::PostgresOptions;
use crate::{error::DeliverError, sql::quoted};

impl PostgresOptions {
    /// What the target does not do.
    pub(super) fn refused(&self, about: &str, problem: &str, remedy: &str) -> DeliverError {
        DeliverError::refused(&self.name, &self.address, [about, problem, remedy])
    }

    /// What the driver or the server said to an operation on a table, or on the schema.
    pub(super) fn fault<'a>(
        &'a self,
        operation: &'a str,
        table: Option<&'a str>,
    ) -> impl FnOnce(tokio_postgres::Error) -> DeliverError + 'a {
        move |error| {
            let Some(said) = error.as_db_error() else {
                return DeliverError::Unreachable {
                    target: self.name.clone(),
                    address: self.address.to_string(),
                    operation: operation.to_owned(),
                    table: table.map(str::to_owned),
                    source: Box::new(error),
                };
            };
            let verdict = verdict(said.code(), self);
            let about = table.map_or_else(|| format!("schema '{}'", self.schema), |table| format!("table '{table}'"));
            DeliverError::Refused {
                target: self.name.clone(),
                address: self.address.to_string(),
                table: about,
                problem: format!("{operation}: {} ({})", said.message(), said.code().code()),
                remedy: verdict.remedy,
                passes: verdict.passes,
            }
        }
    }
}

struct Verdict {
    remedy: String,
    passes: bool,
}

/// Pure: what to do about a code, and whether it may pass by itself.
fn verdict(code: &SqlState, options: &PostgresOptions) -> Verdict {
    let (schema, user) = (quoted(&options.schema), quoted(options.address.user()));
    let text = code.code();
    let remedy = match text {
        "28P01" | "28000" if options.address.wants_iam() => format!(
            "let an administrator run: GRANT rds_iam TO {user}; and let the role of AWS do rds-db:connect as that user"
        ),
        "28P01" | "28000" => {
            "check the user and the password in the address, PGPASSWORD or PGPASSFILE, and pg_hba.conf of the server"
                .to_owned()
        }
        "3D000" => format!("make the database: createdb {}", options.address.database()),
        "42501" => format!(
            "let an administrator run: CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION {user}, or GRANT USAGE, CREATE ON SCHEMA {schema} TO {user}"
        ),
        "42704" | "0LP01" => "make the role of read_role, or correct its name in bluelake.toml".to_owned(),
        "2BP01" => "views or tables of yours depend on it: drop them, run it again, and make them anew".to_owned(),
        "53100" => "make room on the disk of the server; nothing is half done".to_owned(),
        "53300" => "too many clients: raise max_connections, or let another one leave".to_owned(),
        "25006" => "the server is read-only: give the address of the one that can be written to".to_owned(),
        "55P03" | "40P01" | "40001" => "another session holds it; it is tried again".to_owned(),
        _ => "see the log of the server".to_owned(),
    };
    // Connection, resources, operator intervention, conflicts; and a lock that was not got in time.
    let passes = ["08", "53", "57", "40"].iter().any(|class| text.starts_with(class)) || text == "55P03";
    Verdict { remedy, passes }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::postgres::address::{Address, Surroundings};

    #[test]
    fn each_code_says_what_to_do() {
        let address = Address::parse("postgres://me@127.0.0.1/points", &Surroundings::default()).unwrap();
        let options = PostgresOptions { name: "t".to_owned(), address, schema: "lake".to_owned(), read_role: None };
        for (code, expected, passes) in [
            ("28P01", "PGPASSFILE", false),
            ("3D000", "createdb points", false),
            ("42501", "GRANT USAGE, CREATE ON SCHEMA \"lake\" TO \"me\"", false),
            ("42704", "read_role", false),
            ("2BP01", "depend on it", false),
            ("53100", "make room", true),
            ("57P01", "log of the server", true),
            ("57P03", "log of the server", true),
            ("40001", "tried again", true),
            ("55P03", "tried again", true),
            ("22021", "log of the server", false),
        ] {
            let found = verdict(&SqlState::from_code(code), &options);
            assert!(found.remedy.contains(expected), "{code}: {}", found.remedy);
            assert_eq!(found.passes, passes, "{code}");
        }
    }
}
