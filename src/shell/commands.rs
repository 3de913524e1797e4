//! The shell's own commands.

use anyhow::{Context, Result};
use bluelake_lake::AsOf;
use bluelake_queries::SQL_BYTES_MAX;
use bluelake_queries::shell::{COMMANDS, ChartForm, ShellCommand};

use super::{Flow, Shell, display};
use crate::session::query;
use crate::terminal::output;

/// The most nested files of `\i`; more means that a file includes itself.
const FILES_OPEN_MAX: usize = 16;

impl Shell<'_> {
    pub(super) async fn command(&mut self, command: ShellCommand) -> Result<Flow> {
        match command {
            ShellCommand::Quit => return Ok(Flow::Leave),
            ShellCommand::Help => output::line(help())?,
            ShellCommand::ListRelations => self.list().await?,
            ShellCommand::Describe(name) => self.describe(&name).await?,
            ShellCommand::Timing(on) => {
                switch("timing", &mut self.display.shows_timing, on)?;
            }
            ShellCommand::Expanded(on) => {
                switch("expanded display", &mut self.display.is_expanded, on)?;
            }
            ShellCommand::Pager(on) => {
                switch("pager", &mut self.display.uses_pager, on)?;
            }
            ShellCommand::Format(format) => {
                self.display.format = format.unwrap_or(self.display.format);
                output::line(format!("format is {}", self.display.format))?;
            }
            ShellCommand::Output(path) => self.next_output = path,
            ShellCommand::Include(path) => return self.include(&path).await,
            ShellCommand::Chart(form) => self.chart(form)?,
            ShellCommand::Charts(on) => {
                self.next_chart = None;
                switch("drawing of charts", &mut self.display.draws_charts, Some(on))?;
            }
            ShellCommand::Refresh => self.refresh().await?,
        }
        Ok(Flow::Continue)
    }

    async fn list(&self) -> Result<()> {
        let relations = self.queries.relations().await;
        let rows = relations.iter().map(|relation| {
            let rows = self
                .queries
                .origin()
                .tables
                .iter()
                .find(|table| table.name == relation.name)
                .and_then(|table| table.rows);
            let meaning = self.dictionary.grain(&relation.name).to_owned();
            [
                relation.name.clone(),
                relation.kind.name().to_owned(),
                rows.map_or_else(String::new, output::grouped),
                meaning,
            ]
        });
        self.show(&display::fitted(output::table(&["name", "kind", "rows", "meaning"], &[2], rows)))
    }

    async fn describe(&self, name: &str) -> Result<()> {
        let relation = self.queries.relation(name).await?;
        let described = self.dictionary.describe(&relation);
        self.show(&format!("{}\n{}", described.title(), display::fitted(described.table())))
    }

    async fn include(&mut self, path: &std::path::Path) -> Result<Flow> {
        let name = path.display().to_string();
        if self.files_open >= FILES_OPEN_MAX {
            anyhow::bail!("{name}: more than {FILES_OPEN_MAX} files inside of each other");
        }
        let file = std::fs::File::open(path).with_context(|| format!("cannot read {name}"))?;
        self.files_open += 1;
        let flow = Box::pin(self.read_script(&name, std::io::BufReader::with_capacity(SQL_BYTES_MAX, file))).await;
        self.files_open -= 1;
        flow
    }

    fn chart(&mut self, form: ChartForm) -> Result<()> {
        match &self.last {
            Some(last) => self.show(&last.chart(form)?),
            None => {
                self.next_chart = Some(form);
                output::line("the next result will be drawn")
            }
        }
    }

    async fn refresh(&mut self) -> Result<()> {
        let before =
            std::mem::replace(&mut self.queries, query::open(&self.lake, &self.session.config, &AsOf::Newest).await?);
        output::line(if before.origin().tables == self.queries.origin().tables {
            "nothing is new"
        } else {
            "the newest versions:"
        })?;
        output::line(self.versions())
    }
}

fn switch(what: &str, switched: &mut bool, to: Option<bool>) -> Result<()> {
    *switched = to.unwrap_or(!*switched);
    output::line(format!("{what} is {}", if *switched { "on" } else { "off" }))
}

fn help() -> String {
    let name = |command: &bluelake_queries::shell::CommandHelp| format!("{} {}", command.name, command.argument);
    let widest = COMMANDS.iter().map(|command| name(command).len()).max().unwrap_or(0);
    let lines = COMMANDS.iter().map(|command| format!("  {:<widest$}  {}", name(command), command.meaning));
    let mut help: Vec<String> = lines.collect();
    help.insert(
        0,
        "Statements end with ; and may go over several lines. Tab completes, Ctrl-R searches the history,".to_owned(),
    );
    help.insert(
        1,
        "Ctrl-C cancels a query or clears the line. SELECT, WITH, VALUES, EXPLAIN, SHOW, DESCRIBE.".to_owned(),
    );
    help.join("\n")
}
