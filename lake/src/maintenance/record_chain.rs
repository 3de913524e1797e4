//! Where the maintenance records of a table stand, and which of them is in force.

use crate::{commit::chain::Chain, maintenance::record::MaintenanceRecord, place::lake::Lake};

/// The application under which a table keeps the number of its record in force.
pub(crate) const MAINTENANCE: &str = "bluelake/maintenance";
/// Folder of the records, beside the partitions.
pub(crate) const FOLDER: &str = "_maintenance";

/// The maintenance records of one table.
pub(crate) type RecordChain = Chain<MaintenanceRecord>;

impl RecordChain {
    pub(crate) fn new(lake: &Lake, table: &str) -> Self {
        Self::at(lake, lake.table_path(table).join(FOLDER))
    }
}
