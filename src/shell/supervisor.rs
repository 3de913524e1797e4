//! A second process that starts the shell again after a query has crashed it.
//!
//! The process that runs a query keeps its limits. A step beyond them (which asks for more memory than there is) ends
//! that process. This process has no query: it waits, reports what happened, and starts the next.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::terminal::failure::{AlreadyReported, Outcome};
use crate::terminal::output;

/// A process that ends sooner is not started again, because it would only end again.
const LIFE_MIN: Duration = Duration::from_secs(3);
/// The signals that end a process without memory: its own abort, or the kernel's kill.
const OUT_OF_MEMORY: [i32; 2] = [6, 9];
/// The exit code of a signalled process is this plus the signal's number.
const SIGNAL_CODE: i32 = 128;

/// Runs this program with the same arguments and this flag, until it ends by itself.
///
/// # Errors
/// [`AlreadyReported`] with its exit code, if that is not 0.
pub(crate) async fn run(flag: &str) -> Result<Outcome> {
    let terminal = tcgetattr(std::io::stdin()).ok();
    loop {
        let started = Instant::now();
        let status = wait(flag).await?;
        restore(terminal.as_ref());
        let Some(signal) = status.signal() else { return by_itself(status) };
        if !OUT_OF_MEMORY.contains(&signal) || started.elapsed() < LIFE_MIN {
            return Err(AlreadyReported(u8::try_from(SIGNAL_CODE + signal).unwrap_or(1)).into());
        }
        output::line("The query took more memory than a process is given here, and the shell ended. It starts again.")?;
    }
}

fn by_itself(status: ExitStatus) -> Result<Outcome> {
    match status.code() {
        Some(0) => Ok(Outcome::Done),
        code => Err(AlreadyReported(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)).into()),
    }
}

/// Starts it and waits for its end. Ctrl-C is for it alone; SIGTERM ends it.
async fn wait(flag: &str) -> Result<ExitStatus> {
    let mut interrupts = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let mut termination = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    let program = std::env::current_exe().context("cannot find this program")?;
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1)).arg(flag).kill_on_drop(true);
    let mut shell = command.spawn().context("cannot start the shell")?;
    loop {
        tokio::select! {
            status = shell.wait() => return status.context("cannot wait for the shell"),
            _ = interrupts.recv() => {}
            _ = termination.recv() => {
                shell.kill().await.context("cannot end the shell")?;
                return Ok(ExitStatus::from_raw(SignalKind::terminate().as_raw_value()));
            }
        }
    }
}

/// Restores the terminal: a process that was killed during line editing could not.
fn restore(terminal: Option<&Termios>) {
    if let Some(terminal) = terminal {
        let _ = tcsetattr(std::io::stdin(), SetArg::TCSADRAIN, terminal);
    }
}
