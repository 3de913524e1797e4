//! Questions to the lake: one DataFusion session over its tables, read-only and confined, and the report catalogue.
//!
//! [`QuerySession`] registers the tables it is given, adds the views of `views/*.sql`, and runs one SQL statement at a
//! time within limits of memory and time. [`ReportCatalog`] holds the reports of `reports/*.sql`. [`ResultWriter`] turns
//! batches into a table, CSV, JSON, Parquet, XLSX, Markdown or HTML. [`export_report`] writes a report as files into a folder
//! or bucket. Opening the lake and printing are left to others.

mod attempt;
mod bounds;
mod bytes;
mod catalog;
mod constants;
mod cooperation;
mod error;
mod execute;
mod export;
mod guard;
mod header;
mod memory;
mod nearest;
mod options;
mod origin;
mod output;
mod parameters;
mod pool;
mod postgres;
mod provenance;
mod reconcile;
mod relations;
mod report;
mod session;
mod shared;
pub mod shell;
mod spill;
mod views;
mod workers;

#[cfg(test)]
mod testing;

pub use catalog::ReportCatalog;
pub use error::{EngineError, QueryError};
pub use execute::QueryStream;
pub use export::{
    Export, ExportLink, ExportManifest, ExportOptions, ExportedFile, MANIFEST, export_folder, export_report,
};
pub use guard::SQL_BYTES_MAX;
pub use header::{
    Chart, ChartKind, ParameterDefault, ParameterKind, ReportColumn, ReportHeader, ReportParameter, Unit, ViewHeader,
};
pub use memory::process_bytes;
pub use options::{QueryOptions, parse_time_zone};
pub use origin::{Origin, PeriodOrigin, StreamOrigin, TableOrigin};
pub use output::{OutputFormat, ResultWriter, TABLE_ROWS_MAX, whole, write_report, write_results};
pub use parameters::{ReportParameters, ResolvedParameter};
pub use provenance::Provenance;
pub use reconcile::{Reconciled, reconcile};
pub use relations::{Relation, RelationKind};
pub use report::{Completeness, Report, ReportResult};
pub use session::QuerySession;
pub use views::{ViewDescription, describe_views};
