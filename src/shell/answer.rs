//! One statement: run, watched for Ctrl-C, and shown.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::Result;
use arrow::array::Array as _;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bluelake_queries::shell::{ChartForm, Points, write_expanded};
use bluelake_queries::{OutputFormat, QueryStream, ResultWriter, TABLE_ROWS_MAX, write_results};
use futures::FutureExt as _;
use tokio::signal::unix::Signal;

use super::{Shell, display};
use crate::terminal::output;

/// The most bytes of a result that are held for display.
const SHOWN_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A result, or its beginning, in memory.
#[derive(Debug, Clone)]
pub(super) struct Collected {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    rows: usize,
    /// Whether there is more than this.
    is_cut: bool,
}

impl Collected {
    /// Reads to the end, or as much as a terminal shows.
    async fn read(stream: &mut QueryStream) -> Result<Self> {
        let mut collected = Self { schema: stream.schema(), batches: Vec::new(), rows: 0, is_cut: false };
        let mut bytes = 0;
        while let Some(batch) = stream.next().await? {
            let fitting = batch.num_rows().min(TABLE_ROWS_MAX - collected.rows);
            let batch_rows = batch.num_rows();
            let batch = batch.slice(0, fitting);
            bytes += batch.columns().iter().map(sliced_bytes).sum::<usize>();
            collected.rows += fitting;
            collected.batches.push(batch);
            if fitting < batch_rows || bytes > SHOWN_BYTES_MAX {
                collected.is_cut = fitting < batch_rows || stream.next().await?.is_some();
                break;
            }
        }
        Ok(collected)
    }

    /// The result as text in a format.
    fn text(&self, format: OutputFormat, is_expanded: bool) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        if is_expanded && format == OutputFormat::Table {
            write_expanded(&self.schema, &self.batches, &mut text)?;
        } else {
            let mut writer = ResultWriter::new(format, &self.schema, &mut text)?;
            for batch in &self.batches {
                writer.write(batch)?;
            }
            writer.finish()?;
        }
        Ok(text)
    }

    /// The result as a picture, as wide as the terminal. The picture says if the result was cut.
    pub(super) fn chart(&self, form: ChartForm) -> Result<String> {
        let mut drawn = Points::read(&self.schema, &self.batches)?.draw(form, display::width())?;
        if self.is_cut {
            drawn.push_str(&format!("drawn: the first {} rows of more\n", self.rows));
        }
        Ok(drawn)
    }

    fn count(&self) -> String {
        match (self.rows, self.is_cut) {
            (rows, true) => format!("(the first {rows} rows; \\o FILE writes all of them)"),
            (1, false) => "(1 row)".to_owned(),
            (rows, false) => format!("({rows} rows)"),
        }
    }
}

/// Bytes of the batch's own rows, not of its whole buffers.
fn sliced_bytes(column: &arrow::array::ArrayRef) -> usize {
    column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size())
}

impl Shell<'_> {
    /// Runs one statement and shows its result. Cancelled by Ctrl-C, it ends without an error.
    pub(super) async fn statement(&mut self, sql: &str) -> Result<()> {
        let started = Instant::now();
        let mut interrupts = self.interrupts.take();
        let ended = tokio::select! {
            ended = self.answer(sql) => ended.map(|()| true),
            () = interrupted(interrupts.as_mut()) => Ok(false),
        };
        self.interrupts = interrupts;
        let is_complete = ended?;
        if !is_complete {
            self.note("cancelled")?;
        }
        if self.display.shows_timing {
            // Time in the pager is the reader's.
            let spent = self.computed.take().unwrap_or_else(|| started.elapsed());
            self.note(&format!("time: {}", in_words(spent)))?;
        }
        Ok(())
    }

    async fn answer(&mut self, sql: &str) -> Result<()> {
        let started = Instant::now();
        self.computed = None;
        let mut stream = self.queries.query(sql).await?;
        let since = stream.since();
        self.show_answer(&mut stream, started).await?;
        match since {
            Some(since) => self.note(&output::since(&since)),
            None => Ok(()),
        }
    }

    async fn show_answer(&mut self, stream: &mut QueryStream, started: Instant) -> Result<()> {
        if let Some(path) = self.next_output.take() {
            let format = OutputFormat::of_file(&path)?.unwrap_or(self.display.format);
            let mut file = output::create(&path)?;
            let rows = write_results(stream, format, &mut file).await?;
            output::publish(file)?;
            return self.note(&format!("{rows} rows written to {} as {format}", path.display()));
        }
        // Within a statement the caller has the signals, so this checks the terminal.
        if !display::is_terminal() {
            return self.stream(stream).await;
        }
        let collected = Collected::read(stream).await?;
        self.computed = Some(started.elapsed());
        self.show_collected(&collected)?;
        self.last = Some(collected);
        Ok(())
    }

    /// For programs: all rows as they come.
    async fn stream(&mut self, stream: &mut QueryStream) -> Result<()> {
        if self.display.is_expanded || self.display.draws_charts || self.next_chart.is_some() {
            let collected = Collected::read(stream).await?;
            self.show_collected(&collected)?;
            self.last = Some(collected);
        } else {
            let mut stdout = std::io::BufWriter::new(std::io::stdout());
            write_results(stream, self.display.format, &mut stdout).await?;
            stdout.flush()?;
        }
        Ok(())
    }

    fn show_collected(&mut self, collected: &Collected) -> Result<()> {
        let mut text = collected.text(self.display.format, self.display.is_expanded)?;
        if display::is_terminal() {
            text.extend_from_slice(collected.count().as_bytes());
            text.push(b'\n');
        }
        let drawn = match self.next_chart.take() {
            Some(form) => collected.chart(form).unwrap_or_else(|reason| format!("{reason}\n")),
            None if self.display.draws_charts => collected.chart(ChartForm::Fitting).unwrap_or_default(),
            None => String::new(),
        };
        text.extend_from_slice(drawn.as_bytes());
        self.show(&String::from_utf8_lossy(&text))
    }

    /// Prints a remark about a result.
    fn note(&self, text: &str) -> Result<()> {
        if display::is_terminal() { output::line(text) } else { Ok(writeln!(std::io::stderr(), "{text}")?) }
    }
}

/// Waits for Ctrl-C from now on; for ever without a listener.
async fn interrupted(interrupts: Option<&mut Signal>) {
    match interrupts {
        Some(interrupts) => {
            // An earlier Ctrl-C, such as for the pager of the last statement, does not count.
            while interrupts.recv().now_or_never().is_some() {}
            interrupts.recv().await;
        }
        None => std::future::pending().await,
    }
}

fn in_words(elapsed: Duration) -> String {
    let milliseconds = elapsed.as_secs_f64() * 1_000.0;
    if milliseconds < 1_000.0 { format!("{milliseconds:.1} ms") } else { format!("{:.2} s", elapsed.as_secs_f64()) }
}
