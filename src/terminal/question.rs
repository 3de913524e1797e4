//! Asks who sits at the terminal before something is changed that is not easily changed back.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use anyhow::{Context, Result};

/// Whether somebody can answer.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal()
}

/// Asks on standard error; true for `y` and `yes`.
///
/// # Errors
/// When the terminal cannot be written to or read from.
pub(crate) fn confirmed(question: &str) -> Result<bool> {
    let mut error = io::stderr().lock();
    write!(error, "{question} [y/N] ").and_then(|()| error.flush()).context("cannot ask")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
    Ok(is_yes(&answer))
}

fn is_yes(answer: &str) -> bool {
    ["y", "yes"].contains(&answer.trim().to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_one() {
        assert!(["y\n", "Yes\n", " YES "].into_iter().all(is_yes));
        assert!(["", "\n", "n\n", "yess\n", "no, yes\n"].into_iter().all(|answer| !is_yes(answer)));
    }
}
