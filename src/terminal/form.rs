//! The form of a result and its destination: flags, and the file or standard output behind them.

use std::io::{BufWriter, IsTerminal as _, Write};
use std::path::PathBuf;

use anyhow::Result;
use bluelake_lake::WholeFile;
use bluelake_queries::OutputFormat;
use clap::Args;

use crate::terminal::failure::WrongUsage;
use crate::terminal::output;

/// The form of a result and its destination.
#[derive(Debug, Args)]
pub(crate) struct Form {
    /// table, csv, json, ndjson, parquet, xlsx, md or html [default: by the name of --output, otherwise table, or json
    /// with --json]
    #[arg(long, value_name = "FORMAT")]
    format: Option<OutputFormat>,
    /// Write to a file, which appears only when it is complete
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Form {
    /// A format, or the usual one, for a file or standard output.
    pub(crate) fn new(format: Option<OutputFormat>, output: Option<PathBuf>) -> Self {
        Self { format, output }
    }

    /// The requested format, by name or by the file's ending.
    pub(crate) fn format(&self, json: bool) -> OutputFormat {
        let ending = || OutputFormat::of_file(self.output.as_deref()?).ok()?;
        let usual = if json { OutputFormat::Json } else { OutputFormat::Table };
        self.format.or_else(ending).unwrap_or(usual)
    }

    /// Refuses a file whose ending names no format, or another than `--format`.
    fn check_ending(&self) -> Result<()> {
        let Some(path) = &self.output else { return Ok(()) };
        match (OutputFormat::of_file(path), self.format) {
            (Ok(Some(ending)), Some(format)) if ending != format && ending != OutputFormat::Table => {
                let message =
                    format!("--format says {format} and {} says {ending}: let one be as the other", path.display());
                Err(WrongUsage::new(message).into())
            }
            (Err(error), None) => Err(WrongUsage::new(error.to_string()).into()),
            _ => Ok(()),
        }
    }

    /// Whether a table is shown on a terminal.
    pub(crate) fn is_table_on_terminal(&self, json: bool) -> bool {
        self.format(json) == OutputFormat::Table && self.is_standard_output() && std::io::stdout().is_terminal()
    }

    /// Whether the result goes to standard output.
    pub(crate) fn is_standard_output(&self) -> bool {
        self.output.is_none()
    }

    /// Refuses binary output to a terminal, and a file with a wrong ending.
    ///
    /// # Errors
    /// [`WrongUsage`] for Parquet or XLSX to a terminal, or for an ending of no format or of another one.
    pub(crate) fn check(&self, json: bool) -> Result<()> {
        self.check_ending()?;
        let format = self.format(json);
        if format.is_binary() && self.is_standard_output() && std::io::stdout().is_terminal() {
            return Err(WrongUsage::new(format!("{format} is not for terminals; add --output FILE")).into());
        }
        Ok(())
    }

    /// Where the result goes.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub(crate) fn sink(&self) -> Result<Sink> {
        Ok(match &self.output {
            Some(path) => Sink::File(output::create(path)?),
            None => Sink::StandardOutput(BufWriter::new(std::io::stdout())),
        })
    }
}

/// A file or standard output.
#[derive(Debug)]
pub(crate) enum Sink {
    /// A file that gets its name when it is complete.
    File(WholeFile),
    /// Standard output.
    StandardOutput(BufWriter<std::io::Stdout>),
}

impl Sink {
    /// Completes the result.
    ///
    /// # Errors
    /// When the last bytes cannot be written.
    pub(crate) fn finish(self) -> Result<()> {
        match self {
            Self::File(file) => output::publish(file),
            Self::StandardOutput(mut stdout) => Ok(stdout.flush()?),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::File(file) => file.write(buffer),
            Self::StandardOutput(stdout) => stdout.write(buffer),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::StandardOutput(stdout) => stdout.flush(),
        }
    }
}
