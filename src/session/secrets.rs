//! Secrets that stand beside an address.

use anyhow::Result;
use bluelake_deliver::{Address, Surroundings};

use crate::session::aws;
use crate::terminal::failure::WrongUsage;

/// A variable of the environment; an empty one is as good as none.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The address of a PostgreSQL server, with the password or the credentials of AWS that stand beside it.
///
/// # Errors
/// What `wrong` makes of an address that cannot be used; [`WrongUsage`] when the configuration of AWS is invalid.
pub(crate) async fn postgres(text: &str, wrong: impl Fn(&str) -> WrongUsage) -> Result<Address> {
    let address = Address::parse(text, &of_postgres()).map_err(|problem| wrong(&problem))?;
    if !address.wants_iam() {
        return Ok(address);
    }
    let aws = aws::sdk_config().await?;
    let signed = address.signed_by(aws.region().map(ToString::to_string), aws.credentials_provider());
    Ok(signed.map_err(|problem| wrong(&problem))?)
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
