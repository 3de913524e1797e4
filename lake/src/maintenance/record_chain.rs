//! The chain of a table's maintenance records, and the one in force.

use crate::{
    commit::chain::Chain,
    error::LakeError,
    maintenance::{
        record::MaintenanceRecord,
        undo::{Undone, UndoneSearch},
    },
    place::lake::Lake,
};

/// The application id under which a table keeps the number of its record in force.
pub(crate) const MAINTENANCE: &str = "bluelake/maintenance";
/// Folder of the records, beside the partitions.
pub(crate) const FOLDER: &str = "_maintenance";

/// The maintenance records of one table.
pub(crate) type RecordChain = Chain<MaintenanceRecord>;

impl RecordChain {
    pub(crate) fn new(lake: &Lake, table: &str) -> Self {
        Self::at(lake, lake.table_path(table).join(FOLDER))
    }

    /// Looks for a record in the chain that `newest` ends, and for what became of it.
    pub(crate) async fn undone(
        &self,
        newest: Option<&MaintenanceRecord>,
        wanted: u64,
    ) -> Result<Option<Undone>, LakeError> {
        let Some(newest) = newest else { return Ok(None) };
        let mut search = UndoneSearch::new(wanted);
        let mut goes_on = search.take_in(newest);
        let mut next = newest.previous.as_ref().map(|previous| previous.number);
        let mut before = if goes_on && next.is_some() { Some(self.before(newest.number).await?) } else { None };
        while let (true, Some(number), Some(before)) = (goes_on, next, &mut before) {
            let record = before.get(number).await?;
            goes_on = search.take_in(&record);
            next = record.previous.map(|previous| previous.number).filter(|previous| *previous < number);
        }
        Ok(search.found())
    }
}
