//! What a target must do, whatever it is. It stores the version that it holds of each table, and moves it together with the
//! rows: so a repeated, lost or late answer is settled by reading that version.

use std::collections::BTreeSet;

use async_trait::async_trait;
use bluelake_lake::{Feed, FeedFile, FeedStep, Lake};
use bluelake_schemas::Contract;

use crate::{
    columns::{Columns, Table},
    digest::TableVerdict,
    error::DeliverError,
};

/// A table of the lake, and how it is delivered.
#[derive(Debug)]
pub struct Source {
    /// What happens to it.
    pub(crate) feed: Feed,
    /// The contract of its events.
    pub(crate) contract: Contract,
    /// The columns that the target wants.
    pub(crate) columns: Columns,
    /// Where the lake is, for people.
    pub(crate) lake: String,
}

impl Source {
    /// Opens a table.
    ///
    /// # Errors
    /// When the lake cannot be read, or lacks the table.
    pub async fn open(lake: &Lake, table: &str, contract: &Contract, columns: &Columns) -> Result<Self, DeliverError> {
        let feed = Feed::open(lake, table).await?;
        let lake = lake.location().to_string();
        Ok(Self { feed, contract: contract.clone(), columns: columns.clone(), lake })
    }

    /// The name of the table.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.feed.name()
    }

    /// The newest version of the lake, as last looked at.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.feed.version()
    }

    /// The table with the columns that it has now.
    pub(crate) fn table(&self) -> Result<Table, DeliverError> {
        Table::new(self.feed.name(), self.feed.schema()?.as_ref(), &self.contract, &self.columns)
    }
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The target has it.
    Done {
        /// Rows that came.
        added: u64,
        /// Rows that left.
        removed: u64,
    },
    /// Another process was faster: the target holds another version than the step begins with.
    Overtaken,
}

/// A load of a whole table beside the one that is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// The version that it will hold.
    pub version: u64,
    /// The partitions that it holds already.
    pub done: BTreeSet<[String; 2]>,
}

/// How a target stands with a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The version that it holds; `None`: it was never loaded.
    pub held: Option<u64>,
    /// The version of a load that is under way.
    pub loading: Option<u64>,
    /// Rows that it holds.
    pub rows: u64,
    /// Values of them that did not fit there: they are null, and listed.
    pub losses: u64,
}

/// A place to which tables are delivered.
#[async_trait]
pub trait Target: Send {
    /// Its name in the configuration.
    fn name(&self) -> &str;

    /// Values that did not fit there, since this process began.
    fn lost(&self) -> u64 {
        0
    }

    /// Connects if it is not connected, and makes sure that it can be delivered to.
    async fn prepare(&mut self) -> Result<(), DeliverError>;

    /// How it stands with a table. It refuses one that another lake delivers.
    async fn standing(&mut self, source: &Source) -> Result<Standing, DeliverError>;

    /// How it stands with a table, for people: nothing is made or mended there.
    async fn seen(&mut self, source: &Source) -> Result<Standing, DeliverError>;

    /// Takes a step. As long as the position has not moved it is taken again, with the same outcome.
    async fn apply(&mut self, source: &Source, step: &FeedStep) -> Result<Applied, DeliverError>;

    /// Begins to load the table at the newest version as last looked at, or goes on with a load that was begun.
    async fn begin_load(&mut self, source: &Source) -> Result<Load, DeliverError>;

    /// Loads some files of whole partitions.
    async fn load(&mut self, source: &Source, load: &Load, files: &[FeedFile]) -> Result<Applied, DeliverError>;

    /// Puts what was loaded in the place of what is in use, at once.
    async fn finish_load(&mut self, source: &Source, load: &Load) -> Result<Applied, DeliverError>;

    /// Throws away what was loaded: its version can no longer be read.
    async fn abandon_load(&mut self, source: &Source) -> Result<(), DeliverError>;

    /// Compares what it holds with the lake at the version that it holds.
    async fn verify(&mut self, source: &mut Source) -> Result<TableVerdict, DeliverError>;
}

/// One whose kind is known only when the program runs.
#[async_trait]
impl Target for Box<dyn Target> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn lost(&self) -> u64 {
        (**self).lost()
    }

    async fn prepare(&mut self) -> Result<(), DeliverError> {
        (**self).prepare().await
    }

    async fn standing(&mut self, source: &Source) -> Result<Standing, DeliverError> {
        (**self).standing(source).await
    }

    async fn seen(&mut self, source: &Source) -> Result<Standing, DeliverError> {
        (**self).seen(source).await
    }

    async fn apply(&mut self, source: &Source, step: &FeedStep) -> Result<Applied, DeliverError> {
        (**self).apply(source, step).await
    }

    async fn begin_load(&mut self, source: &Source) -> Result<Load, DeliverError> {
        (**self).begin_load(source).await
    }

    async fn load(&mut self, source: &Source, load: &Load, files: &[FeedFile]) -> Result<Applied, DeliverError> {
        (**self).load(source, load, files).await
    }

    async fn finish_load(&mut self, source: &Source, load: &Load) -> Result<Applied, DeliverError> {
        (**self).finish_load(source, load).await
    }

    async fn abandon_load(&mut self, source: &Source) -> Result<(), DeliverError> {
        (**self).abandon_load(source).await
    }

    async fn verify(&mut self, source: &mut Source) -> Result<TableVerdict, DeliverError> {
        (**self).verify(source).await
    }
}
