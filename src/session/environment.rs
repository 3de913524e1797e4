//! Environment variables that libraries read themselves. An empty one counts as not set, like our own; several
//! libraries take it for a value, and fail or panic on it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::Result;

use crate::terminal::failure::WrongUsage;

/// The prefix of the AWS SDK's variables.
const AWS: &str = "AWS_";
/// Other variables: places, and settings of HTTP clients.
const OTHERS: [&str; 8] =
    ["HOME", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"];

/// Goes on without the empty ones. Only a new process can lose a variable: this process replaces itself, and keeps its
/// number, its arguments and its files.
///
/// # Errors
/// [`WrongUsage`] that names them when that is impossible.
pub(crate) fn without_empty_variables() -> Result<()> {
    let empty = empty(std::env::vars_os());
    if empty.is_empty() {
        return Ok(());
    }
    let mut arguments = std::env::args_os();
    let failed = std::env::current_exe().map(|program| {
        let mut again = Command::new(program);
        if let Some(name) = arguments.next() {
            again.arg0(name);
        }
        again.args(arguments);
        for name in &empty {
            again.env_remove(name);
        }
        again.exec()
    });
    let names = empty.iter().map(|name| name.to_string_lossy()).collect::<Vec<_>>().join(", ");
    let usage = WrongUsage::new(format!("set but empty, which is to be not set: {names}; unset it"));
    Err(anyhow::Error::new(failed.unwrap_or_else(|error| error)).context(usage))
}

fn empty(variables: impl Iterator<Item = (OsString, OsString)>) -> Vec<OsString> {
    let read_by_libraries =
        |name: &OsString| name.to_str().is_some_and(|name| name.starts_with(AWS) || OTHERS.contains(&name));
    let mut names: Vec<OsString> =
        variables.filter(|(name, text)| text.is_empty() && read_by_libraries(name)).map(|(name, _)| name).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_empty_variables_that_libraries_read_are_dropped() {
        let variables = [("AWS_REGION", ""), ("AWS_PROFILE", "x"), ("TMPDIR", ""), ("PS1", ""), ("BLUELAKE_LAKE", "")];
        let found = empty(variables.into_iter().map(|(name, text)| (name.into(), text.into())));
        assert_eq!(found, ["AWS_REGION", "TMPDIR"]);
    }
}
