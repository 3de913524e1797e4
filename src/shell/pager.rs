//! Long texts, a screen at a time: by the user's pager, by `less`, or by a stop after each screen.

use std::io::{self, BufRead as _, ErrorKind, Write as _};
use std::process::{Command, Stdio};

use anyhow::Result;

/// Quits at once if everything fits, leaves the text on the screen, and scrolls sideways instead of wrapping.
const LESS: &str = "less -FRX -S";
/// A shell's exit codes for a command that is missing or cannot be run.
const NOT_RUN: [i32; 2] = [126, 127];

/// Shows the text. A pager that quits before its end is no error.
///
/// # Errors
/// When neither a pager can be run nor the terminal written.
pub(super) fn page(text: &str, height: usize, configured: Option<&str>) -> Result<()> {
    let from_environment = std::env::var("PAGER").ok().filter(|command| !command.trim().is_empty());
    let command = configured.map(str::to_owned).or(from_environment);
    if run(command.as_deref().unwrap_or(LESS), text).unwrap_or(false) {
        return Ok(());
    }
    if let Some(command) = command {
        crate::terminal::output::line(format!("the pager {command:?} cannot be run"))?;
    }
    stop_after_each_screen(text, height)
}

/// Whether the command could be run.
fn run(command: &str, text: &str) -> io::Result<bool> {
    let mut pager = Command::new("sh").args(["-c", command]).stdin(Stdio::piped()).spawn()?;
    if let Some(mut input) = pager.stdin.take() {
        match input.write_all(text.as_bytes()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error),
            _ => {}
        }
    }
    Ok(pager.wait()?.code().is_none_or(|code| !NOT_RUN.contains(&code)))
}

fn stop_after_each_screen(text: &str, height: usize) -> Result<()> {
    let lines: Vec<_> = text.lines().collect();
    let mut screens = lines.chunks(height.saturating_sub(1).max(1)).peekable();
    while let Some(screen) = screens.next() {
        crate::terminal::output::line(screen.join("\n"))?;
        if screens.peek().is_some() && !is_more_wanted()? {
            break;
        }
    }
    Ok(())
}

fn is_more_wanted() -> Result<bool> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(b"-- Enter: more; q and Enter: enough -- ")?;
    stdout.flush()?;
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer)?;
    Ok(read > 0 && !answer.trim().starts_with(['q', 'Q']))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_pager_gets_text_and_may_quit() {
        let folder = tempfile::tempdir().unwrap();
        let seen = folder.path().join("seen");
        let text = "line\n".repeat(100_000);
        assert!(run(&format!("cat > {}", seen.display()), &text).unwrap());
        assert_eq!(std::fs::read_to_string(&seen).unwrap(), text);
        assert!(run("head -n 1 > /dev/null", &text).unwrap());
        assert!(run("exit 3", &text).unwrap());
    }

    #[test]
    fn a_missing_pager_is_distinguished() {
        assert!(!run("no-such-pager-anywhere 2>/dev/null", &"line\n".repeat(100_000)).unwrap());
    }
}
