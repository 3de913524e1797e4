//! Secrets that stand beside an address.

use anyhow::Result;
use bluelake_deliver::{Address, Surroundings};

use crate::session::aws;

/// A variable of the environment; an empty one is as good as none.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The address of a PostgreSQL server, with the password or the credentials of AWS that stand beside it; the inner error
/// tells what is wrong with the address.
///
/// # Errors
/// When the configuration of AWS is needed and cannot be read.
pub(crate) async fn postgres(text: &str) -> Result<Result<Address, String>> {
    let address = match Address::parse(text, &of_postgres()) {
        Ok(address) if address.wants_iam() => address,
        other => return Ok(other),
    };
    let aws = aws::sdk_config().await?;
    Ok(address.signed_by(aws.region().map(ToString::to_string), aws.credentials_provider()))
}

/// A password for PostgreSQL, as its own programs find it.
fn of_postgres() -> Surroundings {
    let usual = || variable("HOME").map(|home| format!("{home}/.pgpass"));
    let file = variable("PGPASSFILE").or_else(usual);
    Surroundings {
        password: variable("PGPASSWORD"),
        password_file: file.and_then(|file| std::fs::read_to_string(file).ok()),
    }
}
